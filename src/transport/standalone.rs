//! One Redis server, over TCP or a Unix socket.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ErrorKind, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, RedisError, RedisResult,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::sleep;

use super::Connection;
use crate::error::{ConnectError, ServerName};

/// Batches that may wait for the socket; the crate's own 50 makes the 51st wait.
const PIPELINES_IN_FLIGHT: usize = 4096;
/// A silent peer is probed after this long, then every [`KEEPALIVE_INTERVAL`].
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// As Node's `autoSelectFamilyAttemptTimeout`.
const HEAD_START: Duration = Duration::from_millis(250);
/// Sent bytes that stay unacknowledged so long break the connection.
const USER_TIMEOUT: Duration = Duration::from_secs(15);

/// One server and how to log in there.
#[derive(Clone)]
pub struct Server {
    address: Address,
    login: RedisConnectionInfo,
    /// What `CLIENT LIST` shows as the connection's name.
    client_name: Option<String>,
}

/// A server as an app's own client has it in its options.
pub struct Parts {
    /// `host` and `port`, or the path of a Unix socket.
    pub address: Result<(String, u16), PathBuf>,
    pub username: Option<String>,
    pub password: Option<String>,
    pub database: i64,
    pub client_name: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Address {
    Tcp(String, u16),
    Unix(PathBuf),
}

impl Server {
    /// The server of a `redis://[user:password@]host[:port][/db]` or
    /// `unix:///path[?db=&user=&pass=]` url. The error says what is wrong with it, without
    /// repeating any of it: it may hold a password.
    pub fn from_url(url: &str) -> Result<Server, String> {
        const FORM: &str = "it must look like redis://[user:password@]host[:port][/database] or \
                            unix:///path/to/socket";
        let Some(url_scheme) = scheme(url) else {
            return Err(FORM.into());
        };
        match &*url_scheme.to_ascii_lowercase() {
            "redis" | "valkey" | "unix" | "redis+unix" | "valkey+unix" => {}
            "rediss" | "valkeys" => {
                return Err(format!(
                    "{url_scheme}:// (TLS) is not supported by this version"
                ));
            }
            other => return Err(format!("{other}:// is no scheme for Redis: {FORM}")),
        }
        if let Some(parameter) = unused_parameter(url) {
            return Err(format!(
                "its parameter {parameter} is not known; the database is given as /number"
            ));
        }
        let info = url.into_connection_info().map_err(|error| {
            // The crate's details may quote the url; its descriptions do not.
            match error.kind() {
                ErrorKind::InvalidClientConfig => {
                    format!("{}: {FORM}", describe(&error.to_string()))
                }
                _ => FORM.to_string(),
            }
        })?;
        let address = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Address::Tcp(host.clone(), *port),
            ConnectionAddr::Unix(path) => Address::Unix(path.clone()),
            _ => return Err(FORM.into()),
        };
        Ok(Server {
            address,
            login: named(info.redis_settings().clone()),
            client_name: None,
        })
    }

    /// The server that an app's own client is connected to.
    pub fn from_parts(parts: Parts) -> Server {
        let mut login = RedisConnectionInfo::default().set_db(parts.database);
        if let Some(username) = parts.username {
            login = login.set_username(username);
        }
        if let Some(password) = parts.password {
            login = login.set_password(password);
        }
        Server {
            address: match parts.address {
                Ok((host, port)) => Address::Tcp(host, port),
                Err(path) => Address::Unix(path),
            },
            login: named(login),
            client_name: parts.client_name,
        }
    }

    /// `host:port` or the path of the socket: what messages call the server.
    pub fn name(&self) -> ServerName {
        match &self.address {
            Address::Tcp(host, port) if host.contains(':') => format!("[{host}]:{port}").into(),
            Address::Tcp(host, port) => format!("{host}:{port}").into(),
            Address::Unix(path) => path.to_string_lossy().into(),
        }
    }

    /// Tries once to connect, log in and select the database.
    pub async fn connect(&self) -> Result<Connection, ConnectError> {
        let login = &self.login;
        // RESP3 first; a server or proxy that does not know HELLO is asked again in RESP2.
        let connection = match self.connect_with(login, ProtocolVersion::RESP3).await? {
            Err(error) if knows_no_resp3(&error) => {
                self.connect_with(login, ProtocolVersion::RESP2).await?
            }
            other => other,
        }
        .map_err(|error| {
            ConnectError::from(&error).without(login.password().unwrap_or_default().as_bytes())
        })?;
        if let Some(name) = &self.client_name {
            let mut set_name = redis::pipe();
            set_name.cmd("CLIENT").arg("SETNAME").arg(name);
            // A name helps whoever reads CLIENT LIST; the connection is as good without.
            let _ = connection.sender().send(&set_name).await;
        }
        Ok(connection)
    }

