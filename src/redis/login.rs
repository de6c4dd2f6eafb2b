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

/// Logs in over a fresh connection, in one round trip. Returns whether the server says that it is a
/// master; false over RESP2, which has no word for it.
pub async fn log_in(
    sender: &Sender,
    login: &RedisConnectionInfo,
    protocol: Protocol,
) -> RedisResult<bool> {
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
) -> RedisResult<bool> {
    let password = login.password().map(str::as_bytes);
    let mut batch = Batch::default();
    match (protocol, password, user.map(str::as_bytes)) {
        (Protocol::Resp3, None, None) => batch.add(&[b"HELLO", b"3"]),
        // A user may have no password (`nopass`): then any will do.
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
    let is_master = replies.first().is_some_and(is_of_master);
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
    Ok(is_master)
}

/// Whether an answer to HELLO is that of a master.
fn is_of_master(hello: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::BulkString(text) => text.clone(),
        Value::SimpleString(text) => text.clone().into(),
        _ => Vec::new(),
    };
    let Value::Map(said) = hello else {
        return false;
    };
    said.iter()
        .any(|(name, value)| text(name) == b"role" && text(value) == b"master")
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

#[cfg(test)]
mod tests {
    use super::super::wire::open;
    use super::*;
    use crate::error::ConnectError;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::runtime::Builder;

    /// What a login says to a server that gives these answers, one a round trip, and its outcome.
    fn told(
        login: &RedisConnectionInfo,
        protocol: Protocol,
        answers: &[&str],
    ) -> (Vec<String>, RedisResult<bool>) {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (ours, mut server) = duplex(4096);
            let (sender, driver) = open(ours, None);
            let serve = async {
                let mut told = Vec::new();
                for answer in answers {
                    let mut read = [0; 4096];
                    let length = server.read(&mut read).await.unwrap();
                    let words = String::from_utf8_lossy(&read[..length]);
                    let words = words
                        .split("\r\n")
                        .filter(|word| !word.starts_with(['*', '$']) && !word.is_empty());
                    told.push(words.collect::<Vec<_>>().join(" "));
                    server.write_all(answer.as_bytes()).await.unwrap();
                }
                told
            };
            let login = log_in(&sender, login, protocol);
            let both = async { tokio::join!(serve, login) };
            tokio::select! {
                both = both => both,
                () = driver => panic!("the wire has ended"),
            }
        })
    }

    fn login() -> RedisConnectionInfo {
        RedisConnectionInfo::default()
    }

    fn code(result: RedisResult<bool>) -> String {
        ConnectError::from(&result.unwrap_err()).code.to_string()
    }

    /// What follows the login proper.
    fn with_library(said: &str) -> Vec<String> {
        let version = env!("CARGO_PKG_VERSION");
        let library = "CLIENT SETINFO LIB-NAME connect-redis-rs CLIENT SETINFO LIB-VER";
        vec![format!("{said}{library} {version}")]
    }

    const OLD: &str = "-ERR unknown command\r\n";

    #[test]
    fn resp3_begins_with_hello_and_a_password_alone_is_the_default_users() {
        let hello = "%1\r\n+proto\r\n:3\r\n";
        let old_client = format!("{hello}{OLD}{OLD}");
        let (said, result) = told(&login(), Protocol::Resp3, &[&old_client]);
        assert_eq!((said, result), (with_library("HELLO 3 "), Ok(false)));
        let named = login().set_username("me");
        let (said, result) = told(&named, Protocol::Resp3, &[&old_client]);
        assert_eq!(
            (said, result),
            (with_library("HELLO 3 AUTH me "), Ok(false))
        );
        let all = format!("{hello}+OK\r\n+OK\r\n+OK\r\n");
        let info = login().set_password("pw").set_db(7);
        let (said, result) = told(&info, Protocol::Resp3, &[&all]);
        let expected = with_library("HELLO 3 AUTH default pw SELECT 7 ");
        assert_eq!((said, result), (expected, Ok(false)));
    }

    #[test]
    fn a_master_says_so_in_its_answer_to_hello() {
        for (role, is_master) in [("master", true), ("replica", false)] {
            let hello = format!("%2\r\n+proto\r\n:3\r\n$4\r\nrole\r\n+{role}\r\n{OLD}{OLD}");
            let (_, result) = told(&login(), Protocol::Resp3, &[&hello]);
            assert_eq!(result, Ok(is_master));
        }
    }

    #[test]
    fn resp2_says_auth_and_leaves_the_user_out_where_there_are_none() {
        let (said, _) = told(&login(), Protocol::Resp2, &["+OK\r\n+OK\r\n"]);
        assert_eq!(said, with_library(""));
        let info = login().set_password("pw");
        let (said, _) = told(&info, Protocol::Resp2, &["+OK\r\n+OK\r\n+OK\r\n"]);
        assert_eq!(said, with_library("AUTH pw "));
        let refusal = "-ERR wrong number of arguments for 'auth' command\r\n";
        let answers = [&*format!("{refusal}{OLD}{OLD}"), "+OK\r\n+OK\r\n+OK\r\n"];
        let (said, result) = told(&info.set_username("me"), Protocol::Resp2, &answers);
        let expected = [with_library("AUTH me pw "), with_library("AUTH pw ")].concat();
        assert_eq!((said, result), (expected, Ok(false)));
    }

    #[test]
    fn the_first_refusal_is_the_reason() {
        let info = login().set_password("pw").set_db(99);
        for (protocol, answers, expected) in [
            (Protocol::Resp3, ["WRONGPASS no", "NOAUTH no"], "WRONGPASS"),
            (Protocol::Resp3, ["NOPERM no", "NOAUTH no"], "NOPERM"),
            (Protocol::Resp2, ["WRONGPASS no", "NOAUTH no"], "WRONGPASS"),
            (
                Protocol::Resp2,
                ["ERR invalid password", "NOAUTH no"],
                "WRONGPASS",
            ),
        ] {
            let [first, second] = answers;
            let answers = format!("-{first}\r\n-{second}\r\n{OLD}{OLD}");
            let (_, result) = told(&info, protocol, &[&answers]);
            assert_eq!(code(result), expected);
        }
        let answers = format!("+OK\r\n-ERR DB index is out of range\r\n{OLD}{OLD}");
        let (_, result) = told(&info, Protocol::Resp3, &[&answers]);
        let error = ConnectError::from(&result.unwrap_err());
        assert_eq!(&*error.reason, "DB index is out of range");
    }
}
