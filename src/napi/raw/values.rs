//! JS values: made, read and called.

use std::ffi::CStr;
use std::ptr;

use napi::bindgen_prelude::{FromNapiValue, ToNapiValue};
use napi::{Env, JsValue, Unknown, ValueType, sys};

/// A result whose error is a JS value: what to throw, or to reject a promise with.
pub type JsResult<'e, T = Unknown<'e>> = Result<T, Unknown<'e>>;

/// The value of a raw pointer that an N-API call has just returned.
pub(super) fn wrap<'e>(env: &'e Env, raw: sys::napi_value) -> Unknown<'e> {
    // SAFETY: `raw` was returned by an N-API call on this env in the current handle scope.
    unsafe { Unknown::from_raw_unchecked(env.raw(), raw) }
}

/// Turns a status into a result. The error is the pending exception, if there is one.
pub(super) fn check<'e>(env: &'e Env, status: sys::napi_status) -> JsResult<'e, ()> {
    if status == sys::Status::napi_ok {
        return Ok(());
    }
    let mut pending = false;
    let mut value = ptr::null_mut();
    // SAFETY: out-pointers to locals; both calls may be made while an exception is pending.
    unsafe {
        sys::napi_is_exception_pending(env.raw(), &mut pending);
        if pending
            && sys::napi_get_and_clear_last_exception(env.raw(), &mut value) == sys::Status::napi_ok
        {
            return Err(wrap(env, value));
        }
    }
    let status = napi::Status::from(status);
    Err(error(env, &format!("Node refused a call: {status}")))
}

/// Makes an `Error` without calling into `lib/`: for failures of N-API itself.
pub(super) fn error<'e>(env: &'e Env, message: &str) -> Unknown<'e> {
    let mut error = ptr::null_mut();
    let message = value(env, message);
    // SAFETY: out-pointer to a local; `message` is a value of this env.
    unsafe { sys::napi_create_error(env.raw(), ptr::null_mut(), message.raw(), &mut error) };
    if error.is_null() {
        message // the environment is going away
    } else {
        wrap(env, error)
    }
}

/// `undefined`.
pub fn undefined(env: &Env) -> Unknown<'_> {
    let mut value = ptr::null_mut();
    // SAFETY: out-pointer to a local; cannot fail on a live env.
    unsafe { sys::napi_get_undefined(env.raw(), &mut value) };
    wrap(env, value)
}

/// A JS value for a Rust value of a primitive type.
pub fn value<'e>(env: &'e Env, from: impl ToNapiValue) -> Unknown<'e> {
    // SAFETY: called on the JS thread of `env`.
    match unsafe { ToNapiValue::to_napi_value(env.raw(), from) } {
        Ok(raw) => wrap(env, raw),
        Err(_) => undefined(env),
    }
}

/// A JS string. ASCII becomes one of V8's one-byte strings without decoding; bytes that are not
/// UTF-8 become U+FFFD, as node-redis shows them.
pub fn string<'e>(env: &'e Env, text: &[u8]) -> JsResult<'e> {
    let mut value = ptr::null_mut();
    let create = if text.is_ascii() {
        sys::napi_create_string_latin1
    } else {
        sys::napi_create_string_utf8
    };
    // SAFETY: pointer and length describe `text`; V8 copies it before the call returns.
    let status = unsafe {
        create(
            env.raw(),
            text.as_ptr().cast(),
            text.len() as isize,
            &mut value,
        )
    };
    check(env, status)?;
    Ok(wrap(env, value))
}

/// The value's `typeof`.
pub fn kind(value: &Unknown) -> ValueType {
    value.get_type().unwrap_or(ValueType::Unknown)
}

/// The number that `value` is; NaN if it is something else.
pub fn number(value: &Unknown) -> f64 {
    // SAFETY: reads a number out of a value of a live env; anything else is an error status.
    unsafe { f64::from_napi_value(value.value().env, value.raw()) }.unwrap_or(f64::NAN)
}

/// The boolean that `value` is; `None` if it is something else.
pub fn boolean(value: &Unknown) -> Option<bool> {
    // SAFETY: reads a boolean out of a value of a live env; anything else is an error status.
    unsafe { bool::from_napi_value(value.value().env, value.raw()) }.ok()
}

