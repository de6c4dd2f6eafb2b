//! How many keys one command should name, by what the sessions read so far were like.

use std::collections::VecDeque;

use crate::io::event::Record;
use crate::session::true_expiry::has_cookie_expiry;

/// Keys that one command names at most.
const KEYS_AT_ONCE: usize = 128;
/// Commands for the keys of one step that are in flight at once, so that neither the server nor the
/// I/O thread waits for the other.
const COMMANDS_AHEAD: usize = 3;
/// Bytes that one command should read, by the sizes seen so far.
const BYTES_AT_ONCE: usize = 256 * 1024;
/// Keys of the first command, since nothing is known yet of the size of sessions.
const KEYS_AT_FIRST: usize = 8;

/// What the sessions of a scan are like.
pub struct SessionSizes {
    count: usize,
    bytes: usize,
    /// Whether the sessions read last have a cookie that expires, and so need a PTTL.
    pub have_expiry: bool,
}

impl Default for SessionSizes {
    fn default() -> SessionSizes {
        SessionSizes {
            count: 0,
            bytes: 0,
            have_expiry: true,
        }
    }
}

impl SessionSizes {
    pub fn learn(&mut self, records: &VecDeque<Record>) {
        let texts = records.iter().filter_map(|record| record.text.as_ref());
        self.learn_bytes(records.len(), texts.map(Vec::len).sum());
        if let Some(text) = records.back().and_then(|last| last.text.as_ref()) {
            self.have_expiry = has_cookie_expiry(text);
        }
    }

    /// So many sessions have so many bytes.
    pub fn learn_bytes(&mut self, sessions: usize, bytes: usize) {
        self.count += sessions;
        self.bytes += bytes;
    }

    /// One, until a size is known.
    pub fn reads_at_once(&self) -> usize {
        if self.count == 0 { 1 } else { COMMANDS_AHEAD }
    }

    /// As many keys as are likely to make [`BYTES_AT_ONCE`].
    pub fn keys_at_once(&self) -> usize {
        if self.count == 0 {
            return KEYS_AT_FIRST;
        }
        let session = (self.bytes / self.count).max(1);
        (BYTES_AT_ONCE / session).clamp(1, KEYS_AT_ONCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_sessions_are_read_few_at_a_time() {
        let mut sizes = SessionSizes::default();
        assert_eq!(sizes.keys_at_once(), KEYS_AT_FIRST);
        let record = |bytes| Record {
            id: vec![],
            text: Some(vec![0; bytes]),
            expires: None,
            trouble: None,
        };
        sizes.learn(&[record(500), record(700)].into());
        assert_eq!(sizes.keys_at_once(), KEYS_AT_ONCE);
        sizes.learn(&[record(5_000_000)].into());
        assert_eq!(sizes.keys_at_once(), 1);
    }
}
