//! SCAN, and what is built on it: `length`, `ids`, `all`, `clear`, `rewrite` and pages; and PING, which goes to the
//! same servers.
//!
//! A scan works in small steps, so that neither Redis nor Node's event loop is ever held for long. The
//! next SCAN is in flight while the keys of the last one are worked on. A scan sees string keys only
//! and has SCAN's guarantee: a key that exists from start to end is seen; a key written or removed
//! meanwhile may be seen or not.

mod all;
mod clear;
mod ids;
mod page;
mod passes;
mod pending_ids;
mod ping;
mod results;
mod rewrite;
mod seen_keys;
mod session_sizes;
mod step;
mod task;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::error::StoreError;
use crate::io::event::Event;
use crate::io::scan_request::ScanRequest;
use crate::io::shared::Shared;

/// Runs a scan, and tells JS its results and its end.
pub async fn run(request: ScanRequest, shared: Arc<Shared>) {
    let (id, name) = (request.id, request.name);
    let completions = shared.completions.clone();
    let scan = AssertUnwindSafe(passes::run(request, shared));
    let panicked = |_| Err(StoreError::internal(name));
    let result = scan.catch_unwind().await.unwrap_or_else(panicked);
    completions.push([Event::ScanEnd(id, result)]);
}
