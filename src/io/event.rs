//! What the I/O thread tells the JS thread.

use std::collections::VecDeque;

use redis::{Cmd, Value};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::error::{ConnectError, StoreError};
use crate::redis::CredentialReply;
use crate::session::command::{Command, Reply};

/// The number under which JS keeps the promise of a call or a scan.
pub type CallId = u32;

/// What happened.
pub enum Event {
    /// A call has its answer.
    Answer(CallId, Result<Reply, StoreError>),
    /// A chunk of a scan's result.
    ScanChunk(CallId, Chunk),
    /// The same, of ids alone.
    ScanIds(CallId, IdsChunk),
    /// A scan's end, after all its chunks.
    ScanEnd(CallId, Result<ScanAnswer, StoreError>),
    /// The app's client must execute commands of a scan.
    ClientCommands(ClientCommands),
    /// A login needs what a function of the app returns. The number is the function's index.
    Credential(usize, CredentialReply),
    /// The connection has another status.
    Status(Status),
    /// The connection was lost under a call: the app's client must execute it.
    HandedBack(CallId, Box<HandedBack>),
    /// An attempt to connect failed. Another follows.
    ConnectFailed(ConnectError),
    /// The connection is closed. No event follows.
    End,
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

/// What a scan answers beside its chunks.
pub enum ScanAnswer {
    Nothing,
    /// The number of keys.
    Count(usize),
    /// The position of the next page.
    Next(String),
}

/// A command for the app's client, and until when it may take.
pub struct HandedBack {
    pub command: Command,
    pub deadline: Instant,
}

/// Commands of a scan for the app's client.
pub struct ClientCommands {
    /// The store's method, for messages.
    pub name: &'static str,
    pub commands: Vec<Cmd>,
    /// Takes one value a command.
    pub reply: oneshot::Sender<Result<Vec<Value>, StoreError>>,
}

/// A chunk of a scan's result. The JS thread drops it after use, and its permit lets the I/O thread
/// send another: a slow reader holds up the scan and does not fill the memory.
pub struct Chunk {
    pub records: VecDeque<Record>,
    pub _permit: OwnedSemaphorePermit,
}

/// A chunk of ids. They are a JSON array, for which the memory is allocated once: an allocation an id, on
/// one thread and freed on the other, costs more than to write it.
pub struct IdsChunk {
    pub json: Vec<u8>,
    pub _permit: OwnedSemaphorePermit,
}

/// One key of a scan.
pub struct Record {
    /// The key without the prefix.
    pub id: Vec<u8>,
    /// The stored text, if the scan reads it.
    pub text: Option<Vec<u8>>,
    /// The key's expiry, as in [`Reply::Session`].
    pub expires: Option<f64>,
    /// Why the record does not open; then there is no text.
    pub trouble: Option<Box<StoreError>>,
}

impl Event {
    /// About how many bytes the JS thread has to work on.
    pub fn size(&self) -> usize {
        const SMALL: usize = 256;
        match self {
            Event::Answer(_, Ok(Reply::Session { text, .. })) => SMALL + text.len(),
            _ => SMALL,
        }
    }
}
