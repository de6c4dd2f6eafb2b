//! Any replies of a server, read as the answer to a call: no panic, the same replies in whatever
//! pieces they come, as many consumed as commands were sent, an answer of the call's own kind, and no
//! key in an error.
//!
//! An input is a line, the kind of call and the sid, and then the replies: RESP where the kind is a
//! digit, else values made from the bytes.
#![no_main]

use std::time::Instant;

use arbitrary::Unstructured;
use connect_redis_rs_fuzz::redis::Batch;
use connect_redis_rs_fuzz::redis::cluster::slots::{Redirect, SLOTS, read_slot_map, redirect};
use connect_redis_rs_fuzz::redis::resp::{Frame, Parser, without_script};
use connect_redis_rs_fuzz::session::clock::Clock;
use connect_redis_rs_fuzz::session::command::{Command, Read, Reply};
use connect_redis_rs_fuzz::session::compare_and_set::{
    Base, CompareAndSet, Form, KeyLife, OnConflict,
};
use connect_redis_rs_fuzz::session::expiry::Expiry;
use connect_redis_rs_fuzz::session::seal::open;
use connect_redis_rs_fuzz::session::true_expiry::TrueExpiry;
use connect_redis_rs_fuzz::values::{any, put_key};
use connect_redis_rs_fuzz::{check, json};
use libfuzzer_sys::fuzz_target;
use redis::{Cmd, Value};

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

    let mut command = command(kind.wrapping_sub(b'0') % 12, key.clone().into_bytes());
    command.prepare(Form::IfEq);
    let mut batch = Batch::default();
    command.add_to(&mut batch);
    let asked = batch.replies();
    let values: Vec<Value> = if kind.is_ascii_digit() {
        resp(&put_key(replies, key.as_bytes()))
    } else {
        let mut input = Unstructured::new(replies);
        std::iter::from_fn(|| any(&mut input, key.as_bytes()).ok())
            .take(asked + 1)
            .collect()
    };
    let values: Vec<Value> = values.into_iter().map(without_script).collect();

    assert_eq!(command.replies(), asked);
    for value in &values {
        places(value);
    }

    let mut taken = 0;
    let mut rest = values.iter().cloned().inspect(|_| taken += 1);
    let read = command.read(&mut rest, "get", "here", Instant::now());
    drop(rest);
    assert_eq!(taken, asked.min(values.len()));
    let Read::Answer(answer) = read else {
        let can_compare = matches!(
            command,
            Command::CompareAndSet { .. } | Command::Touch { .. }
        );
        assert!(can_compare, "only a save that compares is sent again");
        return;
    };

    match answer {
        Err(error) => {
            let texts = [Some(&*error.message), error.cause.as_deref()];
            for text in texts.into_iter().flatten() {
                assert!(!text.contains(&key), "{text}");
            }
            let is_word = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            assert!(error.code.as_str().chars().all(is_word), "{:?}", error.code);
            assert_ne!(error.code.as_str(), "ENOENT");
        }
        Ok(Reply::Session { text, expires, .. }) => {
            let Command::Get { expiry, .. } = command else {
                panic!("a session in answer to another call");
            };
            let stored = open(None, key.as_bytes(), bytes(&values[0]).to_vec());
            let stored = stored.expect("what does not open is an error");
            session(expiry, &stored, &text, expires, values.get(1));
        }
        Ok(Reply::Raw(raw)) => {
            assert_eq!(raw.len(), asked);
            assert!(matches!(command, Command::Raw(_)));
        }
        Ok(Reply::Discarded) => assert!(matches!(command, Command::Set { .. })),
        Ok(Reply::Saved { .. }) => assert!(matches!(command, Command::CompareAndSet { .. })),
        Ok(Reply::Number(_)) => assert!(matches!(command, Command::Ask { .. })),
        Ok(Reply::Null) => assert!(!matches!(command, Command::Raw(_))),
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
    if let Some(slot_map) = read_slot_map(value, "asked") {
        assert!(!slot_map.0.is_empty());
        for (from, to, node) in slot_map.0 {
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
        TrueExpiry::Beside | TrueExpiry::InTextAndBeside => {
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
        keeps_base: true,
        seal: None,
    };
    let set = |key, only_existing| Command::Set {
        key,
        value: b"{}".to_vec(),
        expires_in: Some(5000),
        only_existing,
        seal: None,
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
        10 | 11 => {
            let base =
                Base::new(br#"{"cookie":{"originalMaxAge":5,"expires":"a"},"n":1}"#.to_vec());
            let on_conflict = match kind {
                10 => OnConflict::Merge,
                _ => OnConflict::Report,
            };
            let (mine, times) = (br#"{"n":2}"#.to_vec(), (Some(9000.0), NOW as f64));
            let save = CompareAndSet::new(base, on_conflict, mine, KeyLife::In(5000), times);
            Command::CompareAndSet {
                key,
                save: Box::new(save),
            }
        }
        8 => Command::Raw(vec![Cmd::new(), Cmd::new(), Cmd::new()]),
        _ => Command::Touch {
            key,
            expiry: Expiry::Past,
        },
    }
}

/// Replies as the connection reads them, up to the first that is none.
fn resp(stream: &[u8]) -> Vec<Value> {
    let (frames, is_resp) = frames_in(std::iter::once(stream));
    let in_pieces = [
        frames_in(stream.chunks(1)),
        frames_in(stream.chunks((stream.len() / 2).max(1))),
        frames_in(any_pieces(stream)),
    ];
    for (pieces, is_resp_in_pieces) in in_pieces {
        assert_eq!(shown(&pieces), shown(&frames), "it depends on the pieces");
        assert_eq!(is_resp_in_pieces, is_resp);
    }
    as_the_crate_does(stream, &frames);
    frames
        .into_iter()
        .filter_map(|frame| match frame {
            Frame::Reply(value) => Some(value),
            Frame::Push(_) => None,
        })
        .collect()
}

/// The frames of a stream that comes in pieces, up to a protocol error, and whether there is no error.
fn frames_in<'s>(pieces: impl Iterator<Item = &'s [u8]>) -> (Vec<Frame>, bool) {
    let mut parser = Parser::default();
    let (mut input, mut all) = (Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        let mut rest = &input[..];
        loop {
            match parser.next(&mut rest) {
                Ok(Some(frame)) => all.push(frame),
                Ok(None) => break,
                Err(_) => return (all, false), // The connection is given up.
            }
        }
        let used = input.len() - rest.len();
        input.drain(..used);
    }
    (all, true)
}

/// Pieces of lengths that look like none in particular.
fn any_pieces(mut stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut dice = stream.len();
    std::iter::from_fn(move || {
        dice = dice.wrapping_mul(25_173).wrapping_add(13_849) % 65_536;
        let length = (1 + dice / 7 % 40).min(stream.len());
        let (piece, rest) = stream.split_at(length);
        stream = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Panics unless what the redis crate reads is what is read here.
fn as_the_crate_does(mut stream: &[u8], frames: &[Frame]) {
    let mut parser = redis::Parser::new();
    let mut frames = frames.iter();
    while let Ok(theirs) = parser.parse_value(&mut stream) {
        match theirs {
            // By the specification there is none without a kind.
            Value::Push { data, .. } if data.is_empty() => return,
            Value::Push { data, .. } if !data.iter().any(has_push) => match frames.next() {
                Some(Frame::Push(ours)) => {
                    let data: Vec<Value> = data.into_iter().map(without_attributes).collect();
                    assert_eq!(shown(&ours[1..]), shown(&data));
                }
                other => panic!("{data:?} is read as {other:?}"),
            },
            // There it is within nothing.
            theirs if has_push(&theirs) => return,
            theirs => match frames.next() {
                Some(Frame::Reply(ours)) => {
                    assert_eq!(shown(&[ours]), shown(&[without_attributes(theirs)]));
                }
                other => panic!("{theirs:?} is read as {other:?}"),
            },
        }
    }
}

fn has_push(value: &Value) -> bool {
    let has_one = |pair: &(Value, Value)| has_push(&pair.0) || has_push(&pair.1);
    match value {
        Value::Push { .. } => true,
        Value::Array(list) | Value::Set(list) => list.iter().any(has_push),
        Value::Map(pairs) => pairs.iter().any(has_one),
        Value::Attribute { data, attributes } => has_push(data) || attributes.iter().any(has_one),
        _ => false,
    }
}

fn without_attributes(value: Value) -> Value {
    let all = |list: Vec<Value>| list.into_iter().map(without_attributes).collect();
    match value {
        Value::Attribute { data, .. } => without_attributes(*data),
        Value::Array(list) => Value::Array(all(list)),
        Value::Set(list) => Value::Set(all(list)),
        Value::Map(pairs) => Value::Map(
            pairs
                .into_iter()
                .map(|(name, value)| (without_attributes(name), without_attributes(value)))
                .collect(),
        ),
        value => value,
    }
}

/// To compare what may hold a NaN.
fn shown(values: &[impl std::fmt::Debug]) -> String {
    format!("{values:?}")
}
