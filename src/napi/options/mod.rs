//! The options of `new RedisStore(options)`, checked once and made into one configuration.

use std::cell::RefCell;
use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

use napi::{Env, Unknown, ValueType};

use crate::error::StoreError;
use crate::io::engine::{Limits, Outbox};
use crate::napi::callbacks::Host;
use crate::napi::client::JsClient;
use crate::napi::lifetime;
use crate::napi::raw::{self, Held, Try};
use crate::redis::{Timeouts, Topology};

pub mod servers;

/// Every option there is; [`unknown_options`] looks here.
const KNOWN: [&str; 22] = [
    "client",
    "clientType",
    "transport",
    "prefix",
    "scanCount",
    "serializer",
    "ttl",
    "disableTTL",
    "disableTouch",
    "url",
    "cluster",
    "sentinel",
    "tls",
    "username",
    "password",
    "database",
    "commandTimeout",
    "connectTimeout",
    "onUnavailable",
    "commandsQueueMaxLength",
    "commandsQueueMaxBytes",
    "resurrect",
];

const DEFAULT_COMMAND_TIMEOUT: f64 = 5000.0;
const DEFAULT_CONNECT_TIMEOUT: f64 = 3000.0;
/// Node's own bound for timers; beyond it a `setTimeout` would fire at once.
const MOST_MS: f64 = 2_147_483_647.0;

/// What is fixed when a store is made.
pub struct Config {
    pub route: Route,
    pub limits: Limits,
    /// The functions of the app's that [`crate::io::engine::News::Credential`] asks for.
    pub functions: Vec<Held>,
}

/// Whose connection carries the commands.
pub enum Route {
    /// One of the store's own. With `gives_back` it is given up when it is lost, as there is a client
    /// that can go on.
    Own {
        transport: Topology,
        gives_back: bool,
    },
    /// That of the app's client.
    Client(JsClient),
}

/// What an app may change on a living store: connect-redis's public fields.
pub struct Settings {
    /// `"sess:"` where it is not given.
    pub prefix: Vec<u8>,
    /// What the app's client puts before every key by itself, where it carries the commands.
    pub client_prefix: Vec<u8>,
    /// `None` while the app has not set it.
    pub scan_count: Option<u32>,
    /// Whether sessions are JSON. Where the app has a serializer of its own, the face calls it, and
    /// texts pass through here as they are.
    pub json: bool,
    /// Whether `ttl` is a function of the session.
    pub ttl_is_function: bool,
    pub disable_ttl: bool,
}

impl Config {
    /// Reads what is fixed for the life of the store. `to` says where its commands go: undefined
    /// is the option `url`, `{ask}` the app's client, anything else the parts of a server
    /// that the face has read from a client (`lib/client/inspect.js`).
    pub fn read<'e>(
        env: &'e Env,
        host: &Host,
        options: &Unknown<'e>,
        to: &Unknown<'e>,
        outbox: &Arc<Outbox>,
    ) -> Try<'e, Config> {
        let functions = Functions {
            outbox: outbox.clone(),
            held: RefCell::default(),
        };
        let reader = Reader {
            env,
            host,
            functions: Some(&functions),
        };
        let ttl = reader.option(options, "ttl")?;
        let is_falsy = matches!(raw::kind(&ttl), ValueType::Undefined)
            || raw::kind(&ttl) == ValueType::Number && raw::number(&ttl).is_nan();
        if !is_falsy
            && raw::kind(&ttl) != ValueType::Function
            && lifetime::seconds(env, &ttl)?.is_none()
        {
            return Err(reader.wrong("ttl", "a number of seconds or a function", &ttl));
        }
        // The face's to use (`lib/native/pending-calls.js`).
        reader.check_most(options, "commandsQueueMaxLength")?;
        reader.check_most(options, "commandsQueueMaxBytes")?;
        reader.flag(options, "resurrect")?;
        let (route, in_url) = reader.route(options, to)?;
        let command = in_url.command.unwrap_or(DEFAULT_COMMAND_TIMEOUT);
        let connect = in_url.connect.unwrap_or(DEFAULT_CONNECT_TIMEOUT);
        let limits = Limits {
            command: reader.timeout(options, "commandTimeout", command)?,
            connect: reader.timeout(options, "connectTimeout", connect)?,
            fails_at_once: reader.fails_at_once(options)?,
        };
        Ok(Config {
            route,
            limits,
            functions: functions.held.into_inner(),
        })
    }
}

