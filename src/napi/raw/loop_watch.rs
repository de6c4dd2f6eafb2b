//! Lets the event loop of a JS thread watch a file descriptor, by a poll handle of libuv. Node exports
//! libuv's functions to addons; other runtimes do not, or abort if one is called.

#[cfg(target_os = "linux")]
pub use linux::LoopWatch;

/// Only Linux has it.
#[cfg(not(target_os = "linux"))]
pub enum LoopWatch {}

#[cfg(not(target_os = "linux"))]
impl LoopWatch {
    pub fn new<T>(_: &napi::Env, _source: &T, _on_readable: Box<dyn Fn()>) -> Option<LoopWatch> {
        None
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::cell::{Cell, OnceCell};
    use std::ffi::{CStr, c_int, c_uint, c_void};
    use std::os::fd::{AsFd, AsRawFd};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::ptr;
    use std::rc::Rc;
    use std::sync::OnceLock;

    use libloading::os::unix::Library;
    use napi::{Env, JsValue, ValueType, sys};

    use crate::napi::raw::values::{get, kind};

    /// `UV_POLL` and `UV_READABLE` of libuv 1.
    const POLL_HANDLE: c_int = 8;
    const READABLE: c_int = 1;

    /// Watches a descriptor until it is dropped, or its environment ends. It does not keep the process alive.
    pub struct LoopWatch(Rc<Watched>);

    /// What libuv has a pointer to. It counts as an owner until it has closed the handle.
    struct Watched {
        libuv: &'static Libuv,
        /// Memory for a `uv_poll_t`, whose size libuv tells.
        handle: *mut c_void,
        _memory: Vec<u128>,
        on_readable: Box<dyn Fn()>,
        hook: OnceCell<sys::napi_async_cleanup_hook_handle>,
        is_closing: Cell<bool>,
    }

    impl LoopWatch {
        /// Calls `on_readable` on the JS thread of `env` as long as the descriptor of `source` is readable, but
        /// not from JS: it must not run any. `on_readable` has to keep `source` open. `None` if this runtime's
        /// event loop cannot do it.
        pub fn new(env: &Env, source: &impl AsFd, on_readable: Box<dyn Fn()>) -> Option<LoopWatch> {
            if !is_node(env) {
                return None;
            }
            let libuv = Libuv::get()?;
            let event_loop = env.get_uv_event_loop().ok()?;
            // SAFETY: a plain question.
            let size = unsafe { (libuv.handle_size)(POLL_HANDLE) };
            let mut memory = vec![0_u128; size.div_ceil(size_of::<u128>())];
            let watched = Rc::new(Watched {
                libuv,
                handle: memory.as_mut_ptr().cast(),
                _memory: memory,
                on_readable,
                hook: OnceCell::new(),
                is_closing: Cell::new(false),
            });
            let fd = source.as_fd().as_raw_fd();
            // SAFETY: on the thread of this loop; the memory is large enough, aligned for any type, and is not
            // moved or freed before libuv has closed the handle.
            if unsafe { (libuv.poll_init)(event_loop.cast(), watched.handle, fd) } != 0 {
                return None;
            }
            let owner = Rc::into_raw(watched.clone()).cast_mut().cast();
            // From here on, dropping it closes the handle.
            let watch = LoopWatch(watched);
            let Watched { handle, hook, .. } = &*watch.0;
            let mut added = ptr::null_mut();
            // SAFETY: the handle is initialized; `owner` counts until `on_close`, which comes last.
            let (started, hooked) = unsafe {
                (libuv.handle_set_data)(*handle, owner);
                (libuv.unref)(*handle);
                let started = (libuv.poll_start)(*handle, READABLE, on_poll);
                let hooked = sys::napi_add_async_cleanup_hook(
                    env.raw(),
                    Some(on_cleanup),
                    owner,
                    &mut added,
                );
                (started, hooked)
            };
            if hooked != sys::Status::napi_ok {
                return None;
            }
            let _ = hook.set(added);
            (started == 0).then_some(watch)
        }
    }

    impl Drop for LoopWatch {
        fn drop(&mut self) {
            self.0.close();
        }
    }

    impl Watched {
        /// Lets libuv close the handle, once.
        fn close(&self) {
            if !self.is_closing.replace(true) {
                // SAFETY: on the JS thread, since an `Rc` stays on its thread and libuv calls us there; the
                // handle is open.
                unsafe { (self.libuv.close)(self.handle, on_close) };
            }
        }
    }

    /// Node, not a runtime that only has its N-API.
    fn is_node(env: &Env) -> bool {
        let find = || {
            let global = env.get_global().ok()?.to_unknown();
            let process = get(env, &global, c"process").ok()?;
            let versions = get(env, &process, c"versions").ok()?;
            let has = |name: &CStr| {
                get(env, &versions, name).is_ok_and(|version| kind(&version) == ValueType::String)
            };
            Some(has(c"uv") && !has(c"bun") && !has(c"deno"))
        };
        find().unwrap_or(false)
    }

    /// Runs on the JS thread when the descriptor is readable.
    unsafe extern "C" fn on_poll(handle: *mut c_void, _status: c_int, _events: c_int) {
        let Some(libuv) = Libuv::get() else { return };
        // SAFETY: `new` has set the data, and the owner that it is counts until `on_close`.
        let watched = unsafe { &*(libuv.handle_get_data)(handle).cast::<Watched>() };
        // A panic must not unwind into Node.
        let _ = catch_unwind(AssertUnwindSafe(|| (watched.on_readable)()));
    }

    /// Runs on the JS thread when the environment ends. Node then waits for `on_close`, which removes the hook.
    unsafe extern "C" fn on_cleanup(_: sys::napi_async_cleanup_hook_handle, watched: *mut c_void) {
        // SAFETY: the hook is removed before the owner that `watched` is goes.
        unsafe { &*watched.cast::<Watched>() }.close();
    }

    /// Runs on the JS thread, once, when libuv has let go of the handle.
    unsafe extern "C" fn on_close(handle: *mut c_void) {
        let Some(libuv) = Libuv::get() else { return };
        // SAFETY: the data is what `new` has made of an `Rc`; libuv calls this once, after all else.
        let watched = unsafe { Rc::from_raw((libuv.handle_get_data)(handle).cast::<Watched>()) };
        if let Some(hook) = watched.hook.get() {
            // SAFETY: added by `new`, removed here alone.
            unsafe { sys::napi_remove_async_cleanup_hook(*hook) };
        }
        let _ = catch_unwind(AssertUnwindSafe(move || drop(watched)));
    }

    type OnHandle = unsafe extern "C" fn(*mut c_void);
    type OnPoll = unsafe extern "C" fn(*mut c_void, c_int, c_int);

    /// Functions of libuv 1, which keeps them as they are.
    struct Libuv {
        handle_size: unsafe extern "C" fn(c_int) -> usize,
        handle_get_data: unsafe extern "C" fn(*mut c_void) -> *mut c_void,
        handle_set_data: unsafe extern "C" fn(*mut c_void, *mut c_void),
        unref: OnHandle,
        close: unsafe extern "C" fn(*mut c_void, OnHandle),
        poll_init: unsafe extern "C" fn(*mut c_void, *mut c_void, c_int) -> c_int,
        poll_start: unsafe extern "C" fn(*mut c_void, c_int, OnPoll) -> c_int,
    }

    impl Libuv {
        /// The functions that this process has; `None` if one is missing.
        fn get() -> Option<&'static Libuv> {
            static LIBUV: OnceLock<Option<Libuv>> = OnceLock::new();
            LIBUV.get_or_init(Libuv::find).as_ref()
        }

        fn find() -> Option<Libuv> {
            let process = Library::this();
            // SAFETY: the types are those of libuv's `uv.h`.
            unsafe {
                let version: unsafe extern "C" fn() -> c_uint =
                    *process.get(b"uv_version\0").ok()?;
                if version() >> 16 != 1 {
                    return None;
                }
                Some(Libuv {
                    handle_size: *process.get(b"uv_handle_size\0").ok()?,
                    handle_get_data: *process.get(b"uv_handle_get_data\0").ok()?,
                    handle_set_data: *process.get(b"uv_handle_set_data\0").ok()?,
                    unref: *process.get(b"uv_unref\0").ok()?,
                    close: *process.get(b"uv_close\0").ok()?,
                    poll_init: *process.get(b"uv_poll_init\0").ok()?,
                    poll_start: *process.get(b"uv_poll_start\0").ok()?,
                })
            }
        }
    }
}
