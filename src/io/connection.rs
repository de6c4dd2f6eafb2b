//! A connection to one server, made anew whenever it is lost, and the calls that go over it.
//!
//! What is in flight on a connection that breaks is sent once more, if the command has the same effect
//! twice as once; and in the order in which the calls were made.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::mem::take;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use redis::{RedisError, ServerError, Value};
use tokio::time::Instant;

use crate::error::{ConnectError, ServerName, StoreError};
use crate::io::call::{Call, ConnectionId};
use crate::io::call_queue::CallQueue;
use crate::io::direct::{DirectBatch, DirectRoute, arrival};
use crate::io::event::Status;
use crate::io::pipeline::SentCalls;
use crate::io::refusal::{READONLY, Refusal, Role, SentAgain};
use crate::io::retry::back_off;
use crate::io::sent_batch::{BatchEnd, BatchOutcome, Generation, await_replies, send_batch};
use crate::io::shared::Shared;
use crate::redis::cluster::slots::{Node, Redirect, redirect};
use crate::redis::{
    Batch, OpenConnection, Replies, Sender, Target, Untracked, is_transient, within,
};
use crate::session::command::Read;
use crate::session::compare_and_set::Form;

/// Calls that go out as one batch at most. With more, the first would wait for the last.
const MAX_BATCH: usize = 1024;
/// How often a connection to a replica is left, to see whether another server has its name now. Each
/// time, what is in flight is sent again.
const LOOK_FOR_MASTER: Duration = Duration::from_secs(1);

type Connecting = Pin<Box<dyn Future<Output = Result<OpenConnection, ConnectError>> + Send>>;

/// A connection to one server, open or being made.
pub struct Connection {
    pub id: ConnectionId,
    shared: Arc<Shared>,
    target: Target,
    name: ServerName,
    /// The node of a cluster that the server is.
    node: Option<Node>,
    link: Link,
    generation: Generation,
    in_flight: InFlightCounts,
    /// A batch that the JS thread has sent and nobody awaits yet.
    taken_over: Option<DirectBatch>,
    /// Whether the JS thread may use the connection directly.
    has_direct_route: bool,
    /// Calls that are not sent yet.
    waiting: CallQueue,
    /// Attempts to connect since the server last answered a call: a server that accepts connections
    /// and drops them is no better than one that accepts none.
    attempts: u32,
    last_error: Option<ConnectError>,
    role: Role,
    /// How the server compares and sets, as far as it is known.
    compares_by: Form,
    left: Option<Left>,
    /// The key that was read last: to ask for it again renews the near cache's lease.
    last_read: Option<Vec<u8>>,
    /// The renewal that was sent last, until its reply has been seen.
    renewal: Option<Replies>,
    /// The last socket that was given up because another server has taken this one's place. What was in
    /// flight there was not lost to a fault: it may be lost once more.
    replaced: Option<u64>,
}

enum Link {
    Open(OpenConnection),
    Connecting(Connecting),
}

/// How many batches are in flight.
#[derive(Default)]
struct InFlightCounts {
    /// Of the present generation.
    current: usize,
    /// Sent on this socket before a slot moved away. See [`Connection::is_settled`].
    before_move: usize,
    /// Sent on a socket that was given up. They come back at once, and nothing is sent before they are
    /// in the queue again: order is kept.
    given_up: usize,
}

/// The last socket that was left because its server is not the one to talk to. What was in flight
/// there is not lost: it may be sent again as often as that happens.
#[derive(Clone, Copy)]
struct Left {
    socket: u64,
    at: Instant,
}

/// What happens to a connection.
pub enum ConnectionEvent {
    Connected(OpenConnection),
    ConnectFailed(ConnectError),
    Lost,
}

/// A call that came back without an answer.
pub enum Unanswered {
    /// It must be sent again.
    Unsent(Call),
    /// Its key is elsewhere.
    Redirected(Call, Redirect),
    /// No node of the cluster serves its key now.
    Unserved(Call, ConnectError),
}

impl Unanswered {
    pub fn into_call(self) -> Call {
        match self {
            Unanswered::Unsent(call)
            | Unanswered::Redirected(call, _)
            | Unanswered::Unserved(call, _) => call,
        }
    }
}

