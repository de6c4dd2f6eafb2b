//! The rules of a session on its way in: its key, when it expires, its payload.

use std::borrow::Cow;
use std::time::UNIX_EPOCH;

use napi::{Env, Unknown, ValueType};

use crate::error::StoreError;
use crate::napi::callbacks::JsCallbacks;
use crate::napi::describe::describe;
use crate::napi::raw::{self, JsResult};
use crate::session::expiry::Expiry;
use crate::session::hashed_id::{handle_of, is_handle};
use crate::test_panics::panic_at;

/// The key of a session, for the store's method `name`. (JS makes a string of any sid, as `+` does:
/// `undefined` becomes `"undefined"`.)
pub fn key(
    prefix: &[u8],
    sid: &[u8],
    has_handles: bool,
    name: &str,
) -> Result<Vec<u8>, StoreError> {
    let key = match has_handles {
        false => [prefix, sid].concat(),
        true => [prefix, &id_in_key(sid, name)?].concat(),
    };
    panic_at("the call", &key);
    Ok(key)
}

/// What stands in the key of a session with `hashIds`: the handle of the sid. `destroy` takes a handle,
/// too; to all other methods it is a sid that no session has.
pub fn id_in_key<'s>(sid: &'s [u8], name: &str) -> Result<Cow<'s, [u8]>, StoreError> {
    match name {
        "destroy" if is_handle(sid) => Ok(Cow::Borrowed(sid)),
        "set" if is_handle(sid) => Err(StoreError::invalid(
            "set: the id must be that of a session, got a handle as ids() returns it (hashIds)",
        )),
        _ => Ok(Cow::Owned(handle_of(sid))),
    }
}

/// Decides when a session's key expires (connect-redis's `getTTL`, to the millisecond): at `expires`,
/// the session's `cookie.expires`, unless that is undefined; else after `ttl` seconds. `now` is
/// `Date.now()` by the app's own clock. An invalid time is a `TypeError`; connect-redis silently
/// deletes the session.
pub fn expiry<'e>(
    env: &'e Env,
    callbacks: &JsCallbacks,
    expires: &Unknown<'e>,
    ttl: &Unknown<'e>,
    now: f64,
) -> JsResult<'e, Expiry> {
    if raw::kind(expires) != ValueType::Undefined {
        let at = match raw::kind(expires) {
            ValueType::Number => raw::number(expires),
            ValueType::String => string_date(env, callbacks, expires)?,
            ValueType::Object => match raw::date(env, expires) {
                Some(at) => at,
                None => callbacks.date(env, expires)?,
            },
            _ => f64::NAN,
        };
        if at.is_nan() {
            let got = describe(env, expires);
            return Err(callbacks.error(
                env,
                &StoreError::invalid(format!(
                    "cookie.expires must be a Date, an ISO date string or milliseconds since \
                     the epoch, got {got}"
                )),
            ));
        }
        return Ok(after((at - now).ceil()));
    }
    match seconds(env, ttl)? {
        // connect-redis gives Redis whole seconds, so a fraction is rounded up to one.
        Some(seconds) => Ok(after(seconds.ceil() * 1000.0)),
        None => Err(callbacks.error(
            env,
            &StoreError::invalid(format!(
                "ttl must be, or return, a number of seconds, got {}",
                describe(env, ttl)
            )),
        )),
    }
}

/// The time of a date string: read here if it is what `toISOString` writes, else by `Date`.
fn string_date<'e>(env: &'e Env, callbacks: &JsCallbacks, text: &Unknown<'e>) -> JsResult<'e, f64> {
    let bytes = raw::string_bytes(env, text, 32)?;
    match iso_date(&bytes) {
        Some(time) => Ok(time),
        None => callbacks.date(env, text),
    }
}

/// `2026-01-01T12:00:00.123Z` in milliseconds since the epoch; `None` for any other notation.
fn iso_date(text: &[u8]) -> Option<f64> {
    const LENGTH: usize = "2026-01-01T12:00:00.123Z".len();
    let text = std::str::from_utf8(text).ok()?;
    // humantime accepts a leap second, JS does not.
    if text.len() != LENGTH || text.get(17..19) == Some("60") {
        return None;
    }
    let time = humantime::parse_rfc3339(text).ok()?;
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_millis() as f64)
}

