//! The JS thread's side of a connection: sends calls, and counts those that wait.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use napi::{Env, Unknown};

use crate::error::StoreError;
use crate::io::completions::CompletionQueue;
use crate::io::event::{CallId, ClientCommands, Event, ScanAnswer};
use crate::io::handle::{Handle, Refused};
use crate::io::scan_request::ScanRequest;
use crate::io::shared::{Closing, Submitted};
use crate::napi::answers::Answers;
use crate::napi::bases::Bases;
use crate::napi::callbacks::JsCallbacks;
use crate::napi::client::JsClient;
use crate::napi::decode_calls::{Decoded, decode_calls};
use crate::napi::late_replies::LateReplies;
use crate::napi::options::settings::Settings;
use crate::napi::raw::{JsRef, JsResult, JsWaker, scoped};
use crate::napi::scan_records::ScanRecords;
use crate::redis::CredentialReply;
use crate::session::clock::Clock;
use crate::session::command::Command;

/// The number of the store whose fields the constructor gets.
const FIRST_STORE: u32 = 0;

/// A connection, seen from the JS thread. The waker shares it, so calls are answered also after the app
/// has let go of the store.
///
/// No borrow of a cell is held while JS runs: a getter or a serializer may call the store.
pub struct StoreCore {
    pub parts: Parts,
    /// The fields of each store that shares this connection, by its number.
    settings: RefCell<HashMap<u32, Rc<Settings>>>,
    /// What the sessions under way were loaded with.
    pub bases: RefCell<Bases>,
    /// How much waits for an answer: calls, scans, and the close.
    waiting: Cell<usize>,
    closing: Cell<bool>,
    /// The commands of scans that the app's client executes now, by their number.
    pub at_client: RefCell<HashMap<u32, ClientCommands>>,
    pub next_at_client: Cell<u32>,
    /// Who waits for a credential, by the number of the request.
    pub credential_replies: RefCell<HashMap<u32, CredentialReply>>,
    pub next_credential: Cell<u32>,
    /// Answers on their way to JS; empty between two runs of the event handler.
    pub answers: Cell<Answers>,
    /// Records of a scan on their way to JS, likewise.
    pub records: Cell<ScanRecords>,
    /// Chunks and ends of scans, to be handled one a turn of the event loop.
    pub deferred: RefCell<VecDeque<Event>>,
    /// Whether [`StoreCore::on_turn`] is scheduled.
    pub is_turn_scheduled: Cell<bool>,
    /// Whether [`StoreCore::on_poll`] is scheduled.
    pub is_poll_scheduled: Cell<bool>,
    /// Whether [`StoreCore::on_poll`] has left events in the queue for the next poll.
    pub has_left_answers: Cell<bool>,
    /// How long events have been handled since the event loop is known to have turned.
    pub time_slice: Cell<Duration>,
    pub late_replies: LateReplies,
    /// Whether the last event has been handled.
    pub has_ended: Cell<bool>,
}

/// What a [`StoreCore`] is made of.
pub struct Parts {
    pub callbacks: JsCallbacks,
    pub handle: Handle,
    pub completions: Arc<CompletionQueue>,
    pub waker: Arc<JsWaker>,
    /// The app's client, if it executes the commands of scans.
    pub client: Option<JsClient>,
    /// The functions of the app that return credentials.
    pub credential_functions: Vec<JsRef>,
    /// JS functions that call the method of the same meaning: [`StoreCore::on_turn`],
    /// [`StoreCore::on_poll`], [`StoreCore::client_answered`], [`StoreCore::credential_given`].
    pub turn: JsRef,
    pub poll: JsRef,
    pub answered: JsRef,
    pub credential: JsRef,
}

impl Deref for StoreCore {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Drop for StoreCore {
    /// The waker is gone: at the end of the store, or with its environment.
    fn drop(&mut self) {
        self.handle.close(Closing::Now);
    }
}

impl StoreCore {
    /// With the fields of the first store.
    pub fn new(parts: Parts, settings: Settings) -> StoreCore {
        StoreCore {
            parts,
            settings: RefCell::new(HashMap::from([(FIRST_STORE, Rc::new(settings))])),
            bases: RefCell::default(),
            waiting: Cell::default(),
            closing: Cell::default(),
            at_client: RefCell::default(),
            next_at_client: Cell::default(),
            credential_replies: RefCell::default(),
            next_credential: Cell::default(),
            answers: Cell::default(),
            records: Cell::default(),
            deferred: RefCell::default(),
            is_turn_scheduled: Cell::default(),
            is_poll_scheduled: Cell::default(),
            has_left_answers: Cell::default(),
            time_slice: Cell::default(),
            late_replies: LateReplies::default(),
            has_ended: Cell::default(),
        }
    }

