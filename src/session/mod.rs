//! The rules of a session, without a thread or a connection: what a call asks of Redis, and what the
//! replies mean.

pub mod clock;
pub mod command;
pub mod compare_and_set;
pub mod expiry;
pub mod hashed_id;
pub mod members;
pub mod patch;
pub mod seal;
pub mod true_expiry;
