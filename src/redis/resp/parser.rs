//! Parses what a server sends.

use redis::{ErrorKind, RedisError, Value, VerbatimFormat, parse_redis_value};

/// The deepest nesting of aggregates, the same as in the redis crate.
const MAX_DEPTH: usize = 100;
/// The longest line in bytes, of an error, a status or a number. Redis's own are far shorter.
const MAX_LINE: usize = 1 << 20;
/// The largest length of a string in bytes, or of an aggregate in elements: eight times what Redis
/// allows for a string.
const MAX_LENGTH: i64 = 1 << 32;
/// How much memory is allocated before the data has come, whatever length the server announces: bytes
/// of a string, elements of an aggregate.
const MAX_PREALLOCATED_BYTES: usize = 1 << 16;
const MAX_PREALLOCATED_ELEMENTS: usize = 64;

/// One message of a server.
#[derive(Debug, PartialEq)]
pub enum Frame {
    /// The reply to the oldest command in flight.
    Reply(Value),
    /// A push message of RESP3, which replies to no command: its kind, and its data.
    Push(Vec<Value>),
}

/// Parses frames, in whatever pieces they come. Nothing is parsed twice: complete elements are taken
/// off the input immediately, and kept until the rest of their frame has come.
#[derive(Default)]
pub struct Parser {
    /// Aggregates that are not complete, outermost first.
    open: Vec<Aggregate>,
    /// A string that is not complete.
    blob: Option<Blob>,
    /// How many bytes of the input have no end of a line.
    searched: usize,
    /// Whether to stop at the head of the next array.
    stops_at_head: bool,
    head: Option<Value>,
}

/// What the parser has found in the input.
enum Parsed {
    Value(Value),
    /// The start of an aggregate. Its elements follow.
    Opened,
    /// Not a whole element.
    Incomplete,
}

impl Parser {
    /// Whether [`Parser::next`] stops once more when it has the first of several elements of an array. It
    /// returns `None` then, as if the rest had not come; [`Parser::take_head`] returns the element.
    pub fn stop_at_head(&mut self, stops: bool) {
        self.stops_at_head = stops;
    }

    pub fn take_head(&mut self) -> Option<Value> {
        self.head.take()
    }

