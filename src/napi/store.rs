//! The native RedisStore: on the JS thread, calls become commands and replies settle promises.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use napi::{Env, Unknown, ValueType};
use napi_derive::napi;

use crate::error::{ConnectError, StoreError};
use crate::io::engine::{Call, CallId, Closing, Engine, News, Outbox, Part, Refused, Status};
use crate::io::scan::Sweep;
use crate::napi::callbacks::Host;
use crate::napi::client::{self, JsClient};
use crate::napi::codec::{self, Answers, Found, Handed, Unadded};
use crate::napi::lifetime;
use crate::napi::options::{Config, Route, Settings, unknown_options};
use crate::napi::raw::{self, Doorbell, Held, Try};
use crate::redis::CredentialReply;
use crate::session::command::{Clock, Command, Expiry, Reply, TrueExpiry};

/// The store behind the face (`lib/store.js`). Calls come in batches and by number, and so do their
/// answers go back (`lib/native/pending-calls.js`): the promises are the face's.
#[napi]
pub struct RedisStore {
    inner: Rc<Inner>,
}

/// The JS thread's side of a store. The doorbell shares it, so that calls are answered also after
/// the app has let go of the store.
///
/// No borrow of a cell is held while JS runs: a getter or a serializer may call the store.
struct Inner {
    host: Host,
    /// Of each store that shares this connection, by its number.
    settings: RefCell<HashMap<u32, Rc<Settings>>>,
    engine: Engine,
    outbox: Arc<Outbox>,
    bell: Arc<Doorbell>,
    /// The app's client, where it carries the commands of sweeps.
    client: Option<JsClient>,
    /// Commands of sweeps that the client has been asked to carry out, and how many there were.
    asked: RefCell<HashMap<u32, Call>>,
    asks: Cell<u32>,
    /// The functions of the app's that give users' names and passwords.
    functions: Vec<Held>,
    /// Who waits for what they give, and how often they have been called.
    answering: RefCell<HashMap<u32, CredentialReply>>,
    questions: Cell<u32>,
    /// How much waits for an answer: calls, sweeps, and the close.
    waiting: Cell<usize>,
    closing: Cell<bool>,
    /// Answers on their way to the face; empty but for while they are heard.
    answers: Cell<Answers>,
    /// Records of a sweep on their way to the face, likewise.
    found: Cell<Found>,
    /// Parts of sweeps, to be taken in one a turn of the event loop.
    put_off: RefCell<VecDeque<News>>,
    /// JS functions that call the methods of these names.
    turn: Held,
    answered: Held,
    credential: Held,
    /// Whether `turn` is scheduled.
    turn_scheduled: Cell<bool>,
    /// How long answers were worked on since the event loop is known to have turned.
    worked: Cell<Duration>,
    /// Set by the last news there is.
    ended: Cell<bool>,
}

/// How long a store works on answers before the event loop must turn. Node goes on calling for as
/// long as the bell rings, so under load nothing else would be served.
const TURN: Duration = Duration::from_millis(8);
/// The number of the store whose fields the constructor takes.
const FIRST_STORE: u32 = 0;
/// Bytes of answers that are worked on before the clock is looked at.
const WORK_UNMEASURED: usize = 32 * 1024;

