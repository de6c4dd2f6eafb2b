//! A store for tests of this room, without JS: its supervisor runs as a task of the test, and its
//! events are kept until the test asks for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::error::StoreError;
use crate::io::completions::{CompletionQueue, MIN_DRAIN};
use crate::io::direct::DirectPoll;
use crate::io::event::{CallId, Event, Status};
use crate::io::limits::Limits;
use crate::io::lock::lock;
use crate::io::shared::{Carrier, Closing, Shared, Submitted};
use crate::io::supervisor;
use crate::redis::test_network::{TestListener, TestPeer};
use crate::redis::{ClusterNodes, Server, Target, Topology};
use crate::session::clock::Clock;
use crate::session::command::{Command, Reply};
use crate::session::true_expiry::TrueExpiry;

pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const LIMITS: Limits = Limits {
    command: COMMAND_TIMEOUT,
    connect: CONNECT_TIMEOUT,
    fail_fast: false,
};
/// How long a test waits for an event.
const PATIENCE: Duration = Duration::from_secs(3600);

pub fn get(key: &str) -> Command {
    Command::Get {
        key: key.into(),
        expiry: TrueExpiry::Unasked,
        clock: Clock::new(0.0),
        keeps_base: false,
        seal: None,
    }
}

pub fn set(key: &str) -> Command {
    Command::Set {
        key: key.into(),
        value: b"v".to_vec(),
        expires_in: None,
        only_existing: false,
        seal: None,
    }
}

pub struct TestStore {
    pub shared: Arc<Shared>,
    woken: Arc<Notify>,
    answers: Mutex<HashMap<CallId, Result<Reply, StoreError>>>,
    others: Mutex<Vec<Event>>,
    next_id: Mutex<CallId>,
    pub supervisor: JoinHandle<()>,
}

impl TestStore {
    /// Over one server.
    pub fn over(server: Server) -> TestStore {
        let carrier = Carrier::Server { hands_back: false };
        TestStore::start(Topology::Single(Target::from(server)), carrier, LIMITS)
    }

    /// Over one server, with `onUnavailable`.
    pub fn failing_fast(server: Server) -> TestStore {
        let carrier = Carrier::Server { hands_back: false };
        let limits = Limits {
            fail_fast: true,
            ..LIMITS
        };
        TestStore::start(Topology::Single(Target::from(server)), carrier, limits)
    }

    /// Beside a client.
    pub fn beside_a_client(server: Server) -> TestStore {
        let carrier = Carrier::Server { hands_back: true };
        TestStore::start(Topology::Single(Target::from(server)), carrier, LIMITS)
    }

    /// Over a cluster.
    pub fn over_cluster(seeds: Vec<Server>) -> TestStore {
        let carrier = Carrier::Cluster { hands_back: false };
        TestStore::start(Topology::Cluster(ClusterNodes { seeds }), carrier, LIMITS)
    }

    fn start(topology: Topology, carrier: Carrier, limits: Limits) -> TestStore {
        let woken = Arc::new(Notify::new());
        let to_wake = woken.clone();
        let completions = CompletionQueue::new(move || to_wake.notify_one());
        let shared = Shared::new(carrier, topology.server_name(), limits, completions, None);
        let supervisor = tokio::spawn(supervisor::run(shared.clone(), topology));
        TestStore {
            shared,
            woken,
            answers: Mutex::default(),
            others: Mutex::default(),
            next_id: Mutex::default(),
            supervisor,
        }
    }

    /// Makes a call now. Returns its id.
    pub fn call(&self, command: Command) -> CallId {
        self.submit(command, 1).0
    }

    /// Makes a call when so many wait for an answer.
    pub fn submit(&self, command: Command, waiting: usize) -> (CallId, Submitted) {
        let mut next = lock(&self.next_id);
        *next += 1;
        let calls = vec![(*next, "call", command)];
        match self.shared.submit(calls, waiting, Instant::now()) {
            Ok(submitted) => (*next, submitted),
            Err(_) => panic!("the store is closed"),
        }
    }

    pub fn submit_nothing(&self) -> Submitted {
        let submitted = self.shared.submit(Vec::new(), 1, Instant::now());
        submitted.unwrap_or_else(|_| panic!("the store is closed"))
    }

    pub fn get(&self, key: &str) -> CallId {
        self.call(get(key))
    }

    pub fn set(&self, key: &str) -> CallId {
        self.call(set(key))
    }

