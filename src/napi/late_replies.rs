//! Lets the event loop watch the socket once replies to direct calls come late. It can on Linux in Node;
//! elsewhere the I/O thread reads them and wakes the JS thread.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use napi::Env;

use crate::io::handle::Handle;
use crate::napi::raw::LoopWatch;
use crate::redis::SocketWatch;

/// The event loop's watch over the socket of a store.
#[derive(Default)]
pub struct LateReplies {
    /// Whether to try no more.
    is_decided: Cell<bool>,
    watch: RefCell<Option<LoopWatch>>,
}

impl LateReplies {
    /// Starts to watch, the first time.
    pub fn watch(&self, env: &Env, handle: &Handle) {
        if !self.is_decided.replace(true) {
            self.watch.replace(start(env, handle));
        }
    }

    /// Stops for good.
    pub fn stop(&self) {
        self.is_decided.set(true);
        self.watch.take();
    }
}

fn start(env: &Env, handle: &Handle) -> Option<LoopWatch> {
    let socket = Arc::new(SocketWatch::new().ok()?);
    let read = handle.late_reader();
    let watched = socket.clone();
    let on_readable = move || {
        if watched.take() {
            read();
        }
    };
    let watch = LoopWatch::new(env, &*socket, Box::new(on_readable))?;
    handle.watch_direct(&socket);
    Some(watch)
}
