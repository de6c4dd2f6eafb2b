//! The one unsafe room: the raw N-API calls that napi's safe layer lacks or makes costly,
//! behind functions that are safe to call.
//!
//! Why it is sound, for the whole file:
//! - every function that touches V8 takes an `&Env`, or a value made with one: both only exist on
//!   their JS thread inside a callback from Node, so no call is made from another thread or outside
//!   a handle scope;
//! - a value lives no longer than the `&Env` it came from (`Unknown<'e>`), and what must live
//!   longer is a [`Held`] reference, bound to the JS thread (`!Send`);
//! - the only thing other threads touch is a [`Doorbell`], whose pointer is read under a lock that
//!   the finalizer takes before Node frees what it points to;
//! - where a status can be other than ok it is checked, or what it leaves behind is a null that is;
//!   a pending exception is always taken out of the environment, so that the next call does not
//!   fail because of it.
#![allow(unsafe_code)] // reason: see above; denied in every other file

use std::borrow::Cow;
use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use napi::bindgen_prelude::{FromNapiValue, ToNapiValue};
use napi::{Env, JsValue, Unknown, ValueType, sys};

/// A result whose error is a JS value: what to throw, or to reject a promise with.
pub type Try<'e, T = Unknown<'e>> = Result<T, Unknown<'e>>;

/// An `Env` for a raw pointer that Node passed to a callback of ours.
fn wrap<'e>(env: &'e Env, raw: sys::napi_value) -> Unknown<'e> {
    // SAFETY: `raw` was returned by an N-API call on this env in the current handle scope.
    unsafe { Unknown::from_raw_unchecked(env.raw(), raw) }
}

/// Turns a status into a result; the error is the pending exception where there is one.
fn check<'e>(env: &'e Env, status: sys::napi_status) -> Try<'e, ()> {
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

/// An `Error`, made without the face: for failures of N-API itself.
fn error<'e>(env: &'e Env, message: &str) -> Unknown<'e> {
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
pub fn string<'e>(env: &'e Env, text: &[u8]) -> Try<'e> {
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

/// What `typeof` says.
pub fn kind(value: &Unknown) -> ValueType {
    value.get_type().unwrap_or(ValueType::Unknown)
}

/// The number that `value` is; NaN where it is none.
pub fn number(value: &Unknown) -> f64 {
    // SAFETY: reads a number out of a value of a live env; anything else is an error status.
    unsafe { f64::from_napi_value(value.value().env, value.raw()) }.unwrap_or(f64::NAN)
}

/// The boolean that `value` is; `None` where it is none.
pub fn boolean(value: &Unknown) -> Option<bool> {
    // SAFETY: reads a boolean out of a value of a live env; anything else is an error status.
    unsafe { bool::from_napi_value(value.value().env, value.raw()) }.ok()
}

