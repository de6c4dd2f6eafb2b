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
use tokio::time::{Instant, sleep, timeout};

use super::credentials::{Credential, Login};
use super::dial::Dialer;
#[cfg(target_os = "linux")]
use super::direct_socket::DirectSocket;
use super::login::{Protocol, log_in};
use super::open_connection::OpenConnection;
use super::peer::Peer;
use super::resp::Batch;
#[cfg(test)]
use super::test_network::TestNetwork;
use super::tls::{self, Tls};
use super::tracking::{TrackedConnection, Tracking, Untracked};
use super::url::{Address, Timeouts, Url};
use super::wire::WireListener;
use crate::error::{Code, ConnectError, ServerName};

/// How long to wait for the error with which a server drops new connections.
const DROP_ERROR_LIMIT: Duration = Duration::from_millis(50);
/// How long a TLS handshake may take before the server is tested for TLS.
const HANDSHAKE_PATIENCE: Duration = Duration::from_millis(500);

/// One server and how to log in to it.
#[derive(Clone)]
pub struct Server {
    address: Address,
    dialer: Dialer,
    login: Login,
    /// Whether to go on without the login if the server refuses it, because it may be meant for
    /// another server.
    login_is_optional: bool,
    /// What `CLIENT LIST` shows as the connection's name.
    client_name: Option<String>,
    tls: Option<Tls>,
}

