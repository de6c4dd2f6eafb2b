//! A Redis Cluster.
//!
//! ```text
//! slots        the slot of a key; the slot map and redirections as nodes give them
//! discovery    ask the nodes for the slot map
//! ```

mod discovery;
pub mod slots;

pub use discovery::ClusterNodes;
