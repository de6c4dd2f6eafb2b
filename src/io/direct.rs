//! Few calls, made while nothing else is under way: the JS thread writes them to the socket itself, and
//! reads their replies. If these do not come soon, its event loop watches the socket. So neither thread
//! waits to be woken by the other, which takes longer than such a call.
//!
//! All rules stay with the supervisor. Whenever it looks what was submitted, it takes over what was sent
//! here, as a batch that is in flight. It looks when the I/O thread has read the replies, when calls
//! follow, when the connection is lost, and before the deadline.

use std::mem::take;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use crate::error::{ServerName, StoreError};
use crate::io::call::Call;
use crate::io::event::Event;
use crate::io::limits::Limits;
use crate::io::pipeline::{SentCalls, count_sent, encode};
use crate::io::traffic::Traffic;
use crate::redis::{Direct, Replies, SocketWatch};
use crate::session::command::Read;

/// The most calls that go out directly. With more, it is better that two threads work on them.
const MAX_CALLS: usize = 32;
/// The most that read a session: the JS thread then has to parse the texts.
const MAX_READS: usize = 24;
/// About the most bytes that they have.
const MAX_BYTES: usize = 64 * 1024;
/// How long the JS thread looks for the replies.
const PATIENCE: Duration = Duration::from_micros(150);
/// The most batches whose replies the JS thread does not look for because others came late.
const MAX_PAUSE: u32 = 256;

/// A connection that the JS thread may use.
pub struct DirectRoute {
    pub wire: Arc<dyn Direct>,
    /// How many sockets were given up before.
    pub socket: u64,
    /// What messages call the server.
    pub server: ServerName,
    /// Wakes the supervisor.
    pub supervisor: Waker,
}

/// A batch that the JS thread has sent.
pub struct DirectBatch {
    pub sent: SentCalls,
    /// As in [`DirectRoute::socket`].
    pub socket: u64,
}

/// What came of looking for replies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DirectPoll {
    Answered,
    /// They have not come: look again when the event loop has turned.
    Waiting,
    /// They have not come soon: the event loop watches for them, or the I/O thread reads them.
    Late,
    /// The I/O thread reads them.
    Left,
    /// They have come, and the supervisor must act on them.
    Unanswered,
}

/// What the JS thread sends itself.
#[derive(Default)]
pub struct DirectCalls {
    route: Option<DirectRoute>,
    in_flight: Option<DirectBatch>,
    pause: Pause,
    /// What the event loop watches, from the first time on that replies came late.
    watch: Weak<SocketWatch>,
    /// Whether anything was sent since the last [`DirectCalls::take_used`].
    is_used: bool,
}

impl DirectCalls {
    pub fn set_route(&mut self, route: Option<DirectRoute>) {
        self.leave();
        self.route = route;
    }

    pub fn has_route(&self) -> bool {
        self.route.is_some()
    }

    /// Sends calls, or hands them back. Returns whether to look for the replies.
    pub fn send(
        &mut self,
        mut calls: Vec<Call>,
        limits: Limits,
        traffic: &Traffic,
    ) -> Result<bool, Vec<Call>> {
        let Some(route) = &self.route else {
            return Err(calls);
        };
        let reads = calls
            .iter()
            .filter(|call| call.command.key_read().is_some());
        let is_short = calls.len() <= MAX_CALLS
            && reads.count() <= MAX_READS
            && calls.iter().all(|call| call.command.is_plain())
            && calls.iter().map(|call| call.command.size()).sum::<usize>() <= MAX_BYTES;
        if self.in_flight.is_some() || !is_short {
            return Err(calls);
        }
        // If this panics, so does the I/O thread, where a panic has its rules: JS must not get this one.
        let Ok(batch) = StoreError::catch_panic("a direct call", || Ok(encode(&calls))) else {
            return Err(calls);
        };
        let Ok(replies) = route.wire.send(batch, &route.supervisor) else {
            return Err(calls);
        };
        let sent = Instant::now();
        for call in &mut calls {
            call.deadline = sent + limits.command;
        }
        count_sent(&calls, traffic, limits, sent);
        self.is_used = true;
        self.in_flight = Some(DirectBatch {
            socket: route.socket,
            sent: SentCalls {
                calls,
                replies,
                sent,
            },
        });
        let skips = self.pause.skip();
        if skips {
            self.watch();
        }
        Ok(!skips)
    }

    /// Looks for the replies to what was sent; if nothing is, the I/O thread reads from here on. Answers
    /// are collected in `events`.
    pub fn poll(&mut self, traffic: &Traffic, events: &mut Vec<Event>) -> DirectPoll {
        match self.read(traffic, events) {
            DirectPoll::Left => {
                self.leave();
                DirectPoll::Left
            }
            DirectPoll::Waiting if self.is_late() => {
                self.pause.missed();
                self.watch();
                DirectPoll::Late
            }
            polled => polled,
        }
    }

