//! The wait between two attempts.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::sleep;

/// The wait before the second attempt; it doubles with each further one …
const FIRST_BACKOFF: Duration = Duration::from_millis(25);
/// … up to this.
const MAX_BACKOFF: Duration = Duration::from_millis(800);

/// Waits after so many failed attempts; not at all after none.
pub async fn back_off(attempts: u32) {
    if attempts > 0 {
        sleep(backoff(attempts, RandomState::new().hash_one(attempts))).await;
    }
}

/// Doubles with each attempt up to a bound; between half and the whole of that, by `random`, so
/// that a thousand processes do not come back in the same millisecond.
fn backoff(attempts: u32, random: u64) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    let whole = FIRST_BACKOFF
        .saturating_mul(1 << doublings)
        .min(MAX_BACKOFF);
    let half = whole / 2;
    half + half.mul_f64((random % 1024) as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_its_bound_and_no_further() {
        assert!(backoff(1, 0) >= FIRST_BACKOFF / 2);
        assert!(backoff(1, u64::MAX) <= FIRST_BACKOFF);
        assert!(backoff(3, 0) > backoff(1, u64::MAX));
        for attempts in [10, 100, u32::MAX] {
            assert!(backoff(attempts, u64::MAX) <= MAX_BACKOFF);
            assert!(backoff(attempts, 0) >= MAX_BACKOFF / 2);
        }
    }
}
