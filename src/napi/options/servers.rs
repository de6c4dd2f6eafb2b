//! The options that say where Redis is: `url`, `cluster`, `sentinel`, and how to log in there.

use napi::{Unknown, ValueType};

use crate::io::engine::News;
use crate::napi::options::Reader;
use crate::napi::raw::{self, Held, Try};
use crate::redis::{
    ClusterNodes, Credential, CredentialFunction, Login, Sentinel, Server, ServerFromUrl, Target,
    Timeouts, Tls, TlsOptions, Topology,
};

const DEFAULT_URL: &str = "redis://localhost:6379";
const DEFAULT_PORT: u16 = 6379;
const DEFAULT_SENTINEL_PORT: u16 = 26379;

/// A server of a list.
const A_SERVER: &str = "a url, \"host:port\" or { host, port }";

impl<'e> Reader<'e, '_> {
    /// Where the commands go. `source` is the options of the app, or what was read from its client
    /// (`lib/client/inspect.js`), which may name a server by `host` and `port`, or `path`, too. The url
    /// may say how long things may take.
    pub fn transport(&self, source: &Unknown<'e>) -> Try<'e, (Topology, Timeouts)> {
        let given = |name| -> Try<'e, Option<Unknown<'e>>> {
            let value = self.option(source, name)?;
            Ok((raw::kind(&value) != ValueType::Undefined).then_some(value))
        };
        let login = self.login(source, ["username", "password"])?;
        let tls = self.tls(source)?;
        match (given("url")?, given("cluster")?, given("sentinel")?) {
            (url, None, None) => {
                let ServerFromUrl {
                    server,
                    is_tls,
                    timeouts,
                } = match (&url, self.server_of_client(source)?) {
                    (None, Some(server)) => plain(server),
                    _ => self.url(url)?,
                };
                let server = server
                    .with_login(&login)
                    .with_client_name(self.string(source, "name")?);
                let tls = self.decide_tls(tls, is_tls)?;
                if tls.is_some() && server.is_unix() {
                    return Err(self.refuse("tls is not spoken over a Unix socket".into()));
                }
                Ok((Topology::Single(server.with_tls(tls).into()), timeouts))
            }
            (None, Some(cluster), None) => {
                let cluster = self.cluster(&cluster, login, tls)?;
                Ok((cluster, Timeouts::default()))
            }
            (None, None, Some(sentinel)) => {
                let sentinel = self.sentinel(&sentinel, login, tls)?;
                Ok((sentinel, Timeouts::default()))
            }
            _ => Err(self.refuse("give one of url, cluster and sentinel, not several".into())),
        }
    }

    fn cluster(
        &self,
        option: &Unknown<'e>,
        login: Login,
        tls: Option<Option<Tls>>,
    ) -> Try<'e, Topology> {
        let nodes = self.servers("cluster", option, DEFAULT_PORT)?;
        let is_tls = nodes.iter().any(|node| node.is_tls);
        let tls = self.decide_tls(tls, is_tls)?;
        // All nodes are logged in to alike: as one of the urls says.
        let logins = nodes.iter().map(|node| node.server.login());
        let in_urls = logins.reduce(Login::or).unwrap_or_default();
        if login
            .database
            .or(in_urls.database)
            .is_some_and(|database| database != 0)
        {
            return Err(self.refuse("a cluster has no database but 0".into()));
        }
        let seeds = nodes.into_iter().map(|node| {
            let server = node.server.with_login(&in_urls).with_login(&login);
            server.with_tls(tls.clone())
        });
        Ok(Topology::Cluster(ClusterNodes {
            seeds: seeds.collect(),
        }))
    }

    /// `{ name, nodes, username?, password?, tls? }`. Login and TLS in it are those of the sentinels;
    /// what the options beside it do not say, the master has as the sentinels have.
    fn sentinel(
        &self,
        option: &Unknown<'e>,
        login: Login,
        tls: Option<Option<Tls>>,
    ) -> Try<'e, Topology> {
        if raw::kind(option) != ValueType::Object {
            return Err(self.wrong("sentinel", "an object { name, nodes }", option));
        }
        let master = match self.string(option, "name")? {
            Some(name) if !name.is_empty() => name,
            _ => {
                return Err(self.refuse(
                    "the option sentinel.name must say what the sentinels call the master".into(),
                ));
            }
        };
        let listed = self.option(option, "nodes")?;
        let nodes = self.servers("sentinel.nodes", &listed, DEFAULT_SENTINEL_PORT)?;
        let has_database = |node: &ServerFromUrl| node.server.login().database.unwrap_or(0) != 0;
        if nodes.iter().any(has_database) {
            return Err(self.refuse(
                "a sentinel has no database but 0: the master's is given as the option database"
                    .into(),
            ));
        }
        let their_login = Login {
            database: None,
            ..self.login(option, ["sentinel.username", "sentinel.password"])?
        };
        let is_tls = nodes.iter().any(|node| node.is_tls);
        let their_tls = self.decide_tls(self.tls(option)?, is_tls)?;
        let is_own = login.username.is_some() || login.password.is_some();
        let to_master = Server::tcp(String::new(), 0).with_tls(match tls {
            Some(own) => own,
            None => their_tls.clone(),
        });
        let to_master = if is_own {
            to_master.with_login(&login)
        } else {
            let database = login.database;
            to_master.with_optional_login(&Login {
                database,
                ..their_login.clone()
            })
        };
        let nodes = nodes.into_iter().map(|node| {
            let server = node.server.with_tls(their_tls.clone());
            if is_own {
                server.with_login(&their_login)
            } else {
                server.with_optional_login(&their_login)
            }
        });
        Ok(Topology::Single(Target::from(Sentinel {
            master,
            nodes: nodes.collect(),
            login: to_master,
        })))
    }

    /// A server that was read from an app's client.
    fn server_of_client(&self, source: &Unknown<'e>) -> Try<'e, Option<Server>> {
        // A url that an app gives has no such options beside it: they are unknown.
        if raw::boolean(&self.option(source, "isOfClient")?) != Some(true) {
            return Ok(None);
        }
        Ok(Some(match self.string(source, "path")? {
            Some(path) => Server::unix(path.into()),
            None => {
                let host = self.string(source, "host")?.unwrap_or_default();
                Server::tcp(host, raw::number(&self.option(source, "port")?) as u16)
            }
        }))
    }

    /// The servers of a list.
    fn servers(
        &self,
        option: &str,
        listed: &Unknown<'e>,
        default_port: u16,
    ) -> Try<'e, Vec<ServerFromUrl>> {
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
    ) -> Try<'e, ServerFromUrl> {
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

    /// The server of the option `url`.
    fn url(&self, url: Option<Unknown<'e>>) -> Try<'e, ServerFromUrl> {
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

    fn server_of_url(&self, option: &str, url: &str) -> Try<'e, ServerFromUrl> {
        Server::from_url(url)
            .map_err(|reason| self.refuse(format!("the option {option} cannot be used: {reason}")))
    }

    /// A url in a list of servers, where it cannot say what is the store's.
    fn listed_url(&self, option: &str, url: &str) -> Try<'e, ServerFromUrl> {
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

    /// The options `username`, `password` and `database`; `names` is what messages call the first
    /// two.
    fn login(&self, source: &Unknown<'e>, names: [&'static str; 2]) -> Try<'e, Login> {
        let database = self.option(source, "database")?;
        let [username, password] = names;
        Ok(Login {
            username: self.credential(source, "username", username)?,
            password: self.credential(source, "password", password)?,
            database: match raw::kind(&database) {
                ValueType::Undefined => None,
                ValueType::Number
                    if raw::number(&database) >= 0.0 && raw::number(&database).fract() == 0.0 =>
                {
                    Some(raw::number(&database) as i64)
                }
                _ => return Err(self.wrong("database", "a number from 0", &database)),
            },
        })
    }

    /// A user's name or password, or a function that gives it. An empty one counts as not given, as
    /// for node-redis.
    fn credential(
        &self,
        source: &Unknown<'e>,
        name: &str,
        shown: &'static str,
    ) -> Try<'e, Option<Credential>> {
        let value = self.option(source, name)?;
        match (raw::kind(&value), self.functions) {
            (ValueType::Undefined, _) => Ok(None),
            (ValueType::String, _) => {
                let text = raw::text(self.env, &value)?;
                Ok((!text.is_empty()).then_some(Credential::Given(text)))
            }
            (ValueType::Function, Some(functions)) => {
                let place = functions.held.borrow().len();
                functions
                    .held
                    .borrow_mut()
                    .push(Held::new(self.env, &value)?);
                let outbox = functions.outbox.clone();
                let ask = move |answering| outbox.push([News::Credential(place, answering)]);
                Ok(Some(Credential::Function(CredentialFunction::new(
                    shown, ask,
                ))))
            }
            // Not shown: it may be a secret of another type.
            _ => Err(self.refuse(format!(
                "the option {shown} must be a string, or a function that returns one"
            ))),
        }
    }

    /// The option `tls`: not given, false (an inner None), or how to speak it.
    fn tls(&self, source: &Unknown<'e>) -> Try<'e, Option<Option<Tls>>> {
        let tls = self.option(source, "tls")?;
        let options = match (raw::kind(&tls), raw::boolean(&tls)) {
            (ValueType::Undefined, _) => return Ok(None),
            (_, Some(false)) => return Ok(Some(None)),
            (_, Some(true)) => self.default_tls(),
            (ValueType::Object, _) => TlsOptions {
                ca: self.pem(&tls, "ca")?,
                cert: self.pem(&tls, "cert")?,
                key: self.pem(&tls, "key")?,
                servername: self.string(&tls, "servername")?,
                reject_unauthorized: raw::boolean(&self.option(&tls, "rejectUnauthorized")?)
                    .unwrap_or_else(|| self.host.rejects_unauthorized(self.env)),
                versions: (
                    self.string(&tls, "minVersion")?.as_deref() != Some("TLSv1.3"),
                    self.string(&tls, "maxVersion")?.as_deref() != Some("TLSv1.2"),
                ),
            },
            _ => return Err(self.wrong("tls", "true, false or an object of TLS options", &tls)),
        };
        let made = Tls::new(options)
            .map_err(|reason| self.refuse(format!("the option tls cannot be used: {reason}")))?;
        Ok(Some(Some(made)))
    }

    fn default_tls(&self) -> TlsOptions {
        TlsOptions {
            reject_unauthorized: self.host.rejects_unauthorized(self.env),
            ..TlsOptions::default()
        }
    }

    /// Whether TLS is spoken, by the option and by the url.
    fn decide_tls(&self, option: Option<Option<Tls>>, is_in_url: bool) -> Try<'e, Option<Tls>> {
        match option {
            Some(None) if is_in_url => {
                Err(self.refuse("tls is false, but the url is one with TLS".into()))
            }
            Some(tls) => Ok(tls),
            None if is_in_url => Tls::new(self.default_tls())
                .map(Some)
                .map_err(|reason| self.refuse(reason)),
            None => Ok(None),
        }
    }

    /// PEM as Node takes it: a string, a Buffer, or a list of these.
    fn pem(&self, tls: &Unknown<'e>, name: &str) -> Try<'e, Option<Vec<u8>>> {
        let value = self.option(tls, name)?;
        if raw::kind(&value) == ValueType::Undefined {
            return Ok(None);
        }
        let parts = raw::elements(self.env, &value).unwrap_or_else(|| vec![value]);
        let mut pem = Vec::new();
        for part in &parts {
            match (raw::kind(part), raw::buffer_bytes(self.env, part)) {
                (ValueType::String, _) => {
                    pem.append(&mut raw::string_bytes(self.env, part, 2048)?);
                }
                (_, Some(mut bytes)) => pem.append(&mut bytes),
                _ => {
                    let option = format!("tls.{name}");
                    return Err(self.wrong(&option, "PEM in a string or a Buffer", part));
                }
            }
            pem.push(b'\n');
        }
        Ok(Some(pem))
    }

    /// An option that is a string, where it is given.
    fn string(&self, source: &Unknown<'e>, name: &str) -> Try<'e, Option<String>> {
        let value = self.option(source, name)?;
        match raw::kind(&value) {
            ValueType::Undefined => Ok(None),
            ValueType::String => raw::text(self.env, &value).map(Some),
            // Not shown: it may be a secret of another type.
            _ => Err(self.refuse(format!("the option {name} must be a string"))),
        }
    }
}

/// A server of which nothing else is said.
fn plain(server: Server) -> ServerFromUrl {
    ServerFromUrl {
        server,
        is_tls: false,
        timeouts: Timeouts::default(),
    }
}