    /// Takes one frame off the front of the input. Returns `None` if the frame is incomplete: then the
    /// rest of the input, at most a part of a line, must be given again with what follows it. After
    /// an error the parser cannot go on.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, RedisError> {
        loop {
            let mut value = match self.parse_element(input)? {
                Parsed::Value(value) => value,
                Parsed::Opened => continue,
                Parsed::Incomplete => return Ok(None),
            };
            // An aggregate that is complete becomes an element of the one around it.
            loop {
                let Some(aggregate) = self.open.last_mut() else {
                    return Ok(Some(Frame::Reply(value)));
                };
                aggregate.elements.push(value);
                if aggregate.elements.len() < aggregate.length {
                    if self.stops_at_head && self.is_at_head() {
                        self.stops_at_head = false;
                        self.head = self.open[0].elements.first().cloned();
                        return Ok(None);
                    }
                    break;
                }
                let elements = std::mem::take(&mut aggregate.elements);
                let shape = aggregate.shape;
                self.open.pop();
                value = match shape {
                    Shape::Array => Value::Array(elements),
                    Shape::Set => Value::Set(elements),
                    Shape::Map => Value::Map(pairs(elements)),
                    Shape::Attribute => break,
                    Shape::Push => return Ok(Some(Frame::Push(elements))),
                };
            }
        }
    }

    /// Whether the first element of an array has just come, and is not within another.
    fn is_at_head(&self) -> bool {
        let [aggregate] = &self.open[..] else {
            return false;
        };
        matches!(aggregate.shape, Shape::Array) && aggregate.elements.len() == 1
    }

    fn parse_element(&mut self, input: &mut &[u8]) -> Result<Parsed, RedisError> {
        if let Some(blob) = &mut self.blob {
            blob.take(input);
            return self.end_blob(input);
        }
        let Some(&kind) = input.first() else {
            return Ok(Parsed::Incomplete);
        };
        if self.open.len() >= MAX_DEPTH {
            return Err(protocol_error("too deeply nested"));
        }
        if !b"$:+*-_,#!=(~%|>".contains(&kind) {
            return Err(protocol_error(format!(
                "invalid first byte {:?}",
                char::from(kind)
            )));
        }
        let Some(line) = self.line(input)? else {
            return Ok(Parsed::Incomplete);
        };
        Ok(Parsed::Value(match kind {
            b'+' if line == b"OK" => Value::Okay,
            b'+' => Value::SimpleString(String::from_utf8_lossy(line).into()),
            b'-' => server_error(line)?,
            b':' => Value::Int(number(line)?),
            b'_' => Value::Nil,
            b'#' if line == b"t" => Value::Boolean(true),
            b'#' if line == b"f" => Value::Boolean(false),
            b'#' => return Err(protocol_error("invalid boolean")),
            b',' => Value::Double(parsed(line).ok_or_else(|| protocol_error("invalid double"))?),
            b'(' => Value::BigNumber(line.to_vec()),
            b'$' | b'!' | b'=' => match length(kind, line)? {
                None => Value::Nil,
                Some(length) => {
                    self.blob = Some(Blob::new(kind, length, input));
                    return self.end_blob(input);
                }
            },
            _ => return self.open(kind, line),
        }))
    }

    /// Takes a line off the input, and returns it without its first byte and its end.
    fn line<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<&'i [u8]>, RedisError> {
        let mut from = self.searched.max(1);
        while let Some(found) = find(b'\n', input.get(from..).unwrap_or_default()) {
            let end = from + found;
            if input[end - 1] == b'\r' && end > 1 {
                let line = &input[1..end - 1];
                *input = &input[end + 1..];
                self.searched = 0;
                return Ok(Some(line));
            }
            from = end + 1;
        }
        self.searched = input.len();
        if input.len() > MAX_LINE {
            return Err(protocol_error("line too long"));
        }
        Ok(None)
    }

    /// Returns the string if it is complete.
    fn end_blob(&mut self, input: &mut &[u8]) -> Result<Parsed, RedisError> {
        if self.blob.as_ref().is_none_or(|blob| blob.missing > 0) || input.len() < 2 {
            return Ok(Parsed::Incomplete);
        }
        let (end, rest) = input.split_at(2);
        *input = rest;
        if end != b"\r\n" {
            return Err(protocol_error("string longer than its length"));
        }
        let Some(Blob { kind, bytes, .. }) = self.blob.take() else {
            return Ok(Parsed::Incomplete);
        };
        Ok(Parsed::Value(match kind {
            b'!' => server_error(&bytes)?,
            b'=' => verbatim(&bytes)?,
            _ => Value::BulkString(bytes),
        }))
    }

    /// Starts an aggregate.
    fn open(&mut self, kind: u8, line: &[u8]) -> Result<Parsed, RedisError> {
        let shape = match kind {
            b'*' => Shape::Array,
            b'~' => Shape::Set,
            b'%' => Shape::Map,
            b'|' => Shape::Attribute,
            _ if self.open.is_empty() => Shape::Push,
            _ => return Err(protocol_error("push inside a reply")),
        };
        let Some(length) = length(kind, line)? else {
            return Ok(Parsed::Value(Value::Nil));
        };
        let length = match shape {
            Shape::Map | Shape::Attribute => 2 * length,
            _ => length,
        };
        if length == 0 {
            return Ok(match shape {
                Shape::Array => Parsed::Value(Value::Array(Vec::new())),
                Shape::Set => Parsed::Value(Value::Set(Vec::new())),
                Shape::Map => Parsed::Value(Value::Map(Vec::new())),
                Shape::Attribute => Parsed::Opened, // It is skipped.
                Shape::Push => return Err(protocol_error("empty push")),
            });
        }
        self.open.push(Aggregate {
            shape,
            length,
            elements: Vec::with_capacity(length.min(MAX_PREALLOCATED_ELEMENTS)),
        });
        Ok(Parsed::Opened)
    }
}

/// A value that consists of others.
struct Aggregate {
    shape: Shape,
    /// How many elements it must have.
    length: usize,
    /// The elements that have come.
    elements: Vec<Value>,
}

