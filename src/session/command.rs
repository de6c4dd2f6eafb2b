//! A call on one session as Redis commands, and Redis's replies as the answer to the call.

use std::mem::take;
use std::sync::Arc;
use std::time::Instant;

use redis::{Cmd, Value};

use crate::error::StoreError;
use crate::redis::resp::{Batch, HeadSender};
use crate::session::clock::Clock;
use crate::session::compare_and_set::{Base, CompareAndSet, Form, Next, Saved};
use crate::session::expiry::Expiry;
use crate::session::seal::{Seal, open, open_and_keep};
use crate::session::true_expiry::{Applied, Replaced, TrueExpiry};
use crate::test_panics::panic_at;

/// What one call asks of Redis.
pub enum Command {
    /// GET, and PTTL if the true expiry is asked for.
    Get {
        key: Vec<u8>,
        expiry: TrueExpiry,
        clock: Clock,
        /// Whether the answer has the stored text for a later save to compare with.
        keeps_base: bool,
        seal: Option<Seal>,
    },
    /// SET with PX; with XX if only a key that still exists may be written.
    Set {
        key: Vec<u8>,
        value: Vec<u8>,
        /// Milliseconds; `None` means never.
        expires_in: Option<i64>,
        only_existing: bool,
        /// The value is sealed when it is sent.
        seal: Option<Seal>,
    },
    /// A save that compares with what is stored (`concurrency`, `update`).
    CompareAndSet {
        key: Vec<u8>,
        save: Box<CompareAndSet>,
    },
    /// PEXPIRE, PERSIST or DEL, by the expiry.
    Touch { key: Vec<u8>, expiry: Expiry },
    /// DEL.
    Destroy { key: Vec<u8> },
    /// A command that is answered with its number (`rotate`).
    Ask { key: Vec<u8>, question: Question },
    /// A command on a key of an index (`user`, `events`), answered with its reply as JSON. `arguments`
    /// are the words before the key and those after it.
    Index {
        key: Vec<u8>,
        arguments: (Vec<String>, Vec<String>),
    },
    /// One command on one key, whose reply is returned as it is.
    OnKey { key: Vec<u8>, command: Cmd },
    /// Commands whose replies are returned as they are.
    Raw(Vec<Cmd>),
    /// SCAN, whose reply is returned as it is. The next cursor is also sent as soon as it has come.
    Scan { command: Cmd, cursor: HeadSender },
}

/// What is asked of a key.
#[derive(Clone, Copy, Debug)]
pub enum Question {
    /// PTTL: milliseconds; -1 for ever, -2 if there is no key.
    Ttl,
    /// PEXPIRE, or DEL if no milliseconds are left: 1, or 0 if there is no key.
    End(i64),
}

/// The answer of a call.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub enum Reply {
    /// `null`: done, or no such session.
    Null,
    /// The stored text. With [`TrueExpiry::Beside`] also the key's expiry, if it has one, in milliseconds
    /// since the epoch.
    /// If it was asked for, there is also what a later save compares with.
    Session {
        text: Vec<u8>,
        expires: Option<f64>,
        base: Option<ReadBase>,
    },
    /// `set` found its key gone and wrote nothing.
    Discarded,
    /// The number that a question is answered with.
    Number(i64),
    /// What became of a save that compares. The base is what the next save of a session compares with
    /// that was new.
    Saved {
        saved: Saved,
        base: Option<Arc<Base>>,
    },
    /// The replies to [`Command::Raw`], [`Command::OnKey`] and [`Command::Scan`], errors of the server
    /// among them.
    Raw(Vec<Value>),
}

/// What a later save compares with, beside the text that was read.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub struct ReadBase {
    /// What is not as stored in the text.
    pub replaced: Option<Replaced>,
    /// What Redis has, if that is not the text itself.
    pub sealed: Option<Box<[u8]>>,
}

/// What follows from the replies to a call.
pub enum Read {
    Answer(Result<Reply, StoreError>),
    /// The call must be sent again. If something was learned of the server, it holds for others, too.
    Again(Option<Form>),
}

impl Command {
    /// Prepares the call for a server that compares and sets in this form.
    pub fn prepare(&mut self, form: Form) {
        if let Command::CompareAndSet { save, .. } = self {
            save.prepare(form);
        }
    }

    /// The connection broke after the call was sent.
    pub fn lost(&mut self) {
        if let Command::CompareAndSet { save, .. } = self {
            save.lost();
        }
    }

    /// Whether it has the same effect twice as once, and the same answer.
    pub fn can_be_sent_again(&self) -> bool {
        match self {
            Command::Ask {
                question: Question::End(_),
                ..
            } => false,
            Command::CompareAndSet { save, .. } => save.can_be_sent_again(),
            _ => true,
        }
    }

