//! Stands for `src/transport/`, of which there is what urls say.

#[path = "../../src/transport/url.rs"]
mod url;

pub use url::Url;
