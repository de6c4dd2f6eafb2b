//! An in-memory network for tests: scripted servers at made-up addresses, one network a test.
//!
//! ```ignore
//! let network = TestNetwork::new();
//! let listener = network.listen("a:6379");
//! let target = Target::from(Server::tcp("a".into(), 6379).on_network(&network));
//! // … start the code under test with `target`, in a task or beside the script with `join!`.
//! let mut peer = listener.accept().await;
//! peer.accept_login().await;                 // HELLO, SELECT, CLIENT …, PING: as a master
//! peer.expect(&["GET", "k"]).await;
//! peer.reply("$1\r\nx\r\n").await;
//! peer.close();                              // or drop it
//! ```
//!
//! - Nobody listens at an address, or its [`TestListener`] was dropped: connecting fails with
//!   `ECONNREFUSED`.
//! - A listener that never accepts: connecting succeeds, and the server stays silent. So does a
//!   [`TestPeer`] that is kept and not asked for anything.
//! - Host names have no case and no DNS: `"a:6379"` is what `Server::tcp("a".into(), 6379)`, a
//!   url's `redis://a`, a sentinel's reply and a slot map call it.
//! - Everything that is derived from a `Server` (`Server::at`, the nodes of a cluster whose seeds
//!   are on the network, the master of sentinels) stays on the network.
//! - Use `#[tokio::test(start_paused = true)]`: then time passes only if nothing else can happen, and
//!   a test that waits for something that never comes fails at once. Without it the test fails after
//!   [`PATIENCE`].

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use redis::Value;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::resp::{Frame, Parser};
use super::wire::DirectStream;

/// Bytes that a stream holds before its writer has to wait.
const STREAM_CAPACITY: usize = 64 * 1024;
/// How long a test waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a dialer returns in a build for tests.
pub trait MemoryOrTcp: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> MemoryOrTcp for S {}

impl DirectStream for Box<dyn MemoryOrTcp> {
    fn read_now(&mut self, context: &mut Context, buffer: &mut ReadBuf) -> Poll<io::Result<()>> {
        Pin::new(self).poll_read(context, buffer)
    }
}

/// Which addresses have a server. Clones are the same network.
#[derive(Clone, Default)]
pub struct TestNetwork(Arc<Mutex<HashMap<String, UnboundedSender<DuplexStream>>>>);

impl TestNetwork {
    pub fn new() -> TestNetwork {
        TestNetwork::default()
    }

    /// Listens at `host:port` from now on, in place of whoever did before.
    pub fn listen(&self, address: &str) -> TestListener {
        let (sender, streams) = unbounded_channel();
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        servers.insert(address.to_string(), sender);
        TestListener {
            address: address.to_string(),
            streams: tokio::sync::Mutex::new(streams),
        }
    }

    /// Connects to the server at an address.
    pub fn dial(&self, host: &str, port: u16) -> io::Result<DuplexStream> {
        let (ours, theirs) = duplex(STREAM_CAPACITY);
        let servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        servers
            .get(&format!("{host}:{port}"))
            .and_then(|server| server.send(theirs).ok())
            .map(|()| ours)
            .ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }
}

/// A server's address. Dropping it refuses further connections.
pub struct TestListener {
    address: String,
    streams: tokio::sync::Mutex<UnboundedReceiver<DuplexStream>>,
}

impl TestListener {
    /// Waits for the next connection.
    pub async fn accept(&self) -> TestPeer {
        let mut streams = self.streams.lock().await;
        match timeout(PATIENCE, streams.recv()).await {
            Ok(Some(stream)) => TestPeer::over(stream, &self.address),
            _ => panic!("nobody connects to {}", self.address),
        }
    }

    /// Waits for the next connection, and accepts its login.
    pub async fn accept_and_log_in(&self) -> TestPeer {
        let mut peer = self.accept().await;
        peer.accept_login().await;
        peer
    }

