//! The one error type of the crate: what a call rejects with, in terms an operator can act on.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerError};

/// Why a call failed. In JS it becomes a `RedisStoreError` (or a `TypeError` for a bad argument)
/// with `code`, `message` and, where a deeper error is known, `cause`.
/// Neither text ever holds a password or a session id.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreError {
    /// The server's own word (`WRONGTYPE`, `NOAUTH`, `OOM` …), or `ECONNREFUSED`, `ETIMEDOUT`,
    /// `ECLOSED`, `ERR_INVALID_ARG_VALUE`. Never `ENOENT`, which express-session takes for
    /// "no such session".
    pub code: Arc<str>,
    /// What was tried, on which server, and what to do about it.
    pub message: String,
    /// The message of the error underneath.
    pub cause: Option<Arc<str>>,
}

/// Where a connection goes, as messages name it: `127.0.0.1:6379` or a socket's path.
pub type ServerName = Arc<str>;

/// Why there is no connection at this moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectError {
    /// As in [`StoreError::code`].
    pub code: Arc<str>,
    /// The system's or the server's own words.
    pub reason: Arc<str>,
}

impl StoreError {
    /// An argument or option that cannot be used. It becomes a `TypeError` in JS.
    pub fn invalid(message: impl Into<String>) -> StoreError {
        StoreError {
            code: INVALID.into(),
            message: message.into(),
            cause: None,
        }
    }

    /// Whether JS gets a `TypeError` for this.
    pub fn is_invalid_argument(&self) -> bool {
        &*self.code == INVALID
    }

    /// The store was closed before the call was answered.
    pub fn closed(call: &str) -> StoreError {
        StoreError {
            code: "ECLOSED".into(),
            message: format!("{call}: the store is closed; make a new RedisStore to go on"),
            cause: None,
        }
    }

    /// The server took longer than `commandTimeout`.
    pub fn timeout(call: &str, server: &str, limit: Duration) -> StoreError {
        StoreError {
            code: "ETIMEDOUT".into(),
            message: format!(
                "{call}: Redis at {server} did not answer within {} ms (commandTimeout)",
                limit.as_millis()
            ),
            cause: None,
        }
    }

    /// There was no connection for the whole of `commandTimeout`.
    pub fn unreachable(
        call: &str,
        server: &str,
        limit: Duration,
        last: Option<&ConnectError>,
    ) -> StoreError {
        let limit = limit.as_millis();
        let code = last.map_or("ETIMEDOUT", |last| &last.code);
        let found = match code {
            "READONLY" => "no connection to a master of Redis",
            _ => "no connection to Redis",
        };
        let said = format!("{call}: {found} at {server} within {limit} ms (commandTimeout)");
        StoreError {
            code: code.into(),
            message: match last {
                Some(ConnectError { code, reason }) => format!("{said}: {reason}{}", advice(code)),
                None => said,
            },
            cause: last.map(|last| last.reason.clone()),
        }
    }

    /// There is no connection, and calls are not to wait for one (`onUnavailable`).
    pub fn away(call: &str, server: &str, trouble: &ConnectError) -> StoreError {
        let ConnectError { code, reason } = trouble;
        StoreError {
            code: code.clone(),
            message: format!(
                "{call}: no connection to Redis at {server}: {reason}{}",
                advice(code)
            ),
            cause: Some(reason.clone()),
        }
    }

    /// The nodes of a cluster have sent a call to and fro.
    pub fn redirected(call: &str, server: &str) -> StoreError {
        StoreError {
            code: "MOVED".into(),
            message: format!(
                "{call}: the nodes of {server} do not agree which of them has the session"
            ),
            cause: None,
        }
    }

    /// The connection broke under a call that cannot be sent again.
    pub fn connection_lost(call: &str, server: &str) -> StoreError {
        StoreError {
            code: "ECONNRESET".into(),
            message: format!("{call}: the connection to Redis at {server} was lost"),
            cause: None,
        }
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

    /// The server answered with an error.
    pub fn server(call: &str, server: &str, error: &ServerError) -> StoreError {
        let code = word(error.code());
        let details = error.details().unwrap_or_default();
        let text = match error.code() {
            own if own == code => details.to_string(),
            other => format!("{other} {details}"),
        };
        // Redis repeats the arguments of a command it does not know, the key among them.
        let details = text
            .split(", with args beginning with")
            .next()
            .unwrap_or_default();
        StoreError {
            code: code.into(),
            message: format!(
                "{call}: Redis at {server} answered {code} {details}{}",
                advice(code)
            ),
            cause: Some(format!("{code} {details}").into()),
        }
    }

    /// The error without a secret that the server may have repeated.
    pub fn without(mut self, secret: &[u8]) -> StoreError {
        self.message = hide(&self.message, secret);
        self.cause = self.cause.map(|cause| hide(&cause, secret).into());
        self
    }

    /// The server's answer is not one the command can have.
    pub fn unexpected(call: &str, server: &str) -> StoreError {
        StoreError {
            code: "EPROTO".into(),
            message: format!(
                "{call}: Redis at {server} gave an answer of a kind the command does not have"
            ),
            cause: None,
        }
    }

    /// A bug of this library; the call is answered all the same.
    pub fn internal(call: &str) -> StoreError {
        StoreError {
            code: "EINTERNAL".into(),
            message: format!("{call}: internal error of connect-redis-rs, please report it"),
            cause: None,
        }
    }

    /// Does the work of one call: a panic in it is an error of this call and of nothing else.
    pub fn guard<T>(
        call: &str,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(StoreError::internal(call)))
    }
}

