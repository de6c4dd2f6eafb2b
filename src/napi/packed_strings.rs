//! Strings on their way to JS: those in ASCII as one string, since to make a JS string costs more than
//! to copy it; each other string by itself. `lib/native/packed-strings.js` takes them apart.

use napi::{Env, Unknown};

use crate::napi::raw::{self, JsResult};

/// The strings of some answers or records.
pub struct PackedStrings<'s> {
    /// [`PER_ANSWER`](crate::napi::crossing::PER_ANSWER) numbers each.
    pub numbers: &'s [f64],
    /// The strings in ASCII, one after the other.
    pub text: &'s [u8],
    pub others: &'s [Vec<u8>],
}

impl PackedStrings<'_> {
    /// Writes the numbers to `answers`. Returns the text, and the array of the others or undefined.
    pub fn to_js<'e>(&self, env: &'e Env, answers: &Unknown<'e>) -> JsResult<'e, [Unknown<'e>; 2]> {
        raw::write_numbers(env, answers, self.numbers)?;
        let others = match self.others {
            [] => raw::undefined(env),
            // What an app's serializer made may be no text: it goes as the bytes that it is.
            others => raw::list(env, others, |env, other| match std::str::from_utf8(other) {
                Ok(_) => raw::string(env, other),
                Err(_) => raw::buffer(env, other),
            })?,
        };
        Ok([raw::string(env, self.text)?, others])
    }
}
