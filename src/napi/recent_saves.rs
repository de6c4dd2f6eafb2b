//! The bases of the sessions that were saved last. To take such a base from here costs less than to bring
//! its text from JS again. They are few and short: memory that is not used for long is slow.

use std::sync::Arc;

use crate::session::compare_and_set::Base;

/// How many bases are kept. JS knows by their count whether one is still here (`lib/native/bases.js`).
pub const RECENT_SAVES: usize = 1024;
/// The longest text of them, in bytes.
const LONGEST: usize = 4096;

/// The last bases.
#[derive(Default)]
pub struct RecentSaves {
    /// The base of each number stands at its remainder by [`RECENT_SAVES`].
    bases: Vec<Option<Arc<Base>>>,
    /// How many there were.
    count: u64,
}

impl RecentSaves {
    /// Adds a base whose text has so many bytes. Returns its number; `None` if it is too long.
    pub fn push(&mut self, base: Arc<Base>, length: usize) -> Option<u64> {
        if length > LONGEST {
            return None;
        }
        self.bases.resize(RECENT_SAVES, None); // Once: whoever never saves has no room for them.
        let number = self.count;
        self.bases[(number % RECENT_SAVES as u64) as usize] = Some(base);
        self.count += 1;
        Some(number)
    }

    /// The base of a number; `None` if it is not here any more.
    pub fn get(&self, number: u64) -> Option<Arc<Base>> {
        let is_here = number < self.count && number + RECENT_SAVES as u64 >= self.count;
        let at = (number % RECENT_SAVES as u64) as usize;
        self.bases.get(at).filter(|_| is_here)?.clone()
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = RecentSaves::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_found_until_so_many_have_followed_it() {
        let mut saves = RecentSaves::default();
        assert_eq!(saves.get(0), None);
        let first = Base::new(b"first".to_vec());
        assert_eq!(saves.push(first.clone(), 5), Some(0));
        for number in 1..RECENT_SAVES as u64 {
            assert_eq!(saves.push(Base::new(Vec::new()), 0), Some(number));
        }
        assert_eq!(saves.get(0), Some(first));
        assert_eq!(saves.get(RECENT_SAVES as u64), None);
        saves.push(Base::new(b"last".to_vec()), 4);
        assert_eq!(saves.get(0), None);
        let last = saves.get(RECENT_SAVES as u64);
        assert_eq!(last, Some(Base::new(b"last".to_vec())));
    }

    #[test]
    fn a_long_text_is_not_kept() {
        let mut saves = RecentSaves::default();
        let long = Base::new(vec![b'x'; LONGEST + 1]);
        assert_eq!(saves.push(long, LONGEST + 1), None);
    }
}