    /// The fields of a store; `None` if it is unknown.
    pub fn settings(&self, store: u32) -> Option<Rc<Settings>> {
        self.settings.borrow().get(&store).cloned()
    }

    /// Sets the fields of a store.
    pub fn configure(&self, store: u32, settings: Settings) {
        self.settings.borrow_mut().insert(store, Rc::new(settings));
    }

    /// Forgets the fields of a store.
    pub fn forget(&self, store: u32) {
        self.settings.borrow_mut().remove(&store);
    }

    /// Sends a batch of calls.
    pub fn send<'e>(
        &self,
        env: &'e Env,
        batch: (usize, &Unknown<'e>, &Unknown<'e>, &Unknown<'e>),
        clock: Clock,
    ) -> JsResult<'e, ()> {
        let Decoded { calls, failed } = decode_calls(
            env,
            &self.settings.borrow(),
            &mut self.bases.borrow_mut(),
            clock,
            batch,
        )?;
        self.wait_for(env, calls.len() + failed.len());
        for (id, error) in failed {
            self.fail(env, id, &error);
        }
        match self.handle.send(calls, self.waiting(), clock.read.into()) {
            Ok(Submitted::Done) => {}
            Ok(Submitted::MayPoll) => self.schedule_poll(env),
            Err(Refused::Closed(calls)) => {
                for (id, name, _) in calls {
                    self.fail(env, id, &StoreError::closed(name));
                }
            }
            Err(Refused::HandedBack(calls)) => {
                // Those that were made before these are handed back before them.
                self.handle_all(env);
                for (id, _, command) in calls {
                    self.hand_back(env, id, &command, self.handle.limits().command);
                }
            }
        }
        self.rest(env);
        Ok(())
    }

    /// Starts a scan.
    pub fn scan(&self, env: &Env, request: ScanRequest) {
        self.wait_for(env, 1);
        let id = request.id;
        if let Err(error) = self.handle.scan(request) {
            self.scan_end(env, id, Err(error));
        }
    }

    /// Settles the promise of a scan, or hands the scan back.
    pub fn scan_end(&self, env: &Env, id: CallId, result: Result<ScanAnswer, StoreError>) {
        self.answered_one();
        if result.is_err() && self.handle.has_handed_back() {
            return self.callbacks.hand_back_scan(env, id);
        }
        scoped(env, |env| self.callbacks.scan_end(env, id, result));
    }

    /// Closes the connection; pending calls reject.
    pub fn close(&self, env: &Env) {
        if !self.closing.replace(true) {
            self.drop_seals();
            self.wait_for(env, 1);
            self.handle.close(Closing::Now);
        }
    }

    /// Lets go of the keys of all stores: no call follows.
    pub fn drop_seals(&self) {
        for settings in self.settings.borrow_mut().values_mut() {
            *settings = Rc::new(Settings {
                seal: None,
                ..(**settings).clone()
            });
        }
    }

    /// Rejects a call.
    pub fn fail(&self, env: &Env, id: CallId, error: &StoreError) {
        self.answered_one();
        self.bases.borrow_mut().answered(id);
        self.callbacks.fail(env, id, error);
    }

    /// Hands a call back, so that the app's client executes it within the time that is left.
    pub fn hand_back(&self, env: &Env, id: CallId, command: &Command, left: Duration) {
        if !command.can_be_handed_back() {
            let name = match command {
                Command::Ask { .. } => "rotate",
                Command::Index { .. } => "the index",
                _ => "update",
            };
            let error = StoreError::connection_lost(name, self.handle.server());
            return self.fail(env, id, &error);
        }
        self.answered_one();
        self.callbacks.hand_back(env, id, left, command);
    }

    /// So many more wait for an answer. The first one keeps the process alive.
    fn wait_for(&self, env: &Env, more: usize) {
        let waiting = self.waiting.get();
        if waiting == 0 && more > 0 {
            self.waker.hold_process(env, true);
        }
        self.waiting.set(waiting + more);
    }

    /// How much waits for an answer.
    pub fn waiting(&self) -> usize {
        self.waiting.get()
    }

    /// One that waited has its answer.
    pub fn answered_one(&self) {
        self.waiting.set(self.waiting.get().saturating_sub(1));
    }

    /// Nothing waits any more.
    pub fn answered_all(&self) {
        self.waiting.set(0);
    }

    /// Lets the process end if nothing waits any more.
    pub fn rest(&self, env: &Env) {
        if self.waiting.get() == 0 {
            self.waker.hold_process(env, false);
        }
    }
}