    /// Makes a call, which must go out directly.
    pub fn call_directly(&self, command: Command) -> CallId {
        let (id, submitted) = self.submit(command, 1);
        assert_eq!(submitted, Submitted::MayPoll, "it is queued");
        id
    }

    /// Makes a call, which must not go out directly.
    pub fn call_queued(&self, command: Command) -> CallId {
        self.submit_queued(command, 1)
    }

    /// Makes a call while so many wait that it does not go out directly.
    pub fn call_among_many(&self, command: Command) -> CallId {
        self.submit_queued(command, 1000)
    }

    fn submit_queued(&self, command: Command, waiting: usize) -> CallId {
        let (id, submitted) = self.submit(command, waiting);
        assert_eq!(submitted, Submitted::Done, "it is sent directly");
        id
    }

    /// Looks for replies as the JS thread does.
    pub fn poll_direct(&self) -> DirectPoll {
        self.shared.poll_direct()
    }

    /// See [`Traffic::numbers`](crate::io::traffic::Traffic::numbers).
    pub fn traffic(&self) -> Vec<f64> {
        self.shared.traffic.numbers()
    }

    pub fn destroy(&self, key: &str) -> CallId {
        self.call(Command::Destroy { key: key.into() })
    }

    /// Waits for the answer of a call.
    pub async fn answer(&self, id: CallId) -> Result<Reply, StoreError> {
        let find = || lock(&self.answers).remove(&id);
        self.wait_for("an answer", find).await
    }

    /// Waits for a call to be rejected. Returns the error's code and message.
    pub async fn error(&self, id: CallId) -> (String, String) {
        let error = self.answer(id).await.unwrap_err();
        (error.code.as_str().to_string(), error.message)
    }

    /// Waits for an event that is no answer.
    pub async fn event<T>(&self, what: &str, read: impl Fn(&Event) -> Option<T>) -> T {
        let find = || {
            let mut others = lock(&self.others);
            let place = others.iter().position(|event| read(event).is_some())?;
            read(&others.remove(place))
        };
        self.wait_for(what, find).await
    }

    pub async fn status(&self, status: Status) {
        let is_it = |event: &Event| matches!(event, Event::Status(is) if *is == status);
        self.event("a status", |event| is_it(event).then_some(()))
            .await;
    }

    pub async fn end(&self) {
        let is_end = |event: &Event| matches!(event, Event::End).then_some(());
        self.event("the end", is_end).await;
    }

    async fn wait_for<T>(&self, what: &str, find: impl Fn() -> Option<T>) -> T {
        let wait = async {
            loop {
                self.drain();
                if let Some(found) = find() {
                    return found;
                }
                self.woken.notified().await;
            }
        };
        let waited = timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("{what} does not come"))
    }

    fn drain(&self) {
        loop {
            let (events, is_more) = self.shared.completions.drain(MIN_DRAIN);
            for event in events {
                match event {
                    Event::Answer(id, answer) => {
                        let earlier = lock(&self.answers).insert(id, answer);
                        assert!(earlier.is_none(), "a call is answered twice");
                    }
                    other => lock(&self.others).push(other),
                }
            }
            if !is_more {
                return;
            }
        }
    }

    pub fn close(&self, closing: Closing) {
        self.shared.close(closing);
    }
}

/// The session of this text.
pub fn text(text: &str) -> Reply {
    Reply::Session {
        text: text.into(),
        expires: None,
        base: None,
    }
}

/// What a node answers to a command; `None` if it stays silent.
pub type Script = Arc<dyn Fn(&[String]) -> Option<String> + Send + Sync>;

/// Serves every connection to an address by a script, after its login. Returns the commands that came.
pub fn serve(listener: TestListener, script: Script) -> Arc<Mutex<Vec<String>>> {
    let commands = Arc::new(Mutex::new(Vec::new()));
    let log = commands.clone();
    tokio::spawn(async move {
        loop {
            let peer = listener.accept().await;
            tokio::spawn(serve_connection(peer, script.clone(), log.clone()));
        }
    });
    commands
}

async fn serve_connection(mut peer: TestPeer, script: Script, log: Arc<Mutex<Vec<String>>>) {
    peer.accept_login().await;
    while let Some(command) = peer.command().await {
        let reply = script(&command);
        lock(&log).push(command.join(" "));
        match reply {
            Some(reply) => peer.reply(&reply).await,
            None => std::future::pending().await,
        }
    }
}
