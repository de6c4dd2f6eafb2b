//! How long a store waits.

use std::time::Duration;

/// How long things may take.
#[derive(Clone, Copy)]
pub struct Limits {
    /// From a call's arrival on the I/O thread to its answer (`commandTimeout`).
    pub command: Duration,
    /// For one attempt to connect and log in (`connectTimeout`).
    pub connect: Duration,
    /// Whether calls fail fast, instead of waiting, if the last attempt to connect failed
    /// (`onUnavailable`).
    pub fail_fast: bool,
}
