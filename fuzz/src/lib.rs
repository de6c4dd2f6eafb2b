//! The rooms of the store that read or rewrite what others wrote, without Node around them, and
//! what the targets hold them against.
//!
//! The rooms are the crate's own files. What they ask of a neighbour that needs Node or a
//! connection is here in its place: `io::engine`, `io::lane` and `redis`.

#[path = "../../src/error.rs"]
pub mod error;
#[path = "../../src/session/mod.rs"]
pub mod session;
#[path = "../../src/test_panics.rs"]
mod test_panics;

pub mod io;
pub mod redis;

pub mod check;
pub mod glob;
pub mod json;
pub mod values;
