//! A call on its way to Redis, and who waits for its answer.

use std::mem::replace;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::error::StoreError;
use crate::io::completions::CompletionQueue;
use crate::io::event::{CallId, Event, HandedBack};
use crate::io::turn::Turn;
use crate::session::command::{Command, Reply};

/// Identifies a connection within its store.
pub type ConnectionId = u32;

/// A call as JS made it: the number of its promise, the store's method, what to ask of Redis.
pub type NewCall = (CallId, &'static str, Command);

/// A call on its way to Redis.
pub struct Call {
    /// The store's method, for messages.
    pub name: &'static str,
    pub command: Command,
    /// When the call was made; from its arrival on the I/O thread on, when it must be answered. The
    /// time counts from there, because JS that runs for long before it yields is not the server's
    /// fault.
    pub deadline: Instant,
    /// Its sequence number, given on arrival: calls are sent in this order.
    pub sequence: u64,
    /// Whether it was sent on a connection that then broke: it is sent twice at most.
    pub retried: bool,
    pub destination: Destination,
    /// Send ASKING first.
    pub asking: bool,
    /// How often a node of a cluster has redirected it.
    pub redirections: u8,
    /// Whose end others wait for.
    pub turn: Option<Turn>,
    caller: Option<Caller>,
}

/// The node of a cluster that gets a call. One server gets all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Destination {
    /// The node that has the key.
    Key,
    /// The node of this connection.
    Connection(ConnectionId),
}

/// Who waits for the answer.
enum Caller {
    /// A promise of the JS thread.
    Js(CallId, Arc<CompletionQueue>),
    /// A task of the I/O thread.
    Task(oneshot::Sender<Result<Reply, StoreError>>),
}

/// A task's question: which connections lead to a master of the cluster now.
pub struct MastersRequest {
    /// The store's method, for messages.
    pub name: &'static str,
    /// As in [`Call::deadline`].
    pub deadline: Instant,
    pub reply: oneshot::Sender<Result<Vec<ConnectionId>, StoreError>>,
}

impl Call {
    /// A call of JS, made at `called`.
    pub fn of_js(
        (id, name, command): NewCall,
        called: Instant,
        completions: Arc<CompletionQueue>,
    ) -> Call {
        let caller = Caller::Js(id, completions);
        Call::new(name, command, Destination::Key, called, caller)
    }

    /// A call of a task, which gets the answer.
    pub fn of_task(
        name: &'static str,
        command: Command,
        destination: Destination,
    ) -> (Call, oneshot::Receiver<Result<Reply, StoreError>>) {
        let (sender, receiver) = oneshot::channel();
        let caller = Caller::Task(sender);
        let call = Call::new(name, command, destination, Instant::now(), caller);
        (call, receiver)
    }

    fn new(
        name: &'static str,
        command: Command,
        destination: Destination,
        called: Instant,
        caller: Caller,
    ) -> Call {
        Call {
            name,
            command,
            deadline: called,
            sequence: 0,
            retried: false,
            destination,
            asking: false,
            redirections: 0,
            turn: None,
            caller: Some(caller),
        }
    }

    /// Whether somebody still waits for the answer.
    pub fn is_open(&self) -> bool {
        self.caller.is_some()
    }

    /// Answers the call. Answers to JS are collected in `events`, for one wake a batch.
    pub fn answer(&mut self, answer: Result<Reply, StoreError>, events: &mut Vec<Event>) {
        self.turn = None;
        match self.caller.take() {
            Some(Caller::Js(id, _)) => events.push(Event::Answer(id, answer)),
            Some(Caller::Task(sender)) => {
                let _ = sender.send(answer); // The task may be gone: then nobody waits.
            }
            None => {}
        }
    }

    /// Hands a call of JS back, so that the app's client executes it. A task's call fails instead: its
    /// scan is handed back as a whole.
    pub fn hand_back(mut self, server: &str, events: &mut Vec<Event>) {
        if let Some(Caller::Js(id, _)) = self.caller
            && self.command.can_be_handed_back()
        {
            let handed_back = HandedBack {
                command: replace(&mut self.command, Command::Raw(Vec::new())),
                deadline: self.deadline,
            };
            events.push(Event::HandedBack(id, Box::new(handed_back)));
            self.caller = None;
        } else {
            let lost = StoreError::connection_lost(self.name, server);
            self.answer(Err(lost), events);
        }
    }
}

impl Drop for Call {
    /// No call is ever left without an answer, not even by a panic on the I/O thread.
    fn drop(&mut self) {
        if let Some(Caller::Js(id, completions)) = self.caller.take() {
            completions.push([Event::Answer(id, Err(StoreError::internal(self.name)))]);
        }
    }
}
