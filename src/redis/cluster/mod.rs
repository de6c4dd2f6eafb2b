//! A Redis Cluster: its nodes, and which of them has which slots.

use std::hash::{BuildHasher, RandomState};

use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::Value;

use crate::error::{ConnectError, ServerName};
use crate::redis::{Batch, Sender, Server, Target};
pub mod slots;

use self::slots::{Node, SlotMap, read_slot_map};

/// Nodes that are asked at once which node has what.
const ASKED_AT_ONCE: usize = 3;

/// A cluster by some of its nodes.
#[derive(Clone)]
pub struct ClusterNodes {
    pub seeds: Vec<Server>,
}

impl ClusterNodes {
    pub fn name(&self) -> ServerName {
        let seeds: Vec<_> = self.seeds.iter().map(Server::name).collect();
        format!("the cluster of {}", seeds.join(", ")).into()
    }

    /// How to connect to a node.
    pub fn target(&self, node: &Node) -> Target {
        self.server(node).into()
    }

    fn server(&self, node: &Node) -> Server {
        // All seeds are logged in to alike, and there is at least one.
        self.seeds[0].at(node.host.clone(), node.port)
    }

    /// Asks which node has which slots: nodes there is a connection to, or the known ones and the
    /// seeds. Some of them at once, as any may be gone, and whichever answers first is believed.
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
            if let Ok(layout) = answer {
                return Ok(layout);
            }
        }
        let known = shuffled(known).into_iter().map(|node| self.server(&node));
        let servers: Vec<Server> = known.chain(shuffled(self.seeds.clone())).collect();
        let mut last = ConnectError {
            code: "ENOTFOUND".into(),
            reason: "no node of the cluster is known".into(),
        };
        for servers in servers.chunks(ASKED_AT_ONCE) {
            let mut attempts: FuturesUnordered<_> = servers.iter().map(connect_and_ask).collect();
            while let Some(attempt) = attempts.next().await {
                match attempt {
                    Ok(layout) => return Ok(layout),
                    Err(error) => last = error,
                }
            }
        }
        Err(last)
    }
}

async fn connect_and_ask(server: &Server) -> Result<SlotMap, ConnectError> {
    let at_node = |error: ConnectError| ConnectError {
        reason: format!("{}: {}", server.name(), error.reason).into(),
        ..error
    };
    let connection = server.connect().await.map_err(at_node)?;
    let host = server.host().unwrap_or_default().to_string();
    ask(connection.sender(), host).await.map_err(at_node)
}

async fn ask(sender: Sender, host: String) -> Result<SlotMap, ConnectError> {
    let mut question = Batch::default();
    question.add(&[b"CLUSTER", b"SLOTS"]);
    let answer = sender.send(question).await;
    let mut replies = answer.map_err(|error| ConnectError::from(&error))?;
    match replies.pop() {
        Some(Value::ServerError(error)) => {
            let details = error.details().unwrap_or_default();
            let advice = if details.contains("cluster support disabled") {
                " (it is no cluster: give the server as url)"
            } else {
                ""
            };
            Err(ConnectError {
                code: error.code().into(),
                reason: format!("{} {details}{advice}", error.code()).into(),
            })
        }
        Some(reply) => read_slot_map(&reply, &host).ok_or_else(|| ConnectError {
            code: "CLUSTERDOWN".into(),
            reason: "CLUSTERDOWN no node of the cluster serves any slot".into(),
        }),
        None => Err(ConnectError {
            code: "EPROTO".into(),
            reason: "CLUSTER SLOTS was not answered".into(),
        }),
    }
}

/// In no order, so that not all stores of all processes ask the same node.
fn shuffled<T>(mut items: Vec<T>) -> Vec<T> {
    let random = RandomState::new();
    let mut order: Vec<(u64, T)> = items
        .drain(..)
        .enumerate()
        .map(|(place, item)| (random.hash_one(place), item))
        .collect();
    order.sort_by_key(|(key, _)| *key);
    order.into_iter().map(|(_, item)| item).collect()
}
