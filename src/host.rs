//! What the JS face lends the native side: functions of the app's own realm, so that what they
//! make is an instance of the app's `Error`, `Date` and `Object` (under jest these are not Node's).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use napi::{Env, Unknown};

use crate::command::{Command, Expiry};
use crate::engine::CallId;
use crate::error::StoreError;
use crate::js::{self, Held, Try};
use crate::test_panics::panic_at;

/// Held functions of the face.
pub struct Host {
    parse: Held,
    answers: Held,
    settle: Held,
    fail: Held,
    give_back: Held,
    end: Held,
    error: Held,
    date: Held,
    emit: Held,
    later: Held,
}

impl Host {
    /// Takes the functions off the object that the face passes to the constructor.
    pub fn new<'e>(env: &'e Env, face: &Unknown<'e>) -> Try<'e, Host> {
        let held = |name| Held::new(env, &js::get(env, face, name)?);
        Ok(Host {
            parse: held(c"parse")?,
            answers: held(c"answers")?,
            settle: held(c"settle")?,
            fail: held(c"fail")?,
            give_back: held(c"giveBack")?,
            end: held(c"end")?,
            error: held(c"error")?,
            date: held(c"date")?,
            emit: held(c"emit")?,
            later: held(c"later")?,
        })
    }

    /// `JSON.parse`.
    pub fn parse<'e>(&self, env: &'e Env, text: &[u8]) -> Try<'e> {
        panic_at("the answer", text);
        let text = js::string(env, text)?;
        self.parse.call(env, [text])
    }

    /// The JS error for `error`: a `TypeError` for a bad argument, else a `RedisStoreError`.
    pub fn error<'e>(&self, env: &'e Env, error: &StoreError) -> Unknown<'e> {
        let text = |text: &str| js::string(env, text.as_bytes());
        let make = || -> Try<'e> {
            let cause = match &error.cause {
                Some(cause) => text(cause)?,
                None => js::undefined(env),
            };
            self.error.call(
                env,
                [
                    js::value(env, error.is_invalid_argument()),
                    text(&error.message)?,
                    text(&error.code)?,
                    cause,
                ],
            )
        };
        make().unwrap_or_else(|thrown| thrown)
    }

    /// As [`StoreError::guard`], on the JS thread.
    pub fn guard<'e, T>(
        &self,
        env: &'e Env,
        call: &str,
        work: impl FnOnce() -> Try<'e, T>,
    ) -> Try<'e, T> {
        catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|_| Err(self.error(env, &StoreError::internal(call))))
    }

    /// An error of the face's making.
    pub fn reason<'e>(&self, env: &'e Env, reason: &Unknown<'e>) -> StoreError {
        let text = |name| {
            js::get(env, reason, name)
                .and_then(|value| js::text(env, &value))
                .unwrap_or_default()
        };
        StoreError {
            code: text(c"code").into(),
            message: text(c"message"),
            cause: None,
        }
    }

    /// `Number(new Date(value))`: NaN where it is no date.
    pub fn date<'e>(&self, env: &'e Env, value: &Unknown<'e>) -> Try<'e, f64> {
        let time = self.date.call(env, [*value])?;
        Ok(js::number(&time))
    }

    /// Has the store emit an event, outside of what is running now.
    pub fn emit<'e, const N: usize>(&self, env: &'e Env, event_and_args: [Unknown<'e>; N]) {
        // The face only schedules the event here, which cannot throw.
        let _ = self.emit.call(env, event_and_args);
    }

    /// Has the face settle calls by the answers that `numbers` stand for, so many each.
    pub fn settle(
        &self,
        env: &Env,
        numbers: &[f64],
        numbers_per_answer: usize,
        text: &[u8],
        others: &[Vec<u8>],
    ) {
        let settle = || -> Try<()> {
            js::write_numbers(env, &self.answers.get(env), numbers)?;
            let count = numbers.len() / numbers_per_answer;
            let others = match others {
                [] => js::undefined(env),
                others => js::list(env, others, |env, text| js::string(env, text))?,
            };
            let text = js::string(env, text)?;
            self.settle
                .call(env, [js::value(env, count as f64), text, others])
                .map(drop)
        };
        // It fails where the environment is going away, and all that waits there.
        let _ = settle();
    }

    /// Has the face reject a call.
    pub fn fail(&self, env: &Env, id: CallId, error: &StoreError) {
        let error = self.error(env, error);
        // The face only rejects a promise, which cannot throw.
        let _ = self.fail.call(env, [js::value(env, id), error]);
    }

    /// Has the face reject all calls that wait: none of them can be answered any more.
    pub fn end(&self, env: &Env) {
        let _ = self.end.call(env, []);
    }

    /// Has the app's client carry out a call's command in the time that is left.
    pub fn give_back(&self, env: &Env, id: CallId, left: Duration, command: &Command) {
        let give_back = || -> Try<()> {
            let nothing = js::undefined(env);
            let ms = |ms: i64| js::value(env, ms as f64);
            let (word, value, ms, only_existing) = match command {
                Command::Get { .. } => ("GET", nothing, nothing, false),
                Command::Set {
                    value,
                    expires_in,
                    only_existing,
                    ..
                } => {
                    let value = match std::str::from_utf8(value) {
                        Ok(_) => js::string(env, value)?,
                        Err(_) => js::buffer(env, value)?,
                    };
                    ("SET", value, expires_in.map_or(nothing, ms), *only_existing)
                }
                Command::Touch { expiry, .. } => match expiry {
                    Expiry::In(left) => ("EXPIRE", nothing, ms(*left), false),
                    Expiry::Never => ("PERSIST", nothing, nothing, false),
                    Expiry::Past => ("DEL", nothing, nothing, false),
                },
                Command::Destroy { .. } | Command::Raw(_) => ("DEL", nothing, nothing, false),
            };
            let call = [
                js::value(env, id),
                js::value(env, left.as_millis() as f64),
                js::value(env, word),
                js::string(env, command.key())?,
                value,
                ms,
                js::value(env, only_existing),
            ];
            self.give_back.call(env, call).map(drop)
        };
        if give_back().is_err() {
            self.fail(env, id, &StoreError::internal("the call"));
        }
    }

    /// The error for a record whose JSON is no object.
    pub fn not_a_session<'e>(&self, env: &'e Env) -> Unknown<'e> {
        let message = "all: a record holds JSON that is no session object".into();
        let error = StoreError {
            code: "ECORRUPT".into(),
            message,
            cause: None,
        };
        self.error(env, &error)
    }

    /// `setImmediate(function)`: it runs once the event loop has turned.
    pub fn later(&self, env: &Env, function: &Held) {
        // It only queues the function, which cannot throw.
        let _ = self.later.call(env, [function.get(env)]);
    }
}
