//! Handles: what stands in a key instead of the sid, so that whoever reads Redis learns no sid
//! (`hashIds`).

use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

/// What a handle begins with, so that it is told from a sid.
const START: &[u8] = b"sha256:";
/// Letters of a digest.
const LETTERS: usize = (SHA256_OUTPUT_LEN * 8).div_ceil(6);

/// The handle of a sid: the SHA-256 of it.
pub fn handle_of(sid: &[u8]) -> Vec<u8> {
    let mut handle = vec![0; START.len() + LETTERS];
    let (start, letters) = handle.split_at_mut(START.len());
    start.copy_from_slice(START);
    BASE64URL_NOPAD.encode_mut(digest(&SHA256, sid).as_ref(), letters);
    handle
}

/// Whether this is a handle, and so the id of no request's session.
pub fn is_handle(id: &[u8]) -> bool {
    let is_letter = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    id.strip_prefix(START)
        .is_some_and(|letters| letters.len() == LETTERS && letters.iter().all(is_letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_the_digest_and_known_as_a_handle() {
        let handle = handle_of(b"abc");
        assert_eq!(
            handle,
            b"sha256:ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"
        );
        assert!(is_handle(&handle) && is_handle(&handle_of(b"")));
    }

    #[test]
    fn a_sid_is_no_handle() {
        let handle = handle_of(b"abc");
        for id in [&handle[7..], &handle[..49], b"sha256:", b"", b"abc"] {
            assert!(!is_handle(id));
        }
        assert!(!is_handle(&[&handle[..49], b"!"].concat()));
    }
}
