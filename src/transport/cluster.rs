//! A Redis Cluster: its nodes, and which of them has which slots.

use std::hash::{BuildHasher, RandomState};

use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::Value;

use super::{Sender, Server, Target};
use crate::error::{ConnectError, ServerName};

/// Nodes that are asked at once which node has what.
const ASKED_AT_ONCE: usize = 3;

/// A cluster by some of its nodes.
#[derive(Clone)]
pub struct Cluster {
    pub seeds: Vec<Server>,
}

/// The address of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    pub host: String,
    pub port: u16,
}

/// Which master has which slots: ranges, both ends included.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout(pub Vec<(u16, u16, Node)>);

impl Cluster {
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
    pub async fn layout(
        &self,
        connected: Vec<(Node, Sender)>,
        known: Vec<Node>,
    ) -> Result<Layout, ConnectError> {
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

async fn connect_and_ask(server: &Server) -> Result<Layout, ConnectError> {
    let at_node = |error: ConnectError| ConnectError {
        reason: format!("{}: {}", server.name(), error.reason).into(),
        ..error
    };
    let connection = server.connect().await.map_err(at_node)?;
    let host = server.host().unwrap_or_default().to_string();
    ask(connection.sender(), host).await.map_err(at_node)
}

async fn ask(mut sender: Sender, host: String) -> Result<Layout, ConnectError> {
    let mut question = redis::pipe();
    question.cmd("CLUSTER").arg("SLOTS");
    let answer = sender.send(&question).await;
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
        Some(reply) => read_layout(&reply, &host).ok_or_else(|| ConnectError {
            code: "CLUSTERDOWN".into(),
            reason: "CLUSTERDOWN no node of the cluster serves any slot".into(),
        }),
        None => Err(ConnectError {
            code: "EPROTO".into(),
            reason: "CLUSTER SLOTS was not answered".into(),
        }),
    }
}

/// Reads the answer to CLUSTER SLOTS. A node that does not know its own address, or is told to keep
/// it to itself, leaves it out: it is at the host that was asked. None where there is no slot in it.
fn read_layout(reply: &Value, asked: &str) -> Option<Layout> {
    let Value::Array(ranges) = reply else {
        return None;
    };
    let ranges: Vec<_> = ranges
        .iter()
        .filter_map(|range| match range {
            Value::Array(range) => match &range[..] {
                [Value::Int(from), Value::Int(to), Value::Array(master), ..] => {
                    let from = u16::try_from(*from).ok()?;
                    let to = u16::try_from(*to).ok()?;
                    Some((from, to, read_node(master, asked)?))
                }
                _ => None,
            },
            _ => None,
        })
        .collect();
    (!ranges.is_empty()).then_some(Layout(ranges))
}

fn read_node(master: &[Value], asked: &str) -> Option<Node> {
    let host = match master.first()? {
        Value::BulkString(host) => std::str::from_utf8(host).ok()?,
        _ => "",
    };
    let Value::Int(port) = master.get(1)? else {
        return None;
    };
    Some(Node {
        host: if matches!(host, "" | "?") {
            asked
        } else {
            host
        }
        .to_string(),
        port: u16::try_from(*port).ok()?,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn a_layout_is_read_and_a_hidden_address_is_the_one_that_was_asked() {
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), bulk("id")]);
        let range = |from, to, node| Value::Array(vec![Value::Int(from), Value::Int(to), node]);
        let reply = Value::Array(vec![
            range(0, 99, node(bulk("10.0.0.1"), 7000)),
            range(100, 16383, node(Value::Nil, 7001)),
        ]);
        let at = |host: &str, port| Node {
            host: host.into(),
            port,
        };
        let layout = Layout(vec![
            (0, 99, at("10.0.0.1", 7000)),
            (100, 16383, at("asked", 7001)),
        ]);
        assert_eq!(read_layout(&reply, "asked"), Some(layout));
    }

    #[test]
    fn what_is_no_layout_is_none() {
        for reply in [
            Value::Nil,
            Value::Array(vec![]),
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![Value::Array(vec![Value::Int(-1), Value::Int(99999)])]),
        ] {
            assert_eq!(read_layout(&reply, "asked"), None);
        }
    }
}
