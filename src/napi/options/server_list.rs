//! Servers as the app names them: by a url, `"host:port"`, or `{ host, port }`.

use napi::{Unknown, ValueType};

use crate::napi::options::reader::Reader;
use crate::napi::raw::{self, JsResult};
use crate::redis::{Server, ServerFromUrl, Timeouts};

const DEFAULT_URL: &str = "redis://localhost:6379";

/// What a server of a list must be.
const A_SERVER: &str = "a url, \"host:port\" or { host, port }";

impl<'e> Reader<'e, '_> {
    /// Reads a list of servers.
    pub fn servers(
        &self,
        option: &str,
        listed: &Unknown<'e>,
        default_port: u16,
    ) -> JsResult<'e, Vec<ServerFromUrl>> {
        let Some(listed) = raw::elements(self.env, listed).filter(|listed| !listed.is_empty())
        else {
            return Err(self.wrong(
                option,
                &format!("a list with one server or more, each {A_SERVER}"),
                listed,
            ));
        };
        let mut servers = Vec::with_capacity(listed.len());
        for (place, server) in listed.iter().enumerate() {
            let option = format!("{option}[{place}]");
            servers.push(self.server(&option, server, default_port)?);
        }
        Ok(servers)
    }

    fn server(
        &self,
        option: &str,
        given: &Unknown<'e>,
        default_port: u16,
    ) -> JsResult<'e, ServerFromUrl> {
        match raw::kind(given) {
            ValueType::String => {
                let text = raw::text(self.env, given)?;
                if text.contains("://") {
                    return self.listed_url(option, &text);
                }
                let text = text.trim();
                let (host, port) = match text.rsplit_once(':') {
                    Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                        (host, port.parse().ok())
                    }
                    _ => (text, Some(default_port)),
                };
                let host = host.trim_start_matches('[').trim_end_matches(']');
                match port {
                    Some(port) if !host.is_empty() => Ok(plain(Server::tcp(host.into(), port))),
                    _ => Err(self.wrong(option, A_SERVER, given)),
                }
            }
            ValueType::Object => {
                for name in ["href", "url"] {
                    if let Some(url) = self.string(given, name)? {
                        return self.listed_url(option, &url);
                    }
                }
                let port = self.option(given, "port")?;
                let port = match raw::kind(&port) {
                    ValueType::Undefined => default_port,
                    ValueType::Number if (1.0..=65535.0).contains(&raw::number(&port)) => {
                        raw::number(&port) as u16
                    }
                    _ => return Err(self.wrong(&format!("{option}.port"), "a port", &port)),
                };
                match self.string(given, "host")? {
                    Some(host) if !host.is_empty() => Ok(plain(Server::tcp(host, port))),
                    _ => Err(self.wrong(option, A_SERVER, given)),
                }
            }
            _ => Err(self.wrong(option, A_SERVER, given)),
        }
    }

    /// Reads the option `url`; localhost if it is not given.
    pub fn url(&self, url: Option<Unknown<'e>>) -> JsResult<'e, ServerFromUrl> {
        let Some(url) = url else {
            return self.server_of_url("url", DEFAULT_URL);
        };
        let text = match raw::kind(&url) {
            ValueType::String => raw::text(self.env, &url)?,
            ValueType::Object => match self.string(&url, "href") {
                Ok(Some(href)) => href,
                _ => return Err(self.wrong("url", "a string or a URL", &url)),
            },
            _ => return Err(self.wrong("url", "a string or a URL", &url)),
        };
        self.server_of_url("url", &text)
    }

    fn server_of_url(&self, option: &str, url: &str) -> JsResult<'e, ServerFromUrl> {
        Server::from_url(url)
            .map_err(|reason| self.refuse(format!("the option {option} cannot be used: {reason}")))
    }

    /// Reads a url in a list of servers, which must not say how long the store waits.
    fn listed_url(&self, option: &str, url: &str) -> JsResult<'e, ServerFromUrl> {
        let server = self.server_of_url(option, url)?;
        let Timeouts { command, connect } = server.timeouts;
        let of_store = command
            .map(|_| "commandTimeout")
            .or(connect.map(|_| "connectTimeout"));
        match of_store {
            Some(name) => Err(self.refuse(format!(
                "the option {option} cannot be used: its parameter {name} is the store's, not a \
                 server's: give it as an option"
            ))),
            None => Ok(server),
        }
    }
}

/// A server without TLS and timeouts.
pub fn plain(server: Server) -> ServerFromUrl {
    ServerFromUrl {
        server,
        is_tls: false,
        timeouts: Timeouts::default(),
    }
}