/// The milliseconds since the epoch of a `Date` (NaN for an invalid one); `None` where `value` is
/// no `Date`.
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
/// once where it fits the spare room of `to`, so callers reserve what they expect.
pub fn append_string<'e>(env: &'e Env, value: &Unknown<'e>, to: &mut Vec<u8>) -> Try<'e, ()> {
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

/// The text of a JS string that is read a piece at a time, each of so many UTF-16 code units.
pub enum Text {
    Ascii(Vec<u8>, usize),
    Utf16(Vec<u16>, usize),
}

impl Text {
    /// Reads a string of `length` units.
    pub fn read<'e>(env: &'e Env, value: &Unknown<'e>, length: usize) -> Try<'e, Text> {
        // N-API writes whole characters of at most four bytes and a NUL. A string that is not ASCII
        // has more bytes than units, and more than `length` of them fit even where it is cut short.
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

    /// The next piece as UTF-8 (lone surrogates become U+FFFD); less where there is no more.
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

/// So many units of a text from a place on, which is moved behind them.
fn piece<'t, U>(text: &'t [U], from: &mut usize, length: usize) -> &'t [U] {
    let start = *from;
    *from = (start + length).min(text.len());
    &text[start..*from]
}

/// The first `count` numbers of a `Float64Array`.
pub fn numbers<'e>(env: &'e Env, array: &Unknown<'e>, count: usize) -> Try<'e, Vec<f64>> {
    let (data, length) = float64_array(env, array)?;
    if count > length {
        return Err(error(env, "there are fewer numbers than calls"));
    }
    let mut numbers = Vec::with_capacity(count);
    // SAFETY: `data` points to `length` numbers as long as no JS runs; they are copied before.
    unsafe {
        ptr::copy_nonoverlapping(data, numbers.as_mut_ptr(), count);
        numbers.set_len(count);
    }
    Ok(numbers)
}

/// Writes numbers to the beginning of a `Float64Array`.
pub fn write_numbers<'e>(env: &'e Env, array: &Unknown<'e>, numbers: &[f64]) -> Try<'e, ()> {
    let (data, length) = float64_array(env, array)?;
    if numbers.len() > length {
        return Err(error(env, "there are more numbers than there is room"));
    }
    // SAFETY: as in `numbers`.
    unsafe { ptr::copy_nonoverlapping(numbers.as_ptr(), data, numbers.len()) };
    Ok(())
}

/// Where the numbers of a `Float64Array` are, and how many. None of one that has been detached.
fn float64_array<'e>(env: &'e Env, array: &Unknown<'e>) -> Try<'e, (*mut f64, usize)> {
    let mut kind = 0;
    let mut length = 0;
    let mut data = ptr::null_mut();
    // SAFETY: out-pointers to locals; anything but a typed array is an error status.
    let status = unsafe {
        sys::napi_get_typedarray_info(
            env.raw(),
            array.raw(),
            &mut kind,
            &mut length,
            &mut data,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    check(env, status)?;
    if kind != sys::TypedarrayType::float64_array || data.is_null() {
        return Err(error(env, "expected a Float64Array"));
    }
    Ok((data.cast(), length))
}

/// The UTF-8 of a JS string.
pub fn string_bytes<'e>(env: &'e Env, value: &Unknown<'e>, expected: usize) -> Try<'e, Vec<u8>> {
    let mut bytes = Vec::with_capacity(expected);
    append_string(env, value, &mut bytes)?;
    Ok(bytes)
}

/// `String(value)` as Rust has it.
pub fn text<'e>(env: &'e Env, value: &Unknown<'e>) -> Try<'e, String> {
    let bytes = string_bytes(env, &to_string(env, value)?, 64)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A copy of the bytes of a Buffer or Uint8Array; `None` where `value` is neither.
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
pub fn to_string<'e>(env: &'e Env, value: &Unknown<'e>) -> Try<'e> {
    let mut text = ptr::null_mut();
    // SAFETY: out-pointer to a local.
    let status = unsafe { sys::napi_coerce_to_string(env.raw(), value.raw(), &mut text) };
    check(env, status)?;
    Ok(wrap(env, text))
}

/// `object[name]`; the error is what a getter threw.
pub fn get<'e>(env: &'e Env, object: &Unknown<'e>, name: &CStr) -> Try<'e> {
    let mut property = ptr::null_mut();
    // SAFETY: `name` ends with NUL; out-pointer to a local.
    let status = unsafe {
        sys::napi_get_named_property(env.raw(), object.raw(), name.as_ptr(), &mut property)
    };
    check(env, status)?;
    Ok(wrap(env, property))
}

/// An empty array.
pub fn array(env: &Env) -> Try<'_> {
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
) -> Try<'e, ()> {
    // SAFETY: all values are of this env.
    let status = unsafe { sys::napi_set_element(env.raw(), array.raw(), index, value.raw()) };
    check(env, status)
}

/// An array of what `element` makes of each of `items`.
pub fn list<'e, T>(env: &'e Env, items: &[T], element: impl Fn(&'e Env, &T) -> Try<'e>) -> Try<'e> {
    let array = array(env)?;
    for (index, item) in items.iter().enumerate() {
        set_element(env, &array, index as u32, &element(env, item)?)?;
    }
    Ok(array)
}

/// The elements of an array; `None` where `value` is none.
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
pub fn buffer<'e>(env: &'e Env, bytes: &[u8]) -> Try<'e> {
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
) -> Try<'e> {
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

