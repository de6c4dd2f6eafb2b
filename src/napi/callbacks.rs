//! What the JS face lends the native side: functions of the app's own realm, so that what they
//! make is an instance of the app's `Error`, `Date` and `Object` (under jest these are not Node's).

use std::time::Duration;

use napi::{Env, Unknown};

use crate::error::StoreError;
use crate::io::engine::CallId;
use crate::napi::codec::Texts;
use crate::napi::raw::{self, Held, Try};
use crate::session::command::{Command, Expiry};

/// Held functions of the face.
pub struct Host {
    answers: Held,
    settle: Held,
    fail: Held,
    give_back: Held,
    collect: Held,
    swept: Held,
    give_back_sweep: Held,
    fail_sweep: Held,
    corrupt: Held,
    end: Held,
    error: Held,
    date: Held,
    credential: Held,
    rejects_unauthorized: Held,
    emit: Held,
    later: Held,
}

impl Host {
    /// Takes the functions off the object that the face passes to the constructor.
    pub fn new<'e>(env: &'e Env, face: &Unknown<'e>) -> Try<'e, Host> {
        let held = |name| Held::new(env, &raw::get(env, face, name)?);
        Ok(Host {
            answers: held(c"answers")?,
            settle: held(c"settle")?,
            fail: held(c"fail")?,
            give_back: held(c"giveBack")?,
            collect: held(c"collect")?,
            swept: held(c"swept")?,
            give_back_sweep: held(c"giveBackSweep")?,
            fail_sweep: held(c"failSweep")?,
            corrupt: held(c"corrupt")?,
            end: held(c"end")?,
            error: held(c"error")?,
            date: held(c"date")?,
            credential: held(c"credential")?,
            rejects_unauthorized: held(c"rejectsUnauthorized")?,
            emit: held(c"emit")?,
            later: held(c"later")?,
        })
    }

