//! A save that others wait for, and how they learn of its end.

use std::mem::take;
use std::sync::{Arc, Mutex};

use crate::io::lock::lock;

/// A session's key by its hash. Two sessions of one hash wait for each other, which does no harm.
pub type KeyHash = u64;

/// The saves that have their answer.
#[derive(Clone, Default)]
pub struct EndedTurns(Arc<Mutex<Vec<KeyHash>>>);

/// Says, when it is dropped, that a save has its answer.
pub struct Turn {
    key: KeyHash,
    ended: EndedTurns,
}

impl EndedTurns {
    /// A turn of the save of a key.
    pub fn turn(&self, key: KeyHash) -> Turn {
        let ended = self.clone();
        Turn { key, ended }
    }

    /// Takes the saves that have ended.
    pub fn take(&self) -> Vec<KeyHash> {
        take(&mut *lock(&self.0))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.ended.0).push(self.key);
    }
}