/// Seconds, from a number, a numeric string or a bigint; `None` for anything else.
pub fn seconds<'e>(env: &'e Env, ttl: &Unknown<'e>) -> JsResult<'e, Option<f64>> {
    let seconds = match raw::kind(ttl) {
        ValueType::Number => raw::number(ttl),
        ValueType::String | ValueType::BigInt => decimal(&raw::text(env, ttl)?).unwrap_or(f64::NAN),
        _ => f64::NAN,
    };
    Ok((!seconds.is_nan()).then_some(seconds))
}

/// Reads a decimal number, or `Infinity`, as JS writes them; not `inf` and `nan`, which Rust reads, too.
fn decimal(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_decimal = |c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-' | 'e' | 'E');
    if text.chars().all(is_decimal) || matches!(text, "Infinity" | "-Infinity") {
        return text.parse().ok();
    }
    None
}

/// Returns an error that describes the payload if it is neither a string nor a Buffer.
pub fn check_payload<'e>(
    env: &'e Env,
    callbacks: &JsCallbacks,
    payload: &Unknown<'e>,
) -> JsResult<'e, ()> {
    if raw::kind(payload) == ValueType::String || raw::buffer_bytes(env, payload).is_some() {
        return Ok(());
    }
    let got = describe(env, payload);
    Err(callbacks.error(
        env,
        &StoreError::invalid(format!(
            "the session cannot be stored: serializer.stringify must return a string or a \
             Buffer, got {got}"
        )),
    ))
}

/// The expiry in so many milliseconds.
fn after(ms: f64) -> Expiry {
    if ms <= 0.0 {
        Expiry::Past
    } else if ms.is_infinite() {
        Expiry::Never
    } else {
        // Saturates; Redis refuses what is beyond its own range with an error.
        Expiry::In(ms as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_runs_from_the_past_to_never() {
        assert_eq!(after(f64::NEG_INFINITY), Expiry::Past);
        assert_eq!(after(0.0), Expiry::Past);
        assert_eq!(after(1.0), Expiry::In(1));
        assert_eq!(after(1e300), Expiry::In(i64::MAX));
        assert_eq!(after(f64::INFINITY), Expiry::Never);
    }

    #[test]
    fn a_handle_is_taken_by_destroy_alone() {
        let handle = handle_of(b"abc");
        let id = |name| id_in_key(&handle, name).map(Cow::into_owned);
        assert_eq!(id("destroy"), Ok(handle.clone()));
        assert_eq!(id("get"), Ok(handle_of(&handle)));
        assert_eq!(id("touch"), Ok(handle_of(&handle)));
        assert!(id("set").is_err());
        let key = |has_handles| key(b"sess:", b"abc", has_handles, "get");
        assert_eq!(key(false), Ok(b"sess:abc".to_vec()));
        assert_eq!(key(true), Ok([b"sess:", &*handle].concat()));
    }

    #[test]
    fn numbers_are_those_of_js() {
        assert_eq!(decimal(" 1e3 "), Some(1000.0));
        assert_eq!(decimal("-0.5"), Some(-0.5));
        assert_eq!(decimal("Infinity"), Some(f64::INFINITY));
        for other in ["", "inf", "nan", "0x10", "5s", "1_000"] {
            assert_eq!(decimal(other), None, "{other}");
        }
    }

    #[test]
    fn an_iso_date_is_read_and_any_other_left_to_js() {
        assert_eq!(
            iso_date(b"2026-01-01T12:00:00.123Z"),
            Some(1_767_268_800_123.0)
        );
        for other in [
            "",
            "2026-01-01",
            "2026-01-01T12:00:00Z",
            "2016-12-31T23:59:60.000Z",
            "2026-13-01T12:00:00.123Z",
            "2026-01-01T12:00:00.123+",
            "1969-01-01T12:00:00.123Z",
            "2026-01-01 12:00:00.123Z ",
        ] {
            assert_eq!(iso_date(other.as_bytes()), None, "{other}");
        }
    }
}
