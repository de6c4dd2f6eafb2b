//! Which server a connection goes to, for those who watch it.

/// A server, without a login.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// The host, or the path of a Unix socket.
    pub host: String,
    /// `None` for a Unix socket.
    pub port: Option<u16>,
    pub database: i64,
}
