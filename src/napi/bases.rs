//! What sessions were loaded with, for their saves to compare with: kept here and not in JS, where a
//! string cut out of a batch's text would hold the whole of it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::napi::crossing::MAX_ANSWERS;
use crate::session::compare_and_set::Base;

/// Bases by the number of the batch of answers that they came with, and their place in it. JS says when
/// no session of a batch is left (`lib/native/bases.js`).
#[derive(Default)]
pub struct Bases {
    batches: HashMap<u32, Vec<Arc<Base>>>,
    last: u32,
}

impl Bases {
    /// Keeps the bases of a batch. Returns its number.
    pub fn keep(&mut self, bases: Vec<Arc<Base>>) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if !self.batches.contains_key(&self.last) {
                break;
            }
        }
        self.batches.insert(self.last, bases);
        self.last
    }

    /// The base of a number, which is that of its batch times [`MAX_ANSWERS`] and its place.
    pub fn get(&self, number: f64) -> Option<Arc<Base>> {
        let number = number as u64;
        let batch = u32::try_from(number / MAX_ANSWERS as u64).ok()?;
        let place = (number % MAX_ANSWERS as u64) as usize;
        self.batches.get(&batch)?.get(place).cloned()
    }

    /// Forgets the bases of a batch.
    pub fn forget(&mut self, batch: u32) {
        self.batches.remove(&batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_found_by_its_number_until_its_batch_is_forgotten() {
        let mut bases = Bases::default();
        let base = |text: &str| Base::new(text.into());
        let first = bases.keep(vec![base("a"), base("b")]);
        let second = bases.keep(vec![base("c")]);
        let number =
            |batch: u32, place: usize| f64::from(batch) * MAX_ANSWERS as f64 + place as f64;
        assert_eq!(bases.get(number(first, 1)), Some(base("b")));
        assert_eq!(bases.get(number(second, 0)), Some(base("c")));
        assert_eq!(bases.get(number(second, 1)), None);
        assert_eq!(bases.get(f64::NAN), None);
        bases.forget(first);
        assert_eq!(bases.get(number(first, 1)), None);
        assert_eq!(bases.get(number(second, 0)), Some(base("c")));
    }
}
