//! Redis itself: how to reach a server, log in to it, and exchange commands for replies.
//!
//! ```text
//! topology     where the commands go: to one target, or to the nodes of a cluster
//! cluster/     a cluster: ask its nodes for the slot map; slots and redirections
//! target       what one connection goes to: a server, or the master that sentinels name
//! sentinel     ask sentinels for the master, and watch for a failover
//! server       connect to one server and log in
//! peer         which server a connection goes to, for those who watch it
//! login        HELLO, AUTH, SELECT; credentials: what to log in with
//! dial, tls/   the socket, and TLS over it
//! socket_watch tell another thread that something has come on a socket
//! wire         send batches over an open connection, and match the replies to them
//! tracking     what the server says of keys that were read: CLIENT TRACKING
//! resp/        the protocol: encode commands, parse replies
//! url          read a `redis://` url
//! ```

pub mod cluster;
mod credentials;
mod dial;
#[cfg(unix)]
mod direct_socket;
mod login;
mod open_connection;
mod peer;
pub mod resp;
mod sentinel;
mod server;
mod socket_watch;
mod target;
#[cfg(test)]
pub(crate) mod test_network;
mod timeout;
mod tls;
mod topology;
mod tracking;
pub mod url;
mod wire;

pub use cluster::ClusterNodes;
pub use credentials::{Credential, CredentialFunction, CredentialReply, Login};
pub use open_connection::OpenConnection;
pub use peer::Peer;
pub use resp::Batch;
pub use sentinel::Sentinel;
pub use server::{Server, ServerFromUrl, is_transient};
pub use socket_watch::SocketWatch;
pub use target::Target;
pub use timeout::within;
pub use tls::{Tls, TlsOptions};
pub use topology::Topology;
pub use tracking::{Freshness, Tracking, Untracked, Written};
pub use url::Timeouts;
pub use wire::{Direct, Replies, Sender};
