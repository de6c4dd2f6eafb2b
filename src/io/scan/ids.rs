//! `ids`: collects the ids of several steps and hands them over.

use std::mem::take;

use crate::io::scan::task::{Progress, ScanTask};

/// Ids of one chunk. Each chunk wakes the JS thread, which needs half a millisecond for it.
const IDS_AT_ONCE: usize = 2000;

/// Ids that are not handed over yet.
#[derive(Default)]
pub struct PendingIds {
    /// A JSON array without its end; empty if there are none.
    json: Vec<u8>,
    count: usize,
}

impl PendingIds {
    fn add(&mut self, id: &[u8]) {
        self.json.push(if self.count == 0 { b'[' } else { b',' });
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut self.json, &String::from_utf8_lossy(id));
        self.count += 1;
    }

    /// Returns the array, and empties this. `None` if there are none.
    fn take(&mut self) -> Option<Vec<u8>> {
        let PendingIds { mut json, count } = take(self);
        json.push(b']');
        (count > 0).then_some(json)
    }
}

/// Adds the ids of keys to the results. [`finish_ids`] must follow.
pub async fn push_ids(scan: &ScanTask, progress: &mut Progress, keys: &[Vec<u8>]) {
    for key in keys {
        progress.ids.add(&key[scan.request.prefix.len()..]);
        if progress.ids.count >= IDS_AT_ONCE {
            finish_ids(progress).await;
        }
    }
}

/// Pushes the ids that are left to the results.
pub async fn finish_ids(progress: &mut Progress) {
    if let Some(json) = progress.ids.take() {
        progress.results.push_ids(json).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_a_json_array_whatever_they_hold() {
        let mut ids = PendingIds::default();
        assert_eq!(ids.take(), None);
        for id in ["a", "\"b\"", "\u{1}é"] {
            ids.add(id.as_bytes());
        }
        ids.add(b"\xff");
        let ids: Vec<String> = serde_json::from_slice(&ids.take().unwrap()).unwrap();
        assert_eq!(ids, ["a", "\"b\"", "\u{1}é", "\u{fffd}"]);
    }
}
