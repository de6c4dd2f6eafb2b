//! What the benchmark needs and JS is too slow for.
//!
//! ```text
//! delayed.rs      bytes that arrive now and are due later, in order
//! proxy.rs        a TCP proxy that puts a server further away
//! resp.rs         the frames of Redis's replies, without their values
//! scan_floor.rs   SCAN, driven as fast as a client can
//! bin/            the two programs
//! ```
#![forbid(unsafe_code)]

pub mod delayed;
pub mod proxy;
pub mod resp;
pub mod scan_floor;
