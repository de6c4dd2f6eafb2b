//! SCAN, and what is built on it: `length`, `ids`, `all` and `clear`.
//!
//! A sweep works in small steps, so that neither Redis nor Node's event loop is ever held for
//! long; the next SCAN is under way while the keys of the last one are worked on. It sees string
//! keys only, and has SCAN's guarantee: a key that is there from start to end is seen, a key written
//! or removed meanwhile may be or not.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::stream::{FuturesOrdered, FuturesUnordered, StreamExt};
use redis::{Cmd, Value};
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use crate::error::{Code, StoreError};
use crate::io::engine::{CallId, News, Part, Record, Shared, To};
use crate::io::lane::LaneId;
use crate::session::command::{Clock, Command, Reply, TrueExpiry};
use crate::session::true_expiry::has_cookie_expiry;

/// SCAN's COUNT where the app has not set `scanCount`. Of a million keys, Redis 7.0 takes about a
/// millisecond for such a step; larger ones were no faster (`bench/NOTES.md`).
const SCAN_STEP: u32 = 500;
/// Keys a command names at once.
const KEYS_AT_ONCE: usize = 128;
/// Bytes a command should read at once, as far as can be told from what was read before.
const BYTES_AT_ONCE: usize = 256 * 1024;
/// Keys to begin with, while nothing is known of the size of sessions.
const KEYS_AT_FIRST: usize = 8;
/// Sids the JS thread is told at once.
const IDS_AT_ONCE: usize = 1000;
/// Passes over a cluster whose nodes keep being replaced.
const MOST_PASSES: u32 = 8;
/// Commands for the keys of one step of SCAN that are under way at once, so that neither the server
/// nor the I/O thread waits for the other.
const COMMANDS_AHEAD: usize = 3;
/// Parts the JS thread may have waiting before the sweep waits for it.
const PARTS_AHEAD: usize = 4;

/// What a sweep does with the keys it finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Purpose {
    Length,
    Ids,
    All,
    Clear,
}

/// A pass over all keys of a store's prefix.
pub struct Sweep {
    pub id: CallId,
    /// The store's method, for messages.
    pub name: &'static str,
    pub purpose: Purpose,
    pub prefix: Vec<u8>,
    /// What the app's client puts before every key by itself: in the replies to SCAN, which no
    /// client changes, but not in what it is given.
    pub client_prefix: Vec<u8>,
    /// `scanCount`, where the app has set it.
    pub count: Option<u32>,
    /// For [`Purpose::All`].
    pub expiry: TrueExpiry,
    pub clock: Clock,
}

impl Sweep {
    /// Runs the sweep and tells JS its parts and its end.
    pub async fn run(self, shared: Arc<Shared>) {
        let swept = AssertUnwindSafe(self.sweep(&shared)).catch_unwind().await;
        let swept = swept.unwrap_or_else(|_| Err(StoreError::internal(self.name)));
        shared.outbox.push([News::Swept(self.id, swept)]);
    }

    /// Returns the number of keys seen, where that is what the sweep is for.
    async fn sweep(&self, shared: &Shared) -> Result<Option<usize>, StoreError> {
        let mut progress = Progress {
            credits: Arc::new(Semaphore::new(PARTS_AHEAD)),
            seen: Seen::default(),
            sessions: Sessions::default(),
        };
        if shared.is_cluster {
            self.pass_over_cluster(shared, &mut progress).await?;
        } else {
            self.pass_over_server(shared, &mut progress).await?;
        }
        Ok((self.purpose == Purpose::Length).then_some(progress.seen.0.len()))
    }

    /// Goes over the one server. If the connection has been lost or left meanwhile, another server may
    /// have taken its place, to which a cursor of the first means nothing: it is gone over once more.
    async fn pass_over_server(
        &self,
        shared: &Shared,
        progress: &mut Progress,
    ) -> Result<(), StoreError> {
        for _ in 0..MOST_PASSES {
            let before = shared.lost.load(Ordering::Acquire);
            self.pass(shared, progress, To::Key).await?;
            if shared.lost.load(Ordering::Acquire) == before {
                break;
            }
        }
        Ok(())
    }