    /// The outer error is the socket's, the inner one the handshake's.
    async fn connect_with(
        &self,
        login: &RedisConnectionInfo,
        protocol: ProtocolVersion,
    ) -> Result<RedisResult<Connection>, ConnectError> {
        let login = login.clone().set_protocol(protocol);
        match &self.address {
            Address::Tcp(host, port) => {
                let stream = connect_first(resolve(host, *port).await?).await?;
                tune(&stream)?;
                Ok(open(&login, stream).await)
            }
            Address::Unix(path) => Ok(open(&login, UnixStream::connect(path).await?).await),
        }
    }
}

/// A login under the library's name, which `CLIENT LIST` shows.
fn named(login: RedisConnectionInfo) -> RedisConnectionInfo {
    login.set_lib_name("connect-redis-rs", env!("CARGO_PKG_VERSION"))
}

/// Asks the system for the host's addresses, anew for each attempt: a name may move.
async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    match lookup_host((host, port)).await {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(ConnectError {
            code: "ENOTFOUND".into(),
            reason: error.to_string().into(),
        }),
    }
}

/// Connects to the first address that answers. Each gets a head start before the next is tried
/// beside it, so that one which swallows packets, such as IPv6 where only IPv4 works, costs little.
async fn connect_first(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut untried = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    loop {
        if let Some(address) = untried.next() {
            attempts.push(TcpStream::connect(address));
        } else if attempts.is_empty() {
            return Err(last);
        }
        tokio::select! {
            Some(attempt) = attempts.next() => match attempt {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            },
            () = sleep(HEAD_START), if untried.len() > 0 => {}
        }
    }
}

/// Logs in over a fresh stream and starts the task that reads and writes it.
async fn open<S>(login: &RedisConnectionInfo, stream: S) -> RedisResult<Connection>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Deadlines are the supervisor's, so the crate's own (500 ms) is off.
    let config = AsyncConnectionConfig::new()
        .set_response_timeout(None)
        .set_connection_timeout(None)
        .set_pipeline_buffer_size(PIPELINES_IN_FLIGHT);
    let (sender, driver) = MultiplexedConnection::new_with_config(login, stream, config).await?;
    Ok(Connection {
        sender,
        driver: tokio::spawn(driver),
    })
}

/// Whether a handshake failed for HELLO itself: a server too old for it or with the command renamed
/// away, a proxy, a user who may not call it. (The crate knows the words of Redis 5 only.)
fn knows_no_resp3(error: &RedisError) -> bool {
    match error.code() {
        Some("NOPROTO") => true,
        Some("ERR" | "NOPERM") => error
            .detail()
            .is_some_and(|detail| detail.to_ascii_lowercase().contains("hello")),
        _ => error.kind() == ErrorKind::RESP3NotSupported,
    }
}

/// NODELAY, because a batch is one write and must not wait for an acknowledgement; keepalive and
/// a user timeout, so that a peer that vanished without a word is noticed.
fn tune(stream: &TcpStream) -> Result<(), ConnectError> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE_AFTER)
            .with_interval(KEEPALIVE_INTERVAL),
    )?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

/// The first parameter of a url that would be passed over in silence.
fn unused_parameter(url: &str) -> Option<String> {
    let url = redis::parse_redis_url(url)?;
    let known: &[&str] = match url.scheme() {
        "redis" | "valkey" => &["protocol"],
        _ => &["db", "user", "pass", "protocol"],
    };
    url.query_pairs()
        .map(|(name, _)| name.into_owned())
        .find(|name| !known.contains(&name.as_str()))
}

/// The part of a url before `://`, if there is one.
fn scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once("://")?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '+';
    (!scheme.is_empty() && scheme.chars().all(is_word)).then_some(scheme)
}

/// The crate's words for a bad url, without what it appends of the url itself.
fn describe(error: &str) -> &str {
    let words = error.split(" - ").next().unwrap_or(error);
    words.strip_suffix(&[':', ' '][..]).unwrap_or(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Server {
        Server::from_url(url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn urls_name_server_user_and_database() {
        let full = server("redis://me:p%40ss@example.com:7000/3");
        assert_eq!(&*full.name(), "example.com:7000");
        assert_eq!(full.login.username(), Some("me"));
        assert_eq!(full.login.password(), Some("p@ss"));
        assert_eq!(full.login.db(), 3);
        assert_eq!(&*server("REDIS://localhost").name(), "localhost:6379");
        assert_eq!(&*server("redis://[::1]:7000").name(), "[::1]:7000");
        assert_eq!(&*server("unix:///tmp/r.sock?db=2").name(), "/tmp/r.sock");
    }

    #[test]
    fn a_bad_url_is_explained_without_its_password() {
        for url in [
            "",
            "localhost",
            "localhost:6379",
            "http://u:secret@x",
            "redis://u:secret@:6379/x",
            "redis://u:secret@host:99999",
            "redis://u:secret@host/notanumber",
            "rediss://u:secret@host",
            "redis://u:secret@host?db=2",
            "unix:///tmp/x?pass=secret&database=2",
        ] {
            let error = Server::from_url(url)
                .err()
                .unwrap_or_else(|| panic!("{url} taken"));
            assert!(!error.contains("secret"), "{error}");
            assert!(!error.is_empty());
        }
    }
}
