//! Why a server did not carry out a command, and what follows.

use std::collections::HashSet;

use tokio::time::Instant;

use crate::error::ConnectError;
use crate::io::call::Call;
use crate::redis::cluster::slots::Redirect;

/// What a replica answers to a write.
pub const READONLY: &str = "READONLY";

/// What to do with a command that a server did not carry out.
pub enum Refusal {
    /// Leave the connection, because this is not the server to talk to now, and send the call again on
    /// the next one.
    Leave,
    /// Leave the connection, and answer the call with the error.
    LeaveAndAnswer,
    /// Send the call to another node of the cluster.
    Redirected(Redirect),
    /// No node of the cluster serves the key now: wait for one.
    Unserved(ConnectError),
}

/// What is known of a server's role.
#[derive(Default)]
pub struct Role {
    /// Whether this server, or one before it at this address, was a master: it said so, or has carried
    /// out a write.
    pub was_master: bool,
    /// Since when writes are refused, because there are only replicas.
    replica_since: Option<Instant>,
}

impl Role {
    /// The server is a master.
    pub fn confirm_master(&mut self) {
        self.was_master = true;
        self.replica_since = None;
    }

    /// Whether the server is a master, as far as is known.
    pub fn is_known_master(&self) -> bool {
        self.was_master && self.replica_since.is_none()
    }

    /// The server refused a write. Returns since when that happens.
    pub fn confirm_replica(&mut self, now: Instant) -> Instant {
        *self.replica_since.get_or_insert(now)
    }
}

/// The calls of a batch that are sent again. A later call on the same key must not overtake them, so
/// it is sent again, too.
pub struct SentAgain {
    /// Whether that holds for all calls, because the connection was left before this batch.
    all: bool,
    keys: HashSet<Vec<u8>>,
}

impl SentAgain {
    /// None yet; with `all`, every call of the batch.
    pub fn new(all: bool) -> SentAgain {
        SentAgain {
            all,
            keys: HashSet::new(),
        }
    }

    pub fn insert(&mut self, call: &Call) {
        self.keys.insert(call.command.key().to_vec());
    }

    /// Whether this call must follow. A call without a key of its own may be about any of them.
    pub fn includes(&self, call: &Call) -> bool {
        let key = call.command.key();
        self.all || self.keys.contains(key) || (key.is_empty() && !self.keys.is_empty())
    }
}
