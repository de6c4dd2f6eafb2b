//! `ids`: collects the ids of several steps and hands them over.

use crate::io::scan::task::{Progress, ScanTask};

/// Ids of one chunk. Each chunk wakes the JS thread, which needs half a millisecond for it.
const IDS_AT_ONCE: usize = 2000;

/// Adds the ids of keys to the results. [`finish_ids`] must follow.
pub async fn push_ids(scan: &ScanTask, progress: &mut Progress, keys: &[Vec<u8>]) {
    for key in keys {
        progress.ids.add(&key[scan.request.prefix.len()..]);
        if progress.ids.count() >= IDS_AT_ONCE {
            finish_ids(progress).await;
        }
    }
}

/// Pushes the ids that are left to the results.
pub async fn finish_ids(progress: &mut Progress) {
    if let Some(json) = progress.ids.take() {
        progress.results.push_ids(json).await;
    }
}
