//! The nodes of a cluster, and how to ask them for the slot map.

use std::hash::{BuildHasher, RandomState};

use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::Value;

use super::slots::{Node, SlotMap, read_slot_map};
use crate::error::{Code, ConnectError, ServerName};
use crate::redis::resp::Batch;
use crate::redis::server::Server;
use crate::redis::target::Target;
use crate::redis::wire::Sender;

/// How many nodes are asked for the slot map at once.
const ASKED_AT_ONCE: usize = 3;

/// How to reach the nodes of a cluster.
#[derive(Clone)]
pub struct ClusterNodes {
    /// The nodes that the app has given, at least one. All have the same login.
    pub seeds: Vec<Server>,
}

impl ClusterNodes {
    /// What messages call the cluster.
    pub fn name(&self) -> ServerName {
        let seeds: Vec<_> = self.seeds.iter().map(Server::name).collect();
        format!("the cluster of {}", seeds.join(", ")).into()
    }

    /// How to connect to a node.
    pub fn target(&self, node: &Node) -> Target {
        self.server(node).into()
    }

    fn server(&self, node: &Node) -> Server {
        self.seeds[0].at(node.host.clone(), node.port)
    }

    /// Asks for the slot map: first the nodes with a connection, then the known nodes and the seeds.
    /// Some nodes are asked at once, since any of them may be gone. Returns the first slot map that
    /// comes, or the last error.
    pub async fn slot_map(
        &self,
        connected: Vec<(Node, Sender)>,
        known: Vec<Node>,
    ) -> Result<SlotMap, ConnectError> {
        let mut asked: FuturesUnordered<_> = shuffled(connected)
            .into_iter()
            .take(ASKED_AT_ONCE)
            .map(|(node, sender)| ask(sender, node.host))
            .collect();
        while let Some(answer) = asked.next().await {
            if let Ok(slot_map) = answer {
                return Ok(slot_map);
            }
        }
        let known = shuffled(known).into_iter().map(|node| self.server(&node));
        let servers: Vec<Server> = known.chain(shuffled(self.seeds.clone())).collect();
        let mut last = ConnectError::new(Code::NotFound, "no node of the cluster is known");
        for servers in servers.chunks(ASKED_AT_ONCE) {
            let mut attempts: FuturesUnordered<_> = servers.iter().map(connect_and_ask).collect();
            while let Some(attempt) = attempts.next().await {
                match attempt {
                    Ok(slot_map) => return Ok(slot_map),
                    Err(error) => last = error,
                }
            }
        }
        Err(last)
    }
}

async fn connect_and_ask(server: &Server) -> Result<SlotMap, ConnectError> {
    let at_node = |error: ConnectError| error.at(server.name());
    let connection = server.connect().await.map_err(at_node)?;
    let host = server.host().unwrap_or_default().to_string();
    ask(connection.sender(), host).await.map_err(at_node)
}

/// Asks a node at `host` for the slot map.
async fn ask(sender: Sender, host: String) -> Result<SlotMap, ConnectError> {
    let mut batch = Batch::default();
    batch.add(&[b"CLUSTER", b"SLOTS"]);
    let replies = sender.send(batch).await;
    let mut replies = replies.map_err(|error| ConnectError::from(&error))?;
    match replies.pop() {
        Some(Value::ServerError(error)) => {
            let ConnectError { code, reason } = ConnectError::from(&error);
            let advice = if reason.contains("cluster support disabled") {
                " (it is no cluster: give the server as url)"
            } else {
                ""
            };
            Err(ConnectError::new(code, format!("{reason}{advice}")))
        }
        Some(reply) => read_slot_map(&reply, &host).ok_or_else(|| {
            let reason = "CLUSTERDOWN no node of the cluster serves any slot";
            ConnectError::new(Code::ClusterDown, reason)
        }),
        None => Err(ConnectError::new(
            Code::Protocol,
            "CLUSTER SLOTS was not answered",
        )),
    }
}

