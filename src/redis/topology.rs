//! Where the commands go.

use super::cluster::ClusterNodes;
use super::peer::Peer;
use super::server::Server;
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
    /// Where the connection goes before there is one: the server, or the first node of a cluster. `None`
    /// for a master that sentinels have not named yet.
    pub fn peer(&self) -> Option<Peer> {
        match self {
            Topology::Single(Target::Server(server)) => Some(server.peer()),
            Topology::Single(Target::Master(_)) => None,
            Topology::Cluster(nodes) => nodes.seeds.first().map(Server::peer),
        }
    }

    /// What messages call the server.
    pub fn server_name(&self) -> ServerName {
        match self {
            Topology::Single(target) => target.server_name(),
            Topology::Cluster(nodes) => nodes.name(),
        }
    }
}
