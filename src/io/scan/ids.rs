//! `ids`: hands the keys of a step over.

use crate::io::scan::task::{Progress, ScanTask};

/// Ids of one chunk.
const IDS_AT_ONCE: usize = 1000;

/// Pushes the ids of keys to the results.
pub async fn push_ids(scan: &ScanTask, progress: &mut Progress, keys: &[Vec<u8>]) {
    for keys in keys.chunks(IDS_AT_ONCE) {
        let records = keys.iter().map(|key| scan.record(key, None, None));
        progress.results.push(records.collect()).await;
    }
}
