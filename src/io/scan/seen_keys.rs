//! The keys that a scan has seen: SCAN may return a key twice.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

/// A set of keys. A key is kept as a 128-bit fingerprint under secret random seeds, which takes a tenth
/// of the memory. The probability that two of a million keys have the same fingerprint is 2⁻⁸⁹.
#[derive(Default)]
pub struct SeenKeys {
    fingerprints: HashSet<u128, BuildHasherDefault<FingerprintHasher>>,
    high: RandomState,
    low: RandomState,
}

impl SeenKeys {
    /// Returns whether the key is new.
    pub fn insert(&mut self, key: &[u8]) -> bool {
        let high = u128::from(self.high.hash_one(key));
        let low = u128::from(self.low.hash_one(key));
        self.fingerprints.insert(high << 64 | low)
    }

    pub fn count(&self) -> usize {
        self.fingerprints.len()
    }
}

/// Hashes a fingerprint, which is a hash already: takes its lower half.
#[derive(Default)]
struct FingerprintHasher(u64);

impl Hasher for FingerprintHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_seen_twice_is_counted_once() {
        let mut seen = SeenKeys::default();
        assert!(seen.insert(b"a"));
        assert!(seen.insert(b"b"));
        assert!(!seen.insert(b"a"));
        assert_eq!(seen.count(), 2);
    }
}
