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
use super::tracking::Tracking;
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
    /// old master. The error is that of the last attempt. `near_cache` is as for [`Server::connect_for`].
    pub async fn connect(
        self: &Arc<Sentinel>,
        near_cache: Option<&Arc<Tracking>>,
    ) -> Result<OpenConnection, ConnectError> {
        let mut attempts: FuturesUnordered<_> = self
            .nodes
            .iter()
            .map(|node| self.connect_through(node, near_cache))
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
        near_cache: Option<&Arc<Tracking>>,
    ) -> Result<OpenConnection, ConnectError> {
        let (host, port) = self.ask_for_master(node).await?;
        let server = self.login.at(host.clone(), port);
        let mut connection = server.connect_for(near_cache).await?;
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
    use super::super::test_network::{TestListener, TestNetwork, TestPeer};
    use super::super::timeout::within;
    use super::*;
    use crate::error::StoreError;
    use tokio::time::Instant;

    const LIMIT: Duration = Duration::from_secs(3);

    fn sentinel(network: &TestNetwork, hosts: &[&str]) -> Arc<Sentinel> {
        let server = |host: &str| Server::tcp(host.into(), 26379).on_network(network);
        Arc::new(Sentinel {
            master: "mine".into(),
            nodes: hosts.iter().map(|host| server(host)).collect(),
            login: server(""),
        })
    }

    /// Accepts a connection at a sentinel and gives this reply to the question for the master.
    async fn answer(sentinel: &TestListener, reply: &str) {
        let mut peer = sentinel.accept_and_log_in().await;
        let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mine"];
        peer.expect(&question).await;
        peer.reply(reply).await;
    }

    fn address(host: &str) -> String {
        format!("*2\r\n${}\r\n{host}\r\n$4\r\n6379\r\n", host.len())
    }

    /// Accepts a connection at a server that has this role.
    async fn serve_as(server: &TestListener, role: &str) -> TestPeer {
        let mut peer = server.accept_and_log_in().await;
        peer.expect(&["ROLE"]).await;
        peer.reply(&format!("*1\r\n${}\r\n{role}\r\n", role.len()))
            .await;
        peer
    }

    #[tokio::test(start_paused = true)]
    async fn a_sentinel_that_is_away_silent_or_knows_no_master_does_not_matter() {
        let network = TestNetwork::new();
        let [_silent, unknowing, failing, knowing] = ["silent", "unknowing", "failing", "knowing"]
            .map(|host| network.listen(&format!("{host}:26379")));
        let server = network.listen("master:6379");
        let hosts = ["away", "silent", "unknowing", "failing", "knowing"];
        let sentinel = sentinel(&network, &hosts);
        let script = async {
            answer(&unknowing, "_\r\n").await;
            answer(&failing, "-NOPERM no\r\n").await;
            answer(&knowing, &address("master")).await;
            serve_as(&server, "master").await
        };
        let start = Instant::now();
        let (connection, _master) = tokio::join!(sentinel.connect(None), script);
        assert!(connection.is_ok_and(|connection| connection.is_master));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_named_master_that_says_it_is_a_replica_is_refused() {
        let network = TestNetwork::new();
        let node = network.listen("a:26379");
        let server = network.listen("old:6379");
        let sentinel = sentinel(&network, &["a"]);
        let script = async {
            answer(&node, &address("old")).await;
            serve_as(&server, "slave").await
        };
        let (result, _replica) = tokio::join!(sentinel.connect(None), script);
        let error = result.err().unwrap();
        assert_eq!(error.code, Code::ReadOnly);
        assert_eq!(
            &*error.reason,
            "old:6379 is a slave, though the sentinel a:26379 names it as the master"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_failover_the_sentinel_that_knows_of_it_is_believed() {
        let network = TestNetwork::new();
        let [stale, current] = ["a:26379", "b:26379"].map(|address| network.listen(address));
        let [old, new] = ["old:6379", "new:6379"].map(|address| network.listen(address));
        let sentinel = sentinel(&network, &["a", "b"]);
        let script = async {
            answer(&stale, &address("old")).await;
            let replica = serve_as(&old, "slave").await;
            answer(&current, &address("new")).await;
            (replica, serve_as(&new, "master").await)
        };
        let (connection, _servers) = tokio::join!(sentinel.connect(None), script);
        assert!(connection.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_names_the_sentinel_and_why() {
        for (reply, reason) in [
            ("_\r\n", "it knows no master \"mine\""),
            ("-NOPERM no\r\n", "NOPERM no"),
            ("*1\r\n$1\r\nx\r\n", "its answer is not an address"),
            (
                "*2\r\n$1\r\nx\r\n$1\r\ny\r\n",
                "its answer is not an address",
            ),
        ] {
            let network = TestNetwork::new();
            let node = network.listen("a:26379");
            let sentinel = sentinel(&network, &["a"]);
            let (result, ()) = tokio::join!(sentinel.connect(None), answer(&node, reply));
            let error = result.err().unwrap();
            assert_eq!(error.code, Code::NotFound);
            assert_eq!(&*error.reason, format!("sentinel a:26379: {reason}"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn if_all_sentinels_are_away_the_error_of_a_call_names_each() {
        let sentinel = sentinel(&TestNetwork::new(), &["a", "b"]);
        let error = sentinel.connect(None).await.err().unwrap();
        assert_eq!(error.code, Code::Refused);
        assert!(error.reason.starts_with("sentinel "), "{}", error.reason);
        let error = StoreError::unreachable("get", &sentinel.name(), LIMIT, Some(&error));
        assert!(
            error.message.starts_with(
                "get: no connection to Redis at the master \"mine\" of the sentinels a:26379, \
                 b:26379 within 3000 ms"
            ),
            "{}",
            error.message
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silent_sentinels_time_out() {
        let network = TestNetwork::new();
        let _silent = network.listen("a:26379");
        let sentinel = sentinel(&network, &["a"]);
        let start = Instant::now();
        let error = within(LIMIT, sentinel.connect(None)).await.err().unwrap();
        assert_eq!(start.elapsed(), LIMIT);
        assert_eq!(error.code, Code::TimedOut);
        assert_eq!(&*error.reason, "no answer within 3000 ms (connectTimeout)");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_master_times_out() {
        let network = TestNetwork::new();
        let node = network.listen("a:26379");
        let _silent = network.listen("master:6379");
        let sentinel = sentinel(&network, &["a"]);
        let attempt = within(LIMIT, sentinel.connect(None));
        let master = address("master");
        let (result, ()) = tokio::join!(attempt, answer(&node, &master));
        assert_eq!(result.err().unwrap().code, Code::TimedOut);
    }

    /// A connection to the master that the sentinel `a` names.
    async fn connect(network: &TestNetwork) -> (OpenConnection, TestListener, TestPeer) {
        let node = network.listen("a:26379");
        let server = network.listen("master:6379");
        let sentinel = sentinel(network, &["a"]);
        let script = async {
            answer(&node, &address("master")).await;
            serve_as(&server, "master").await
        };
        let (connection, master) = tokio::join!(sentinel.connect(None), script);
        (connection.unwrap(), node, master)
    }

    fn switch(payload: &str) -> String {
        let length = payload.len();
        format!(">3\r\n+message\r\n+{SWITCH_CHANNEL}\r\n${length}\r\n{payload}\r\n")
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_lost_when_a_sentinel_announces_another_master() {
        let network = TestNetwork::new();
        let (mut connection, node, _master) = connect(&network).await;
        let mut subscription = node.accept_and_log_in().await;
        subscription
            .reply(&switch("other master 6379 new 6379"))
            .await;
        assert!(timeout(LIMIT, connection.lost()).await.is_err());
        subscription
            .reply(&switch("mine master 6379 new 6379"))
            .await;
        assert!(timeout(LIMIT, connection.lost()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_subscription_is_made_again() {
        let network = TestNetwork::new();
        let (mut connection, node, _master) = connect(&network).await;
        node.accept_and_log_in().await.close();
        let start = Instant::now();
        let silent = node.accept().await;
        assert_eq!(start.elapsed(), RESUBSCRIBE_AFTER);
        let mut subscription = node.accept_and_log_in().await;
        let silence = SUBSCRIBE_LIMIT + RESUBSCRIBE_AFTER;
        assert_eq!(start.elapsed(), RESUBSCRIBE_AFTER + silence);
        subscription
            .reply(&switch("mine master 6379 new 6379"))
            .await;
        connection.lost().await;
        drop(silent);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_lost_when_the_master_closes_it() {
        let network = TestNetwork::new();
        let (mut connection, _node, master) = connect(&network).await;
        master.close();
        connection.lost().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_dropped_ends_its_subscription() {
        let network = TestNetwork::new();
        let (connection, node, _master) = connect(&network).await;
        let mut subscription = node.accept_and_log_in().await;
        drop(connection);
        subscription.closed().await;
    }

    #[test]
    fn only_a_switch_of_this_master_to_another_address_counts() {
        let sentinel = sentinel(&TestNetwork::new(), &[]);
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
