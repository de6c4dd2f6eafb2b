//! The store's Rust files without Node, and what the targets hold them against.

#[path = "../../src/error.rs"]
pub mod error;
#[path = "../../src/io/mod.rs"]
pub mod io;
#[path = "../../src/redis/mod.rs"]
pub mod redis;
#[path = "../../src/session/mod.rs"]
pub mod session;
#[path = "../../src/test_panics.rs"]
mod test_panics;

pub mod check;
pub mod glob;
pub mod json;
pub mod server;
pub mod values;
