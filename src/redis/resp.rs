//! RESP, Redis's protocol, in both its versions: <https://redis.io/docs/latest/develop/reference/protocol-spec/>

use redis::{Cmd, ErrorKind, RedisError, Value, VerbatimFormat, parse_redis_value};

/// Aggregates within one another, as the redis crate has it.
const DEEPEST: usize = 100;
/// Bytes of a line: of an error, a status or a number. Redis's own are far shorter.
const LONGEST_LINE: usize = 1 << 20;
/// Bytes of a string, or elements of an aggregate: eight times what a string in Redis may have.
const LARGEST: i64 = 1 << 32;
/// What is allocated ahead, however much is announced: bytes of a string, elements of an aggregate.
const BYTES_AHEAD: usize = 1 << 16;
const ELEMENTS_AHEAD: usize = 64;

/// Commands that go out together.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    replies: usize,
    asking: bool,
}

impl Batch {
    /// With room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Batch {
        Batch {
            bytes: Vec::with_capacity(bytes),
            ..Batch::default()
        }
    }

    /// How many replies there will be.
    pub fn replies(&self) -> usize {
        self.replies
    }

    /// What goes over the wire.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether an ASKING, with a reply of its own, goes before each command that is added from here
    /// on.
    pub fn set_asking(&mut self, asking: bool) {
        self.asking = asking;
    }

    /// Adds a command: its name and its arguments.
    pub fn add(&mut self, command: &[&[u8]]) {
        self.ask();
        self.write(command);
        self.replies += 1;
    }

    /// Adds a command of the crate's.
    pub fn add_cmd(&mut self, command: &Cmd) {
        self.ask();
        command.write_packed_command(&mut self.bytes);
        self.replies += 1;
    }

    /// Adds a SUBSCRIBE: to that a server answers in RESP3 with a push, or with an error that is
    /// taken for the next command's reply.
    pub fn subscribe(&mut self, channel: &str) {
        self.write(&[b"SUBSCRIBE", channel.as_bytes()]);
    }

    fn ask(&mut self) {
        if self.asking {
            self.write(&[b"ASKING"]);
            self.replies += 1;
        }
    }

    fn write(&mut self, command: &[&[u8]]) {
        self.write_length(b'*', command.len());
        for argument in command {
            self.write_length(b'$', argument.len());
            self.bytes.extend_from_slice(argument);
            self.bytes.extend_from_slice(b"\r\n");
        }
    }

    fn write_length(&mut self, kind: u8, length: usize) {
        self.bytes.push(kind);
        let mut digits = itoa::Buffer::new();
        self.bytes
            .extend_from_slice(digits.format(length).as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// What a server says.
#[derive(Debug, PartialEq)]
pub enum Frame {
    /// The answer to the oldest command that has none.
    Reply(Value),
    /// What nobody asked for, by RESP3: what kind of news it is, and the news.
    Push(Vec<Value>),
}

/// Reads what a server says, in whatever pieces it comes. Nothing is read twice: what is whole is
/// taken off the input at once, and kept until the rest is there.
#[derive(Default)]
pub struct Parser {
    /// Aggregates that have elements to come, the outermost first.
    open: Vec<Aggregate>,
    /// A string of which a part has come.
    blob: Option<Blob>,
    /// Where the search for the end of a line goes on.
    searched: usize,
}

/// What a piece of input makes.
enum Piece {
    Value(Value),
    /// An aggregate whose elements follow.
    Opened,
    /// None before more of it has come.
    Cut,
}

impl Parser {
    /// Takes one thing said off the front of the input. Nothing where it has not come whole: then
    /// what is left in the input, a part of a line at most, has to be given again with what follows
    /// it. After an error, nothing that follows can be understood.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, RedisError> {
        loop {
            let mut value = match self.piece(input)? {
                Piece::Value(value) => value,
                Piece::Opened => continue,
                Piece::Cut => return Ok(None),
            };
            // The last element of an aggregate makes that an element of the one around it.
            loop {
                let Some(aggregate) = self.open.last_mut() else {
                    return Ok(Some(Frame::Reply(value)));
                };
                aggregate.elements.push(value);
                if aggregate.elements.len() < aggregate.length {
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

    fn piece(&mut self, input: &mut &[u8]) -> Result<Piece, RedisError> {
        if let Some(blob) = &mut self.blob {
            blob.take(input);
            return self.end_blob(input);
        }
        let Some(&kind) = input.first() else {
            return Ok(Piece::Cut);
        };
        if self.open.len() >= DEEPEST {
            return Err(garbled("its arrays are nested too deeply"));
        }
        if !b"$:+*-_,#!=(~%|>".contains(&kind) {
            return Err(garbled(format!("it begins with {:?}", char::from(kind))));
        }
        let Some(line) = self.line(input)? else {
            return Ok(Piece::Cut);
        };
        Ok(Piece::Value(match kind {
            b'+' if line == b"OK" => Value::Okay,
            b'+' => Value::SimpleString(String::from_utf8_lossy(line).into()),
            b'-' => server_error(line)?,
            b':' => Value::Int(number(line)?),
            b'_' => Value::Nil,
            b'#' if line == b"t" => Value::Boolean(true),
            b'#' if line == b"f" => Value::Boolean(false),
            b'#' => return Err(garbled("a boolean is neither t nor f")),
            b',' => Value::Double(parsed(line).ok_or_else(|| garbled("a double is none"))?),
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

    /// Takes a line off the input, and returns what stands between its first byte and its end.
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
        if input.len() > LONGEST_LINE {
            return Err(garbled("a line has no end"));
        }
        Ok(None)
    }

    /// The string that has come, where that is whole.
    fn end_blob(&mut self, input: &mut &[u8]) -> Result<Piece, RedisError> {
        if self.blob.as_ref().is_none_or(|blob| blob.missing > 0) || input.len() < 2 {
            return Ok(Piece::Cut);
        }
        let (end, rest) = input.split_at(2);
        *input = rest;
        if end != b"\r\n" {
            return Err(garbled("a string is longer than it says"));
        }
        let Some(Blob { kind, bytes, .. }) = self.blob.take() else {
            return Ok(Piece::Cut);
        };
        Ok(Piece::Value(match kind {
            b'!' => server_error(&bytes)?,
            b'=' => verbatim(&bytes)?,
            _ => Value::BulkString(bytes),
        }))
    }

    /// Begins an aggregate.
    fn open(&mut self, kind: u8, line: &[u8]) -> Result<Piece, RedisError> {
        let shape = match kind {
            b'*' => Shape::Array,
            b'~' => Shape::Set,
            b'%' => Shape::Map,
            b'|' => Shape::Attribute,
            _ if self.open.is_empty() => Shape::Push,
            _ => return Err(garbled("a push stands within a reply")),
        };
        let Some(length) = length(kind, line)? else {
            return Ok(Piece::Value(Value::Nil));
        };
        let length = match shape {
            Shape::Map | Shape::Attribute => 2 * length,
            _ => length,
        };
        if length == 0 {
            return Ok(match shape {
                Shape::Array => Piece::Value(Value::Array(Vec::new())),
                Shape::Set => Piece::Value(Value::Set(Vec::new())),
                Shape::Map => Piece::Value(Value::Map(Vec::new())),
                Shape::Attribute => Piece::Opened, // And passed over.
                Shape::Push => return Err(garbled("a push is empty")),
            });
        }
        self.open.push(Aggregate {
            shape,
            length,
            elements: Vec::with_capacity(length.min(ELEMENTS_AHEAD)),
        });
        Ok(Piece::Opened)
    }
}

/// Several values that are one.
struct Aggregate {
    shape: Shape,
    /// Elements in all.
    length: usize,
    /// Those that have come.
    elements: Vec<Value>,
}

#[derive(Clone, Copy)]
enum Shape {
    Array,
    Set,
    Map,
    /// What goes before a value and says something about it, which nobody here asks for.
    Attribute,
    Push,
}

/// A string that says its length first.
struct Blob {
    /// The byte it began with.
    kind: u8,
    bytes: Vec<u8>,
    /// Bytes still to come, without the end of the line behind them.
    missing: usize,
}

impl Blob {
    fn new(kind: u8, length: usize, input: &mut &[u8]) -> Blob {
        let ahead = length.min(input.len().max(BYTES_AHEAD));
        let mut blob = Blob {
            kind,
            bytes: Vec::with_capacity(ahead),
            missing: length,
        };
        blob.take(input);
        blob
    }

    /// Takes what there is of it off the input.
    fn take(&mut self, input: &mut &[u8]) {
        let (new, rest) = input.split_at(self.missing.min(input.len()));
        // Twice as large each time, but never larger than it will be.
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

/// An error is made by the crate alone. In the form of a blob it may hold any bytes.
fn server_error(text: &[u8]) -> Result<Value, RedisError> {
    let length = text.len().to_string();
    parse_redis_value(&[b"!", length.as_bytes(), b"\r\n", text, b"\r\n"].concat())
}

fn verbatim(bytes: &[u8]) -> Result<Value, RedisError> {
    let text = String::from_utf8_lossy(bytes);
    let Some((format, text)) = text.split_once(':') else {
        return Err(garbled("a string does not say its format"));
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

/// A length; none where it is RESP2's null.
fn length(kind: u8, line: &[u8]) -> Result<Option<usize>, RedisError> {
    match number(line)? {
        length @ 0..=LARGEST => Ok(usize::try_from(length).ok()),
        ..0 if matches!(kind, b'$' | b'*' | b'~') => Ok(None),
        length => Err(garbled(format!("a length is {length}"))),
    }
}

fn number(line: &[u8]) -> Result<i64, RedisError> {
    // Nearly every one is plain, and there is one in nearly every reply.
    if (1..=18).contains(&line.len()) && line.iter().all(u8::is_ascii_digit) {
        let digits = line.iter().map(|digit| i64::from(digit - b'0'));
        return Ok(digits.fold(0, |number, digit| 10 * number + digit));
    }
    parsed(line).ok_or_else(|| garbled("a number is none"))
}

fn parsed<T: std::str::FromStr>(line: &[u8]) -> Option<T> {
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&here| here == byte)
}

/// What came is not RESP. It is not repeated: it may be a session.
fn garbled(why: impl std::fmt::Display) -> RedisError {
    let detail = format!("what came is no reply of Redis: {why}");
    (ErrorKind::Parse, "not RESP", detail).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that is said in `stream`, which comes in `pieces`; or why it is not understood.
    fn said_in<'s>(pieces: impl IntoIterator<Item = &'s [u8]>) -> Result<Vec<Frame>, RedisError> {
        let mut parser = Parser::default();
        let mut input = Vec::new();
        let mut said = Vec::new();
        for piece in pieces {
            input.extend_from_slice(piece);
            let mut rest = &input[..];
            while let Some(next) = parser.next(&mut rest)? {
                said.push(next);
            }
            let used = input.len() - rest.len();
            input.drain(..used);
        }
        Ok(said)
    }

    fn said(stream: &[u8]) -> Vec<Frame> {
        said_in([stream]).unwrap()
    }

    fn reply(stream: &[u8]) -> Value {
        match said(stream).pop() {
            Some(Frame::Reply(value)) => value,
            other => panic!("{other:?}"),
        }
    }

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    /// One of each type, and within one another.
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
        let whole = said(stream);
        assert_eq!(whole.len(), EACH_TYPE.len() + 2);
        for first in 0..=stream.len() {
            let (one, rest) = stream.split_at(first);
            assert_eq!(said_in([one, rest]).unwrap(), whole, "cut at {first}");
        }
        assert_eq!(said_in(stream.chunks(1)).unwrap(), whole);
        assert_eq!(said_in(stream.chunks(3)).unwrap(), whole);
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
        assert_eq!(said(stream), all);
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
    fn what_is_not_resp_is_an_error_that_says_so_without_repeating_it() {
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
            let error = said_in([stream.as_bytes()]).unwrap_err();
            let detail = error.detail().unwrap_or_default();
            assert!(detail.contains("no reply of Redis"), "{stream:?}: {detail}");
            assert!(!detail.contains("secret"), "{stream:?}: {detail}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |depth| format!("{}:1\r\n", "*1\r\n".repeat(depth)).into_bytes();
        assert!(said_in([&nested(99)[..]]).is_ok());
        assert!(said_in([&nested(100)[..]]).is_err());
        assert!(said_in([&nested(1_000_000)[..]]).is_err());
        // And does not add up.
        let many = b"*1\r\n*1\r\n:1\r\n".repeat(1000);
        assert_eq!(said(&many).len(), 1000);
    }

    #[test]
    fn what_is_announced_is_not_allocated() {
        for stream in [
            "$4294967296\r\nabc",
            "*4294967296\r\n:1\r\n",
            "%2147483648\r\n",
        ] {
            let mut parser = Parser::default();
            assert!(parser.next(&mut stream.as_bytes()).unwrap().is_none());
            let blob = parser.blob.map_or(0, |blob| blob.bytes.capacity());
            let elements = parser.open.last().map_or(0, |a| a.elements.capacity());
            assert!(blob <= BYTES_AHEAD && elements <= ELEMENTS_AHEAD);
        }
    }

    #[test]
    fn a_line_without_an_end_is_an_error() {
        let endless = vec![b'+'; LONGEST_LINE + 2];
        assert!(said_in(endless.chunks(1 << 16)).is_err());
    }

    #[test]
    fn what_is_large_and_comes_in_many_pieces_is_read_once() {
        let text = "x".repeat(64 << 20);
        let stream = format!(
            "${}\r\n{text}\r\n*100000\r\n{}",
            text.len(),
            ":1\r\n".repeat(100_000)
        );
        let line = format!("+{}\r\n", "y".repeat(LONGEST_LINE - 10));
        let stream = [stream.as_bytes(), line.as_bytes()].concat();
        // (To read again what has come, with each piece, would take minutes.)
        let all = said_in(stream.chunks(1 << 10)).unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!(all[0], Frame::Reply(Value::BulkString(text.into())));
    }

    #[test]
    fn commands_are_arrays_of_strings() {
        let mut batch = Batch::default();
        batch.add(&[b"SET", b"k", b"a\r\nbcdefgh"]);
        batch.set_asking(true);
        batch.add_cmd(redis::cmd("GET").arg("k"));
        assert_eq!(batch.replies(), 3);
        assert_eq!(
            String::from_utf8(batch.into_bytes()).unwrap(),
            "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\na\r\nbcdefgh\r\n\
             *1\r\n$6\r\nASKING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
        );
    }
}
