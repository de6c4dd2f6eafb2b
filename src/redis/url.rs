//! Reads a url: the address of a server, and how to log in. It is read as node-redis reads it, its
//! parameters as ioredis reads them.

use std::path::PathBuf;

use crate::error::ServerName;

const DEFAULT_HOST: &str = "localhost";
const DEFAULT_PORT: u16 = 6379;
/// The longest name of a parameter that a message repeats.
const MAX_SHOWN: usize = 40;
/// The longest time of a timer in Node.
const MAX_MS: f64 = 2_147_483_647.0;

const FORM: &str = "it must look like redis://[user:password@]host[:port][/database], \
                    rediss://… for TLS, or unix:///path/to/socket";
/// The parameters that are read.
const KNOWN: &str = "db, user, pass, family, connectionName, connectTimeout, commandTimeout";
/// Parameters of ioredis, and one of the redis crate, that are ignored because they make no difference
/// here.
const IGNORED: [&str; 7] = [
    "allowUsernameInURI",
    "enableReadyCheck",
    "keepAlive",
    "lazyConnect",
    "noDelay",
    "protocol",
    "showFriendlyErrorStack",
];

/// Where a server listens.
#[derive(Clone, Debug, PartialEq)]
pub enum Address {
    Tcp(String, u16),
    Unix(PathBuf),
}

impl Address {
    /// What messages call the server: `host:port` or the path of the socket.
    pub fn name(&self) -> ServerName {
        match self {
            Address::Tcp(host, port) if host.contains(':') => format!("[{host}]:{port}").into(),
            Address::Tcp(host, port) => format!("{host}:{port}").into(),
            Address::Unix(path) => path.to_string_lossy().into(),
        }
    }
}

/// Which addresses of a host to use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Family {
    #[default]
    Any,
    V4,
    V6,
}

/// What a url says about a server.
#[derive(Debug, PartialEq)]
pub struct Url {
    pub address: Address,
    pub family: Family,
    pub is_tls: bool,
    /// `None` also if it is empty, as for node-redis.
    pub username: Option<String>,
    /// `None` also if it is empty.
    pub password: Option<String>,
    pub database: Option<i64>,
    /// What `CLIENT LIST` shows as the connection's name.
    pub client_name: Option<String>,
    pub timeouts: Timeouts,
}

/// The time limits that a url may give, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timeouts {
    pub command: Option<f64>,
    pub connect: Option<f64>,
}

impl Url {
    /// Reads a url `redis[s]://[user:password@][host][:port][/database]` or
    /// `unix://[user:password@]/path`, with or without parameters. The error says what is wrong. It
    /// repeats nothing of the url but a parameter's name, because the url may hold a password.
    pub fn parse(url: &str) -> Result<Url, String> {
        // The same as in `new URL()`.
        let url: String = url
            .trim_matches(|c: char| c <= ' ')
            .chars()
            .filter(|c| !matches!(c, '\t' | '\n' | '\r'))
            .collect();
        let Some((scheme, rest)) = scheme(&url) else {
            return Err(FORM.into());
        };
        match &*scheme.to_ascii_lowercase() {
            "redis" | "valkey" => Url::parse_tcp(rest, false),
            "rediss" | "valkeys" => Url::parse_tcp(rest, true),
            "unix" | "redis+unix" | "valkey+unix" => Url::parse_unix(rest),
            other => Err(format!("{other}:// is not a scheme of Redis: {FORM}")),
        }
    }

    fn parse_tcp(rest: &str, is_tls: bool) -> Result<Url, String> {
        if login_has_bare_delimiter(rest) {
            return Err(format!(
                "/ ? # and @ in its password must be written %2F %3F %23 and %40: {FORM}"
            ));
        }
        // The redis crate's parser reads the host by the same standard as Node's.
        let parsed = redis::parse_redis_url(&format!("redis://{rest}")).ok_or(FORM)?;
        let host = parsed.host_str().unwrap_or_default();
        let host = match host.trim_start_matches('[').trim_end_matches(']') {
            "" => DEFAULT_HOST, // as for `net.connect`
            host => host,
        };
        let port = parsed.port().unwrap_or(DEFAULT_PORT);
        let mut url = Url::at(Address::Tcp(host.into(), port));
        url.is_tls = is_tls;
        for (name, value) in parsed.query_pairs() {
            url.set(&name, &value)?;
        }
        url.log_in(parsed.username(), parsed.password().unwrap_or_default())?;
        let database = parsed.path().strip_prefix('/').unwrap_or_default();
        if !database.is_empty() {
            url.database =
                Some(number(database).ok_or("the database after its / is not a number")?);
        }
        Ok(url)
    }

