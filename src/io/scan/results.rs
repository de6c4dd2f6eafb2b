//! Results on their way to the JS thread, in chunks for which it has room.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::io::completions::CompletionQueue;
use crate::io::event::{CallId, Chunk, Event, IdsChunk, Record};

/// Chunks that may wait for the JS thread before the scan waits for it.
const CHUNKS_AHEAD: usize = 4;

/// The results of one scan.
pub struct Results {
    id: CallId,
    completions: Arc<CompletionQueue>,
    /// One for each chunk that the JS thread has room for.
    permits: Arc<Semaphore>,
}

impl Results {
    pub fn new(id: CallId, completions: Arc<CompletionQueue>) -> Results {
        Results {
            id,
            completions,
            permits: Arc::new(Semaphore::new(CHUNKS_AHEAD)),
        }
    }

    /// Pushes a chunk, once the JS thread has room for it.
    pub async fn push(&self, records: VecDeque<Record>) {
        let chunk = |_permit| Event::ScanChunk(self.id, Chunk { records, _permit });
        self.push_event(chunk).await;
    }

    /// Pushes a chunk of ids, a JSON array, once the JS thread has room for it.
    pub async fn push_ids(&self, json: Vec<u8>) {
        let chunk = |_permit| Event::ScanIds(self.id, IdsChunk { json, _permit });
        self.push_event(chunk).await;
    }

    async fn push_event(&self, event: impl FnOnce(OwnedSemaphorePermit) -> Event) {
        // The semaphore is never closed. If nobody reads any more, the supervisor drops the scan.
        if let Ok(permit) = self.permits.clone().acquire_owned().await {
            self.completions.push([event(permit)]);
        }
    }
}
