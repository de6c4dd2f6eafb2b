//! Batches between the JS thread and the I/O thread: a queue and one wake in each direction.
//!
//! Crossing threads per call is what makes native addons slow. Here the calls that one run of JS
//! makes are queued and wake the I/O thread once, which sends them as one pipeline; replies are
//! queued the other way, and the JS thread is woken once for as many as there are when it looks.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use napi::bindgen_prelude::retain_current_module_for_unload_safety;
use redis::{Cmd, Value};
use tokio::runtime;
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};

use crate::error::{ConnectError, ServerName, StoreError};
use crate::io::lane::LaneId;
use crate::io::scan::Sweep;
use crate::io::supervisor;
use crate::napi::raw::Doorbell;
use crate::redis::{CredentialReply, Topology};
use crate::session::command::{Command, Reply};

/// The fewest news the JS thread takes at once, where there are so many.
const SHARE: usize = 32;

/// What messages call the server that the app's client is connected to.
const THE_CLIENTS_SERVER: &str = "the client's server";

/// The number under which the face keeps a call's promise, or the JS thread a sweep's.
pub type CallId = u32;

/// How long things may take.
#[derive(Clone, Copy)]
pub struct Limits {
    /// From a call's arrival on the I/O thread to its answer.
    pub command: Duration,
    /// For one attempt to connect and log in.
    pub connect: Duration,
    /// Whether calls are rejected, rather than kept waiting, while there is no connection.
    pub fails_at_once: bool,
}

/// The state of a store's connection.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
pub enum Status {
    /// No connection has been made yet.
    Connecting,
    Ready,
    /// There was a connection; a new one is being made.
    Reconnecting,
    /// By `close()`; for good.
    Closed,
}

/// A call on its way from the JS thread to Redis.
pub struct Call {
    /// The store's method, for messages.
    pub name: &'static str,
    pub command: Command,
    /// When it was made; from its arrival on the I/O thread on, when it must be answered. Counted
    /// from there, as JS that runs for long before it yields is not the server's fault.
    pub deadline: Instant,
    /// Its place in the order of calls, given on arrival.
    pub serial: u64,
    /// Whether it has been sent on a connection that then broke: it is sent twice at most.
    pub retried: bool,
    /// Who is to have it; only a cluster knows more than one.
    pub to: To,
    /// Whether a node that does not have its slot yet is to be told that it has been sent on to it.
    pub asking: bool,
    /// How often it has been sent on.
    pub redirections: u8,
    asker: Option<Asker>,
}

/// Which node of a cluster is to have a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum To {
    /// The one that has its key.
    Key,
    /// The one of this lane.
    Lane(LaneId),
    /// None: it asks which lanes lead to a master now.
    Masters,
}

/// Who waits for the answer.
enum Asker {
    /// A promise of the JS thread.
    Js(CallId, Arc<Outbox>),
    /// A task of the I/O thread that makes several calls.
    Task(oneshot::Sender<Result<Reply, StoreError>>),
}

impl Call {
    fn new(name: &'static str, command: Command, to: To, called: Instant, asker: Asker) -> Call {
        Call {
            name,
            command,
            deadline: called,
            serial: 0,
            retried: false,
            to,
            asking: false,
            redirections: 0,
            asker: Some(asker),
        }
    }

    /// Whether somebody still waits for the answer.
    pub fn is_open(&self) -> bool {
        self.asker.is_some()
    }

    /// Gives the call back to the JS thread, its command with it. A sweep is given back as a whole
    /// (`store.rs`).
    pub fn give_back(mut self, server: &str, news: &mut Vec<News>) {
        if let Some(Asker::Js(id, _)) = self.asker {
            let given_back = GivenBack {
                command: self.take_command(),
                deadline: self.deadline,
            };
            news.push(News::GivenBack(id, Box::new(given_back)));
            self.asker = None;
        } else {
            let lost = StoreError::connection_lost(self.name, server);
            self.answer(Err(lost), news);
        }
    }

    fn take_command(&mut self) -> Command {
        std::mem::replace(&mut self.command, Command::Raw(Vec::new()))
    }

    /// Answers the call. Answers to JS are collected in `news`, for one wake a batch.
    pub fn answer(&mut self, answer: Result<Reply, StoreError>, news: &mut Vec<News>) {
        match self.asker.take() {
            Some(Asker::Js(id, _)) => news.push(News::Answer(id, answer)),
            Some(Asker::Task(sender)) => {
                let _ = sender.send(answer); // The task may be gone: then nobody waits.
            }
            None => {}
        }
    }
}