/// A JS function that runs `body` on its first N arguments; missing ones are undefined.
pub fn function<const N: usize>(
    env: &Env,
    name: &str,
    body: impl for<'c> Fn(&'c Env, [Unknown<'c>; N]) + 'static,
) -> napi::Result<Held> {
    let function = env.create_function_from_closure::<(), (), _>(name, move |call| {
        let argument = |index| call.get(index).unwrap_or_else(|_| undefined(call.env));
        // A panic must not unwind into Node.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            body(call.env, std::array::from_fn(argument));
        }));
        Ok(())
    })?;
    Held::new(env, &function.to_unknown())
        .map_err(|_| napi::Error::from_reason("cannot hold a function"))
}

/// Runs `body` with a handle scope of its own, so that a long batch does not hold all it made.
/// The env it gets, and so every value made with it, lives no longer than the scope.
pub fn scoped(env: &Env, body: impl for<'s> FnOnce(&'s Env)) {
    let mut scope = ptr::null_mut();
    // SAFETY: out-pointer to a local.
    let status = unsafe { sys::napi_open_handle_scope(env.raw(), &mut scope) };
    let _scope = (status == sys::Status::napi_ok).then(|| Scope(env.raw(), scope));
    body(&Env::from_raw(env.raw()));
}

/// An open handle scope. It is closed also where a panic ends it, as Node aborts over one that was
/// left open.
struct Scope(sys::napi_env, sys::napi_handle_scope);

impl Drop for Scope {
    fn drop(&mut self) {
        // SAFETY: opened and closed in pairs on one thread, by `scoped` alone; no value outlives
        // the scope, as its `body` has to take an env of any lifetime.
        unsafe { sys::napi_close_handle_scope(self.0, self.1) };
    }
}

/// A strong reference to an object or a function, for as long as it lives.
pub struct Held {
    env: sys::napi_env,
    reference: sys::napi_ref,
    js_thread_only: PhantomData<*mut ()>,
}

impl Held {
    /// Holds `value`, which must be an object or a function.
    pub fn new<'e>(env: &'e Env, value: &Unknown<'e>) -> Try<'e, Held> {
        let mut reference = ptr::null_mut();
        // SAFETY: out-pointer to a local.
        let status =
            unsafe { sys::napi_create_reference(env.raw(), value.raw(), 1, &mut reference) };
        check(env, status)?;
        Ok(Held {
            env: env.raw(),
            reference,
            js_thread_only: PhantomData,
        })
    }

    /// The value that is held.
    pub fn get<'e>(&self, env: &'e Env) -> Unknown<'e> {
        let mut value = ptr::null_mut();
        // SAFETY: the reference is alive as long as `self`.
        unsafe { sys::napi_get_reference_value(env.raw(), self.reference, &mut value) };
        if value.is_null() {
            undefined(env)
        } else {
            wrap(env, value)
        }
    }

    /// Calls the function that is held; the error is what it threw.
    pub fn call<'e, const N: usize>(&self, env: &'e Env, args: [Unknown<'e>; N]) -> Try<'e> {
        call(env, &self.get(env), args)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: on the JS thread (`!Send`), and while the environment lives: all that owns a
        // Held is owned by a JS object's finalizer or a Listener, and Node runs the finalizers of
        // both before it frees the environment. The reference itself is ours alone to delete.
        unsafe { sys::napi_delete_reference(self.env, self.reference) };
    }
}

/// Wakes a JS thread from any thread, once for all rings since it last listened.
pub struct Doorbell {
    /// Whether a wake is under way that the JS thread has not heard yet.
    rung: AtomicBool,
    /// Node's threadsafe function; `None` once it is released or its environment is gone.
    function: Mutex<Option<ThreadsafeFunction>>,
}

struct ThreadsafeFunction(sys::napi_threadsafe_function);
// SAFETY: Node documents call and release of a threadsafe function as callable from any thread.
unsafe impl Send for ThreadsafeFunction {}

/// What Node hands back to us on the JS thread.
struct Listener {
    bell: Arc<Doorbell>,
    on_ring: Box<dyn Fn(&Env)>,
}

