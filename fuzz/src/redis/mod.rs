//! Stands for `src/redis/`, of which there is what urls say, and the protocol.

#[path = "../../../src/redis/resp/mod.rs"]
pub mod resp;
#[path = "../../../src/redis/cluster/slots.rs"]
pub mod slots;
#[path = "../../../src/redis/url.rs"]
mod url;

pub use resp::Batch;
pub use url::Url;
