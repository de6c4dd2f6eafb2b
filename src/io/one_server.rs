//! A store with one server, which has all keys.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::io::call::{Call, MastersRequest};
use crate::io::connection::{Connection, ConnectionEvent, Unanswered};
use crate::io::direct::DirectBatch;
use crate::io::event::{Event, Status};
use crate::io::sent_batch::BatchOutcome;
use crate::io::shared::Shared;
use crate::redis::{Peer, Target};

/// The server, and the connection to it.
pub struct OneServer {
    shared: Arc<Shared>,
    connection: Connection,
}

impl OneServer {
    /// Starts to connect.
    pub fn new(target: Target, shared: Arc<Shared>) -> OneServer {
        let connection = Connection::new(0, target, None, shared.clone());
        OneServer { shared, connection }
    }

    pub fn route(&mut self, call: Call) {
        self.connection.push(call);
    }

    pub fn answer_masters(&self, request: MastersRequest) {
        let _ = request.reply.send(Ok(vec![self.connection.id])); // The task may be gone.
    }

    pub fn is_idle(&self) -> bool {
        self.connection.is_idle()
    }

    pub fn take_over(&mut self, batch: DirectBatch) {
        self.connection.take_over(batch);
    }

    pub fn next_batch(&mut self) -> Option<impl Future<Output = BatchOutcome> + use<>> {
        self.connection.next_batch()
    }

    pub fn renew_lease(&mut self, now: Instant) -> Option<Instant> {
        self.connection.renew_lease(now)
    }

    pub fn poll_event(&mut self, context: &mut Context) -> Poll<ConnectionEvent> {
        self.connection.poll_event(context)
    }

    pub fn handle_event(&mut self, event: ConnectionEvent) {
        if let ConnectionEvent::ConnectFailed(error) = &event {
            let error = error.clone();
            self.shared.completions.push([Event::ConnectFailed(error)]);
        }
        let is_connected = matches!(event, ConnectionEvent::Connected(_));
        if let ConnectionEvent::Connected(open) = &event {
            self.shared.set_peer(Some(Peer::clone(&open.peer)));
        }
        self.connection.handle_event(event);
        if is_connected {
            self.shared.set_status(Status::Ready);
        }
    }

    pub fn handle_outcome(&mut self, outcome: BatchOutcome) {
        for call in self.connection.handle_outcome(outcome) {
            self.connection.push(call.into_call());
        }
    }

    pub fn first_deadline(&self) -> Option<Instant> {
        self.connection.first_deadline()
    }

    pub fn expire(&mut self, now: Instant) {
        self.connection.expire(now);
    }

    /// Closes the connection. Returns the calls that are not sent.
    pub fn close(&mut self) -> VecDeque<Call> {
        self.connection.close();
        self.connection.take_waiting()
    }

    /// Answers a batch that comes back after [`OneServer::close`]. Returns the calls without an answer.
    pub fn handle_last_outcome(&mut self, outcome: BatchOutcome) -> Vec<Unanswered> {
        self.connection.handle_outcome(outcome)
    }
}