    /// Goes over every master. A key that moves from one that is still to be scanned to one that has
    /// been is not seen, so where slots have moved meanwhile all are scanned once more: who moved
    /// in the first pass stays in the second, and who moves in the second was seen in the first.
    async fn pass_over_cluster(
        &self,
        shared: &Shared,
        progress: &mut Progress,
    ) -> Result<(), StoreError> {
        let mut was = self.slots(shared).await?;
        let mut passes = 0;
        loop {
            passes += 1;
            let mut is_whole = true;
            for &(lane, _) in &was.masters {
                if let Err(error) = self.pass(shared, progress, To::Lane(lane)).await {
                    if shared.masters(self.name).await?.contains(&lane) || passes >= MOST_PASSES {
                        return Err(error);
                    }
                    is_whole = false; // Another has taken its place.
                }
            }
            let is = self.slots(shared).await?;
            let is_still = is_whole && is == was && !is.are_moving;
            if is_still || is_whole && passes > 1 || passes >= MOST_PASSES {
                return Ok(());
            }
            was = is;
        }
    }

    /// Which master has which slots by its own account.
    async fn slots(&self, shared: &Shared) -> Result<Slots, StoreError> {
        let mut slots = Slots::default();
        for lane in shared.masters(self.name).await? {
            let mut nodes = Cmd::new();
            nodes.arg("CLUSTER").arg("NODES");
            let own = match self.ask(shared, nodes, To::Lane(lane)).await {
                Ok(Value::BulkString(nodes)) => own_slots(&String::from_utf8_lossy(&nodes)),
                Ok(Value::VerbatimString { text, .. }) => own_slots(&text),
                // A user need not have the right to ask.
                _ => String::new(),
            };
            slots.are_moving |= own.contains('[');
            slots.masters.push((lane, own));
        }
        slots.masters.sort();
        Ok(slots)
    }

    /// Goes over the keys of one server.
    async fn pass(
        &self,
        shared: &Shared,
        progress: &mut Progress,
        server: To,
    ) -> Result<(), StoreError> {
        let mut cursor = Vec::from(b"0");
        let mut keys = Vec::new();
        loop {
            // The next step is asked for, and sent, before this one's keys are looked at.
            let (scanned, worked) = tokio::join!(self.scan(shared, &cursor, server), async {
                yield_now().await;
                self.work(shared, progress, std::mem::take(&mut keys)).await
            });
            worked?;
            (cursor, keys) = scanned?;
            if cursor == b"0" {
                return self.work(shared, progress, keys).await;
            }
        }
    }

    /// Sends one command; an error of the server is one.
    async fn ask(&self, shared: &Shared, command: Cmd, to: To) -> Result<Value, StoreError> {
        let reply = shared.ask(self.name, vec![command], to).await?.pop();
        self.checked(shared, reply)
    }

    fn checked(&self, shared: &Shared, reply: Option<Value>) -> Result<Value, StoreError> {
        match reply {
            Some(Value::ServerError(error)) => {
                Err(StoreError::server(self.name, &shared.server, &error))
            }
            Some(value) => Ok(value),
            None => Err(StoreError::unexpected(self.name, &shared.server)),
        }
    }

