//! One Redis server, over TCP, TLS or a Unix socket.

#[cfg(not(unix))]
use std::io::ErrorKind::Unsupported;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use redis::{RedisConnectionInfo, RedisError, RedisResult, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{sleep, timeout};

use super::OpenConnection;
use super::credentials::{Credential, Login};
use super::dial::dial;
use super::login::{Protocol, log_in};
use super::resp::Batch;
use super::tls::{self, Tls};
use super::url::{Address, Family, Timeouts, Url};
use crate::error::{ConnectError, ServerName};

/// How long a server that dropped a connection is listened to for what it has to say.
const FAREWELL: Duration = Duration::from_millis(50);
/// How long a TLS handshake may take before it is looked whether the server speaks TLS at all.
const HANDSHAKE_PATIENCE: Duration = Duration::from_millis(500);

/// One server and how to log in there.
#[derive(Clone)]
pub struct Server {
    address: Address,
    family: Family,
    login: Login,
    /// Whether to go on without the login where the server does not take it: it was meant for
    /// another, perhaps.
    login_is_optional: bool,
    /// What `CLIENT LIST` shows as the connection's name.
    client_name: Option<String>,
    tls: Option<Tls>,
}

/// A server out of a url, and what else the url says.
pub struct FromUrl {
    pub server: Server,
    /// Whether it asks for TLS.
    pub is_tls: bool,
    pub timeouts: Timeouts,
}

impl Server {
    /// The server at a host's port, without a login.
    pub fn tcp(host: String, port: u16) -> Server {
        Server::new(Address::Tcp(host, port))
    }

    /// The server at a Unix socket, without a login.
    pub fn unix(path: PathBuf) -> Server {
        Server::new(Address::Unix(path))
    }

    fn new(address: Address) -> Server {
        Server {
            address,
            family: Family::Any,
            login: Login::default(),
            login_is_optional: false,
            client_name: None,
            tls: None,
        }
    }

    /// The server of a url. The error says what is wrong with it, without repeating any of it.
    pub fn from_url(url: &str) -> Result<FromUrl, String> {
        let url = Url::parse(url)?;
        let login = Login {
            username: url.username.map(Credential::Given),
            password: url.password.map(Credential::Given),
            database: url.database,
        };
        Ok(FromUrl {
            server: Server {
                family: url.family,
                login,
                client_name: url.client_name,
                ..Server::new(url.address)
            },
            is_tls: url.is_tls,
            timeouts: url.timeouts,
        })
    }

    /// With what is given of a login, in place of what there was.
    pub fn log_in(mut self, login: &Login) -> Server {
        self.login = login.clone().or(self.login);
        self
    }

    /// With a login that is left out where the server does not take it.
    pub fn log_in_if_wanted(mut self, login: &Login) -> Server {
        self.login_is_optional = true;
        self.log_in(login)
    }

    /// With a name for the connection, if one is given.
    pub fn call_client(mut self, name: Option<String>) -> Server {
        self.client_name = name.or(self.client_name);
        self
    }

    pub fn with_tls(mut self, tls: Option<Tls>) -> Server {
        self.tls = tls;
        self
    }

    /// Another server that is logged in to in the same way.
    pub fn at(&self, host: String, port: u16) -> Server {
        Server {
            address: Address::Tcp(host, port),
            ..self.clone()
        }
    }

    pub fn login(&self) -> Login {
        self.login.clone()
    }

    /// The host; none of a Unix socket.
    pub fn host(&self) -> Option<&str> {
        match &self.address {
            Address::Tcp(host, _) => Some(host),
            Address::Unix(_) => None,
        }
    }

    pub fn is_unix(&self) -> bool {
        matches!(self.address, Address::Unix(_))
    }

    /// `host:port` or the path of the socket: what messages call the server.
    pub fn name(&self) -> ServerName {
        self.address.name()
    }

    /// Tries once to connect, log in and select the database, and asks whether the server serves.
    pub async fn connect(&self) -> Result<OpenConnection, ConnectError> {
        let login = self.login.get().await?;
        let connection = self.log_in_over_any_protocol(&login).await?;
        let mut check = Batch::default();
        if let Some(name) = &self.client_name {
            check.add(&[b"CLIENT", b"SETNAME", name.as_bytes()]);
        }
        check.add(&[b"PING"]);
        let replies = connection
            .sender()
            .send(check)
            .await
            .map_err(|error| trouble(&error, &login))?;
        match replies.last() {
            // It reads its data in, or has not got its master's: soon it will serve.
            Some(Value::ServerError(error)) if is_passing(error.code()) => {
                Err(ConnectError::from(&RedisError::from(error.clone())))
            }
            // Whatever else: a user need not have the right to PING.
            _ => Ok(connection),
        }
    }

    /// Connects to a server that tells of things unasked, over RESP3.
    pub async fn connect_to_hear(
        &self,
        pushes: UnboundedSender<Vec<Value>>,
    ) -> Result<OpenConnection, ConnectError> {
        let login = self.login.get().await?;
        let attempt = self.connect_with(&login, Protocol::Resp3, Some(pushes.clone()));
        let heard = match attempt.await? {
            Err(error) if self.goes_on_without(&login, &error) => {
                let no_login = RedisConnectionInfo::default();
                self.connect_with(&no_login, Protocol::Resp3, Some(pushes))
                    .await?
            }
            heard => heard,
        };
        heard.map_err(|error| trouble(&error, &login))
    }

    /// Whether a login that was refused is left out. A user without a password may be no more than a
    /// word in a url: node-redis 6 does not log in with it.
    fn goes_on_without(&self, login: &RedisConnectionInfo, error: &RedisError) -> bool {
        let is_a_word = login.username().is_some() && login.password().is_none();
        (self.login_is_optional || is_a_word) && is_about_login(error)
    }

    /// RESP3 first; a server or proxy that does not know HELLO is asked again in RESP2.
    async fn log_in_over_any_protocol(
        &self,
        login: &RedisConnectionInfo,
    ) -> Result<OpenConnection, ConnectError> {
        let error = match self.connect_with(login, Protocol::Resp3, None).await? {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let no_login = RedisConnectionInfo::default().set_db(login.db());
        let (login, protocol) = if knows_no_resp3(&error) {
            (login, Protocol::Resp2)
        } else if error.is_connection_dropped() || error.is_io_error() {
            // An old proxy drops whoever says HELLO. But a server that has no room for another client
            // says so and drops it, too, and its words are lost under what was sent to it.
            if let Some(said) = self.farewell().await {
                return Err(said);
            }
            if tls_trouble(&error).is_some() {
                return Err(trouble(&error, login));
            }
            (login, Protocol::Resp2)
        } else if self.goes_on_without(login, &error) {
            (&no_login, Protocol::Resp3)
        } else {
            return Err(self.trouble_of_login(&error, login));
        };
        let again = self.connect_with(login, protocol, None).await?;
        again.map_err(|error| self.trouble_of_login(&error, login))
    }

    /// What is wrong where a login got no answer, or one that is none: it may have been to a port for
    /// TLS.
    fn trouble_of_login(&self, error: &RedisError, login: &RedisConnectionInfo) -> ConnectError {
        let trouble = trouble(error, login);
        if &*trouble.code != "ECONNRESET" || self.tls.is_some() || self.is_unix() {
            return trouble;
        }
        let reason = format!(
            "nobody answers there as Redis does: {} (does it speak TLS? then write rediss://)",
            trouble.reason.trim_end()
        );
        ConnectError {
            reason: reason.into(),
            ..trouble
        }
    }

    /// What a server says to whom it drops at once, if it says something.
    async fn farewell(&self) -> Option<ConnectError> {
        let Address::Tcp(host, port) = &self.address else {
            return None;
        };
        if self.tls.is_some() {
            return None; // It drops the connection before there is TLS to say it over.
        }
        let mut said = [0; 256];
        let listened = timeout(FAREWELL, async {
            let mut stream = dial(host, *port, self.family).await.ok()?;
            stream.read(&mut said).await.ok()
        });
        let length = listened.await.ok()??;
        let said = String::from_utf8_lossy(&said[..length]);
        let (code, reason) = said.lines().next()?.strip_prefix('-')?.split_once(' ')?;
        Some(ConnectError {
            code: code.into(),
            reason: reason.into(),
        })
    }

    /// The outer error is the socket's, the inner one the handshake's.
    async fn connect_with(
        &self,
        login: &RedisConnectionInfo,
        protocol: Protocol,
        pushes: Option<UnboundedSender<Vec<Value>>>,
    ) -> Result<RedisResult<OpenConnection>, ConnectError> {
        let mut connection = match (&self.address, &self.tls) {
            #[cfg(unix)]
            (Address::Unix(path), _) => {
                OpenConnection::over(UnixStream::connect(path).await?, pushes)
            }
            // The options and the reader of clients (lib/client/inspect.js) let none through.
            #[cfg(not(unix))]
            (Address::Unix(_), _) => return Err(std::io::Error::from(Unsupported).into()),
            (Address::Tcp(host, port), None) => {
                OpenConnection::over(dial(host, *port, self.family).await?, pushes)
            }
            (Address::Tcp(host, port), Some(tls)) => {
                let stream = dial(host, *port, self.family).await?;
                let stream = tokio::select! {
                    stream = tls.handshake(host, stream) => stream?,
                    () = answers_plainly(host, *port, self.family) => return Err(tls::speaks_no_tls()),
                };
                OpenConnection::over(stream, pushes)
            }
        };
        let logged_in = log_in(&connection.sender, login, protocol).await;
        Ok(logged_in.map(|is_master| {
            connection.is_master = is_master;
            connection
        }))
    }
}

/// Ends where a server that has not answered a TLS handshake for a while answers without TLS: Redis
/// takes the handshake for a command and waits for its end, so that nobody would say what is wrong.
async fn answers_plainly(host: &str, port: u16, family: Family) {
    sleep(HANDSHAKE_PATIENCE).await;
    let mut said = [0; 1];
    let asked = async {
        let mut stream = dial(host, port, family).await.ok()?;
        stream.write_all(b"PING\r\n").await.ok()?;
        stream.read_exact(&mut said).await.ok()
    };
    if asked.await.is_none() || !matches!(said, [b'+' | b'-']) {
        std::future::pending().await
    }
}

/// What a server answers that will serve in a while.
pub fn is_passing(code: &str) -> bool {
    matches!(code, "LOADING" | "MASTERDOWN" | "CLUSTERDOWN")
}

/// What is wrong, without the password.
fn trouble(error: &RedisError, login: &RedisConnectionInfo) -> ConnectError {
    tls_trouble(error)
        .unwrap_or_else(|| ConnectError::from(error))
        .without(login.password().unwrap_or_default().as_bytes())
}

/// What TLS has to say about an error of the connection.
fn tls_trouble(error: &RedisError) -> Option<ConnectError> {
    use std::error::Error;
    let source = error.source()?;
    let source = source.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    tls::trouble(source.downcast_ref()?)
}

/// Whether a handshake failed for who logged in.
fn is_about_login(error: &RedisError) -> bool {
    matches!(
        &*ConnectError::from(error).code,
        "WRONGPASS" | "NOAUTH" | "ERR"
    )
}

/// Whether a handshake failed for HELLO itself: a server too old for it or with the command renamed
/// away, a proxy, a user who may not call it.
fn knows_no_resp3(error: &RedisError) -> bool {
    match error.code() {
        Some("NOPROTO") => true,
        Some("ERR" | "NOPERM") => error
            .detail()
            .is_some_and(|detail| detail.to_ascii_lowercase().contains("hello")),
        _ => false,
    }
}
