//! Calls made while few wait and the I/O thread has nothing to do: the JS thread writes them to the socket
//! itself, and reads their replies. If these do not come soon, its event loop watches the socket. So neither
//! thread waits to be woken by the other, which takes longer than such a call.
//!
//! All rules stay with the supervisor. Whenever it looks what was submitted, it takes over what was sent
//! here, as batches that are in flight. It looks when the I/O thread has read the replies, when calls
//! follow that do not go directly, when the connection is lost, and before the deadline.

use std::collections::VecDeque;
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

/// The most calls that wait for an answer when some go out directly. With more, it is better that two
/// threads work on them.
const MAX_WAITING: usize = 512;
/// The same for calls with a session's text: the JS thread has to write or parse those as well.
const MAX_WAITING_WITH_TEXTS: usize = 48;
/// About the most bytes that go out directly at once.
const MAX_BYTES: usize = 64 * 1024;
/// How long the JS thread looks for the replies to the oldest batch.
const PATIENCE: Duration = Duration::from_micros(150);
/// Replies that take longer say that Redis waits for a processor or for the network, or that the JS thread
/// has other things to do.
const ON_TIME: Duration = Duration::from_millis(1);
/// After so many batches in a row that were answered on time, they are steadily so.
const STEADY: u32 = 128;
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
    /// `is_steady` says that replies have come on time for a while: then it pays to send the next calls
    /// before all answers are handled.
    Answered { is_steady: bool },
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
    /// Oldest first.
    in_flight: VecDeque<DirectBatch>,
    pace: Pace,
    /// Whether it is left to the watch to tell when the replies come. (If not, it may tell as well.)
    is_watched: bool,
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

    /// Sends calls, or hands them back. `waiting` is how many wait for an answer, these among them. Returns
    /// whether to look for the replies.
    pub fn send(
        &mut self,
        mut calls: Vec<Call>,
        waiting: usize,
        limits: Limits,
        traffic: &Traffic,
    ) -> Result<bool, Vec<Call>> {
        let Some(route) = &self.route else {
            return Err(calls);
        };
        let most = match calls.iter().any(|call| call.command.has_text()) {
            true => MAX_WAITING_WITH_TEXTS,
            false => MAX_WAITING,
        };
        let may_go = waiting <= most
            && calls.iter().all(|call| call.command.is_plain())
            && calls.iter().map(|call| call.command.size()).sum::<usize>() <= MAX_BYTES;
        let last = self.in_flight.back();
        let is_elsewhere = last.is_some_and(|last| last.socket != route.socket);
        if is_elsewhere || !may_go {
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
        self.in_flight.push_back(DirectBatch {
            socket: route.socket,
            sent: SentCalls {
                calls,
                replies,
                sent,
            },
        });
        let looks = !self.pace.skip();
        if looks {
            self.is_watched = false;
        } else if !self.is_watched {
            self.watch();
        }
        Ok(looks)
    }

    /// Looks for the replies to what was sent. If nothing is in flight, the I/O thread reads from here on.
    /// Answers are collected in `events`.
    pub fn poll(&mut self, traffic: &Traffic, events: &mut Vec<Event>) -> DirectPoll {
        match self.read(traffic, events) {
            DirectPoll::Left => {
                self.leave();
                DirectPoll::Left
            }
            DirectPoll::Waiting if self.is_watched => DirectPoll::Late,
            DirectPoll::Waiting if self.is_late() => {
                self.pace.missed();
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
        if polled != DirectPoll::Unanswered && !self.in_flight.is_empty() {
            self.watch(); // for the rest
        } else {
            self.leave();
        }
        polled
    }

    /// Lets the watch tell when late replies come; without one, the I/O thread reads them.
    fn watch(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        self.is_watched = match (&self.route, self.watch.upgrade()) {
            (Some(route), Some(watch)) => route.wire.watch(&watch),
            _ => false,
        };
        if !self.is_watched {
            self.leave();
        }
    }

    /// Whether the replies have not come soon.
    fn is_late(&self) -> bool {
        let batch = self.in_flight.front();
        batch.is_some_and(|batch| batch.sent.sent.elapsed() >= PATIENCE)
    }

    /// Reads, and answers calls.
    fn read(&mut self, traffic: &Traffic, events: &mut Vec<Event>) -> DirectPoll {
        let Some(route) = &self.route else {
            return DirectPoll::Left;
        };
        if self.in_flight.is_empty() {
            return DirectPoll::Left;
        }
        route.wire.read();
        let mut polled = DirectPoll::Waiting;
        while let Some(batch) = self.in_flight.front_mut() {
            let sent = &mut batch.sent;
            match sent.replies.take_now() {
                None => break,
                Some(Ok(values)) if values.iter().all(is_plain) => {
                    let took = sent.sent.elapsed();
                    traffic.count_replied(sent.calls.len(), took);
                    let came = arrival(sent.sent, sent.sent + took);
                    answer(&mut sent.calls, values, &route.server, came, events);
                    self.in_flight.pop_front();
                    self.is_watched = false;
                    self.pace.answered(took);
                    let is_steady = self.pace.is_steady();
                    polled = DirectPoll::Answered { is_steady };
                }
                Some(other) => {
                    sent.replies = Replies::Here(Some(other));
                    return DirectPoll::Unanswered;
                }
            }
        }
        polled
    }

    /// Takes what was sent and has no answer yet, oldest first.
    pub fn take(&mut self) -> VecDeque<DirectBatch> {
        if !self.in_flight.is_empty() {
            self.pace.interrupted();
            // Before a deadline is looked at: a reply that has come is an answer.
            self.leave();
        }
        take(&mut self.in_flight)
    }

    /// From here on the I/O thread reads.
    fn leave(&mut self) {
        self.is_watched = false;
        if let Some(route) = &self.route {
            route.wire.leave();
        }
    }

    /// Whether anything was sent since the last time.
    pub fn take_used(&mut self) -> bool {
        take(&mut self.is_used)
    }
}

/// When replies that are read `now` arrived, for the expiry that PTTL's reply says. Late ones may have lain
/// in the socket while the JS thread was busy: an expiry is better too early than too late.
pub fn arrival(sent: Instant, now: Instant) -> Instant {
    if now - sent < ON_TIME { now } else { sent }
}

/// Whether a reply can only be an answer.
fn is_plain(reply: &Value) -> bool {
    !matches!(reply, Value::ServerError(_))
}

fn answer(
    calls: &mut [Call],
    values: Vec<Value>,
    server: &str,
    came: Instant,
    events: &mut Vec<Event>,
) {
    let mut values = values.into_iter();
    let came = came.into_std();
    for call in calls {
        match call.command.read(&mut values, call.name, server, came) {
            Read::Answer(answer) => call.answer(answer, events),
            Read::Again(_) => {} // No plain command. A call without an answer answers itself.
        }
    }
}

/// How soon replies come. If they come late, because the server is far away or the machine is busy, the JS
/// thread does not look for them for a while.
#[derive(Default)]
struct Pace {
    /// How many batches the last pause had.
    last_pause: u32,
    /// How many this one still has.
    pause: u32,
    /// How many batches in a row were answered on time.
    on_time: u32,
}

impl Pace {
    /// Whether not to look for the replies to the next batch.
    fn skip(&mut self) -> bool {
        let skips = self.pause > 0;
        self.pause = self.pause.saturating_sub(1);
        skips
    }

    /// The JS thread has looked for the replies to a batch in vain.
    fn missed(&mut self) {
        self.last_pause = (self.last_pause * 2).clamp(1, MAX_PAUSE);
        self.pause = self.last_pause;
    }

    /// The JS thread has read the replies to a batch.
    fn answered(&mut self, took: Duration) {
        if took < PATIENCE {
            self.last_pause = 0;
        }
        self.on_time = match took < ON_TIME {
            true => self.on_time.saturating_add(1),
            false => 0,
        };
    }

    /// The I/O thread reads what was awaited.
    fn interrupted(&mut self) {
        self.on_time = 0;
    }

    fn is_steady(&self) -> bool {
        self.on_time >= STEADY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_while_replies_come_late_and_ends_when_one_comes_soon() {
        let mut pace = Pace::default();
        let skipped = |pace: &mut Pace| (0..1000).take_while(|_| pace.skip()).count();
        assert_eq!(skipped(&mut pace), 0);
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 256] {
            pace.missed();
            assert_eq!(skipped(&mut pace), expected);
        }
        pace.answered(PATIENCE / 2);
        pace.missed();
        assert_eq!(skipped(&mut pace), 1);
    }

    #[test]
    fn the_pace_is_steady_after_many_replies_on_time_and_until_one_is_late() {
        let mut pace = Pace::default();
        let ends: [fn(&mut Pace); 2] = [|pace| pace.answered(ON_TIME), Pace::interrupted];
        for end in ends {
            for _ in 1..STEADY {
                pace.answered(ON_TIME / 2);
                assert!(!pace.is_steady());
            }
            pace.answered(ON_TIME / 2);
            assert!(pace.is_steady());
            end(&mut pace);
        }
        assert!(!pace.is_steady());
    }
}
