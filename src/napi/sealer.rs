//! Seals and opens sessions for JS, which makes the calls through an app's client itself; and holds a
//! store's keys until it closes.

use std::cell::RefCell;

use napi::bindgen_prelude::{ClassInstance, FromNapiValue};
use napi::{Env, Error, Status, Unknown};
use napi_derive::napi;

use crate::napi::lifetime::id_in_key;
use crate::napi::options::seal_options::{Unreadable, seal};
use crate::napi::raw;
use crate::session::seal::{Notation, Seal, open};

/// The options `encryption` and `compression` of a store (`lib/at-rest.js`).
#[napi]
pub struct Sealer {
    /// `None` once the store is closed.
    seal: RefCell<Option<Seal>>,
}

#[napi]
impl Sealer {
    /// Reads the options. Throws an error with the code `InvalidArg` that says what is wrong.
    #[napi(constructor, catch_unwind)]
    pub fn new(env: &Env, options: Unknown) -> napi::Result<Sealer> {
        match seal(env, &options) {
            Ok(seal) => Ok(Sealer {
                seal: RefCell::new(Some(seal)),
            }),
            Err(Unreadable::Wrong(message)) => Err(Error::new(Status::InvalidArg, message)),
            Err(Unreadable::Thrown(thrown)) => Err(Error::from_unknown_without_coercion(thrown)),
        }
    }

    /// Returns what Redis is given of a session's text, a string or a Buffer, at this key: the text
    /// itself, or a string.
    #[napi(catch_unwind)]
    pub fn seal<'e>(
        &self,
        env: &'e Env,
        key: String,
        text: Unknown<'e>,
    ) -> napi::Result<Unknown<'e>> {
        let seal = self.seal.borrow();
        let seal = seal
            .as_ref()
            .ok_or_else(closed)?
            .in_notation(Notation::Letters);
        let bytes = bytes_of(env, &text)?;
        match seal.seal(key.as_bytes(), &bytes) {
            std::borrow::Cow::Borrowed(_) => Ok(text),
            std::borrow::Cow::Owned(sealed) => {
                raw::string(env, &sealed).map_err(Error::from_unknown_without_coercion)
            }
        }
    }

    /// Returns the text of what is stored at this key: a Buffer if it is no valid UTF-8. Throws an error
    /// that says why it does not open.
    #[napi(catch_unwind)]
    pub fn open<'e>(
        &self,
        env: &'e Env,
        key: String,
        stored: Unknown<'e>,
    ) -> napi::Result<Unknown<'e>> {
        let seal = self.seal.borrow();
        let seal = seal.as_ref().ok_or_else(closed)?;
        let text = open(Some(seal), key.as_bytes(), bytes_of(env, &stored)?)
            .map_err(|why| Error::from_reason(why.to_string()))?;
        let made = match std::str::from_utf8(&text) {
            Ok(_) => raw::string(env, &text),
            Err(_) => raw::buffer(env, &text),
        };
        made.map_err(Error::from_unknown_without_coercion)
    }

    /// Lets go of the keys. They are overwritten once the calls that need them have their answers.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.seal.take();
    }
}

impl Sealer {
    /// The seal of a `Sealer` that JS has, writing in this form; `None` if it is none, or closed.
    pub fn read(sealer: &Unknown, form: Notation) -> Option<Seal> {
        let sealer = ClassInstance::<Sealer>::from_unknown(*sealer).ok()?;
        let seal = sealer.seal.borrow();
        seal.as_ref().map(|seal| seal.in_notation(form))
    }
}

/// Returns what stands in the key of the session `sid` with `hashIds`, for the store's method `name`.
/// Throws if that method does not take a handle, and `sid` is one.
#[napi(catch_unwind)]
pub fn id_in_session_key(sid: String, name: String) -> napi::Result<String> {
    match id_in_key(sid.as_bytes(), &name) {
        Ok(id) => Ok(String::from_utf8_lossy(&id).into_owned()),
        Err(error) => Err(Error::new(Status::InvalidArg, error.message)),
    }
}

fn bytes_of<'e>(env: &'e Env, text: &Unknown<'e>) -> napi::Result<Vec<u8>> {
    match raw::buffer_bytes(env, text) {
        Some(bytes) => Ok(bytes),
        None => raw::string_bytes(env, text, 1024).map_err(Error::from_unknown_without_coercion),
    }
}

fn closed() -> Error {
    Error::from_reason("cannot be opened: the store is closed")
}
