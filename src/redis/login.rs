//! Logs in over a fresh connection: HELLO or AUTH, SELECT, and the library's name.

use redis::{ErrorKind, RedisConnectionInfo, RedisError, RedisResult, ServerError, Value};

use super::resp::Batch;
use super::wire::Sender;

/// What `CLIENT LIST` shows as the library.
const LIBRARY: &str = "connect-redis-rs";

/// The version of Redis's protocol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Protocol {
    Resp2,
    /// Asked for by HELLO, since Redis 6.
    Resp3,
}

/// Logs in over a fresh connection, in one round trip. Returns whether the server says that it is a
/// master; false over RESP2, in which a login has no such reply.
pub async fn log_in(
    sender: &Sender,
    login: &RedisConnectionInfo,
    protocol: Protocol,
) -> RedisResult<bool> {
    let user = login.username();
    match log_in_as(user, sender, login, protocol).await {
        Err(error) if protocol == Protocol::Resp2 && user.is_some() && lacks_users(&error) => {
            log_in_as(None, sender, login, protocol).await
        }
        result => result,
    }
}

async fn log_in_as(
    user: Option<&str>,
    sender: &Sender,
    login: &RedisConnectionInfo,
    protocol: Protocol,
) -> RedisResult<bool> {
    let password = login.password().map(str::as_bytes);
    let mut batch = Batch::default();
    match (protocol, password, user.map(str::as_bytes)) {
        (Protocol::Resp3, None, None) => batch.add(&[b"HELLO", b"3"]),
        // A user without a password (`nopass`) is logged in with any password.
        (Protocol::Resp3, password, user) => {
            let (user, password) = (user.unwrap_or(b"default"), password.unwrap_or_default());
            batch.add(&[b"HELLO", b"3", b"AUTH", user, password]);
        }
        (Protocol::Resp2, Some(password), None) => batch.add(&[b"AUTH", password]),
        (Protocol::Resp2, password, Some(user)) => {
            batch.add(&[b"AUTH", user, password.unwrap_or_default()]);
        }
        (Protocol::Resp2, None, None) => {}
    }
    let auth_replies = batch.replies();
    if login.db() != 0 {
        batch.add(&[b"SELECT", login.db().to_string().as_bytes()]);
    }
    let required_replies = batch.replies();
    // May fail: Redis before 7.2 does not know the command, and the user may lack the right.
    let set_info = |batch: &mut Batch, name: &[u8], value: &str| {
        batch.add(&[b"CLIENT", b"SETINFO", name, value.as_bytes()]);
    };
    set_info(&mut batch, b"LIB-NAME", LIBRARY);
    set_info(&mut batch, b"LIB-VER", env!("CARGO_PKG_VERSION"));
    let replies = sender.send(batch).await?;
    let is_master = replies.first().is_some_and(says_master);
    for (index, reply) in replies.into_iter().take(required_replies).enumerate() {
        if let Value::ServerError(error) = reply {
            let is_auth = protocol == Protocol::Resp2 && index < auth_replies;
            return Err(if is_auth {
                auth_error(&error)
            } else {
                error.into()
            });
        }
    }
    Ok(is_master)
}

/// Whether a reply to HELLO is that of a master.
fn says_master(hello: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::BulkString(text) => text.clone(),
        Value::SimpleString(text) => text.clone().into(),
        _ => Vec::new(),
    };
    let Value::Map(fields) = hello else {
        return false;
    };
    fields
        .iter()
        .any(|(name, value)| text(name) == b"role" && text(value) == b"master")
}

/// AUTH's error. Before Redis 6 its first word is ERR, as for any other error.
fn auth_error(error: &ServerError) -> RedisError {
    let text = format!("{} {}", error.code(), error.details().unwrap_or_default());
    (ErrorKind::AuthenticationFailed, "AUTH was refused", text).into()
}

/// Whether a server is older than Redis 6, which brought users.
fn lacks_users(error: &RedisError) -> bool {
    error
        .detail()
        .is_some_and(|text| text.contains("wrong number of arguments for 'auth' command"))
}

#[cfg(test)]
mod tests {
    use super::super::test_network::TestPeer;
    use super::super::wire::{WireListener, open};
    use super::*;
    use crate::error::{Code, ConnectError};
    use tokio::io::duplex;

    const HELLO: &str = "%1\r\n+proto\r\n:3\r\n";
    const OLD: &str = "-ERR unknown command\r\n";
    const OK: &str = "+OK\r\n";