#[napi]
impl RedisStore {
    /// Checks the options and starts to connect, without waiting for it. `face` lends functions
    /// (see `host.rs`); `fields` are connect-redis's public fields with the defaults put in; `to`
    /// is where the commands go (see `options.rs`).
    /// Throws a TypeError that names the option and what was given.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        env: &Env,
        options: Unknown,
        fields: Unknown,
        face: Unknown,
        to: Unknown,
    ) -> napi::Result<RedisStore> {
        RedisStore::build(env, &options, &fields, &face, &to)
            .map_err(napi::Error::from_unknown_without_coercion)
    }

    fn build<'e>(
        env: &'e Env,
        options: &Unknown<'e>,
        fields: &Unknown<'e>,
        face: &Unknown<'e>,
        to: &Unknown<'e>,
    ) -> Try<'e, RedisStore> {
        let host = Host::new(env, face)?;
        let internal = |reason: String| {
            let error = StoreError {
                message: format!("RedisStore: {reason}"),
                ..StoreError::internal("RedisStore")
            };
            host.error(env, &error)
        };
        // Listener and functions are needed before there is a store that they call. The listener
        // keeps the store until the bell is removed; the functions must not, as the store has them.
        let listener: Rc<OnceCell<Rc<Inner>>> = Rc::default();
        let called: Rc<OnceCell<Weak<Inner>>> = Rc::default();
        let functions = || -> napi::Result<_> {
            Ok((
                calling(env, "turn", &called, |inner, env, []| inner.turn(env))?,
                calling(env, "answered", &called, Inner::answered)?,
                calling(env, "credential", &called, Inner::credential)?,
            ))
        };
        let (turn, answered, credential) =
            functions().map_err(|error| internal(error.reason.clone()))?;
        let listening = listener.clone();
        let on_ring = Box::new(move |env: &Env| {
            if let Some(inner) = listening.get() {
                inner.hear(env);
            }
        });
        let bell = Doorbell::new(env, on_ring).map_err(|error| internal(error.reason.clone()))?;
        let outbox = Outbox::new(bell.clone());
        let read = || -> Try<'e, _> {
            let config = Config::read(env, &host, options, to, &outbox)?;
            Ok((config, Settings::read(env, &host, fields)?))
        };
        let (config, settings) = read().inspect_err(|_| bell.remove())?;
        let (client, engine) = match config.route {
            Route::Own {
                transport,
                gives_back,
            } => {
                let engine = Engine::start(transport, config.limits, outbox.clone(), gives_back);
                (None, engine)
            }
            Route::Client(client) => {
                let engine = Engine::by_client(config.limits, outbox.clone());
                (Some(client), engine)
            }
        };
        let engine = engine.inspect_err(|_| bell.remove()).map_err(internal)?;
        let inner = Rc::new(Inner {
            settings: RefCell::new(HashMap::from([(FIRST_STORE, Rc::new(settings))])),
            host,
            engine,
            outbox,
            bell,
            client,
            asked: RefCell::default(),
            asks: Cell::new(0),
            functions: config.functions,
            answering: RefCell::default(),
            questions: Cell::new(0),
            waiting: Cell::default(),
            closing: Cell::default(),
            answers: Cell::default(),
            found: Cell::default(),
            put_off: RefCell::default(),
            turn,
            answered,
            credential,
            turn_scheduled: Cell::new(false),
            worked: Cell::default(),
            ended: Cell::new(false),
        });
        let _ = listener.set(inner.clone());
        let _ = called.set(Rc::downgrade(&inner));
        Ok(RedisStore { inner })
    }

    /// Takes over the fields of the store `store`: of another one that shares this connection, or
    /// those that the app has changed. Throws as the constructor does.
    #[napi(catch_unwind)]
    pub fn configure(&self, env: &Env, store: u32, fields: Unknown) -> napi::Result<()> {
        let settings = Settings::read(env, &self.inner.host, &fields)
            .map_err(napi::Error::from_unknown_without_coercion)?;
        let mut all = self.inner.settings.borrow_mut();
        all.insert(store, Rc::new(settings));
        Ok(())
    }

    /// Forgets the fields of a store that does not use this connection any more.
    #[napi(catch_unwind)]
    pub fn forget(&self, store: u32) {
        self.inner.settings.borrow_mut().remove(&store);
    }

    /// Takes `count` calls of the face; see `calls.rs`. `now` is `Date.now()` by the app's own clock.
    #[napi(catch_unwind)]
    pub fn send<'e>(
        &self,
        env: &'e Env,
        count: u32,
        numbers: Unknown<'e>,
        text: Unknown<'e>,
        others: Unknown<'e>,
        now: f64,
    ) -> napi::Result<()> {
        let batch = (count as usize, &numbers, &text, &others);
        self.inner
            .send(env, batch, Clock::new(now))
            .map_err(napi::Error::from_unknown_without_coercion)
    }

    /// Starts a sweep over the keyspace; see `calls.rs` for its number. The face hears what it finds
    /// under the number that it gives.
    #[napi(catch_unwind)]
    pub fn sweep(&self, env: &Env, id: u32, purpose: u32, store: u32, now: f64) {
        let settings = self.inner.settings.borrow().get(&store).cloned();
        let clock = Clock::new(now);
        match settings.and_then(|settings| codec::sweep(&settings, id, purpose, clock)) {
            Some(sweep) => self.inner.sweep(env, sweep),
            None => self
                .inner
                .host
                .swept(env, id, Err(StoreError::internal("the scan"))),
        }
    }

    /// Closes the connection. Pending calls reject with `ECLOSED`; the face hears when it is done.
    #[napi(catch_unwind)]
    pub fn close(&self, env: &Env) {
        if !self.inner.closing.replace(true) {
            self.inner.wait(env, 1);
            self.inner.engine.close(Closing::Now);
        }
    }

    /// Those of these names that no option has, each with the option that was meant, if that can be
    /// told.
    #[napi(catch_unwind)]
    pub fn unknown_options(names: Vec<String>) -> Vec<(String, Option<&'static str>)> {
        unknown_options(names)
    }

    /// The milliseconds a session has to live, by the same rules as for `set`; none or fewer where
    /// its time is over, Infinity for ever. Throws what `set` rejects with.
    #[napi(catch_unwind)]
    pub fn expires_in<'e>(
        &self,
        env: &'e Env,
        expires: Unknown<'e>,
        ttl: Unknown<'e>,
        now: f64,
    ) -> napi::Result<f64> {
        match lifetime::expiry(env, &self.inner.host, &expires, &ttl, now) {
            Ok(Expiry::In(ms)) => Ok(ms as f64),
            Ok(Expiry::Never) => Ok(f64::INFINITY),
            Ok(Expiry::Past) => Ok(0.0),
            Err(error) => Err(napi::Error::from_unknown_without_coercion(error)),
        }
    }

    /// Throws where a payload is neither a string nor a Buffer.
    #[napi(catch_unwind)]
    pub fn check_payload<'e>(&self, env: &'e Env, payload: Unknown<'e>) -> napi::Result<()> {
        lifetime::check_payload(env, &self.inner.host, &payload)
            .map_err(napi::Error::from_unknown_without_coercion)
    }

    /// Closes the connection once what is pending is answered; nothing may be asked from now on.
    #[napi(catch_unwind)]
    pub fn retire(&self) {
        self.inner.engine.close(Closing::WhenIdle);
    }

    /// What messages call the server.
    #[napi(getter, catch_unwind)]
    pub fn server(&self) -> String {
        self.inner.engine.server().to_string()
    }

    /// `connecting`, `ready`, `reconnecting` or `closed`.
    #[napi(getter, catch_unwind)]
    pub fn status(&self) -> &'static str {
        match self.inner.engine.status() {
            Status::Connecting => "connecting",
            Status::Ready => "ready",
            Status::Reconnecting => "reconnecting",
            Status::Closed => "closed",
        }
    }
}

