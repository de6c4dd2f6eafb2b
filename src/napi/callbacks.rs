//! The functions that the native side calls in JS (`lib/native/connection.js`). They belong to the app's
//! own realm, so what they make is an instance of the app's `Error` and `Date` (under jest these are not
//! Node's).

use std::time::Duration;

use napi::{Env, Unknown};

use crate::error::StoreError;
use crate::io::event::{CallId, ScanAnswer};
use crate::napi::packed_strings::PackedStrings;
use crate::napi::raw::{self, JsRef, JsResult};
use crate::session::command::Command;
use crate::session::expiry::Expiry;

/// The functions, by what they do.
pub struct JsCallbacks {
    answers: JsRef,
    settle: JsRef,
    fail: JsRef,
    hand_back: JsRef,
    scan_chunk: JsRef,
    scan_end: JsRef,
    hand_back_scan: JsRef,
    fail_scan: JsRef,
    corrupt: JsRef,
    end: JsRef,
    error: JsRef,
    date: JsRef,
    credential: JsRef,
    rejects_unauthorized: JsRef,
    emit: JsRef,
    set_immediate: JsRef,
}

impl JsCallbacks {
    /// Takes the functions from the object that the constructor gets.
    pub fn new<'e>(env: &'e Env, callbacks: &Unknown<'e>) -> JsResult<'e, JsCallbacks> {
        let function = |name| JsRef::new(env, &raw::get(env, callbacks, name)?);
        Ok(JsCallbacks {
            answers: function(c"answers")?,
            settle: function(c"settle")?,
            fail: function(c"fail")?,
            hand_back: function(c"handBack")?,
            scan_chunk: function(c"scanChunk")?,
            scan_end: function(c"scanEnd")?,
            hand_back_scan: function(c"handBackScan")?,
            fail_scan: function(c"failScan")?,
            corrupt: function(c"corrupt")?,
            end: function(c"end")?,
            error: function(c"error")?,
            date: function(c"date")?,
            credential: function(c"credential")?,
            rejects_unauthorized: function(c"rejectsUnauthorized")?,
            emit: function(c"emit")?,
            set_immediate: function(c"setImmediate")?,
        })
    }