/// The milliseconds since the epoch of a `Date`, NaN of an invalid one; `None` if `value` is no
/// `Date`.
pub fn date<'e>(env: &'e Env, value: &Unknown<'e>) -> Option<f64> {
    let mut is_date = false;
    let mut time = f64::NAN;
    // SAFETY: out-pointers to locals; the second call is made on a `Date` only.
    unsafe {
        let status = sys::napi_is_date(env.raw(), value.raw(), &mut is_date);
        if status != sys::Status::napi_ok || !is_date {
            return None;
        }
        sys::napi_get_date_value(env.raw(), value.raw(), &mut time);
    }
    Some(time)
}

/// Appends a JS string to `to` as UTF-8 (lone surrogates become U+FFFD). The string is copied
/// once if it fits the spare room of `to`, so callers reserve what they expect.
pub fn append_string<'e>(env: &'e Env, value: &Unknown<'e>, to: &mut Vec<u8>) -> JsResult<'e, ()> {
    // N-API writes whole characters and a NUL, so a copy that ends within four bytes of the end
    // of the buffer may be cut short.
    const SLACK: usize = 5;
    let mut copied = 0;
    let mut room = to.capacity() - to.len();
    if room <= SLACK {
        to.reserve(64);
        room = to.capacity() - to.len();
    }
    // SAFETY: the pointer is to `room` bytes of spare capacity; N-API writes at most `room`.
    let status = unsafe {
        let spare = to.spare_capacity_mut().as_mut_ptr().cast();
        sys::napi_get_value_string_utf8(env.raw(), value.raw(), spare, room, &mut copied)
    };
    check(env, status)?;
    if copied + SLACK > room {
        let mut length = 0;
        // SAFETY: a null buffer asks for the length alone.
        let status = unsafe {
            sys::napi_get_value_string_utf8(env.raw(), value.raw(), ptr::null_mut(), 0, &mut length)
        };
        check(env, status)?;
        to.reserve_exact(length + 1);
        // SAFETY: `length + 1` bytes of spare capacity were reserved just above.
        let status = unsafe {
            let spare = to.spare_capacity_mut().as_mut_ptr().cast();
            sys::napi_get_value_string_utf8(env.raw(), value.raw(), spare, length + 1, &mut copied)
        };
        check(env, status)?;
    }
    // SAFETY: N-API has initialised `copied` bytes of the spare capacity.
    unsafe { to.set_len(to.len() + copied) };
    Ok(())
}

/// The UTF-8 of a JS string.
pub fn string_bytes<'e>(
    env: &'e Env,
    value: &Unknown<'e>,
    expected: usize,
) -> JsResult<'e, Vec<u8>> {
    let mut bytes = Vec::with_capacity(expected);
    append_string(env, value, &mut bytes)?;
    Ok(bytes)
}

/// `String(value)` as a Rust string.
pub fn text<'e>(env: &'e Env, value: &Unknown<'e>) -> JsResult<'e, String> {
    let bytes = string_bytes(env, &to_string(env, value)?, 64)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A copy of the bytes of a Buffer or Uint8Array; `None` if `value` is neither.
pub fn buffer_bytes<'e>(env: &'e Env, value: &Unknown<'e>) -> Option<Vec<u8>> {
    let mut is_buffer = false;
    let mut data = ptr::null_mut();
    let mut length = 0;
    // SAFETY: out-pointers to locals; the slice is copied before any JS can run and detach it.
    unsafe {
        let status = sys::napi_is_buffer(env.raw(), value.raw(), &mut is_buffer);
        if status != sys::Status::napi_ok || !is_buffer {
            return None;
        }
        let status = sys::napi_get_buffer_info(env.raw(), value.raw(), &mut data, &mut length);
        if status != sys::Status::napi_ok {
            return None;
        }
        if length == 0 {
            return Some(Vec::new());
        }
        Some(std::slice::from_raw_parts(data.cast::<u8>(), length).to_vec())
    }
}