/// The server of a url, and what else the url says.
pub struct ServerFromUrl {
    pub server: Server,
    /// Whether the url asks for TLS.
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
            dialer: Dialer::default(),
            login: Login::default(),
            login_is_optional: false,
            client_name: None,
            tls: None,
        }
    }

    /// The server of a url. The error says what is wrong with the url and does not repeat it.
    pub fn from_url(url: &str) -> Result<ServerFromUrl, String> {
        let url = Url::parse(url)?;
        let login = Login {
            username: url.username.map(Credential::Given),
            password: url.password.map(Credential::Given),
            database: url.database,
        };
        let mut server = Server::new(url.address);
        server.dialer.family = url.family;
        server.login = login;
        server.client_name = url.client_name;
        Ok(ServerFromUrl {
            server,
            is_tls: url.is_tls,
            timeouts: url.timeouts,
        })
    }

    /// With this login; what it does not say stays as it was.
    pub fn with_login(mut self, login: &Login) -> Server {
        self.login = login.clone().or(self.login);
        self
    }

    /// With this login, which is left out if the server refuses it.
    pub fn with_optional_login(mut self, login: &Login) -> Server {
        self.login_is_optional = true;
        self.with_login(login)
    }

    /// With a name for the connection, if there is one.
    pub fn with_client_name(mut self, name: Option<String>) -> Server {
        self.client_name = name.or(self.client_name);
        self
    }

    pub fn with_tls(mut self, tls: Option<Tls>) -> Server {
        self.tls = tls;
        self
    }

    #[cfg(test)]
    pub fn on_network(mut self, network: &TestNetwork) -> Server {
        self.dialer.network = Some(network.clone());
        self
    }

    /// The same login at another address.
    pub fn at(&self, host: String, port: u16) -> Server {
        Server {
            address: Address::Tcp(host, port),
            ..self.clone()
        }
    }

    pub fn login(&self) -> Login {
        self.login.clone()
    }

    /// The host; `None` for a Unix socket.
    pub fn host(&self) -> Option<&str> {
        match &self.address {
            Address::Tcp(host, _) => Some(host),
            Address::Unix(_) => None,
        }
    }

    pub fn is_unix(&self) -> bool {
        matches!(self.address, Address::Unix(_))
    }

    /// What messages call the server: `host:port` or the path of the socket.
    pub fn name(&self) -> ServerName {
        self.address.name()
    }

    /// Which server this is, as far as the options say.
    pub fn peer(&self) -> Peer {
        self.peer_at(self.login.database.unwrap_or_default())
    }

    fn peer_at(&self, database: i64) -> Peer {
        let (host, port) = match &self.address {
            Address::Tcp(host, port) => (host.clone(), Some(*port)),
            Address::Unix(path) => (path.to_string_lossy().into_owned(), None),
        };
        Peer {
            host,
            port,
            database,
        }
    }

    /// Tries once to connect, log in and select the database. Fails also if the server says that it
    /// cannot serve yet.
    pub async fn connect(&self) -> Result<OpenConnection, ConnectError> {
        self.connect_for(None).await
    }

    /// As `connect`. The near cache hears of the keys that this connection reads, if the server allows it.
    pub async fn connect_for(
        &self,
        near_cache: Option<&Arc<Tracking>>,
    ) -> Result<OpenConnection, ConnectError> {
        let login = self.login.get().await?;
        let connection = self.log_in_over_any_protocol(&login, near_cache).await?;
        let mut check = Batch::default();
        if let Some(name) = &self.client_name {
            check.add(&[b"CLIENT", b"SETNAME", name.as_bytes()]);
        }
        let tracking = near_cache.zip(connection.tracked);
        if tracking.is_some() && connection.is_resp3 {
            check.add(&[b"CLIENT", b"TRACKING", b"ON"]);
        }
        check.add(&[b"PING"]);
        let since = Instant::now();
        let replies = connection
            .sender()
            .send(check)
            .await
            .map_err(|error| explain(&error, &login))?;
        if let Some((tracking, number)) = tracking {
            match self.why_untracked(&connection, &replies) {
                None => tracking.begin(number, since),
                Some(refusal) => tracking.refused(number, refusal),
            }
        }
        match replies.last() {
            Some(Value::ServerError(error)) if is_transient(error.code()) => {
                Err(ConnectError::from(&RedisError::from(error.clone())))
            }
            // Other errors do not matter: the user may lack the right to PING.
            _ => Ok(connection),
        }
    }

    /// Why a server does not say which keys are written, by its replies; `None` if it does.
    fn why_untracked(&self, connection: &OpenConnection, replies: &[Value]) -> Option<Untracked> {
        let reason = match replies {
            _ if !connection.is_resp3 => "it does not speak RESP3, which Redis 6 brought".into(),
            [.., Value::Okay, _ping] => return None,
            [.., Value::ServerError(error), _ping] => ConnectError::from(error).reason,
            _ => "it answers CLIENT TRACKING as Redis does not".into(),
        };
        Some(Untracked {
            server: self.name(),
            reason,
        })
    }

    /// Connects over RESP3, for push messages. `pushes` receives them.
    pub async fn connect_for_pushes(
        &self,
        pushes: UnboundedSender<Vec<Value>>,
    ) -> Result<OpenConnection, ConnectError> {
        let login = self.login.get().await?;
        let attempt = self.connect_with(
            &login,
            Protocol::Resp3,
            WireListener::Subscriber(pushes.clone()),
        );
        let result = match attempt.await? {
            Err(error) if self.may_skip_login(&login, &error) => {
                let no_login = RedisConnectionInfo::default();
                self.connect_with(&no_login, Protocol::Resp3, WireListener::Subscriber(pushes))
                    .await?
            }
            result => result,
        };
        result.map_err(|error| explain(&error, &login))
    }

    /// Whether to try without a login that was refused. That includes a user without a password,
    /// which may be just a word in a url: node-redis 6 does not log in with it.
    fn may_skip_login(&self, login: &RedisConnectionInfo, error: &RedisError) -> bool {
        let is_user_alone = login.username().is_some() && login.password().is_none();
        (self.login_is_optional || is_user_alone) && is_about_login(error)
    }

    /// Tries RESP3 first, and RESP2 if the server or a proxy before it does not know HELLO.
    async fn log_in_over_any_protocol(
        &self,
        login: &RedisConnectionInfo,
        near_cache: Option<&Arc<Tracking>>,
    ) -> Result<OpenConnection, ConnectError> {
        let listener = || match near_cache {
            Some(tracking) => WireListener::Tracked(TrackedConnection::new(tracking.clone())),
            None => WireListener::Nobody,
        };
        let mut attempt = self
            .connect_with(login, Protocol::Resp3, listener())
            .await?;
        if near_cache.is_some() && attempt.as_ref().is_err_and(is_dropped) {
            // It may be chance, and without RESP3 there would be no near cache.
            attempt = self
                .connect_with(login, Protocol::Resp3, listener())
                .await?;
        }
        let error = match attempt {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let no_login = RedisConnectionInfo::default().set_db(login.db());
        let (login, protocol) = if lacks_resp3(&error) {
            (login, Protocol::Resp2)
        } else if is_dropped(&error) {
            // An old proxy closes the connection on HELLO. But a server that has too many clients
            // also closes it, after an error that is lost because HELLO was already on its way.
            if let Some(error) = self.drop_error().await {
                return Err(error);
            }
            if tls_error(&error).is_some() {
                return Err(explain(&error, login));
            }
            (login, Protocol::Resp2)
        } else if self.may_skip_login(login, &error) {
            (&no_login, Protocol::Resp3)
        } else {
            return Err(self.explain_login(&error, login));
        };
        let result = self.connect_with(login, protocol, listener()).await?;
        result.map_err(|error| self.explain_login(&error, login))
    }

    /// Why a login failed. If the server closed the connection or did not answer in RESP, its port
    /// may be one for TLS.
    fn explain_login(&self, error: &RedisError, login: &RedisConnectionInfo) -> ConnectError {
        let error = explain(error, login);
        if error.code != Code::Reset || self.tls.is_some() || self.is_unix() {
            return error;
        }
        let reason = format!(
            "the server does not answer as Redis does: {} (does it speak TLS? then write \
             rediss://)",
            error.reason.trim_end()
        );
        ConnectError::new(error.code, reason)
    }

    /// Returns the error that the server sends before it closes a new connection, if it sends one.
    async fn drop_error(&self) -> Option<ConnectError> {
        let Address::Tcp(host, port) = &self.address else {
            return None;
        };
        if self.tls.is_some() {
            return None; // The server closes the connection before TLS can carry the error.
        }
        let mut text = [0; 256];
        let read = timeout(DROP_ERROR_LIMIT, async {
            let mut stream = self.dialer.dial(host, *port).await.ok()?;
            stream.read(&mut text).await.ok()
        });
        let length = read.await.ok()??;
        let text = String::from_utf8_lossy(&text[..length]);
        let (code, reason) = text.lines().next()?.strip_prefix('-')?.split_once(' ')?;
        Some(ConnectError::new(Code::of_server(code), reason))
    }

    /// Fails with the outer error if there is no socket or no TLS, with the inner one if the login
    /// fails.
    async fn connect_with(
        &self,
        login: &RedisConnectionInfo,
        protocol: Protocol,
        listener: WireListener,
    ) -> Result<RedisResult<OpenConnection>, ConnectError> {
        let peer = self.peer_at(login.db());
        let tracked = match &listener {
            WireListener::Tracked(connection) => Some(connection.number),
            _ => None,
        };
        let mut connection = match (&self.address, &self.tls) {
            #[cfg(unix)]
            (Address::Unix(path), _) => {
                let stream = UnixStream::connect(path).await?;
                #[cfg(target_os = "linux")]
                let stream = DirectSocket::new(stream.into_std()?)?;
                OpenConnection::over_direct(stream, listener, peer)
            }
            // The options and lib/client/inspect.js refuse Unix sockets on such a system.
            #[cfg(not(unix))]
            (Address::Unix(_), _) => return Err(std::io::Error::from(Unsupported).into()),
            (Address::Tcp(host, port), None) => {
                let stream = self.dialer.dial(host, *port).await?;
                #[cfg(all(target_os = "linux", not(test)))]
                let stream = DirectSocket::new(stream.into_std()?)?;
                #[cfg(unix)]
                let connection = OpenConnection::over_direct(stream, listener, peer);
                #[cfg(not(unix))]
                let connection = OpenConnection::over(stream, listener, peer);
                connection
            }
            (Address::Tcp(host, port), Some(tls)) => {
                let stream = self.dialer.dial(host, *port).await?;
                let stream = tokio::select! {
                    stream = tls.handshake(host, stream) => stream?,
                    () = answers_without_tls(&self.dialer, host, *port) => {
                        return Err(tls::not_tls());
                    }
                };
                OpenConnection::over(stream, listener, peer)
            }
        };
        let logged_in = log_in(&connection.sender(), login, protocol).await;
        Ok(logged_in.map(|is_master| {
            connection.is_master = is_master;
            connection.is_resp3 = protocol == Protocol::Resp3;
            connection.tracked = tracked;
            connection
        }))
    }
}