    /// Whether an app's client can execute it.
    pub fn can_be_handed_back(&self) -> bool {
        !matches!(
            self,
            Command::CompareAndSet { .. }
                | Command::Ask { .. }
                | Command::Index { .. }
                | Command::Get {
                    keeps_base: true,
                    ..
                }
        )
    }

    /// Whether later calls on its key wait until it is answered.
    pub fn takes_turn(&self) -> bool {
        matches!(self, Command::CompareAndSet { save, .. } if save.takes_turn())
    }

    /// Whether it is a short work to write it and to read its reply, and the reply is always its answer.
    pub fn is_plain(&self) -> bool {
        match self {
            Command::Get { seal, .. } | Command::Set { seal, .. } => seal.is_none(),
            Command::Touch { .. }
            | Command::Destroy { .. }
            | Command::Ask { .. }
            | Command::Index { .. } => true,
            Command::CompareAndSet { .. }
            | Command::OnKey { .. }
            | Command::Raw(_)
            | Command::Scan { .. } => false,
        }
    }

    /// Whether it or its reply may have a session's text.
    pub fn has_text(&self) -> bool {
        !matches!(
            self,
            Command::Touch { .. } | Command::Destroy { .. } | Command::Ask { .. }
        )
    }

    /// Adds the call's Redis commands to a batch.
    pub fn add_to(&self, batch: &mut Batch) {
        panic_at("the sending", self.key());
        let mut digits = itoa::Buffer::new();
        match self {
            Command::Get { key, expiry, .. } => {
                batch.add(&[b"GET", key]);
                if *expiry != TrueExpiry::Unasked {
                    batch.add(&[b"PTTL", key]);
                }
            }
            Command::Set {
                key,
                value,
                expires_in,
                only_existing,
                seal,
            } => {
                let sealed = seal.as_ref().map(|seal| seal.seal(key, value));
                let value = sealed.as_deref().unwrap_or(value);
                let ms = expires_in.map(|ms| digits.format(ms).as_bytes());
                match (ms, only_existing) {
                    (Some(ms), true) => batch.add(&[b"SET", key, value, b"PX", ms, b"XX"]),
                    (Some(ms), false) => batch.add(&[b"SET", key, value, b"PX", ms]),
                    (None, true) => batch.add(&[b"SET", key, value, b"XX"]),
                    (None, false) => batch.add(&[b"SET", key, value]),
                }
            }
            Command::CompareAndSet { key, save } => save.add_to(key, batch),
            Command::Touch { key, expiry } => match expiry {
                Expiry::In(ms) => batch.add(&[b"PEXPIRE", key, digits.format(*ms).as_bytes()]),
                Expiry::Never => batch.add(&[b"PERSIST", key]),
                Expiry::Past => batch.add(&[b"DEL", key]),
            },
            Command::Destroy { key } => batch.add(&[b"DEL", key]),
            Command::Ask { key, question } => match question {
                Question::Ttl => batch.add(&[b"PTTL", key]),
                Question::End(ms @ 1..) => {
                    batch.add(&[b"PEXPIRE", key, digits.format(*ms).as_bytes()]);
                }
                Question::End(_) => batch.add(&[b"DEL", key]),
            },
            Command::Index { key, arguments } => {
                let (before, after) = arguments;
                let before = before.iter().map(String::as_bytes);
                let after = after.iter().map(String::as_bytes);
                let words: Vec<&[u8]> = before.chain([&key[..]]).chain(after).collect();
                batch.add(&words);
            }
            Command::OnKey { command, .. } => batch.add_cmd(command),
            Command::Raw(commands) => {
                for command in commands {
                    batch.add_cmd(command);
                }
            }
            Command::Scan { command, cursor } => batch.add_cmd_with_head(command, cursor),
        }
    }

    /// Whether it writes to a session.
    pub fn is_write(&self) -> bool {
        matches!(
            self,
            Command::Set { .. }
                | Command::CompareAndSet { .. }
                | Command::Touch { .. }
                | Command::Destroy { .. }
                | Command::Ask {
                    question: Question::End(_),
                    ..
                }
        )
    }

    /// How many Redis commands it is.
    pub fn replies(&self) -> usize {
        match self {
            Command::Get { expiry, .. } if *expiry != TrueExpiry::Unasked => 2,
            Command::Raw(commands) => commands.len(),
            _ => 1,
        }
    }

    /// About how many bytes it is.
    pub fn size(&self) -> usize {
        let value = match self {
            Command::Set { value, .. } => value.len(),
            Command::CompareAndSet { save, .. } => save.size(),
            Command::Index { arguments, .. } => arguments.1.iter().map(String::len).sum(),
            _ => 0,
        };
        self.key().len() + value
    }

