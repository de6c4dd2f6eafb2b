//! `clear`: deletes the keys of a step.

use std::future::Future;
use std::pin::Pin;

use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::error::{Code, StoreError};
use crate::io::call::Destination;
use crate::io::scan::task::{ScanTask, on_keys};
use crate::session::command::Command;

/// Keys that one command deletes at most.
const KEYS_AT_ONCE: usize = 128;
/// Commands that may be on their way while the keys of the next step are looked for: those of two steps.
const COMMANDS_AHEAD: usize = 8;

/// Deletions that are under way.
#[derive(Default)]
pub struct Deletions<'s>(FuturesUnordered<Deletion<'s>>);

type Deletion<'s> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 's>>;

impl<'s> Deletions<'s> {
    /// Deletes keys. Returns when only a few commands are still on their way: while Redis executes
    /// them, the next SCAN reaches it.
    pub async fn add(&mut self, scan: &'s ScanTask, keys: &[Vec<u8>]) -> Result<(), StoreError> {
        for keys in keys.chunks(KEYS_AT_ONCE) {
            self.0.push(delete(scan, keys));
            self.wait_until_left(COMMANDS_AHEAD).await?;
        }
        Ok(())
    }

    /// Waits until all is deleted.
    pub async fn finish(mut self) -> Result<(), StoreError> {
        self.wait_until_left(0).await
    }

    async fn wait_until_left(&mut self, left: usize) -> Result<(), StoreError> {
        while self.0.len() > left
            && let Some(deleted) = self.0.next().await
        {
            deleted?;
        }
        Ok(())
    }
}

/// Deletes keys. The commands are on their way when this returns.
fn delete<'s>(scan: &'s ScanTask, keys: &[Vec<u8>]) -> Deletion<'s> {
    if scan.shared.is_cluster() {
        let destroy = |key: &Vec<u8>| Command::Destroy { key: key.clone() };
        let commands: Vec<Command> = keys.iter().map(destroy).collect();
        let name = scan.request.name;
        let deletions = scan.shared.execute_at_nodes(name, commands.into_iter());
        return Box::pin(async {
            let deleted = deletions.await;
            deleted
                .into_iter()
                .try_for_each(|deleted| deleted.map(drop))
        });
    }
    let unlinked = scan.execute(on_keys("UNLINK", keys), Destination::Key);
    let delete = on_keys("DEL", keys);
    Box::pin(async {
        match unlinked.await {
            // connect-redis needs the right to DEL only.
            Err(error) if error.code == Code::NoPermission => {
                scan.execute(delete, Destination::Key).await?;
            }
            unlinked => drop(unlinked?),
        }
        Ok(())
    })
}