impl Connection {
    /// Starts to connect.
    pub fn new(
        id: ConnectionId,
        target: Target,
        node: Option<Node>,
        shared: Arc<Shared>,
    ) -> Connection {
        let mut connection = Connection {
            id,
            name: target.server_name(),
            shared,
            target,
            node,
            link: Link::Connecting(Box::pin(pending())),
            generation: Generation::default(),
            in_flight: InFlightCounts::default(),
            taken_over: None,
            has_direct_route: false,
            waiting: CallQueue::default(),
            attempts: 0,
            last_error: None,
            role: Role::default(),
            compares_by: Form::default(),
            left: None,
            last_read: None,
            renewal: None,
            replaced: None,
        };
        connection.connect();
        connection
    }

    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    pub fn is_open(&self) -> bool {
        matches!(self.link, Link::Open(_))
    }

    /// Whether no call is in flight, nor waits.
    pub fn is_idle(&self) -> bool {
        self.batches_in_flight() == 0 && self.waiting.is_empty()
    }

    pub fn batches_in_flight(&self) -> usize {
        let InFlightCounts {
            current,
            before_move,
            given_up,
        } = self.in_flight;
        current + before_move + given_up
    }

    /// Whether every batch is back that was sent before a slot last moved away. Until then, later
    /// calls on the slot must not overtake the calls in those batches.
    pub fn is_settled(&self) -> bool {
        self.in_flight.before_move == 0 && self.in_flight.given_up == 0
    }

    /// From now on, slots of this connection are elsewhere: what is in flight was sent before that.
    pub fn slots_moved(&mut self) {
        self.generation.slots += 1;
        self.shared.drop_copies();
        self.in_flight.before_move += take(&mut self.in_flight.current);
    }

    /// Gives the socket up because another server has taken this one's place. What is in flight comes
    /// back now, because a server that hangs would never answer.
    pub fn give_up(&mut self) {
        self.replaced = Some(self.generation.socket);
        self.drop_socket();
        self.connect();
    }

    /// Returns a way to send something beside the calls, if the connection is open.
    pub fn sender(&self) -> Option<Sender> {
        match &self.link {
            Link::Open(open) => Some(open.sender()),
            Link::Connecting(_) => None,
        }
    }

    /// Queues a call; or rejects it, if calls fail fast and the last attempt to connect failed.
    pub fn push(&mut self, call: Call) {
        match (&self.link, &self.last_error) {
            (Link::Connecting(_), Some(error)) if self.shared.limits.fail_fast => {
                self.shared.reject_away(call, &self.name, error);
            }
            _ => self.waiting.insert(call),
        }
    }

    /// Takes all calls that are not sent yet.
    pub fn take_waiting(&mut self) -> VecDeque<Call> {
        self.waiting.take_all()
    }

    /// Takes over a batch that the JS thread has sent itself.
    pub fn take_over(&mut self, batch: DirectBatch) {
        if batch.socket == self.generation.socket {
            self.in_flight.current += 1;
        } else {
            self.in_flight.given_up += 1;
        }
        self.taken_over = Some(batch);
    }

    /// Sends a batch of what waits, if there is something to send and the connection is open. One that
    /// was taken over comes first.
    pub fn next_batch(&mut self) -> Option<impl Future<Output = BatchOutcome> + use<>> {
        let taken_over = self.taken_over.take();
        let was_direct = taken_over.is_some();
        let (batch, generation) = match taken_over {
            Some(DirectBatch { sent, socket }) => {
                let generation = Generation {
                    socket,
                    ..self.generation
                };
                (sent, generation)
            }
            None => (self.send_waiting()?, self.generation),
        };
        let (connection, shared, name) = (self.id, self.shared.clone(), self.name.clone());
        Some(async move {
            BatchOutcome {
                connection,
                generation,
                was_direct,
                result: await_replies(batch, shared, name).await,
            }
        })
    }

    fn send_waiting(&mut self) -> Option<SentCalls> {
        let Link::Open(open) = &self.link else {
            return None;
        };
        if self.in_flight.given_up > 0 || self.waiting.is_empty() {
            return None;
        }
        let mut calls = self.waiting.take_first(MAX_BATCH);
        for call in &mut calls {
            call.command.prepare(self.compares_by);
        }
        if let (Some(tracking), Some(number)) = (&self.shared.tracking, open.tracked)
            && let Some(key) = calls.iter().rev().find_map(|call| call.command.key_read())
        {
            tracking.read(number);
            self.last_read = Some(key.to_vec());
        }
        self.in_flight.current += 1;
        Some(send_batch(&open.sender(), calls, &self.shared))
    }

