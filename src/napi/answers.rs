//! Answers of calls on their way to JS, many at once (`lib/native/pending-calls.js`).

use std::cell::RefCell;
use std::mem::take;
use std::sync::Arc;

use napi::Env;

use crate::io::event::CallId;
use crate::napi::bases::Bases;
use crate::napi::callbacks::JsCallbacks;
use crate::napi::crossing::{
    CONFLICT, DISCARDED, MAX_ANSWERS, MERGED, NO_TEXT, OTHER, PER_ANSWER, UNMERGED,
};
use crate::napi::packed_strings::PackedStrings;
use crate::napi::raw;
use crate::session::command::Reply;
use crate::session::compare_and_set::{Base, Saved};
use crate::test_panics::panic_at;

/// Bytes of text after which the answers are settled.
const MAX_TEXT: usize = 32 * 1024;

/// Answers on their way to JS.
#[derive(Default)]
pub struct Answers {
    numbers: Vec<f64>,
    text: Vec<u8>,
    others: Vec<Vec<u8>>,
    bases: Vec<Arc<Base>>,
}

impl Answers {
    /// Whether the answers must be settled before another is added.
    pub fn is_full(&self) -> bool {
        self.numbers.len() >= PER_ANSWER * MAX_ANSWERS || self.text.len() >= MAX_TEXT
    }

    /// Adds an answer; nothing if it panics.
    pub fn add(&mut self, id: CallId, reply: Reply) {
        if let Reply::Session { text, .. } = &reply {
            panic_at("the answer", text);
        }
        let (length, expires, base) = match reply {
            Reply::Session {
                text,
                expires,
                base,
            } => match &base {
                Some(kept) if text.is_ascii() => {
                    self.text.extend_from_slice(&text);
                    let length = text.len() as f64;
                    kept.keep(text);
                    (length, expires, base)
                }
                Some(kept) => {
                    kept.keep(text.clone());
                    (self.add_text(text), expires, base)
                }
                None => (self.add_text(text), expires, None),
            },
            Reply::Discarded => (DISCARDED, None, None),
            Reply::Saved { saved, base } => {
                let length = match saved {
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
                (length, None, base)
            }
            Reply::Number(number) => (NO_TEXT, Some(number as f64), None),
            Reply::Null | Reply::Raw(_) => (NO_TEXT, None, None),
        };
        let place = match base {
            Some(base) => {
                self.bases.push(base);
                (self.bases.len() - 1) as f64
            }
            None => f64::NAN,
        };
        let expires = expires.unwrap_or(f64::NAN);
        self.numbers.extend([f64::from(id), length, expires, place]);
    }

    /// Adds a text. Returns what stands in the place of its length.
    fn add_text(&mut self, text: Vec<u8>) -> f64 {
        if text.is_ascii() {
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
            let kept = take(&mut self.bases);
            let batch = (!kept.is_empty()).then(|| bases.borrow_mut().keep(env, kept));
            raw::scoped(env, |env| {
                callbacks.settle(env, count, &self.packed(), batch);
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

    #[test]
    fn ascii_texts_are_one_string_and_others_stand_alone() {
        let mut answers = Answers::default();
        answers.add(1, session("ab", None));
        answers.add(2, session("é", Some(7.0)));
        answers.add(3, session("cde", None));
        let packed = answers.packed();
        assert_eq!(packed.text, b"abcde");
        assert_eq!(packed.others, ["é".as_bytes()]);
        let lengths: Vec<f64> = packed.numbers.chunks(PER_ANSWER).map(|n| n[1]).collect();
        assert_eq!(lengths, [2.0, OTHER, 3.0]);
        assert!(packed.numbers[2].is_nan() && packed.numbers[PER_ANSWER + 2] == 7.0);
    }

    #[test]
    fn an_answer_without_a_text_says_whether_the_session_was_discarded() {
        let mut answers = Answers::default();
        answers.add(4, Reply::Null);
        answers.add(5, Reply::Discarded);
        let numbers = answers.packed().numbers;
        assert_eq!((numbers[0], numbers[1]), (4.0, NO_TEXT));
        let second = &numbers[PER_ANSWER..];
        assert_eq!((second[0], second[1]), (5.0, DISCARDED));
    }

    #[test]
    fn answers_are_full_by_their_number_or_their_bytes() {
        let mut answers = Answers::default();
        answers.add(0, session(&"x".repeat(MAX_TEXT), None));
        assert!(answers.is_full());
        answers.clear();
        for id in 0..MAX_ANSWERS as CallId {
            assert!(!answers.is_full());
            answers.add(id, Reply::Null);
        }
        assert!(answers.is_full());
    }
}