/// Resolves if the server answers a command without TLS, after the handshake has had some time. Redis
/// takes a TLS handshake for the start of a command and waits for its end, so without this the
/// attempt would only time out.
async fn answers_without_tls(dialer: &Dialer, host: &str, port: u16) {
    sleep(HANDSHAKE_PATIENCE).await;
    let mut reply = [0; 1];
    let exchange = async {
        let mut stream = dialer.dial(host, port).await.ok()?;
        stream.write_all(b"PING\r\n").await.ok()?;
        stream.read_exact(&mut reply).await.ok()
    };
    if exchange.await.is_none() || !matches!(reply, [b'+' | b'-']) {
        std::future::pending().await
    }
}

/// Whether an error with this first word will pass: the server loads its data, or has lost its
/// master or its cluster.
pub fn is_transient(code: &str) -> bool {
    matches!(code, "LOADING" | "MASTERDOWN" | "CLUSTERDOWN")
}

/// The reason of an error, without the password.
fn explain(error: &RedisError, login: &RedisConnectionInfo) -> ConnectError {
    tls_error(error)
        .unwrap_or_else(|| ConnectError::from(error))
        .without(login.password().unwrap_or_default().as_bytes())
}

/// Whether the connection was closed, or its network failed.
fn is_dropped(error: &RedisError) -> bool {
    error.is_connection_dropped() || error.is_io_error()
}

