//! A pass over the keyspace, of any prefix. Over a Redis that behaves it sees the keys that begin
//! with the prefix and no others; whatever a server answers, it ends, and deletes no other key.
//!
//! An input is two lines, the client's prefix and the store's, and then: keys, a line each, for a
//! Redis that behaves; or, after a byte of 0, what the replies of another are made from.
#![no_main]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use arbitrary::Unstructured;
use connect_redis_rs_fuzz::error::StoreError;
use connect_redis_rs_fuzz::glob;
use connect_redis_rs_fuzz::io::event::ScanAnswer;
use connect_redis_rs_fuzz::io::scan_request::{PageRequest, ScanKind, ScanRequest};
use connect_redis_rs_fuzz::server::{Answer, run};
use connect_redis_rs_fuzz::session::clock::Clock;
use connect_redis_rs_fuzz::session::true_expiry::TrueExpiry;
use connect_redis_rs_fuzz::values::any;
use libfuzzer_sys::fuzz_target;
use redis::{Arg, Cmd, Value};

type Keys = BTreeSet<Vec<u8>>;

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(3, |&byte| byte == b'\n');
    let client_prefix = lines.next().unwrap_or_default();
    let prefix = lines.next().unwrap_or_default();
    let rest = lines.next().unwrap_or_default();
    let request = |kind| ScanRequest {
        id: 7,
        name: "scan",
        kind,
        prefix: prefix.to_vec(),
        client_prefix: client_prefix.to_vec(),
        count: None,
        true_expiry: TrueExpiry::InText,
        clock: Clock::new(1_767_268_800_000.0),
        seal: None,
        has_handles: false,
        page: PageRequest::default(),
        only: None,
    };
    if rest.first() == Some(&0) {
        for kind in [
            ScanKind::All,
            ScanKind::Clear,
            ScanKind::Ids,
            ScanKind::Length,
            ScanKind::Rewrite,
        ] {
            for is_cluster in [false, true] {
                let mut request = request(kind);
                // Then `rewrite` has something to move.
                request.has_handles = true;
                let outcome = run(request, strange(&rest[1..], prefix), is_cluster);
                outcome.end.expect("no end").err();
            }
        }
        return;
    }
    let keys: Keys = rest
        .split(|&byte| byte == b'\n')
        // Some that are certain to be its own.
        .flat_map(|key| [key.to_vec(), [client_prefix, prefix, key].concat()])
        .collect();
    let own = |key: &&Vec<u8>| key.starts_with(&[client_prefix, prefix].concat());
    let sids: Keys = keys
        .iter()
        .filter(own)
        .map(|key| key[client_prefix.len() + prefix.len()..].to_vec())
        .collect();

    let kinds = [
        ScanKind::Length,
        ScanKind::Ids,
        ScanKind::All,
        ScanKind::Clear,
        ScanKind::Rewrite,
    ];
    for (kind, is_cluster) in kinds.iter().flat_map(|&k| [(k, false), (k, true)]) {
        let redis = Arc::new(Mutex::new(keys.clone()));
        let answer = honest(&redis, client_prefix, prefix);
        let outcome = run(request(kind), answer, is_cluster);
        let count = match outcome.end.expect("no end").expect("an error") {
            ScanAnswer::Count(count) => Some(count),
            ScanAnswer::Nothing | ScanAnswer::Next(_) => None,
        };
        let seen: Keys = outcome
            .records
            .iter()
            .map(|record| record.id.clone())
            .collect();
        match kind {
            ScanKind::Length => assert_eq!(count, Some(sids.len())),
            ScanKind::Ids => {
                let text = |sid: &Vec<u8>| String::from_utf8_lossy(sid).into_owned();
                let (mut sids, mut ids) = (sids.iter().map(text).collect::<Vec<_>>(), outcome.ids);
                sids.sort();
                ids.sort();
                assert_eq!(ids, sids);
            }
            ScanKind::All => {
                assert_eq!(outcome.records.len(), sids.len(), "a key came twice");
                assert_eq!(seen, sids);
            }
            ScanKind::Page | ScanKind::IdsPage | ScanKind::Ping => {
                unreachable!("not among these kinds")
            }
            ScanKind::Rewrite => {
                assert_eq!(count, Some(0), "what is in its form was written");
                assert_eq!(*redis.lock().unwrap(), keys);
            }
            ScanKind::Clear | ScanKind::ClearIndex => {
                let left: Keys = keys.iter().filter(|key| !own(key)).cloned().collect();
                assert_eq!(*redis.lock().unwrap(), left);
            }
        }
    }
});

