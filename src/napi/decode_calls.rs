//! Calls as JS hands them over (`lib/native/pending-calls.js`): many at once, their numbers in one array
//! and their strings in one string. To cross between JS and native code for each call costs more than
//! all else that a call needs.

use std::collections::HashMap;
use std::rc::Rc;

use napi::{Env, Unknown};

use crate::error::StoreError;
use crate::io::call::NewCall;
use crate::io::event::CallId;
use crate::io::scan_request::{PageRequest, ScanKind, ScanRequest};
use crate::napi::crossing::{
    DEL, GET, METHODS, OTHER, PER_CALL, PERSIST, PEXPIRE, SCANS, SET, SET_XX,
};
use crate::napi::lifetime;
use crate::napi::options::settings::Settings;
use crate::napi::raw::{self, JsResult, Text};
use crate::session::clock::Clock;
use crate::session::command::{Command, Expiry};
use crate::session::true_expiry::TrueExpiry;

/// The calls of a batch.
#[derive(Default)]
pub struct Decoded {
    pub calls: Vec<NewCall>,
    /// The calls that cannot be made, because of a bug of ours: JS has checked what the app gives.
    pub failed: Vec<(CallId, StoreError)>,
}

/// Decodes `count` calls of the stores that share a connection. `others` are the values that are no
/// strings.
pub fn decode_calls<'e>(
    env: &'e Env,
    stores: &HashMap<u32, Rc<Settings>>,
    clock: Clock,
    (count, numbers, text, others): (usize, &Unknown<'e>, &Unknown<'e>, &Unknown<'e>),
) -> JsResult<'e, Decoded> {
    let numbers = raw::numbers(env, numbers, count * PER_CALL)?;
    let lengths = numbers.chunks_exact(PER_CALL).map(|n| n[3] + n[4].max(0.0));
    let mut text = Text::read(env, text, lengths.sum::<f64>() as usize)?;
    let mut others = raw::elements(env, others).unwrap_or_default().into_iter();
    let mut last = (0, stores.get(&0));
    let mut decoded = Decoded::default();
    decoded.calls.reserve(count);
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
        let key =
            StoreError::catch_panic(name, || Ok(lifetime::key(prefix, &text.take(length(3)))));
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
            Ok(command) => decoded.calls.push((id, name, command)),
            Err(error) => decoded.failed.push((id, error)),
        }
    }
    Ok(decoded)
}

/// The command of a number; `None` of an unknown one.
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
        GET => Command::Get {
            key,
            expiry: settings.true_expiry_of_get(),
            clock,
        },
        SET | SET_XX => Command::Set {
            key,
            value,
            expires_in: ms,
            only_existing: number as u32 == SET_XX,
        },
        PEXPIRE => Command::Touch {
            key,
            expiry: Expiry::In(ms?),
        },
        PERSIST => Command::Touch {
            key,
            expiry: Expiry::Never,
        },
        DEL => Command::Destroy { key },
        _ => return None,
    })
}

/// The scan of a number; `None` of an unknown one. A page has the expiries beside its texts.
pub fn decode_scan(
    settings: &Settings,
    id: CallId,
    number: u32,
    clock: Clock,
    page: PageRequest,
) -> Option<ScanRequest> {
    let &(name, kind) = SCANS.get(number as usize)?;
    Some(ScanRequest {
        id,
        name,
        kind,
        prefix: settings.prefix.clone(),
        client_prefix: settings.client_prefix.clone(),
        count: settings.scan_count,
        true_expiry: match kind {
            ScanKind::Page => TrueExpiry::Beside,
            _ => settings.true_expiry(),
        },
        clock,
        page,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            prefix: b"sess:".to_vec(),
            client_prefix: Vec::new(),
            scan_count: None,
            json: true,
            follows_cookie: true,
            reads_expiry: false,
        }
    }

    fn decode(number: u32, ms: f64) -> Option<Command> {
        let clock = Clock::new(0.0);
        command(
            &settings(),
            clock,
            f64::from(number),
            b"k".to_vec(),
            b"v".to_vec(),
            ms,
        )
    }

    #[test]
    fn a_number_becomes_its_command() {
        assert!(matches!(decode(GET, 0.0), Some(Command::Get { .. })));
        assert!(matches!(
            decode(SET, 5.0),
            Some(Command::Set {
                expires_in: Some(5),
                only_existing: false,
                ..
            })
        ));
        assert!(matches!(
            decode(SET_XX, f64::INFINITY),
            Some(Command::Set {
                expires_in: None,
                only_existing: true,
                ..
            })
        ));
        assert!(matches!(
            decode(PEXPIRE, 7.0),
            Some(Command::Touch {
                expiry: Expiry::In(7),
                ..
            })
        ));
        assert!(matches!(
            decode(PERSIST, 0.0),
            Some(Command::Touch {
                expiry: Expiry::Never,
                ..
            })
        ));
        assert!(matches!(decode(DEL, 0.0), Some(Command::Destroy { .. })));
        assert!(decode(99, 0.0).is_none());
    }

    #[test]
    fn a_scan_of_an_unknown_number_is_none() {
        let clock = Clock::new(0.0);
        let page = PageRequest::default;
        let scan = decode_scan(&settings(), 1, 0, clock, page()).unwrap();
        assert_eq!((scan.name, scan.id), ("length", 1));
        assert!(decode_scan(&settings(), 1, 99, clock, page()).is_none());
    }
}