/// The TLS error under an error of the connection, if there is one.
fn tls_error(error: &RedisError) -> Option<ConnectError> {
    use std::error::Error;
    let source = error.source()?;
    let source = source.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    tls::explain(source.downcast_ref()?)
}

/// Whether a login failed because of its user or password.
fn is_about_login(error: &RedisError) -> bool {
    matches!(
        ConnectError::from(error).code,
        Code::WrongPassword | Code::NoAuth | Code::ServerError
    )
}

/// Whether a login failed because of HELLO itself: the server is too old or has the command renamed,
/// a proxy does not know it, or the user may not call it.
fn lacks_resp3(error: &RedisError) -> bool {
    match error.code() {
        Some("NOPROTO") => true,
        Some("ERR" | "NOPERM") => error
            .detail()
            .is_some_and(|detail| detail.to_ascii_lowercase().contains("hello")),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::credentials::CredentialFunction;
    use super::super::test_network::{TestListener, TestNetwork};
    use super::super::timeout::within;
    use super::super::tls::TlsOptions;
    use super::super::tracking::Freshness;
    use super::*;
    use std::sync::Mutex;

    const LIMIT: Duration = Duration::from_secs(3);
    const UNKNOWN_HELLO: &str = "-ERR unknown command 'HELLO'\r\n";
    const OLD: &str = "-ERR unknown command\r\n";

    fn server(network: &TestNetwork) -> Server {
        Server::tcp("a".into(), 6379).on_network(network)
    }

    fn network() -> (TestNetwork, TestListener) {
        let network = TestNetwork::new();
        let listener = network.listen("a:6379");
        (network, listener)
    }

    fn password(password: Credential) -> Login {
        Login {
            password: Some(password),
            ..Login::default()
        }
    }

    fn given(text: &str) -> Login {
        password(Credential::Given(text.into()))
    }

    /// Accepts a connection, expects a command, and refuses it and the rest of the login.
    async fn refuse(listener: &TestListener, command: &[&str], error: &str) {
        let mut peer = listener.accept().await;
        peer.expect(command).await;
        peer.reply(&format!("{error}{OLD}{OLD}")).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_password_is_an_error_that_does_not_repeat_it() {
        let (network, listener) = network();
        let server = server(&network).with_login(&given("secret"));
        let hello = ["HELLO", "3", "AUTH", "default", "secret"];
        let script = refuse(&listener, &hello, "-WRONGPASS secret is wrong\r\n");
        let (result, ()) = tokio::join!(server.connect(), script);
        let error = result.err().unwrap();
        assert_eq!(error.code, Code::WrongPassword);
        assert_eq!(&*error.reason, "… is wrong");
    }

    #[tokio::test(start_paused = true)]
    async fn a_credential_function_is_asked_before_each_login() {
        let (network, listener) = network();
        let tokens = Mutex::new(vec!["second", "first"]);
        let function = CredentialFunction::new("password", move |reply| {
            let token = tokens.lock().unwrap().pop();
            let _ = reply.send(Ok(token.map(str::to_string)));
        });
        let server = server(&network).with_login(&password(Credential::Function(function)));
        for token in ["first", "second"] {
            let script = async {
                let mut peer = listener.accept().await;
                peer.expect(&["HELLO", "3", "AUTH", "default", token]).await;
                peer.reply("%1\r\n+proto\r\n:3\r\n").await;
                peer.accept_login().await;
            };
            let (connection, ()) = tokio::join!(server.connect(), script);
            assert!(connection.is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_reply_of_the_credential_function_there_is_no_connection() {
        let (network, listener) = network();
        let failing = CredentialFunction::new("password", |reply| {
            let _ = reply.send(Err("failed: no token".into()));
        });
        let silent = CredentialFunction::new("password", std::mem::forget);
        for (function, code, reason) in [
            (
                failing,
                Code::Credentials,
                "the function given as password failed: no token",
            ),
            (
                silent,
                Code::TimedOut,
                "the function given as password gave no answer within 3000 ms (connectTimeout)",
            ),
        ] {
            let server = server(&network).with_login(&password(Credential::Function(function)));
            let error = within(LIMIT, server.connect()).await.err().unwrap();
            assert_eq!((error.code, &*error.reason), (code, reason));
            assert!(!listener.has_connection().await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_times_out() {
        let (network, _listener) = network();
        let attempt = server(&network);
        let error = within(LIMIT, attempt.connect()).await.err().unwrap();
        assert_eq!(error.code, Code::TimedOut);
        assert_eq!(&*error.reason, "no answer within 3000 ms (connectTimeout)");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_without_hello_is_logged_in_to_with_auth() {
        let (network, listener) = network();
        let server = server(&network).with_login(&given("pw"));
        let script = async {
            let hello = ["HELLO", "3", "AUTH", "default", "pw"];
            refuse(&listener, &hello, UNKNOWN_HELLO).await;
            let mut peer = listener.accept().await;
            peer.expect(&["AUTH", "pw"]).await;
            peer.reply("+OK\r\n").await;
            peer.accept_login().await;
        };
        let (connection, ()) = tokio::join!(server.connect(), script);
        assert!(connection.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_that_closes_the_connection_on_hello_is_asked_without_it() {
        let (network, listener) = network();
        let server = server(&network);
        let script = async {
            listener.accept().await.close();
            let _no_error = listener.accept().await; // Silent: it has no error to send.
            let mut peer = listener.accept().await;
            peer.expect(&["CLIENT", "SETINFO", "LIB-NAME", "connect-redis-rs"])
                .await;
            peer.reply("+OK\r\n").await;
            peer.accept_login().await;
        };
        let (connection, ()) = tokio::join!(server.connect(), script);
        assert!(connection.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn for_a_near_cache_a_connection_that_is_closed_on_hello_is_tried_once_more() {
        let (network, listener) = network();
        let server = server(&network);
        let tracking = Tracking::new(LIMIT);
        let script = async {
            listener.accept().await.close();
            listener.accept().await.accept_login().await;
        };
        let (connection, ()) = tokio::join!(server.connect_for(Some(&tracking)), script);
        assert!(connection.unwrap().is_resp3);
        assert_eq!(tracking.look().1, Freshness::Age(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn the_error_of_a_server_that_has_too_many_clients_is_read() {
        let (network, listener) = network();
        let server = server(&network);
        let script = async {
            listener.accept().await.close();
            let mut peer = listener.accept().await;
            peer.reply("-ERR max number of clients reached\r\n").await;
        };
        let (result, ()) = tokio::join!(server.connect(), script);
        let error = result.err().unwrap();
        assert_eq!(error.code, Code::ServerError);
        assert_eq!(&*error.reason, "max number of clients reached");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_speak_resp_may_be_one_for_tls() {
        let (network, listener) = network();
        let server = server(&network);
        let script = async {
            let mut peer = listener.accept().await;
            peer.reply("HTTP/1.1 400 Bad Request\r\n").await;
        };
        let (result, ()) = tokio::join!(server.connect(), script);
        let error = result.err().unwrap();
        assert_eq!(error.code, Code::Reset);
        assert!(error.reason.contains("rediss://"), "{}", error.reason);
    }

    #[tokio::test(start_paused = true)]
    async fn an_optional_login_is_left_out_if_it_is_refused() {
        let (network, listener) = network();
        let server = server(&network).with_optional_login(&given("pw"));
        let script = async {
            let hello = ["HELLO", "3", "AUTH", "default", "pw"];
            refuse(&listener, &hello, "-WRONGPASS no\r\n").await;
            let mut peer = listener.accept().await;
            peer.expect(&["HELLO", "3"]).await;
            peer.reply("%1\r\n+proto\r\n:3\r\n").await;
            peer.accept_login().await;
        };
        let (connection, ()) = tokio::join!(server.connect(), script);
        assert!(connection.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_cannot_serve_yet_is_an_error_and_any_other_reply_to_ping_is_not() {
        for (reply, code) in [
            ("-LOADING wait\r\n", Some("LOADING")),
            ("-MASTERDOWN wait\r\n", Some("MASTERDOWN")),
            ("-NOPERM no\r\n", None),
        ] {
            let (network, listener) = network();
            let server = server(&network).with_client_name(Some("web".into()));
            let script = async {
                let mut peer = listener.accept().await;
                for _ in ["HELLO", "SETINFO", "SETINFO"] {
                    peer.command().await;
                    peer.reply("+OK\r\n").await;
                }
                peer.expect(&["CLIENT", "SETNAME", "web"]).await;
                peer.expect(&["PING"]).await;
                peer.reply(&format!("+OK\r\n{reply}")).await;
            };
            let (result, ()) = tokio::join!(server.connect(), script);
            let error = result.err();
            assert_eq!(error.as_ref().map(|error| error.code.as_str()), code);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_waits_for_more_of_a_tls_handshake_is_tested_for_tls() {
        let (network, listener) = network();
        let tls = Tls::new(TlsOptions::default()).unwrap();
        let server = server(&network).with_tls(Some(tls));
        let script = async {
            let handshake = listener.accept().await;
            let mut peer = listener.accept().await;
            peer.expect_line("PING").await;
            peer.reply("+PONG\r\n").await;
            handshake
        };
        let (result, _handshake) = tokio::join!(server.connect(), script);
        assert_eq!(result.err().unwrap().code, Code::NotTls);
    }
}
