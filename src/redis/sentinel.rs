//! The master that sentinels name: found anew for each connection, and left when they name another.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::Value;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{sleep, timeout};

use super::{Batch, OpenConnection, Server};
use crate::error::{ConnectError, ServerName};

/// The pause before a sentinel that is gone is listened to again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// How long it may take until one is listened to.
const LISTEN_WITHIN: Duration = Duration::from_secs(10);
const SWITCH: &str = "+switch-master";

/// A master by its name.
pub struct Sentinel {
    /// What the sentinels call the master.
    pub master: String,
    /// The sentinels.
    pub nodes: Vec<Server>,
    /// How to log in to the master, whose address it is not.
    pub login: Server,
}

impl Sentinel {
    pub fn name(&self) -> ServerName {
        let nodes: Vec<_> = self.nodes.iter().map(|node| node.name()).collect();
        format!(
            "the master {:?} of the sentinels {}",
            self.master,
            nodes.join(", ")
        )
        .into()
    }

    /// Asks all sentinels, and connects to the first master that one of them names which says of
    /// itself that it is one: after a failover some may not know of it yet.
    pub async fn connect(self: &Arc<Sentinel>) -> Result<OpenConnection, ConnectError> {
        let mut attempts: FuturesUnordered<_> = self
            .nodes
            .iter()
            .map(|node| self.connect_by(node))
            .collect();
        let mut last = ConnectError {
            code: "ENOTFOUND".into(),
            reason: "there are no sentinels".into(),
        };
        while let Some(attempt) = attempts.next().await {
            match attempt {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn connect_by(
        self: &Arc<Sentinel>,
        node: &Server,
    ) -> Result<OpenConnection, ConnectError> {
        let (host, port) = self.ask(node).await?;
        let server = self.login.at(host.clone(), port);
        let mut connection = server.connect().await?;
        let mut role = Batch::default();
        role.add(&[b"ROLE"]);
        if let Ok(replies) = connection.sender().send(role).await
            && let Some(Value::Array(said)) = replies.first()
            && let Some(role) = said.first().and_then(text)
            && role != "master"
        {
            return Err(ConnectError {
                code: "READONLY".into(),
                reason: format!(
                    "{} is a {role}, though the sentinel {} names it as the master",
                    server.name(),
                    node.name()
                )
                .into(),
            });
        }
        let watch = tokio::spawn(self.clone().watch(host, port));
        connection.watch = Some(watch);
        Ok(connection)
    }

    /// Where a sentinel says that the master is.
    async fn ask(&self, node: &Server) -> Result<(String, u16), ConnectError> {
        let connection = node.connect().await.map_err(|error| ConnectError {
            reason: format!("sentinel {}: {}", node.name(), error.reason).into(),
            ..error
        })?;
        let mut question = Batch::default();
        let master = self.master.as_bytes();
        question.add(&[b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", master]);
        let answer = connection.sender().send(question).await;
        let replies = answer.map_err(|error| ConnectError::from(&error))?;
        let unknown = |reason: String| ConnectError {
            code: "ENOTFOUND".into(),
            reason: format!("sentinel {}: {reason}", node.name()).into(),
        };
        match replies.first() {
            Some(Value::Array(address)) => address
                .first()
                .and_then(text)
                .zip(
                    address
                        .get(1)
                        .and_then(text)
                        .and_then(|port| port.parse().ok()),
                )
                .map(|(host, port)| (host.to_string(), port))
                .ok_or_else(|| unknown("its answer is none".into())),
            Some(Value::ServerError(error)) => Err(unknown(format!(
                "{} {}",
                error.code(),
                error.details().unwrap_or_default()
            ))),
            _ => Err(unknown(format!("it knows no master {:?}", self.master))),
        }
    }

    /// Ends when a sentinel tells that the master is not at this address any more.
    async fn watch(self: Arc<Sentinel>, host: String, port: u16) {
        // Of each, as one may be away, or cut off from the others, when they agree on another.
        let watches = self.nodes.iter().map(|node| {
            let (this, host) = (&self, &host);
            Box::pin(this.listen(node, host, port))
        });
        select_all(watches).await;
    }

    /// Ends when this sentinel tells so; it is listened to again whenever it is there again.
    async fn listen(&self, node: &Server, host: &str, port: u16) {
        loop {
            let (pushes, mut heard) = unbounded_channel();
            let attempt = timeout(LISTEN_WITHIN, node.connect_to_hear(pushes));
            if let Ok(Ok(connection)) = attempt.await
                && is_subscribed(&connection).await
            {
                while let Some(push) = heard.recv().await {
                    if self.is_switch(&push, host, port) {
                        return;
                    }
                }
            }
            sleep(LISTEN_AGAIN).await;
        }
    }

    /// Whether a push is the message that our master is elsewhere:
    /// `name old-host old-port host port`.
    fn is_switch(&self, push: &[Value], host: &str, port: u16) -> bool {
        let [kind, _channel, payload] = push else {
            return false;
        };
        let (Some("message"), Some(payload)) = (text(kind), text(payload)) else {
            return false;
        };
        let mut words = payload.split(' ');
        words.next() == Some(&self.master) && {
            let (new_host, new_port) = (words.nth(2), words.next());
            new_host != Some(host) || new_port.and_then(|p| p.parse().ok()) != Some(port)
        }
    }
}

/// Whether a sentinel tells of switches from here on.
async fn is_subscribed(connection: &OpenConnection) -> bool {
    let mut batch = Batch::default();
    batch.subscribe(SWITCH);
    batch.add(&[b"PING"]);
    let replies = connection.sender().send(batch).await;
    replies.is_ok_and(|replies| match &replies[..] {
        // The first error there is: SUBSCRIBE's, or of a user that may do all but PING.
        [Value::ServerError(error)] => error.details().is_some_and(|said| said.contains("'ping'")),
        _ => true,
    })
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_switch_of_our_master_to_elsewhere_counts() {
        let sentinel = Sentinel {
            master: "mine".into(),
            nodes: Vec::new(),
            login: Server::tcp(String::new(), 0),
        };
        let is_switch = |payload: &str| {
            let push = ["message", SWITCH, payload].map(|part| Value::BulkString(part.into()));
            sentinel.is_switch(&push, "10.0.0.1", 6379)
        };
        assert!(is_switch("mine 10.0.0.1 6379 10.0.0.2 6379"));
        assert!(!is_switch("mine 10.0.0.2 6379 10.0.0.1 6379"));
        assert!(!is_switch("other 10.0.0.1 6379 10.0.0.2 6379"));
        assert!(!is_switch(""));
    }
}
