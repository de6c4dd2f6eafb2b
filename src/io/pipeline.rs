//! Calls as one pipeline of commands.

use tokio::time::Instant;

use crate::io::call::Call;
use crate::io::limits::Limits;
use crate::io::traffic::Traffic;
use crate::redis::{Batch, Replies};

/// About how many bytes a call takes on the wire, besides its key and value.
const CALL_OVERHEAD: usize = 96;

/// Calls that have been sent together.
pub struct SentCalls {
    pub calls: Vec<Call>,
    pub replies: Replies,
    pub sent: Instant,
}

/// Returns the commands of calls.
pub fn encode(calls: &[Call]) -> Batch {
    let size = calls
        .iter()
        .map(|call| call.command.size() + CALL_OVERHEAD)
        .sum();
    let mut batch = Batch::with_capacity(size);
    for call in calls {
        batch.set_asking(call.asking);
        call.command.add_to(&mut batch);
    }
    batch
}

/// Counts a batch, and how long its calls waited. Calls that arrived together have one deadline.
pub fn count_sent(calls: &[Call], traffic: &Traffic, limits: Limits, sent: Instant) {
    traffic.count_batch();
    for arrived in calls.chunk_by(|one, next| one.deadline == next.deadline) {
        let left = arrived[0].deadline.saturating_duration_since(sent);
        let waited = limits.command.saturating_sub(left);
        traffic.count_queued(arrived.len(), waited);
    }
}
