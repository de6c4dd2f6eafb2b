//! The names of the options, and those that are not among them.

/// Every option.
const KNOWN: [&str; 33] = [
    "client",
    "clientType",
    "transport",
    "prefix",
    "scanCount",
    "serializer",
    "ttl",
    "disableTTL",
    "disableTouch",
    "touchAfter",
    "concurrency",
    "user",
    "maxSessions",
    "events",
    "touch",
    "cache",
    "lifetime",
    "encryption",
    "compression",
    "hashIds",
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

/// What a server of a list may say.
pub const SERVER: [&str; 2] = ["host", "port"];
/// What the option `sentinel` may say.
pub const SENTINEL: [&str; 5] = ["name", "nodes", "username", "password", "tls"];
/// What the option `tls` may say: as in Node's `tls.connect`.
pub const TLS: [&str; 7] = [
    "ca",
    "cert",
    "key",
    "servername",
    "rejectUnauthorized",
    "minVersion",
    "maxVersion",
];

/// What the option `cache` may say.
pub const CACHE: [&str; 3] = ["maxBytes", "maxStale", "fresh"];

/// What the options `encryption` and `compression` may say, and a key of the first.
pub const ENCRYPTION: [&str; 3] = ["keys", "write", "plain"];
pub const ENCRYPTION_KEY: [&str; 2] = ["id", "secret"];
pub const COMPRESSION: [&str; 3] = ["threshold", "level", "write"];

/// Returns the names that are no option, each with the option that was probably meant. People write
/// `logErrors`, `tll` or `host`, and connect-redis ignores that silently.
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

/// The option that was probably meant, if one is similar or has that other name elsewhere.
fn nearest(name: &str) -> Option<&'static str> {
    match name.to_ascii_lowercase().as_str() {
        "host" | "port" | "socket" | "path" | "uri" | "redisurl" | "redis_url" | "hostname"
        | "server" | "address" | "unix_socket" | "connectionstring" | "connectionurl" | "dsn" => {
            return Some("url");
        }
        "db" => return Some("database"),
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
        .min_by_key(|(distance, _)| *distance) // The first of several is connect-redis's own.
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
