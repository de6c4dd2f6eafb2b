//! Calls that go out together, as one pipeline.

use std::pin::pin;
use std::sync::Arc;

use redis::{RedisError, Value};
use tokio::time::{Instant, timeout_at};

use crate::error::{ServerName, StoreError};
use crate::io::call::{Call, ConnectionId};
use crate::io::shared::Shared;
use crate::redis::{Batch, Sender};

/// About how many bytes a call takes on the wire, besides its key and value.
const CALL_OVERHEAD: usize = 96;
/// A batch without a reply for so many times `commandTimeout`, and the connection is taken for dead: a
/// peer that vanished behind a firewall never says so. A server that is only slow keeps its
/// connection: its late replies are awaited, although nobody needs them any more.
const SILENCE: u32 = 2;

/// What became of a batch.
pub struct BatchOutcome {
    pub connection: ConnectionId,
    pub generation: Generation,
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

/// Sends calls as one batch, at once, and waits for their replies. A call whose deadline comes first
/// is rejected then; the others wait on.
pub fn send_batch(
    sender: &Sender,
    mut calls: Vec<Call>,
    shared: Arc<Shared>,
    server: ServerName,
) -> impl Future<Output = BatchEnd> + use<> {
    let size = calls
        .iter()
        .map(|call| call.command.size() + CALL_OVERHEAD)
        .sum();
    let mut batch = Batch::with_capacity(size);
    for call in &calls {
        batch.set_asking(call.asking);
        call.command.add_to(&mut batch);
    }
    let response = sender.send(batch);
    let sent = Instant::now();
    count_sent(&calls, &shared, sent);
    async move {
        let mut response = pin!(response);
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
            match timeout_at(deadline, &mut response).await {
                Ok(Ok(values)) => return BatchEnd::Replied(calls, values, sent),
                Ok(Err(error)) => return BatchEnd::Lost(calls, error),
                Err(_) => {
                    reject_late(&mut calls, &shared, &server);
                    shared.suspect();
                }
            }
        }
    }
}

/// Counts a batch, and how long its calls waited. Calls that arrived together have one deadline.
fn count_sent(calls: &[Call], shared: &Shared, sent: Instant) {
    shared.traffic.count_batch();
    for arrived in calls.chunk_by(|one, next| one.deadline == next.deadline) {
        let left = arrived[0].deadline.saturating_duration_since(sent);
        let waited = shared.limits.command.saturating_sub(left);
        shared.traffic.count_queued(arrived.len(), waited);
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
