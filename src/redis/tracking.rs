//! CLIENT TRACKING, for a near cache: the server says which keys were written that a connection has read.
//!
//! Replies and these messages come in the order in which the server did things. So if a command that was
//! sent at some moment is answered, each write from before that moment has been heard of. That moment is
//! the connection's lease: a copy is as new as the lease, however long the network holds messages back.

use std::collections::HashMap;
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use crate::error::ServerName;

/// With more keys than these, all copies are dropped instead: nobody has looked for long.
const MAX_WRITTEN: usize = 10_000;
/// How long leases are renewed after the near cache was last used.
const IN_USE: Duration = Duration::from_secs(5);

/// What the servers of a store have said about keys that it has read.
pub struct Tracking {
    /// How old a copy may be.
    pub max_stale: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The connections that are tracked, by their number.
    tracked: HashMap<u64, Lease>,
    /// Open connections whose server tracks nothing: what is read there, nobody would say is written.
    refusals: HashMap<u64, Untracked>,
    next: u64,
    written: Written,
    used: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Lease {
    /// When the last command that was answered was sent.
    until: Instant,
    /// When a renewal was last sent.
    renewed: Instant,
}

/// Why a server tracks nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Untracked {
    pub server: ServerName,
    pub reason: Arc<str>,
}

/// Keys whose copies must go.
#[derive(Debug, PartialEq)]
pub enum Written {
    Keys(Vec<Vec<u8>>),
    /// Any key.
    All,
}

impl Default for Written {
    fn default() -> Written {
        Written::Keys(Vec::new())
    }
}

/// Whether copies may be used, once those in [`Written`] are dropped.
#[derive(Debug, PartialEq)]
pub enum Freshness {
    /// They are as old as this.
    Age(Duration),
    /// There is no connection.
    Unknown,
    Refused(Untracked),
}

impl Tracking {
    pub fn new(max_stale: Duration) -> Arc<Tracking> {
        Arc::new(Tracking {
            max_stale,
            state: Mutex::default(),
        })
    }

    /// The server tracks what this connection reads from `since` on.
    pub fn begin(&self, connection: u64, since: Instant) {
        let lease = Lease {
            until: since,
            renewed: since,
        };
        self.state().tracked.insert(connection, lease);
    }

    /// The server does not.
    pub fn refused(&self, connection: u64, refusal: Untracked) {
        self.state().refusals.insert(connection, refusal);
    }

    /// What was written since the last time, and how fresh all else is.
    pub fn look(&self) -> (Written, Freshness) {
        let now = Instant::now();
        let mut state = self.state();
        state.used = Some(now);
        let written = take(&mut state.written);
        let freshness = match state.refusals.values().next() {
            Some(refusal) => Freshness::Refused(refusal.clone()),
            None => {
                let oldest = state.tracked.values().map(|lease| lease.until).min();
                oldest.map_or(Freshness::Unknown, |until| Freshness::Age(now - until))
            }
        };
        (written, freshness)
    }

    /// Drops every copy: keys have gone to a server that does not know that they were read.
    pub fn drop_all(&self) {
        self.state().written = Written::All;
    }

    /// When the lease of a connection must be renewed. `None` if nobody uses the near cache.
    pub fn renewal(&self, connection: u64) -> Option<Instant> {
        let state = self.state();
        let is_used = state.used.is_some_and(|used| used.elapsed() < IN_USE);
        let lease = state.tracked.get(&connection).filter(|_| is_used)?;
        Some(lease.until.max(lease.renewed) + self.max_stale / 2)
    }

