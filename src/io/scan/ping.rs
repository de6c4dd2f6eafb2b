//! `ping`: asks each server that has keys of the store whether it answers.

use futures_util::future::try_join_all;
use redis::Cmd;

use crate::error::{Code, StoreError};
use crate::io::call::Destination;
use crate::io::event::ScanAnswer;
use crate::io::scan::task::ScanTask;

/// A sid that no session has.
const NOBODY: &[u8] = b"connect-redis-rs:ping";

/// Asks the server, or all masters of a cluster at once.
pub async fn ping(scan: &ScanTask) -> Result<ScanAnswer, StoreError> {
    if scan.shared.is_cluster() {
        let masters = scan.shared.masters(scan.request.name).await?;
        let pings = masters
            .into_iter()
            .map(|id| ping_one(scan, Destination::Connection(id)));
        try_join_all(pings).await?;
    } else {
        ping_one(scan, Destination::Key).await?;
    }
    Ok(ScanAnswer::Nothing)
}

async fn ping_one(scan: &ScanTask, server: Destination) -> Result<(), StoreError> {
    let mut command = Cmd::new();
    if scan.shared.is_through_client() {
        // A client may have no PING, and a pool or a fake of one may answer it without Redis.
        let key = [&*scan.request.prefix, NOBODY].concat();
        command.arg("GET").arg(key);
    } else {
        command.arg("PING");
    }
    match scan.execute(command, server).await {
        // The user may lack the right to PING; the server has answered.
        Err(error) if error.code == Code::NoPermission => Ok(()),
        answer => answer.map(drop),
    }
}
