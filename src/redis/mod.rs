//! Whose connection carries the commands: one funnel for all of them, whatever is behind it.

pub mod cluster;
mod credentials;
mod dial;
mod login;
pub mod resp;
mod sentinel;
mod server;
mod tls;
pub mod url;
mod wire;

use std::sync::Arc;

use redis::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use crate::error::{ConnectError, ServerName};

pub use cluster::ClusterNodes;
pub use credentials::{Credential, CredentialFunction, CredentialReply, Login, within};
pub use resp::Batch;
pub use sentinel::Sentinel;
pub use server::{FromUrl, Server, is_passing};
pub use tls::{Tls, TlsOptions};
pub use url::Timeouts;
pub use wire::Sender;

/// Where the commands go.
pub enum Topology {
    /// All to one server.
    Single(Target),
    /// Each to the node of a cluster that has its key.
    Cluster(ClusterNodes),
}

/// Whom one connection goes to.
#[derive(Clone)]
pub struct Target {
    kind: Kind,
}

/// The kinds of servers there are to connect to.
#[derive(Clone)]
enum Kind {
    Standalone(Server),
    /// The one that is the master when it is asked for.
    Sentinel(Arc<Sentinel>),
}

impl From<Server> for Target {
    fn from(server: Server) -> Target {
        Target {
            kind: Kind::Standalone(server),
        }
    }
}

impl From<Sentinel> for Target {
    fn from(sentinel: Sentinel) -> Target {
        Target {
            kind: Kind::Sentinel(Arc::new(sentinel)),
        }
    }
}

impl Topology {
    /// What messages call the server.
    pub fn server_name(&self) -> ServerName {
        match self {
            Topology::Single(target) => target.server_name(),
            Topology::Cluster(cluster) => cluster.name(),
        }
    }
}

impl Target {
    /// What messages call the server.
    pub fn server_name(&self) -> ServerName {
        match &self.kind {
            Kind::Standalone(server) => server.name(),
            Kind::Sentinel(sentinel) => sentinel.name(),
        }
    }

    /// Whether sentinels name the server, so that it was the master when it was connected to.
    pub fn is_sentinel(&self) -> bool {
        matches!(self.kind, Kind::Sentinel(_))
    }

    /// Tries once to connect, log in and select the database. Bounded in time by the caller.
    pub async fn connect(&self) -> Result<OpenConnection, ConnectError> {
        match &self.kind {
            Kind::Standalone(server) => server.connect().await,
            Kind::Sentinel(sentinel) => sentinel.connect().await,
        }
    }
}

/// An open connection. Dropping it closes the socket, and what is in flight on it fails.
pub struct OpenConnection {
    sender: Sender,
    driver: JoinHandle<()>,
    /// Whether the server said at the login that it is a master.
    pub is_master: bool,
    /// Ends when the server is known not to be the right one any more.
    watch: Option<JoinHandle<()>>,
}

impl OpenConnection {
    /// Starts the task that reads and writes a stream. `pushes` are told what the server says
    /// unasked.
    fn over<S>(stream: S, pushes: Option<UnboundedSender<Vec<Value>>>) -> OpenConnection
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, driver) = wire::open(stream, pushes);
        OpenConnection {
            sender,
            driver: tokio::spawn(driver),
            is_master: false,
            watch: None,
        }
    }

    /// A way to send commands, as long as the connection is open.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Resolves when the server or the network has closed the connection, or it has to be left.
    pub async fn lost(&mut self) {
        match &mut self.watch {
            None => drop((&mut self.driver).await),
            Some(watch) => {
                tokio::select! {
                    _ = &mut self.driver => {}
                    _ = watch => {}
                }
            }
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.driver.abort();
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}
