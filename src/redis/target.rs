//! What one connection goes to.

use std::sync::Arc;

use super::open_connection::OpenConnection;
use super::sentinel::Sentinel;
use super::server::Server;
use super::tracking::Tracking;
use crate::error::{ConnectError, ServerName};

/// What one connection goes to.
#[derive(Clone)]
pub enum Target {
    /// This server.
    Server(Server),
    /// The server that sentinels name as the master at the time.
    Master(Arc<Sentinel>),
}

impl From<Server> for Target {
    fn from(server: Server) -> Target {
        Target::Server(server)
    }
}

impl From<Sentinel> for Target {
    fn from(sentinel: Sentinel) -> Target {
        Target::Master(Arc::new(sentinel))
    }
}

impl Target {
    /// What messages call the server.
    pub fn server_name(&self) -> ServerName {
        match self {
            Target::Server(server) => server.name(),
            Target::Master(sentinel) => sentinel.name(),
        }
    }

    /// Whether sentinels name the server: then it was the master when it was connected to.
    pub fn is_sentinel(&self) -> bool {
        matches!(self, Target::Master(_))
    }

    /// Tries once to connect, log in and select the database. The caller sets a time limit. `near_cache`
    /// hears of the keys that the connection reads.
    pub async fn connect(
        &self,
        near_cache: Option<&Arc<Tracking>>,
    ) -> Result<OpenConnection, ConnectError> {
        match self {
            Target::Server(server) => server.connect_for(near_cache).await,
            Target::Master(sentinel) => sentinel.connect(near_cache).await,
        }
    }
}