#[derive(Clone, Copy)]
enum Shape {
    Array,
    Set,
    Map,
    /// Data about the value that follows it. Nobody here needs it.
    Attribute,
    Push,
}

/// A string that has its length before it.
struct Blob {
    /// The first byte, which says what the string is.
    kind: u8,
    bytes: Vec<u8>,
    /// How many bytes are missing, not counting the end of the line.
    missing: usize,
}

impl Blob {
    fn new(kind: u8, length: usize, input: &mut &[u8]) -> Blob {
        let ahead = length.min(input.len().max(MAX_PREALLOCATED_BYTES));
        let mut blob = Blob {
            kind,
            bytes: Vec::with_capacity(ahead),
            missing: length,
        };
        blob.take(input);
        blob
    }

    /// Takes what has come of the string off the input.
    fn take(&mut self, input: &mut &[u8]) {
        let (new, rest) = input.split_at(self.missing.min(input.len()));
        // Doubles each time, up to the size that the whole string needs.
        if self.bytes.capacity() - self.bytes.len() < new.len() {
            let more = self.bytes.len().max(new.len()).min(self.missing);
            self.bytes.reserve_exact(more);
        }
        self.bytes.extend_from_slice(new);
        self.missing -= new.len();
        *input = rest;
    }
}

fn pairs(elements: Vec<Value>) -> Vec<(Value, Value)> {
    let mut pairs = Vec::with_capacity(elements.len() / 2);
    let mut elements = elements.into_iter();
    while let (Some(name), Some(value)) = (elements.next(), elements.next()) {
        pairs.push((name, value));
    }
    pairs
}

/// Only the redis crate can make this value. Its blob form allows any bytes.
fn server_error(text: &[u8]) -> Result<Value, RedisError> {
    let length = text.len().to_string();
    parse_redis_value(&[b"!", length.as_bytes(), b"\r\n", text, b"\r\n"].concat())
}

fn verbatim(bytes: &[u8]) -> Result<Value, RedisError> {
    let text = String::from_utf8_lossy(bytes);
    let Some((format, text)) = text.split_once(':') else {
        return Err(protocol_error("verbatim string without a format"));
    };
    Ok(Value::VerbatimString {
        format: match format {
            "txt" => VerbatimFormat::Text,
            "mkd" => VerbatimFormat::Markdown,
            other => VerbatimFormat::Unknown(other.into()),
        },
        text: text.into(),
    })
}

/// Parses a length. Returns `None` for RESP2's null.
fn length(kind: u8, line: &[u8]) -> Result<Option<usize>, RedisError> {
    match number(line)? {
        length @ 0..=MAX_LENGTH => Ok(usize::try_from(length).ok()),
        ..0 if matches!(kind, b'$' | b'*' | b'~') => Ok(None),
        length => Err(protocol_error(format!("invalid length {length}"))),
    }
}

fn number(line: &[u8]) -> Result<i64, RedisError> {
    // The common case, since there is a number in nearly every reply.
    if (1..=18).contains(&line.len()) && line.iter().all(u8::is_ascii_digit) {
        let digits = line.iter().map(|digit| i64::from(digit - b'0'));
        return Ok(digits.fold(0, |number, digit| 10 * number + digit));
    }
    parsed(line).ok_or_else(|| protocol_error("invalid number"))
}

fn parsed<T: std::str::FromStr>(line: &[u8]) -> Option<T> {
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&here| here == byte)
}

