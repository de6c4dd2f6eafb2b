//! The one I/O thread of the process.

use std::future::pending;
use std::sync::OnceLock;
use std::thread;

use tokio::runtime::{Builder, Handle};

/// The runtime of the I/O thread, which every store and worker thread shares and which runs for as
/// long as the process does. The error says why it cannot run.
pub fn io_thread() -> Result<&'static Handle, String> {
    static HANDLE: OnceLock<Result<Handle, String>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let failed = |error| format!("cannot start the I/O thread: {error}");
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(failed)?;
            let handle = runtime.handle().clone();
            thread::Builder::new()
                .name("connect-redis".into())
                .spawn(move || runtime.block_on(pending::<()>()))
                .map_err(failed)?;
            Ok(handle)
        })
        .as_ref()
        .map_err(Clone::clone)
}
