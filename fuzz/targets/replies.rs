//! Any replies of a server, read as the answer to a call: no panic, as many replies consumed as
//! commands were sent, an answer of the call's own kind, and no key in an error.
//!
//! An input is a line, the kind of call and the sid, and then the replies: RESP where the kind is a
//! digit, else values made from the bytes.
#![no_main]

use arbitrary::Unstructured;
use bytes::BytesMut;
use connect_redis_rs_fuzz::command::{Clock, Command, Expiry, Reply, TrueExpiry};
use connect_redis_rs_fuzz::slots::{Redirect, SLOTS, read_layout, redirect};
use connect_redis_rs_fuzz::values::{any, put_key};
use connect_redis_rs_fuzz::{check, json};
use libfuzzer_sys::fuzz_target;
use redis::{Cmd, Pipeline, Value, ValueCodec};
use tokio_util::codec::Decoder;

const NOW: u64 = 1_767_268_800_000;

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(2, |&byte| byte == b'\n');
    let Some((&kind, sid)) = lines.next().and_then(<[u8]>::split_first) else {
        return;
    };
    let replies = lines.next().unwrap_or_default();
    // The keys that JS makes are UTF-8; `…` is what stands for a key in an error.
    let sid = String::from_utf8_lossy(sid).replace(['…', '\r', '\u{1}'], "");
    let key = format!("sess:{sid}");

    let command = command(kind.wrapping_sub(b'0') % 10, key.clone().into_bytes());
    let mut pipeline = Pipeline::new();
    command.add_to(&mut pipeline);
    let values = if kind.is_ascii_digit() {
        resp(&put_key(replies, key.as_bytes()))
    } else {
        let mut input = Unstructured::new(replies);
        std::iter::from_fn(|| any(&mut input, key.as_bytes()).ok())
            .take(pipeline.len() + 1)
            .collect()
    };

    assert_eq!(command.replies(), pipeline.len());
    for value in &values {
        places(value);
    }

    let mut taken = 0;
    let mut rest = values.iter().cloned().inspect(|_| taken += 1);
    let answer = command.read(&mut rest, "get", "here");
    drop(rest);
    assert_eq!(taken, pipeline.len().min(values.len()));

    match answer {
        Err(error) => {
            let texts = [Some(&*error.message), error.cause.as_deref()];
            for text in texts.into_iter().flatten() {
                assert!(!text.contains(&key), "{text}");
            }
            let is_word = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            assert!(error.code.chars().all(is_word), "{:?}", error.code);
            assert_ne!(&*error.code, "ENOENT");
        }
        Ok(Reply::Session { text, expires }) => {
            let Command::Get { expiry, .. } = command else {
                panic!("a session in answer to another call");
            };
            let stored = bytes(&values[0]);
            session(expiry, stored, &text, expires, values.get(1));
        }
        Ok(Reply::Raw(raw)) => {
            assert_eq!(raw.len(), pipeline.len());
            assert!(matches!(command, Command::Raw(_)));
        }
        Ok(Reply::Discarded) => assert!(matches!(command, Command::Set { .. })),
        Ok(Reply::Null) => assert!(!matches!(command, Command::Raw(_))),
        Ok(Reply::Masters(_)) => panic!("no server says which lanes there are"),
    }
});

/// What a node says of where slots are names slots there are, and nodes by a name.
fn places(value: &Value) {
    if let Value::ServerError(error) = value {
        match redirect(error, "asked") {
            None => {}
            Some(Redirect::Moved(slot, node)) => {
                assert!(usize::from(slot) < SLOTS && !node.host.is_empty());
            }
            Some(Redirect::Ask(node)) => assert!(!node.host.is_empty()),
        }
    }
    if let Some(layout) = read_layout(value, "asked") {
        assert!(!layout.0.is_empty());
        for (from, to, node) in layout.0 {
            assert!(from <= to && usize::from(to) < SLOTS && !node.host.is_empty());
        }
    }
}

/// What `get` may answer with where `stored` is at the key and `pttl` is what PTTL said.
fn session(
    expiry: TrueExpiry,
    stored: &[u8],
    text: &[u8],
    expires: Option<f64>,
    pttl: Option<&Value>,
) {
    assert!(!stored.is_empty(), "an empty value is no session");
    let left = match pttl {
        Some(&Value::Int(left @ 0..)) => Some(left as u64),
        _ => None,
    };
    match expiry {
        TrueExpiry::Beside => {
            assert_eq!(text, stored);
            assert_eq!(expires.is_some(), left.is_some());
        }
        TrueExpiry::Unasked => assert_eq!((text, expires), (stored, None)),
        TrueExpiry::InText => {
            assert_eq!(expires, None);
            if text == stored {
                return;
            }
            // Time passes between the reading of the clock and the reading of the replies.
            let left = left.expect("changed without an expiry");
            let at = (0..60_000)
                .map(|passed| NOW + left + passed)
                .find(|at| {
                    let text_has = |token: &str| {
                        text.windows(token.len())
                            .any(|part| part == token.as_bytes())
                    };
                    text_has(&check::iso(*at)) || text_has(&at.to_string())
                })
                .expect("the expiry is not the key's");
            check::one_token_replaced(stored, text, at);
            check::same_but_for_expires(stored, text, at);
            assert!(json::parse(stored).is_none() || check::is_due(stored) != Some(false));
        }
    }
}

fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::BulkString(bytes) => bytes,
        _ => panic!("{value:?} is no session"),
    }
}

fn command(kind: u8, key: Vec<u8>) -> Command {
    let get = |key, expiry| Command::Get {
        key,
        expiry,
        clock: Clock::new(NOW as f64),
    };
    let set = |key, only_existing| Command::Set {
        key,
        value: b"{}".to_vec(),
        expires_in: Some(5000),
        only_existing,
    };
    match kind {
        0 | 1 => get(key, TrueExpiry::InText),
        2 => get(key, TrueExpiry::Beside),
        3 => get(key, TrueExpiry::Unasked),
        4 => set(key, false),
        5 => set(key, true),
        6 => Command::Touch {
            key,
            expiry: Expiry::In(5000),
        },
        7 => Command::Destroy { key },
        8 => Command::Raw(vec![Cmd::new(), Cmd::new(), Cmd::new()]),
        _ => Command::Touch {
            key,
            expiry: Expiry::Past,
        },
    }
}

/// Replies as the connection reads them, up to the first that is none; in two parts, as a network
/// may bring them.
fn resp(stream: &[u8]) -> Vec<Value> {
    let mut codec = ValueCodec::default();
    let mut buffer = BytesMut::new();
    let mut values = Vec::new();
    for part in stream.chunks((stream.len() / 2).max(1)) {
        buffer.extend_from_slice(part);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(_) => return values, // The connection is given up.
            }
        }
    }
    values
}
