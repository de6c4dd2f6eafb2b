//! The keys that a scan has seen: SCAN may return a key twice.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::hint::black_box;

/// Slots of a segment; 12 kB.
const SLOTS: usize = 1024;
/// The most fingerprints of a segment: at least a quarter of the slots stays free.
const MOST: usize = SLOTS / 4 * 3;

/// A hash of a key under a secret random seed. The probability that two of a million keys have the
/// same is 2⁻⁵⁷.
type Fingerprint = [u32; 3];

/// No key's fingerprint.
const FREE: Fingerprint = [0; 3];

/// A set of keys. Of each only the fingerprint is kept, which takes a tenth of the memory.
///
/// The set is made of segments. One that is full is split in two, and nothing else moves: so there is
/// no long pause, and no memory is left behind, which the kernel would have to clear anew for the next
/// larger table. (That took a third of the I/O thread's time.)
///
/// The segments are together far larger than the processor's caches, so almost each look-up waits for
/// the memory. Therefore many keys are looked up at once: then they wait for it together.
pub struct SeenKeys {
    /// The number of the segment of a fingerprint, by the last bits of the fingerprint's first part. As
    /// many bits as the length, a power of two, asks for.
    directory: Vec<u32>,
    segments: Vec<Segment>,
    count: usize,
    seed: RandomState,
}

/// The fingerprints that have the same last bits.
struct Segment {
    /// How many bits.
    bits: u32,
    count: usize,
    /// Fingerprints, each in the first free slot from its own on; after the last slot comes the first.
    slots: Box<[Fingerprint]>,
}

impl Default for SeenKeys {
    fn default() -> SeenKeys {
        SeenKeys {
            directory: vec![0],
            segments: vec![Segment::new(0)],
            count: 0,
            seed: RandomState::new(),
        }
    }
}

impl SeenKeys {
    /// Keeps the keys that are new.
    pub fn retain_new(&mut self, keys: &mut Vec<Vec<u8>>) {
        let fingerprints: Vec<_> = keys.iter().map(|key| self.fingerprint(key)).collect();
        // These loads do not depend on one another.
        let slots = fingerprints.iter().map(|one| {
            let segment = &self.segments[self.segment(one)];
            segment.slots[slot(one)][0]
        });
        black_box(slots.fold(0, |all, slot| all ^ slot));
        let mut fingerprints = fingerprints.into_iter();
        keys.retain(|_| fingerprints.next().is_some_and(|one| self.insert(one)));
    }

    pub fn count(&self) -> usize {
        self.count
    }

    fn fingerprint(&self, key: &[u8]) -> Fingerprint {
        let mut hasher = self.seed.build_hasher();
        hasher.write(key);
        let first = hasher.finish();
        // The hash of a longer key, for which the key itself is not gone over again.
        hasher.write_u8(0);
        let second = hasher.finish();
        [first as u32, (first >> 32) as u32, (second as u32).max(1)]
    }

    /// The number of the segment that a fingerprint belongs in.
    fn segment(&self, fingerprint: &Fingerprint) -> usize {
        let at = fingerprint[0] as usize & (self.directory.len() - 1);
        self.directory[at] as usize
    }

    /// Returns whether the fingerprint is new.
    fn insert(&mut self, fingerprint: Fingerprint) -> bool {
        let mut number = self.segment(&fingerprint);
        while self.segments[number].count >= MOST {
            self.split(number, fingerprint[0]);
            number = self.segment(&fingerprint);
        }
        let is_new = self.segments[number].insert(fingerprint);
        self.count += usize::from(is_new);
        is_new
    }

    /// Splits a segment by one more bit. `part` is the first part of a fingerprint that belongs in it.
    fn split(&mut self, number: usize, part: u32) {
        let bits = self.segments[number].bits;
        let bit = 1 << bits;
        if self.directory.len() == bit {
            self.directory.extend_from_within(..);
        }
        let new = self.segments.len() as u32;
        let first = part as usize & (bit - 1) | bit;
        for at in (first..self.directory.len()).step_by(2 * bit) {
            self.directory[at] = new;
        }
        self.segments.push(Segment::new(bits + 1));
        let halved = Segment::new(bits + 1);
        let old = std::mem::replace(&mut self.segments[number], halved);
        for fingerprint in old.slots.into_iter().filter(|slot| *slot != FREE) {
            let number = self.segment(&fingerprint);
            self.segments[number].insert(fingerprint);
        }
    }
}

impl Segment {
    fn new(bits: u32) -> Segment {
        Segment {
            bits,
            count: 0,
            slots: vec![FREE; SLOTS].into(),
        }
    }

    /// Returns whether the fingerprint is new. There must be a free slot.
    fn insert(&mut self, fingerprint: Fingerprint) -> bool {
        let mut at = slot(&fingerprint);
        while self.slots[at] != FREE {
            if self.slots[at] == fingerprint {
                return false;
            }
            at = (at + 1) % SLOTS;
        }
        self.slots[at] = fingerprint;
        self.count += 1;
        true
    }
}

/// The slot of a segment where the search for a fingerprint begins.
fn slot(fingerprint: &Fingerprint) -> usize {
    fingerprint[1] as usize % SLOTS
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
    fn fingerprints_at_the_end_of_a_segment_go_on_at_its_beginning() {
        let mut seen = SeenKeys::default();
        for fingerprint in [[0, u32::MAX, 1], [0, u32::MAX, 2], [0, 0, 1]] {
            assert!(seen.insert(fingerprint));
            assert!(!seen.insert(fingerprint));
        }
        assert_eq!(seen.count(), 3);
    }

    #[test]
    fn fingerprints_that_differ_late_are_split_until_they_are_apart() {
        let mut seen = SeenKeys::default();
        let all = (0..3 * MOST as u32 / 2).map(|number| [(number & 3) << 9, number, 1]);
        for fingerprint in all.clone() {
            assert!(seen.insert(fingerprint));
        }
        assert!(all.into_iter().all(|fingerprint| !seen.insert(fingerprint)));
        assert_eq!(seen.count(), 3 * MOST / 2);
        assert_eq!(seen.directory.len(), 1 << 10);
    }

    #[test]
    fn segments_are_half_full_on_average() {
        let mut seen = SeenKeys::default();
        let keys: Vec<String> = (0..100_000).map(|key| format!("sess:{key}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        new_keys(&mut seen, &keys);
        assert!(seen.segments.len() * MOST < 3 * keys.len());
    }
}
