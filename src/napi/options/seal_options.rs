//! Sessions at rest: the options `encryption` and `compression`.

use napi::{Env, Unknown, ValueType};
use zeroize::Zeroizing;

use crate::napi::describe::describe;
use crate::napi::raw;
use crate::session::seal::{Compression, Encryption, EncryptionKey, MAX_LEVEL, MIN_SECRET, Seal};

/// Bytes of the longest secret. Room for it is taken at once: a copy that grows leaves parts behind.
const MAX_SECRET: usize = 1024;
/// Bytes that a character of a string has at most.
const UTF8: usize = 3;
/// A text that is at most this long may be compressed.
const MAX_THRESHOLD: f64 = 1_073_741_824.0;

/// What keeps options from being read.
pub enum Unreadable<'e> {
    /// Something is wrong with an option.
    Wrong(String),
    /// A getter has thrown this.
    Thrown(Unknown<'e>),
}

impl<'e> From<Unknown<'e>> for Unreadable<'e> {
    fn from(thrown: Unknown<'e>) -> Unreadable<'e> {
        Unreadable::Thrown(thrown)
    }
}

type SealResult<'e, T> = Result<T, Unreadable<'e>>;

/// Reads the options of a store. No message shows a secret, nor what stands in its place.
pub fn seal<'e>(env: &'e Env, options: &Unknown<'e>) -> SealResult<'e, Seal> {
    let reader = SealReader { env };
    Ok(Seal::new(
        reader.encryption(options)?,
        reader.compression(options)?,
    ))
}

struct SealReader<'e> {
    env: &'e Env,
}

