//! Calls as JS hands them over (`lib/native/pending-calls.js`): many at once, their numbers in one array
//! and their strings in one string. To cross between JS and native code for each call costs more than
//! all else that a call needs.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use napi::{Env, Unknown};

use crate::error::StoreError;
use crate::io::call::NewCall;
use crate::io::event::CallId;
use crate::io::scan_request::{Move, PageRequest, ScanKind, ScanRequest};
use crate::napi::bases::Bases;
use crate::napi::crossing::{
    BASE_IS_IN_CALL, DEL, END, GET, GET_BASE, GET_RECORD, INDEX, MAX_REPLACED, METHODS, OTHER,
    PER_CALL, PERSIST, PEXPIRE, PTTL, SAVE_GIVE_UP, SAVE_MERGE, SAVE_REPORT, SCANS, SET, SET_NEW,
    SET_XX,
};
use crate::napi::lifetime;
use crate::napi::options::settings::Settings;
use crate::napi::raw::{self, JsResult, Text};
use crate::session::clock::Clock;
use crate::session::command::{Command, Question};
use crate::session::compare_and_set::{Base, CompareAndSet, KeyLife, OnConflict};
use crate::session::expiry::Expiry;
use crate::session::hashed_id::handle_of;
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
    bases: &mut Bases,
    clock: Clock,
    (count, numbers, text, others): (usize, &Unknown<'e>, &Unknown<'e>, &Unknown<'e>),
) -> JsResult<'e, Decoded> {
    let numbers = raw::numbers(env, numbers, count * PER_CALL)?;
    let lengths = numbers.chunks_exact(PER_CALL).map(length_of_texts);
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
        let (prefix, has_handles) = settings.map_or((&[][..], false), |settings| {
            (&settings.prefix, settings.has_handles)
        });
        let key = StoreError::catch_panic(name, || {
            lifetime::key(prefix, &text.take(length(3)), has_handles, name)
        });
        let value = if numbers[4] == OTHER {
            let other = others.next().unwrap_or_else(|| raw::undefined(env));
            raw::buffer_bytes(env, &other)
        } else {
            Some(text.take(length(4)).into_owned())
        };
        let id = numbers[0] as CallId;
        let base = is_save(numbers).then(|| bases.of_save(id, &numbers[8..], &mut text));
        let command = key.and_then(|key| {
            settings
                .zip(value)
                .and_then(|(settings, value)| {
                    command(settings, base.flatten(), clock, numbers, key, value)
                })
                .ok_or_else(|| StoreError::internal(name))
        });
        match command {
            Ok(command) => decoded.calls.push((id, name, command)),
            Err(error) => decoded.failed.push((id, error)),
        }
    }
    Ok(decoded)
}

/// Whether a call is a save that compares with a base.
fn is_save(numbers: &[f64]) -> bool {
    matches!(numbers[2] as u32, SAVE_MERGE | SAVE_REPORT | SAVE_GIVE_UP)
}

/// How long the texts of a call are.
fn length_of_texts(numbers: &[f64]) -> f64 {
    let of_base = if is_save(numbers) && numbers[8] == BASE_IS_IN_CALL {
        numbers[9] + numbers[10] % MAX_REPLACED as f64
    } else {
        0.0
    };
    numbers[3] + numbers[4].max(0.0) + of_base
}

