//! What the connections of a store have carried, in numbers, for `store.metrics()`. Counted once a batch,
//! since to count once a call would cost more than it tells.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets of [`Latencies`], in microseconds. One more bucket has no bound.
pub const LATENCY_BOUNDS: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000,
];
const BUCKETS: usize = LATENCY_BOUNDS.len() + 1;

/// Counts of a store's connections.
#[derive(Default)]
pub struct Traffic {
    batches: AtomicU64,
    queued: Latencies,
    replied: Latencies,
}

/// How many calls took how long.
#[derive(Default)]
struct Latencies {
    microseconds: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

impl Traffic {
    /// A batch goes out.
    pub fn count_batch(&self) {
        self.batches.fetch_add(1, Ordering::Relaxed);
    }

    /// So many calls waited so long from their arrival on the I/O thread until they were sent.
    pub fn count_queued(&self, calls: usize, waited: Duration) {
        self.queued.add(calls, waited);
    }

    /// So many calls had their replies so long after they were sent.
    pub fn count_replied(&self, calls: usize, took: Duration) {
        self.replied.add(calls, took);
    }

    /// The batches; then of the queue and of Redis, the microseconds of all calls together and the calls
    /// of each bucket.
    pub fn numbers(&self) -> Vec<f64> {
        let mut numbers = vec![self.batches.load(Ordering::Relaxed)];
        for latencies in [&self.queued, &self.replied] {
            numbers.push(latencies.microseconds.load(Ordering::Relaxed));
            numbers.extend(latencies.buckets.iter().map(|n| n.load(Ordering::Relaxed)));
        }
        numbers.into_iter().map(|number| number as f64).collect()
    }
}

impl Latencies {
    fn add(&self, calls: usize, time: Duration) {
        let calls = calls as u64;
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let total = nanoseconds.saturating_mul(calls) / 1000;
        self.microseconds.fetch_add(total, Ordering::Relaxed);
        let bucket = LATENCY_BOUNDS.partition_point(|bound| bound * 1000 < nanoseconds);
        self.buckets[bucket].fetch_add(calls, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_in_the_first_bucket_that_holds_it() {
        let traffic = Traffic::default();
        traffic.count_batch();
        traffic.count_queued(3, Duration::from_micros(50));
        traffic.count_replied(2, Duration::from_micros(51));
        traffic.count_replied(1, Duration::from_secs(60));
        let numbers = traffic.numbers();
        assert_eq!(numbers.len(), 1 + 2 * (1 + BUCKETS));
        assert_eq!(numbers[..3], [1.0, 150.0, 3.0]);
        let replied = &numbers[2 + BUCKETS..];
        assert_eq!(replied[..3], [60_000_102.0, 0.0, 2.0]);
        assert_eq!(replied.last(), Some(&1.0));
    }
}
