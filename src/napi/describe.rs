//! Values of the app as messages show them.

use napi::{Env, Unknown, ValueType};

use crate::napi::raw;

/// Longer strings are cut.
const MAX_CHARS: usize = 40;

/// Describes a value: a short one by itself, another by its type. A string that may be a url is not
/// shown, because it may hold a password.
pub fn describe<'e>(env: &'e Env, value: &Unknown<'e>) -> String {
    let text = || raw::text(env, value).unwrap_or_default();
    match raw::kind(value) {
        ValueType::Undefined => "undefined".into(),
        ValueType::Null => "null".into(),
        ValueType::Boolean | ValueType::Number => text(),
        ValueType::BigInt => format!("{}n", text()),
        ValueType::String => {
            let text = text();
            if text.contains(['@', '/']) {
                return "a string".into();
            }
            match text.char_indices().nth(MAX_CHARS) {
                Some((end, _)) => format!("{:?} …", &text[..end]),
                None => format!("{text:?}"),
            }
        }
        ValueType::Function => "a function".into(),
        ValueType::Symbol => "a symbol".into(),
        _ => match raw::date(env, value) {
            Some(time) if time.is_nan() => "an invalid Date".into(),
            Some(_) => "a Date".into(),
            None => describe_object(env, value),
        },
    }
}

/// Describes an object by the name of its constructor (`a Promise`), if it has one.
fn describe_object<'e>(env: &'e Env, value: &Unknown<'e>) -> String {
    let name = raw::get(env, value, c"constructor")
        .and_then(|constructor| raw::get(env, &constructor, c"name"))
        .ok()
        .filter(|name| raw::kind(name) == ValueType::String)
        .and_then(|name| raw::text(env, &name).ok());
    match name.as_deref() {
        None | Some("" | "Object") => "an object".into(),
        Some("Array") => "an array".into(),
        Some(name) => format!("a {name}"),
    }
}
