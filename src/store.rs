//! The native RedisStore: on the JS thread, calls become commands and replies settle promises.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use napi::{Env, Unknown, ValueType};
use napi_derive::napi;

use crate::command::{Clock, Command, Expiry, Reply, TrueExpiry};
use crate::engine::{Call, CallId, Closing, Engine, News, Outbox, Part, Refused, Status};
use crate::error::{ConnectError, StoreError};
use crate::host::Host;
use crate::js::{self, Deferred, Doorbell, Held, Try};
use crate::keyspace::{Purpose, Sweep};
use crate::options::{Config, QueueLimits, Route, Settings, unknown_options};
use crate::pending::{Collected, Pending, Waiter, raw};
use crate::session;
use crate::transport::{self, JsClient};

/// The store behind the face (`index.js`), with connect-redis's methods. Every method answers
/// with a promise; the face adds the callbacks.
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
    settings: RefCell<Rc<Settings>>,
    resurrect: bool,
    queue: QueueLimits,
    engine: Engine,
    outbox: Arc<Outbox>,
    bell: Arc<Doorbell>,
    /// The app's client, where it carries the commands of sweeps.
    client: Option<JsClient>,
    /// Commands of sweeps that the client has been asked to carry out, and how many there were.
    asked: RefCell<HashMap<u32, Call>>,
    asks: Cell<u32>,
    pending: RefCell<Pending>,
    /// The clock of the batch that is being made, where one is: see [`Inner::batch`].
    batch: Cell<Option<Clock>>,
    /// JS functions that call the methods of these names.
    flush: Held,
    turn: Held,
    answered: Held,
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
        let config = Config::read(env, &host, options, to)?;
        let settings = Settings::read(env, &host, fields)?;
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
                calling(env, "flush", &called, |inner, env, []| inner.flush(env))?,
                calling(env, "turn", &called, |inner, env, []| inner.turn(env))?,
                calling(env, "answered", &called, Inner::answered)?,
            ))
        };
        let (flush, turn, answered) =
            functions().map_err(|error| internal(error.reason.clone()))?;
        let listening = listener.clone();
        let on_ring = Box::new(move |env: &Env| {
            if let Some(inner) = listening.get() {
                inner.hear(env);
            }
        });
        let bell = Doorbell::new(env, on_ring).map_err(|error| internal(error.reason.clone()))?;
        let outbox = Outbox::new(bell.clone());
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
            settings: RefCell::new(Rc::new(settings)),
            resurrect: config.resurrect,
            queue: config.queue,
            host,
            engine,
            outbox,
            bell,
            client,
            asked: RefCell::default(),
            asks: Cell::new(0),
            pending: RefCell::default(),
            batch: Cell::new(None),
            flush,
            turn,
            answered,
            turn_scheduled: Cell::new(false),
            worked: Cell::default(),
            ended: Cell::new(false),
        });
        let _ = listener.set(inner.clone());
        let _ = called.set(Rc::downgrade(&inner));
        Ok(RedisStore { inner })
    }

    /// Takes over fields that the app has changed. Throws as the constructor does.
    #[napi(catch_unwind)]
    pub fn configure(&self, env: &Env, fields: Unknown) -> napi::Result<()> {
        let settings = Settings::read(env, &self.inner.host, &fields)
            .map_err(napi::Error::from_unknown_without_coercion)?;
        self.inner.settings.replace(Rc::new(settings));
        Ok(())
    }

    /// The session of `sid`, or null where there is none. Where the app has a serializer, it is a
    /// record `{text, expires}` for the face to have parsed.
    #[napi(catch_unwind)]
    pub fn get<'e>(&self, env: &'e Env, sid: Unknown<'e>) -> napi::Result<Unknown<'e>> {
        self.inner.call(env, "get", |settings, clock| {
            let key = session::key(env, &settings.prefix, &sid)?;
            Ok(Some(Command::Get {
                key,
                expiry: settings.true_expiry(),
                clock,
            }))
        })
    }

    /// Stores a session, or what `session` returns, where it is a function. `expires` is its `cookie.expires`, undefined where it does not count;
    /// `ttl` is the `ttl` field, or what it returned for this session where it is a function;
    /// `loaded` says that express-session loaded the session from this store, so that it is not
    /// written where its key is gone.
    #[allow(clippy::too_many_arguments)] // reason: a JS method's, handed through by the face
    #[napi(catch_unwind)]
    pub fn set<'e>(
        &self,
        env: &'e Env,
        sid: Unknown<'e>,
        session: Unknown<'e>,
        now: f64,
        expires: Unknown<'e>,
        ttl: Unknown<'e>,
        loaded: bool,
    ) -> napi::Result<Unknown<'e>> {
        self.inner.call(env, "set", |settings, _| {
            let key = session::key(env, &settings.prefix, &sid)?;
            let host = &self.inner.host;
            let expires_in = match session::expiry(env, host, &expires, &ttl, now)? {
                // A session that has expired is no longer there (as connect-redis does).
                Expiry::Past => return Ok(Some(Command::Destroy { key })),
                Expiry::In(ms) if !settings.disable_ttl => Some(ms),
                Expiry::In(_) | Expiry::Never => None,
            };
            let value = session::payload(env, host, &session)?;
            Ok(Some(Command::Set {
                key,
                value,
                expires_in,
                only_existing: loaded && !self.inner.resurrect,
            }))
        })
    }

    /// Moves the expiry of a session. `expires` and `ttl` as for `set`.
    #[napi(catch_unwind)]
    pub fn touch<'e>(
        &self,
        env: &'e Env,
        sid: Unknown<'e>,
        now: f64,
        expires: Unknown<'e>,
        ttl: Unknown<'e>,
    ) -> napi::Result<Unknown<'e>> {
        self.inner.call(env, "touch", |settings, _| {
            if settings.disable_touch || settings.disable_ttl {
                return Ok(None);
            }
            let key = session::key(env, &settings.prefix, &sid)?;
            let host = &self.inner.host;
            let expiry = session::expiry(env, host, &expires, &ttl, now)?;
            Ok(Some(Command::Touch { key, expiry }))
        })
    }

    /// Deletes a session; no error where there is none.
    #[napi(catch_unwind)]
    pub fn destroy<'e>(&self, env: &'e Env, sid: Unknown<'e>) -> napi::Result<Unknown<'e>> {
        self.inner.call(env, "destroy", |settings, _| {
            let key = session::key(env, &settings.prefix, &sid)?;
            Ok(Some(Command::Destroy { key }))
        })
    }

    /// Deletes all sessions of the prefix.
    #[napi(catch_unwind)]
    pub fn clear<'e>(&self, env: &'e Env) -> napi::Result<Unknown<'e>> {
        self.inner.sweep(env, "clear", Purpose::Clear)
    }

    /// The number of sessions of the prefix.
    #[napi(catch_unwind)]
    pub fn length<'e>(&self, env: &'e Env) -> napi::Result<Unknown<'e>> {
        self.inner.sweep(env, "length", Purpose::Length)
    }

    /// The sids of all sessions of the prefix, in no order.
    #[napi(catch_unwind)]
    pub fn ids<'e>(&self, env: &'e Env) -> napi::Result<Unknown<'e>> {
        self.inner.sweep(env, "ids", Purpose::Ids)
    }

    /// All sessions of the prefix, each with its sid as `id`, in no order. Where the app has a
    /// serializer, they are records `{id, text, expires}` for the face to have parsed.
    #[napi(catch_unwind)]
    pub fn all<'e>(&self, env: &'e Env) -> napi::Result<Unknown<'e>> {
        self.inner.sweep(env, "all", Purpose::All)
    }

    /// Closes the connection. Pending calls reject with `ECLOSED`. Resolves to null when it is
    /// done, at once where it was done before.
    #[napi(catch_unwind)]
    pub fn close<'e>(&self, env: &'e Env) -> napi::Result<Unknown<'e>> {
        let (deferred, promise) = Deferred::new(env)?;
        if self.inner.ended.get() {
            deferred.settle(env, Ok(js::null(env)));
        } else {
            self.inner.wait(env, |pending| pending.add_closer(deferred));
            self.inner.engine.close(Closing::Now);
        }
        Ok(promise)
    }

    /// What to warn about in options of these names, if there is anything: those that do not exist.
    #[napi(catch_unwind)]
    pub fn warning(names: Vec<String>) -> Option<String> {
        unknown_options(&names)
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
        match session::expiry(env, &self.inner.host, &expires, &ttl, now) {
            Ok(Expiry::In(ms)) => Ok(ms as f64),
            Ok(Expiry::Never) => Ok(f64::INFINITY),
            Ok(Expiry::Past) => Ok(0.0),
            Err(error) => Err(napi::Error::from_unknown_without_coercion(error)),
        }
    }

    /// Throws where a payload is neither a string nor a Buffer.
    #[napi(catch_unwind)]
    pub fn check_payload<'e>(&self, env: &'e Env, payload: Unknown<'e>) -> napi::Result<()> {
        session::payload_bytes(env, &self.inner.host, &payload)
            .map(drop)
            .map_err(napi::Error::from_unknown_without_coercion)
    }

    /// Closes the connection once what is pending is answered; nothing may be asked from now on.
    #[napi(catch_unwind)]
    pub fn retire(&self) {
        self.inner.engine.close(Closing::WhenIdle);
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
    js::function(env, name, move |env, arguments| {
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
    /// Makes a promise, and sends the command that `build` makes. With no command the promise is
    /// null at once; with an error it rejects.
    fn call<'e>(
        &self,
        env: &'e Env,
        name: &'static str,
        build: impl FnOnce(&Settings, Clock) -> Try<'e, Option<Command>>,
    ) -> napi::Result<Unknown<'e>> {
        let (deferred, promise) = Deferred::new(env)?;
        let settings = self.settings.borrow().clone();
        let clock = self.batch(env);
        match self.host.guard(env, name, || build(&settings, clock)) {
            Ok(Some(command)) => {
                let bytes = command.size();
                let full = self.pending.borrow().refuse(bytes, self.queue);
                if let Some(full) = full {
                    let error = StoreError::queue_full(name, self.engine.server(), &full);
                    deferred.settle(env, Err(self.host.error(env, &error)));
                    return Ok(promise);
                }
                let waiter = Waiter {
                    bytes: Some(bytes),
                    ..Waiter::new(name, deferred, settings.json)
                };
                let id = self.wait(env, |pending| pending.add(waiter));
                match self.engine.send(id, name, command, clock.read) {
                    Ok(()) => {}
                    Err(Refused::Closed(error)) => self.answer(env, id, Err(error)),
                    Err(Refused::GivenBack(command)) => {
                        self.given_back(env, id, &command, self.engine.limits().command);
                    }
                }
            }
            Ok(None) => deferred.settle(env, Ok(js::null(env))),
            Err(error) => deferred.settle(env, Err(error)),
        }
        Ok(promise)
    }

    /// Sees to it that the calls which the JS that runs now makes are sent once it has run.
    /// Returns the app's clock, which is read once for all of them.
    fn batch(&self, env: &Env) -> Clock {
        if let Some(clock) = self.batch.get() {
            return clock;
        }
        let clock = Clock::new(self.host.soon(env, &self.flush));
        self.batch.set(Some(clock));
        clock
    }

    /// Sends the batch.
    fn flush(&self, _env: &Env) {
        self.batch.set(None);
        self.engine.flush();
    }

    /// Makes a promise and starts a sweep for it.
    fn sweep<'e>(
        &self,
        env: &'e Env,
        name: &'static str,
        purpose: Purpose,
    ) -> napi::Result<Unknown<'e>> {
        let (deferred, promise) = Deferred::new(env)?;
        let settings = self.settings.borrow().clone();
        let mut waiter = Waiter::new(name, deferred, settings.json);
        if matches!(purpose, Purpose::Ids | Purpose::All) {
            match Collected::new(env, purpose == Purpose::All) {
                Ok(collected) => waiter.collected = Some(collected),
                Err(error) => {
                    waiter.deferred.settle(env, Err(error));
                    return Ok(promise);
                }
            }
        }
        let id = self.wait(env, |pending| pending.add(waiter));
        let sweep = Sweep {
            id,
            name,
            purpose,
            prefix: settings.prefix.clone(),
            client_prefix: settings.client_prefix.clone(),
            count: settings.scan_count,
            expiry: settings.true_expiry(),
            clock: self.batch(env),
        };
        if let Err(error) = self.engine.sweep(sweep) {
            self.answer(env, id, Err(error));
        }
        Ok(promise)
    }

    /// Adds something to wait for; the first of it keeps the process alive.
    fn wait<T>(&self, env: &Env, add: impl FnOnce(&mut Pending) -> T) -> T {
        let mut pending = self.pending.borrow_mut();
        if pending.is_empty() {
            self.bell.hold_process(env, true);
        }
        add(&mut pending)
    }

    /// Lets the process go where nothing is pending any more.
    fn rest(&self, env: &Env) {
        if self.pending.borrow().is_empty() {
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
        let mut unmeasured = 0;
        while let Some(news) = share.pop_front() {
            unmeasured += news.size();
            match news {
                News::Answer(id, answer) => self.answer(env, id, answer),
                News::GivenBack(id, command, deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    js::scoped(env, |env| self.given_back(env, id, &command, left));
                }
                News::Ask(call) => js::scoped(env, |env| self.ask(env, call)),
                // The end comes after what was put off before it.
                News::Part(..) | News::Swept(..) | News::End => {
                    self.pending.borrow_mut().put_off(news);
                    self.ask_for_turn(env);
                }
                News::Status(Status::Ready) => self.emit(env, "ready"),
                News::Status(Status::Reconnecting) => self.emit(env, "reconnecting"),
                News::Status(_) => {}
                News::Failed(error) => self.failed(env, &error),
            }
            if unmeasured < WORK_UNMEASURED && !share.is_empty() {
                continue;
            }
            unmeasured = 0;
            self.worked.set(worked_before + started.elapsed());
            if self.worked.get() > TURN / 2 {
                self.ask_for_turn(env);
            }
            if self.worked.get() > TURN && (more || !share.is_empty()) {
                self.outbox.put_back(share);
                return;
            }
        }
        if more {
            self.bell.ring();
        }
        self.rest(env);
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
        let put_off = self.pending.borrow_mut().next_put_off();
        match put_off {
            Some(News::Part(id, part)) => self.collect(env, id, part),
            Some(News::Swept(id, swept)) => self.swept(env, id, swept),
            Some(News::End) => self.end(env),
            Some(_) | None => {}
        }
        if self.pending.borrow().has_put_off() {
            self.ask_for_turn(env);
        }
        if paused {
            self.hear(env);
        } else {
            self.rest(env);
        }
    }

    /// Settles one promise. Nothing that goes wrong here reaches its neighbours.
    fn answer(&self, env: &Env, id: CallId, answer: Result<Reply, StoreError>) {
        let Some(waiter) = self.pending.borrow_mut().take(id) else {
            return;
        };
        js::scoped(env, |env| {
            let value = self.host.guard(env, waiter.name, || match answer {
                Ok(Reply::Session { text, .. }) if waiter.json => self.host.parse(env, &text),
                Ok(Reply::Session { text, expires }) => raw(env, None, &text, expires),
                // The face emits `discarded`: it knows the sid.
                Ok(Reply::Discarded) => Ok(js::value(env, false)),
                Ok(Reply::Null | Reply::Raw(_) | Reply::Masters(_)) => Ok(js::null(env)),
                Err(error) => Err(self.host.error(env, &error)),
            });
            waiter.deferred.settle(env, value);
        });
    }

    /// The connection was lost under a call: the face has the app's client carry it out.
    fn given_back(&self, env: &Env, id: CallId, command: &Command, left: Duration) {
        let Some(waiter) = self.pending.borrow_mut().take(id) else {
            return;
        };
        let (host, name) = (&self.host, waiter.name);
        let promise = host.guard(env, name, || {
            host.again(env, name, left, command, waiter.json)
        });
        waiter.deferred.settle(env, promise);
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
        let call = self.asked.borrow_mut().remove(&(js::number(&id) as u32));
        let Some(mut call) = call else {
            return;
        };
        let answer = match js::kind(&error) {
            ValueType::Object => Err(self.host.reason(env, &error)),
            _ => match transport::reply(env, &replies) {
                Ok(redis::Value::Array(values)) => Ok(Reply::Raw(values)),
                _ => Err(StoreError::unexpected(call.name, "the client's server")),
            },
        };
        // Who asked is a task of the I/O thread, so there is no news for JS.
        call.answer(answer, &mut Vec::new());
    }

    /// Takes in a part of a sweep, or as much of it as a turn may take.
    fn collect(&self, env: &Env, id: CallId, mut part: Part) {
        let Some((mut collected, json)) = self.pending.borrow_mut().lend(id) else {
            return;
        };
        let started = Instant::now();
        while let Some(record) = part.records.pop_front() {
            js::scoped(env, |env| collected.take_in(env, &self.host, json, &record));
            if started.elapsed() > TURN {
                break;
            }
        }
        let mut pending = self.pending.borrow_mut();
        pending.give_back(id, collected);
        if !part.records.is_empty() {
            pending.put_off_again(News::Part(id, part));
        }
    }

    fn swept(&self, env: &Env, id: CallId, swept: Result<Option<usize>, StoreError>) {
        let Some(waiter) = self.pending.borrow_mut().take(id) else {
            return;
        };
        js::scoped(env, |env| {
            let value = match (swept, &waiter.collected) {
                (Err(error), _) => Err(self.host.error(env, &error)),
                (Ok(_), Some(collected)) => Ok(collected.array(env)),
                (Ok(Some(count)), None) => Ok(js::value(env, count as f64)),
                (Ok(None), None) => Ok(js::null(env)),
            };
            waiter.deferred.settle(env, value);
        });
    }

    /// The I/O thread is done with this store: nothing pending can be answered any more.
    fn end(&self, env: &Env) {
        if self.ended.replace(true) {
            return;
        }
        self.asked.borrow_mut().clear();
        let (waiters, closers) = self.pending.borrow_mut().drain();
        for waiter in waiters {
            let error = self.host.error(env, &StoreError::closed(waiter.name));
            waiter.deferred.settle(env, Err(error));
        }
        for closer in closers {
            closer.settle(env, Ok(js::null(env)));
        }
        self.emit(env, "end");
        self.bell.remove();
    }

    /// Tells the face, for which an attempt may have been the first, that it has failed.
    fn failed(&self, env: &Env, error: &ConnectError) {
        if let Ok(reason) = js::string(env, error.reason.as_bytes()) {
            self.host.emit(env, [js::value(env, "failed"), reason]);
        }
    }

    fn emit(&self, env: &Env, event: &str) {
        self.host.emit(env, [js::value(env, event)]);
    }
}

impl Settings {
    /// Whether `get` and `all` ask for the key's true expiry: only where it follows the cookie.
    fn true_expiry(&self) -> TrueExpiry {
        if self.ttl_is_function || self.disable_ttl {
            TrueExpiry::Unasked
        } else if self.json {
            TrueExpiry::InText
        } else {
            TrueExpiry::Beside
        }
    }
}