    /// A renewal of this lease is due. Returns whether to send one: not before the last one is answered.
    pub fn renew(&self, connection: u64, now: Instant) -> bool {
        let mut state = self.state();
        let Some(lease) = state.tracked.get_mut(&connection) else {
            return false;
        };
        let is_answered = lease.until >= lease.renewed;
        lease.renewed = now;
        is_answered
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one connection hears of its server. Dropping it drops every copy.
pub struct TrackedConnection {
    tracking: Arc<Tracking>,
    pub number: u64,
}

impl TrackedConnection {
    pub fn new(tracking: Arc<Tracking>) -> TrackedConnection {
        let mut state = tracking.state();
        let number = state.next;
        state.next += 1;
        drop(state);
        TrackedConnection { tracking, number }
    }

    /// A push message has come. One that says `invalidate` names keys; or none, for a flush.
    pub fn pushed(&self, push: Vec<Value>) {
        let mut push = push.into_iter();
        let is_ours = match push.next() {
            Some(Value::BulkString(kind)) => kind == b"invalidate",
            Some(Value::SimpleString(kind)) => kind == "invalidate",
            _ => false,
        };
        if !is_ours {
            return;
        }
        let mut state = self.tracking.state();
        let Some(Value::Array(named)) = push.next() else {
            state.written = Written::All;
            return;
        };
        let Written::Keys(keys) = &mut state.written else {
            return;
        };
        keys.extend(named.into_iter().filter_map(|key| match key {
            Value::BulkString(key) => Some(key),
            _ => None,
        }));
        if keys.len() > MAX_WRITTEN {
            state.written = Written::All;
        }
    }

    /// Commands that were sent at this moment are answered, all of them without an error.
    pub fn answered(&self, sent: Instant) {
        if let Some(lease) = self.tracking.state().tracked.get_mut(&self.number) {
            lease.until = lease.until.max(sent);
        }
    }
}

impl Drop for TrackedConnection {
    fn drop(&mut self) {
        let mut state = self.tracking.state();
        state.refusals.remove(&self.number);
        if state.tracked.remove(&self.number).is_some() {
            state.written = Written::All;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE: Duration = Duration::from_millis(100);

    fn invalidate(keys: Value) -> Vec<Value> {
        vec![Value::BulkString(b"invalidate".to_vec()), keys]
    }

    fn keys(names: &[&str]) -> Vec<Vec<u8>> {
        names.iter().map(|name| name.as_bytes().to_vec()).collect()
    }

    fn named(names: &[&str]) -> Value {
        Value::Array(keys(names).into_iter().map(Value::BulkString).collect())
    }

    fn tracked(tracking: &Arc<Tracking>) -> TrackedConnection {
        let connection = TrackedConnection::new(tracking.clone());
        tracking.begin(connection.number, Instant::now());
        connection
    }

    #[tokio::test(start_paused = true)]
    async fn written_keys_are_told_once() {
        let tracking = Tracking::new(STALE);
        let connection = tracked(&tracking);
        connection.pushed(invalidate(named(&["a", "b"])));
        connection.pushed(vec![Value::BulkString(b"message".to_vec()), named(&["x"])]);
        let (written, _) = tracking.look();
        assert_eq!(written, Written::Keys(keys(&["a", "b"])));
        assert_eq!(tracking.look().0, Written::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_drops_all_and_so_does_a_lost_connection() {
        let tracking = Tracking::new(STALE);
        let connection = tracked(&tracking);
        connection.pushed(invalidate(Value::Nil));
        connection.pushed(invalidate(named(&["a"])));
        assert_eq!(tracking.look().0, Written::All);
        drop(connection);
        assert_eq!(tracking.look(), (Written::All, Freshness::Unknown));
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_keys_are_all_keys() {
        let tracking = Tracking::new(STALE);
        let connection = tracked(&tracking);
        for _ in 0..=MAX_WRITTEN {
            connection.pushed(invalidate(named(&["a"])));
        }
        assert_eq!(tracking.look().0, Written::All);
    }

    #[tokio::test(start_paused = true)]
    async fn copies_are_as_old_as_the_oldest_lease() {
        let tracking = Tracking::new(STALE);
        let (first, second) = (tracked(&tracking), tracked(&tracking));
        let sent = Instant::now();
        tokio::time::advance(STALE).await;
        first.answered(Instant::now());
        assert_eq!(tracking.look().1, Freshness::Age(STALE));
        second.answered(sent + STALE / 2);
        second.answered(sent);
        assert_eq!(tracking.look().1, Freshness::Age(STALE / 2));
        drop(second);
        assert_eq!(tracking.look().1, Freshness::Age(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn one_server_that_tracks_nothing_ends_it_for_all() {
        let tracking = Tracking::new(STALE);
        let _first = tracked(&tracking);
        let second = TrackedConnection::new(tracking.clone());
        let refusal = Untracked {
            server: "here".into(),
            reason: "NOPERM".into(),
        };
        tracking.refused(second.number, refusal.clone());
        assert_eq!(tracking.look().1, Freshness::Refused(refusal));
        drop(second);
        assert_eq!(tracking.look().1, Freshness::Age(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_renewed_while_copies_are_used_and_not_twice_at_once() {
        let tracking = Tracking::new(STALE);
        let connection = tracked(&tracking);
        let number = connection.number;
        assert_eq!(tracking.renewal(number), None, "nobody has looked");
        tracking.look();
        assert_eq!(tracking.renewal(number), Some(Instant::now() + STALE / 2));
        tokio::time::advance(STALE).await;
        let sent = Instant::now();
        assert!(tracking.renew(number, sent));
        assert_eq!(tracking.renewal(number), Some(sent + STALE / 2));
        tokio::time::advance(STALE).await;
        assert!(
            !tracking.renew(number, Instant::now()),
            "the last is not answered"
        );
        connection.answered(Instant::now());
        assert!(tracking.renew(number, Instant::now()));
        tokio::time::advance(IN_USE).await;
        assert_eq!(tracking.renewal(number), None);
    }
}
