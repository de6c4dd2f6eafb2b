//! What a scan over the keyspace is asked for.

use crate::io::event::CallId;
use crate::session::clock::Clock;
use crate::session::true_expiry::TrueExpiry;

/// SCAN's COUNT, if the app has not set `scanCount`. Of a million keys, Redis 7.0 takes about a
/// millisecond for such a step; larger steps were no faster (`bench/NOTES.md`).
const SCAN_COUNT: u32 = 500;

/// What a scan does with the keys that it finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScanKind {
    Length,
    Ids,
    All,
    Clear,
    /// As `Clear`, of the sorted sets of an index.
    ClearIndex,
    /// Some of the sessions, and where the next ones are.
    Page,
    /// As a page, without the sessions' texts.
    IdsPage,
    /// Whether the servers answer. Nothing is scanned.
    Ping,
}

/// A scan over all keys of a store's prefix.
pub struct ScanRequest {
    pub id: CallId,
    /// The store's method, for messages.
    pub name: &'static str,
    pub kind: ScanKind,
    pub prefix: Vec<u8>,
    /// What the app's client puts before every key by itself: it stands in the replies to SCAN, which
    /// no client changes, but not in the keys that the client is given.
    pub client_prefix: Vec<u8>,
    /// `scanCount`, if the app has set it.
    pub count: Option<u32>,
    /// For [`ScanKind::All`].
    pub true_expiry: TrueExpiry,
    pub clock: Clock,
    /// For a page.
    pub page: PageRequest,
}

impl ScanRequest {
    /// How many keys a step looks at.
    pub fn step(&self) -> u32 {
        self.count.unwrap_or(SCAN_COUNT)
    }
}

/// Which sessions a page has.
#[derive(Default)]
pub struct PageRequest {
    /// As the page before it ended with; empty for the first.
    pub position: String,
    /// The page ends with the step that has found so many.
    pub limit: usize,
}
