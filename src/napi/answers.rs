//! Answers of calls on their way to JS, many at once (`lib/native/pending-calls.js`).

use std::cell::RefCell;
use std::mem::take;
use std::sync::Arc;

use napi::Env;

use crate::io::event::CallId;
use crate::napi::bases::{Bases, SavedBase, pack};
use crate::napi::callbacks::JsCallbacks;
use crate::napi::crossing::{
    CONFLICT, DISCARDED, MAX_ANSWERS, MERGED, NO_TEXT, OTHER, PER_ANSWER, UNMERGED,
};
use crate::napi::packed_strings::PackedStrings;
use crate::napi::raw;
use crate::napi::recent_saves::RecentSaves;
use crate::session::command::{ReadBase, Reply};
use crate::session::compare_and_set::{Base, Saved};
use crate::session::true_expiry::Replaced;
use crate::test_panics::panic_at;

/// Bytes of text after which the answers are settled.
const MAX_TEXT: usize = 32 * 1024;

/// Answers on their way to JS.
#[derive(Default)]
pub struct Answers {
    numbers: Vec<f64>,
    text: Vec<u8>,
    others: Vec<Vec<u8>>,
    /// Whether JS has bases of these texts.
    has_bases: bool,
    /// Whether bases came to those that were saved last.
    has_saves: bool,
    /// The bases that JS does not have.
    kept: Vec<Arc<Base>>,
}

impl Answers {
    /// Whether the answers must be settled before another is added.
    pub fn is_full(&self) -> bool {
        self.numbers.len() >= PER_ANSWER * MAX_ANSWERS || self.text.len() >= MAX_TEXT
    }

    /// Adds an answer; nothing if it panics. `saved` is the base of a save, which comes to those that were
    /// saved last: the session's next save may follow soon.
    pub fn add(
        &mut self,
        id: CallId,
        reply: Reply,
        saved: Option<SavedBase>,
        saves: &mut RecentSaves,
    ) {
        if let Reply::Session { text, .. } = &reply {
            panic_at("the answer", text);
        }
        let (length, expires, base) = match reply {
            Reply::Session {
                text,
                expires,
                base: Some(base),
            } => {
                let (length, base) = self.add_with_base(text, base);
                (length, expires, Some(base))
            }
            Reply::Session { text, expires, .. } => (self.add_text(text), expires, None),
            Reply::Discarded => (DISCARDED, None, None),
            Reply::Saved {
                saved: became,
                base,
            } => {
                let new = base.map(|base| SavedBase {
                    base,
                    is_kept: false,
                });
                let is_written = !matches!(became, Saved::Discarded | Saved::Conflict);
                let saved = new.or(saved).filter(|_| is_written);
                let length = match became {
                    Saved::AsIs => NO_TEXT,
                    Saved::Merged => MERGED,
                    Saved::Unmerged => UNMERGED,
                    Saved::Discarded => DISCARDED,
                    Saved::Conflict => CONFLICT,
                    // Writing to memory does not fail.
                    Saved::Overwritten(names) => {
                        self.add_text(serde_json::to_vec(&names).unwrap_or_default())
                    }
                };
                let (number, base) = self.add_saved(saved, saves);
                (length, number, base)
            }
            Reply::Number(number) => (NO_TEXT, Some(number as f64), None),
            // A save that had only to move the expiry is answered so, too.
            Reply::Null | Reply::Raw(_) => {
                let (number, base) = self.add_saved(saved, saves);
                (NO_TEXT, number, base)
            }
        };
        let (expires, base) = (expires.unwrap_or(f64::NAN), base.unwrap_or(f64::NAN));
        self.numbers.extend([f64::from(id), length, expires, base]);
    }

    /// Adds a text that is a base, too. Returns what stands in the places of its length and of its base:
    /// what was replaced in the text, whose old part follows it; or if JS cannot have the base, -1 for
    /// the first that is kept, and so on.
    fn add_with_base(&mut self, mut text: Vec<u8>, base: ReadBase) -> (f64, f64) {
        let ReadBase { replaced, sealed } = base;
        let packed = pack(replaced.as_ref()).filter(|_| sealed.is_none());
        let is_ascii = text.is_ascii();
        match packed.filter(|_| is_ascii || std::str::from_utf8(&text).is_ok()) {
            Some(packed) => {
                let length = self.add_checked(text, is_ascii);
                let old = replaced.as_ref().map_or(&[][..], Replaced::before);
                self.text.extend_from_slice(old);
                self.has_bases = true;
                (length, f64::from(packed))
            }
            None => {
                let length = self.add_text(text.clone());
                if let Some(replaced) = replaced {
                    replaced.undo(&mut text);
                }
                let base = Base::sealed(text, sealed.map(Vec::from));
                (length, self.keep(base))
            }
        }
    }