/// What came is not RESP. The error does not repeat it, because it may be a session.
pub fn protocol_error(reason: impl std::fmt::Display) -> RedisError {
    let detail = format!("protocol error, this is not a reply of Redis: {reason}");
    (ErrorKind::Parse, "not RESP", detail).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_an_array_is_there_before_the_rest() {
        let text = |text: &str| Value::BulkString(text.into());
        let whole = b"*2\r\n$1\r\n7\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n+OK\r\n";
        let mut parser = Parser::default();
        let mut input = &whole[..];
        parser.stop_at_head(true);
        assert_eq!(parser.next(&mut input).unwrap(), None);
        assert_eq!(parser.take_head(), Some(text("7")));
        assert_eq!(parser.take_head(), None);
        let array = Value::Array(vec![text("a"), text("b")]);
        let array = Frame::Reply(Value::Array(vec![text("7"), array]));
        assert_eq!(parser.next(&mut input).unwrap(), Some(array));
        assert_eq!(
            parser.next(&mut input).unwrap(),
            Some(Frame::Reply(Value::Okay))
        );
    }

    #[test]
    fn what_is_no_array_has_no_head() {
        let mut parser = Parser::default();
        parser.stop_at_head(true);
        let mut input = &b">2\r\n+a\r\n+b\r\n-ERR no\r\n"[..];
        let push = parser.next(&mut input).unwrap();
        assert!(matches!(push, Some(Frame::Push(_))));
        let error = parser.next(&mut input).unwrap();
        assert!(matches!(error, Some(Frame::Reply(Value::ServerError(_)))));
        assert_eq!(parser.take_head(), None);
    }

    /// All frames of a stream that comes in `pieces`.
    fn frames_in<'s>(pieces: impl IntoIterator<Item = &'s [u8]>) -> Result<Vec<Frame>, RedisError> {
        let mut parser = Parser::default();
        let mut input = Vec::new();
        let mut frames = Vec::new();
        for piece in pieces {
            input.extend_from_slice(piece);
            let mut rest = &input[..];
            while let Some(next) = parser.next(&mut rest)? {
                frames.push(next);
            }
            let used = input.len() - rest.len();
            input.drain(..used);
        }
        Ok(frames)
    }

    fn frames(stream: &[u8]) -> Vec<Frame> {
        frames_in([stream]).unwrap()
    }

    fn reply(stream: &[u8]) -> Value {
        match frames(stream).pop() {
            Some(Frame::Reply(value)) => value,
            other => panic!("{other:?}"),
        }
    }

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    /// Each type, and types within others.
    const EACH_TYPE: &[&str] = &[
        "+OK\r\n",
        "+PONG\r\n",
        "+\r\n",
        "-ERR unknown command\r\n",
        "-WRONGTYPE Operation against a key\r\n",
        "-MOVED 3999 127.0.0.1:6381\r\n",
        "-\r\n",
        ":-42\r\n",
        ":0\r\n",
        ":+7\r\n",
        ":999999999999999999\r\n",
        ":1000000000000000000\r\n",
        ":9223372036854775807\r\n",
        ":-9223372036854775808\r\n",
        "$5\r\nhe\r\no\r\n",
        "$0\r\n\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "_\r\n",
        "*0\r\n",
        "*3\r\n:1\r\n*2\r\n$1\r\na\r\n_\r\n+x\r\n",
        ",1.5\r\n",
        ",-inf\r\n",
        "#t\r\n",
        "#f\r\n",
        "!9\r\nOOM a\r\nbc\r\n",
        "=8\r\ntxt:a\r\nb\r\n",
        "=5\r\nmkd:#\r\n",
        "(123456789012345678901234567890\r\n",
        "%0\r\n",
        "%2\r\n+a\r\n:1\r\n$1\r\nb\r\n*1\r\n_\r\n",
        "~2\r\n:1\r\n:2\r\n",
    ];

    #[test]
    fn each_type_is_read_as_the_crate_reads_it() {
        for stream in EACH_TYPE {
            let expected = redis::parse_redis_value(stream.as_bytes()).unwrap();
            assert_eq!(reply(stream.as_bytes()), expected, "{stream:?}");
        }
    }

    #[test]
    fn a_stream_may_be_cut_anywhere() {
        let stream = [
            EACH_TYPE.concat().as_str(),
            "|1\r\n+ttl\r\n*1\r\n:9\r\n>2\r\n+message\r\n$1\r\nx\r\n*1\r\n|1\r\n+a\r\n+b\r\n:7\r\n",
        ]
        .concat();
        let stream = stream.as_bytes();
        let whole = frames(stream);
        assert_eq!(whole.len(), EACH_TYPE.len() + 2);
        for first in 0..=stream.len() {
            let (one, rest) = stream.split_at(first);
            assert_eq!(frames_in([one, rest]).unwrap(), whole, "cut at {first}");
        }
        assert_eq!(frames_in(stream.chunks(1)).unwrap(), whole);
        assert_eq!(frames_in(stream.chunks(3)).unwrap(), whole);
    }

    #[test]
    fn a_push_is_no_reply_and_an_attribute_no_value() {
        let stream = b">3\r\n+message\r\n+channel\r\n$4\r\nnews\r\n|1\r\n+ttl\r\n:9\r\n:1\r\n";
        let push = vec![
            Value::SimpleString("message".into()),
            Value::SimpleString("channel".into()),
            bulk("news"),
        ];
        let all = [Frame::Push(push), Frame::Reply(Value::Int(1))];
        assert_eq!(frames(stream), all);
        assert_eq!(
            reply(b"*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n|0\r\n:2\r\n"),
            Value::Array(vec![Value::Int(1), Value::Int(2)])
        );
    }

    #[test]
    fn an_error_need_not_be_utf8() {
        let Value::ServerError(error) = reply(b"-ERR no \xc3\r\n") else {
            panic!("no error");
        };
        assert_eq!(
            (error.code(), error.details()),
            ("ERR", Some("no \u{fffd}"))
        );
    }

    #[test]
    fn a_protocol_error_does_not_repeat_what_came() {
        for stream in [
            "HTTP/1.1 400 Bad Request\r\n",
            "secret",
            "\r\n",
            ":secret\r\n",
            ":\r\n",
            ":9223372036854775808\r\n",
            ",secret\r\n",
            "#secret\r\n",
            "$3\r\nsecret\r\n",
            "$secret\r\n",
            "$4294967297\r\n",
            "$99999999999999999999\r\n",
            "*4294967297\r\n",
            "%-1\r\n",
            "!-1\r\n",
            "=-1\r\n",
            "=6\r\nsecret\r\n",
            ">0\r\n",
            "*1\r\n>1\r\n+secret\r\n",
        ] {
            let error = frames_in([stream.as_bytes()]).unwrap_err();
            let detail = error.detail().unwrap_or_default();
            assert!(detail.contains("protocol error"), "{stream:?}: {detail}");
            assert!(!detail.contains("secret"), "{stream:?}: {detail}");
        }
    }

    #[test]
    fn nesting_is_limited() {
        let nested = |depth| format!("{}:1\r\n", "*1\r\n".repeat(depth)).into_bytes();
        assert!(frames_in([&nested(99)[..]]).is_ok());
        assert!(frames_in([&nested(100)[..]]).is_err());
        assert!(frames_in([&nested(1_000_000)[..]]).is_err());
        // The limit is one of depth, not of a sum.
        let many = b"*1\r\n*1\r\n:1\r\n".repeat(1000);
        assert_eq!(frames(&many).len(), 1000);
    }

    #[test]
    fn an_announced_length_is_not_allocated() {
        for stream in [
            "$4294967296\r\nabc",
            "*4294967296\r\n:1\r\n",
            "%2147483648\r\n",
        ] {
            let mut parser = Parser::default();
            assert!(parser.next(&mut stream.as_bytes()).unwrap().is_none());
            let blob = parser.blob.map_or(0, |blob| blob.bytes.capacity());
            let elements = parser.open.last().map_or(0, |a| a.elements.capacity());
            assert!(blob <= MAX_PREALLOCATED_BYTES && elements <= MAX_PREALLOCATED_ELEMENTS);
        }
    }

    #[test]
    fn a_line_without_an_end_is_a_protocol_error() {
        let endless = vec![b'+'; MAX_LINE + 2];
        assert!(frames_in(endless.chunks(1 << 16)).is_err());
    }

    #[test]
    fn large_values_in_many_pieces_are_parsed_once() {
        let text = "x".repeat(64 << 20);
        let stream = format!(
            "${}\r\n{text}\r\n*100000\r\n{}",
            text.len(),
            ":1\r\n".repeat(100_000)
        );
        let line = format!("+{}\r\n", "y".repeat(MAX_LINE - 10));
        let stream = [stream.as_bytes(), line.as_bytes()].concat();
        // (This would take minutes if each piece made the parser start over.)
        let all = frames_in(stream.chunks(1 << 10)).unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!(all[0], Frame::Reply(Value::BulkString(text.into())));
    }
}
