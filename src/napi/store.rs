//! The native class `RedisStore`: converts, hands on, converts back.

use std::cell::OnceCell;
use std::rc::{Rc, Weak};
use std::sync::Once;
use std::time::Duration;

use napi::bindgen_prelude::{Either, retain_current_module_for_unload_safety};
use napi::{Env, Unknown};
use napi_derive::napi;

use crate::error::StoreError;
use crate::io::completions::CompletionQueue;
use crate::io::event::Status;
use crate::io::handle::Handle;
use crate::io::scan_request::PageRequest;
use crate::io::shared::Closing;
use crate::napi::callbacks::JsCallbacks;
use crate::napi::decode_calls::decode_scan;
use crate::napi::lifetime;
use crate::napi::options::config::{Config, Transport};
use crate::napi::options::names::unknown_options;
use crate::napi::options::settings::Settings;
use crate::napi::raw::{self, JsRef, JsResult, JsWaker};
use crate::napi::store_core::{Parts, StoreCore};
use crate::redis::{Freshness, Tracking, Written};
use crate::session::clock::Clock;
use crate::session::expiry::Expiry;

static RETAIN_MODULE: Once = Once::new();

/// A connection to Redis and the stores that share it, for `lib/native/`. Calls come in batches, each
/// under a number, and so do their answers go back: the promises are made in JS.
#[napi]
pub struct RedisStore {
    core: Rc<StoreCore>,
}

/// Which server a connection goes to.
#[napi(object, object_from_js = false)]
pub struct ServerAddress {
    /// The host, or the path of a Unix socket.
    pub host: String,
    pub port: Option<u32>,
    pub database: f64,
}

/// What the near cache must know before it serves a copy.
#[napi(object, object_from_js = false)]
pub struct CacheNews {
    /// How old the copies that stay are, in milliseconds. Undefined if that is not known.
    pub age: Option<f64>,
    /// The keys whose copies must go.
    pub written: Vec<String>,
    /// Whether all must go.
    pub is_all_written: bool,
    /// Why the server keeps no account of what is read.
    pub refusal: Option<String>,
}

