//! What a server is told first: the protocol, who comes, and to which database.

use redis::{ErrorKind, RedisConnectionInfo, RedisError, RedisResult, ServerError, Value};

use super::Sender;
use super::resp::Batch;

/// What `CLIENT LIST` shows as the library.
const LIBRARY: &str = "connect-redis-rs";

/// The versions of Redis's protocol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Protocol {
    Resp2,
    /// By HELLO, of Redis 6.
    Resp3,
}

/// Logs in over a fresh connection, in one round trip.
pub async fn log_in(
    sender: &Sender,
    login: &RedisConnectionInfo,
    protocol: Protocol,
) -> RedisResult<()> {
    let user = login.username();
    match greet(sender, login, protocol, user).await {
        Err(error) if protocol == Protocol::Resp2 && user.is_some() && knows_no_users(&error) => {
            greet(sender, login, protocol, None).await
        }
        greeted => greeted,
    }
}

async fn greet(
    sender: &Sender,
    login: &RedisConnectionInfo,
    protocol: Protocol,
    user: Option<&str>,
) -> RedisResult<()> {
    let password = login.password().map(str::as_bytes);
    let mut batch = Batch::default();
    match (protocol, password, user.map(str::as_bytes)) {
        (Protocol::Resp3, None, _) => batch.add(&[b"HELLO", b"3"]),
        (Protocol::Resp3, Some(password), user) => {
            let user = user.unwrap_or(b"default");
            batch.add(&[b"HELLO", b"3", b"AUTH", user, password]);
        }
        (Protocol::Resp2, Some(password), None) => batch.add(&[b"AUTH", password]),
        (Protocol::Resp2, Some(password), Some(user)) => batch.add(&[b"AUTH", user, password]),
        (Protocol::Resp2, None, _) => {}
    }
    let first = batch.replies();
    if login.db() != 0 {
        batch.add(&[b"SELECT", login.db().to_string().as_bytes()]);
    }
    let needed = batch.replies();
    // Redis before 7.2 does not know it, and a user need not have the right.
    let set_info = |batch: &mut Batch, name: &[u8], value: &str| {
        batch.add(&[b"CLIENT", b"SETINFO", name, value.as_bytes()]);
    };
    set_info(&mut batch, b"LIB-NAME", LIBRARY);
    set_info(&mut batch, b"LIB-VER", env!("CARGO_PKG_VERSION"));
    let replies = sender.send(batch).await?;
    for (place, reply) in replies.into_iter().take(needed).enumerate() {
        if let Value::ServerError(error) = reply {
            let is_auth = protocol == Protocol::Resp2 && place < first;
            return Err(if is_auth {
                refused(&error)
            } else {
                error.into()
            });
        }
    }
    Ok(())
}

/// What AUTH says, which has no word of its own for it before Redis 6.
fn refused(error: &ServerError) -> RedisError {
    let said = format!("{} {}", error.code(), error.details().unwrap_or_default());
    (ErrorKind::AuthenticationFailed, "AUTH was refused", said).into()
}

/// Whether a server is from before there were users, which is Redis 6.
fn knows_no_users(error: &RedisError) -> bool {
    error
        .detail()
        .is_some_and(|said| said.contains("wrong number of arguments for 'auth' command"))
}
