//! The texts of a batch, which come in one JS string.

use std::borrow::Cow;

use napi::{Env, JsValue, Unknown, sys};

use crate::napi::raw::values::{JsResult, check};

/// The text of a JS string that is read a piece at a time, each of so many UTF-16 code units.
pub enum Text {
    Ascii(Vec<u8>, usize),
    Utf16(Vec<u16>, usize),
}

impl Text {
    /// Reads a string of `length` units.
    pub fn read<'e>(env: &'e Env, value: &Unknown<'e>, length: usize) -> JsResult<'e, Text> {
        // N-API writes whole characters of at most four bytes and a NUL. A string that is not ASCII
        // has more bytes than units, and more than `length` of them fit even if it is cut short.
        let capacity = length + 8;
        let mut ascii: Vec<u8> = Vec::with_capacity(capacity);
        let mut copied = 0;
        // SAFETY: the pointer is to `capacity` bytes, of which N-API writes and then counts some.
        unsafe {
            let room = ascii.as_mut_ptr().cast();
            let status = sys::napi_get_value_string_utf8(
                env.raw(),
                value.raw(),
                room,
                capacity,
                &mut copied,
            );
            check(env, status)?;
            ascii.set_len(copied);
        }
        if copied == length {
            return Ok(Text::Ascii(ascii, 0));
        }
        let mut units: Vec<u16> = Vec::with_capacity(length + 1);
        // SAFETY: as above, in units of two bytes.
        unsafe {
            let room = units.as_mut_ptr();
            let status = sys::napi_get_value_string_utf16(
                env.raw(),
                value.raw(),
                room,
                length + 1,
                &mut copied,
            );
            check(env, status)?;
            units.set_len(copied);
        }
        Ok(Text::Utf16(units, 0))
    }

    /// Takes the next piece as UTF-8 (lone surrogates become U+FFFD); less if the string ends.
    pub fn take(&mut self, length: usize) -> Cow<'_, [u8]> {
        match self {
            Text::Ascii(text, from) => Cow::Borrowed(piece(text, from, length)),
            Text::Utf16(text, from) => {
                let text = String::from_utf16_lossy(piece(text, from, length));
                Cow::Owned(text.into_bytes())
            }
        }
    }
}

/// The next `length` units of a text; moves `from` behind them.
fn piece<'t, U>(text: &'t [U], from: &mut usize, length: usize) -> &'t [U] {
    let start = *from;
    *from = (start + length).min(text.len());
    &text[start..*from]
}