    /// The key; empty if there are several.
    pub fn key(&self) -> &[u8] {
        match self {
            Command::Get { key, .. }
            | Command::Set { key, .. }
            | Command::CompareAndSet { key, .. }
            | Command::Touch { key, .. }
            | Command::Ask { key, .. }
            | Command::Index { key, .. }
            | Command::OnKey { key, .. }
            | Command::Destroy { key } => key,
            Command::Raw(_) | Command::Scan { .. } => &[],
        }
    }

    /// The key that it reads; `None` if it does not read a session.
    pub fn key_read(&self) -> Option<&[u8]> {
        match self {
            Command::Get { key, .. } => Some(key),
            _ => None,
        }
    }

    /// Reads the call's answer off the replies to its batch, consuming as many as
    /// [`Command::add_to`] added commands. `call` and `server` name both in errors;
    /// `came` is when the replies did.
    pub fn read(
        &mut self,
        replies: &mut impl Iterator<Item = Value>,
        call: &str,
        server: &str,
        came: Instant,
    ) -> Read {
        match self {
            Command::CompareAndSet { .. } => {
                let reply = replies.next().unwrap_or(Value::Nil);
                self.read_compared(reply, call, server)
            }
            _ => Read::Answer(self.read_answer(replies, call, server, came)),
        }
    }

    /// Reads the answer of a call that is never sent again.
    pub fn read_answer(
        &self,
        replies: &mut impl Iterator<Item = Value>,
        call: &str,
        server: &str,
        came: Instant,
    ) -> Result<Reply, StoreError> {
        let mut next = || replies.next().unwrap_or(Value::Nil);
        let checked = |value| match value {
            Value::ServerError(error) => {
                Err(StoreError::server(call, server, &error).without(self.key()))
            }
            value => Ok(value),
        };
        match self {
            Command::Get {
                key,
                expiry,
                clock,
                keeps_base,
                seal,
            } => {
                let text = next();
                // The PTTL is taken off the replies in any case, or the next call would get it.
                let ttl = (*expiry != TrueExpiry::Unasked).then(next);
                let text = match checked(text)? {
                    Value::BulkString(text) => text,
                    Value::Nil => return Ok(Reply::Null),
                    _ => return Err(StoreError::unexpected(call, server)),
                };
                // An empty value is no session (as connect-redis does).
                if text.is_empty() {
                    return Ok(Reply::Null);
                }
                // The text is anybody's, and other calls of the store are under way.
                StoreError::catch_panic(call, || {
                    let opened = if *keeps_base {
                        open_and_keep(seal.as_ref(), key, text)
                    } else {
                        open(seal.as_ref(), key, text).map(|text| (text, None))
                    };
                    let (mut text, sealed) =
                        opened.map_err(|why| StoreError::sealed(call, server, why))?;
                    let applied = ttl.map(|ttl| expiry.apply(&mut text, &ttl, clock.at(came)));
                    let Applied { beside, replaced } = applied.unwrap_or_default();
                    Ok(Reply::Session {
                        text,
                        expires: beside,
                        base: keeps_base.then(|| ReadBase {
                            replaced,
                            sealed: sealed.map(Vec::into_boxed_slice),
                        }),
                    })
                })
            }
            Command::Set { .. } => match checked(next())? {
                Value::Nil => Ok(Reply::Discarded),
                _ => Ok(Reply::Null),
            },
            Command::CompareAndSet { .. } | Command::Touch { .. } | Command::Destroy { .. } => {
                checked(next())?;
                Ok(Reply::Null)
            }
            Command::Ask { .. } => match checked(next())? {
                Value::Int(number) => Ok(Reply::Number(number)),
                _ => Err(StoreError::unexpected(call, server)),
            },
            Command::Index { .. } => {
                let text = json_of(&checked(next())?).to_string().into_bytes();
                Ok(Reply::Session {
                    text,
                    expires: None,
                    base: None,
                })
            }
            Command::OnKey { .. } => Ok(Reply::Raw(vec![checked(next())?])),
            Command::Raw(commands) => Ok(Reply::Raw(commands.iter().map(|_| next()).collect())),
            Command::Scan { .. } => Ok(Reply::Raw(vec![next()])),
        }
    }