    fn parse_unix(rest: &str) -> Result<Url, String> {
        let rest = rest.split('#').next().unwrap_or_default();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, path) = rest.split_at(rest.find('/').ok_or(FORM)?);
        let path = decode(path).ok_or("a % in its path must be written %25")?;
        if path == "/" {
            return Err(FORM.into());
        }
        let mut url = Url::at(Address::Unix(path.into()));
        let parameters = redis::parse_redis_url(&format!("redis://_/?{query}")).ok_or(FORM)?;
        for (name, value) in parameters.query_pairs() {
            url.set(&name, &value)?;
        }
        if !login.is_empty() {
            let (username, password) = login
                .strip_suffix('@')
                .map(|login| login.split_once(':').unwrap_or((login, "")))
                .ok_or(FORM)?;
            url.log_in(username, password)?;
        }
        Ok(url)
    }

    fn at(address: Address) -> Url {
        Url {
            address,
            family: Family::Any,
            is_tls: false,
            username: None,
            password: None,
            database: None,
            client_name: None,
            timeouts: Timeouts::default(),
        }
    }

    /// Takes the user and password before the host. They win over parameters.
    fn log_in(&mut self, username: &str, password: &str) -> Result<(), String> {
        for (to, text) in [
            (&mut self.username, username),
            (&mut self.password, password),
        ] {
            if !text.is_empty() {
                let text = decode(text).ok_or("a % in its user or password must be written %25")?;
                *to = Some(text);
            }
        }
        Ok(())
    }

    /// Takes a parameter. If a name comes twice, the last one wins.
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let must_be = |what| format!("its parameter {name} must be {what}");
        let filled = || Some(value.to_string()).filter(|value| !value.is_empty());
        let time = || match value.parse::<f64>() {
            Ok(ms) if (1.0..=MAX_MS).contains(&ms) => Ok(Some(ms)),
            _ => Err(must_be("a number of milliseconds from 1 to 2147483647")),
        };
        match name {
            "db" | "database" => {
                let number = number(value).ok_or_else(|| must_be("a number from 0"))?;
                self.database = Some(number);
            }
            "user" | "username" => self.username = filled(),
            "pass" | "password" | "auth_pass" => self.password = filled(),
            "family" => {
                self.family = match value {
                    "0" => Family::Any,
                    "4" | "IPv4" => Family::V4,
                    "6" | "IPv6" => Family::V6,
                    _ => return Err(must_be("4, 6 or 0")),
                }
            }
            "connectionName" => self.client_name = filled(),
            "connectTimeout" => self.timeouts.connect = time()?,
            "commandTimeout" => self.timeouts.command = time()?,
            _ if IGNORED.contains(&name) => {}
            "tls" | "ssl" => {
                return Err(format!(
                    "its parameter {name} is not known: write rediss:// for TLS"
                ));
            }
            "keyPrefix" | "prefix" => {
                return Err(format!(
                    "its parameter {name} is not known: give the option prefix"
                ));
            }
            _ => {
                let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
                let is_shown = name.len() <= MAX_SHOWN && name.chars().all(is_word);
                return Err(match is_shown && !name.is_empty() {
                    true => format!("its parameter {name} is not known; known are {KNOWN}"),
                    false => format!("one of its parameters is not known; known are {KNOWN}"),
                });
            }
        }
        Ok(())
    }
}

/// Parses the number of a database.
fn number(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number| *number >= 0)
}

/// The same as `decodeURIComponent`; `None` if that throws.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Whether a user or password holds a character that ends the host. Then a part of the password would
/// be read as the host or as a parameter, and a message might repeat it.
fn login_has_bare_delimiter(rest: &str) -> bool {
    rest.split_once(['/', '?', '#'])
        .is_some_and(|(_, after_host)| after_host.contains('@'))
}

