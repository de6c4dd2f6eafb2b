//! Reads typed options, and says what is wrong with one.

use std::cell::RefCell;
use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

use napi::{Env, Unknown, ValueType};

use crate::error::StoreError;
use crate::io::completions::CompletionQueue;
use crate::napi::callbacks::JsCallbacks;
use crate::napi::describe::describe;
use crate::napi::raw::{self, JsRef, JsResult};

/// The longest time that Node's timers know; after a longer one, a `setTimeout` fires at once.
const MAX_MS: f64 = 2_147_483_647.0;

/// Reads options. The error of each method is the JS error to throw.
pub struct Reader<'e, 'h> {
    pub env: &'e Env,
    pub callbacks: &'h JsCallbacks,
    /// `None` if no option may be a function that is called later.
    pub functions: Option<&'h CredentialFunctions>,
}

/// The functions that give credentials. The I/O thread knows each by its index, and asks for it by an
/// event.
pub struct CredentialFunctions {
    pub completions: Arc<CompletionQueue>,
    pub list: RefCell<Vec<JsRef>>,
}

impl<'e> Reader<'e, '_> {
    /// Returns an option; undefined if it is null.
    pub fn option(&self, options: &Unknown<'e>, name: &str) -> JsResult<'e> {
        let name = CString::new(name).unwrap_or_default();
        let value = raw::get(self.env, options, &name)?;
        Ok(match raw::kind(&value) {
            ValueType::Null => raw::undefined(self.env),
            _ => value,
        })
    }

    /// A flag; false if it is not given.
    pub fn flag(&self, options: &Unknown<'e>, name: &str) -> JsResult<'e, bool> {
        let value = self.option(options, name)?;
        match (raw::kind(&value), raw::boolean(&value)) {
            (ValueType::Undefined, _) => Ok(false),
            (_, Some(flag)) => Ok(flag),
            _ => Err(self.wrong(name, "true or false", &value)),
        }
    }

    /// A time in milliseconds; `default` if it is not given.
    pub fn timeout(
        &self,
        options: &Unknown<'e>,
        name: &str,
        default: f64,
    ) -> JsResult<'e, Duration> {
        let value = self.option(options, name)?;
        let ms = match raw::kind(&value) {
            ValueType::Undefined => default,
            ValueType::Number => raw::number(&value),
            _ => f64::NAN,
        };
        if !(1.0..=MAX_MS).contains(&ms) {
            return Err(self.wrong(
                name,
                "a number of milliseconds from 1 to 2147483647",
                &value,
            ));
        }
        Ok(Duration::from_millis(ms as u64))
    }

    /// The error for an option that is not `wanted`.
    pub fn wrong(&self, option: &str, wanted: &str, got: &Unknown<'e>) -> Unknown<'e> {
        let got = describe(self.env, got);
        self.refuse(format!("the option {option} must be {wanted}, got {got}"))
    }

    /// The error with this message.
    pub fn refuse(&self, message: String) -> Unknown<'e> {
        self.callbacks.error(
            self.env,
            &StoreError::invalid(format!("RedisStore: {message}")),
        )
    }

    /// An option that is a string; `None` if it is not given.
    pub fn string(&self, source: &Unknown<'e>, name: &str) -> JsResult<'e, Option<String>> {
        let value = self.option(source, name)?;
        match raw::kind(&value) {
            ValueType::Undefined => Ok(None),
            ValueType::String => raw::text(self.env, &value).map(Some),
            // Not shown: it may be a secret of another type.
            _ => Err(self.refuse(format!("the option {name} must be a string"))),
        }
    }

    /// Checks an option of seconds, which must be `least` or more. JS uses it.
    pub fn check_seconds(&self, options: &Unknown<'e>, name: &str, least: f64) -> JsResult<'e, ()> {
        let value = self.option(options, name)?;
        match raw::kind(&value) {
            ValueType::Undefined => Ok(()),
            ValueType::Number if raw::number(&value) >= least => Ok(()),
            _ => Err(self.wrong(name, &format!("a number of seconds from {least}"), &value)),
        }
    }

    /// An option that must be one of some words; whether it is given.
    pub fn is_word(&self, options: &Unknown<'e>, name: &str, words: &[&str]) -> JsResult<'e, bool> {
        let value = self.option(options, name)?;
        let given = match raw::kind(&value) {
            ValueType::Undefined => return Ok(false),
            ValueType::String => raw::text(self.env, &value)?,
            _ => String::new(),
        };
        if words.contains(&&*given) {
            return Ok(true);
        }
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let (last, others) = quoted.split_last().map_or(("", &[][..]), |(l, o)| (l, o));
        let wanted = format!("{} or {last}", others.join(", "));
        Err(self.wrong(name, &wanted, &value))
    }

    /// Checks an option that bounds a queue. JS uses it.
    pub fn check_bound(&self, options: &Unknown<'e>, name: &str) -> JsResult<'e, ()> {
        let value = self.option(options, name)?;
        match raw::kind(&value) {
            ValueType::Undefined => Ok(()),
            ValueType::Number if raw::number(&value) >= 1.0 => Ok(()),
            _ => Err(self.wrong(name, "a number from 1, or Infinity", &value)),
        }
    }
}
