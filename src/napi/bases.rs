//! What sessions were loaded with, for their saves to compare with: kept here and not in JS, where a
//! string cut out of a batch's text would hold the whole of it.

use std::collections::HashMap;
use std::sync::Arc;

use napi::Env;

use crate::napi::crossing::MAX_BASES;
use crate::session::compare_and_set::Base;

/// Bases that are kept together. JS says when no session of theirs is left (`lib/native/bases.js`): to
/// watch each session by itself would cost more than all else that a `get` does with its base.
const PER_BATCH: usize = 128;

/// Bases by the number of their batch, and their place in it.
#[derive(Default)]
pub struct Bases {
    batches: HashMap<u32, BaseBatch>,
    /// The batch that new bases come into.
    current: u32,
}

#[derive(Default)]
struct BaseBatch {
    bases: Vec<Arc<Base>>,
    /// What V8 was told of its bytes.
    bytes: usize,
}

impl Bases {
    /// Keeps the bases of some answers. Returns the number of their batch, and the place of the first.
    pub fn keep(&mut self, env: &Env, bases: Vec<Arc<Base>>) -> (u32, usize) {
        let kept = self.insert(bases);
        let batch = self.batches.get_mut(&kept.0);
        if let Some(batch) = batch.filter(|batch| batch.bases.len() >= PER_BATCH) {
            // V8 learns of the bytes: else it would not look for sessions that are not needed any more
            // before there are very many.
            batch.bytes = batch.bases.iter().map(|base| base.size()).sum();
            adjust_memory(env, batch.bytes as i64);
        }
        kept
    }

    fn insert(&mut self, bases: Vec<Arc<Base>>) -> (u32, usize) {
        let is_full = |batch: &BaseBatch| batch.bases.len() >= PER_BATCH;
        if self.batches.get(&self.current).is_none_or(is_full) {
            while self.batches.contains_key(&self.current) {
                self.current = self.current.wrapping_add(1);
            }
        }
        let batch = self.batches.entry(self.current).or_default();
        let first = batch.bases.len();
        batch.bases.extend(bases);
        (self.current, first)
    }

    /// The base of a number, which is that of its batch times [`MAX_BASES`] and its place.
    pub fn get(&self, number: f64) -> Option<Arc<Base>> {
        let number = number as u64;
        let batch = u32::try_from(number / MAX_BASES as u64).ok()?;
        let place = (number % MAX_BASES as u64) as usize;
        self.batches.get(&batch)?.bases.get(place).cloned()
    }

    /// Forgets the bases of a batch.
    pub fn forget(&mut self, env: &Env, batch: u32) {
        if let Some(BaseBatch { bytes, .. }) = self.batches.remove(&batch) {
            adjust_memory(env, -(bytes as i64));
        }
    }

    /// Forgets all.
    pub fn clear(&mut self, env: &Env) {
        let bytes: usize = self.batches.drain().map(|(_, batch)| batch.bytes).sum();
        adjust_memory(env, -(bytes as i64));
    }
}

/// Tells V8 that so many bytes more belong to its objects.
fn adjust_memory(env: &Env, bytes: i64) {
    // It fails only if the environment ends.
    let _ = env.adjust_external_memory(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases_of(texts: &[&str]) -> Vec<Arc<Base>> {
        let base = |text: &&str| Base::new((*text).into());
        texts.iter().map(base).collect()
    }

    fn number((batch, first): (u32, usize), place: usize) -> f64 {
        f64::from(batch) * MAX_BASES as f64 + (first + place) as f64
    }

    #[test]
    fn a_base_is_found_by_its_number_until_its_batch_is_forgotten() {
        let mut bases = Bases::default();
        let first = bases.insert(bases_of(&["a", "b"]));
        let second = bases.insert(bases_of(&["c"]));
        assert_eq!(bases.get(number(first, 1)), Some(Base::new("b".into())));
        assert_eq!(bases.get(number(second, 0)), Some(Base::new("c".into())));
        assert_eq!(bases.get(number(second, 1)), None);
        bases.batches.remove(&first.0);
        assert_eq!(bases.get(number(first, 1)), None);
    }

    #[test]
    fn a_full_batch_is_followed_by_another() {
        let mut bases = Bases::default();
        let full = bases.insert(bases_of(&["x"; PER_BATCH]));
        let next = bases.insert(bases_of(&["y"]));
        assert_ne!(full.0, next.0);
        assert_eq!(next.1, 0);
        assert_eq!(bases.get(number(next, 0)), Some(Base::new("y".into())));
    }
}
