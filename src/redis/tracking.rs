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
    /// When a renewal was last due.
    renewed: Instant,
    /// Whether copies may come from this connection: else its age does not matter.
    is_read: bool,
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
            is_read: false,
        };
        self.state().tracked.insert(connection, lease);
    }

    /// A session is being read over this connection.
    pub fn read(&self, connection: u64) {
        if let Some(lease) = self.state().tracked.get_mut(&connection) {
            lease.is_read = true;
        }
    }

    /// The server does not.
    pub fn refused(&self, connection: u64, refusal: Untracked) {
        self.state().refusals.insert(connection, refusal);
    }

    /// The server has answered: whatever it refused, it refuses no more.
    pub fn accepted(&self, connection: u64) {
        self.state().refusals.remove(&connection);
    }

    /// What was written since the last time, and how fresh all else is.
    pub fn look(&self) -> (Written, Freshness) {
        let now = Instant::now();
        let mut state = self.state();
        state.used = Some(now);
        let written = take(&mut state.written);
        let freshness = match state.refusals.values().next() {
            Some(refusal) => Freshness::Refused(refusal.clone()),
            None if state.tracked.is_empty() => Freshness::Unknown,
            None => {
                let read = state.tracked.values().filter(|lease| lease.is_read);
                let oldest = read.map(|lease| lease.until).min();
                Freshness::Age(now - oldest.unwrap_or(now))
            }
        };
        (written, freshness)
    }

    /// Drops every copy: keys have gone to a server that does not know that they were read.
    pub fn drop_all(&self) {
        self.state().drop_all();
    }

    /// When the lease of a connection must be renewed. `None` if nobody uses the near cache, or nothing
    /// was read over the connection since all copies were dropped.
    pub fn renewal(&self, connection: u64) -> Option<Instant> {
        let state = self.state();
        let is_used = state.used.is_some_and(|used| used.elapsed() < IN_USE);
        let lease = state.tracked.get(&connection)?;
        (is_used && lease.is_read).then(|| lease.until.max(lease.renewed) + self.max_stale / 2)
    }

    /// A renewal of this lease was due, and is sent unless the last one is not answered yet.
    pub fn renewed(&self, connection: u64, now: Instant) {
        if let Some(lease) = self.state().tracked.get_mut(&connection) {
            lease.renewed = now;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn drop_all(&mut self) {
        self.written = Written::All;
        for lease in self.tracked.values_mut() {
            lease.is_read = false;
        }
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
            return state.drop_all();
        };
        let Written::Keys(keys) = &mut state.written else {
            return;
        };
        keys.extend(named.into_iter().filter_map(|key| match key {
            Value::BulkString(key) => Some(key),
            _ => None,
        }));
        if keys.len() > MAX_WRITTEN {
            state.drop_all();
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
        let was_tracked = state.tracked.remove(&self.number).is_some();
        let was_refused = state.refusals.remove(&self.number).is_some();
        // Also what was read while nothing was tracked, or it would be served by another's lease.
        if was_tracked || was_refused {
            state.drop_all();
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
        tracking.read(connection.number);
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
        tracking.look();
        drop(second);
        assert_eq!(
            tracking.look(),
            (Written::All, Freshness::Age(Duration::ZERO)),
            "what was read there is not served later"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_nothing_was_read_over_makes_no_copy_old() {
        let tracking = Tracking::new(STALE);
        let (first, second) = (tracked(&tracking), tracked(&tracking));
        tracking.drop_all();
        tokio::time::advance(STALE).await;
        assert_eq!(tracking.look().1, Freshness::Age(Duration::ZERO));
        assert_eq!(tracking.renewal(second.number), None);
        tracking.read(first.number);
        assert_eq!(tracking.look().1, Freshness::Age(STALE));
        first.answered(Instant::now());
        assert_eq!(tracking.look().1, Freshness::Age(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_renewed_while_copies_are_used() {
        let tracking = Tracking::new(STALE);
        let connection = tracked(&tracking);
        let number = connection.number;
        assert_eq!(tracking.renewal(number), None, "nobody has looked");
        tracking.look();
        assert_eq!(tracking.renewal(number), Some(Instant::now() + STALE / 2));
        tokio::time::advance(STALE).await;
        let sent = Instant::now();
        tracking.renewed(number, sent);
        assert_eq!(tracking.renewal(number), Some(sent + STALE / 2));
        tokio::time::advance(STALE).await;
        connection.answered(Instant::now());
        assert_eq!(tracking.renewal(number), Some(Instant::now() + STALE / 2));
        tokio::time::advance(IN_USE).await;
        assert_eq!(tracking.renewal(number), None);
    }
}
