//! Wakes the JS thread, through a threadsafe function of Node.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use napi::{Env, JsValue, sys};

use crate::napi::raw::values::value;

/// Wakes a JS thread from any thread, once for all wakes since it last looked.
pub struct JsWaker {
    /// Whether a wake is under way that the JS thread has not seen yet.
    is_woken: AtomicBool,
    /// Node's threadsafe function; `None` once it is released or its environment is gone.
    function: Mutex<Option<ThreadsafeFunction>>,
}

struct ThreadsafeFunction(sys::napi_threadsafe_function);
// SAFETY: Node documents call and release of a threadsafe function as callable from any thread.
unsafe impl Send for ThreadsafeFunction {}

/// What Node hands back to us on the JS thread.
struct Listener {
    waker: Arc<JsWaker>,
    on_wake: Box<dyn Fn(&Env)>,
}

impl JsWaker {
    /// Makes a waker that calls `on_wake` on the JS thread of `env`. It keeps the process alive only
    /// after [`JsWaker::hold_process`]. `on_wake` is dropped when the waker is removed or the
    /// environment ends.
    pub fn new(env: &Env, on_wake: Box<dyn Fn(&Env)>) -> napi::Result<Arc<JsWaker>> {
        let waker = Arc::new(JsWaker {
            is_woken: AtomicBool::new(false),
            function: Mutex::new(None),
        });
        let listener = Box::into_raw(Box::new(Listener {
            waker: waker.clone(),
            on_wake,
        }));
        let mut function = ptr::null_mut();
        let name = value(env, "connect-redis-rs");
        // SAFETY: `listener` is a live Box that Node owns from here on and gives back exactly
        // once, to `finalize`; if the call fails, it is taken back below.
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
        *waker
            .function
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(ThreadsafeFunction(function));
        Ok(waker)
    }

    /// Wakes the JS thread, from any thread. Costs nothing while an earlier wake is unseen.
    pub fn wake(&self) {
        if self.is_woken.swap(true, Ordering::AcqRel) {
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

    /// While `hold` is true, the process stays alive for this waker.
    pub fn hold_process(&self, env: &Env, hold: bool) {
        let function = self.function.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ThreadsafeFunction(raw)) = *function {
            // SAFETY: as in `wake`; on the JS thread, as Node asks for ref and unref.
            unsafe {
                if hold {
                    sys::napi_ref_threadsafe_function(env.raw(), raw);
                } else {
                    sys::napi_unref_threadsafe_function(env.raw(), raw);
                }
            }
        }
    }

    /// Removes the waker; `on_wake` is dropped soon after, on the JS thread.
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

/// Runs on the JS thread for each wake.
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
    // Cleared before the queue is read: a wake during the reading makes another call.
    listener.waker.is_woken.store(false, Ordering::Release);
    let env = Env::from_raw(env);
    // A panic must not unwind into Node. `on_wake` catches the panic of each call itself; this is the
    // last line.
    let _ = catch_unwind(AssertUnwindSafe(|| (listener.on_wake)(&env)));
}

/// Runs on the JS thread, once, before Node frees the threadsafe function.
unsafe extern "C" fn finalize(_env: sys::napi_env, _data: *mut c_void, listener: *mut c_void) {
    // SAFETY: Node gives the Box back exactly once.
    let listener = unsafe { Box::from_raw(listener.cast::<Listener>()) };
    listener
        .waker
        .function
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let _ = catch_unwind(AssertUnwindSafe(move || drop(listener)));
}
