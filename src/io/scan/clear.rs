//! `clear`: deletes the keys of a step.

use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::error::{Code, StoreError};
use crate::io::call::Destination;
use crate::io::scan::session_sizes::{COMMANDS_AHEAD, KEYS_AT_ONCE};
use crate::io::scan::task::{ScanTask, on_keys};
use crate::session::command::Command;

/// Deletes keys, a few commands at once.
pub async fn delete_keys(scan: &ScanTask, keys: &[Vec<u8>]) -> Result<(), StoreError> {
    let mut chunks = keys.chunks(KEYS_AT_ONCE);
    let mut deletions = FuturesUnordered::new();
    loop {
        let room = COMMANDS_AHEAD - deletions.len();
        for keys in chunks.by_ref().take(room) {
            deletions.push(delete(scan, keys));
        }
        match deletions.next().await {
            Some(deleted) => deleted?,
            None => return Ok(()),
        }
    }
}

async fn delete(scan: &ScanTask, keys: &[Vec<u8>]) -> Result<(), StoreError> {
    if scan.shared.is_cluster() {
        let commands = keys.iter().map(|key| Command::Destroy { key: key.clone() });
        let name = scan.request.name;
        for deleted in scan.shared.execute_at_nodes(name, commands).await {
            deleted?;
        }
        return Ok(());
    }
    let unlink = on_keys("UNLINK", keys);
    match scan.execute(unlink, Destination::Key).await {
        // connect-redis needs the right to DEL only.
        Err(error) if error.code == Code::NoPermission => {
            scan.execute(on_keys("DEL", keys), Destination::Key).await?;
        }
        unlinked => drop(unlinked?),
    }
    Ok(())
}