impl ConnectError {
    /// As [`StoreError::without`].
    pub fn without(mut self, secret: &[u8]) -> ConnectError {
        self.reason = hide(&self.reason, secret).into();
        self
    }
}

/// `text` with `…` wherever it holds `secret`.
fn hide(text: &str, secret: &[u8]) -> String {
    match std::str::from_utf8(secret) {
        Ok(secret) if !secret.is_empty() => text.replace(secret, "…"),
        _ => text.to_string(),
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> ConnectError {
        ConnectError {
            code: io_code(error.kind()).into(),
            reason: error.to_string().into(),
        }
    }
}

impl From<&RedisError> for ConnectError {
    fn from(error: &RedisError) -> ConnectError {
        let reason = match (error.detail(), error.source()) {
            (Some(detail), _) => detail.to_string(),
            (None, Some(source)) => source.to_string(),
            (None, None) => error.to_string(),
        };
        let code: &str = match error.kind() {
            _ if reason.contains("no permissions") => "NOPERM",
            ErrorKind::Server(_) | ErrorKind::Extension => word(error.code().unwrap_or_default()),
            // The crate puts the server's word into the text here.
            ErrorKind::AuthenticationFailed => ["WRONGPASS", "NOAUTH", "NOPERM"]
                .into_iter()
                .find(|code| reason.contains(code))
                .unwrap_or("WRONGPASS"),
            _ if error.is_timeout() => "ETIMEDOUT",
            _ if error.is_connection_refusal() => "ECONNREFUSED",
            _ => "ECONNRESET",
        };
        ConnectError {
            code: code.into(),
            reason: reason.into(),
        }
    }
}

const INVALID: &str = "ERR_INVALID_ARG_VALUE";

/// The word a server's error begins with, as a code: `ERR` where it is none, as what it is instead
/// may be the key or the password, and where it is the one that express-session takes for "no such
/// session".
fn word(code: &str) -> &str {
    let is_word = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    match code {
        "" | "ENOENT" => "ERR",
        code if code.chars().all(is_word) => code,
        _ => "ERR",
    }
}

/// Node's name for a kind of I/O error. A missing Unix socket counts as refused (see
/// [`StoreError::code`] for why it is not `ENOENT`).
fn io_code(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => "ECONNREFUSED",
        io::ErrorKind::TimedOut => "ETIMEDOUT",
        io::ErrorKind::PermissionDenied => "EACCES",
        io::ErrorKind::HostUnreachable => "EHOSTUNREACH",
        io::ErrorKind::NetworkUnreachable => "ENETUNREACH",
        _ => "ECONNRESET",
    }
}

/// What to do about an error, for the codes where it is known.
fn advice(code: &str) -> &'static str {
    match code {
        "ECONNREFUSED" => " (is Redis running there, and is the url right?)",
        "ENOTFOUND" => " (check the host name in the url)",
        "NOAUTH" => " (give user and password in the url)",
        "WRONGPASS" => " (check user and password in the url)",
        "NOPERM" => " (the Redis user needs more rights: docs/operating.md lists them)",
        "MOVED" | "CROSSSLOT" => {
            " (this server is part of a cluster: give it as the option cluster)"
        }
        "OOM" => {
            " (Redis is at its maxmemory: raise it; with an eviction policy sessions would be lost)"
        }
        "MISCONF" => " (Redis cannot write its data to disk, and so takes no writes: see its log)",
        "READONLY" => " (this server is a replica: connect to its master)",
        "WRONGTYPE" => " (something else than a session is stored at this key)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_socket_is_refused_and_never_enoent() {
        let error = ConnectError::from(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(&*error.code, "ECONNREFUSED");
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
        assert_eq!(&*error.code, "ECONNREFUSED");
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
        let last = ConnectError {
            code: "READONLY".into(),
            reason: "READONLY You can't write against a read only replica.".into(),
        };
        let limit = Duration::from_secs(5);
        let error = StoreError::unreachable("set", "here:1", limit, Some(&last));
        assert_eq!(&*error.code, "READONLY");
        assert_eq!(
            error.message,
            "set: no connection to a master of Redis at here:1 within 5000 ms (commandTimeout): \
             READONLY You can't write against a read only replica. \
             (this server is a replica: connect to its master)"
        );
    }

    #[test]
    fn a_secret_the_server_repeats_is_left_out() {
        let error = ConnectError {
            code: "ERR".into(),
            reason: "bad AUTH me hunter2".into(),
        };
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
        assert_eq!(&*repeated.code, "ERR");
        assert_eq!(
            repeated.message,
            "get: Redis at here answered ERR … is not here"
        );
        assert_eq!(&*server(b"-\r\n").code, "ERR");
        assert_eq!(&*server(b"-ENOENT no such thing\r\n").code, "ERR");
        assert_eq!(&*server(b"-WRONGTYPE x\r\n").code, "WRONGTYPE");
    }

    #[test]
    fn bad_arguments_are_type_errors() {
        assert!(StoreError::invalid("x").is_invalid_argument());
        assert!(!StoreError::closed("get").is_invalid_argument());
    }
}
