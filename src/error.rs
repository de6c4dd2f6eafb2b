//! The errors of the crate: why a call or an attempt to connect failed, in words for an operator.
//!
//! Messages never hold a password, a session id or a key. A server may repeat any of them, so every
//! text of a server that becomes a message goes through [`StoreError::server`] or
//! [`ConnectError::from`], and the caller removes its secret with `without`.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerError};

/// Why a call failed. In JS it becomes a `RedisStoreError`, or a `TypeError` for an invalid argument,
/// with `code`, `message` and, if there is an error underneath, `cause`.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreError {
    pub code: Code,
    /// What failed, on which server, why, and what to do.
    pub message: String,
    /// The message of the error underneath.
    pub cause: Option<Arc<str>>,
}

/// Why an attempt to connect failed.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectError {
    pub code: Code,
    /// The system's or the server's own words.
    pub reason: Arc<str>,
}

/// The server that a message is about: `127.0.0.1:6379` or a socket's path.
pub type ServerName = Arc<str>;

/// Defines the codes once: their names in Rust and in JS.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What kind of error it is: `code` in JS. Never `ENOENT`, because express-session takes that
        /// for "no such session".
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Code {
            $($(#[$doc])* $name,)*
            /// Another word: the first of a Redis error, such as `BUSY`, or the code of an error
            /// in JS.
            Other(Arc<str>),
        }

        impl Code {
            /// The code as JS has it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Code::$name => $text,)*
                    Code::Other(word) => word,
                }
            }
        }

        impl From<&str> for Code {
            fn from(word: &str) -> Code {
                match word {
                    $($text => Code::$name,)*
                    word => Code::Other(word.into()),
                }
            }
        }
    };
}

codes! {
    // The system's, as Node names them.
    Refused = "ECONNREFUSED",
    Reset = "ECONNRESET",
    TimedOut = "ETIMEDOUT",
    AccessDenied = "EACCES",
    HostUnreachable = "EHOSTUNREACH",
    NetworkUnreachable = "ENETUNREACH",
    /// A name is unknown: of a host, or of a master to its sentinels.
    NotFound = "ENOTFOUND",
    /// The reply is not one that Redis gives.
    Protocol = "EPROTO",

    // The store's own.
    Closed = "ECLOSED",
    /// Other requests saved the same session, again and again.
    Conflict = "ECONFLICT",
    /// A record does not open: see `session::seal`.
    Sealed = "ESEALED",
    /// A function given as `username` or `password` failed.
    Credentials = "ECREDENTIALS",
    /// A bug in this library.
    Internal = "EINTERNAL",
    /// JS gets a `TypeError`.
    InvalidArgument = "ERR_INVALID_ARG_VALUE",

    // TLS, as Node names them.
    CertificateExpired = "CERT_HAS_EXPIRED",
    CertificateNotYetValid = "CERT_NOT_YET_VALID",
    CertificateSelfSigned = "DEPTH_ZERO_SELF_SIGNED_CERT",
    CertificateOfUnknownRoot = "SELF_SIGNED_CERT_IN_CHAIN",
    CertificateOfUnknownIssuer = "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    CertificateForAnotherHost = "ERR_TLS_CERT_ALTNAME_INVALID",
    CertificateInvalid = "ERR_TLS_CERT_INVALID",
    ClientCertificateRequired = "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED",
    ClientCertificateRefused = "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA",
    NotTls = "ERR_SSL_WRONG_VERSION_NUMBER",

    // Redis's own that something here depends on.
    ServerError = "ERR",
    ClusterDown = "CLUSTERDOWN",
    CrossSlot = "CROSSSLOT",
    Misconfigured = "MISCONF",
    Moved = "MOVED",
    NoAuth = "NOAUTH",
    NoPermission = "NOPERM",
    OutOfMemory = "OOM",
    ReadOnly = "READONLY",
    WrongPassword = "WRONGPASS",
    WrongType = "WRONGTYPE",
}

impl Code {
    /// The code of a Redis error that begins with `word`. `ERR` if that is not a word in capitals,
    /// since it may be the key or the password then, and if it is `ENOENT`.
    pub fn of_server(word: &str) -> Code {
        let is_capital = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        match word {
            "" | "ENOENT" => Code::ServerError,
            word if word.chars().all(is_capital) => word.into(),
            _ => Code::ServerError,
        }
    }

