//! The sweeps the JS thread waits for, and their records as they come in.

use std::collections::VecDeque;

use napi::{Env, Unknown, ValueType};

use crate::engine::{CallId, News, Record};
use crate::host::Host;
use crate::js::{self, Deferred, Held, Try};

/// One sweep's promise.
pub struct Waiter {
    /// The store's method, for messages.
    pub name: &'static str,
    pub deferred: Deferred,
    /// Whether sessions were JSON when the call was made.
    pub json: bool,
    /// What it has brought so far, where it brings records.
    pub collected: Option<Collected>,
}

impl Waiter {
    pub fn new(name: &'static str, deferred: Deferred, json: bool) -> Waiter {
        Waiter {
            name,
            deferred,
            json,
            collected: None,
        }
    }
}

/// All that waits, by call id; ids are used again.
#[derive(Default)]
pub struct Pending {
    waiters: Vec<Option<Waiter>>,
    free: Vec<CallId>,
    count: usize,
    closers: Vec<Deferred>,
    /// Parts of sweeps, to be taken in one a turn of the event loop.
    put_off: VecDeque<News>,
}

impl Pending {
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.closers.is_empty()
    }

    pub fn add(&mut self, waiter: Waiter) -> CallId {
        self.count += 1;
        match self.free.pop() {
            Some(id) => {
                self.waiters[id as usize] = Some(waiter);
                id
            }
            None => {
                self.waiters.push(Some(waiter));
                (self.waiters.len() - 1) as CallId
            }
        }
    }

    pub fn add_closer(&mut self, deferred: Deferred) {
        self.closers.push(deferred);
    }

    pub fn take(&mut self, id: CallId) -> Option<Waiter> {
        let waiter = self.waiters.get_mut(id as usize)?.take()?;
        self.free.push(id);
        self.count -= 1;
        Some(waiter)
    }

    /// Takes everything there is.
    pub fn drain(&mut self) -> (Vec<Waiter>, Vec<Deferred>) {
        self.put_off.clear();
        self.free.clear();
        self.count = 0;
        let waiters = std::mem::take(&mut self.waiters);
        (
            waiters.into_iter().flatten().collect(),
            std::mem::take(&mut self.closers),
        )
    }

    /// Keeps news for a later turn of the event loop.
    pub fn put_off(&mut self, news: News) {
        self.put_off.push_back(news);
    }

    /// Keeps what could not be done now for the next turn.
    pub fn put_off_again(&mut self, news: News) {
        self.put_off.push_front(news);
    }

    pub fn next_put_off(&mut self) -> Option<News> {
        self.put_off.pop_front()
    }

    pub fn has_put_off(&self) -> bool {
        !self.put_off.is_empty()
    }

    /// Hands out a sweep's records while JS code runs on them, and whether they are JSON.
    pub fn lend(&mut self, id: CallId) -> Option<(Collected, bool)> {
        let waiter = self.waiters.get_mut(id as usize)?.as_mut()?;
        Some((waiter.collected.take()?, waiter.json))
    }

    pub fn give_back(&mut self, id: CallId, collected: Collected) {
        if let Some(Some(waiter)) = self.waiters.get_mut(id as usize) {
            waiter.collected = Some(collected);
        }
    }
}

/// The JS array that a sweep fills.
pub struct Collected {
    array: Held,
    length: u32,
    /// Whether its elements are sessions (`all`) or sids (`ids`).
    sessions: bool,
}

impl Collected {
    pub fn new(env: &Env, sessions: bool) -> Try<'_, Collected> {
        Ok(Collected {
            array: Held::new(env, &js::array(env)?)?,
            length: 0,
            sessions,
        })
    }

    pub fn array<'e>(&self, env: &'e Env) -> Unknown<'e> {
        self.array.get(env)
    }

    /// Adds a record. One that is no session is left out, and the store emits `corrupt` with its
    /// sid and what is wrong with it. Where the app has a serializer, the face looks at that.
    pub fn take_in(&mut self, env: &Env, host: &Host, json: bool, record: &Record) {
        let call = if self.sessions { "all" } else { "ids" };
        let element = host.guard(env, call, || match (self.sessions, json) {
            (false, _) => js::string(env, &record.id),
            (true, true) => session(env, host, record),
            (true, false) => raw(env, Some(&record.id), &record.text, record.expires),
        });
        let added = element
            .and_then(|element| js::set_element(env, &self.array.get(env), self.length, &element));
        match added {
            Ok(()) => self.length += 1,
            Err(error) => {
                if let Ok(id) = js::string(env, &record.id) {
                    host.emit(env, [js::value(env, "corrupt"), id, error]);
                }
            }
        }
    }
}

/// A record as a session with its `id`; the error says why it is none.
fn session<'e>(env: &'e Env, host: &Host, record: &Record) -> Try<'e> {
    let session = host.parse(env, &record.text)?;
    if js::kind(&session) != ValueType::Object {
        return Err(host.not_a_session(env));
    }
    js::set(env, &session, c"id", &js::string(env, &record.id)?)?;
    Ok(session)
}

/// What is stored, for the face to have parsed: `{id, text, expires}`.
pub fn raw<'e>(env: &'e Env, id: Option<&[u8]>, text: &[u8], expires: Option<f64>) -> Try<'e> {
    let object = js::object(env)?;
    if let Some(id) = id {
        js::set(env, &object, c"id", &js::string(env, id)?)?;
    }
    js::set(env, &object, c"text", &js::string(env, text)?)?;
    if let Some(expires) = expires {
        js::set(env, &object, c"expires", &js::value(env, expires))?;
    }
    Ok(object)
}
