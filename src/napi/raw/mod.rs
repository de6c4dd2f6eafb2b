//! The one unsafe room: the N-API calls that napi's safe layer lacks or makes costly, behind functions
//! that are safe to call.
//!
//! Why it is sound, for the whole room:
//! - every function that touches V8 takes an `&Env`, or a value made with one. Both exist only on
//!   their JS thread inside a callback from Node, so no call is made from another thread or outside a
//!   handle scope;
//! - a value lives no longer than the `&Env` it came from (`Unknown<'e>`). What must live longer is a
//!   [`JsRef`], which stays on the JS thread (`!Send`);
//! - other threads touch only a [`JsWaker`], whose pointer is read under a lock that the finalizer
//!   takes before Node frees what it points to;
//! - libuv is called on the JS thread alone, and has its memory until it says that it needs it no more;
//! - a status that may be other than ok is checked, or the null that it leaves behind is. A pending
//!   exception is always taken out of the environment, so that it does not fail the next call.
#![allow(unsafe_code)] // reason: see above; denied in every other room

mod js_ref;
mod js_waker;
mod loop_watch;
mod numbers;
mod scope;
mod text;
mod values;

pub use js_ref::{JsRef, function};
pub use js_waker::JsWaker;
pub use loop_watch::LoopWatch;
pub use numbers::{numbers, write_numbers};
pub use scope::scoped;
pub use text::Text;
pub use values::{
    JsResult, boolean, buffer, buffer_bytes, date, elements, get, kind, list, number, string,
    string_bytes, text, undefined, value,
};