impl Doorbell {
    /// A bell that calls `on_ring` on the JS thread of `env`. It does not keep the process alive
    /// until [`Doorbell::hold_process`] says so. `on_ring` is dropped when the bell is removed or
    /// the environment ends.
    pub fn new(env: &Env, on_ring: Box<dyn Fn(&Env)>) -> napi::Result<Arc<Doorbell>> {
        let bell = Arc::new(Doorbell {
            rung: AtomicBool::new(false),
            function: Mutex::new(None),
        });
        let listener = Box::into_raw(Box::new(Listener {
            bell: bell.clone(),
            on_ring,
        }));
        let mut function = ptr::null_mut();
        let name = value(env, "connect-redis-rs");
        // SAFETY: `listener` is a live Box that Node owns from here on and gives back exactly
        // once, to `finalize`; where the call fails it is taken back below.
        let status = unsafe {
            sys::napi_create_threadsafe_function(
                env.raw(),
                ptr::null_mut(),
                ptr::null_mut(),
                name.raw(),
                0,
                1,
                ptr::null_mut(),
                Some(finalize),
                listener.cast(),
                Some(on_call),
                &mut function,
            )
        };
        if status != sys::Status::napi_ok {
            // SAFETY: Node did not take the Box.
            drop(unsafe { Box::from_raw(listener) });
            return Err(napi::Error::new(
                napi::Status::from(status),
                "cannot create a threadsafe function",
            ));
        }
        // SAFETY: made just above, on this thread.
        unsafe { sys::napi_unref_threadsafe_function(env.raw(), function) };
        *bell.function.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(ThreadsafeFunction(function));
        Ok(bell)
    }

    /// Wakes the JS thread, from any thread. Free while an earlier ring is unheard.
    pub fn ring(&self) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut function = self.function.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ThreadsafeFunction(raw)) = *function {
            // SAFETY: `finalize` empties the field under this lock before Node frees the function.
            let status = unsafe {
                sys::napi_call_threadsafe_function(
                    raw,
                    ptr::null_mut(),
                    sys::ThreadsafeFunctionCallMode::nonblocking,
                )
            };
            if status == sys::Status::napi_closing {
                *function = None;
            }
        }
    }

    /// While `hold` is true the process stays alive for this bell.
    pub fn hold_process(&self, env: &Env, hold: bool) {
        let function = self.function.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ThreadsafeFunction(raw)) = *function {
            // SAFETY: as in `ring`; on the JS thread, as Node asks for ref and unref.
            unsafe {
                if hold {
                    sys::napi_ref_threadsafe_function(env.raw(), raw);
                } else {
                    sys::napi_unref_threadsafe_function(env.raw(), raw);
                }
            }
        }
    }

    /// Takes the bell down; `on_ring` is dropped soon after, on the JS thread.
    pub fn remove(&self) {
        let function = self
            .function
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(ThreadsafeFunction(raw)) = function {
            // SAFETY: the field is empty now, so nobody uses the pointer after this.
            unsafe {
                sys::napi_release_threadsafe_function(
                    raw,
                    sys::ThreadsafeFunctionReleaseMode::release,
                );
            }
        }
    }
}

/// Runs on the JS thread for each ring.
unsafe extern "C" fn on_call(
    env: sys::napi_env,
    _function: sys::napi_value,
    listener: *mut c_void,
    _data: *mut c_void,
) {
    if env.is_null() {
        return; // The environment is closing: no JS may run.
    }
    // SAFETY: Node passes the Listener given at creation, alive until `finalize`.
    let listener = unsafe { &*listener.cast::<Listener>() };
    // Cleared before the queue is read: a ring during the reading makes another call.
    listener.bell.rung.store(false, Ordering::Release);
    let env = Env::from_raw(env);
    // A panic must not unwind into Node. `on_ring` guards each settlement itself; this is the last
    // line.
    let _ = catch_unwind(AssertUnwindSafe(|| (listener.on_ring)(&env)));
}

/// Runs on the JS thread, once, before Node frees the threadsafe function.
unsafe extern "C" fn finalize(_env: sys::napi_env, _data: *mut c_void, listener: *mut c_void) {
    // SAFETY: Node gives the Box back exactly once.
    let listener = unsafe { Box::from_raw(listener.cast::<Listener>()) };
    listener
        .bell
        .function
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let _ = catch_unwind(AssertUnwindSafe(move || drop(listener)));
}
