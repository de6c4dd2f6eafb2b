//! Where the commands go.

use super::cluster::ClusterNodes;
use super::target::Target;
use crate::error::ServerName;

/// Where the commands go.
pub enum Topology {
    /// All to one server.
    Single(Target),
    /// Each to the node of a cluster that has its key.
    Cluster(ClusterNodes),
}

impl Topology {
    /// What messages call the server.
    pub fn server_name(&self) -> ServerName {
        match self {
            Topology::Single(target) => target.server_name(),
            Topology::Cluster(nodes) => nodes.name(),
        }
    }
}
