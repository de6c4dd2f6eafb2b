//! Sessions at rest: what Redis holds of a session's text if it is compressed or encrypted.
//!
//! ```text
//! sealing      decides what is done with a text, both ways; the room's one door
//! envelope     the bytes around it: which version, what was done, with which key
//! encryption   AES-256-GCM with a key for each session
//! compression  zstd
//! ```
//!
//! docs/format.md describes the bytes.

mod compression;
mod encryption;
mod envelope;
mod sealing;

pub use compression::{Compression, MAX_LEVEL};
pub use encryption::{EncryptionKey, MIN_SECRET};
pub use envelope::Notation;
pub use sealing::{Encryption, Seal, Unopened, open, open_and_keep, shape};