    /// Makes the JS error for `error`: a `TypeError` for a bad argument, else a `RedisStoreError`.
    pub fn error<'e>(&self, env: &'e Env, error: &StoreError) -> Unknown<'e> {
        let text = |text: &str| raw::string(env, text.as_bytes());
        let make = || -> JsResult<'e> {
            let cause = match &error.cause {
                Some(cause) => text(cause)?,
                None => raw::undefined(env),
            };
            self.error.call(
                env,
                [
                    raw::value(env, error.is_invalid_argument()),
                    text(&error.message)?,
                    text(error.code.as_str())?,
                    cause,
                ],
            )
        };
        make().unwrap_or_else(|thrown| thrown)
    }

    /// Reads an error that JS made.
    pub fn read_error<'e>(&self, env: &'e Env, js_error: &Unknown<'e>) -> StoreError {
        let text = |name| {
            raw::get(env, js_error, name)
                .and_then(|value| raw::text(env, &value))
                .unwrap_or_default()
        };
        StoreError {
            code: text(c"code").as_str().into(),
            message: text(c"message"),
            cause: None,
        }
    }

    /// `Number(new Date(value))`; NaN if that is no date.
    pub fn date<'e>(&self, env: &'e Env, value: &Unknown<'e>) -> JsResult<'e, f64> {
        let time = self.date.call(env, [*value])?;
        Ok(raw::number(&time))
    }

    /// Calls a function of the app that returns a credential. Then `answered(id, given, complaint)` is
    /// called, with the credential or with what is wrong.
    pub fn call_credential(&self, env: &Env, function: &JsRef, id: u32, answered: &JsRef) {
        let arguments = [function.get(env), raw::value(env, id), answered.get(env)];
        // What the function throws is an answer, too: this fails only if the environment ends.
        let _ = self.credential.call(env, arguments);
    }

    /// Whether a server must be trusted if the app does not say.
    pub fn rejects_unauthorized(&self, env: &Env) -> bool {
        let rejects = self.rejects_unauthorized.call(env, []);
        rejects.map_or(true, |rejects| raw::boolean(&rejects) != Some(false))
    }

    /// Emits an event of the store, after what is running now.
    pub fn emit<'e, const N: usize>(&self, env: &'e Env, event_and_args: [Unknown<'e>; N]) {
        // JS only schedules the event, which cannot throw.
        let _ = self.emit.call(env, event_and_args);
    }

    /// Settles the promises of so many calls. If there are bases among the texts, `end` is the position
    /// after the texts (`recent_texts.rs`); if there are saves, `saves` is how many there were
    /// (`recent_saves.rs`). `kept` says where the bases are that are kept here: the number of their batch,
    /// and the place of the first.
    pub fn settle(
        &self,
        env: &Env,
        count: usize,
        answers: &PackedStrings,
        (end, saves): (Option<u64>, Option<u64>),
        kept: Option<(u32, usize)>,
    ) {
        let settle = || -> JsResult<()> {
            let [text, others] = answers.to_js(env, &self.answers.get(env))?;
            let count = raw::value(env, count as f64);
            let number = |number: Option<u64>| match number {
                Some(number) => raw::value(env, number as f64),
                None => raw::undefined(env),
            };
            match (end, saves, kept) {
                (None, None, None) => self.settle.call(env, [count, text, others]),
                (end, saves, None) => {
                    let call = [count, text, others, number(end), number(saves)];
                    self.settle.call(env, call)
                }
                (end, saves, Some((batch, first))) => {
                    let (batch, first) = (raw::value(env, batch), raw::value(env, first as f64));
                    let (end, saves) = (number(end), number(saves));
                    let call = [count, text, others, end, saves, batch, first];
                    self.settle.call(env, call)
                }
            }
            .map(drop)
        };
        // It fails only if the environment ends, and all promises with it.
        let _ = settle();
    }

    /// Hands a chunk of a scan over. `ids` are JSON; `texts` are the sessions, if the scan reads them.
    pub fn scan_chunk(&self, env: &Env, scan: CallId, ids: &[u8], texts: Option<PackedStrings>) {
        let scan_chunk = || -> JsResult<()> {
            let [text, others] = match texts {
                Some(texts) => texts.to_js(env, &self.answers.get(env))?,
                None => [raw::undefined(env); 2],
            };
            let chunk = [raw::value(env, scan), raw::string(env, ids)?, text, others];
            self.scan_chunk.call(env, chunk).map(drop)
        };
        let _ = scan_chunk(); // As above.
    }

    /// Settles the promise of a scan.
    pub fn scan_end(&self, env: &Env, scan: CallId, result: Result<ScanAnswer, StoreError>) {
        let scan = raw::value(env, scan);
        // JS only settles a promise, which cannot throw.
        let _ = match result {
            Ok(ScanAnswer::Count(count)) => self
                .scan_end
                .call(env, [scan, raw::value(env, count as f64)]),
            Ok(ScanAnswer::Next(position)) => {
                self.scan_end.call(env, [scan, raw::value(env, &*position)])
            }
            Ok(ScanAnswer::Nothing) => self.scan_end.call(env, [scan, raw::undefined(env)]),
            Err(error) => self.fail_scan.call(env, [scan, self.error(env, &error)]),
        };
    }

    /// Emits the event `corrupt` for a record of a scan that could not be handed over.
    pub fn corrupt(&self, env: &Env, scan: CallId, sid: &[u8], error: &StoreError) {
        if let Ok(sid) = raw::string(env, sid) {
            // It only schedules an event.
            let arguments = [raw::value(env, scan), sid, self.error(env, error)];
            let _ = self.corrupt.call(env, arguments);
        }
    }

    /// Rejects the promise of a call.
    pub fn fail(&self, env: &Env, id: CallId, error: &StoreError) {
        let error = self.error(env, error);
        // JS only rejects a promise, which cannot throw.
        let _ = self.fail.call(env, [raw::value(env, id), error]);
    }

    /// Rejects the promises of all calls that wait: none of them can be answered any more. With
    /// `hands_back` the app's client makes the scans among them.
    pub fn end(&self, env: &Env, hands_back: bool) {
        let _ = self.end.call(env, [raw::value(env, hands_back)]);
    }

    /// Hands a scan back, so that the app's client makes it, from its beginning.
    pub fn hand_back_scan(&self, env: &Env, scan: CallId) {
        // It settles the promise whatever happens, and cannot throw.
        let _ = self.hand_back_scan.call(env, [raw::value(env, scan)]);
    }

    /// Hands a call back, so that the app's client executes its command within the time that is left.
    pub fn hand_back(&self, env: &Env, id: CallId, left: Duration, command: &Command) {
        let hand_back = || -> JsResult<()> {
            let nothing = raw::undefined(env);
            let ms = |ms: i64| raw::value(env, ms as f64);
            let (word, value, ms, only_existing) = match command {
                Command::Get { .. } => ("GET", nothing, nothing, false),
                Command::Set {
                    value,
                    expires_in,
                    only_existing,
                    ..
                } => {
                    let value = match std::str::from_utf8(value) {
                        Ok(_) => raw::string(env, value)?,
                        Err(_) => raw::buffer(env, value)?,
                    };
                    ("SET", value, expires_in.map_or(nothing, ms), *only_existing)
                }
                Command::Touch { expiry, .. } => match expiry {
                    Expiry::In(left) => ("EXPIRE", nothing, ms(*left), false),
                    Expiry::Never => ("PERSIST", nothing, nothing, false),
                    Expiry::Past => ("DEL", nothing, nothing, false),
                },
                Command::Destroy { .. }
                | Command::CompareAndSet { .. }
                | Command::Ask { .. }
                | Command::Index { .. }
                | Command::OnKey { .. }
                | Command::Raw(_)
                | Command::Scan { .. } => ("DEL", nothing, nothing, false),
            };
            let call = [
                raw::value(env, id),
                raw::value(env, left.as_millis() as f64),
                raw::value(env, word),
                raw::string(env, command.key())?,
                value,
                ms,
                raw::value(env, only_existing),
            ];
            self.hand_back.call(env, call).map(drop)
        };
        if hand_back().is_err() {
            self.fail(env, id, &StoreError::internal("the call"));
        }
    }

    /// `setImmediate(function)`: it runs when the event loop has turned.
    pub fn set_immediate(&self, env: &Env, function: &JsRef) {
        // It only queues the function, which cannot throw.
        let _ = self.set_immediate.call(env, [function.get(env)]);
    }
}
