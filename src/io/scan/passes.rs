//! Passes over the keys of a server, or of every master of a cluster, until nothing was missed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use redis::{Cmd, Value};
use tokio::task::yield_now;

use crate::error::StoreError;
use crate::io::call::{ConnectionId, Destination};
use crate::io::event::ScanAnswer;
use crate::io::scan::all::read_sessions;
use crate::io::scan::clear::Deletions;
use crate::io::scan::ids::{finish_ids, push_ids};
use crate::io::scan::page::read_page;
use crate::io::scan::pending_ids::PendingIds;
use crate::io::scan::ping::ping;
use crate::io::scan::results::Results;
use crate::io::scan::rewrite::rewrite_sessions;
use crate::io::scan::seen_keys::SeenKeys;
use crate::io::scan::session_sizes::SessionSizes;
use crate::io::scan::step::{ScanReply, send_step};
use crate::io::scan::task::{Progress, ScanTask};
use crate::io::scan_request::{ScanKind, ScanRequest};
use crate::io::shared::Shared;

/// Passes over a server that is lost again and again, or a cluster whose nodes are replaced.
const MAX_PASSES: u32 = 8;

/// Runs a scan.
pub async fn run(request: ScanRequest, shared: Arc<Shared>) -> Result<ScanAnswer, StoreError> {
    let scan = ScanTask { request, shared };
    let mut progress = Progress {
        results: Results::new(scan.request.id, scan.shared.completions.clone()),
        seen: SeenKeys::default(),
        ids: PendingIds::default(),
        sizes: SessionSizes::default(),
        rewritten: 0,
    };
    match scan.request.kind {
        ScanKind::Ping => return ping(&scan).await,
        ScanKind::Page | ScanKind::IdsPage => {
            let next = read_page(&scan, &mut progress).await?;
            finish_ids(&mut progress).await;
            return Ok(next);
        }
        _ => {}
    }
    if let Some(only) = &scan.request.only {
        rewrite_sessions(&scan, &mut progress, std::slice::from_ref(&only.from)).await?;
    } else if scan.shared.is_cluster() {
        pass_over_cluster(&scan, &mut progress).await?;
    } else {
        pass_over_server(&scan, &mut progress).await?;
    }
    finish_ids(&mut progress).await;
    Ok(match scan.request.kind {
        ScanKind::Length => ScanAnswer::Count(progress.seen.count()),
        ScanKind::Rewrite => ScanAnswer::Count(progress.rewritten),
        _ => ScanAnswer::Nothing,
    })
}

/// Passes over the one server. If the connection was lost meanwhile, another server may have taken
/// its place, and a cursor of the first means nothing there: another pass follows.
async fn pass_over_server(scan: &ScanTask, progress: &mut Progress) -> Result<(), StoreError> {
    let reconnects = || scan.shared.reconnects.load(Ordering::Acquire);
    for _ in 0..MAX_PASSES {
        let before = reconnects();
        pass(scan, progress, Destination::Key).await?;
        if reconnects() == before {
            break;
        }
    }
    Ok(())
}

/// Passes over every master. A key is missed if it moves from a master that is still to be scanned to
/// one that has been. So if slots have moved meanwhile, all masters are scanned once more: a key that
/// moved during the first pass stays during the second, and one that moves during the second was seen
/// in the first.
async fn pass_over_cluster(scan: &ScanTask, progress: &mut Progress) -> Result<(), StoreError> {
    let name = scan.request.name;
    let mut before = slot_owners(scan).await?;
    let mut passes = 0;
    loop {
        passes += 1;
        let mut is_whole = true;
        for &(id, _) in &before.masters {
            let Err(error) = pass(scan, progress, Destination::Connection(id)).await else {
                continue;
            };
            if scan.shared.masters(name).await?.contains(&id) || passes >= MAX_PASSES {
                return Err(error);
            }
            is_whole = false; // Another node has taken its place.
        }
        let after = slot_owners(scan).await?;
        let is_still = is_whole && after == before && !after.are_moving;
        if is_still || is_whole && passes > 1 || passes >= MAX_PASSES {
            return Ok(());
        }
        before = after;
    }
}