/// The command of a number; `None` of an unknown one, or of a save whose base is not known.
fn command(
    settings: &Settings,
    base: Option<Arc<Base>>,
    clock: Clock,
    numbers: &[f64],
    key: Vec<u8>,
    value: Vec<u8>,
) -> Option<Command> {
    let number = numbers[2] as u32;
    // Beyond i64 it saturates; Redis refuses what is beyond its own range with an error.
    let ms = numbers[5].is_finite().then_some(numbers[5] as i64);
    Some(match number {
        GET | GET_BASE => Command::Get {
            key,
            expiry: settings.true_expiry_of_get(),
            clock,
            keeps_base: settings.keeps_base || number == GET_BASE,
            seal: settings.seal.clone(),
        },
        SET | SET_XX => Command::Set {
            key,
            value,
            expires_in: ms,
            only_existing: number == SET_XX,
            seal: settings.seal.clone(),
        },
        SET_NEW | SAVE_MERGE | SAVE_REPORT | SAVE_GIVE_UP => {
            let (base, on_conflict) = match number {
                SET_NEW => (Base::new(Vec::new()), OnConflict::None),
                SAVE_MERGE => (base?, OnConflict::Merge),
                SAVE_REPORT => (base?, OnConflict::Report),
                _ => (base?, OnConflict::GiveUp),
            };
            let life = match ms {
                Some(ms) => KeyLife::In(ms),
                None if numbers[5].is_nan() => KeyLife::Kept,
                None => KeyLife::Never,
            };
            let longest = (settings.follows_cookie && number != SET_NEW).then_some(numbers[7]);
            let times = (longest, clock.at(clock.read));
            let save = CompareAndSet::new(base, on_conflict, value, life, times)
                .sealed_by(settings.seal.as_ref(), &key);
            Command::CompareAndSet {
                key,
                save: Box::new(save),
            }
        }
        PEXPIRE => Command::Touch {
            key,
            expiry: Expiry::In(ms?),
        },
        PERSIST => Command::Touch {
            key,
            expiry: Expiry::Never,
        },
        DEL => Command::Destroy { key },
        PTTL => Command::Ask {
            key,
            question: Question::Ttl,
        },
        END => Command::Ask {
            key,
            question: Question::End(ms?),
        },
        GET_RECORD => Command::Get {
            key,
            expiry: TrueExpiry::Beside,
            clock,
            keeps_base: false,
            seal: settings.seal.clone(),
        },
        INDEX => Command::Index {
            key,
            arguments: serde_json::from_slice(&value).ok()?,
        },
        _ => return None,
    })
}

/// The scan of a number; `None` of an unknown one. A page has the expiries beside its texts. `rewrite`
/// looks at one session alone, if a position is given: its sid.
pub fn decode_scan(
    settings: &Settings,
    id: CallId,
    number: u32,
    clock: Clock,
    page: PageRequest,
) -> Option<ScanRequest> {
    let &(name, kind) = SCANS.get(number as usize)?;
    let is_of_one = kind == ScanKind::Rewrite && !page.position.is_empty();
    let sid = is_of_one.then(|| page.position.clone().into_bytes());
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
        seal: settings.seal.clone(),
        has_handles: settings.has_handles,
        only: sid.map(|sid| {
            let plain = [&*settings.prefix, &*sid].concat();
            let hashed = [&*settings.prefix, &handle_of(&sid)].concat();
            let (from, to) = if settings.has_handles {
                (plain, hashed)
            } else {
                (hashed, plain)
            };
            Move { from, to }
        }),
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
            keeps_base: false,
            seal: None,
            has_handles: false,
        }
    }

    fn decode(number: u32, ms: f64) -> Option<Command> {
        let mut numbers = [0.0; PER_CALL];
        (numbers[2], numbers[5]) = (f64::from(number), ms);
        let base = (number == SAVE_REPORT).then(|| Base::new(Vec::new()));
        let (key, value) = (b"k".to_vec(), b"v".to_vec());
        command(&settings(), base, Clock::new(0.0), &numbers, key, value)
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
        assert!(matches!(
            decode(SET_NEW, 5.0),
            Some(Command::CompareAndSet { .. })
        ));
        assert!(decode(99, 0.0).is_none());
        assert!(matches!(
            decode(SAVE_REPORT, 5.0),
            Some(Command::CompareAndSet { .. })
        ));
        // Its base is not known.
        assert!(decode(SAVE_MERGE, 5.0).is_none());
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
