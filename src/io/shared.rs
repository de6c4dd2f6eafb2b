//! What the JS thread and a store's tasks on the I/O thread share: the calls that go one way, the
//! events that go the other, and what both must know of the connection.
//!
//! Native addons are slow if they cross threads for each call. Here the calls that one run of JS makes
//! are queued and wake the I/O thread once, which sends them as one pipeline.

use std::collections::VecDeque;
use std::mem::take;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Wake, Waker};

use futures_util::future::{Either, join_all};
use redis::{Cmd, Value};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::error::{ConnectError, ServerName, StoreError};
use crate::io::call::{Call, ConnectionId, Destination, MastersRequest, NewCall};
use crate::io::completions::CompletionQueue;
use crate::io::direct::{DirectBatch, DirectCalls, DirectPoll, DirectRoute};
use crate::io::event::{ClientCommands, Event, Status};
use crate::io::limits::Limits;
use crate::io::lock::lock;
use crate::io::scan_request::ScanRequest;
use crate::io::traffic::Traffic;
use crate::redis::resp::HeadSender;
use crate::redis::{Peer, SocketWatch, Tracking};
use crate::session::command::{Command, Reply};

/// Whose connection carries the commands, and what follows from that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Carrier {
    /// A connection of the store's own to one server. If it belongs to an app's client, a lost
    /// connection is the end, and what was in flight is handed back: the client goes on.
    Server { hands_back: bool },
    /// Connections of the store's own to the masters of a cluster.
    Cluster { hands_back: bool },
    /// The app's client executes the commands, on the JS thread.
    Client,
}

/// What the two threads share of one store.
pub struct Shared {
    submissions: Mutex<Submissions>,
    /// Wakes the supervisor.
    pub wake: Notify,
    pub completions: Arc<CompletionQueue>,
    /// What messages call the server.
    pub server: ServerName,
    pub limits: Limits,
    pub carrier: Carrier,
    /// What the servers say for the near cache, if there is one (`cache`).
    pub tracking: Option<Arc<Tracking>>,
    status: AtomicU8,
    has_handed_back: AtomicBool,
    /// How many connections were lost or left.
    pub reconnects: AtomicU64,
    pub traffic: Traffic,
    /// Where the connection goes; the first node of a cluster. `None` if sentinels have named no master
    /// yet.
    peer: Mutex<Option<Peer>>,
    is_suspect: AtomicBool,
}

/// What the JS thread has submitted.
#[derive(Default)]
struct Submissions {
    calls: Vec<Call>,
    scans: Vec<ScanRequest>,
    masters: Vec<MastersRequest>,
    closing: Option<Closing>,
    /// Whether the supervisor had nothing to do when it last looked.
    is_quiet: bool,
    direct: DirectCalls,
    /// Scans that run without a supervisor.
    running_scans: usize,
}

/// What follows for the JS thread when it has submitted calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Submitted {
    /// Nothing: their answers come as events.
    Done,
    /// The same, but they come sooner if [`Shared::poll_direct`] is called.
    MayPoll,
}

/// How a store ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Closing {
    /// Nobody can call it any more: what is under way is finished first.
    WhenIdle,
    /// At once.
    Now,
}

/// What was submitted since the supervisor last looked.
pub struct Arrivals {
    /// What the JS thread has sent itself, before the calls.
    pub direct: VecDeque<DirectBatch>,
    /// Whether it has sent anything.
    pub was_direct_used: bool,
    pub calls: Vec<Call>,
    pub scans: Vec<ScanRequest>,
    pub masters: Vec<MastersRequest>,
    pub closing: Option<Closing>,
}

/// Wakes the supervisor of a store, if there still is one.
struct SupervisorWaker(Weak<Shared>);

impl Wake for SupervisorWaker {
    fn wake(self: Arc<Self>) {
        if let Some(shared) = self.0.upgrade() {
            shared.wake.notify_one();
        }
    }
}

impl Submissions {
    fn take(&mut self) -> Arrivals {
        self.is_quiet = false;
        Arrivals {
            direct: self.direct.take(),
            was_direct_used: self.direct.take_used(),
            calls: take(&mut self.calls),
            scans: take(&mut self.scans),
            masters: take(&mut self.masters),
            closing: self.closing,
        }
    }
}