    /// One step of SCAN: the next cursor and the keys found.
    async fn scan(
        &self,
        shared: &Shared,
        cursor: &[u8],
        server: To,
    ) -> Result<(Vec<u8>, Vec<Vec<u8>>), StoreError> {
        let mut scan = Cmd::new();
        scan.arg("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(pattern(&[&*self.client_prefix, &*self.prefix].concat()))
            .arg("COUNT")
            .arg(self.count.unwrap_or(SCAN_STEP));
        // Looking at every key's type costs Redis half as much again as SCAN itself, and `all` need
        // not ask: it leaves out what MGET finds no string at. (TYPE: Redis 6.)
        if self.purpose != Purpose::All {
            scan.arg("TYPE").arg("string");
        }
        let reply = self.ask(shared, scan, server).await?;
        let unexpected = || StoreError::unexpected(self.name, &shared.server);
        let Value::Array(reply) = reply else {
            return Err(unexpected());
        };
        let Ok([Value::BulkString(cursor), Value::Array(keys)]) = <[Value; 2]>::try_from(reply)
        else {
            return Err(unexpected());
        };
        Ok((cursor, keys.into_iter().filter_map(bytes).collect()))
    }

    /// Does to the keys of one step of SCAN what the sweep is for.
    async fn work(
        &self,
        shared: &Shared,
        progress: &mut Progress,
        mut keys: Vec<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let Progress {
            credits,
            seen,
            sessions,
        } = progress;
        keys.retain_mut(|key| {
            let is_ours = key.starts_with(&self.client_prefix);
            if is_ours {
                key.drain(..self.client_prefix.len());
            }
            is_ours && key.starts_with(&self.prefix) && seen.is_new(key)
        });
        match self.purpose {
            Purpose::Length => {}
            Purpose::Clear => {
                let mut chunks = keys.chunks(KEYS_AT_ONCE);
                let mut deletions = FuturesUnordered::new();
                loop {
                    let room = COMMANDS_AHEAD - deletions.len();
                    for keys in chunks.by_ref().take(room) {
                        deletions.push(self.delete(shared, keys));
                    }
                    let Some(deleted) = deletions.next().await else {
                        break;
                    };
                    deleted?;
                }
            }
            Purpose::Ids => {
                for keys in keys.chunks(IDS_AT_ONCE) {
                    let records = keys.iter().map(|key| self.record(key, None, None));
                    self.tell(shared, credits, records.collect()).await;
                }
            }
            Purpose::All => {
                let mut rest = &keys[..];
                let mut reads = FuturesOrdered::new();
                loop {
                    while !rest.is_empty() && reads.len() < sessions.reads_at_once() {
                        let (now, later) = rest.split_at(rest.len().min(sessions.keys_at_once()));
                        rest = later;
                        reads.push_back(self.read(shared, now, sessions.have_expiry));
                    }
                    let Some(records) = reads.next().await else {
                        break;
                    };
                    let records = records?;
                    sessions.learn(&records);
                    self.tell(shared, credits, records).await;
                }
            }
        }
        Ok(())
    }

    async fn delete(&self, shared: &Shared, keys: &[Vec<u8>]) -> Result<(), StoreError> {
        if shared.is_cluster {
            let commands = keys.iter().map(|key| Command::Destroy { key: key.clone() });
            for deleted in shared.ask_nodes(self.name, commands).await {
                deleted?;
            }
            return Ok(());
        }
        match self.ask(shared, many("UNLINK", keys), To::Key).await {
            // connect-redis needs the right to DEL only.
            Err(error) if error.code == Code::NoPermission => {
                self.ask(shared, many("DEL", keys), To::Key).await?;
            }
            unlinked => drop(unlinked?),
        }
        Ok(())
    }

    /// Reads the sessions at `keys`, with their true expiry; keys that are gone are left out. PTTLs
    /// go with MGET where the sessions are likely to need them; not through a client, to which each
    /// is a question of its own.
    async fn read(
        &self,
        shared: &Shared,
        keys: &[Vec<u8>],
        have_expiry: bool,
    ) -> Result<VecDeque<Record>, StoreError> {
        if shared.is_cluster {
            return self.read_from_nodes(shared, keys).await;
        }
        let mut commands = vec![many("MGET", keys)];
        if have_expiry && !shared.by_client && self.expiry != TrueExpiry::Unasked {
            commands.extend(keys.iter().map(|key| many("PTTL", &[key])));
        }
        let mut replies = shared.ask(self.name, commands, To::Key).await?.into_iter();
        let Value::Array(texts) = self.checked(shared, replies.next())? else {
            return Err(StoreError::unexpected(self.name, &shared.server));
        };
        let mut found: Vec<Found> = keys
            .iter()
            .zip(texts)
            .map(|(key, text)| (key, text, replies.next()))
            .filter_map(|(key, text, pttl)| Some((key, bytes(text)?, pttl)))
            .map(|(key, text, pttl)| Found { key, text, pttl })
            .filter(|found| !found.text.is_empty())
            .collect();
        self.ask_left(shared, &mut found).await?;
        let now = self.clock.at(Instant::now());
        let records = found.into_iter().map(|mut found| {
            let Found { key, text, pttl } = &mut found;
            let expires = pttl
                .as_ref()
                .and_then(|pttl| self.expiry.take_in(text, pttl, now));
            self.record(key, Some(std::mem::take(text)), expires)
        });
        Ok(records.collect())
    }

    /// Asks for the PTTLs that have not been asked for, where they can change what is read.
    async fn ask_left(&self, shared: &Shared, found: &mut [Found<'_>]) -> Result<(), StoreError> {
        let mut left: Vec<&mut Found> = found
            .iter_mut()
            .filter(|found| found.pttl.is_none())
            .filter(|found| match self.expiry {
                TrueExpiry::Unasked => false,
                TrueExpiry::InText => has_cookie_expiry(&found.text),
                TrueExpiry::Beside => true,
            })
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        let pttls = left
            .iter()
            .map(|found| many("PTTL", &[found.key]))
            .collect();
        let pttls = shared.ask(self.name, pttls, To::Key).await?;
        for (found, pttl) in left.iter_mut().zip(pttls) {
            found.pttl = Some(pttl);
        }
        Ok(())
    }

    /// As [`Sweep::read`], each key from the node that has it.
    async fn read_from_nodes(
        &self,
        shared: &Shared,
        keys: &[Vec<u8>],
    ) -> Result<VecDeque<Record>, StoreError> {
        let commands = keys.iter().map(|key| Command::Get {
            key: key.clone(),
            expiry: self.expiry,
            clock: self.clock,
        });
        let replies = shared.ask_nodes(self.name, commands).await;
        let mut records = VecDeque::new();
        for (key, reply) in keys.iter().zip(replies) {
            match reply {
                Ok(Reply::Session { text, expires }) => {
                    records.push_back(self.record(key, Some(text), expires));
                }
                // Another type by now, as with MGET.
                Err(error) if error.code == Code::WrongType => {}
                other => drop(other?),
            }
        }
        Ok(records)
    }

    fn record(&self, key: &[u8], text: Option<Vec<u8>>, expires: Option<f64>) -> Record {
        Record {
            id: key[self.prefix.len()..].to_vec(),
            text,
            expires,
        }
    }

    /// Hands records to the JS thread, once it has room for them.
    async fn tell(&self, shared: &Shared, credits: &Arc<Semaphore>, records: VecDeque<Record>) {
        // The semaphore is never closed. Where nobody reads any more, the supervisor drops us.
        if let Ok(credit) = credits.clone().acquire_owned().await {
            let part = Part {
                records,
                _credit: credit,
            };
            shared.outbox.push([News::Part(self.id, part)]);
        }
    }
}

/// What a read has found at a key, and its PTTL where that has been asked for.
struct Found<'k> {
    key: &'k Vec<u8>,
    text: Vec<u8>,
    pttl: Option<Value>,
}

/// How far a sweep has come.
struct Progress {
    /// What the JS thread has room for.
    credits: Arc<Semaphore>,
    seen: Seen,
    sessions: Sessions,
}

/// Which master of a cluster has which slots.
#[derive(Default, PartialEq)]
struct Slots {
    masters: Vec<(LaneId, String)>,
    /// Whether a slot is on its way from one to another.
    are_moving: bool,
}

/// The slots of the node that was asked, out of its answer to CLUSTER NODES: what follows the eighth
/// word in the line about itself, such as `0-5460 [93->-node]`.
fn own_slots(nodes: &str) -> String {
    let own = nodes.lines().find(|line| {
        let flags = line.split(' ').nth(2).unwrap_or_default();
        flags.split(',').any(|flag| flag == "myself")
    });
    let slots: Vec<&str> = own.unwrap_or_default().split(' ').skip(8).collect();
    slots.join(" ")
}

/// What the sessions of a sweep are like.
struct Sessions {
    count: usize,
    bytes: usize,
    /// Whether those that were read last have a cookie that expires, and so need a PTTL.
    have_expiry: bool,
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions {
            count: 0,
            bytes: 0,
            have_expiry: true,
        }
    }
}

