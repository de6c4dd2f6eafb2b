//! connect-redis-rs: express-session's sessions in Redis, with connect-redis's API.
//!
//! The way of a request, and the room for each step of it:
//!
//! ```text
//! lib/store.js                 the face: an express-session Store around the native class
//! lib/native/pending-calls.js              the calls of one run of JS, handed over together
//!   lib/native/packed-strings.js, lib/native/scan-results.js   texts as they come from here, what sweeps find
//! store.rs                RedisStore: sends batches of calls, hears the news    JS thread
//!   options.rs, servers.rs  the options, checked; those that say where Redis is
//!   calls.rs                calls as the face hands them over, and their answers
//!   session.rs              the rules of a session: key, time to live
//!   command.rs              the call as Redis commands, the replies as its answer
//! engine.rs               batches from thread to thread, one wake each way
//! supervisor.rs           gives each call to the lane of its server             I/O thread
//!   lane.rs                 one server: the connection to it, and its calls
//!   cluster.rs, slots.rs    which node of a cluster has a key
//!   keyspace.rs             SCAN: length, ids, all, clear
//!   expiry.rs               the true expiry put into a session's text
//! transport/              whose connection it is: one of the store's own, or the app's client's
//! ```
//!
//! `host.rs` is what the face lends to the native side, `error.rs` the one error type, `js.rs`
//! the one room with `unsafe` in it, `test_panics.rs` has panics for the tests.
#![deny(unsafe_code)]

use napi_derive::napi;

mod calls;
mod cluster;
mod command;
mod engine;
mod error;
mod expiry;
mod host;
mod js;
mod keyspace;
mod lane;
mod options;
mod servers;
mod session;
mod slots;
mod store;
mod supervisor;
mod test_panics;
mod transport;

/// What the addon was built for: the face (`lib/addon/load.js`) works with its own version alone.
#[napi]
pub const VERSION: &str = concat!("connect-redis-rs ", env!("CARGO_PKG_VERSION"));

/// Keys, texts and replies are allocated on one thread and freed on the other, which the system's
/// allocator serves under a lock: with this one `get` is 1.4 times as fast. A debug build has the
/// system's, which valgrind and ASan know.
#[cfg(not(debug_assertions))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
