//! When a key expires.

/// When a key expires.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expiry {
    /// After so many milliseconds, at least 1.
    In(i64),
    /// Never.
    Never,
    /// It has expired: delete it.
    Past,
}
