//! Stands for `src/transport/`: what its urls say, and what a node of a cluster is called.

#[path = "../../src/transport/url.rs"]
mod url;

pub use url::Url;

/// As the store's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    pub host: String,
    pub port: u16,
}
