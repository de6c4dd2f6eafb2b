//! `rewrite`: brings records to the form in which the store writes them, by compare-and-set.
//!
//! A record that is saved meanwhile is in that form by the save. One that belongs to another key
//! (`hashIds`) is moved there.

use std::collections::VecDeque;

use futures_util::future::join_all;
use redis::{Cmd, Value};

use crate::error::{Code, StoreError};
use crate::io::call::Destination;
use crate::io::event::Record;
use crate::io::scan::task::{Progress, ScanTask, bytes, on_keys};
use crate::session::command::{Command, Reply};
use crate::session::hashed_id::{handle_of, is_handle};
use crate::session::seal::{Seal, shape};

/// Writes `ARGV[2]` if `ARGV[1]` is stored; the expiry stays. (KEEPTTL: Redis 6.)
const REPLACE: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end \
    redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL') return 1";
/// The same, at `KEYS[2]`; what stands there already is newer, and stays.
const MOVE: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end \
    local left = redis.call('PTTL', KEYS[1]) \
    if left == -1 then redis.call('SET', KEYS[2], ARGV[2], 'NX') \
    else redis.call('SET', KEYS[2], ARGV[2], 'PX', math.max(left, 1), 'NX') end \
    redis.call('DEL', KEYS[1]) return 1";
// MOVE in three steps, for keys that lie on two nodes. A session that is destroyed meanwhile loses its
// old key first (`lib/hashed-ids.js`), so the second step sees that and undoes the first. In between the
// session can be read for a moment.
const PUT: &str = "if ARGV[2] == '-1' then return redis.call('SET', KEYS[1], ARGV[1], 'NX') and 1 or 0 end \
    return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX') and 1 or 0";
/// Returns the expiry of what was deleted: -1 for none; -3 if something else is stored.
const TAKE: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -3 end \
    local left = redis.call('PTTL', KEYS[1]) redis.call('DEL', KEYS[1]) return left";
const EXPIRE: &str = "if ARGV[1] == '-1' then return redis.call('PERSIST', KEYS[1]) end \
    return redis.call('PEXPIRE', KEYS[1], ARGV[1])";
const LEFT: &str = "return redis.call('PTTL', KEYS[1])";

/// A record to be written.
struct Outdated<'k> {
    from: &'k [u8],
    /// Another key, if it moves.
    to: Vec<u8>,
    stored: Vec<u8>,
    new: Vec<u8>,
}

/// Rewrites the records at `keys` that need it. Those that do not open go to the results.
pub async fn rewrite_sessions(
    scan: &ScanTask,
    progress: &mut Progress,
    mut keys: &[Vec<u8>],
) -> Result<(), StoreError> {
    while !keys.is_empty() {
        let (now, later) = keys.split_at(keys.len().min(progress.sizes.keys_at_once()));
        keys = later;
        let stored = read_stored(scan, now).await?;
        let sizes = stored.iter().flatten().map(Vec::len);
        progress.sizes.learn_bytes(now.len(), sizes.sum());
        let (outdated, bad) = sort_out(scan, now, stored);
        if !bad.is_empty() {
            progress.results.push(bad).await;
        }
        progress.rewritten += write(scan, &outdated).await?;
    }
    Ok(())
}

/// What is stored at the keys; `None` for what is gone, or no string.
async fn read_stored(
    scan: &ScanTask,
    keys: &[Vec<u8>],
) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
    if !scan.shared.is_cluster() {
        let Value::Array(stored) = scan
            .execute(on_keys("MGET", keys), Destination::Key)
            .await?
        else {
            return Err(scan.unexpected());
        };
        return Ok(stored.into_iter().map(bytes).collect());
    }
    let gets = keys.iter().map(|key| on_key(key, on_keys("GET", &[key])));
    let replies = scan.shared.execute_at_nodes(scan.request.name, gets).await;
    let stored = replies.into_iter().map(|reply| match reply {
        Ok(Reply::Raw(mut values)) => Ok(values.pop().and_then(bytes)),
        // As MGET has it.
        Err(error) if error.code == Code::WrongType => Ok(None),
        Err(error) => Err(error),
        Ok(_) => Err(scan.unexpected()),
    });
    stored.collect()
}

