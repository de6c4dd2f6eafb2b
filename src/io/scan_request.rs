//! What a scan over the keyspace is asked for.

use crate::io::event::CallId;
use crate::session::clock::Clock;
use crate::session::true_expiry::TrueExpiry;

/// What a scan does with the keys that it finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScanKind {
    Length,
    Ids,
    All,
    Clear,
    /// As `Clear`, of the sorted sets of an index.
    ClearIndex,
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
}