impl Drop for Call {
    /// No call is ever left without an answer, not even by a panic on the I/O thread.
    fn drop(&mut self) {
        if let Some(Asker::Js(id, outbox)) = self.asker.take() {
            outbox.push([News::Answer(id, Err(StoreError::internal(self.name)))]);
        }
    }
}

/// What the I/O thread tells the JS thread.
pub enum News {
    Answer(CallId, Result<Reply, StoreError>),
    /// A part of the answer to a sweep over the keyspace.
    Part(CallId, Part),
    /// The sweep's last word, after all its parts: the number of keys, where it counts them.
    Swept(CallId, Result<Option<usize>, StoreError>),
    /// Commands of a sweep that the app's client is to carry.
    Ask(Box<Call>),
    /// An attempt to connect needs what a function of the app's gives, by its place.
    Credential(usize, CredentialReply),
    Status(Status),
    /// A call that the connection was lost under, for another to carry it until its deadline.
    GivenBack(CallId, Box<GivenBack>),
    /// An attempt to connect has failed, and why; another follows.
    Failed(ConnectError),
    /// The connection is closed and no more news will come.
    End,
}

/// What another is to carry out, and until when.
pub struct GivenBack {
    pub command: Command,
    pub deadline: Instant,
}

impl News {
    /// About how many bytes the JS thread has to work on.
    pub fn size(&self) -> usize {
        const SMALL: usize = 256;
        match self {
            News::Answer(_, Ok(Reply::Session { text, .. })) => SMALL + text.len(),
            _ => SMALL,
        }
    }
}

/// A part of a sweep's result. The JS thread drops it when it has taken it in, which lets the
/// I/O thread send another: so a slow reader holds up the scan and not the memory.
pub struct Part {
    pub records: VecDeque<Record>,
    pub _credit: OwnedSemaphorePermit,
}

/// One key of a sweep.
pub struct Record {
    /// The key without the prefix.
    pub id: Vec<u8>,
    /// The stored text, where the sweep reads it.
    pub text: Option<Vec<u8>>,
    /// The key's expiry, as in [`Reply::Session`].
    pub expires: Option<f64>,
}

/// News waiting for the JS thread.
pub struct Outbox {
    news: Mutex<VecDeque<News>>,
    bell: Arc<Doorbell>,
}

impl Outbox {
    pub fn new(bell: Arc<Doorbell>) -> Arc<Outbox> {
        Arc::new(Outbox {
            news: Mutex::default(),
            bell,
        })
    }

    /// Queues news and wakes the JS thread.
    pub fn push(&self, news: impl IntoIterator<Item = News>) {
        lock(&self.news).extend(news);
        self.bell.ring();
    }

    /// Takes a share of what is queued; true says that something is left. The JS thread works on
    /// the calls that the share brings forth before it takes the next, so that these are on their
    /// way meanwhile and neither thread waits for the other.
    pub fn take_share(&self) -> (VecDeque<News>, bool) {
        let mut news = lock(&self.news);
        let share = (news.len() / 2).max(SHARE);
        if news.len() <= share {
            return (std::mem::take(&mut *news), false);
        }
        let rest = news.split_off(share);
        (std::mem::replace(&mut *news, rest), true)
    }

    /// Puts back, in front, what was taken and not used.
    pub fn put_back(&self, mut unused: VecDeque<News>) {
        let mut news = lock(&self.news);
        unused.append(&mut news);
        *news = unused;
    }
}

/// What the JS thread and a store's supervisor share.
pub struct Shared {
    inbox: Mutex<Inbox>,
    pub wake: Notify,
    pub outbox: Arc<Outbox>,
    pub server: ServerName,
    pub limits: Limits,
    status: AtomicU8,
    /// Whether commands are handed back to the JS thread, for the app's client to carry them.
    pub by_client: bool,
    /// Whether a lost connection is the end, and what was under way is given back: there is a
    /// client that can go on.
    pub gives_back: bool,
    /// Whether that has happened.
    pub has_given_up: AtomicBool,
    /// How many connections were lost or left.
    pub lost: AtomicU64,
    /// Whether there are several servers, each with a part of the keys.
    pub is_cluster: bool,
    /// Whether a server has been silent for too long, so that another may have taken its place.
    in_doubt: AtomicBool,
}

#[derive(Default)]
struct Inbox {
    calls: Vec<Call>,
    sweeps: Vec<Sweep>,
    closing: Option<Closing>,
    /// Sweeps that run without a supervisor.
    running: usize,
}

/// How a store ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Closing {
    /// Nobody can call it any more: what is under way is finished first.
    WhenIdle,
    /// At once.
    Now,
}

