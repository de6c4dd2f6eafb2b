//! What sessions were loaded with, for their saves to compare with.
//!
//! A base is in JS, as the text that was parsed there with the part of it that is not as stored, or as
//! the text that was saved. A save brings it here, or says where it stands among the texts that crossed
//! last; saves of the session that are made before it is answered share it, and those that follow soon
//! find it. What is not in JS is kept here as long as its session is used: what Redis has of a sealed
//! text, what is no text, and what was stored with others' changes.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use napi::Env;

use crate::io::event::CallId;
use crate::napi::crossing::{
    BASE_IS_COPY, BASE_IS_IN_CALL, BASE_IS_IN_FLIGHT, BASE_IS_KEPT, BASE_IS_SAVED, MAX_BASES,
    MAX_REPLACED,
};
use crate::napi::raw::Text;
use crate::napi::recent_saves::RecentSaves;
use crate::napi::recent_texts::RecentTexts;
use crate::session::compare_and_set::Base;
use crate::session::true_expiry::Replaced;

/// Bases that are kept together. JS says when no session of theirs is left (`lib/native/bases.js`): to
/// watch each session by itself would cost more than all else that is done with its base.
const PER_BATCH: usize = 128;

/// The bases that are here.
#[derive(Default)]
pub struct Bases {
    /// Those that are kept, by the number of their batch and their place in it.
    batches: HashMap<u32, BaseBatch>,
    /// The batch that new ones come into.
    current: u32,
    /// Those of the saves that have no answer yet, by the ids of the calls.
    in_flight: Vec<Option<SavedBase>>,
    /// Those that were saved last.
    pub saves: RecentSaves,
    /// The texts that were handed to JS.
    pub recent: RecentTexts,
}

#[derive(Default)]
struct BaseBatch {
    bases: Vec<Arc<Base>>,
    /// What V8 was told of its bytes.
    bytes: usize,
}

/// The base of a save.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub struct SavedBase {
    pub base: Arc<Base>,
    /// Whether it is kept under a number.
    pub is_kept: bool,
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

    /// The base of a save: of its three numbers, which are the position of its text or one of
    /// `BASE_IS_…`, the length of its text or a number, and what was replaced in the text. A text that
    /// comes with the call is the next piece of `text`. `None` if it is not known, which would be a bug.
    pub fn of_save(&mut self, id: CallId, numbers: &[f64], text: &mut Text) -> Option<Arc<Base>> {
        let &[from, number, replaced] = numbers else {
            return None;
        };
        let kept = |base, is_kept| Some(SavedBase { base, is_kept });
        let saved = if from == BASE_IS_KEPT {
            kept(self.get(number)?, true)
        } else if from == BASE_IS_COPY {
            kept(self.get(number)?.copy(), false)
        } else if from == BASE_IS_IN_FLIGHT {
            self.in_flight.get(number as usize).cloned()?
        } else if from == BASE_IS_SAVED {
            kept(self.saves.get(number as u64)?, false)
        } else {
            kept(
                self.read(from, number as usize, replaced as u32, text)?,
                false,
            )
        }?;
        let base = saved.base.clone();
        let at = id as usize;
        if self.in_flight.len() <= at {
            self.in_flight.resize_with(at + 1, || None);
        }
        self.in_flight[at] = Some(saved);
        Some(base)
    }

    /// The base of a call that has its answer; `None` if it was no save that compares.
    pub fn answered(&mut self, id: CallId) -> Option<SavedBase> {
        self.in_flight.get_mut(id as usize)?.take()
    }

    /// The base of a text that JS has.
    fn read(&self, from: f64, length: usize, replaced: u32, text: &mut Text) -> Option<Arc<Base>> {
        let (place, old) = unpack(replaced);
        let (mut stored, before) = if from == BASE_IS_IN_CALL {
            let stored = text.take(length).into_owned();
            (stored, text.take(old).into_owned())
        } else {
            let mut stored = self.recent.get(from as u64, length + old)?;
            let before = stored.split_off(length);
            (stored, before)
        };
        let is_as_stored = place.is_empty() || Replaced::new(place, &before).undo(&mut stored);
        is_as_stored.then(|| Base::new(stored))
    }

    /// The base of a number, which is that of its batch times [`MAX_BASES`] and its place.
    fn get(&self, number: f64) -> Option<Arc<Base>> {
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
        self.in_flight.clear();
        self.saves.clear();
        self.recent.clear();
    }
}

/// Where a part of a text was replaced, as one number, which also has the length of the old part: 0 if
/// nothing was. `None` if that does not go into a number, or if the old part cannot go with a text in
/// ASCII.
pub fn pack(replaced: Option<&Replaced>) -> Option<u32> {
    let Some(replaced) = replaced else {
        return Some(0);
    };
    let (place, before) = (replaced.place(), replaced.before());
    let is_short = place.len() < MAX_REPLACED && before.len() < MAX_REPLACED;
    // JS has it as an integer of 32 bits, with its sign.
    let is_near = place.start < i32::MAX as usize / MAX_REPLACED / MAX_REPLACED;
    (is_short && is_near && before.is_ascii())
        .then(|| ((place.start * MAX_REPLACED + place.len()) * MAX_REPLACED + before.len()) as u32)
}