    /// Adds what the next save of a session compares with. Returns what stands in the places of the expiry
    /// and of the base: its number among the bases that were saved last, if it is there, and 0 if it is the
    /// text that was saved, which JS has; nothing if it is kept already.
    fn add_saved(
        &mut self,
        saved: Option<SavedBase>,
        saves: &mut RecentSaves,
    ) -> (Option<f64>, Option<f64>) {
        let Some(SavedBase { base, is_kept }) = saved else {
            return (None, None);
        };
        match base.plain_length() {
            Some(length) => {
                let number = saves.push(base, length);
                self.has_saves |= number.is_some();
                (number.map(|number| number as f64), Some(0.0))
            }
            None => (None, (!is_kept).then(|| self.keep(base))),
        }
    }

    /// Keeps a base. Returns what stands for it.
    fn keep(&mut self, base: Arc<Base>) -> f64 {
        self.kept.push(base);
        -(self.kept.len() as f64)
    }

    /// Adds a text. Returns what stands in the place of its length.
    fn add_text(&mut self, text: Vec<u8>) -> f64 {
        let is_ascii = text.is_ascii();
        self.add_checked(text, is_ascii)
    }

    fn add_checked(&mut self, text: Vec<u8>, is_ascii: bool) -> f64 {
        if is_ascii {
            self.text.extend_from_slice(&text);
            text.len() as f64
        } else {
            self.others.push(text);
            OTHER
        }
    }

    /// Settles the promises of the calls in JS, and empties the answers.
    pub fn settle(&mut self, env: &Env, callbacks: &JsCallbacks, bases: &RefCell<Bases>) {
        if !self.numbers.is_empty() {
            let count = self.numbers.len() / PER_ANSWER;
            let (kept, has_bases) = (take(&mut self.kept), take(&mut self.has_bases));
            let batch = (!kept.is_empty()).then(|| bases.borrow_mut().keep(env, kept));
            let end = has_bases.then(|| bases.borrow_mut().recent.push(&self.text));
            let saves = take(&mut self.has_saves).then(|| bases.borrow().saves.count());
            raw::scoped(env, |env| {
                callbacks.settle(env, count, &self.packed(), (end, saves), batch);
            });
            self.clear();
        }
    }