/// A JS function that calls `call` on the store, as long as there is one.
fn calling<const N: usize>(
    env: &Env,
    name: &str,
    store: &Rc<OnceCell<Weak<Inner>>>,
    call: impl for<'c> Fn(&Inner, &'c Env, [Unknown<'c>; N]) + 'static,
) -> napi::Result<Held> {
    let store = store.clone();
    raw::function(env, name, move |env, arguments| {
        if let Some(inner) = store.get().and_then(Weak::upgrade) {
            call(&inner, env, arguments);
        }
    })
}

impl Drop for RedisStore {
    /// Nobody can call the store any more; what is pending is still answered.
    fn drop(&mut self) {
        self.inner.engine.close(Closing::WhenIdle);
    }
}

impl Drop for Inner {
    /// The doorbell is gone: at the end of the store, or with its environment.
    fn drop(&mut self) {
        self.engine.close(Closing::Now);
    }
}

impl Inner {
    /// Sends a batch of calls.
    fn send<'e>(
        &self,
        env: &'e Env,
        batch: (usize, &Unknown<'e>, &Unknown<'e>, &Unknown<'e>),
        clock: Clock,
    ) -> Try<'e, ()> {
        let Handed { made, failed } = codec::read(env, &self.settings.borrow(), clock, batch)?;
        self.wait(env, made.len() + failed.len());
        for (id, error) in failed {
            self.fail(env, id, &error);
        }
        match self.engine.send(made, clock.read) {
            Ok(()) => {}
            Err(Refused::Closed(calls)) => {
                for (id, name, _) in calls {
                    self.fail(env, id, &StoreError::closed(name));
                }
            }
            Err(Refused::GivenBack(calls)) => {
                for (id, _, command) in calls {
                    self.give_back(env, id, &command, self.engine.limits().command);
                }
            }
        }
        self.rest(env);
        Ok(())
    }

    fn sweep(&self, env: &Env, sweep: Sweep) {
        self.wait(env, 1);
        let id = sweep.id;
        if let Err(error) = self.engine.sweep(sweep) {
            self.swept(env, id, Err(error));
        }
    }

    /// So much more waits for an answer; the first of it keeps the process alive.
    fn wait(&self, env: &Env, more: usize) {
        let waiting = self.waiting.get();
        if waiting == 0 && more > 0 {
            self.bell.hold_process(env, true);
        }
        self.waiting.set(waiting + more);
    }

    fn answered_one(&self) {
        self.waiting.set(self.waiting.get().saturating_sub(1));
    }

    /// Lets the process go where nothing waits any more.
    fn rest(&self, env: &Env) {
        if self.waiting.get() == 0 {
            self.bell.hold_process(env, false);
        }
    }

    /// Takes in what the I/O thread has to tell, a share at once, for as long as a turn may take.
    fn hear(&self, env: &Env) {
        let worked_before = self.worked.get();
        if worked_before > TURN {
            return; // `turn` is asked for, and goes on.
        }
        let started = Instant::now();
        let (mut share, more) = self.outbox.take_share();
        let mut answers = self.answers.take();
        let mut unmeasured = 0;
        while let Some(news) = share.pop_front() {
            unmeasured += news.size();
            if let News::Answer(id, Ok(reply)) = news {
                self.answer(env, id, reply, &mut answers);
            } else {
                // What is told comes in its order.
                answers.settle(env, &self.host);
                raw::scoped(env, |env| self.take_in(env, news));
            }
            let is_measured = unmeasured > WORK_UNMEASURED;
            if is_measured || share.is_empty() || answers.is_full() {
                answers.settle(env, &self.host);
            }
            if !is_measured && !share.is_empty() {
                continue;
            }
            unmeasured = 0;
            self.worked.set(worked_before + started.elapsed());
            if self.worked.get() > TURN / 2 {
                self.ask_for_turn(env);
            }
            if self.worked.get() > TURN && (more || !share.is_empty()) {
                self.outbox.put_back(share);
                self.answers.set(answers);
                return;
            }
        }
        self.answers.set(answers);
        if more {
            self.bell.ring();
        }
        self.rest(env);
    }

    /// Takes in news that are no answer to a call, or the error that it is answered with.
    fn take_in(&self, env: &Env, news: News) {
        match news {
            News::Answer(id, Err(error)) => self.fail(env, id, &error),
            News::Answer(id, Ok(_)) => self.fail(env, id, &StoreError::internal("the call")),
            News::GivenBack(id, call) => {
                let left = call.deadline.saturating_duration_since(Instant::now());
                self.give_back(env, id, &call.command, left);
            }
            News::Ask(call) => self.ask(env, *call),
            News::Credential(place, answering) => self.ask_credential(env, place, answering),
            // The end comes after what was put off before it.
            News::Part(..) | News::Swept(..) | News::End => {
                self.put_off.borrow_mut().push_back(news);
                self.ask_for_turn(env);
            }
            News::Status(Status::Ready) => self.emit(env, "ready"),
            News::Status(Status::Reconnecting) => self.emit(env, "reconnecting"),
            News::Status(_) => {}
            News::Failed(error) => self.failed(env, &error),
        }
    }

    /// Has [`Inner::turn`] called when the event loop has turned.
    fn ask_for_turn(&self, env: &Env) {
        if !self.turn_scheduled.replace(true) {
            self.host.later(env, &self.turn);
        }
    }

    /// The event loop has turned: goes on with a sweep's records, and with what was left unheard.
    fn turn(&self, env: &Env) {
        self.turn_scheduled.set(false);
        let paused = self.worked.replace(Duration::ZERO) > TURN;
        let put_off = self.put_off.borrow_mut().pop_front();
        match put_off {
            Some(News::Part(id, part)) => self.collect(env, id, part),
            Some(News::Swept(id, swept)) => self.swept(env, id, swept),
            Some(News::End) => self.end(env),
            Some(_) | None => {}
        }
        if !self.put_off.borrow().is_empty() {
            self.ask_for_turn(env);
        }
        if paused {
            self.hear(env);
        } else {
            self.rest(env);
        }
    }

    /// Adds a call's answer to those that are to be settled. Nothing that goes wrong here reaches its
    /// neighbours.
    fn answer(&self, env: &Env, id: CallId, reply: Reply, answers: &mut Answers) {
        // Only the text of a session is anything to go wrong over.
        let added = StoreError::guard("get", || {
            answers.add(id, reply);
            Ok(())
        });
        if let Err(error) = added {
            return self.fail(env, id, &error);
        }
        self.answered_one();
    }

    fn fail(&self, env: &Env, id: CallId, error: &StoreError) {
        self.answered_one();
        self.host.fail(env, id, error);
    }

    /// The connection was lost under a call: the face has the app's client carry it out.
    fn give_back(&self, env: &Env, id: CallId, command: &Command, left: Duration) {
        self.answered_one();
        self.host.give_back(env, id, left, command);
    }

    /// Has the app's client carry out a sweep's commands.
    fn ask(&self, env: &Env, call: Call) {
        let (Some(client), Command::Raw(commands)) = (&self.client, &call.command) else {
            return;
        };
        let id = self.asks.get();
        self.asks.set(id.wrapping_add(1));
        let (name, commands) = (call.name, commands.clone());
        // First kept, then asked: a client may answer at once.
        self.asked.borrow_mut().insert(id, call);
        client.ask(env, id, name, &commands, &self.answered);
    }

    /// The app's client has carried out a sweep's commands: `error` is what went wrong, as the face
    /// says it, where something did.
    fn answered<'e>(&self, env: &'e Env, [id, error, replies]: [Unknown<'e>; 3]) {
        let call = self.asked.borrow_mut().remove(&(raw::number(&id) as u32));
        let Some(mut call) = call else {
            return;
        };
        let answer = match raw::kind(&error) {
            ValueType::Object => Err(self.host.reason(env, &error)),
            _ => match client::reply(env, &replies) {
                Ok(redis::Value::Array(values)) => Ok(Reply::Raw(values)),
                _ => Err(StoreError::unexpected(call.name, "the client's server")),
            },
        };
        // Who asked is a task of the I/O thread, so there is no news for JS.
        call.answer(answer, &mut Vec::new());
    }

    /// Asks a function of the app's for a user's name or password.
    fn ask_credential(&self, env: &Env, place: usize, answering: CredentialReply) {
        let Some(function) = self.functions.get(place) else {
            return;
        };
        let id = self.questions.get();
        self.questions.set(id.wrapping_add(1));
        {
            let mut waiting = self.answering.borrow_mut();
            // A function may never answer; who has asked it has given up by then.
            waiting.retain(|_, answering| !answering.is_closed());
            waiting.insert(id, answering);
        }
        self.host
            .ask_credential(env, function, id, &self.credential);
    }

    /// A function has given a user's name or password, or the face says what became of it instead.
    fn credential<'e>(&self, env: &'e Env, [id, given, said]: [Unknown<'e>; 3]) {
        let answering = self
            .answering
            .borrow_mut()
            .remove(&(raw::number(&id) as u32));
        let Some(answering) = answering else {
            return;
        };
        let text = |value| raw::text(env, value).unwrap_or_default();
        let answer = match (raw::kind(&said), raw::kind(&given)) {
            (ValueType::String, _) => Err(text(&said)),
            (_, ValueType::String) => Ok(Some(text(&given))),
            _ => Ok(None),
        };
        let _ = answering.send(answer); // Nobody may wait for it any more.
    }

    /// Takes in a part of a sweep, or as much of it as a turn may take.
    fn collect(&self, env: &Env, id: CallId, mut part: Part) {
        let started = Instant::now();
        let mut found = self.found.take();
        while !part.records.is_empty() && started.elapsed() < TURN {
            while let Some(record) = part.records.pop_front() {
                // Only the text of a session is anything to go wrong over.
                if let Err(error) = found.add(record) {
                    let Unadded { sid, error } = error;
                    raw::scoped(env, |env| self.host.corrupt(env, id, &sid, &error));
                }
                if found.is_full() {
                    break;
                }
            }
            raw::scoped(env, |env| found.hand_over(env, &self.host, id));
        }
        self.found.set(found);
        if !part.records.is_empty() {
            self.put_off.borrow_mut().push_front(News::Part(id, part));
        }
    }

    fn swept(&self, env: &Env, id: CallId, swept: Result<Option<usize>, StoreError>) {
        self.answered_one();
        if swept.is_err() && self.engine.has_given_up() {
            return self.host.give_back_sweep(env, id);
        }
        raw::scoped(env, |env| self.host.swept(env, id, swept));
    }

    /// The I/O thread is done with this store: nothing pending can be answered any more.
    fn end(&self, env: &Env) {
        if self.ended.replace(true) {
            return;
        }
        self.asked.borrow_mut().clear();
        self.answering.borrow_mut().clear();
        self.put_off.borrow_mut().clear();
        self.waiting.set(0);
        self.host.end(env, self.engine.has_given_up());
        self.emit(env, "end");
        self.bell.remove();
    }

    /// Tells the face, for which an attempt may have been the first, that it has failed.
    fn failed(&self, env: &Env, error: &ConnectError) {
        if let Ok(reason) = raw::string(env, error.reason.as_bytes()) {
            self.host.emit(env, [raw::value(env, "failed"), reason]);
        }
    }

    fn emit(&self, env: &Env, event: &str) {
        self.host.emit(env, [raw::value(env, event)]);
    }
}

impl Settings {
    /// Whether `get` and `all` ask for the key's true expiry: only where it follows the cookie.
    pub fn true_expiry(&self) -> TrueExpiry {
        if self.ttl_is_function || self.disable_ttl {
            TrueExpiry::Unasked
        } else if self.json {
            TrueExpiry::InText
        } else {
            TrueExpiry::Beside
        }
    }
}
