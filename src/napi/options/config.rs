//! The options of `new RedisStore(options)` that are fixed for the life of a store.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use napi::{Env, Unknown, ValueType};

use crate::io::completions::CompletionQueue;
use crate::io::limits::Limits;
use crate::napi::callbacks::JsCallbacks;
use crate::napi::client::JsClient;
use crate::napi::crossing::COMMAND_TIMEOUT;
use crate::napi::lifetime;
use crate::napi::options::reader::{CredentialFunctions, Reader};
use crate::napi::raw::{self, JsRef, JsResult};
use crate::redis::{Timeouts, Topology};

/// The default of `connectTimeout`, in milliseconds.
const CONNECT_TIMEOUT: f64 = 3000.0;

/// What the options say.
pub struct Config {
    pub transport: Transport,
    pub limits: Limits,
    /// How old a copy of the near cache may be, if there is one (`cache`).
    pub max_stale: Option<Duration>,
    /// The functions of the app that [`Event::Credential`](crate::io::event::Event::Credential) names.
    pub functions: Vec<JsRef>,
}

/// Whose connection carries the commands.
pub enum Transport {
    /// The store's own. With `hands_back` a lost connection is the end, because a client can go on.
    Native {
        topology: Topology,
        hands_back: bool,
    },
    /// The app's client's.
    Client(JsClient),
}

impl Config {
    /// Reads the options. `to` says where the commands go: undefined means by `options`, `{execute}` to
    /// the app's client, anything else to the server that was read from a client
    /// (`lib/client/inspect.js`).
    pub fn read<'e>(
        env: &'e Env,
        callbacks: &JsCallbacks,
        options: &Unknown<'e>,
        to: &Unknown<'e>,
        completions: &Arc<CompletionQueue>,
    ) -> JsResult<'e, Config> {
        let functions = CredentialFunctions {
            completions: completions.clone(),
            list: RefCell::default(),
        };
        let reader = Reader {
            env,
            callbacks,
            functions: Some(&functions),
        };
        let ttl = reader.option(options, "ttl")?;
        let is_falsy = matches!(raw::kind(&ttl), ValueType::Undefined)
            || raw::kind(&ttl) == ValueType::Number && raw::number(&ttl).is_nan();
        if !is_falsy
            && raw::kind(&ttl) != ValueType::Function
            && lifetime::seconds(env, &ttl)?.is_none()
        {
            return Err(reader.wrong("ttl", "a number of seconds or a function", &ttl));
        }
        // JS uses these; here they are only checked.
        reader.check_bound(options, "commandsQueueMaxLength")?;
        reader.check_bound(options, "commandsQueueMaxBytes")?;
        reader.flag(options, "resurrect")?;
        reader.check_seconds(options, "touchAfter", 0.0)?;
        reader.check_seconds(options, "lifetime", 1.0)?;
        reader.is_word(options, "touch", &["wait", "background"])?;
        reader.is_word(options, "concurrency", &["last", "detect", "merge"])?;
        let (transport, in_url) = reader.transport(options, to)?;
        let command = in_url.command.unwrap_or(COMMAND_TIMEOUT);
        let connect = in_url.connect.unwrap_or(CONNECT_TIMEOUT);
        let limits = Limits {
            command: reader.timeout(options, "commandTimeout", command)?,
            connect: reader.timeout(options, "connectTimeout", connect)?,
            fail_fast: reader.is_word(options, "onUnavailable", &["error", "skip"])?,
        };
        Ok(Config {
            transport,
            limits,
            max_stale: reader.max_stale(options)?,
            functions: functions.list.into_inner(),
        })
    }
}

impl<'e> Reader<'e, '_> {
    /// `cache.maxStale`, if there is a near cache: `lib/cache.js` has filled in the default.
    fn max_stale(&self, options: &Unknown<'e>) -> JsResult<'e, Option<Duration>> {
        let cache = self.option(options, "cache")?;
        match raw::kind(&cache) {
            ValueType::Object => self.timeout(&cache, "maxStale", f64::NAN).map(Some),
            _ => Ok(None),
        }
    }

    fn transport(
        &self,
        options: &Unknown<'e>,
        to: &Unknown<'e>,
    ) -> JsResult<'e, (Transport, Timeouts)> {
        let native = |(topology, timeouts), hands_back| {
            let transport = Transport::Native {
                topology,
                hands_back,
            };
            (transport, timeouts)
        };
        if raw::kind(to) != ValueType::Object {
            return Ok(native(self.topology(options)?, false));
        }
        let execute = self.option(to, "execute")?;
        Ok(match raw::kind(&execute) {
            ValueType::Undefined => native(self.topology(to)?, self.flag(to, "handsBack")?),
            _ => {
                let client = JsClient::new(self.env, &execute)?;
                (Transport::Client(client), Timeouts::default())
            }
        })
    }
}