    /// Logs in to a server that has these replies, and returns the commands that it got and the
    /// outcome. The library's name and version, which every login sends, are checked and left out.
    async fn commands_of(
        login: &RedisConnectionInfo,
        protocol: Protocol,
        replies: &[&str],
    ) -> (Vec<String>, RedisResult<bool>) {
        let (ours, theirs) = duplex(4096);
        let (sender, driver) = open(ours, WireListener::Nobody);
        let driver = tokio::spawn(driver);
        let mut server = TestPeer::over(theirs, "server");
        let script = async {
            let mut commands = Vec::new();
            for reply in replies {
                let command = server.command().await.unwrap().join(" ");
                if let Some(library) = command.strip_prefix("CLIENT SETINFO ") {
                    let version = concat!("LIB-VER ", env!("CARGO_PKG_VERSION"));
                    assert!(["LIB-NAME connect-redis-rs", version].contains(&library));
                } else {
                    commands.push(command);
                }
                server.reply(reply).await;
            }
            commands
        };
        let (commands, result) = tokio::join!(script, log_in(&sender, login, protocol));
        driver.abort();
        (commands, result)
    }

    fn login() -> RedisConnectionInfo {
        RedisConnectionInfo::default()
    }

    #[tokio::test]
    async fn resp3_sends_hello_with_the_login_and_a_password_alone_is_the_default_users() {
        let user = login().set_username("me");
        let password = login().set_password("pw");
        let both = user.clone().set_password("pw").set_db(7);
        for (login, commands) in [
            (login(), &["HELLO 3"][..]),
            (user, &["HELLO 3 AUTH me "]),
            (password, &["HELLO 3 AUTH default pw"]),
            (both, &["HELLO 3 AUTH me pw", "SELECT 7"]),
        ] {
            let mut replies = vec![HELLO, OK, OK, OK];
            replies.truncate(commands.len() + 2);
            let (got, result) = commands_of(&login, Protocol::Resp3, &replies).await;
            assert_eq!(got, commands);
            assert_eq!(result, Ok(false));
        }
    }

    #[tokio::test]
    async fn a_server_that_does_not_know_client_setinfo_is_logged_in_to() {
        let (_, result) = commands_of(&login(), Protocol::Resp3, &[HELLO, OLD, OLD]).await;
        assert_eq!(result, Ok(false));
    }

    #[tokio::test]
    async fn a_master_says_so_in_its_reply_to_hello() {
        for (role, is_master) in [("master", true), ("replica", false)] {
            let hello = format!("%2\r\n+proto\r\n:3\r\n$4\r\nrole\r\n+{role}\r\n");
            let replies = [&hello, OLD, OLD];
            let (_, result) = commands_of(&login(), Protocol::Resp3, &replies).await;
            assert_eq!(result, Ok(is_master));
        }
    }

    #[tokio::test]
    async fn resp2_sends_auth_with_one_or_two_arguments() {
        let password = login().set_password("pw");
        let both = password.clone().set_username("me").set_db(2);
        for (login, commands) in [
            (login(), &[][..]),
            (login().set_db(1), &["SELECT 1"]),
            (password, &["AUTH pw"]),
            (both, &["AUTH me pw", "SELECT 2"]),
        ] {
            let replies = vec![OK; commands.len() + 2];
            let (got, result) = commands_of(&login, Protocol::Resp2, &replies).await;
            assert_eq!(got, commands);
            assert_eq!(result, Ok(false));
        }
    }

    #[tokio::test]
    async fn resp2_leaves_the_user_out_if_the_server_has_no_users() {
        let refusal = "-ERR wrong number of arguments for 'auth' command\r\n";
        let login = login().set_username("me").set_password("pw");
        let replies = [refusal, OLD, OLD, OK, OLD, OLD];
        let (commands, result) = commands_of(&login, Protocol::Resp2, &replies).await;
        assert_eq!(commands, ["AUTH me pw", "AUTH pw"]);
        assert_eq!(result, Ok(false));
    }

    #[tokio::test]
    async fn the_first_error_is_the_reason() {
        let login = login().set_password("pw").set_db(99);
        for (protocol, auth, code) in [
            (Protocol::Resp3, "-WRONGPASS no\r\n", Code::WrongPassword),
            (Protocol::Resp3, "-NOPERM no\r\n", Code::NoPermission),
            (Protocol::Resp2, "-WRONGPASS no\r\n", Code::WrongPassword),
            (
                Protocol::Resp2,
                "-ERR invalid password\r\n",
                Code::WrongPassword,
            ),
        ] {
            let replies = [auth, "-NOAUTH no\r\n", OLD, OLD];
            let (_, result) = commands_of(&login, protocol, &replies).await;
            assert_eq!(ConnectError::from(&result.unwrap_err()).code, code);
        }
        let replies = [OK, "-ERR DB index is out of range\r\n", OLD, OLD];
        let (_, result) = commands_of(&login, Protocol::Resp3, &replies).await;
        let error = ConnectError::from(&result.unwrap_err());
        assert_eq!(&*error.reason, "DB index is out of range");
    }
}
