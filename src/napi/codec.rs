//! Calls as the face hands them over, and answers as it takes them in (`lib/native/pending-calls.js`): many at once,
//! their numbers in one array and their texts in one string. To cross between JS and native code
//! for each of them costs more than all else that a call needs.

use std::collections::HashMap;
use std::rc::Rc;

use napi::{Env, Unknown};

use crate::error::StoreError;
use crate::io::call::NewCall;
use crate::io::event::{CallId, Record};
use crate::io::scan_request::{ScanKind, ScanRequest};
use crate::napi::callbacks::Host;
use crate::napi::lifetime;
use crate::napi::options::Settings;
use crate::napi::raw::{self, Text, Try};
use crate::session::clock::Clock;
use crate::session::command::{Command, Expiry, Reply};
use crate::test_panics::panic_at;

/// The face's methods, by their numbers.
const METHODS: [&str; 4] = ["get", "set", "touch", "destroy"];
/// The numbers of a call: its own, its method's, its command's, the lengths of its sid and of its
/// value, its milliseconds to live, its store's.
const PER_CALL: usize = 7;
/// The numbers of an answer: its call's, the length of its text, its expiry.
const PER_ANSWER: usize = 3;
/// Answers the face has room for.
const MOST_ANSWERS: usize = 1024;
/// Bytes of text after which answers are handed over.
const MOST_TEXT: usize = 32 * 1024;
/// The sweeps, by their numbers.
const SWEEPS: [(&str, ScanKind); 4] = [
    ("length", ScanKind::Length),
    ("ids", ScanKind::Ids),
    ("all", ScanKind::All),
    ("clear", ScanKind::Clear),
];

/// In the place of a text's length: there is none …
const NOTHING: f64 = -1.0;
/// … `set` has found its key gone …
const DISCARDED: f64 = -2.0;
/// … it stands among the others.
const OTHER: f64 = -3.0;

/// Calls that the face has handed over.
#[derive(Default)]
pub struct Handed {
    pub made: Vec<NewCall>,
    /// Those that cannot be made, by an error of ours: the face has looked at what the app says.
    pub failed: Vec<(CallId, StoreError)>,
}

/// Reads `count` calls of the stores that share a connection. `others` are the values that are no
/// strings.
pub fn read<'e>(
    env: &'e Env,
    stores: &HashMap<u32, Rc<Settings>>,
    clock: Clock,
    (count, numbers, text, others): (usize, &Unknown<'e>, &Unknown<'e>, &Unknown<'e>),
) -> Try<'e, Handed> {
    let numbers = raw::numbers(env, numbers, count * PER_CALL)?;
    let lengths = numbers.chunks_exact(PER_CALL).map(|n| n[3] + n[4].max(0.0));
    let mut text = Text::read(env, text, lengths.sum::<f64>() as usize)?;
    let mut others = raw::elements(env, others).unwrap_or_default().into_iter();
    let mut last = (0, stores.get(&0));
    let mut handed = Handed::default();
    handed.made.reserve(count);
    for numbers in numbers.chunks_exact(PER_CALL) {
        let name = METHODS.get(numbers[1] as usize).copied();
        let name = name.unwrap_or_default();
        let length = |at: usize| numbers[at] as usize;
        let store = numbers[6] as u32;
        // Most of a batch is of one store.
        if last.0 != store {
            last = (store, stores.get(&store));
        }
        let settings = last.1;
        let prefix = settings.map_or(&[][..], |settings| &settings.prefix);
        let key = StoreError::guard(name, || Ok(lifetime::key(prefix, &text.take(length(3)))));
        let value = if numbers[4] == OTHER {
            let other = others.next().unwrap_or_else(|| raw::undefined(env));
            raw::buffer_bytes(env, &other)
        } else {
            Some(text.take(length(4)).into_owned())
        };
        let command = key.and_then(|key| {
            settings
                .zip(value)
                .and_then(|(settings, value)| {
                    command(settings, clock, numbers[2], key, value, numbers[5])
                })
                .ok_or_else(|| StoreError::internal(name))
        });
        let id = numbers[0] as CallId;
        match command {
            Ok(command) => handed.made.push((id, name, command)),
            Err(error) => handed.failed.push((id, error)),
        }
    }
    Ok(handed)
}