    /// Whether a connection waits to be accepted.
    pub async fn has_connection(&self) -> bool {
        !self.streams.lock().await.is_empty()
    }
}

/// The server's end of a connection. Dropping it closes the connection.
pub struct TestPeer {
    address: String,
    stream: DuplexStream,
    /// What was read and is not parsed yet.
    input: Vec<u8>,
    parser: Parser,
}

impl TestPeer {
    /// The server's end of any stream; `address` is for messages.
    pub fn over(stream: DuplexStream, address: &str) -> TestPeer {
        TestPeer {
            address: address.to_string(),
            stream,
            input: Vec::new(),
            parser: Parser::default(),
        }
    }

    /// Waits for the next command. Returns `None` if the other side has closed the connection.
    pub async fn command(&mut self) -> Option<Vec<String>> {
        loop {
            let mut rest = &self.input[..];
            let frame = self.parser.next(&mut rest).expect("a command in RESP");
            let used = self.input.len() - rest.len();
            self.input.drain(..used);
            if let Some(frame) = frame {
                return Some(words(frame));
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await;
            let read = read.unwrap_or_else(|_| panic!("{} gets no command", self.address));
            if !matches!(read, Ok(1..)) {
                return None;
            }
        }
    }

    /// Waits for the next command, which must be this one.
    pub async fn expect(&mut self, command: &[&str]) {
        let got = self.command().await;
        let got = got.as_ref().map(|words| words.iter().map(String::as_str));
        let got: Option<Vec<&str>> = got.map(Iterator::collect);
        assert_eq!(got.as_deref(), Some(command), "at {}", self.address);
    }

    /// Waits for a command that is not RESP but a line of text.
    pub async fn expect_line(&mut self, line: &str) {
        let mut read = vec![0; line.len() + 2];
        let result = timeout(PATIENCE, self.stream.read_exact(&mut read)).await;
        assert!(result.is_ok_and(|read| read.is_ok()), "at {}", self.address);
        assert_eq!(String::from_utf8_lossy(&read), format!("{line}\r\n"));
    }

    /// Sends RESP text. What the other side does not want to read any more is lost.
    pub async fn reply(&mut self, resp: &str) {
        let _ = self.stream.write_all(resp.as_bytes()).await;
    }

    /// Replies to each command until PING as a master that takes any login does. The PING is the
    /// last command of an attempt to connect, and of a subscription.
    pub async fn accept_login(&mut self) {
        self.accept_login_as("master").await;
    }

    /// The same as a server that has this role in its reply to HELLO.
    pub async fn accept_login_as(&mut self, role: &str) {
        loop {
            let command = self.command().await.expect("a login");
            match command[0].as_str() {
                "HELLO" => {
                    let hello = format!("%2\r\n$5\r\nproto\r\n:3\r\n$4\r\nrole\r\n+{role}\r\n");
                    self.reply(&hello).await;
                }
                "PING" => return self.reply("+PONG\r\n").await,
                "SUBSCRIBE" => {
                    let channel = &command[1];
                    let length = channel.len();
                    let push = format!(">3\r\n+subscribe\r\n${length}\r\n{channel}\r\n:1\r\n");
                    self.reply(&push).await;
                }
                "AUTH" | "SELECT" | "CLIENT" => self.reply("+OK\r\n").await,
                other => panic!("{} expects a login, not {other}", self.address),
            }
        }
    }

    /// Waits until the other side has closed the connection; what it sends before is ignored.
    pub async fn closed(&mut self) {
        while self.command().await.is_some() {}
    }

    pub fn close(self) {}
}

fn words(frame: Frame) -> Vec<String> {
    let Frame::Reply(Value::Array(words)) = frame else {
        panic!("no command: {frame:?}");
    };
    words
        .into_iter()
        .map(|word| match word {
            Value::BulkString(word) => String::from_utf8_lossy(&word).into(),
            other => panic!("no word of a command: {other:?}"),
        })
        .collect()
}
