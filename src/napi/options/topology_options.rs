//! Where Redis is: the options `url`, `cluster` and `sentinel`.

use napi::{Unknown, ValueType};

use crate::napi::options::reader::Reader;
use crate::napi::options::server_list::plain;
use crate::napi::raw::{self, JsResult};
use crate::redis::{
    ClusterNodes, Login, Sentinel, Server, ServerFromUrl, Target, Timeouts, Tls, Topology,
};

const DEFAULT_PORT: u16 = 6379;
const DEFAULT_SENTINEL_PORT: u16 = 26379;

impl<'e> Reader<'e, '_> {
    /// Reads where Redis is. `source` is the options of the app, or what was read from its client
    /// (`lib/client/inspect.js`), which may also name a server by `host` and `port`, or by `path`. The
    /// timeouts are those of the url.
    pub fn topology(&self, source: &Unknown<'e>) -> JsResult<'e, (Topology, Timeouts)> {
        let given = |name| -> JsResult<'e, Option<Unknown<'e>>> {
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
    ) -> JsResult<'e, Topology> {
        let nodes = self.servers("cluster", option, DEFAULT_PORT)?;
        let is_tls = nodes.iter().any(|node| node.is_tls);
        let tls = self.decide_tls(tls, is_tls)?;
        // All nodes have the same login: that of one of the urls.
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

    /// Reads `{ name, nodes, username?, password?, tls? }`. The login and TLS in it are those of the
    /// sentinels; the master has the same, unless the options beside it say otherwise.
    fn sentinel(
        &self,
        option: &Unknown<'e>,
        login: Login,
        tls: Option<Option<Tls>>,
    ) -> JsResult<'e, Topology> {
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

    /// Returns the server that was read from an app's client, if `source` is that.
    fn server_of_client(&self, source: &Unknown<'e>) -> JsResult<'e, Option<Server>> {
        // An app cannot give this: it is an unknown option.
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
}