fn arguments(command: &Cmd) -> Vec<Vec<u8>> {
    let argument = |argument: Arg<&[u8]>| match argument {
        Arg::Simple(bytes) => Some(bytes.to_vec()),
        _ => None,
    };
    command.args_iter().filter_map(argument).collect()
}

/// A Redis with these keys, whose SCAN returns keys in two steps, and some of them twice. A client
/// is in front of it, which puts its prefix before the keys of all other commands.
fn honest(redis: &Arc<Mutex<Keys>>, client_prefix: &[u8], prefix: &[u8]) -> Answer {
    let redis = redis.clone();
    let whole_prefix = [client_prefix, prefix].concat();
    let client_prefix = client_prefix.to_vec();
    Box::new(move |command| {
        let arguments = arguments(command);
        let mut redis = redis.lock().unwrap();
        let inside = arguments[1..]
            .iter()
            .map(|key| [&client_prefix, &**key].concat());
        Ok(match &*arguments[0] {
            b"SCAN" => {
                assert_eq!(arguments[2], b"MATCH");
                for key in redis.iter() {
                    // The scan looks at the keys, too; but Redis should not send others.
                    let is_own = key.starts_with(&whole_prefix);
                    assert_eq!(glob::matches(&arguments[3], key), is_own, "{key:?}");
                }
                let keys = redis.iter().filter(|key| glob::matches(&arguments[3], key));
                let half = keys.clone().count().div_ceil(2);
                let (cursor, keys): (_, Vec<_>) = match &*arguments[1] {
                    b"0" => (&b"5"[..], keys.take(half + 1).collect()),
                    _ => (&b"0"[..], keys.skip(half).collect()),
                };
                let keys = keys.into_iter().cloned().map(Value::BulkString).collect();
                Value::Array(vec![Value::BulkString(cursor.to_vec()), Value::Array(keys)])
            }
            b"MGET" => Value::Array(inside.map(|_| Value::BulkString(b"{}".to_vec())).collect()),
            b"GET" => Value::BulkString(b"{}".to_vec()),
            b"PTTL" => Value::Int(-1),
            b"CLUSTER" => Value::BulkString(b"1 a:1 myself - 0 0 0 connected 0-16383".to_vec()),
            b"UNLINK" | b"DEL" => Value::Int(inside.filter(|key| redis.remove(key)).count() as i64),
            other => panic!("{}", other.escape_ascii()),
        })
    })
}

/// A server that answers anything. It is given up when the input is used up, so that it ends.
fn strange(input: &[u8], prefix: &[u8]) -> Answer {
    let input = input.to_vec();
    let prefix = prefix.to_vec();
    let mut used = 0;
    Box::new(move |command| {
        let arguments = arguments(command);
        if matches!(&*arguments[0], b"UNLINK" | b"DEL") {
            for key in &arguments[1..] {
                assert!(key.starts_with(&prefix), "another key is deleted");
            }
        }
        if *arguments[0] == *b"EVAL" {
            let count: usize = String::from_utf8_lossy(&arguments[2]).parse().unwrap();
            for key in &arguments[3..3 + count] {
                assert!(key.starts_with(&prefix), "another key is written");
            }
        }
        let mut rest = Unstructured::new(&input[used..]);
        let is_over = rest.is_empty();
        // Often what such a command does have for an answer, with something strange within.
        let value = match (rest.arbitrary::<u8>().unwrap_or(0) % 4, &*arguments[0]) {
            (0 | 1, b"SCAN") => any(&mut rest, &prefix).and_then(|keys| {
                let cursor = rest.arbitrary::<u8>()?.to_string().into_bytes();
                let keys = match keys {
                    Value::Array(mut keys) => {
                        for key in &mut keys {
                            if let Value::BulkString(key) = key {
                                key.splice(..0, prefix.iter().copied());
                            }
                        }
                        Value::Array(keys)
                    }
                    other => other,
                };
                Ok(Value::Array(vec![Value::BulkString(cursor), keys]))
            }),
            (0, b"MGET") => Ok(Value::Array(
                arguments[1..]
                    .iter()
                    .map(|_| any(&mut rest, &prefix).unwrap_or_default())
                    .collect(),
            )),
            _ => any(&mut rest, &prefix),
        };
        used = input.len() - rest.len();
        match value {
            Ok(value) if !is_over => Ok(value),
            _ => Err(StoreError::closed("scan")),
        }
    })
}