    /// From now on `watch` tells when late replies come; then [`DirectCalls::read_late`] must be
    /// called. It does not keep `watch`.
    pub fn set_watch(&mut self, watch: &Arc<SocketWatch>) {
        self.watch = Arc::downgrade(watch);
        self.watch();
    }

    /// Looks for late replies, after the watch has told that something has come. Answers are collected in
    /// `events`.
    pub fn read_late(&mut self, traffic: &Traffic, events: &mut Vec<Event>) -> DirectPoll {
        let polled = self.read(traffic, events);
        match polled {
            DirectPoll::Waiting => self.watch(), // for the rest
            _ => self.leave(),
        }
        polled
    }

    /// Lets the watch tell when late replies come; without one, the I/O thread reads them.
    fn watch(&self) {
        let watched = match (&self.route, self.watch.upgrade()) {
            (Some(route), Some(watch)) => route.wire.watch(&watch),
            _ => false,
        };
        if !watched {
            self.leave();
        }
    }

    /// Whether the replies have not come soon.
    fn is_late(&self) -> bool {
        let batch = self.in_flight.as_ref();
        batch.is_some_and(|batch| batch.sent.sent.elapsed() >= PATIENCE)
    }

    /// Reads, and answers calls.
    fn read(&mut self, traffic: &Traffic, events: &mut Vec<Event>) -> DirectPoll {
        let Some(route) = &self.route else {
            return DirectPoll::Left;
        };
        let Some(mut batch) = self.in_flight.take() else {
            return DirectPoll::Left;
        };
        route.wire.read();
        let sent = &mut batch.sent;
        let polled = match sent.replies.take_now() {
            None => DirectPoll::Waiting,
            Some(Ok(values)) if values.iter().all(is_plain) => {
                let took = sent.sent.elapsed();
                if took < PATIENCE {
                    self.pause.hit();
                }
                traffic.count_replied(sent.calls.len(), took);
                answer(&mut sent.calls, values, &route.server, events);
                return DirectPoll::Answered;
            }
            Some(other) => {
                sent.replies = Replies::Here(Some(other));
                DirectPoll::Unanswered
            }
        };
        self.in_flight = Some(batch);
        polled
    }

    /// Takes what was sent and has no answer yet.
    pub fn take(&mut self) -> Option<DirectBatch> {
        let batch = self.in_flight.take()?;
        // Before a deadline is looked at: a reply that has come is an answer.
        self.leave();
        Some(batch)
    }

    /// From here on the I/O thread reads.
    fn leave(&self) {
        if let Some(route) = &self.route {
            route.wire.leave();
        }
    }

    /// Whether anything was sent since the last time.
    pub fn take_used(&mut self) -> bool {
        take(&mut self.is_used)
    }
}

/// Whether a reply can only be an answer.
fn is_plain(reply: &Value) -> bool {
    !matches!(reply, Value::ServerError(_))
}

fn answer(calls: &mut [Call], values: Vec<Value>, server: &str, events: &mut Vec<Event>) {
    let mut values = values.into_iter();
    let came = Instant::now().into_std();
    for call in calls {
        match call.command.read(&mut values, call.name, server, came) {
            Read::Answer(answer) => call.answer(answer, events),
            Read::Again(_) => {} // No plain command. A call without an answer answers itself.
        }
    }
}

/// When not to look for replies, because others have come late: the server is far away, or the machine
/// is busy.
#[derive(Default)]
struct Pause {
    /// How many batches the last pause had.
    last: u32,
    /// How many this one still has.
    left: u32,
}

impl Pause {
    /// Whether not to look for the replies to the next batch.
    fn skip(&mut self) -> bool {
        let skips = self.left > 0;
        self.left = self.left.saturating_sub(1);
        skips
    }

    fn hit(&mut self) {
        self.last = 0;
    }

    fn missed(&mut self) {
        self.last = (self.last * 2).clamp(1, MAX_PAUSE);
        self.left = self.last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_while_replies_come_late_and_ends_when_one_comes_soon() {
        let mut pause = Pause::default();
        let skipped = |pause: &mut Pause| (0..1000).take_while(|_| pause.skip()).count();
        assert_eq!(skipped(&mut pause), 0);
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 256] {
            pause.missed();
            assert_eq!(skipped(&mut pause), expected);
        }
        pause.hit();
        pause.missed();
        assert_eq!(skipped(&mut pause), 1);
    }
}