/// What came in since the supervisor last looked.
pub struct Arrivals {
    pub calls: Vec<Call>,
    pub sweeps: Vec<Sweep>,
    pub closing: Option<Closing>,
}

impl Shared {
    fn new(
        server: ServerName,
        limits: Limits,
        outbox: Arc<Outbox>,
        by_client: bool,
        gives_back: bool,
        is_cluster: bool,
    ) -> Arc<Shared> {
        Arc::new(Shared {
            inbox: Mutex::default(),
            wake: Notify::new(),
            outbox,
            server,
            limits,
            status: AtomicU8::new(Status::Connecting as u8),
            by_client,
            gives_back,
            has_given_up: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            is_cluster,
            in_doubt: AtomicBool::new(false),
        })
    }

    /// Says that a server has been silent for too long.
    pub fn doubt(&self) {
        self.in_doubt.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Whether that was said since the last time.
    pub fn take_doubt(&self) -> bool {
        self.in_doubt.swap(false, Ordering::Relaxed)
    }

    /// Takes what has come in.
    pub fn arrivals(&self) -> Arrivals {
        let mut inbox = lock(&self.inbox);
        Arrivals {
            calls: std::mem::take(&mut inbox.calls),
            sweeps: std::mem::take(&mut inbox.sweeps),
            closing: inbox.closing,
        }
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
            self.outbox.push([News::Status(status)]);
        }
    }

    /// Queues a call; false where the store is closed.
    fn enqueue(&self, call: Call) -> bool {
        let mut inbox = lock(&self.inbox);
        if inbox.closing == Some(Closing::Now) {
            return false;
        }
        inbox.calls.push(call);
        true
    }

    /// Sends a call for a task of the I/O thread, within `commandTimeout`.
    async fn request(
        &self,
        name: &'static str,
        command: Command,
        to: To,
    ) -> Result<Reply, StoreError> {
        let (sender, receiver) = oneshot::channel();
        let call = Call::new(name, command, to, Instant::now(), Asker::Task(sender));
        if self.by_client {
            if lock(&self.inbox).closing == Some(Closing::Now) {
                return Err(StoreError::closed(name));
            }
            self.outbox.push([News::Ask(Box::new(call))]);
        } else if !self.enqueue(call) {
            return Err(StoreError::closed(name));
        } else {
            self.wake.notify_one();
        }
        receiver
            .await
            .unwrap_or_else(|_| Err(StoreError::closed(name)))
    }

    /// Has commands carried out for a task of the I/O thread; one value a command.
    pub async fn ask(
        &self,
        name: &'static str,
        commands: Vec<Cmd>,
        to: To,
    ) -> Result<Vec<Value>, StoreError> {
        match self.request(name, Command::Raw(commands), to).await? {
            Reply::Raw(values) => Ok(values),
            _ => Err(StoreError::unexpected(name, &self.server)),
        }
    }

    /// Has commands on one key each carried out by the nodes of a cluster that have the keys.
    pub async fn ask_nodes(
        &self,
        name: &'static str,
        commands: impl Iterator<Item = Command>,
    ) -> Vec<Result<Reply, StoreError>> {
        // They are all queued before the first is waited for.
        join_all(commands.map(|command| self.request(name, command, To::Key))).await
    }

    /// The lanes to all masters of a cluster, as it is now.
    pub async fn masters(&self, name: &'static str) -> Result<Vec<LaneId>, StoreError> {
        match self
            .request(name, Command::Raw(Vec::new()), To::Masters)
            .await?
        {
            Reply::Masters(lanes) => Ok(lanes),
            _ => Err(StoreError::unexpected(name, &self.server)),
        }
    }

    /// Marks the store closed: from here on calls are refused.
    pub fn shut(&self, closing: Closing) {
        let mut inbox = lock(&self.inbox);
        let was_closed = inbox.closing == Some(Closing::Now);
        if !was_closed {
            inbox.closing = Some(closing);
        }
        let is_idle = inbox.running == 0;
        drop(inbox);
        if closing == Closing::Now {
            self.status.store(Status::Closed as u8, Ordering::Release);
        }
        // Without a supervisor it is here that the end is told.
        if self.by_client && !was_closed && (closing == Closing::Now || is_idle) {
            self.outbox.push([News::End]);
        }
        self.wake.notify_one();
    }