impl Shared {
    pub fn new(
        carrier: Carrier,
        server: ServerName,
        limits: Limits,
        completions: Arc<CompletionQueue>,
        tracking: Option<Arc<Tracking>>,
    ) -> Arc<Shared> {
        Arc::new(Shared {
            submissions: Mutex::default(),
            wake: Notify::new(),
            completions,
            server,
            limits,
            carrier,
            tracking,
            status: AtomicU8::new(Status::Connecting as u8),
            has_handed_back: AtomicBool::new(false),
            reconnects: AtomicU64::new(0),
            traffic: Traffic::default(),
            peer: Mutex::default(),
            is_suspect: AtomicBool::new(false),
        })
    }

    /// Whether the app's client executes the commands.
    pub fn is_through_client(&self) -> bool {
        self.carrier == Carrier::Client
    }

    /// Whether there are several servers, each with a part of the keys.
    pub fn is_cluster(&self) -> bool {
        matches!(self.carrier, Carrier::Cluster { .. })
    }

    /// Whether a lost connection is the end, because a client can go on.
    pub fn hands_back(&self) -> bool {
        match self.carrier {
            Carrier::Server { hands_back } | Carrier::Cluster { hands_back } => hands_back,
            Carrier::Client => false,
        }
    }

    /// Whether the connection was lost, and what was in flight is handed back.
    pub fn has_handed_back(&self) -> bool {
        self.has_handed_back.load(Ordering::Acquire)
    }

    /// From now on calls are handed back.
    pub fn set_handed_back(&self) {
        self.has_handed_back.store(true, Ordering::Release);
    }

    /// Keys have moved to another server: drops every copy of the near cache, if there is one.
    pub fn drop_copies(&self) {
        if let Some(tracking) = &self.tracking {
            tracking.drop_all();
        }
    }

    /// Where the connection goes.
    pub fn peer(&self) -> Option<Peer> {
        lock(&self.peer).clone()
    }

    pub fn set_peer(&self, peer: Option<Peer>) {
        *lock(&self.peer) = peer;
    }

