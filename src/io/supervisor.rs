//! The task of a store on the I/O thread: gives calls to the servers and acts on what happens.
//!
//! The promises kept by this room: a call is answered within `commandTimeout`, whatever happens to the
//! servers; it waits if there is no connection; on a connection that breaks it is sent once more; in a
//! cluster it follows its key.

use std::future::{pending, poll_fn};
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use crate::error::StoreError;
use crate::io::busy_poll::BusyPoll;
use crate::io::call::Call;
use crate::io::direct::DirectBatch;
use crate::io::event::Event;
use crate::io::scan;
use crate::io::sent_batch::BatchOutcome;
use crate::io::servers::{Servers, ServersEvent};
use crate::io::shared::{Closing, Shared};
use crate::io::turns::Turns;
use crate::redis::Topology;

/// Serves a store until it is closed.
pub async fn run(shared: Arc<Shared>, topology: Topology) {
    let _end = AnnounceEnd(shared.clone());
    let servers = Servers::new(topology, shared.clone());
    let mut supervisor = Supervisor {
        shared,
        servers,
        turns: Turns::default(),
        sequence: 0,
    };
    supervisor.serve().await;
}

/// Tells JS the end, also if a panic is the end.
struct AnnounceEnd(Arc<Shared>);

impl Drop for AnnounceEnd {
    fn drop(&mut self) {
        // Calls may have come that nobody has looked at. (The JS thread rejects open scans at the end.)
        self.0.end(|arrivals| {
            for direct in arrivals.direct {
                reject(&self.0, direct.sent.calls);
            }
            let mut calls = arrivals.calls;
            set_deadlines(&mut calls, &self.0, Instant::now());
            reject(&self.0, calls);
        });
        self.0.completions.push([Event::End]);
    }
}

struct Supervisor {
    shared: Arc<Shared>,
    servers: Servers,
    turns: Turns,
    /// Counts the calls.
    sequence: u64,
}

/// Why the supervisor wakes up.
enum Woken {
    /// To look what has been submitted.
    Look,
    Batch(BatchOutcome),
    Servers(ServersEvent),
    Deadline,
}

impl Supervisor {
    async fn serve(&mut self) {
        let mut batches = FuturesUnordered::new();
        let mut scans = FuturesUnordered::new();
        let mut busy_poll = BusyPoll::default();
        // Whether JS may send calls itself, and has not for as long as `commandTimeout`: then the next
        // call wakes this task.
        let mut is_unused = false;
        loop {
            let arrivals = self.shared.arrivals();
            is_unused &= !arrivals.was_direct_used;
            let now = Instant::now();
            // By the clock of the processor, which no test pauses: else it would poll for ever.
            let real_now = std::time::Instant::now();
            // A scan's calls are long ones, and it has other work until they are answered.
            let others = batches.len() + scans.len();
            if arrivals.was_direct_used {
                busy_poll.stop();
            }
            busy_poll.calls_arrived(arrivals.calls.len(), others, real_now);
            let is_polling = busy_poll.is_on(real_now);
            for direct in arrivals.direct {
                self.take_over(direct);
                batches.extend(self.servers.next_batch());
            }
            // Those that waited for another save came before.
            for call in self.turns.released() {
                self.servers.route(call);
            }
            self.route(arrivals.calls, now);
            for request in arrivals.masters {
                self.servers.answer_masters(request);
            }
            for request in arrivals.scans {
                scans.push(scan::run(request, self.shared.clone()));
            }
            if self.shared.has_handed_back() {
                break;
            }
            match arrivals.closing {
                Some(Closing::Now) => break,
                Some(Closing::WhenIdle)
                    if self.servers.is_idle() && batches.is_empty() && scans.is_empty() =>
                {
                    break;
                }
                _ => {}
            }
            while let Some(batch) = self.servers.next_batch() {
                batches.push(batch);
            }
            self.servers.refresh();
            let renewal = self.servers.renew_leases(now);
            let is_idle = batches.is_empty() && scans.is_empty() && self.is_idle();
            let is_quiet = is_idle && !is_unused && self.shared.set_quiet();
            let look_again = is_quiet.then(|| now + self.shared.limits.command);
            let deadline = self.servers.first_deadline().or(look_again);
            let deadline = deadline.into_iter().chain(renewal).min();
            let servers = &mut self.servers;
            // Scans first, and the calls that are submitted last: so what a scan submits goes out at once.
            let woken = tokio::select! {
                biased;
                Some(()) = scans.next() => Woken::Look,
                Some(outcome) = batches.next() => Woken::Batch(outcome),
                event = poll_fn(|context| servers.poll_event(context)) => Woken::Servers(event),
                () = until(deadline) => Woken::Deadline,
                () = self.shared.wake.notified() => Woken::Look,
                () = yield_now(), if is_polling => Woken::Look,
            };
            is_unused = is_quiet && matches!(woken, Woken::Deadline);
            match woken {
                Woken::Look => {}
                Woken::Batch(outcome) => {
                    self.servers.handle_outcome(outcome);
                    busy_poll.answered(std::time::Instant::now());
                }
                Woken::Servers(event) => self.servers.handle_event(event),
                Woken::Deadline => self.servers.expire(Instant::now()),
            }
        }
        // Every call that is left gets an answer.
        let mut left = self.servers.close();
        left.extend(self.turns.take_all());
        while let Some(outcome) = batches.next().await {
            // A reply that has come is still the truth about its call.
            left.extend(self.servers.handle_last_outcome(outcome));
        }
        left.sort_by_key(|call| call.sequence);
        reject(&self.shared, left);
        // The scans are dropped here. At the end, the JS thread rejects the promises of open scans.
    }

    /// Whether no call waits, nor is in flight.
    fn is_idle(&self) -> bool {
        self.turns.is_idle() && self.servers.is_idle()
    }

    /// Takes over what the JS thread has sent itself. It was sent before all later calls.
    fn take_over(&mut self, mut direct: DirectBatch) {
        for call in &mut direct.sent.calls {
            self.sequence += 1;
            call.sequence = self.sequence;
        }
        self.servers.take_over(direct);
    }

    /// Gives new calls their place and deadline, and sends them on.
    fn route(&mut self, mut calls: Vec<Call>, now: Instant) {
        set_deadlines(&mut calls, &self.shared, now);
        for mut call in calls {
            self.sequence += 1;
            call.sequence = self.sequence;
            if let Some(call) = self.turns.admit(call) {
                self.servers.route(call);
            }
        }
    }
}

/// Gives new calls their deadline.
fn set_deadlines(calls: &mut [Call], shared: &Shared, now: Instant) {
    for call in calls {
        call.deadline = now + shared.limits.command;
    }
}

/// Rejects calls because the store is closed; or hands them back, if the app's client goes on.
fn reject(shared: &Shared, calls: Vec<Call>) {
    let hands_back = shared.has_handed_back();
    shared.completions.push_all(|events| {
        for mut call in calls.into_iter().filter(Call::is_open) {
            if hands_back {
                call.hand_back(&shared.server, events);
            } else {
                call.answer(Err(StoreError::closed(call.name)), events);
            }
        }
    });
}

/// Waits until `deadline`; for ever if there is no deadline.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