    pub fn packed(&self) -> PackedStrings<'_> {
        PackedStrings {
            numbers: &self.numbers,
            text: &self.text,
            others: &self.others,
        }
    }

    /// Empties the answers.
    pub fn clear(&mut self) {
        self.numbers.clear();
        self.text.clear();
        self.others.clear();
        self.kept.clear();
        (self.has_bases, self.has_saves) = (false, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(text: &str, expires: Option<f64>) -> Reply {
        let text = text.into();
        let base = None;
        Reply::Session {
            text,
            expires,
            base,
        }
    }

    fn add(answers: &mut Answers, id: CallId, reply: Reply) {
        answers.add(id, reply, None, &mut RecentSaves::default());
    }

    #[test]
    fn ascii_texts_are_one_string_and_others_stand_alone() {
        let mut answers = Answers::default();
        add(&mut answers, 1, session("ab", None));
        add(&mut answers, 2, session("é", Some(7.0)));
        add(&mut answers, 3, session("cde", None));
        let packed = answers.packed();
        assert_eq!(packed.text, b"abcde");
        assert_eq!(packed.others, ["é".as_bytes()]);
        let lengths: Vec<f64> = packed.numbers.chunks(PER_ANSWER).map(|n| n[1]).collect();
        assert_eq!(lengths, [2.0, OTHER, 3.0]);
        assert!(packed.numbers[2].is_nan() && packed.numbers[PER_ANSWER + 2] == 7.0);
    }

    #[test]
    fn a_base_is_in_js_with_the_part_that_was_replaced_if_it_can_be() {
        let mut answers = Answers::default();
        let mut read = |text: &[u8], before: Option<&[u8]>, sealed: Option<&[u8]>| {
            let base = Some(ReadBase {
                replaced: before.map(|before| Replaced::new(1..3, before)),
                sealed: sealed.map(Into::into),
            });
            let (text, expires) = (text.to_vec(), None);
            let reply = Reply::Session {
                text,
                expires,
                base,
            };
            add(&mut answers, 1, reply);
        };
        read(b"{12}", Some(b"old"), None);
        read("é12".as_bytes(), Some(b"o"), None);
        read(b"{12}", None, None);
        read(b"{12}", Some(b"old"), Some(b"sealed"));
        read(b"\xff", None, None);
        let long = [b'x'; 40];
        read(b"{12}", Some(&long), None);
        let packed = answers.packed();
        assert_eq!(packed.text, b"{12}oldo{12}{12}{12}");
        let bases: Vec<f64> = packed.numbers.chunks(PER_ANSWER).map(|n| n[3]).collect();
        let replaced = |old| f64::from((1 << 10) + (2 << 5) + old);
        assert_eq!(bases, [replaced(3), replaced(1), 0.0, -1.0, -2.0, -3.0]);
        let stored = [&b"{old}"[..], b"\xff", &[b"{", &long[..], b"}"].concat()];
        assert_eq!(
            answers.kept,
            stored.map(|text| Base::new(text.to_vec())).to_vec()
        );
    }

    #[test]
    fn after_a_save_the_base_is_the_text_that_js_has_unless_redis_has_another() {
        let mut answers = Answers::default();
        let mut saves = RecentSaves::default();
        let mut saved = |text: &str, sealed: Option<Vec<u8>>, is_kept| {
            let base = Base::sealed(text.into(), sealed);
            let reply = Reply::Saved {
                saved: Saved::AsIs,
                base: None,
            };
            answers.add(1, reply, Some(SavedBase { base, is_kept }), &mut saves);
        };
        saved("{}", None, false);
        saved("\"é\"", None, true);
        saved("{}", Some(b"sealed".to_vec()), false);
        saved("{}", Some(b"sealed".to_vec()), true);
        let packed = answers.packed();
        let found = packed.numbers.chunks(PER_ANSWER).map(|n| (n[2], n[3]));
        let found: Vec<_> = found.map(|pair| format!("{pair:?}")).collect();
        let expected = ["(0.0, 0.0)", "(1.0, 0.0)", "(NaN, -1.0)", "(NaN, NaN)"];
        assert_eq!(found, expected);
        assert_eq!(saves.get(0), Some(Base::new(b"{}".to_vec())));
    }

    #[test]
    fn after_a_save_that_wrote_nothing_the_base_stays() {
        let mut answers = Answers::default();
        for saved in [Saved::Discarded, Saved::Conflict] {
            let reply = Reply::Saved { saved, base: None };
            let base = Some(SavedBase {
                base: Base::new(b"{}".to_vec()),
                is_kept: false,
            });
            answers.add(1, reply, base, &mut RecentSaves::default());
        }
        let packed = answers.packed();
        assert!(packed.numbers.chunks(PER_ANSWER).all(|n| n[3].is_nan()));
    }

    #[test]
    fn an_answer_without_a_text_says_whether_the_session_was_discarded() {
        let mut answers = Answers::default();
        add(&mut answers, 4, Reply::Null);
        add(&mut answers, 5, Reply::Discarded);
        let numbers = answers.packed().numbers;
        assert_eq!((numbers[0], numbers[1]), (4.0, NO_TEXT));
        let second = &numbers[PER_ANSWER..];
        assert_eq!((second[0], second[1]), (5.0, DISCARDED));
    }

    #[test]
    fn answers_are_full_by_their_number_or_their_bytes() {
        let mut answers = Answers::default();
        add(&mut answers, 0, session(&"x".repeat(MAX_TEXT), None));
        assert!(answers.is_full());
        answers.clear();
        for id in 0..MAX_ANSWERS as CallId {
            assert!(!answers.is_full());
            add(&mut answers, id, Reply::Null);
        }
        assert!(answers.is_full());
    }
}
