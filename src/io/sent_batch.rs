//! Calls that go out together, as one pipeline.

use std::sync::Arc;

use redis::{RedisError, Value};
use tokio::time::{Instant, timeout_at};

use crate::error::{ServerName, StoreError};
use crate::io::call::{Call, ConnectionId};
use crate::io::pipeline::{SentCalls, count_sent, encode};
use crate::io::shared::Shared;
use crate::redis::Sender;

/// A batch without a reply for so many times `commandTimeout`, and the connection is taken for dead: a
/// peer that vanished behind a firewall never says so. A server that is only slow keeps its
/// connection: its late replies are awaited, although nobody needs them any more.
const SILENCE: u32 = 2;

/// What became of a batch.
pub struct BatchOutcome {
    pub connection: ConnectionId,
    pub generation: Generation,
    /// Whether the JS thread has sent it: then its replies may have lain in the socket.
    pub was_direct: bool,
    pub result: BatchEnd,
}

/// What a connection has been through when it sends a batch.
#[derive(Clone, Copy, Default, PartialEq)]
pub struct Generation {
    /// How many sockets were given up before.
    pub socket: u64,
    /// How often slots had moved away before.
    pub slots: u64,
}

/// How a batch ended.
pub enum BatchEnd {
    /// With a reply for each command; when it was sent.
    Replied(Vec<Call>, Vec<Value>, Instant),
    /// The connection broke; these calls have no answer yet.
    Lost(Vec<Call>, RedisError),
    /// No reply came for very long; every call has passed its deadline.
    Silent,
}

/// Sends calls as one batch, at once.
pub fn send_batch(sender: &Sender, calls: Vec<Call>, shared: &Shared) -> SentCalls {
    let replies = sender.send(encode(&calls));
    let sent = Instant::now();
    count_sent(&calls, &shared.traffic, shared.limits, sent);
    SentCalls {
        calls,
        replies,
        sent,
    }
}

/// Waits for the replies to a batch. A call whose deadline comes first is rejected then; the others wait
/// on.
pub async fn await_replies(batch: SentCalls, shared: Arc<Shared>, server: ServerName) -> BatchEnd {
    let SentCalls {
        mut calls,
        mut replies,
        sent,
    } = batch;
    let silence = sent + SILENCE * shared.limits.command;
    loop {
        // The calls are in order, so the first open one has the first deadline.
        let deadline = calls
            .iter()
            .find(|call| call.is_open())
            .map_or(silence, |call| call.deadline);
        if deadline == silence && Instant::now() >= silence {
            return BatchEnd::Silent;
        }
        match timeout_at(deadline, &mut replies).await {
            Ok(Ok(values)) => return BatchEnd::Replied(calls, values, sent),
            Ok(Err(error)) => return BatchEnd::Lost(calls, error),
            Err(_) => {
                reject_late(&mut calls, &shared, &server);
                shared.suspect();
            }
        }
    }
}

/// Rejects the calls whose deadline has passed while they were in flight.
fn reject_late(calls: &mut [Call], shared: &Shared, server: &str) {
    let (now, limit) = (Instant::now(), shared.limits.command);
    shared.completions.push_all(|events| {
        for call in calls.iter_mut().filter(|call| call.deadline <= now) {
            let timeout = StoreError::timeout(call.name, server, limit);
            call.answer(Err(timeout), events);
        }
    });
}
