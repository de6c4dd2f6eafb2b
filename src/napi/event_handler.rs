//! What the I/O thread tells the JS thread: answers are settled, scan results handed over, status
//! changes emitted; all of it in time slices, so that the event loop turns.

use std::hint::spin_loop;
use std::time::{Duration, Instant};

use napi::Env;

use crate::error::{ConnectError, StoreError};
use crate::io::completions::MIN_DRAIN;
use crate::io::direct::DirectPoll;
use crate::io::event::{CallId, Chunk, Event, Status};
use crate::napi::answers::Answers;
use crate::napi::raw;
use crate::napi::scan_records::BadRecord;
use crate::napi::store_core::StoreCore;
use crate::session::command::Reply;

/// How long events are handled before the event loop must turn. Node calls as long as the waker wakes,
/// so under load nothing else would be served.
const TIME_SLICE: Duration = Duration::from_millis(8);
/// How long to look for replies until the event loop turns.
const POLL: Duration = Duration::from_micros(10);
/// Bytes that are worked on before the clock is looked at.
const UNMEASURED: usize = 32 * 1024;

impl StoreCore {
    /// Handles events, for as long as the time slice lasts. If some are left, this is called again.
    pub fn handle_events(&self, env: &Env) {
        if self.handle_some(env, MIN_DRAIN) {
            self.waker.wake();
        }
        self.rest(env);
    }

    /// Handles half of the events, or `min` if that is more. Returns whether some are left, and no turn is
    /// scheduled that goes on with them.
    pub fn handle_some(&self, env: &Env, min: usize) -> bool {
        let before = self.time_slice.get();
        if before > TIME_SLICE {
            return false; // `on_turn` is scheduled, and goes on.
        }
        let started = Instant::now();
        let (mut events, more) = self.completions.drain(min);
        let mut answers = self.answers.take();
        let mut unmeasured = 0;
        while let Some(event) = events.pop_front() {
            unmeasured += event.size();
            if let Event::Answer(id, Ok(reply)) = event {
                self.add_answer(env, id, reply, &mut answers);
            } else {
                // Events are handled in their order.
                answers.settle(env, &self.callbacks, &self.bases);
                raw::scoped(env, |env| self.handle_event(env, event));
            }
            let is_measured = unmeasured > UNMEASURED;
            if is_measured || events.is_empty() || answers.is_full() {
                answers.settle(env, &self.callbacks, &self.bases);
            }
            if !is_measured && !events.is_empty() {
                continue;
            }
            unmeasured = 0;
            self.time_slice.set(before + started.elapsed());
            if self.time_slice.get() > TIME_SLICE / 2 {
                self.schedule_turn(env);
            }
            if self.time_slice.get() > TIME_SLICE && (more || !events.is_empty()) {
                self.completions.put_back(events);
                self.answers.set(answers);
                return false;
            }
        }
        self.answers.set(answers);
        more
    }

    /// Handles all events that have come, however long that takes.
    pub fn handle_all(&self, env: &Env) {
        while !self.completions.is_empty() {
            self.time_slice.set(Duration::ZERO);
            self.handle_some(env, usize::MAX);
        }
    }

    /// Handles an event that is not the answer of a call.
    fn handle_event(&self, env: &Env, event: Event) {
        match event {
            Event::Answer(id, Err(error)) => self.fail(env, id, &error),
            Event::Answer(id, Ok(_)) => self.fail(env, id, &StoreError::internal("the call")),
            Event::HandedBack(id, call) => {
                let deadline = call.deadline.into_std();
                let left = deadline.saturating_duration_since(Instant::now());
                self.hand_back(env, id, &call.command, left);
            }
            Event::ClientCommands(commands) => self.execute_through_client(env, commands),
            Event::Credential(index, reply) => self.request_credential(env, index, reply),
            // The end comes after what was deferred before it.
            Event::ScanChunk(..) | Event::ScanIds(..) | Event::ScanEnd(..) | Event::End => {
                self.deferred.borrow_mut().push_back(event);
                self.schedule_turn(env);
            }
            Event::Status(Status::Ready) => self.emit(env, "ready"),
            Event::Status(Status::Reconnecting) => self.emit(env, "reconnecting"),
            Event::Status(_) => {}
            Event::ConnectFailed(error) => self.connect_failed(env, &error),
        }
    }

    /// Schedules [`StoreCore::on_turn`].
    fn schedule_turn(&self, env: &Env) {
        if !self.is_turn_scheduled.replace(true) {
            self.callbacks.set_immediate(env, &self.turn);
        }
    }

