//! `all`: reads the sessions at the keys of a step, with their true expiry.

use std::collections::VecDeque;
use std::time::Instant;

use futures_util::stream::{FuturesOrdered, StreamExt};
use redis::Value;

use crate::error::{Code, StoreError};
use crate::io::call::Destination;
use crate::io::event::Record;
use crate::io::scan::task::{Progress, ScanTask, bytes, on_keys};
use crate::session::command::{Command, Reply};
use crate::session::true_expiry::{TrueExpiry, has_cookie_expiry};

/// What was read at a key; its PTTL, if that was asked for.
struct Found<'k> {
    key: &'k Vec<u8>,
    text: Result<Vec<u8>, StoreError>,
    pttl: Option<Value>,
}

/// Reads sessions, a few commands at once, and pushes them to the results in order.
pub async fn read_sessions(
    scan: &ScanTask,
    progress: &mut Progress,
    keys: &[Vec<u8>],
) -> Result<(), StoreError> {
    let Progress { results, sizes, .. } = progress;
    let mut rest = keys;
    let mut reads = FuturesOrdered::new();
    loop {
        while !rest.is_empty() && reads.len() < sizes.reads_at_once() {
            let (now, later) = rest.split_at(rest.len().min(sizes.keys_at_once()));
            rest = later;
            reads.push_back(read(scan, now, sizes.have_expiry));
        }
        let Some(records) = reads.next().await else {
            return Ok(());
        };
        let records = records?;
        sizes.learn(&records);
        results.push(records).await;
    }
}

/// Reads the sessions at `keys`; keys that are gone are left out. PTTLs go with MGET if the sessions
/// are likely to need them; but not through a client, to which each is a call of its own.
async fn read(
    scan: &ScanTask,
    keys: &[Vec<u8>],
    have_expiry: bool,
) -> Result<VecDeque<Record>, StoreError> {
    if scan.shared.is_cluster() {
        return read_from_nodes(scan, keys).await;
    }
    let (name, true_expiry) = (scan.request.name, scan.request.true_expiry);
    let mut commands = vec![on_keys("MGET", keys)];
    let is_asked = true_expiry != TrueExpiry::Unasked;
    if have_expiry && is_asked && !scan.shared.is_through_client() {
        commands.extend(keys.iter().map(|key| on_keys("PTTL", &[key])));
    }
    let replies = scan
        .shared
        .execute(name, commands, Destination::Key)
        .await?;
    let mut replies = replies.into_iter();
    let Value::Array(texts) = scan.checked(replies.next())? else {
        return Err(scan.unexpected());
    };
    let mut found: Vec<Found> = keys
        .iter()
        .zip(texts)
        .map(|(key, text)| (key, text, replies.next()))
        .filter_map(|(key, text, pttl)| Some((key, bytes(text)?, pttl)))
        .filter(|(_, text, _)| !text.is_empty())
        .map(|(key, text, pttl)| Found {
            key,
            text: scan.open(key, text),
            pttl,
        })
        .collect();
    read_missing_pttls(scan, &mut found).await?;
    let now = scan.request.clock.at(Instant::now());
    let records = found.into_iter().map(|Found { key, text, pttl }| {
        let mut text = match text {
            Ok(text) => text,
            Err(error) => return scan.bad_record(key, error),
        };
        let expires = pttl.and_then(|pttl| true_expiry.apply(&mut text, &pttl, now).beside);
        scan.record(key, Some(text), expires)
    });
    Ok(records.collect())
}

/// Asks for the PTTLs that were not asked for and can change what is read.
async fn read_missing_pttls(scan: &ScanTask, found: &mut [Found<'_>]) -> Result<(), StoreError> {
    let mut missing: Vec<&mut Found> = found
        .iter_mut()
        .filter(|found| found.pttl.is_none())
        .filter(|found| match (scan.request.true_expiry, &found.text) {
            (TrueExpiry::Unasked, _) | (_, Err(_)) => false,
            (TrueExpiry::InText | TrueExpiry::InTextAndBeside, Ok(text)) => has_cookie_expiry(text),
            (TrueExpiry::Beside, Ok(_)) => true,
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let commands = missing
        .iter()
        .map(|found| on_keys("PTTL", &[found.key]))
        .collect();
    let name = scan.request.name;
    let pttls = scan
        .shared
        .execute(name, commands, Destination::Key)
        .await?;
    for (found, pttl) in missing.iter_mut().zip(pttls) {
        found.pttl = Some(pttl);
    }
    Ok(())
}

/// As [`read`], each key from the node of a cluster that has it.
async fn read_from_nodes(
    scan: &ScanTask,
    keys: &[Vec<u8>],
) -> Result<VecDeque<Record>, StoreError> {
    let commands = keys.iter().map(|key| Command::Get {
        key: key.clone(),
        expiry: scan.request.true_expiry,
        clock: scan.request.clock,
        keeps_base: false,
        seal: scan.request.seal.clone(),
    });
    let name = scan.request.name;
    let replies = scan.shared.execute_at_nodes(name, commands).await;
    let mut records = VecDeque::new();
    for (key, reply) in keys.iter().zip(replies) {
        match reply {
            Ok(Reply::Session { text, expires, .. }) => {
                records.push_back(scan.record(key, Some(text), expires));
            }
            // The key has another type; MGET leaves such a key out, too.
            Err(error) if error.code == Code::WrongType => {}
            Err(error) if error.code == Code::Sealed => {
                records.push_back(scan.bad_record(key, error));
            }
            other => drop(other?),
        }
    }
    Ok(records)
}
