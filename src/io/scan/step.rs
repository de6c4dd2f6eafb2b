//! One step: a SCAN and its reply.

use std::future::Future;
use std::pin::Pin;

use redis::{Cmd, Value};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::error::StoreError;
use crate::io::call::Destination;
use crate::io::scan::task::{ScanTask, bytes};
use crate::io::scan_request::ScanKind;

/// A SCAN that is on its way.
pub struct Step<'s> {
    scan: &'s ScanTask,
    /// The next cursor, if it comes before the keys are read.
    head: UnboundedReceiver<Value>,
    reply: Pin<Box<dyn Future<Output = Result<Vec<Value>, StoreError>> + Send + 's>>,
    /// The reply, if it has come.
    read: Option<ScanReply>,
}

/// The reply to a SCAN.
pub struct ScanReply {
    pub cursor: Vec<u8>,
    pub keys: Vec<Vec<u8>>,
}

impl Step<'_> {
    /// Waits for the next cursor only: it comes first, and the next SCAN needs nothing else.
    pub async fn cursor(&mut self) -> Result<Vec<u8>, StoreError> {
        let replies = tokio::select! {
            Some(cursor) = self.head.recv() => {
                return bytes(cursor).ok_or_else(|| self.scan.unexpected());
            }
            replies = &mut self.reply => replies?,
        };
        let reply = read(self.scan, replies)?;
        let cursor = reply.cursor.clone();
        self.read = Some(reply);
        Ok(cursor)
    }

    /// Waits for the whole reply.
    pub async fn reply(self) -> Result<ScanReply, StoreError> {
        match self.read {
            Some(reply) => Ok(reply),
            None => read(self.scan, self.reply.await?),
        }
    }
}

/// Sends one SCAN, which looks at `count` keys: it is on its way when this returns.
pub fn send_step<'s>(
    scan: &'s ScanTask,
    cursor: &[u8],
    server: Destination,
    count: u32,
) -> Step<'s> {
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
    let (to_head, head) = unbounded_channel();
    let reply = scan
        .shared
        .execute_scan(request.name, command, to_head, server);
    Step {
        scan,
        head,
        reply: Box::pin(reply),
        read: None,
    }
}

fn read(scan: &ScanTask, mut replies: Vec<Value>) -> Result<ScanReply, StoreError> {
    let Value::Array(reply) = scan.checked(replies.pop())? else {
        return Err(scan.unexpected());
    };
    let Ok([Value::BulkString(cursor), Value::Array(keys)]) = <[Value; 2]>::try_from(reply) else {
        return Err(scan.unexpected());
    };
    let keys = keys.into_iter().filter_map(bytes).collect();
    Ok(ScanReply { cursor, keys })
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