    /// Runs a sweep of a store without a supervisor.
    async fn run_sweep(self: Arc<Shared>, sweep: Sweep) {
        sweep.run(self.clone()).await;
        let mut inbox = lock(&self.inbox);
        inbox.running -= 1;
        let is_last = inbox.running == 0 && inbox.closing == Some(Closing::WhenIdle);
        drop(inbox);
        if is_last {
            self.outbox.push([News::End]);
        }
    }
}

/// A call that JS has made: the number it knows it by, the store's method, what it asks of Redis.
pub type Made = (CallId, &'static str, Command);

/// Why calls are not queued.
pub enum Refused {
    Closed(Vec<Made>),
    /// The connection was lost; another is to carry the commands.
    GivenBack(Vec<Made>),
}

/// The JS thread's end of a store's connection.
pub struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    /// Starts to connect, on the I/O thread. The error says why that thread cannot run.
    /// With `gives_back` a lost connection is the end: see [`News::GivenBack`].
    pub fn start(
        transport: Topology,
        limits: Limits,
        outbox: Arc<Outbox>,
        gives_back: bool,
    ) -> Result<Engine, String> {
        let is_cluster = matches!(transport, Topology::Cluster(_));
        let server = transport.server_name();
        let shared = Shared::new(server, limits, outbox, false, gives_back, is_cluster);
        io_thread()?.spawn(supervisor::run(shared.clone(), transport));
        Ok(Engine { shared })
    }

    /// For a store whose commands the app's client carries: only sweeps run on the I/O thread, and
    /// send their commands back to the JS thread, as [`News::Ask`].
    pub fn by_client(limits: Limits, outbox: Arc<Outbox>) -> Result<Engine, String> {
        io_thread()?;
        Ok(Engine {
            shared: Shared::new(
                THE_CLIENTS_SERVER.into(),
                limits,
                outbox,
                true,
                false,
                false,
            ),
        })
    }

    /// Queues calls; their answers come back as [`News::Answer`].
    pub fn send(&self, calls: Vec<Made>, called: Instant) -> Result<(), Refused> {
        let mut inbox = lock(&self.shared.inbox);
        if inbox.closing == Some(Closing::Now) {
            return Err(if self.has_given_up() {
                Refused::GivenBack(calls)
            } else {
                Refused::Closed(calls)
            });
        }
        inbox
            .calls
            .extend(calls.into_iter().map(|(id, name, command)| {
                let asker = Asker::Js(id, self.shared.outbox.clone());
                Call::new(name, command, To::Key, called, asker)
            }));
        drop(inbox);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Starts a sweep over the keyspace; it answers with [`News::Part`] and [`News::Swept`].
    pub fn sweep(&self, sweep: Sweep) -> Result<(), StoreError> {
        let mut inbox = lock(&self.shared.inbox);
        if inbox.closing == Some(Closing::Now) {
            return Err(StoreError::closed(sweep.name));
        }
        if self.shared.by_client {
            inbox.running += 1;
            drop(inbox);
            // The thread has been started with the engine.
            if let Ok(thread) = io_thread() {
                thread.spawn(self.shared.clone().run_sweep(sweep));
            }
        } else {
            inbox.sweeps.push(sweep);
            drop(inbox);
            self.shared.wake.notify_one();
        }
        Ok(())
    }

    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Whether the connection was lost, and what was under way is given back.
    pub fn has_given_up(&self) -> bool {
        self.shared.has_given_up.load(Ordering::Acquire)
    }

    /// What messages call the server.
    pub fn server(&self) -> &str {
        &self.shared.server
    }

    pub fn limits(&self) -> Limits {
        self.shared.limits
    }

    /// Ends the store: see [`Closing`]. [`News::End`] follows. Doing it again does nothing.
    pub fn close(&self, closing: Closing) {
        self.shared.shut(closing);
    }
}

/// The one I/O thread of the process, shared by every store and worker thread; it runs for as
/// long as the process does.
fn io_thread() -> Result<&'static runtime::Handle, String> {
    static HANDLE: OnceLock<Result<runtime::Handle, String>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            // As build.rs has it on Linux: the thread runs this code for as long as the process
            // lives, and Node unmaps an addon when the last worker that loaded it ends.
            retain_current_module_for_unload_safety();
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| format!("cannot start the I/O thread: {error}"))?;
            let handle = runtime.handle().clone();
            std::thread::Builder::new()
                .name("connect-redis".into())
                .spawn(move || runtime.block_on(std::future::pending::<()>()))
                .map_err(|error| format!("cannot start the I/O thread: {error}"))?;
            Ok(handle)
        })
        .as_ref()
        .map_err(Clone::clone)
}

/// Locks, also after a panic elsewhere: every critical section here leaves the data whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
