//! The JS thread: the native class, what crosses to it from JS, and what goes back. The only room that
//! knows N-API.

mod answers;
mod bases;
mod callbacks;
mod client;
mod client_scans;
mod credential_requests;
pub mod crossing;
mod decode_calls;
mod describe;
mod event_handler;
mod late_replies;
mod lifetime;
mod options;
mod packed_strings;
mod raw;
mod recent_saves;
mod recent_texts;
mod scan_records;
pub mod sealer;
mod store;
mod store_core;
pub mod version;