/// Returns the parts of a url before and after `://`.
fn scheme(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '+';
    (!scheme.is_empty() && scheme.chars().all(is_word)).then_some((scheme, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Url {
        Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn urls_name_server_user_and_database() {
        let full = parse("redis://me:p%40ss@example.com:7000/3");
        assert_eq!(&*full.address.name(), "example.com:7000");
        assert_eq!(full.username.as_deref(), Some("me"));
        assert_eq!(full.password.as_deref(), Some("p@ss"));
        assert_eq!(full.database, Some(3));
        for (url, server) in [
            ("REDIS://localhost", "localhost:6379"),
            ("redis://[::1]:7000", "[::1]:7000"),
            (" redis://a:7000\n", "a:7000"),
            ("redis://a:7\t000/", "a:7000"),
            ("redis://", "localhost:6379"),
            ("redis:///2", "localhost:6379"),
            ("redis://0.0.0.0", "0.0.0.0:6379"),
            ("unix:///tmp/a%20b.sock", "/tmp/a b.sock"),
        ] {
            assert_eq!(&*parse(url).address.name(), server, "{url}");
        }
        assert!(parse("rediss://localhost").is_tls);
    }

    #[test]
    fn user_and_password_are_decoded_and_may_be_missing() {
        for (url, username, password) in [
            ("redis://h", None, None),
            ("redis://:@h", None, None),
            ("redis://:pw@h", None, Some("pw")),
            ("redis://me@h", Some("me"), None),
            ("redis://me:@h", Some("me"), None),
            ("redis://me:a@b@h", Some("me"), Some("a@b")),
            (
                "redis://m%C3%A9:%2F%3F%23%25@h",
                Some("m\u{e9}"),
                Some("/?#%"),
            ),
            ("redis://me:a+b^c@h", Some("me"), Some("a+b^c")),
            ("redis://h?user=me&password=a%2Bb", Some("me"), Some("a+b")),
            ("redis://you:b@h?user=me&pass=a", Some("you"), Some("b")),
            ("unix://me:p%40@/tmp/x", Some("me"), Some("p@")),
            ("unix:///tmp/x?user=me&pass=p", Some("me"), Some("p")),
        ] {
            let read = parse(url);
            let login = (read.username.as_deref(), read.password.as_deref());
            assert_eq!(login, (username, password), "{url}");
        }
    }

    #[test]
    fn parameters_are_read_and_the_path_wins_over_them() {
        let url = parse("redis://h?db=2&family=6&connectTimeout=100&commandTimeout=2e2&noDelay=x");
        assert_eq!((url.database, url.family), (Some(2), Family::V6));
        let timeouts = (url.timeouts.connect, url.timeouts.command);
        assert_eq!(timeouts, (Some(100.0), Some(200.0)));
        assert_eq!(parse("redis://h/1?db=2").database, Some(1));
        assert_eq!(parse("redis://h?db=1&db=2").database, Some(2));
        assert_eq!(parse("unix:///tmp/x?db=2").database, Some(2));
        assert_eq!(
            parse("redis://h?connectionName=web").client_name.as_deref(),
            Some("web")
        );
    }

    #[test]
    fn an_invalid_or_unknown_parameter_is_named() {
        for (url, name) in [
            ("redis://h?db=secret", "db must be"),
            ("redis://h?db=-1", "db must be"),
            ("redis://h?family=secret", "family must be"),
            ("redis://h?connectTimeout=0", "connectTimeout must be"),
            ("redis://h?ssl=secret", "rediss://"),
            ("redis://h?keyPrefix=secret", "option prefix"),
            ("redis://h?ssl_cert_reqs=secret", "parameter ssl_cert_reqs"),
            ("redis://h?%20=secret", "one of its parameters"),
        ] {
            let error = Url::parse(url).unwrap_err();
            assert!(error.contains(name), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
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
            "redis://u:secret@host/-1",
            "redis://u:secret%@host",
            "redis://u:secret%ff@host",
            "rediss://u:secret@host:x",
            "redis://u:secret@host?dv=2",
            "redis://u:1?secret=x@host",
            "redis://u:p@secret#@host",
            "redis://u:p@secret/@host",
            "unix:///tmp/x?pass=secret&name=2",
            "unix://secret/tmp/x",
            "unix:///",
        ] {
            let error = Url::parse(url)
                .err()
                .unwrap_or_else(|| panic!("{url} taken"));
            assert!(!error.contains("secret"), "{error}");
            assert!(!error.is_empty());
        }
    }
}
