//! A save that others wait for, and how they learn of its end.

use std::mem::take;
use std::sync::{Arc, Mutex};

use crate::io::lock::lock;

/// The keys of saves that have their answer.
#[derive(Clone, Default)]
pub struct EndedTurns(Arc<Mutex<Vec<Vec<u8>>>>);

/// Says, when it is dropped, that a save has its answer.
pub struct Turn {
    key: Vec<u8>,
    ended: EndedTurns,
}

impl EndedTurns {
    /// A turn of the save of a key.
    pub fn turn(&self, key: Vec<u8>) -> Turn {
        let ended = self.clone();
        Turn { key, ended }
    }

    /// Takes the keys.
    pub fn take(&self) -> Vec<Vec<u8>> {
        take(&mut *lock(&self.0))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.ended.0).push(take(&mut self.key));
    }
}