/// Passes over the keys of one server.
async fn pass(
    scan: &ScanTask,
    progress: &mut Progress,
    server: Destination,
) -> Result<(), StoreError> {
    let send = |cursor: &[u8]| send_step(scan, cursor, server, scan.request.step());
    let mut deletions = Deletions::default();
    let mut step = send(b"0");
    loop {
        // The next step goes out before the keys of this one are read and worked on.
        let early = step.cursor().await?;
        let send_next = |cursor: &[u8]| (cursor != b"0").then(|| send(cursor));
        let mut next = send_next(&early);
        let ScanReply { cursor, keys } = step.reply().await?;
        if cursor != early {
            // The connection was lost within the reply, and the SCAN that was sent again went elsewhere.
            next = send_next(&cursor);
        }
        yield_now().await;
        work_on(scan, progress, &mut deletions, keys).await?;
        match next {
            Some(next) => step = next,
            None => return deletions.finish().await,
        }
    }
}

/// Does with the keys of one step what the scan is for.
async fn work_on<'s>(
    scan: &'s ScanTask,
    progress: &mut Progress,
    deletions: &mut Deletions<'s>,
    mut keys: Vec<Vec<u8>>,
) -> Result<(), StoreError> {
    if let ScanKind::Clear | ScanKind::ClearIndex = scan.request.kind {
        // To delete a key twice does no harm.
        scan.retain_own(&mut keys);
        return deletions.add(scan, &keys).await;
    }
    scan.retain_new(progress, &mut keys);
    match scan.request.kind {
        ScanKind::All => read_sessions(scan, progress, &keys).await?,
        ScanKind::Rewrite => rewrite_sessions(scan, progress, &keys).await?,
        ScanKind::Ids => push_ids(scan, progress, &keys).await,
        _ => {}
    }
    Ok(())
}

/// Which master of a cluster has which slots, each by its own account.
#[derive(Default, PartialEq)]
struct SlotOwners {
    masters: Vec<(ConnectionId, String)>,
    /// Whether a slot is on its way from one to another.
    are_moving: bool,
}

async fn slot_owners(scan: &ScanTask) -> Result<SlotOwners, StoreError> {
    let mut owners = SlotOwners::default();
    for id in scan.shared.masters(scan.request.name).await? {
        let mut nodes = Cmd::new();
        nodes.arg("CLUSTER").arg("NODES");
        let own = match scan.execute(nodes, Destination::Connection(id)).await {
            Ok(Value::BulkString(nodes)) => own_slots(&String::from_utf8_lossy(&nodes)),
            Ok(Value::VerbatimString { text, .. }) => own_slots(&text),
            // The user may not have the right to ask.
            _ => String::new(),
        };
        owners.are_moving |= own.contains('[');
        owners.masters.push((id, own));
    }
    owners.masters.sort();
    Ok(owners)
}

/// The slots of the node that answered CLUSTER NODES: what follows the eighth word of the line about
/// itself, such as `0-5460 [93->-node]`.
fn own_slots(nodes: &str) -> String {
    let own = nodes.lines().find(|line| {
        let flags = line.split(' ').nth(2).unwrap_or_default();
        flags.split(',').any(|flag| flag == "myself")
    });
    let slots: Vec<&str> = own.unwrap_or_default().split(' ').skip(8).collect();
    slots.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_own_slots_are_read() {
        let nodes = "07c3 127.0.0.1:1@2,, slave 6ec2 0 1 4 connected\n\
                     6ec2 127.0.0.1:3@4,, myself,master - 0 0 1 connected 0-5 9 [93->-29]\n";
        assert_eq!(own_slots(nodes), "0-5 9 [93->-29]");
        assert_eq!(own_slots(""), "");
    }
}
