//! The master that sentinels name: each connection asks them for it, and is left when they announce
//! another.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::Value;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{sleep, timeout};

use super::open_connection::OpenConnection;
use super::resp::Batch;
use super::server::Server;
use crate::error::{Code, ConnectError, ServerName};

/// The pause before the next attempt to subscribe at a sentinel.
const RESUBSCRIBE_AFTER: Duration = Duration::from_secs(1);
/// How long an attempt to connect to a sentinel for a subscription may take.
const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(10);
/// The channel on which a sentinel announces that a master has another address.
const SWITCH_CHANNEL: &str = "+switch-master";

/// How to find a master through its sentinels.
pub struct Sentinel {
    /// What the sentinels call the master.
    pub master: String,
    /// The sentinels.
    pub nodes: Vec<Server>,
    /// How to log in to the master. Its address is not used.
    pub login: Server,
}

impl Sentinel {
    /// What messages call the master.
    pub fn name(&self) -> ServerName {
        let nodes: Vec<_> = self.nodes.iter().map(|node| node.name()).collect();
        format!(
            "the master {:?} of the sentinels {}",
            self.master,
            nodes.join(", ")
        )
        .into()
    }

    /// Asks all sentinels at once and connects to the first server that one of them names as the
    /// master and that says itself that it is one: after a failover some sentinels may still name the
    /// old master. The error is that of the last attempt.
    pub async fn connect(self: &Arc<Sentinel>) -> Result<OpenConnection, ConnectError> {
        let mut attempts: FuturesUnordered<_> = self
            .nodes
            .iter()
            .map(|node| self.connect_through(node))
            .collect();
        let mut last = ConnectError::new(Code::NotFound, "there are no sentinels");
        while let Some(attempt) = attempts.next().await {
            match attempt {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn connect_through(
        self: &Arc<Sentinel>,
        node: &Server,
    ) -> Result<OpenConnection, ConnectError> {
        let (host, port) = self.ask_for_master(node).await?;
        let server = self.login.at(host.clone(), port);
        let mut connection = server.connect().await?;
        let mut batch = Batch::default();
        batch.add(&[b"ROLE"]);
        if let Ok(replies) = connection.sender().send(batch).await
            && let Some(Value::Array(fields)) = replies.first()
            && let Some(role) = fields.first().and_then(text)
            && role != "master"
        {
            return Err(ConnectError::new(
                Code::ReadOnly,
                format!(
                    "{} is a {role}, though the sentinel {} names it as the master",
                    server.name(),
                    node.name()
                ),
            ));
        }
        connection.lost_after(tokio::spawn(self.clone().wait_for_switch(host, port)));
        Ok(connection)
    }

    /// Returns the address that a sentinel has for the master.
    async fn ask_for_master(&self, node: &Server) -> Result<(String, u16), ConnectError> {
        let sentinel = format!("sentinel {}", node.name());
        let connection = node.connect().await.map_err(|error| error.at(&sentinel))?;
        let mut batch = Batch::default();
        let master = self.master.as_bytes();
        batch.add(&[b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", master]);
        let replies = connection.sender().send(batch).await;
        let replies = replies.map_err(|error| ConnectError::from(&error))?;
        let reason = match replies.first() {
            Some(Value::Array(address)) => match read_address(address) {
                Some(address) => return Ok(address),
                None => "its answer is not an address".into(),
            },
            Some(Value::ServerError(error)) => ConnectError::from(error).reason,
            _ => format!("it knows no master {:?}", self.master).into(),
        };
        Err(ConnectError::new(Code::NotFound, reason).at(sentinel))
    }

    /// Ends when a sentinel announces that the master has another address.
    async fn wait_for_switch(self: Arc<Sentinel>, host: String, port: u16) {
        // All sentinels, because one may be away, or cut off from the others when they agree on
        // another master.
        let announcements = self.nodes.iter().map(|node| {
            let (this, host) = (&self, &host);
            Box::pin(this.wait_for_switch_at(node, host, port))
        });
        select_all(announcements).await;
    }

    /// Ends when this sentinel announces it. Subscribes again whenever the subscription is lost.
    async fn wait_for_switch_at(&self, node: &Server, host: &str, port: u16) {
        loop {
            let (sender, mut pushes) = unbounded_channel();
            let attempt = timeout(SUBSCRIBE_LIMIT, node.connect_for_pushes(sender));
            if let Ok(Ok(connection)) = attempt.await
                && subscribe(&connection).await
            {
                while let Some(push) = pushes.recv().await {
                    if self.is_switch(&push, host, port) {
                        return;
                    }
                }
            }
            sleep(RESUBSCRIBE_AFTER).await;
        }
    }

    /// Whether a push is the message that this master has another address. Its payload is
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

/// Subscribes to switches of masters. Returns false if the sentinel refuses.
async fn subscribe(connection: &OpenConnection) -> bool {
    let mut batch = Batch::default();
    batch.subscribe(SWITCH_CHANNEL);
    batch.add(&[b"PING"]);
    let replies = connection.sender().send(batch).await;
    replies.is_ok_and(|replies| match &replies[..] {
        // The first error that came: SUBSCRIBE's, or PING's for a user who lacks only that right.
        [Value::ServerError(error)] => error.details().is_some_and(|text| text.contains("'ping'")),
        _ => true,
    })
}

fn read_address(fields: &[Value]) -> Option<(String, u16)> {
    let host = fields.first().and_then(text)?;
    let port = fields.get(1).and_then(text)?.parse().ok()?;
    Some((host.to_string(), port))
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
            let push =
                ["message", SWITCH_CHANNEL, payload].map(|part| Value::BulkString(part.into()));
            sentinel.is_switch(&push, "10.0.0.1", 6379)
        };
        assert!(is_switch("mine 10.0.0.1 6379 10.0.0.2 6379"));
        assert!(!is_switch("mine 10.0.0.2 6379 10.0.0.1 6379"));
        assert!(!is_switch("other 10.0.0.1 6379 10.0.0.2 6379"));
        assert!(!is_switch(""));
    }
}
