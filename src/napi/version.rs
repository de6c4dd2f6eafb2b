//! The version of the addon.

use napi_derive::napi;

/// The addon's version: `lib/addon/load.js` takes only an addon of its own version.
#[napi]
pub const VERSION: &str = concat!("connect-redis-rs ", env!("CARGO_PKG_VERSION"));
