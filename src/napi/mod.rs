//! The JS thread: the native class, what crosses to it from JS, and what goes back. The only room that
//! knows N-API.

mod callbacks;
mod client;
mod codec;
mod lifetime;
mod options;
pub mod raw;
mod store;

use napi_derive::napi;

/// What the addon was built for: the face (`lib/addon/load.js`) works with its own version alone.
#[napi]
pub const VERSION: &str = concat!("connect-redis-rs ", env!("CARGO_PKG_VERSION"));