    /// A server has been silent for too long: another may have taken its place.
    pub fn suspect(&self) {
        self.is_suspect.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Whether a server was suspected since the last time.
    pub fn take_suspect(&self) -> bool {
        self.is_suspect.swap(false, Ordering::Relaxed)
    }

    pub fn status(&self) -> Status {
        match self.status.load(Ordering::Acquire) {
            0 => Status::Connecting,
            1 => Status::Ready,
            2 => Status::Reconnecting,
            _ => Status::Closed,
        }
    }

    /// Sets the status and tells JS; a closed store stays closed.
    pub fn set_status(&self, status: Status) {
        let change = |old| (old != Status::Closed as u8).then_some(status as u8);
        let old = self
            .status
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
        if old.is_ok_and(|old| old != status as u8) {
            self.completions.push([Event::Status(status)]);
        }
    }

    /// Submits calls of JS, made at `called`; or sends them, if the supervisor has nothing to do and few calls
    /// wait for an answer. `waiting` is how many do, these among them. A closed store hands them back.
    pub fn submit(
        &self,
        calls: Vec<NewCall>,
        waiting: usize,
        called: Instant,
    ) -> Result<Submitted, Vec<NewCall>> {
        let mut submissions = lock(&self.submissions);
        if submissions.closing == Some(Closing::Now) {
            return Err(calls);
        }
        if calls.is_empty() {
            return Ok(Submitted::Done); // Nothing could be made of any. An empty write would look like an error.
        }
        let of_js = |call| Call::of_js(call, called, self.completions.clone());
        let mut calls: Vec<Call> = calls.into_iter().map(of_js).collect();
        if submissions.is_quiet && submissions.calls.is_empty() && submissions.closing.is_none() {
            match submissions
                .direct
                .send(calls, waiting, self.limits, &self.traffic)
            {
                Ok(true) => return Ok(Submitted::MayPoll),
                Ok(false) => return Ok(Submitted::Done),
                Err(unsent) => calls = unsent,
            }
        }
        submissions.calls.append(&mut calls);
        drop(submissions);
        self.wake.notify_one();
        Ok(Submitted::Done)
    }

    /// Looks for the replies to what [`Shared::submit`] has sent itself. The answers are queued without
    /// a wake of the JS thread, which calls this.
    pub fn poll_direct(&self) -> DirectPoll {
        self.look_for_replies(DirectCalls::poll, CompletionQueue::push_unseen)
    }

    /// From now on `watch` tells when late replies to what [`Shared::submit`] has sent itself have come;
    /// then [`Shared::read_direct`] must be called. It does not keep `watch`.
    pub fn watch_direct(&self, watch: &Arc<SocketWatch>) {
        lock(&self.submissions).direct.set_watch(watch);
    }

    /// Reads late replies. The JS thread is woken if there are answers.
    pub fn read_direct(&self) {
        self.look_for_replies(DirectCalls::read_late, CompletionQueue::push);
    }

    /// Looks by `read`, and queues the answers by `push`.
    fn look_for_replies(
        &self,
        read: fn(&mut DirectCalls, &Traffic, &mut Vec<Event>) -> DirectPoll,
        push: fn(&CompletionQueue, Vec<Event>),
    ) -> DirectPoll {
        let mut events = Vec::new();
        let polled = read(
            &mut lock(&self.submissions).direct,
            &self.traffic,
            &mut events,
        );
        if !events.is_empty() {
            push(&self.completions, events);
        }
        if polled == DirectPoll::Unanswered {
            self.wake.notify_one();
        }
        polled
    }

    /// Wakes the supervisor. It does not keep the store.
    pub fn supervisor_waker(self: &Arc<Shared>) -> Waker {
        Waker::from(Arc::new(SupervisorWaker(Arc::downgrade(self))))
    }

    /// Sets which connection the JS thread may use itself; `None` if it must not.
    pub fn set_direct_route(&self, route: Option<DirectRoute>) {
        lock(&self.submissions).direct.set_route(route);
    }

    /// The supervisor has nothing to do, unless something has just been submitted. Returns whether the
    /// JS thread may send something itself now: then the supervisor must look within `commandTimeout`.
    pub fn set_quiet(&self) -> bool {
        let mut submissions = lock(&self.submissions);
        submissions.is_quiet = submissions.direct.has_route();
        submissions.is_quiet
    }

    /// Submits a scan to the supervisor. The error says that the store is closed.
    pub fn submit_scan(&self, scan: ScanRequest) -> Result<(), StoreError> {
        let mut submissions = lock(&self.submissions);
        if submissions.closing == Some(Closing::Now) {
            return Err(StoreError::closed(scan.name));
        }
        submissions.scans.push(scan);
        drop(submissions);
        self.wake.notify_one();
        Ok(())
    }

    /// A scan begins that runs without a supervisor. The error says that the store is closed.
    pub fn begin_scan(&self, name: &str) -> Result<(), StoreError> {
        let mut submissions = lock(&self.submissions);
        if submissions.closing == Some(Closing::Now) {
            return Err(StoreError::closed(name));
        }
        submissions.running_scans += 1;
        Ok(())
    }

    /// A scan that ran without a supervisor has ended.
    pub fn end_scan(&self) {
        let mut submissions = lock(&self.submissions);
        submissions.running_scans -= 1;
        let is_last =
            submissions.running_scans == 0 && submissions.closing == Some(Closing::WhenIdle);
        drop(submissions);
        if is_last {
            self.completions.push([Event::End]);
        }
    }

    /// Whether calls are refused.
    pub fn is_closed(&self) -> bool {
        lock(&self.submissions).closing == Some(Closing::Now)
    }

    /// Takes what was submitted.
    pub fn arrivals(&self) -> Arrivals {
        lock(&self.submissions).take()
    }

    /// Closes the store as [`Shared::close`] does. What was submitted is given to `answer`; only then are
    /// later calls refused, so that none of them overtakes what is handed back.
    pub fn end(&self, answer: impl FnOnce(Arrivals)) {
        let mut submissions = lock(&self.submissions);
        submissions.closing = Some(Closing::Now);
        answer(submissions.take());
        drop(submissions);
        self.status.store(Status::Closed as u8, Ordering::Release);
    }

    /// Executes commands for a task of the I/O thread, within `commandTimeout`. They are on their way
    /// when this returns. Resolves to one value a command, errors of the server among them.
    pub fn execute(
        &self,
        name: &'static str,
        commands: Vec<Cmd>,
        destination: Destination,
    ) -> impl Future<Output = Result<Vec<Value>, StoreError>> {
        if self.is_through_client() {
            return Either::Left(self.execute_through_client(name, commands));
        }
        Either::Right(self.replies_to(name, Command::Raw(commands), destination))
    }

    /// The same with one SCAN. Its next cursor may be sent to `cursor` before.
    pub fn execute_scan(
        &self,
        name: &'static str,
        command: Cmd,
        cursor: HeadSender,
        destination: Destination,
    ) -> impl Future<Output = Result<Vec<Value>, StoreError>> {
        if self.is_through_client() {
            return Either::Left(self.execute_through_client(name, vec![command]));
        }
        Either::Right(self.replies_to(name, Command::Scan { command, cursor }, destination))
    }

    /// Executes commands on one key each, at the nodes of a cluster that have the keys. They are on their
    /// way when this returns.
    pub fn execute_at_nodes(
        &self,
        name: &'static str,
        commands: impl Iterator<Item = Command>,
    ) -> impl Future<Output = Vec<Result<Reply, StoreError>>> {
        join_all(commands.map(|command| self.call(name, command, Destination::Key)))
    }

    /// Executes a command at the node that has this key.
    pub async fn execute_at_key(
        &self,
        name: &'static str,
        key: &[u8],
        command: Cmd,
    ) -> Result<Value, StoreError> {
        let values = if self.is_through_client() {
            self.execute_through_client(name, vec![command]).await?
        } else {
            let key = key.to_vec();
            let on_key = Command::OnKey { key, command };
            match self.call(name, on_key, Destination::Key).await? {
                Reply::Raw(values) => values,
                _ => Vec::new(),
            }
        };
        let unexpected = || StoreError::unexpected(name, &self.server);
        values.into_iter().next().ok_or_else(unexpected)
    }

    /// Returns the connections to all masters of the cluster, as it is now.
    pub async fn masters(&self, name: &'static str) -> Result<Vec<ConnectionId>, StoreError> {
        let (reply, receiver) = oneshot::channel();
        let deadline = Instant::now() + self.limits.command;
        let request = MastersRequest {
            name,
            deadline,
            reply,
        };
        lock(&self.submissions).masters.push(request);
        self.wake.notify_one();
        let closed = |_| Err(StoreError::closed(name));
        receiver.await.unwrap_or_else(closed)
    }

    fn replies_to(
        &self,
        name: &'static str,
        command: Command,
        destination: Destination,
    ) -> impl Future<Output = Result<Vec<Value>, StoreError>> {
        let answer = self.call(name, command, destination);
        async move {
            match answer.await? {
                Reply::Raw(values) => Ok(values),
                _ => Err(StoreError::unexpected(name, &self.server)),
            }
        }
    }

    /// Submits a call at once. Resolves to its answer.
    fn call(
        &self,
        name: &'static str,
        command: Command,
        destination: Destination,
    ) -> impl Future<Output = Result<Reply, StoreError>> + use<> {
        let (call, answer) = Call::of_task(name, command, destination);
        let mut submissions = lock(&self.submissions);
        // A call that is dropped answers itself.
        if submissions.closing != Some(Closing::Now) {
            submissions.calls.push(call);
            drop(submissions);
            self.wake.notify_one();
        }
        async move {
            answer
                .await
                .unwrap_or_else(|_| Err(StoreError::closed(name)))
        }
    }

    /// Hands commands to the JS thread at once. Resolves to their replies.
    fn execute_through_client(
        &self,
        name: &'static str,
        commands: Vec<Cmd>,
    ) -> impl Future<Output = Result<Vec<Value>, StoreError>> + use<> {
        let (reply, receiver) = oneshot::channel();
        // Commands that are dropped answer themselves.
        if !self.is_closed() {
            let commands = ClientCommands {
                name,
                commands,
                reply,
            };
            self.completions.push([Event::ClientCommands(commands)]);
        }
        let closed = move |_| Err(StoreError::closed(name));
        async move { receiver.await.unwrap_or_else(closed) }
    }

    /// Rejects calls whose deadline passed while there was no connection to `server`, with the reason
    /// of the last failed attempt.
    pub fn reject_late(&self, late: Vec<Call>, server: &str, last_error: Option<&ConnectError>) {
        let limit = self.limits.command;
        self.completions.push_all(|events| {
            for mut call in late {
                let error = StoreError::unreachable(call.name, server, limit, last_error);
                call.answer(Err(error), events);
            }
        });
    }

    /// Rejects a call, since there is no connection to `server` and calls fail fast.
    pub fn reject_away(&self, mut call: Call, server: &str, last_error: &ConnectError) {
        let error = StoreError::away(call.name, server, last_error);
        self.completions
            .push_all(|events| call.answer(Err(error), events));
    }

    /// Closes the store: from here on calls are refused. Doing it again does nothing.
    pub fn close(&self, closing: Closing) {
        let mut submissions = lock(&self.submissions);
        let was_closed = submissions.closing == Some(Closing::Now);
        if !was_closed {
            submissions.closing = Some(closing);
        }
        let is_idle = submissions.running_scans == 0;
        drop(submissions);
        if closing == Closing::Now {
            self.status.store(Status::Closed as u8, Ordering::Release);
        }
        // Without a supervisor, nobody else tells JS the end.
        if self.is_through_client() && !was_closed && (closing == Closing::Now || is_idle) {
            self.completions.push([Event::End]);
        }
        self.wake.notify_one();
    }
}