    /// The event loop has turned: handles what was deferred, and goes on with the events.
    pub fn on_turn(&self, env: &Env) {
        self.is_turn_scheduled.set(false);
        let was_paused = self.time_slice.replace(Duration::ZERO) > TIME_SLICE;
        let deferred = self.deferred.borrow_mut().pop_front();
        match deferred {
            Some(Event::ScanChunk(id, chunk)) => self.hand_over_chunk(env, id, chunk),
            Some(Event::ScanIds(id, chunk)) => {
                let hand_over = |env: &Env| self.callbacks.scan_chunk(env, id, &chunk.json, None);
                raw::scoped(env, hand_over);
            }
            Some(Event::ScanEnd(id, result)) => self.scan_end(env, id, result),
            Some(Event::End) => self.end(env),
            Some(_) | None => {}
        }
        if !self.deferred.borrow().is_empty() {
            self.schedule_turn(env);
        }
        if was_paused {
            self.handle_events(env);
        } else {
            self.rest(env);
        }
    }

    /// Schedules [`StoreCore::on_poll`].
    pub fn schedule_poll(&self, env: &Env) {
        if !self.is_poll_scheduled.replace(true) {
            self.callbacks.set_immediate(env, &self.poll);
        }
    }

    /// The event loop has turned, and nothing else has to be done: looks for the replies to what was sent
    /// directly.
    pub fn on_poll(&self, env: &Env) {
        self.is_poll_scheduled.set(false);
        if self.has_left_answers.get() {
            return self.handle_direct(env, usize::MAX);
        }
        let started = Instant::now();
        loop {
            match self.handle.poll_direct() {
                DirectPoll::Answered { is_steady: true } => {
                    return self.handle_direct(env, self.waiting().div_ceil(2));
                }
                DirectPoll::Answered { .. } => return self.handle_direct(env, MIN_DRAIN),
                DirectPoll::Late => return self.late_replies.watch(env, &self.handle),
                DirectPoll::Unanswered => return self.handle_events(env),
                DirectPoll::Left => return,
                DirectPoll::Waiting if started.elapsed() < POLL => spin_loop(),
                DirectPoll::Waiting => return self.schedule_poll(env),
            }
        }
    }

    /// Handles half of the answers to what was sent directly, or `min` if that is more. The calls that
    /// follow from them are sent before the rest is handled: so Redis works meanwhile.
    fn handle_direct(&self, env: &Env, min: usize) {
        let has_left = self.handle_some(env, min);
        self.has_left_answers.set(has_left);
        self.rest(env);
        // If nothing is in flight by then, that poll leaves the reading to the I/O thread.
        self.schedule_poll(env);
    }

    /// Adds the answer of a call. Whatever goes wrong stays with this call.
    fn add_answer(&self, env: &Env, id: CallId, reply: Reply, answers: &mut Answers) {
        let mut bases = self.bases.borrow_mut();
        let saved = bases.answered(id);
        let added = StoreError::catch_panic("get", || {
            answers.add(id, reply, saved, &mut bases.saves);
            Ok(())
        });
        drop(bases);
        match added {
            Ok(()) => self.answered_one(),
            Err(error) => self.fail(env, id, &error),
        }
    }

    /// Hands a chunk of a scan over to JS, or as much of it as the time slice allows.
    fn hand_over_chunk(&self, env: &Env, id: CallId, mut chunk: Chunk) {
        let started = Instant::now();
        let mut records = self.records.take();
        while !chunk.records.is_empty() && started.elapsed() < TIME_SLICE {
            while let Some(record) = chunk.records.pop_front() {
                if let Err(BadRecord { sid, error }) = records.add(record) {
                    raw::scoped(env, |env| self.callbacks.corrupt(env, id, &sid, &error));
                }
                if records.is_full() {
                    break;
                }
            }
            raw::scoped(env, |env| records.hand_over(env, &self.callbacks, id));
        }
        self.records.set(records);
        if !chunk.records.is_empty() {
            let rest = Event::ScanChunk(id, chunk);
            self.deferred.borrow_mut().push_front(rest);
        }
    }

    /// The I/O thread is done with this store: nothing pending can be answered any more.
    fn end(&self, env: &Env) {
        if self.has_ended.replace(true) {
            return;
        }
        self.at_client.borrow_mut().clear();
        self.credential_replies.borrow_mut().clear();
        self.deferred.borrow_mut().clear();
        self.bases.borrow_mut().clear(env);
        self.answered_all();
        self.callbacks.end(env, self.handle.has_handed_back());
        self.emit(env, "end");
        self.late_replies.stop();
        self.waker.remove();
    }

    /// Tells JS why an attempt to connect failed, which may have been the first.
    fn connect_failed(&self, env: &Env, error: &ConnectError) {
        if let Ok(reason) = raw::string(env, error.reason.as_bytes()) {
            let code = raw::value(env, error.code.as_str());
            self.callbacks
                .emit(env, [raw::value(env, "failed"), reason, code]);
        }
    }

    fn emit(&self, env: &Env, event: &str) {
        self.callbacks.emit(env, [raw::value(env, event)]);
    }
}
