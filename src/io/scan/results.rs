//! Results on their way to the JS thread, in chunks for which it has room.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::io::completions::CompletionQueue;
use crate::io::event::{CallId, Chunk, Event, Record};

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
        // The semaphore is never closed. If nobody reads any more, the supervisor drops the scan.
        if let Ok(permit) = self.permits.clone().acquire_owned().await {
            let chunk = Chunk {
                records,
                _permit: permit,
            };
            self.completions.push([Event::ScanChunk(self.id, chunk)]);
        }
    }
}
