//! Any reply that a server could give, of any type and any nesting.

use arbitrary::{Result, Unstructured};
use redis::{PushKind, Value, VerbatimFormat, parse_redis_value};

/// As deep as the redis crate takes replies.
const DEEPEST: u32 = 100;

/// A reply.
pub fn any(input: &mut Unstructured, key: &[u8]) -> Result<Value> {
    nested(input, key, DEEPEST)
}

fn nested(input: &mut Unstructured, key: &[u8], depth: u32) -> Result<Value> {
    let kinds = if depth == 0 { 9 } else { 14 };
    Ok(match input.int_in_range(0..=kinds)? {
        0 => Value::Nil,
        1 => Value::Int(input.arbitrary()?),
        2 => Value::BulkString(input.arbitrary()?),
        3 => Value::SimpleString(input.arbitrary()?),
        4 => Value::Okay,
        5 => Value::Double(input.arbitrary()?),
        6 => Value::Boolean(input.arbitrary()?),
        7 => Value::VerbatimString {
            format: VerbatimFormat::Text,
            text: input.arbitrary()?,
        },
        8 => Value::BigNumber(input.arbitrary()?),
        9 => error(input.arbitrary()?, key),
        10 => Value::Array(list(input, key, depth)?),
        11 => Value::Set(list(input, key, depth)?),
        12 => Value::Map(pairs(input, key, depth)?),
        13 => Value::Attribute {
            data: Box::new(nested(input, key, depth - 1)?),
            attributes: pairs(input, key, depth)?,
        },
        _ => Value::Push {
            kind: PushKind::Other(input.arbitrary()?),
            data: list(input, key, depth)?,
        },
    })
}

/// An error, in whose text a byte of 1 stands for the key. (It can only be made by parsing one.)
fn error(text: &str, key: &[u8]) -> Value {
    let text: String = text.split(['\r', '\n']).collect();
    let line = put_key(format!("-{text}").as_bytes(), key);
    parse_redis_value(&[&line[..], b"\r\n"].concat()).unwrap_or_default()
}

fn list(input: &mut Unstructured, key: &[u8], depth: u32) -> Result<Vec<Value>> {
    let mut list = Vec::new();
    // (An input that is used up goes on as zeros.)
    while !input.is_empty() && input.ratio(3, 4)? {
        list.push(nested(input, key, depth - 1)?);
    }
    Ok(list)
}

fn pairs(input: &mut Unstructured, key: &[u8], depth: u32) -> Result<Vec<(Value, Value)>> {
    let mut list = list(input, key, depth)?.into_iter();
    let mut pairs = Vec::new();
    while let (Some(name), Some(value)) = (list.next(), list.next()) {
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// `text` with the key for every byte of 1: what a server repeats of a command. The fuzzer would
/// not find the key by itself.
pub fn put_key(text: &[u8], key: &[u8]) -> Vec<u8> {
    text.split(|&byte| byte == 1).collect::<Vec<_>>().join(key)
}