/// The place of the new part, and the length of the old one.
fn unpack(packed: u32) -> (Range<usize>, usize) {
    let packed = packed as usize;
    let start = packed / MAX_REPLACED / MAX_REPLACED;
    let length = packed / MAX_REPLACED % MAX_REPLACED;
    (start..start + length, packed % MAX_REPLACED)
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

    fn nothing() -> Text {
        Text::Ascii(Vec::new(), 0)
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

    #[test]
    fn saves_share_the_base_of_the_one_before_until_that_is_answered() {
        let mut bases = Bases::default();
        let mut text = Text::Ascii(b"{}".to_vec(), 0);
        let first = bases.of_save(7, &[BASE_IS_IN_CALL, 2.0, 0.0], &mut text);
        let first = first.unwrap();
        assert_eq!(first, Base::new(b"{}".to_vec()));
        let second = bases.of_save(3, &[BASE_IS_IN_FLIGHT, 7.0, 0.0], &mut nothing());
        assert!(Arc::ptr_eq(&second.unwrap(), &first));
        assert!(bases.answered(7).is_some_and(|saved| !saved.is_kept));
        assert_eq!(bases.answered(7), None);
        let third = bases.of_save(7, &[BASE_IS_IN_FLIGHT, 3.0, 0.0], &mut nothing());
        assert!(Arc::ptr_eq(&third.unwrap(), &first));
        assert_eq!(bases.answered(99), None);
        assert!(
            bases
                .of_save(1, &[BASE_IS_IN_FLIGHT, 99.0, 0.0], &mut nothing())
                .is_none()
        );
    }

    #[test]
    fn a_save_moves_a_base_that_is_kept_but_not_the_one_that_it_is_a_copy_of() {
        let mut bases = Bases::default();
        let number = number(bases.insert(bases_of(&["a"])), 0);
        let kept = bases.of_save(1, &[BASE_IS_KEPT, number, 0.0], &mut nothing());
        assert!(Arc::ptr_eq(&kept.unwrap(), &bases.get(number).unwrap()));
        assert!(bases.answered(1).is_some_and(|saved| saved.is_kept));
        let copy = bases.of_save(1, &[BASE_IS_COPY, number, 0.0], &mut nothing());
        let copy = copy.unwrap();
        assert_eq!(copy, Base::new("a".into()));
        assert!(!Arc::ptr_eq(&copy, &bases.get(number).unwrap()));
        assert!(bases.answered(1).is_some_and(|saved| !saved.is_kept));
    }

    #[test]
    fn a_text_is_as_it_was_stored_whether_it_crossed_lately_or_comes_with_the_call() {
        let mut bases = Bases::default();
        bases.recent.push(br#"{"e":"new"}"old""#);
        let replaced = Replaced::new(5..10, br#""old""#);
        let packed = pack(Some(&replaced)).unwrap();
        let stored = || Some(Base::new(br#"{"e":"old"}"#.to_vec()));
        assert_eq!(bases.read(0.0, 11, packed, &mut nothing()), stored());
        assert_eq!(bases.read(1.0, 11, packed, &mut nothing()), None);
        let mut text = Text::Ascii(br#"{"e":"new"}"old""#.to_vec(), 0);
        assert_eq!(bases.read(BASE_IS_IN_CALL, 11, packed, &mut text), stored());
        let mut text = Text::Utf16("{\"é\":1}".encode_utf16().collect(), 0);
        let base = bases.read(BASE_IS_IN_CALL, 7, 0, &mut text);
        assert_eq!(base, Some(Base::new("{\"é\":1}".into())));
    }

    #[test]
    fn what_was_replaced_goes_into_a_number_unless_it_is_long_or_far_or_no_ascii() {
        assert_eq!(pack(None), Some(0));
        let replaced = Replaced::new(40..66, &[b'x'; 13]);
        let packed = pack(Some(&replaced)).unwrap();
        assert_eq!(unpack(packed), (40..66, 13));
        let far = i32::MAX as usize / MAX_REPLACED / MAX_REPLACED;
        for (place, before) in [
            (40..66, &b"a date as of another writer's cookies"[..]),
            (40..80, b"short"),
            (far..far + 26, b"short"),
            (40..66, "é".as_bytes()),
        ] {
            assert_eq!(pack(Some(&Replaced::new(place, before))), None);
        }
        let last = Replaced::new(far - 1..far + 25, b"short");
        assert_eq!(unpack(pack(Some(&last)).unwrap()), (far - 1..far + 25, 5));
        // A place that the text does not have is no place.
        let bases = Bases::default();
        let mut text = Text::Ascii(b"{}x".to_vec(), 0);
        let packed = pack(Some(&Replaced::new(1..3, b"x"))).unwrap();
        assert_eq!(bases.read(BASE_IS_IN_CALL, 2, packed, &mut text), None);
    }
}
