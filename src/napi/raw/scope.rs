//! Handle scopes.

use std::ptr;

use napi::{Env, sys};

/// Runs `body` with a handle scope of its own, so that a long batch does not keep all its values.
/// Its env, and so every value made with it, lives no longer than the scope.
pub fn scoped(env: &Env, body: impl for<'s> FnOnce(&'s Env)) {
    let mut scope = ptr::null_mut();
    // SAFETY: out-pointer to a local.
    let status = unsafe { sys::napi_open_handle_scope(env.raw(), &mut scope) };
    let _scope = (status == sys::Status::napi_ok).then(|| Scope(env.raw(), scope));
    body(&Env::from_raw(env.raw()));
}

/// An open handle scope. A panic closes it, too, because Node aborts if one is left open.
struct Scope(sys::napi_env, sys::napi_handle_scope);

impl Drop for Scope {
    fn drop(&mut self) {
        // SAFETY: opened and closed in pairs on one thread, by `scoped` alone; no value outlives
        // the scope, as its `body` has to take an env of any lifetime.
        unsafe { sys::napi_close_handle_scope(self.0, self.1) };
    }
}