    /// Renews the near cache's lease of this connection, if that is due. Returns when it is due next.
    pub fn renew_lease(&mut self, now: Instant) -> Option<Instant> {
        let tracking = self.shared.tracking.as_ref()?;
        let (Link::Open(open), Some(key)) = (&self.link, &self.last_read) else {
            return None;
        };
        let number = open.tracked?;
        if let Some(result) = self.renewal.as_mut().and_then(Replies::take_now) {
            self.renewal = None;
            if let Ok([Value::ServerError(error)]) = result.as_deref() {
                // The server may not have what was read there any more.
                let node = self.node.as_ref();
                if node.is_some_and(|node| redirect(error, &node.host).is_some()) {
                    self.shared.suspect();
                }
                // Another store on this connection may read where PTTL is allowed: if only this key is
                // forbidden, copies go on.
                let (server, reason) = (self.name.clone(), ConnectError::from(error).reason);
                if error.code() == "NOPERM" && reason.contains("pttl") {
                    tracking.refused(number, Untracked { server, reason });
                }
                tracking.drop_all();
            } else {
                tracking.accepted(number);
            }
        }
        if tracking.renewal(number)? <= now {
            tracking.renewed(number, now);
            // Not before the last one is answered.
            self.renewal.get_or_insert_with(|| {
                // Not PING: a node that has lost its slots, or its cluster, answers that, too. And who
                // may read sessions may ask this.
                let mut renewal = Batch::default();
                renewal.add(&[b"PTTL", key]);
                open.sender().send(renewal)
            });
        }
        tracking.renewal(number)
    }

    /// Waits for the next event. Cancel-safe: the attempt to connect lives in the connection.
    pub fn poll_event(&mut self, context: &mut Context) -> Poll<ConnectionEvent> {
        match &mut self.link {
            Link::Open(open) => pin!(open.lost())
                .poll(context)
                .map(|()| ConnectionEvent::Lost),
            Link::Connecting(attempt) => {
                attempt.as_mut().poll(context).map(|result| match result {
                    Ok(open) => ConnectionEvent::Connected(open),
                    Err(error) => ConnectionEvent::ConnectFailed(error),
                })
            }
        }
    }

    pub fn handle_event(&mut self, event: ConnectionEvent) {
        match event {
            ConnectionEvent::Connected(open) => {
                if open.is_master {
                    self.role.confirm_master();
                }
                self.link = Link::Open(open);
                // It may be another server.
                self.compares_by = Form::default();
                self.last_error = None;
            }
            ConnectionEvent::ConnectFailed(error) => {
                self.last_error = Some(error);
                self.connect();
                if self.shared.limits.fail_fast {
                    for call in self.take_waiting() {
                        self.push(call);
                    }
                }
            }
            ConnectionEvent::Lost => self.reconnect(),
        }
    }

    /// Gives the socket up and connects again; or not, if the app's client goes on instead, since its
    /// calls must not be overtaken by what is sent again here.
    fn reconnect(&mut self) {
        self.drop_socket();
        self.shared.set_status(Status::Reconnecting);
        if self.shared.hands_back() {
            self.shared.set_handed_back();
        } else {
            self.connect();
        }
    }

    fn drop_socket(&mut self) {
        self.generation.socket += 1;
        self.shared.reconnects.fetch_add(1, Ordering::AcqRel);
        let InFlightCounts {
            current,
            before_move,
            given_up,
        } = &mut self.in_flight;
        *given_up += take(current) + take(before_move);
        self.close();
    }

    /// Closes the connection for good.
    pub fn close(&mut self) {
        self.withdraw_direct_route();
        self.link = Link::Connecting(Box::pin(pending()));
    }

    fn connect(&mut self) {
        let (target, limit) = (self.target.clone(), self.shared.limits.connect);
        let tracking = self.shared.tracking.clone();
        let attempts = self.attempts;
        self.link = Link::Connecting(Box::pin(async move {
            back_off(attempts).await;
            within(limit, target.connect(tracking.as_ref())).await
        }));
        self.attempts = self.attempts.saturating_add(1);
    }