#[napi]
impl RedisStore {
    /// Checks the options and starts to connect, without waiting for it. `fields` are connect-redis's
    /// public fields of the first store, with their defaults; `callbacks` are the functions of
    /// [`JsCallbacks`]; `to` is as in [`Config::read`].
    /// Throws a TypeError that names the option and what was given.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        env: &Env,
        options: Unknown,
        fields: Unknown,
        callbacks: Unknown,
        to: Unknown,
    ) -> napi::Result<RedisStore> {
        RedisStore::build(env, &options, &fields, &callbacks, &to).map_err(thrown)
    }

    fn build<'e>(
        env: &'e Env,
        options: &Unknown<'e>,
        fields: &Unknown<'e>,
        callbacks: &Unknown<'e>,
        to: &Unknown<'e>,
    ) -> JsResult<'e, RedisStore> {
        let callbacks = JsCallbacks::new(env, callbacks)?;
        let internal = |reason: String| {
            let error = StoreError {
                message: format!("RedisStore: {reason}"),
                ..StoreError::internal("RedisStore")
            };
            callbacks.error(env, &error)
        };
        // The waker and the functions are needed before there is a store that they call. The waker
        // keeps the store until it is removed; the functions must not, since the store has them.
        let woken: Rc<OnceCell<Rc<StoreCore>>> = Rc::default();
        let called: Rc<OnceCell<Weak<StoreCore>>> = Rc::default();
        let functions = || -> napi::Result<_> {
            Ok((
                function_of(env, "turn", &called, |core, env, []| core.on_turn(env))?,
                function_of(env, "poll", &called, |core, env, []| core.on_poll(env))?,
                function_of(env, "answered", &called, StoreCore::client_answered)?,
                function_of(env, "credential", &called, StoreCore::credential_given)?,
            ))
        };
        let (turn, poll, answered, credential) =
            functions().map_err(|error| internal(error.reason.clone()))?;
        let listener = woken.clone();
        let on_wake = Box::new(move |env: &Env| {
            if let Some(core) = listener.get() {
                core.handle_events(env);
            }
        });
        let waker = JsWaker::new(env, on_wake).map_err(|error| internal(error.reason.clone()))?;
        // The I/O thread runs this code for as long as the process lives, and Node unmaps an addon when
        // the last worker that loaded it ends. (On Linux, build.rs does the same.)
        RETAIN_MODULE.call_once(retain_current_module_for_unload_safety);
        let to_wake = waker.clone();
        let completions = CompletionQueue::new(move || to_wake.wake());
        let read = || -> JsResult<'e, _> {
            let config = Config::read(env, &callbacks, options, to, &completions)?;
            Ok((config, Settings::read(env, &callbacks, fields)?))
        };
        let (config, settings) = read().inspect_err(|_| waker.remove())?;
        let (client, handle) = match config.transport {
            Transport::Native {
                topology,
                hands_back,
            } => {
                let completions = completions.clone();
                let tracking = config.max_stale.map(Tracking::new);
                let limits = config.limits;
                let handle = Handle::start(topology, limits, completions, hands_back, tracking);
                (None, handle)
            }
            Transport::Client(client) => {
                let handle = Handle::through_client(config.limits, completions.clone());
                (Some(client), handle)
            }
        };
        let handle = handle.inspect_err(|_| waker.remove()).map_err(internal)?;
        let parts = Parts {
            callbacks,
            handle,
            completions,
            waker,
            client,
            credential_functions: config.functions,
            turn,
            poll,
            answered,
            credential,
        };
        let core = Rc::new(StoreCore::new(parts, settings));
        let _ = woken.set(core.clone());
        let _ = called.set(Rc::downgrade(&core));
        Ok(RedisStore { core })
    }

    /// Sets the fields of the store `store`: of another one that shares this connection, or those that
    /// the app has changed. Throws as the constructor does.
    #[napi(catch_unwind)]
    pub fn configure(&self, env: &Env, store: u32, fields: Unknown) -> napi::Result<()> {
        let settings = Settings::read(env, &self.core.callbacks, &fields).map_err(thrown)?;
        self.core.configure(store, settings);
        Ok(())
    }

    /// Forgets the fields of a store that does not use this connection any more.
    #[napi(catch_unwind)]
    pub fn forget(&self, store: u32) {
        self.core.forget(store);
    }

    /// Forgets what the sessions of a batch of answers were loaded with.
    #[napi(catch_unwind)]
    pub fn forget_bases(&self, env: &Env, batch: u32) {
        self.core.bases.borrow_mut().forget(env, batch);
    }

    /// Sends a batch of `count` calls; see `decode_calls.rs`. `now` is `Date.now()` by the app's own
    /// clock.
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
        self.core.send(env, batch, Clock::new(now)).map_err(thrown)
    }

    /// Starts a scan over the keyspace; see `crossing.rs` for its number. Its results come under `id`.
    /// `position` and `limit` are those of a page.
    #[napi(catch_unwind)]
    #[allow(clippy::too_many_arguments)] // An object would cross slower, and be no clearer.
    pub fn scan(
        &self,
        env: &Env,
        id: u32,
        number: u32,
        store: u32,
        now: f64,
        position: Option<String>,
        limit: Option<u32>,
    ) {
        let page = PageRequest {
            position: position.unwrap_or_default(),
            limit: limit.unwrap_or_default() as usize,
        };
        let request = self
            .core
            .settings(store)
            .and_then(|settings| decode_scan(&settings, id, number, Clock::new(now), page));
        match request {
            Some(request) => self.core.scan(env, request),
            None => {
                let error = StoreError::internal("the scan");
                self.core.callbacks.scan_end(env, id, Err(error));
            }
        }
    }

    /// Closes the connection. Pending calls reject with `ECLOSED`; JS gets the end as an event.
    #[napi(catch_unwind)]
    pub fn close(&self, env: &Env) {
        self.core.close(env);
    }

    /// Closes the connection when everything pending is answered. No call may follow.
    #[napi(catch_unwind)]
    pub fn retire(&self) {
        self.core.drop_seals();
        self.core.handle.close(Closing::WhenIdle);
    }

    /// Returns the names that are no option, each with the option that was probably meant.
    #[napi(catch_unwind)]
    pub fn unknown_options(names: Vec<String>) -> Vec<(String, Option<&'static str>)> {
        unknown_options(names)
    }

    /// Returns the milliseconds that a session has to live, by the same rules as for `set`: 0 if its
    /// time is over, Infinity if it never ends. Throws what `set` rejects with.
    #[napi(catch_unwind)]
    pub fn expires_in<'e>(
        &self,
        env: &'e Env,
        expires: Unknown<'e>,
        ttl: Unknown<'e>,
        now: f64,
    ) -> napi::Result<f64> {
        match lifetime::expiry(env, &self.core.callbacks, &expires, &ttl, now) {
            Ok(Expiry::In(ms)) => Ok(ms as f64),
            Ok(Expiry::Never) => Ok(f64::INFINITY),
            Ok(Expiry::Past) => Ok(0.0),
            Err(error) => Err(thrown(error)),
        }
    }

    /// Throws if a payload is neither a string nor a Buffer.
    #[napi(catch_unwind)]
    pub fn check_payload<'e>(&self, env: &'e Env, payload: Unknown<'e>) -> napi::Result<()> {
        lifetime::check_payload(env, &self.core.callbacks, &payload).map_err(thrown)
    }

    /// What messages call the server.
    #[napi(getter, catch_unwind)]
    pub fn server(&self) -> String {
        self.core.handle.server().to_string()
    }

    /// Where the connection goes; undefined if that is not known.
    #[napi(getter, catch_unwind)]
    pub fn peer(&self) -> Option<ServerAddress> {
        let peer = self.core.handle.peer()?;
        Some(ServerAddress {
            host: peer.host,
            port: peer.port.map(u32::from),
            database: peer.database as f64,
        })
    }

    /// What the connection has carried: see `io/handle.rs`.
    #[napi(catch_unwind)]
    pub fn traffic(&self) -> Vec<f64> {
        self.core.handle.traffic()
    }

    /// For the near cache: what was written since the last time. If nothing was, only the age of the copies in
    /// milliseconds, since an object costs more.
    #[napi(catch_unwind)]
    pub fn look(&self) -> Either<f64, CacheNews> {
        let (written, freshness) = self.core.handle.look();
        let age = |age: Duration| age.as_secs_f64() * 1000.0;
        let (written, is_all_written) = match written {
            Written::Keys(keys)
                if keys.is_empty()
                    && let Freshness::Age(now) = freshness =>
            {
                return Either::A(age(now));
            }
            Written::Keys(keys) => (keys, false),
            Written::All => (Vec::new(), true),
        };
        let text = |key: Vec<u8>| String::from_utf8_lossy(&key).into_owned();
        let (age, refusal) = match freshness {
            Freshness::Age(now) => (Some(age(now)), None),
            Freshness::Unknown => (None, None),
            Freshness::Refused(why) => (
                None,
                Some(format!("{} refuses: {}", why.server, why.reason)),
            ),
        };
        Either::B(CacheNews {
            age,
            written: written.into_iter().map(text).collect(),
            is_all_written,
            refusal,
        })
    }

    /// `connecting`, `ready`, `reconnecting` or `closed`.
    #[napi(getter, catch_unwind)]
    pub fn status(&self) -> &'static str {
        match self.core.handle.status() {
            Status::Connecting => "connecting",
            Status::Ready => "ready",
            Status::Reconnecting => "reconnecting",
            Status::Closed => "closed",
        }
    }
}

impl Drop for RedisStore {
    /// Nobody can call the store any more; what is pending is still answered.
    fn drop(&mut self) {
        self.core.handle.close(Closing::WhenIdle);
    }
}

/// Makes napi throw a JS value.
fn thrown(error: Unknown) -> napi::Error {
    napi::Error::from_unknown_without_coercion(error)
}

/// Makes a JS function that calls `call` on the store, as long as there is one.
fn function_of<const N: usize>(
    env: &Env,
    name: &str,
    store: &Rc<OnceCell<Weak<StoreCore>>>,
    call: impl for<'c> Fn(&StoreCore, &'c Env, [Unknown<'c>; N]) + 'static,
) -> napi::Result<JsRef> {
    let store = store.clone();
    raw::function(env, name, move |env, arguments| {
        if let Some(core) = store.get().and_then(Weak::upgrade) {
            call(&core, env, arguments);
        }
    })
}