impl<'e> Reader<'e, '_> {
    fn route(&self, options: &Unknown<'e>, to: &Unknown<'e>) -> Try<'e, (Route, Timeouts)> {
        let own = |(transport, timeouts), gives_back| {
            let route = Route::Own {
                transport,
                gives_back,
            };
            (route, timeouts)
        };
        if raw::kind(to) != ValueType::Object {
            return Ok(own(self.transport(options)?, false));
        }
        let ask = self.option(to, "ask")?;
        Ok(match raw::kind(&ask) {
            ValueType::Undefined => own(self.transport(to)?, self.flag(to, "givesBack")?),
            _ => {
                let client = JsClient::new(self.env, &ask)?;
                (Route::Client(client), Timeouts::default())
            }
        })
    }

    /// Whether calls are rejected while there is no connection, by the option `onUnavailable`.
    fn fails_at_once(&self, options: &Unknown<'e>) -> Try<'e, bool> {
        let option = self.option(options, "onUnavailable")?;
        let given = match raw::kind(&option) {
            ValueType::Undefined => return Ok(false),
            ValueType::String => raw::text(self.env, &option)?,
            _ => String::new(),
        };
        match &*given {
            "error" | "skip" => Ok(true),
            _ => Err(self.wrong("onUnavailable", "\"error\" or \"skip\"", &option)),
        }
    }

    /// An option that bounds a number.
    fn check_most(&self, options: &Unknown<'e>, name: &str) -> Try<'e, ()> {
        let value = self.option(options, name)?;
        match raw::kind(&value) {
            ValueType::Undefined => Ok(()),
            ValueType::Number if raw::number(&value) >= 1.0 => Ok(()),
            _ => Err(self.wrong(name, "a number from 1, or Infinity", &value)),
        }
    }
}

impl Settings {
    /// Reads the changeable fields. The face has put connect-redis's defaults in already. The
    /// `ttl` itself is looked at where it is used.
    pub fn read<'e>(env: &'e Env, host: &Host, fields: &Unknown<'e>) -> Try<'e, Settings> {
        let reader = Reader {
            env,
            host,
            functions: None,
        };
        let prefix = raw::get(env, fields, c"prefix")?;
        if raw::kind(&prefix) != ValueType::String {
            return Err(reader.wrong("prefix", "a string", &prefix));
        }
        let scan_count = raw::get(env, fields, c"scanCount")?;
        let scan_count = match raw::kind(&scan_count) {
            ValueType::Undefined => None,
            ValueType::Number
                if (1.0..=f64::from(u32::MAX)).contains(&raw::number(&scan_count)) =>
            {
                Some(raw::number(&scan_count) as u32)
            }
            _ => return Err(reader.wrong("scanCount", "a positive number", &scan_count)),
        };
        // The face's to use.
        reader.flag(fields, "disableTouch")?;
        let ttl = raw::get(env, fields, c"ttl")?;
        let ttl_is_function = raw::kind(&ttl) == ValueType::Function;
        let client_prefix = reader.option(fields, "clientPrefix")?;
        Ok(Settings {
            prefix: raw::string_bytes(env, &prefix, 32)?,
            client_prefix: match raw::kind(&client_prefix) {
                ValueType::String => raw::string_bytes(env, &client_prefix, 32)?,
                _ => Vec::new(),
            },
            scan_count,
            json: reader.flag(fields, "json")?,
            ttl_is_function,
            disable_ttl: reader.flag(fields, "disableTTL")?,
        })
    }
}

/// Reads options and words the complaints about them.
pub struct Reader<'e, 'h> {
    pub env: &'e Env,
    pub host: &'h Host,
    /// `None` if no option may be a function that is asked later.
    pub functions: Option<&'h Functions>,
}

/// Functions of the app's that the I/O thread may ask for, by their place.
pub struct Functions {
    pub outbox: Arc<Outbox>,
    pub held: RefCell<Vec<Held>>,
}

impl<'e> Reader<'e, '_> {
    /// An option; null counts as not given.
    pub fn option(&self, options: &Unknown<'e>, name: &str) -> Try<'e> {
        let name = CString::new(name).unwrap_or_default();
        let value = raw::get(self.env, options, &name)?;
        Ok(match raw::kind(&value) {
            ValueType::Null => raw::undefined(self.env),
            _ => value,
        })
    }

    fn flag(&self, options: &Unknown<'e>, name: &str) -> Try<'e, bool> {
        let value = self.option(options, name)?;
        match (raw::kind(&value), raw::boolean(&value)) {
            (ValueType::Undefined, _) => Ok(false),
            (_, Some(flag)) => Ok(flag),
            _ => Err(self.wrong(name, "true or false", &value)),
        }
    }

    fn timeout(&self, options: &Unknown<'e>, name: &str, default: f64) -> Try<'e, Duration> {
        let value = self.option(options, name)?;
        let ms = match raw::kind(&value) {
            ValueType::Undefined => default,
            ValueType::Number => raw::number(&value),
            _ => f64::NAN,
        };
        if !(1.0..=MOST_MS).contains(&ms) {
            return Err(self.wrong(
                name,
                "a number of milliseconds from 1 to 2147483647",
                &value,
            ));
        }
        Ok(Duration::from_millis(ms as u64))
    }

    pub fn wrong(&self, option: &str, wanted: &str, got: &Unknown<'e>) -> Unknown<'e> {
        let got = describe(self.env, got);
        self.refuse(format!("the option {option} must be {wanted}, got {got}"))
    }

    pub fn refuse(&self, message: String) -> Unknown<'e> {
        self.host.error(
            self.env,
            &StoreError::invalid(format!("RedisStore: {message}")),
        )
    }
}

/// A value as a message shows it: short values themselves, others by their kind. A string that may
/// be a url, in the wrong place, is not shown: it may hold a password.
pub fn describe<'e>(env: &'e Env, value: &Unknown<'e>) -> String {
    const MOST_CHARS: usize = 40;
    let text = || raw::text(env, value).unwrap_or_default();
    match raw::kind(value) {
        ValueType::Undefined => "undefined".into(),
        ValueType::Null => "null".into(),
        ValueType::Boolean | ValueType::Number => text(),
        ValueType::BigInt => format!("{}n", text()),
        ValueType::String => {
            let text = text();
            if text.contains(['@', '/']) {
                return "a string".into();
            }
            match text.char_indices().nth(MOST_CHARS) {
                Some((end, _)) => format!("{:?} …", &text[..end]),
                None => format!("{text:?}"),
            }
        }
        ValueType::Function => "a function".into(),
        ValueType::Symbol => "a symbol".into(),
        _ => match raw::date(env, value) {
            Some(time) if time.is_nan() => "an invalid Date".into(),
            Some(_) => "a Date".into(),
            None => describe_object(env, value),
        },
    }
}

/// An object by the name of its constructor (`a Promise`), where it has one.
fn describe_object<'e>(env: &'e Env, value: &Unknown<'e>) -> String {
    let name = raw::get(env, value, c"constructor")
        .and_then(|constructor| raw::get(env, &constructor, c"name"))
        .ok()
        .filter(|name| raw::kind(name) == ValueType::String)
        .and_then(|name| raw::text(env, &name).ok());
    match name.as_deref() {
        None | Some("" | "Object") => "an object".into(),
        Some("Array") => "an array".into(),
        Some(name) => format!("a {name}"),
    }
}

/// Options that do not exist, each with the one that was meant, if that can be told: people write
/// `logErrors`, `tll` or `host`, and connect-redis ignores it without a word.
pub fn unknown_options(names: Vec<String>) -> Vec<(String, Option<&'static str>)> {
    let unknown = |name: &String| !KNOWN.contains(&name.as_str());
    let names = names.into_iter().filter(unknown);
    names
        .map(|name| {
            let meant = nearest(&name);
            (name, meant)
        })
        .collect()
}

/// The known option that somebody may have meant.
fn nearest(name: &str) -> Option<&'static str> {
    match name.to_ascii_lowercase().as_str() {
        "host" | "port" | "socket" | "path" | "uri" | "redisurl" | "redis_url" | "hostname"
        | "server" | "address" | "unix_socket" | "connectionstring" | "connectionurl" | "dsn" => {
            return Some("url");
        }
        "db" => return Some("database"),
        "user" => return Some("username"),
        "pass" | "auth" | "auth_pass" => return Some("password"),
        "ssl" | "ca" | "cert" => return Some("tls"),
        "sentinels" => return Some("sentinel"),
        "nodes" | "rootnodes" | "startupnodes" | "clusternodes" | "servers" => {
            return Some("cluster");
        }
        "redis" | "redisclient" | "connection" => return Some("client"),
        "expires" | "maxage" | "expiration" => return Some("ttl"),
        "timeout" => return Some("commandTimeout"),
        _ => {}
    }
    KNOWN
        .into_iter()
        .map(|known| (distance(name, known), known))
        .filter(|(distance, known)| *distance <= known.len().div_ceil(4))
        .min_by_key(|(distance, _)| *distance) // the first of several: connect-redis's own
        .map(|(_, known)| known)
}

fn distance(a: &str, b: &str) -> usize {
    strsim::damerau_levenshtein(&a.to_ascii_lowercase(), &b.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(names: &[&str]) -> Vec<(String, Option<&'static str>)> {
        unknown_options(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn known_options_are_not_unknown() {
        assert_eq!(unknown(&KNOWN), []);
    }

    #[test]
    fn the_nearest_known_option_is_named() {
        for (written, meant) in [
            ("tll", Some("ttl")),
            ("TTL", Some("ttl")),
            ("disableTtl", Some("disableTTL")),
            ("host", Some("url")),
            ("perfix", Some("prefix")),
            ("scancount", Some("scanCount")),
            ("commandTimeOut", Some("commandTimeout")),
            ("clinet", Some("client")),
            ("logErrors", None),
        ] {
            assert_eq!(unknown(&["prefix", written]), [(written.into(), meant)]);
        }
    }
}
