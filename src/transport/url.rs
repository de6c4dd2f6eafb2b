//! Where a url says that a server is, and how to log in there.

use std::path::PathBuf;

use redis::{ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo};

use crate::error::ServerName;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq)]
pub enum Address {
    Tcp(String, u16),
    Unix(PathBuf),
}

impl Address {
    /// `host:port` or the path of the socket: what messages call the server.
    pub fn name(&self) -> ServerName {
        match self {
            Address::Tcp(host, port) if host.contains(':') => format!("[{host}]:{port}").into(),
            Address::Tcp(host, port) => format!("{host}:{port}").into(),
            Address::Unix(path) => path.to_string_lossy().into(),
        }
    }
}

/// What a url says of a server.
pub struct Url {
    pub address: Address,
    pub login: RedisConnectionInfo,
    pub is_tls: bool,
}

impl Url {
    /// Reads a `redis[s]://[user:password@]host[:port][/db]` or
    /// `unix:///path[?db=&user=&pass=]` url. The error says what is wrong with it, without
    /// repeating any of it: it may hold a password.
    pub fn parse(url: &str) -> Result<Url, String> {
        const FORM: &str = "it must look like redis://[user:password@]host[:port][/database], \
                            rediss://… for TLS, or unix:///path/to/socket";
        let Some((url_scheme, rest)) = scheme(url) else {
            return Err(FORM.into());
        };
        let is_tls = match &*url_scheme.to_ascii_lowercase() {
            "redis" | "valkey" | "unix" | "redis+unix" | "valkey+unix" => false,
            "rediss" | "valkeys" => true,
            other => return Err(format!("{other}:// is no scheme for Redis: {FORM}")),
        };
        if ends_in_its_login(url) {
            return Err(format!(
                "/ ? # and @ in its password are written %2F %3F %23 and %40: {FORM}"
            ));
        }
        // TLS is spoken here, so that the crate need not know of it.
        let plain = if is_tls {
            format!("redis://{rest}")
        } else {
            url.to_string()
        };
        if let Some(parameter) = unused_parameter(&plain) {
            return Err(format!(
                "its parameter {parameter} is not known; the database is given as /number"
            ));
        }
        let info = plain.into_connection_info().map_err(|error| {
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
        Ok(Url {
            address,
            login: info.redis_settings().clone(),
            is_tls,
        })
    }
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

/// Whether a password ends the host too early, by a character that must not stand in one as it is:
/// then the rest of it would be taken for a parameter, and be named, or a part of it for the host.
fn ends_in_its_login(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    let is_path = scheme.to_ascii_lowercase().ends_with("unix");
    !is_path
        && rest
            .split_once(['/', '?', '#'])
            .is_some_and(|(_, after_host)| after_host.contains('@'))
}

/// The parts of a url before and after `://`, if there is one.
fn scheme(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '+';
    (!scheme.is_empty() && scheme.chars().all(is_word)).then_some((scheme, rest))
}

/// The crate's words for a bad url, without what it appends of the url itself.
fn describe(error: &str) -> &str {
    let words = error.split(" - ").next().unwrap_or(error);
    words.strip_suffix(&[':', ' '][..]).unwrap_or(words)
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
        assert_eq!(full.login.username(), Some("me"));
        assert_eq!(full.login.password(), Some("p@ss"));
        assert_eq!(full.login.db(), 3);
        assert_eq!(
            &*parse("REDIS://localhost").address.name(),
            "localhost:6379"
        );
        assert_eq!(&*parse("redis://[::1]:7000").address.name(), "[::1]:7000");
        assert!(parse("rediss://localhost").is_tls);
        assert_eq!(
            &*parse("unix:///tmp/r.sock?db=2").address.name(),
            "/tmp/r.sock"
        );
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
            "rediss://u:secret@host:x",
            "redis://u:secret@host?db=2",
            "redis://u:1?secret=x@host",
            "redis://u:p@secret#@host",
            "redis://u:p@secret/@host",
            "unix:///tmp/x?pass=secret&database=2",
        ] {
            let error = Url::parse(url)
                .err()
                .unwrap_or_else(|| panic!("{url} taken"));
            assert!(!error.contains("secret"), "{error}");
            assert!(!error.is_empty());
        }
    }
}