    /// Answers the calls of a batch that is back. Returns the calls that have no answer yet.
    pub fn handle_outcome(&mut self, outcome: BatchOutcome) -> Vec<Unanswered> {
        let socket = outcome.generation.socket;
        let is_current = socket == self.generation.socket;
        if !is_current {
            self.in_flight.given_up -= 1;
        } else if outcome.generation == self.generation {
            self.in_flight.current -= 1;
        } else {
            self.in_flight.before_move -= 1;
        }
        let was_left = self.left.is_some_and(|left| left.socket == socket);
        match outcome.result {
            BatchEnd::Replied(calls, values, sent) => {
                let now = Instant::now();
                self.shared.traffic.count_replied(calls.len(), now - sent);
                let came = match outcome.was_direct {
                    true => arrival(sent, now),
                    false => now,
                };
                let (unanswered, must_leave) = self.answer_calls(calls, values, was_left, came);
                if must_leave && is_current {
                    let at = Instant::now();
                    self.left = Some(Left { socket, at });
                    self.reconnect();
                } else if !must_leave && !was_left {
                    self.attempts = 0;
                    if is_current {
                        self.offer_direct_route();
                    }
                }
                let is_redirected = |call: &Unanswered| matches!(call, Unanswered::Redirected(..));
                if is_current && unanswered.iter().any(is_redirected) {
                    self.slots_moved();
                }
                unanswered
            }
            BatchEnd::Lost(calls, error) => {
                // A batch may know before the link does, and must not go out there again.
                if is_current {
                    self.reconnect();
                }
                let by_us = was_left || self.replaced == Some(socket);
                self.take_back(calls, &error, by_us)
            }
            BatchEnd::Silent => {
                if is_current {
                    self.reconnect();
                }
                Vec::new()
            }
        }
    }

    /// Lets the JS thread use the connection directly. Only of a master that has answered, so that an
    /// answer that this room does not see tells it nothing new.
    fn offer_direct_route(&mut self) {
        // With a near cache few calls are left, and the supervisor must know what was read.
        let is_other = self.node.is_some() || self.shared.tracking.is_some();
        if self.has_direct_route || is_other || !self.role.is_known_master() {
            return;
        }
        let Link::Open(open) = &self.link else {
            return;
        };
        let Some(wire) = open.direct() else {
            return;
        };
        self.has_direct_route = true;
        self.shared.set_direct_route(Some(DirectRoute {
            wire,
            socket: self.generation.socket,
            server: self.name.clone(),
            supervisor: self.shared.supervisor_waker(),
        }));
    }

    /// Takes the route back.
    fn withdraw_direct_route(&mut self) {
        if take(&mut self.has_direct_route) {
            self.shared.set_direct_route(None);
        }
    }

    /// Gives each call its replies. Returns the calls that were not carried out, and whether the
    /// server is not the one to talk to, so that the connection must be left. With `was_left` the
    /// connection was left because of a call before these. `now` is when the replies came.
    fn answer_calls(
        &mut self,
        calls: Vec<Call>,
        values: Vec<Value>,
        was_left: bool,
        now: Instant,
    ) -> (Vec<Unanswered>, bool) {
        let mut unanswered = Vec::new();
        let mut must_leave = false;
        let mut sent_again = SentAgain::new(was_left);
        let mut values = values.into_iter();
        let shared = self.shared.clone();
        shared.completions.push_all(|events| {
            events.reserve(calls.len());
            for mut call in calls {
                let count = call.command.replies();
                let mut own;
                let replies = if call.asking {
                    own = without_asking(values.by_ref().take(2 * count));
                    &mut own
                } else {
                    &mut values
                };
                let refusal = match replies.as_slice().first() {
                    Some(_) if call.is_open() && sent_again.includes(&call) => Some(Refusal::Leave),
                    Some(Value::ServerError(error)) if call.is_open() => self.refusal(error, now),
                    Some(Value::ServerError(_)) => None,
                    _ => {
                        if call.command.is_write() {
                            self.role.confirm_master();
                        }
                        None
                    }
                };
                if matches!(refusal, Some(Refusal::Leave)) {
                    sent_again.insert(&call);
                }
                must_leave |= matches!(refusal, Some(Refusal::Leave | Refusal::LeaveAndAnswer));
                let refusal = match refusal {
                    None | Some(Refusal::LeaveAndAnswer) => {
                        let came = now.into_std();
                        match call.command.read(replies, call.name, &self.name, came) {
                            Read::Answer(answer) => call.answer(answer, events),
                            Read::Again(_) if call.deadline <= now => {
                                let limit = shared.limits.command;
                                let conflict = StoreError::conflict(call.name, &self.name, limit);
                                call.answer(Err(conflict), events);
                            }
                            Read::Again(learned) => {
                                self.compares_by = learned.unwrap_or(self.compares_by);
                                call.asking = false;
                                unanswered.push(Unanswered::Unsent(call));
                            }
                        }
                        continue;
                    }
                    Some(refusal) => refusal,
                };
                replies.take(count).for_each(drop);
                call.asking = false;
                unanswered.push(match refusal {
                    Refusal::Redirected(redirect) => Unanswered::Redirected(call, redirect),
                    Refusal::Unserved(why) => Unanswered::Unserved(call, why),
                    Refusal::Leave | Refusal::LeaveAndAnswer => Unanswered::Unsent(call),
                });
            }
        });
        (unanswered, must_leave)
    }

