//! Whose connection carries the commands: one funnel for all of them, whatever is behind it.

mod js_client;
mod standalone;

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult, Value};
use tokio::task::JoinHandle;

use crate::error::{ConnectError, ServerName};

pub use js_client::{JsClient, reply};
pub use standalone::{Parts, Server};

/// Where and how to connect.
#[derive(Clone)]
pub struct Transport {
    kind: Kind,
}

/// The kinds of Redis there are to talk to.
#[derive(Clone)]
enum Kind {
    Standalone(Server),
}

impl Transport {
    /// One server, over TCP or a Unix socket.
    pub fn standalone(server: Server) -> Transport {
        Transport {
            kind: Kind::Standalone(server),
        }
    }

    /// What messages call the server.
    pub fn server_name(&self) -> ServerName {
        match &self.kind {
            Kind::Standalone(server) => server.name(),
        }
    }

    /// Tries once to connect, log in and select the database. Bounded in time by the caller.
    pub async fn connect(&self) -> Result<Connection, ConnectError> {
        match &self.kind {
            Kind::Standalone(server) => server.connect().await,
        }
    }
}

/// An open connection. Dropping it closes the socket, and what is in flight on it fails.
pub struct Connection {
    sender: MultiplexedConnection,
    driver: JoinHandle<()>,
}

impl Connection {
    /// A way to send commands, as long as the connection is open.
    pub fn sender(&self) -> Sender {
        Sender(self.sender.clone())
    }

    /// Resolves when the server or the network has closed the connection.
    pub async fn lost(&mut self) {
        let _ = (&mut self.driver).await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Sends pipelines over a [`Connection`].
pub struct Sender(MultiplexedConnection);

impl Sender {
    /// Sends a pipeline whole; a reply for each command, errors of the server among them. Fails
    /// as a whole where the connection does.
    pub async fn send(&mut self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        self.0
            .send_packed_commands(pipeline, 0, pipeline.len())
            .await
    }
}
