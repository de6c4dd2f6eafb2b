//! References that keep a JS value alive.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use napi::{Env, JsValue, Unknown, sys};

use crate::napi::raw::values::{JsResult, call, check, undefined, wrap};

/// A strong reference to an object or a function.
pub struct JsRef {
    env: sys::napi_env,
    reference: sys::napi_ref,
    js_thread_only: PhantomData<*mut ()>,
}

impl JsRef {
    /// Keeps `value` alive, which must be an object or a function.
    pub fn new<'e>(env: &'e Env, value: &Unknown<'e>) -> JsResult<'e, JsRef> {
        let mut reference = ptr::null_mut();
        // SAFETY: out-pointer to a local.
        let status =
            unsafe { sys::napi_create_reference(env.raw(), value.raw(), 1, &mut reference) };
        check(env, status)?;
        Ok(JsRef {
            env: env.raw(),
            reference,
            js_thread_only: PhantomData,
        })
    }

    /// The value.
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

    /// Calls the function; the error is what it threw.
    pub fn call<'e, const N: usize>(&self, env: &'e Env, args: [Unknown<'e>; N]) -> JsResult<'e> {
        call(env, &self.get(env), args)
    }
}

impl Drop for JsRef {
    fn drop(&mut self) {
        // SAFETY: on the JS thread (`!Send`), and while the environment lives: every JsRef
        // is owned by a JS object's finalizer or a Listener, and Node runs the finalizers of
        // both before it frees the environment. The reference itself is ours alone to delete.
        unsafe { sys::napi_delete_reference(self.env, self.reference) };
    }
}

/// Makes a JS function that runs `body` on its first N arguments; missing ones are undefined.
pub fn function<const N: usize>(
    env: &Env,
    name: &str,
    body: impl for<'c> Fn(&'c Env, [Unknown<'c>; N]) + 'static,
) -> napi::Result<JsRef> {
    let function = env.create_function_from_closure::<(), (), _>(name, move |call| {
        let argument = |index| call.get(index).unwrap_or_else(|_| undefined(call.env));
        // A panic must not unwind into Node.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            body(call.env, std::array::from_fn(argument));
        }));
        Ok(())
    })?;
    JsRef::new(env, &function.to_unknown())
        .map_err(|_| napi::Error::from_reason("cannot hold a function"))
}
