//! One save that compares at a time for each session: whatever else is asked of the session waits until
//! it is answered. So later reads see it, and the store does not compete with itself.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::mem::take;

use crate::io::call::Call;
use crate::io::turn::{EndedTurns, KeyHash};

/// The sessions that are being saved.
#[derive(Default)]
pub struct Turns {
    hasher: RandomState,
    /// The calls that wait for each. Their deadlines are later than that of the call they wait for, so
    /// they are watched when they come on.
    waiting: HashMap<KeyHash, VecDeque<Call>, BuildHasherDefault<Hashed>>,
    ended: EndedTurns,
}

impl Turns {
    /// Returns a call that can go on; keeps one whose session is being saved.
    pub fn admit(&mut self, mut call: Call) -> Option<Call> {
        let takes_turn = call.command.takes_turn();
        if self.waiting.is_empty() && !takes_turn {
            return Some(call);
        }
        let key = self.hasher.hash_one(call.command.key());
        if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.push_back(call);
            return None;
        }
        if takes_turn {
            call.turn = Some(self.ended.turn(key));
            self.waiting.insert(key, VecDeque::new());
        }
        Some(call)
    }

    /// Returns the calls that can go on, since what they waited for has its answer.
    pub fn released(&mut self) -> Vec<Call> {
        let mut released = Vec::new();
        for key in self.ended.take() {
            let waiting = self.waiting.remove(&key).unwrap_or_default();
            // Each goes on until one takes a turn of its own; the rest wait for that.
            for call in waiting {
                released.extend(self.admit(call));
            }
        }
        released
    }

    /// Whether no session is being saved.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes all calls that wait.
    pub fn take_all(&mut self) -> Vec<Call> {
        let waiting = take(&mut self.waiting);
        waiting.into_values().flatten().collect()
    }
}

/// Takes a hash as it is.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    /// Nothing but hashes comes here.
    fn write(&mut self, _: &[u8]) {}
}