impl Sessions {
    fn learn(&mut self, records: &VecDeque<Record>) {
        self.count += records.len();
        self.bytes += records
            .iter()
            .map(|record| record.text.as_ref().map_or(0, Vec::len))
            .sum::<usize>();
        if let Some(text) = records.back().and_then(|last| last.text.as_ref()) {
            self.have_expiry = has_cookie_expiry(text);
        }
    }

    /// One, until it is known how large they are.
    fn reads_at_once(&self) -> usize {
        if self.count == 0 { 1 } else { COMMANDS_AHEAD }
    }

    /// As many keys as are likely to make [`BYTES_AT_ONCE`].
    fn keys_at_once(&self) -> usize {
        if self.count == 0 {
            return KEYS_AT_FIRST;
        }
        let session = (self.bytes / self.count).max(1);
        (BYTES_AT_ONCE / session).clamp(1, KEYS_AT_ONCE)
    }
}

/// The keys seen so far, as SCAN may return a key twice. A key is kept as a 128-bit fingerprint
/// under secret random seeds: a tenth of the memory, and two of a million keys fall together with
/// a probability of 2⁻⁸⁹.
#[derive(Default)]
struct Seen(
    HashSet<u128, BuildHasherDefault<Fingerprint>>,
    RandomState,
    RandomState,
);