    /// Reads the reply to a save that compares. What is stored is anybody's, so a panic stays here.
    fn read_compared(&mut self, reply: Value, call: &str, server: &str) -> Read {
        let Command::CompareAndSet { key, save } = self else {
            return Read::Answer(Err(StoreError::internal(call)));
        };
        let next = StoreError::catch_panic(call, || match reply {
            Value::ServerError(error) => save
                .read_error(&error)
                .ok_or_else(|| StoreError::server(call, server, &error).without(key)),
            reply => save
                .read(reply)
                .ok_or_else(|| StoreError::unexpected(call, server)),
        });
        match next {
            Err(error) => Read::Answer(Err(error)),
            Ok(Next::Again(form)) => Read::Again(form),
            Ok(Next::Sealed(why)) => Read::Answer(Err(StoreError::sealed(call, server, why))),
            Ok(Next::Unknown) => Read::Answer(Err(StoreError::doubtful(call, server))),
            Ok(Next::Done(saved)) => {
                let base = save.new_base();
                Read::Answer(Ok(Reply::Saved { saved, base }))
            }
            Ok(Next::Touch) => match save.touch() {
                Some(expiry) => {
                    *self = Command::Touch {
                        key: take(key),
                        expiry,
                    };
                    Read::Again(None)
                }
                None => Read::Answer(Ok(Reply::Null)),
            },
        }
    }
}

/// A reply as JSON: integers, texts, lists and null.
fn json_of(reply: &Value) -> serde_json::Value {
    match reply {
        Value::Int(number) => (*number).into(),
        // JSON has no infinite numbers.
        Value::Double(number) if !number.is_finite() => number.to_string().into(),
        Value::Double(number) => (*number).into(),
        Value::BulkString(text) => String::from_utf8_lossy(text).into(),
        Value::SimpleString(text) => text.as_str().into(),
        Value::Okay => "OK".into(),
        Value::Boolean(is_true) => (*is_true).into(),
        Value::Array(list) | Value::Set(list) => list.iter().map(json_of).collect(),
        _ => serde_json::Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_without_end_is_what_resp2_says() {
        for (number, json) in [
            (f64::INFINITY, "\"inf\""),
            (f64::NEG_INFINITY, "\"-inf\""),
            (1.5, "1.5"),
        ] {
            assert_eq!(json_of(&Value::Double(number)).to_string(), json);
        }
    }

    fn packed(command: &Command) -> String {
        let mut batch = Batch::default();
        command.add_to(&mut batch);
        assert_eq!(batch.replies(), command.replies());
        String::from_utf8(batch.into_bytes())
            .unwrap()
            .split("\r\n")
            .filter(|part| !part.starts_with(['*', '$']) && !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn set(expires_in: Option<i64>, only_existing: bool) -> Command {
        Command::Set {
            key: b"k".to_vec(),
            value: b"v".to_vec(),
            expires_in,
            only_existing,
            seal: None,
        }
    }

    fn get(expiry: TrueExpiry) -> Command {
        Command::Get {
            key: b"k".to_vec(),
            expiry,
            clock: Clock::new(1_767_268_800_000.0),
            keeps_base: false,
            seal: None,
        }
    }

    fn read(command: &Command, replies: Vec<Value>) -> Result<Reply, StoreError> {
        let mut replies = replies.into_iter();
        let reply = command.read_answer(&mut replies, "get", "here", Instant::now());
        assert_eq!(replies.next(), None, "a reply was left for the next call");
        reply
    }

    #[test]
    fn set_says_expiry_and_condition() {
        assert_eq!(packed(&set(Some(5), false)), "SET k v PX 5");
        assert_eq!(packed(&set(Some(5), true)), "SET k v PX 5 XX");
        assert_eq!(packed(&set(None, false)), "SET k v");
    }

    #[test]
    fn touch_moves_or_ends_the_expiry() {
        let touch = |expiry| {
            packed(&Command::Touch {
                key: b"k".to_vec(),
                expiry,
            })
        };
        assert_eq!(touch(Expiry::In(5)), "PEXPIRE k 5");
        assert_eq!(touch(Expiry::Never), "PERSIST k");
        assert_eq!(touch(Expiry::Past), "DEL k");
    }

    #[test]
    fn a_missing_or_empty_session_is_null() {
        for value in [Value::Nil, Value::BulkString(vec![])] {
            let reply = read(&get(TrueExpiry::InText), vec![value, Value::Int(-2)]);
            assert_eq!(reply, Ok(Reply::Null));
        }
    }

    #[test]
    fn a_key_without_expiry_keeps_its_text() {
        let text = br#"{"cookie":{"originalMaxAge":5,"expires":"x"}}"#.to_vec();
        let replies = vec![Value::BulkString(text.clone()), Value::Int(-1)];
        let expected = Reply::Session {
            text,
            expires: None,
            base: None,
        };
        assert_eq!(read(&get(TrueExpiry::InText), replies), Ok(expected));
    }

    #[test]
    fn only_a_missed_xx_is_discarded() {
        assert_eq!(
            read(&set(Some(5), true), vec![Value::Nil]),
            Ok(Reply::Discarded)
        );
        assert_eq!(
            read(&set(Some(5), true), vec![Value::Okay]),
            Ok(Reply::Null)
        );
    }
}
