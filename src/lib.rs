//! connect-redis-rs: express-session's sessions in Redis, with connect-redis's API.
//!
//! Four rooms, and each imports only from those below it:
//!
//! ```text
//! napi/      JS thread: the native class, what crosses from JS and back; the only room with N-API
//! io/        I/O thread: queues, connections, retrying, scans, which node has a key
//! session/   the rules of a session: a call as Redis commands, replies as its answer, true expiry
//! redis/     Redis itself: RESP, urls, login, TLS, Sentinel, Cluster
//! error.rs   why a call failed, in words for an operator
//! ```
//!
//! `napi/raw/` is the one room with `unsafe` in it. `test_panics.rs` has panics for the tests, and
//! `layout_test.rs` checks what is said here.
#![deny(unsafe_code)]

mod error;
mod io;
#[cfg(test)]
mod layout_test;
pub mod napi;
mod redis;
mod session;
mod test_panics;

/// Keys, texts and replies are allocated on one thread and freed on the other, which the system's
/// allocator serves under a lock: with this one `get` is 1.4 times as fast. A debug build has the
/// system's, which valgrind and ASan know.
#[cfg(not(debug_assertions))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