    /// A missing Unix socket counts as refused, because its code must not be `ENOENT`.
    fn of_io(kind: io::ErrorKind) -> Code {
        match kind {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Code::Refused,
            io::ErrorKind::TimedOut => Code::TimedOut,
            io::ErrorKind::PermissionDenied => Code::AccessDenied,
            io::ErrorKind::HostUnreachable => Code::HostUnreachable,
            io::ErrorKind::NetworkUnreachable => Code::NetworkUnreachable,
            _ => Code::Reset,
        }
    }

    /// What to do about the error, if that is known; to be appended to a message.
    fn advice(&self) -> &'static str {
        match self {
            Code::Refused => " (is Redis running there, and is the url right?)",
            Code::NotFound => " (check the host name in the url)",
            Code::NoAuth => " (give user and password in the url)",
            Code::WrongPassword => " (check user and password in the url)",
            Code::NoPermission => {
                " (the Redis user needs more rights: docs/operating.md lists them)"
            }
            Code::Moved | Code::CrossSlot => {
                " (this server is part of a cluster: give it as the option cluster)"
            }
            Code::OutOfMemory => {
                " (Redis is at its maxmemory: raise it; with an eviction policy sessions would be \
                 lost)"
            }
            Code::Misconfigured => {
                " (Redis cannot write its data to disk, and so takes no writes: see its log)"
            }
            Code::ReadOnly => " (this server is a replica: connect to its master)",
            Code::WrongType => " (this key holds what the store did not write)",
            _ => "",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl StoreError {
    fn new(code: Code, message: impl Into<String>) -> StoreError {
        StoreError {
            code,
            message: message.into(),
            cause: None,
        }
    }

    /// An argument or option that cannot be used.
    pub fn invalid(message: impl Into<String>) -> StoreError {
        StoreError::new(Code::InvalidArgument, message)
    }

    /// Whether JS gets a `TypeError`.
    pub fn is_invalid_argument(&self) -> bool {
        self.code == Code::InvalidArgument
    }

    /// The store was closed before the call was answered.
    pub fn closed(call: &str) -> StoreError {
        StoreError::new(
            Code::Closed,
            format!("{call}: the store is closed; make a new RedisStore to go on"),
        )
    }

    /// The server took longer than `commandTimeout`.
    pub fn timeout(call: &str, server: &str, limit: Duration) -> StoreError {
        let message = late_message(call, &format!("Redis at {server}"), limit.as_millis());
        StoreError::new(Code::TimedOut, message)
    }

    /// There was no connection for the whole of `commandTimeout`.
    pub fn unreachable(
        call: &str,
        server: &str,
        limit: Duration,
        last: Option<&ConnectError>,
    ) -> StoreError {
        let limit = limit.as_millis();
        let code = last.map_or(Code::TimedOut, |last| last.code.clone());
        let missing = match code {
            Code::ReadOnly => "no connection to a master of Redis",
            _ => "no connection to Redis",
        };
        let message = format!("{call}: {missing} at {server} within {limit} ms (commandTimeout)");
        StoreError {
            message: match last {
                Some(last) => format!("{message}: {}{}", last.reason, code.advice()),
                None => message,
            },
            cause: last.map(|last| last.reason.clone()),
            code,
        }
    }

    /// There is no connection, and calls must not wait for one (`onUnavailable`).
    pub fn away(call: &str, server: &str, last: &ConnectError) -> StoreError {
        let ConnectError { code, reason } = last;
        let advice = code.advice();
        StoreError {
            code: code.clone(),
            message: format!("{call}: no connection to Redis at {server}: {reason}{advice}"),
            cause: Some(reason.clone()),
        }
    }

    /// The nodes of a cluster have redirected a call to and fro.
    pub fn redirected(call: &str, server: &str) -> StoreError {
        StoreError::new(
            Code::Moved,
            format!("{call}: the nodes of {server} do not agree which of them has the session"),
        )
    }

    /// The connection broke under a call that cannot be sent again.
    pub fn connection_lost(call: &str, server: &str) -> StoreError {
        StoreError::new(
            Code::Reset,
            format!("{call}: the connection to Redis at {server} was lost"),
        )
    }

    /// The connection broke twice under the same call.
    pub fn lost(call: &str, server: &str, error: &RedisError) -> StoreError {
        let ConnectError { code, reason } = ConnectError::from(error);
        StoreError {
            message: format!("{call}: the connection to Redis at {server} was lost: {reason}"),
            cause: Some(reason),
            code,
        }
    }

    /// The connection broke under a save, and others have saved the session since.
    pub fn doubtful(call: &str, server: &str) -> StoreError {
        StoreError::new(
            Code::Reset,
            format!(
                "{call}: the connection to Redis at {server} was lost, and the session has changed \
                 since: it is not known whether this save was carried out"
            ),
        )
    }

    /// Whenever the save was tried, another request had saved the session.
    pub fn conflict(call: &str, server: &str, limit: Duration) -> StoreError {
        let limit = limit.as_millis();
        StoreError::new(
            Code::Conflict,
            format!(
                "{call}: other requests went on saving the session in Redis at {server} for \
                 {limit} ms (commandTimeout); nothing was written"
            ),
        )
    }

    /// The server replied with an error. The caller removes the key with [`StoreError::without`].
    pub fn server(call: &str, server: &str, error: &ServerError) -> StoreError {
        let code = Code::of_server(error.code());
        let details = error.details().unwrap_or_default();
        let text = match error.code() {
            own if own == code.as_str() => details.to_string(),
            other => format!("{other} {details}"),
        };
        let details = text.split(REPEATED_ARGUMENTS).next().unwrap_or_default();
        let advice = code.advice();
        StoreError {
            message: format!("{call}: Redis at {server} answered {code} {details}{advice}"),
            cause: Some(format!("{code} {details}").into()),
            code,
        }
    }

    /// The error with `…` for a secret that the server may have repeated.
    pub fn without(mut self, secret: &[u8]) -> StoreError {
        self.message = redact(&self.message, secret);
        self.cause = self.cause.map(|cause| redact(&cause, secret).into());
        self
    }

    /// The server's reply is not one that the command can have.
    pub fn unexpected(call: &str, server: &str) -> StoreError {
        StoreError::new(
            Code::Protocol,
            format!("{call}: Redis at {server} gave an answer of a kind the command does not have"),
        )
    }

    /// A record does not open; `reason` is the end of the sentence.
    pub fn sealed(call: &str, server: &str, reason: impl fmt::Display) -> StoreError {
        StoreError::new(
            Code::Sealed,
            format!("{call}: a record in Redis at {server} {reason}: see docs/format.md"),
        )
    }

    /// A bug in this library. The call is answered all the same.
    pub fn internal(call: &str) -> StoreError {
        StoreError::new(
            Code::Internal,
            format!("{call}: internal error of connect-redis-rs, please report it"),
        )
    }

    /// Runs the work of one call. A panic in it becomes an error of this call alone.
    pub fn catch_panic<T>(
        call: &str,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(StoreError::internal(call)))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ConnectError {
    pub fn new(code: Code, reason: impl Into<Arc<str>>) -> ConnectError {
        ConnectError {
            code,
            reason: reason.into(),
        }
    }

    /// The error with `…` for a secret that the server may have repeated.
    pub fn without(self, secret: &[u8]) -> ConnectError {
        ConnectError::new(self.code, redact(&self.reason, secret))
    }

    /// The error with a reason that says which server it is about.
    pub fn at(self, server: impl fmt::Display) -> ConnectError {
        ConnectError::new(self.code, format!("{server}: {}", self.reason))
    }
}

/// What follows in Redis's error for an unknown command: its arguments, the key among them.
pub const REPEATED_ARGUMENTS: &str = ", with args beginning with";

/// The message of a call that `server` did not answer within `commandTimeout`, in milliseconds.
pub fn late_message(call: &str, server: &str, limit: impl fmt::Display) -> String {
    format!("{call}: {server} did not answer within {limit} ms (commandTimeout)")
}

/// `text` with `…` for each `secret` in it.
fn redact(text: &str, secret: &[u8]) -> String {
    match std::str::from_utf8(secret) {
        Ok(secret) if !secret.is_empty() => text.replace(secret, "…"),
        _ => text.to_string(),
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> ConnectError {
        ConnectError::new(Code::of_io(error.kind()), error.to_string())
    }
}

impl From<&RedisError> for ConnectError {
    fn from(error: &RedisError) -> ConnectError {
        let reason = match (error.detail(), error.source()) {
            (Some(detail), _) => detail.to_string(),
            (None, Some(source)) => source.to_string(),
            (None, None) => error.to_string(),
        };
        let code = match error.kind() {
            _ if reason.contains("no permissions") => Code::NoPermission,
            ErrorKind::Server(_) | ErrorKind::Extension => {
                Code::of_server(error.code().unwrap_or_default())
            }
            // The redis crate leaves the server's word in the text.
            ErrorKind::AuthenticationFailed => {
                [Code::WrongPassword, Code::NoAuth, Code::NoPermission]
                    .into_iter()
                    .find(|code| reason.contains(code.as_str()))
                    .unwrap_or(Code::WrongPassword)
            }
            _ if error.is_timeout() => Code::TimedOut,
            _ if error.is_connection_refusal() => Code::Refused,
            _ => Code::Reset,
        };
        ConnectError::new(code, reason)
    }
}

/// The error with the server's words, the first of them too.
impl From<&ServerError> for ConnectError {
    fn from(error: &ServerError) -> ConnectError {
        let details = error.details().unwrap_or_default();
        ConnectError::new(
            Code::of_server(error.code()),
            format!("{} {details}", error.code()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_socket_is_refused_and_never_enoent() {
        let error = ConnectError::from(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(error.code, Code::Refused);
    }

    #[test]
    fn an_unreachable_server_is_named_with_reason_and_advice() {
        let last = ConnectError::from(io::Error::from(io::ErrorKind::ConnectionRefused));
        let error = StoreError::unreachable(
            "get",
            "127.0.0.1:6379",
            Duration::from_millis(5000),
            Some(&last),
        );
        assert_eq!(error.code, Code::Refused);
        assert!(error.message.starts_with(
            "get: no connection to Redis at 127.0.0.1:6379 within 5000 ms (commandTimeout): "
        ));
        assert!(
            error
                .message
                .ends_with("(is Redis running there, and is the url right?)")
        );
    }

    #[test]
    fn a_server_that_stays_a_replica_is_called_one() {
        let last = ConnectError::new(
            Code::ReadOnly,
            "READONLY You can't write against a read only replica.",
        );
        let limit = Duration::from_secs(5);
        let error = StoreError::unreachable("set", "here:1", limit, Some(&last));
        assert_eq!(error.code, Code::ReadOnly);
        assert_eq!(
            error.message,
            "set: no connection to a master of Redis at here:1 within 5000 ms (commandTimeout): \
             READONLY You can't write against a read only replica. \
             (this server is a replica: connect to its master)"
        );
    }

    #[test]
    fn a_secret_the_server_repeats_is_left_out() {
        let error = ConnectError::new(Code::ServerError, "bad AUTH me hunter2");
        assert_eq!(&*error.without(b"hunter2").reason, "bad AUTH me …");
    }

    #[test]
    fn a_code_is_a_word_and_never_what_the_server_repeats() {
        let server = |line: &[u8]| match redis::parse_redis_value(line) {
            Ok(redis::Value::ServerError(error)) => {
                StoreError::server("get", "here", &error).without(b"sess:abc")
            }
            other => panic!("{other:?}"),
        };
        let repeated = server(b"-sess:abc is not here\r\n");
        assert_eq!(repeated.code, Code::ServerError);
        assert_eq!(
            repeated.message,
            "get: Redis at here answered ERR … is not here"
        );
        assert_eq!(server(b"-\r\n").code, Code::ServerError);
        assert_eq!(server(b"-ENOENT no such thing\r\n").code, Code::ServerError);
        assert_eq!(server(b"-NEWWORD x\r\n").code.as_str(), "NEWWORD");
        assert_eq!(server(b"-WRONGTYPE x\r\n").code, Code::WrongType);
    }

    #[test]
    fn arguments_that_redis_repeats_are_left_out() {
        let line = b"-ERR unknown command 'GETEX', with args beginning with: 'sess:abc'\r\n";
        let Ok(redis::Value::ServerError(error)) = redis::parse_redis_value(line) else {
            panic!("no error");
        };
        assert_eq!(
            StoreError::server("get", "here", &error).message,
            "get: Redis at here answered ERR unknown command 'GETEX'"
        );
    }

    #[test]
    fn a_code_is_the_same_by_its_word() {
        for code in [Code::TimedOut, Code::Closed, Code::WrongType] {
            assert_eq!(Code::from(code.as_str()), code);
        }
        assert_eq!(Code::from("BUSY").as_str(), "BUSY");
    }

    #[test]
    fn bad_arguments_are_type_errors() {
        assert!(StoreError::invalid("x").is_invalid_argument());
        assert!(!StoreError::closed("get").is_invalid_argument());
    }
}
