//! The rooms of the store that read or rewrite what others wrote, without Node around them, and
//! what the targets hold them against.
//!
//! The rooms are the crate's own files. What they ask of a neighbour that needs Node or a
//! connection is here in its place: `engine`, `lane` and `transport`.

#[path = "../../src/command.rs"]
pub mod command;
#[path = "../../src/error.rs"]
pub mod error;
#[path = "../../src/expiry.rs"]
pub mod expiry;
#[path = "../../src/keyspace.rs"]
pub mod keyspace;
#[path = "../../src/slots.rs"]
pub mod slots;
#[path = "../../src/test_panics.rs"]
mod test_panics;

pub mod engine;
pub mod lane;
pub mod transport;

pub mod check;
pub mod glob;
pub mod json;
pub mod values;
