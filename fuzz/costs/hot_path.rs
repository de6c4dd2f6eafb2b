//! The hot path of a call without Node and without a network, so many times: `hot-path get 1000`. Its
//! instructions are counted by scripts/costs.js.

use std::hint::black_box;
use std::time::Instant;

use connect_redis_rs_fuzz::redis::Batch;
use connect_redis_rs_fuzz::redis::resp::{Frame, Parser};
use connect_redis_rs_fuzz::session::clock::Clock;
use connect_redis_rs_fuzz::session::command::Command;
use connect_redis_rs_fuzz::session::expiry::Expiry;
use connect_redis_rs_fuzz::session::true_expiry::TrueExpiry;
use redis::Value;

const KEY: &[u8] = b"sess:0123456789abcdef0123456789abcdef";
/// Half a day, in milliseconds.
const TTL: i64 = 43_200_000;

/// Makes the command of a call on this session.
type MakeCommand = fn(&[u8]) -> Command;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let operation = arguments.next().unwrap_or_default();
    let count: usize = arguments
        .next()
        .and_then(|count| count.parse().ok())
        .unwrap_or_default();
    let session = session();
    let (command, replies): (MakeCommand, Vec<u8>) = match operation.as_str() {
        "get" => (get, get_replies(&session)),
        "set" => (set, b"+OK\r\n".to_vec()),
        "touch" => (touch, b":1\r\n".to_vec()),
        _ => panic!("an operation: get, set or touch"),
    };
    for _ in 0..count {
        call(command(black_box(&session)), black_box(&replies));
    }
}

/// About 580 bytes, as the benchmark's sessions.
fn session() -> Vec<u8> {
    let cookie =
        r#""originalMaxAge":86400000,"expires":"2026-11-26T12:00:00.000Z","httpOnly":true"#;
    let pad = "x".repeat(450);
    format!(r#"{{"cookie":{{{cookie},"path":"/"}},"user":"ada","pad":"{pad}"}}"#).into_bytes()
}

fn get(_: &[u8]) -> Command {
    Command::Get {
        key: KEY.to_vec(),
        expiry: TrueExpiry::InText,
        clock: Clock::new(1_767_268_800_000.0),
        keeps_base: false,
        seal: None,
    }
}

fn get_replies(session: &[u8]) -> Vec<u8> {
    let length = session.len();
    let text = [format!("${length}\r\n").as_bytes(), session].concat();
    [&text, format!("\r\n:{TTL}\r\n").as_bytes()].concat()
}

fn set(session: &[u8]) -> Command {
    Command::Set {
        key: KEY.to_vec(),
        value: session.to_vec(),
        expires_in: Some(TTL),
        only_existing: true,
        seal: None,
    }
}

fn touch(_: &[u8]) -> Command {
    Command::Touch {
        key: KEY.to_vec(),
        expiry: Expiry::In(TTL),
    }
}

/// Encodes a call, parses its replies, and reads its answer off them.
fn call(mut command: Command, replies: &[u8]) {
    let mut batch = Batch::with_capacity(command.size() + 96);
    command.add_to(&mut batch);
    black_box(batch.into_bytes());
    let mut parser = Parser::default();
    let mut rest = replies;
    let mut values = Vec::with_capacity(command.replies());
    while let Ok(Some(Frame::Reply(value))) = parser.next(&mut rest) {
        values.push(value);
    }
    let mut values = values.into_iter();
    let answer = command.read(&mut values, "get", "here", Instant::now());
    black_box(answer);
    assert_eq!(values.next(), None::<Value>);
}