/// The command of a number; none of an unknown one.
fn command(
    settings: &Settings,
    clock: Clock,
    number: f64,
    key: Vec<u8>,
    value: Vec<u8>,
    ms: f64,
) -> Option<Command> {
    // Beyond i64 it saturates; Redis refuses what is beyond its own range with an error.
    let ms = ms.is_finite().then_some(ms as i64);
    Some(match number as u32 {
        0 => Command::Get {
            key,
            expiry: settings.true_expiry(),
            clock,
        },
        word @ (1 | 2) => Command::Set {
            key,
            value,
            expires_in: ms,
            only_existing: word == 2,
        },
        3 => Command::Touch {
            key,
            expiry: Expiry::In(ms?),
        },
        4 => Command::Touch {
            key,
            expiry: Expiry::Never,
        },
        5 => Command::Destroy { key },
        _ => return None,
    })
}

/// The sweep of a number; none of an unknown one.
pub fn sweep(settings: &Settings, id: CallId, number: u32, clock: Clock) -> Option<ScanRequest> {
    let &(name, kind) = SWEEPS.get(number as usize)?;
    Some(ScanRequest {
        id,
        name,
        kind,
        prefix: settings.prefix.clone(),
        client_prefix: settings.client_prefix.clone(),
        count: settings.scan_count,
        true_expiry: settings.true_expiry(),
        clock,
    })
}

/// Answers on their way to the face.
#[derive(Default)]
pub struct Answers {
    numbers: Vec<f64>,
    text: Vec<u8>,
    others: Vec<Vec<u8>>,
}

impl Answers {
    /// Whether they are to be handed over before another is added.
    pub fn is_full(&self) -> bool {
        self.numbers.len() >= PER_ANSWER * MOST_ANSWERS || self.text.len() >= MOST_TEXT
    }

    /// Adds an answer, or nothing where it panics.
    pub fn add(&mut self, id: CallId, reply: Reply) {
        if let Reply::Session { text, .. } = &reply {
            panic_at("the answer", text);
        }
        let (length, expires) = match reply {
            Reply::Session { text, expires } => {
                let expires = expires.unwrap_or(f64::NAN);
                if text.is_ascii() {
                    self.text.extend_from_slice(&text);
                    (text.len() as f64, expires)
                } else {
                    self.others.push(text);
                    (OTHER, expires)
                }
            }
            Reply::Discarded => (DISCARDED, f64::NAN),
            Reply::Null | Reply::Raw(_) => (NOTHING, f64::NAN),
        };
        self.numbers.extend([f64::from(id), length, expires]);
    }

    /// Has the face settle them; there are none any more then.
    pub fn settle(&mut self, env: &Env, host: &Host) {
        if !self.numbers.is_empty() {
            let count = self.numbers.len() / PER_ANSWER;
            raw::scoped(env, |env| host.settle(env, count, self.parts()));
            self.clear();
        }
    }

    fn parts(&self) -> Texts<'_> {
        Texts {
            numbers: &self.numbers,
            text: &self.text,
            others: &self.others,
        }
    }

    fn clear(&mut self) {
        self.numbers.clear();
        self.text.clear();
        self.others.clear();
    }
}

/// Texts as `lib/native/packed-strings.js` takes them apart.
pub struct Texts<'t> {
    pub numbers: &'t [f64],
    pub text: &'t [u8],
    pub others: &'t [Vec<u8>],
}

/// Records of a sweep on their way to the face.
#[derive(Default)]
pub struct Found {
    /// As the inside of a JSON array: the face keeps no part of a larger string in that way.
    ids: Vec<u8>,
    /// Of `all`; nothing of `ids`.
    texts: Answers,
    has_texts: bool,
    count: usize,
}

/// A record that was not added.
pub struct Unadded {
    pub sid: Vec<u8>,
    pub error: StoreError,
}

impl Found {
    /// Whether they are to be handed over before another is added.
    pub fn is_full(&self) -> bool {
        self.count >= MOST_ANSWERS || self.texts.is_full()
    }

    pub fn add(&mut self, Record { id, text, expires }: Record) -> Result<(), Unadded> {
        if let Some(text) = text {
            let added = StoreError::guard("all", || {
                self.texts.add(0, Reply::Session { text, expires });
                Ok(())
            });
            added.map_err(|error| Unadded {
                sid: id.clone(),
                error,
            })?;
            self.has_texts = true;
        }
        let comma: &[u8] = if self.count == 0 { b"" } else { b"," };
        self.ids.extend_from_slice(comma);
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut self.ids, &String::from_utf8_lossy(&id));
        self.count += 1;
        Ok(())
    }

    /// Has the face take them in for a sweep; there are none any more then.
    pub fn hand_over(&mut self, env: &Env, host: &Host, sweep: CallId) {
        if self.count > 0 {
            let ids = [b"[", &*self.ids, b"]"].concat();
            let texts = self.has_texts.then(|| self.texts.parts());
            host.collect(env, sweep, &ids, texts);
        }
        self.ids.clear();
        self.texts.clear();
        self.has_texts = false;
        self.count = 0;
    }
}