/// Finds the records that are not in the form of today, and those that do not open.
fn sort_out<'k>(
    scan: &ScanTask,
    keys: &'k [Vec<u8>],
    stored: Vec<Option<Vec<u8>>>,
) -> (Vec<Outdated<'k>>, VecDeque<Record>) {
    let plain = Seal::default();
    let seal = scan.request.seal.as_ref().unwrap_or(&plain);
    let (mut outdated, mut bad) = (Vec::new(), VecDeque::new());
    for (key, stored) in keys.iter().zip(stored) {
        let Some(stored) = stored.filter(|stored| !stored.is_empty()) else {
            continue;
        };
        let text = match scan.open(key, stored.clone()) {
            Ok(text) => text,
            Err(error) => {
                bad.push_back(scan.bad_record(key, error));
                continue;
            }
        };
        let to = home_of(scan, key);
        let new = seal.seal(&scan.whole(&to), &text).into_owned();
        if to != *key || shape(&new) != shape(&stored) {
            outdated.push(Outdated {
                from: key,
                to,
                stored,
                new,
            });
        }
    }
    (outdated, bad)
}

/// The key that a record belongs to.
fn home_of(scan: &ScanTask, key: &[u8]) -> Vec<u8> {
    let request = &scan.request;
    if let Some(only) = &request.only {
        return only.to.clone();
    }
    let (prefix, id) = key.split_at(request.prefix.len());
    if request.has_handles && !is_handle(id) {
        [prefix, &handle_of(id)].concat()
    } else {
        key.to_vec()
    }
}

/// Writes records that are still as they were read. Returns how many.
async fn write(scan: &ScanTask, outdated: &[Outdated<'_>]) -> Result<usize, StoreError> {
    let written = join_all(outdated.iter().map(async |record| {
        let Outdated {
            from,
            to,
            stored,
            new,
        } = record;
        let is_written = if from == to {
            eval(scan, REPLACE, &[from], &[stored, new]).await? == 1
        } else if scan.shared.is_cluster() {
            move_in_steps(scan, record).await?
        } else {
            match eval(scan, MOVE, &[from, to], &[stored, new]).await {
                // The app's client is one of a cluster.
                Err(error) if error.code == Code::CrossSlot => move_in_steps(scan, record).await?,
                moved => moved? == 1,
            }
        };
        Ok(usize::from(is_written))
    }));
    written.await.into_iter().sum()
}

async fn move_in_steps(scan: &ScanTask, record: &Outdated<'_>) -> Result<bool, StoreError> {
    let Outdated {
        from,
        to,
        stored,
        new,
    } = record;
    let left = eval(scan, LEFT, &[from], &[]).await?;
    if left < -1 {
        return Ok(false); // It is gone.
    }
    let expiry = if left == -1 { -1 } else { left.max(1) };
    let is_put = eval(scan, PUT, &[to], &[new, expiry.to_string().as_bytes()]).await? == 1;
    let taken = eval(scan, TAKE, &[from], &[stored]).await?;
    match (is_put, taken) {
        // It was destroyed, or saved, meanwhile: the next save moves it.
        (true, ..-1) => {
            scan.shared
                .execute_at_key(scan.request.name, to, on_keys("DEL", &[to]))
                .await?;
        }
        // A touch may have come in between.
        (true, taken) if taken != left => {
            eval(scan, EXPIRE, &[to], &[taken.to_string().as_bytes()]).await?;
        }
        _ => {}
    }
    Ok(is_put && taken >= -1)
}

/// Runs a script that returns a number, at the node that has its first key.
async fn eval(
    scan: &ScanTask,
    script: &str,
    keys: &[&[u8]],
    arguments: &[&[u8]],
) -> Result<i64, StoreError> {
    let mut command = Cmd::new();
    command.arg("EVAL").arg(script).arg(keys.len());
    for argument in keys.iter().chain(arguments) {
        command.arg(*argument);
    }
    let reply = scan
        .shared
        .execute_at_key(scan.request.name, keys[0], command)
        .await?;
    match scan.checked(Some(reply))? {
        Value::Int(number) => Ok(number),
        _ => Err(scan.unexpected()),
    }
}

fn on_key(key: &[u8], command: Cmd) -> Command {
    Command::OnKey {
        key: key.to_vec(),
        command,
    }
}
