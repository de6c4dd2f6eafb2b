//! Stands for `src/transport/`, of which there is what urls say, and the protocol.

#[path = "../../src/transport/resp.rs"]
pub mod resp;
#[path = "../../src/transport/url.rs"]
mod url;

pub use resp::Batch;
pub use url::Url;