impl<'e> SealReader<'e> {
    fn encryption(&self, options: &Unknown<'e>) -> SealResult<'e, Option<Encryption>> {
        let given = raw::get(self.env, options, c"encryption")?;
        match raw::kind(&given) {
            ValueType::Undefined | ValueType::Null => return Ok(None),
            ValueType::Object => {}
            _ => return Err(self.wrong("encryption", "an object { keys }", &given)),
        }
        let listed = raw::get(self.env, &given, c"keys")?;
        let Some(listed) = raw::elements(self.env, &listed).filter(|keys| !keys.is_empty()) else {
            let wanted = "a list of one key or more, each { id, secret }";
            return Err(self.wrong("encryption.keys", wanted, &listed));
        };
        let mut keys: Vec<EncryptionKey> = Vec::with_capacity(listed.len());
        for (place, given) in listed.iter().enumerate() {
            let key = self.key(&format!("encryption.keys[{place}]"), given)?;
            let twice = keys.iter().position(|other| other.id == key.id);
            if let Some(other) = twice {
                return Err(Unreadable::Wrong(format!(
                    "the option encryption.keys has the id {} twice, at {other} and {place}: each \
                     key must have an id of its own",
                    key.id
                )));
            }
            if let Some(other) = keys.iter().position(|other| other.is_same(&key)) {
                return Err(Unreadable::Wrong(format!(
                    "the option encryption.keys has one secret twice, at {other} and {place}: a \
                     new key must have a new secret"
                )));
            }
            keys.push(key);
        }
        let write = self.flag(&given, c"write", "encryption.write", true)?;
        let plain = raw::get(self.env, &given, c"plain")?;
        let word = match raw::kind(&plain) {
            ValueType::Undefined | ValueType::Null => "read".into(),
            ValueType::String => raw::text(self.env, &plain)?,
            _ => String::new(),
        };
        let refuses_plain = match &*word {
            "read" => false,
            "refuse" => true,
            _ => return Err(self.wrong("encryption.plain", "\"read\" or \"refuse\"", &plain)),
        };
        if refuses_plain && !write {
            return Err(Unreadable::Wrong(
                "encryption.plain is \"refuse\" and encryption.write is false: the store would not \
                 read what it writes"
                    .into(),
            ));
        }
        Ok(Some(Encryption {
            keys,
            write,
            refuses_plain,
        }))
    }

    fn key(&self, option: &str, given: &Unknown<'e>) -> SealResult<'e, EncryptionKey> {
        if raw::kind(given) != ValueType::Object {
            // Not shown: it may be the secret.
            return Err(Unreadable::Wrong(format!(
                "the option {option} must be an object {{ id, secret }}"
            )));
        }
        let id = raw::get(self.env, given, c"id")?;
        let number = match raw::kind(&id) {
            ValueType::Number => raw::number(&id),
            _ => f64::NAN,
        };
        if number.fract() != 0.0 || !(0.0..=f64::from(u32::MAX)).contains(&number) {
            let wanted = "a whole number from 0 to 4294967295";
            return Err(self.wrong(&format!("{option}.id"), wanted, &id));
        }
        let secret = self.secret(option, &raw::get(self.env, given, c"secret")?)?;
        Ok(EncryptionKey::new(number as u32, &secret))
    }

    fn secret(&self, option: &str, given: &Unknown<'e>) -> SealResult<'e, Zeroizing<Vec<u8>>> {
        let wrong = |got: &str| {
            Unreadable::Wrong(format!(
                "the option {option}.secret must be a string or a Buffer of {MIN_SECRET} to \
                 {MAX_SECRET} bytes, got {got}"
            ))
        };
        let secret = Zeroizing::new(match raw::kind(given) {
            ValueType::String => raw::string_bytes(self.env, given, UTF8 * MAX_SECRET + 8)?,
            ValueType::Undefined | ValueType::Null => return Err(wrong("nothing")),
            _ => match raw::buffer_bytes(self.env, given) {
                Some(bytes) => bytes,
                None => return Err(wrong("something else")),
            },
        });
        match secret.len() {
            MIN_SECRET..=MAX_SECRET => Ok(secret),
            length => Err(wrong(&format!("{length} bytes"))),
        }
    }

    /// How texts are written.
    fn compression(&self, options: &Unknown<'e>) -> SealResult<'e, Option<Compression>> {
        let given = raw::get(self.env, options, c"compression")?;
        match (raw::kind(&given), raw::boolean(&given)) {
            (ValueType::Undefined | ValueType::Null, _) | (_, Some(false)) => return Ok(None),
            (_, Some(true)) => return Ok(Some(Compression::default())),
            (ValueType::Object, _) => {}
            _ => {
                let wanted = "true, false or an object { threshold, level, write }";
                return Err(self.wrong("compression", wanted, &given));
            }
        }
        let default = Compression::default();
        let threshold = self.number(
            &raw::get(self.env, &given, c"threshold")?,
            "compression.threshold",
            (0.0, MAX_THRESHOLD),
            default.threshold as f64,
        )?;
        let level = self.number(
            &raw::get(self.env, &given, c"level")?,
            "compression.level",
            (1.0, f64::from(MAX_LEVEL)),
            f64::from(default.level),
        )?;
        let compression = Compression {
            threshold: threshold as usize,
            level: level as i32,
        };
        let write = self.flag(&given, c"write", "compression.write", true)?;
        Ok(write.then_some(compression))
    }

    fn number(
        &self,
        given: &Unknown<'e>,
        option: &str,
        (least, most): (f64, f64),
        default: f64,
    ) -> SealResult<'e, f64> {
        let number = match raw::kind(given) {
            ValueType::Undefined | ValueType::Null => return Ok(default),
            ValueType::Number => raw::number(given),
            _ => f64::NAN,
        };
        if number.fract() != 0.0 || !(least..=most).contains(&number) {
            let wanted = format!("a whole number from {least} to {most}");
            return Err(self.wrong(option, &wanted, given));
        }
        Ok(number)
    }

    fn flag(
        &self,
        from: &Unknown<'e>,
        name: &std::ffi::CStr,
        option: &str,
        default: bool,
    ) -> SealResult<'e, bool> {
        let given = raw::get(self.env, from, name)?;
        match (raw::kind(&given), raw::boolean(&given)) {
            (ValueType::Undefined | ValueType::Null, _) => Ok(default),
            (_, Some(flag)) => Ok(flag),
            _ => Err(self.wrong(option, "true or false", &given)),
        }
    }

    fn wrong(&self, option: &str, wanted: &str, got: &Unknown<'e>) -> Unreadable<'e> {
        let got = describe(self.env, got);
        Unreadable::Wrong(format!("the option {option} must be {wanted}, got {got}"))
    }
}
