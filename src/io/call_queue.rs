//! Calls that wait, in the order in which they were made.

use std::collections::VecDeque;
use std::mem::take;

use tokio::time::Instant;

use crate::io::call::Call;

/// Waiting calls by their sequence number. Their deadlines rise with it, since all calls of a
/// connection have the same `commandTimeout`.
#[derive(Default)]
pub struct CallQueue(VecDeque<Call>);

impl CallQueue {
    /// Queues a call at its place.
    pub fn insert(&mut self, call: Call) {
        match self.0.back() {
            Some(last) if last.sequence > call.sequence => {
                let place = self.0.partition_point(|c| c.sequence < call.sequence);
                self.0.insert(place, call);
            }
            _ => self.0.push_back(call),
        }
    }

    /// Takes the first calls, `most` at most.
    pub fn take_first(&mut self, most: usize) -> Vec<Call> {
        self.0.drain(..most.min(self.0.len())).collect()
    }

    /// Takes the calls whose deadline is over.
    pub fn take_late(&mut self, now: Instant) -> Vec<Call> {
        let late = self.0.partition_point(|call| call.deadline <= now);
        self.take_first(late)
    }

    /// Takes all calls.
    pub fn take_all(&mut self) -> VecDeque<Call> {
        take(&mut self.0)
    }

    /// The deadline of the first call; `None` if no call waits.
    pub fn first_deadline(&self) -> Option<Instant> {
        self.0.front().map(|call| call.deadline)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