    /// The JS error for `error`: a `TypeError` for a bad argument, else a `RedisStoreError`.
    pub fn error<'e>(&self, env: &'e Env, error: &StoreError) -> Unknown<'e> {
        let text = |text: &str| raw::string(env, text.as_bytes());
        let make = || -> Try<'e> {
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

    /// An error of the face's making.
    pub fn reason<'e>(&self, env: &'e Env, reason: &Unknown<'e>) -> StoreError {
        let text = |name| {
            raw::get(env, reason, name)
                .and_then(|value| raw::text(env, &value))
                .unwrap_or_default()
        };
        StoreError {
            code: text(c"code").as_str().into(),
            message: text(c"message"),
            cause: None,
        }
    }

    /// `Number(new Date(value))`: NaN where it is no date.
    pub fn date<'e>(&self, env: &'e Env, value: &Unknown<'e>) -> Try<'e, f64> {
        let time = self.date.call(env, [*value])?;
        Ok(raw::number(&time))
    }

    /// Calls a function of the app's that gives a user's name or password; `answered(id, given,
    /// said)` is called with that, or with what is to be said instead.
    pub fn ask_credential(&self, env: &Env, function: &Held, id: u32, answered: &Held) {
        let question = [function.get(env), raw::value(env, id), answered.get(env)];
        // What the function throws is an answer, too: this only fails with the environment.
        let _ = self.credential.call(env, question);
    }

    /// Whether a server must be trusted if the app does not say.
    pub fn rejects_unauthorized(&self, env: &Env) -> bool {
        let rejects = self.rejects_unauthorized.call(env, []);
        rejects.map_or(true, |rejects| raw::boolean(&rejects) != Some(false))
    }

    /// Has the store emit an event, outside of what is running now.
    pub fn emit<'e, const N: usize>(&self, env: &'e Env, event_and_args: [Unknown<'e>; N]) {
        // The face only schedules the event here, which cannot throw.
        let _ = self.emit.call(env, event_and_args);
    }

    /// Has the face settle so many calls by their answers.
    pub fn settle(&self, env: &Env, count: usize, texts: Texts) {
        let settle = || -> Try<()> {
            let [text, others] = self.lay_out(env, texts)?;
            let count = raw::value(env, count as f64);
            self.settle.call(env, [count, text, others]).map(drop)
        };
        // It fails where the environment is going away, and all that waits there.
        let _ = settle();
    }

    /// Has the face take in what a sweep has found: `ids` are JSON, and there are texts of sessions.
    pub fn collect(&self, env: &Env, sweep: CallId, ids: &[u8], texts: Option<Texts>) {
        let collect = || -> Try<()> {
            let [text, others] = match texts {
                Some(texts) => self.lay_out(env, texts)?,
                None => [raw::undefined(env); 2],
            };
            let found = [raw::value(env, sweep), raw::string(env, ids)?, text, others];
            self.collect.call(env, found).map(drop)
        };
        let _ = collect(); // As above.
    }

    /// Puts the numbers of texts where the face looks for them; returns the texts.
    fn lay_out<'e>(&self, env: &'e Env, texts: Texts) -> Try<'e, [Unknown<'e>; 2]> {
        raw::write_numbers(env, &self.answers.get(env), texts.numbers)?;
        let others = match texts.others {
            [] => raw::undefined(env),
            // What is no text, as a serializer of the app's may have made it, goes as the bytes it is.
            others => raw::list(env, others, |env, text| match std::str::from_utf8(text) {
                Ok(_) => raw::string(env, text),
                Err(_) => raw::buffer(env, text),
            })?,
        };
        Ok([raw::string(env, texts.text)?, others])
    }

    /// Tells the face how a sweep has ended, and the number of keys where it counts them.
    pub fn swept(&self, env: &Env, sweep: CallId, swept: Result<Option<usize>, StoreError>) {
        let sweep = raw::value(env, sweep);
        // The face only settles a promise, which cannot throw.
        let _ = match swept {
            Ok(Some(count)) => self.swept.call(env, [sweep, raw::value(env, count as f64)]),
            Ok(None) => self.swept.call(env, [sweep, raw::undefined(env)]),
            Err(error) => self.fail_sweep.call(env, [sweep, self.error(env, &error)]),
        };
    }

    /// Tells the face of a record of a sweep that could not be handed over.
    pub fn corrupt(&self, env: &Env, sweep: CallId, sid: &[u8], error: &StoreError) {
        if let Ok(sid) = raw::string(env, sid) {
            // It only schedules an event.
            let arguments = [raw::value(env, sweep), sid, self.error(env, error)];
            let _ = self.corrupt.call(env, arguments);
        }
    }

    /// Has the face reject a call.
    pub fn fail(&self, env: &Env, id: CallId, error: &StoreError) {
        let error = self.error(env, error);
        // The face only rejects a promise, which cannot throw.
        let _ = self.fail.call(env, [raw::value(env, id), error]);
    }

    /// Has the face reject all calls that wait: none of them can be answered any more.
    /// With `gives_back` it has the app's client make the sweeps among them.
    pub fn end(&self, env: &Env, gives_back: bool) {
        let _ = self.end.call(env, [raw::value(env, gives_back)]);
    }

    /// Has the app's client make a sweep, from its beginning.
    pub fn give_back_sweep(&self, env: &Env, sweep: CallId) {
        // It settles the sweep's promise whatever happens, and cannot throw.
        let _ = self.give_back_sweep.call(env, [raw::value(env, sweep)]);
    }

    /// Has the app's client carry out a call's command in the time that is left.
    pub fn give_back(&self, env: &Env, id: CallId, left: Duration, command: &Command) {
        let give_back = || -> Try<()> {
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
                Command::Destroy { .. } | Command::Raw(_) => ("DEL", nothing, nothing, false),
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
            self.give_back.call(env, call).map(drop)
        };
        if give_back().is_err() {
            self.fail(env, id, &StoreError::internal("the call"));
        }
    }

    /// `setImmediate(function)`: it runs once the event loop has turned.
    pub fn later(&self, env: &Env, function: &Held) {
        // It only queues the function, which cannot throw.
        let _ = self.later.call(env, [function.get(env)]);
    }
}
