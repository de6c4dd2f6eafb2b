//! The keys that a scan has seen: SCAN may return a key twice.

use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;

/// Slots of the first table.
const SLOTS_AT_FIRST: usize = 1024;

/// A set of keys. A key is kept as a 128-bit fingerprint under secret random seeds, which takes a tenth
/// of the memory. The probability that two of a million keys have the same fingerprint is 2⁻⁸⁹.
///
/// The table is far larger than the processor's caches, so almost each look-up waits for the memory.
/// Therefore many keys are looked up at once: then they wait for it together.
#[derive(Default)]
pub struct SeenKeys {
    /// Fingerprints, each in the first free slot from its own on. 0 is a free slot.
    slots: Vec<u128>,
    count: usize,
    high: RandomState,
    low: RandomState,
}

impl SeenKeys {
    /// Keeps the keys that are new.
    pub fn retain_new(&mut self, keys: &mut Vec<Vec<u8>>) {
        let fingerprints: Vec<u128> = keys.iter().map(|key| self.fingerprint(key)).collect();
        self.reserve(fingerprints.len());
        // These loads do not depend on one another.
        let slots = fingerprints.iter().map(|one| self.slots[self.slot(*one)]);
        black_box(slots.fold(0, |all, slot| all ^ slot));
        let mut fingerprints = fingerprints.into_iter();
        keys.retain(|_| fingerprints.next().is_some_and(|one| self.insert(one)));
    }

    pub fn count(&self) -> usize {
        self.count
    }

    fn fingerprint(&self, key: &[u8]) -> u128 {
        let high = u128::from(self.high.hash_one(key));
        let low = u128::from(self.low.hash_one(key));
        (high << 64 | low).max(1)
    }

    /// The slot where the search for a fingerprint begins. A larger fingerprint has a later slot.
    fn slot(&self, fingerprint: u128) -> usize {
        let bits = self.slots.len().trailing_zeros();
        (fingerprint >> (128 - bits)) as usize
    }

    /// Makes room for more fingerprints: at least a quarter of the slots stays free.
    fn reserve(&mut self, more: usize) {
        let needed = (self.count + more) * 4 / 3 + 1;
        if needed <= self.slots.len() {
            return;
        }
        let larger = vec![0; needed.next_power_of_two().max(SLOTS_AT_FIRST)];
        let old = std::mem::replace(&mut self.slots, larger);
        self.count = 0;
        // They are almost in order, in the old table as in the new one, so this is fast.
        for fingerprint in old.into_iter().filter(|slot| *slot != 0) {
            self.insert(fingerprint);
        }
    }

    /// Returns whether the fingerprint is new. There must be a free slot.
    fn insert(&mut self, fingerprint: u128) -> bool {
        let mut at = self.slot(fingerprint);
        while self.slots[at] != 0 {
            if self.slots[at] == fingerprint {
                return false;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = fingerprint;
        self.count += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_keys(seen: &mut SeenKeys, keys: &[&str]) -> Vec<String> {
        let mut keys = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
        seen.retain_new(&mut keys);
        let text = |key: Vec<u8>| String::from_utf8(key).unwrap();
        keys.into_iter().map(text).collect()
    }

    #[test]
    fn a_key_seen_twice_is_counted_once() {
        let mut seen = SeenKeys::default();
        assert_eq!(new_keys(&mut seen, &["a", "b", "a"]), ["a", "b"]);
        assert_eq!(new_keys(&mut seen, &["c", "b", "a"]), ["c"]);
        assert_eq!(new_keys(&mut seen, &[]), [""; 0]);
        assert_eq!(seen.count(), 3);
    }

    #[test]
    fn keys_are_still_known_when_the_table_has_grown() {
        let mut seen = SeenKeys::default();
        let keys: Vec<String> = (0..50_000).map(|key| format!("sess:{key}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        for step in keys.chunks(700) {
            assert_eq!(new_keys(&mut seen, step), step);
        }
        assert_eq!(seen.count(), keys.len());
        assert_eq!(new_keys(&mut seen, &keys), [""; 0]);
        assert_eq!(seen.count(), keys.len());
    }

    #[test]
    fn fingerprints_at_the_end_of_the_table_go_on_at_its_beginning() {
        let mut seen = SeenKeys::default();
        seen.reserve(3);
        for fingerprint in [u128::MAX, u128::MAX - 1, 1] {
            assert!(seen.insert(fingerprint));
            assert!(!seen.insert(fingerprint));
        }
        assert_eq!(seen.count(), 3);
    }
}