/// `String(value)`; throws for a symbol, as JS does.
pub fn to_string<'e>(env: &'e Env, value: &Unknown<'e>) -> JsResult<'e> {
    let mut text = ptr::null_mut();
    // SAFETY: out-pointer to a local.
    let status = unsafe { sys::napi_coerce_to_string(env.raw(), value.raw(), &mut text) };
    check(env, status)?;
    Ok(wrap(env, text))
}

/// `object[name]`; the error is what a getter threw.
pub fn get<'e>(env: &'e Env, object: &Unknown<'e>, name: &CStr) -> JsResult<'e> {
    let mut property = ptr::null_mut();
    // SAFETY: `name` ends with NUL; out-pointer to a local.
    let status = unsafe {
        sys::napi_get_named_property(env.raw(), object.raw(), name.as_ptr(), &mut property)
    };
    check(env, status)?;
    Ok(wrap(env, property))
}

/// An empty array.
pub fn array(env: &Env) -> JsResult<'_> {
    let mut array = ptr::null_mut();
    // SAFETY: out-pointer to a local.
    let status = unsafe { sys::napi_create_array(env.raw(), &mut array) };
    check(env, status)?;
    Ok(wrap(env, array))
}

/// `array[index] = value`.
pub fn set_element<'e>(
    env: &'e Env,
    array: &Unknown<'e>,
    index: u32,
    value: &Unknown<'e>,
) -> JsResult<'e, ()> {
    // SAFETY: all values are of this env.
    let status = unsafe { sys::napi_set_element(env.raw(), array.raw(), index, value.raw()) };
    check(env, status)
}

/// An array with one element for each of `items`.
pub fn list<'e, T>(
    env: &'e Env,
    items: &[T],
    element: impl Fn(&'e Env, &T) -> JsResult<'e>,
) -> JsResult<'e> {
    let array = array(env)?;
    for (index, item) in items.iter().enumerate() {
        set_element(env, &array, index as u32, &element(env, item)?)?;
    }
    Ok(array)
}

/// The elements of an array; `None` if `value` is no array.
pub fn elements<'e>(env: &'e Env, value: &Unknown<'e>) -> Option<Vec<Unknown<'e>>> {
    let mut is_array = false;
    let mut length = 0;
    // SAFETY: out-pointers to locals; the second call is made on an array only.
    unsafe {
        let status = sys::napi_is_array(env.raw(), value.raw(), &mut is_array);
        if status != sys::Status::napi_ok || !is_array {
            return None;
        }
        sys::napi_get_array_length(env.raw(), value.raw(), &mut length);
    }
    let element = |index| {
        let mut element = ptr::null_mut();
        // SAFETY: out-pointer to a local.
        let status = unsafe { sys::napi_get_element(env.raw(), value.raw(), index, &mut element) };
        check(env, status).ok()?;
        Some(wrap(env, element))
    };
    (0..length).map(element).collect()
}

/// A Buffer with a copy of `bytes`.
pub fn buffer<'e>(env: &'e Env, bytes: &[u8]) -> JsResult<'e> {
    let mut buffer = ptr::null_mut();
    // SAFETY: pointer and length describe `bytes`, which Node copies before the call returns.
    let status = unsafe {
        sys::napi_create_buffer_copy(
            env.raw(),
            bytes.len(),
            bytes.as_ptr().cast(),
            ptr::null_mut(),
            &mut buffer,
        )
    };
    check(env, status)?;
    Ok(wrap(env, buffer))
}

/// `function(...args)`; the error is what it threw.
pub fn call<'e, const N: usize>(
    env: &'e Env,
    function: &Unknown<'e>,
    args: [Unknown<'e>; N],
) -> JsResult<'e> {
    let args = args.map(|arg| arg.raw());
    let mut result = ptr::null_mut();
    // SAFETY: `args` holds N values of this env; out-pointer to a local.
    let status = unsafe {
        sys::napi_call_function(
            env.raw(),
            undefined(env).raw(),
            function.raw(),
            N,
            args.as_ptr(),
            &mut result,
        )
    };
    check(env, status)?;
    Ok(wrap(env, result))
}