    /// Returns what follows from an error that says that the command was not carried out; `None` if
    /// the error is the call's answer.
    fn refusal(&mut self, error: &ServerError, now: Instant) -> Option<Refusal> {
        self.withdraw_direct_route();
        if self.shared.hands_back() {
            // A connection that follows a client answers as the client would. But a server that has
            // become a replica is left to the client, which may know another.
            return (error.code() == READONLY).then_some(Refusal::Leave);
        }
        if let Some(node) = &self.node {
            if let Some(redirect) = redirect(error, &node.host) {
                return Some(Refusal::Redirected(redirect));
            }
            if matches!(error.code(), "CLUSTERDOWN" | "TRYAGAIN" | READONLY) {
                return Some(Refusal::Unserved(ConnectError::from(error)));
            }
        }
        let limits = self.shared.limits;
        if error.code() == READONLY {
            // A master that has become a replica: soon its name is that of the new master. But a
            // replica that was never a master may be meant: then reads go on and writes get the error,
            // with a look every now and then whether the name has moved.
            let since = self.role.confirm_replica(now);
            let was_master = self.role.was_master || self.target.is_sentinel();
            let waits = was_master && now - since < limits.command && !limits.fail_fast;
            let may_look = |left: Left| now - left.at >= LOOK_FOR_MASTER;
            if !waits && !self.left.is_none_or(may_look) {
                return None;
            }
        } else if !is_transient(error.code()) {
            return None;
        }
        if limits.fail_fast {
            return Some(Refusal::LeaveAndAnswer);
        }
        self.last_error = Some(ConnectError::from(error));
        Some(Refusal::Leave)
    }

    /// Takes back the calls of a broken connection that may be sent once more, and rejects the others.
    /// With `by_us` the store itself closed the connection.
    fn take_back(&self, calls: Vec<Call>, error: &RedisError, by_us: bool) -> Vec<Unanswered> {
        let mut unanswered = Vec::new();
        self.shared.completions.push_all(|events| {
            for mut call in calls.into_iter().filter(Call::is_open) {
                let is_last = call.retried || !call.command.can_be_sent_again();
                if is_last && !by_us && !self.shared.hands_back() {
                    let lost = StoreError::lost(call.name, &self.name, error);
                    call.answer(Err(lost), events);
                } else {
                    call.retried |= !by_us;
                    call.asking = false;
                    call.command.lost();
                    unanswered.push(Unanswered::Unsent(call));
                }
            }
        });
        unanswered
    }

    /// Returns the first deadline of the calls that wait.
    pub fn first_deadline(&self) -> Option<Instant> {
        self.waiting.first_deadline()
    }

    /// Rejects the calls that have waited for a connection as long as they may.
    pub fn expire(&mut self, now: Instant) {
        let late = self.waiting.take_late(now);
        self.shared
            .reject_late(late, &self.name, self.last_error.as_ref());
    }
}

/// Returns the replies to the commands alone, if each had an ASKING before it. If both were refused, the
/// first error says why.
fn without_asking(mut replies: impl Iterator<Item = Value>) -> std::vec::IntoIter<Value> {
    let mut own = Vec::new();
    while let (Some(asking), Some(reply)) = (replies.next(), replies.next()) {
        own.push(match (asking, reply) {
            (refused @ Value::ServerError(_), Value::ServerError(_)) => refused,
            (_, reply) => reply,
        });
    }
    own.into_iter()
}
