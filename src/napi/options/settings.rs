//! What an app may change on a living store: connect-redis's public fields.

use napi::{Env, Unknown, ValueType};

use crate::napi::callbacks::JsCallbacks;
use crate::napi::options::reader::Reader;
use crate::napi::raw::{self, JsResult};
use crate::napi::sealer::Sealer;
use crate::session::seal::{Notation, Seal};
use crate::session::true_expiry::TrueExpiry;

/// The fields of one store.
#[derive(Clone)]
pub struct Settings {
    /// `"sess:"` if the app gives none.
    pub prefix: Vec<u8>,
    /// What the app's client puts before every key by itself, if it carries the commands.
    pub client_prefix: Vec<u8>,
    /// `None` while the app has not set it.
    pub scan_count: Option<u32>,
    /// Whether sessions are JSON. If the app has a serializer of its own, JS calls it, and texts cross
    /// here as they are.
    pub json: bool,
    /// Whether a key's expiry follows the cookie (`lib/lifetime.js`).
    pub follows_cookie: bool,
    /// Whether `get` also returns the true expiry, for `touchAfter`.
    pub reads_expiry: bool,
    /// Whether `get` keeps what a save compares with (`concurrency`).
    pub keeps_base: bool,
    /// What seals and opens the sessions' texts.
    pub seal: Option<Seal>,
    /// Whether keys hold a handle instead of the sid (`hashIds`).
    pub has_handles: bool,
}

impl Settings {
    /// Reads the fields. JS has filled in connect-redis's defaults. The value of `ttl` is checked when it
    /// is used.
    pub fn read<'e>(
        env: &'e Env,
        callbacks: &JsCallbacks,
        fields: &Unknown<'e>,
    ) -> JsResult<'e, Settings> {
        let reader = Reader {
            env,
            callbacks,
            functions: None,
        };
        let prefix = raw::get(env, fields, c"prefix")?;
        if raw::kind(&prefix) != ValueType::String {
            return Err(reader.wrong("prefix", "a string", &prefix));
        }
        let scan_count = raw::get(env, fields, c"scanCount")?;
        let scan_count = match raw::kind(&scan_count) {
            ValueType::Undefined => None,
            ValueType::Number
                if (1.0..=f64::from(u32::MAX)).contains(&raw::number(&scan_count)) =>
            {
                Some(raw::number(&scan_count) as u32)
            }
            _ => return Err(reader.wrong("scanCount", "a positive number", &scan_count)),
        };
        // JS uses these; here they are only checked.
        reader.flag(fields, "disableTouch")?;
        reader.flag(fields, "disableTTL")?;
        let client_prefix = reader.option(fields, "clientPrefix")?;
        let form = match reader.flag(fields, "sealsInLetters")? {
            true => Notation::Letters,
            false => Notation::Bytes,
        };
        Ok(Settings {
            prefix: raw::string_bytes(env, &prefix, 32)?,
            client_prefix: match raw::kind(&client_prefix) {
                ValueType::String => raw::string_bytes(env, &client_prefix, 32)?,
                _ => Vec::new(),
            },
            scan_count,
            json: reader.flag(fields, "json")?,
            follows_cookie: reader.flag(fields, "followsCookie")?,
            reads_expiry: reader.flag(fields, "readsExpiry")?,
            keeps_base: reader.flag(fields, "keepsBase")?,
            seal: Sealer::read(&raw::get(env, fields, c"sealer")?, form),
            has_handles: reader.flag(fields, "hasHandles")?,
        })
    }

    /// What `get` does with the key's true expiry.
    pub fn true_expiry_of_get(&self) -> TrueExpiry {
        match self.true_expiry() {
            read if !self.reads_expiry => read,
            TrueExpiry::InText => TrueExpiry::InTextAndBeside,
            _ => TrueExpiry::Beside,
        }
    }

    /// What `all` does with the key's true expiry.
    pub fn true_expiry(&self) -> TrueExpiry {
        if !self.follows_cookie {
            TrueExpiry::Unasked
        } else if self.json {
            TrueExpiry::InText
        } else {
            TrueExpiry::Beside
        }
    }
}
