//! Answers of calls on their way to JS, many at once (`lib/native/pending-calls.js`).

use napi::Env;

use crate::io::event::CallId;
use crate::napi::callbacks::JsCallbacks;
use crate::napi::crossing::{DISCARDED, MAX_ANSWERS, NO_TEXT, OTHER, PER_ANSWER};
use crate::napi::packed_strings::PackedStrings;
use crate::napi::raw;
use crate::session::command::Reply;
use crate::test_panics::panic_at;

/// Bytes of text after which the answers are settled.
const MAX_TEXT: usize = 32 * 1024;

/// Answers on their way to JS.
#[derive(Default)]
pub struct Answers {
    numbers: Vec<f64>,
    text: Vec<u8>,
    others: Vec<Vec<u8>>,
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
        let (length, expires) = match reply {
            Reply::Session { text, expires } => {
                let expires = expires.unwrap_or(f64::NAN);
                if text.is_ascii() {
                    self.text.extend_from_slice(&text);
                    (text.len() as f64, expires)
                } else {
                    self.others.push(text);
                    (OTHER, expires)
                }
            }
            Reply::Discarded => (DISCARDED, f64::NAN),
            Reply::Null | Reply::Raw(_) => (NO_TEXT, f64::NAN),
        };
        self.numbers.extend([f64::from(id), length, expires]);
    }

    /// Settles the promises of the calls in JS, and empties the answers.
    pub fn settle(&mut self, env: &Env, callbacks: &JsCallbacks) {
        if !self.numbers.is_empty() {
            let count = self.numbers.len() / PER_ANSWER;
            raw::scoped(env, |env| callbacks.settle(env, count, &self.packed()));
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

    pub fn clear(&mut self) {
        self.numbers.clear();
        self.text.clear();
        self.others.clear();
    }
}