/// In a random order, so that the stores of all processes do not ask the same node.
fn shuffled<T>(mut items: Vec<T>) -> Vec<T> {
    let random = RandomState::new();
    let mut order: Vec<(u64, T)> = items
        .drain(..)
        .enumerate()
        .map(|(index, item)| (random.hash_one(index), item))
        .collect();
    order.sort_by_key(|(key, _)| *key);
    order.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::test_network::{TestListener, TestNetwork, TestPeer};
    use super::*;

    fn nodes(network: &TestNetwork, hosts: &[&str]) -> ClusterNodes {
        let server = |host: &&str| Server::tcp(host.to_string(), 7000).on_network(network);
        ClusterNodes {
            seeds: hosts.iter().map(server).collect(),
        }
    }

    fn node(host: &str) -> Node {
        Node {
            host: host.into(),
            port: 7000,
        }
    }

    /// A reply by which the node that was asked serves all slots.
    const ALL_SLOTS: &str = "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:7000\r\n";

    async fn answer(listener: &TestListener, reply: &str) -> TestPeer {
        let mut peer = listener.accept_and_log_in().await;
        peer.expect(&["CLUSTER", "SLOTS"]).await;
        peer.reply(reply).await;
        peer
    }

    fn all_slots_at(host: &str) -> SlotMap {
        SlotMap(vec![(0, 16383, node(host))])
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_node_that_knows_the_slot_map_is_believed() {
        let network = TestNetwork::new();
        let _silent = network.listen("silent:7000");
        let knowing = network.listen("knowing:7000");
        let nodes = nodes(&network, &["away", "silent", "knowing"]);
        let asked = nodes.slot_map(Vec::new(), Vec::new());
        let (slot_map, _peer) = tokio::join!(asked, answer(&knowing, ALL_SLOTS));
        assert_eq!(slot_map, Ok(all_slots_at("knowing")));
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_with_a_connection_are_asked_over_it() {
        let network = TestNetwork::new();
        let listener = network.listen("a:7000");
        let nodes = nodes(&network, &["away"]);
        let target = nodes.target(&node("a"));
        let (connection, mut peer) =
            tokio::join!(target.connect(None), listener.accept_and_log_in());
        let connected = vec![(node("a"), connection.as_ref().unwrap().sender())];
        let script = async {
            peer.expect(&["CLUSTER", "SLOTS"]).await;
            peer.reply(ALL_SLOTS).await;
        };
        let (slot_map, ()) = tokio::join!(nodes.slot_map(connected, Vec::new()), script);
        assert_eq!(slot_map, Ok(all_slots_at("a")));
    }

    #[tokio::test(start_paused = true)]
    async fn known_nodes_are_asked_if_the_seeds_are_away() {
        let network = TestNetwork::new();
        let known = network.listen("known:7000");
        let nodes = nodes(&network, &["away", "gone"]);
        let asked = nodes.slot_map(Vec::new(), vec![node("known")]);
        let (slot_map, _peer) = tokio::join!(asked, answer(&known, ALL_SLOTS));
        assert_eq!(slot_map, Ok(all_slots_at("known")));
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_names_the_node_and_what_to_do() {
        for (reply, code, reason) in [
            (
                "-ERR This instance has cluster support disabled\r\n",
                Code::ServerError,
                "a:7000: ERR This instance has cluster support disabled \
                 (it is no cluster: give the server as url)",
            ),
            (
                "*0\r\n",
                Code::ClusterDown,
                "a:7000: CLUSTERDOWN no node of the cluster serves any slot",
            ),
        ] {
            let network = TestNetwork::new();
            let listener = network.listen("a:7000");
            let nodes = nodes(&network, &["a"]);
            let asked = nodes.slot_map(Vec::new(), Vec::new());
            let (result, _peer) = tokio::join!(asked, answer(&listener, reply));
            assert_eq!(result, Err(ConnectError::new(code, reason)));
        }
    }
}