/// The hash of a fingerprint, which is one already.
#[derive(Default)]
struct Fingerprint(u64);

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64; // the lower half
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Seen {
    fn is_new(&mut self, key: &[u8]) -> bool {
        let high = u128::from(self.1.hash_one(key));
        let low = u128::from(self.2.hash_one(key));
        self.0.insert(high << 64 | low)
    }
}

/// A command on many keys.
fn many(name: &str, keys: &[impl AsRef<[u8]>]) -> Cmd {
    let size = keys.iter().map(|key| key.as_ref().len()).sum::<usize>();
    let mut command = Cmd::with_capacity(1 + keys.len(), name.len() + size);
    command.arg(name);
    for key in keys {
        command.arg(key.as_ref());
    }
    command
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
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

    #[test]
    fn a_nodes_own_slots_are_read() {
        let nodes = "07c3 127.0.0.1:1@2,, slave 6ec2 0 1 4 connected\n\
                     6ec2 127.0.0.1:3@4,, myself,master - 0 0 1 connected 0-5 9 [93->-29]\n";
        assert_eq!(own_slots(nodes), "0-5 9 [93->-29]");
        assert_eq!(own_slots(""), "");
    }

    #[test]
    fn large_sessions_are_read_few_at_a_time() {
        let mut size = Sessions::default();
        assert_eq!(size.keys_at_once(), KEYS_AT_FIRST);
        let record = |bytes| Record {
            id: vec![],
            text: Some(vec![0; bytes]),
            expires: None,
        };
        size.learn(&[record(500), record(700)].into());
        assert_eq!(size.keys_at_once(), KEYS_AT_ONCE);
        size.learn(&[record(5_000_000)].into());
        assert_eq!(size.keys_at_once(), 1);
    }

    #[test]
    fn a_key_seen_twice_is_counted_once() {
        let mut seen = Seen::default();
        assert!(seen.is_new(b"a"));
        assert!(seen.is_new(b"b"));
        assert!(!seen.is_new(b"a"));
    }
}
