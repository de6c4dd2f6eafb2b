//! One step: a SCAN and its reply.

use redis::{Cmd, Value};

use crate::error::StoreError;
use crate::io::call::Destination;
use crate::io::scan::task::{ScanTask, bytes};
use crate::io::scan_request::ScanKind;

/// Sends one SCAN, which looks at `count` keys: it is on its way when this returns. Resolves to the next
/// cursor and the keys that were found.
pub fn send_step<'s>(
    scan: &'s ScanTask,
    cursor: &[u8],
    server: Destination,
    count: u32,
) -> impl Future<Output = Result<(Vec<u8>, Vec<Vec<u8>>), StoreError>> + use<'s> {
    let request = &scan.request;
    let mut command = Cmd::new();
    command
        .arg("SCAN")
        .arg(cursor)
        .arg("MATCH")
        .arg(pattern(
            &[&*request.client_prefix, &*request.prefix].concat(),
        ))
        .arg("COUNT")
        .arg(count);
    // To look at every key's type costs Redis half as much again as SCAN itself. `all` need not ask:
    // MGET finds no string at the other keys. (TYPE: Redis 6.)
    match request.kind {
        ScanKind::All | ScanKind::Page => {}
        ScanKind::ClearIndex => drop(command.arg("TYPE").arg("zset")),
        _ => drop(command.arg("TYPE").arg("string")),
    }
    let reply = scan.execute(command, server);
    async move {
        let Value::Array(reply) = reply.await? else {
            return Err(scan.unexpected());
        };
        let Ok([Value::BulkString(cursor), Value::Array(keys)]) = <[Value; 2]>::try_from(reply)
        else {
            return Err(scan.unexpected());
        };
        Ok((cursor, keys.into_iter().filter_map(bytes).collect()))
    }
}

/// SCAN's MATCH for all keys that begin with `prefix`, taken literally.
fn pattern(prefix: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 8);
    for &byte in prefix {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\' | b'^' | b'-') {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    pattern.push(b'*');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_matched_literally() {
        assert_eq!(pattern(b"sess:"), b"sess:*");
        assert_eq!(pattern(b"a*b?[c]\\"), b"a\\*b\\?\\[c\\]\\\\*");
        assert_eq!(pattern(b""), b"*");
    }
}
