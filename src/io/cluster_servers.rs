//! A store with a cluster: a connection to each master, and to the nodes that were masters and still
//! have calls in flight.

use std::collections::HashSet;
use std::future::Future;
use std::mem::take;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::error::{ConnectError, StoreError};
use crate::io::call::{Call, ConnectionId, MastersRequest};
use crate::io::connection::{Connection, ConnectionEvent, Unanswered};
use crate::io::event::{Event, Status};
use crate::io::sent_batch::BatchOutcome;
use crate::io::shared::Shared;
use crate::io::slot_map_refresh::SlotMapRefresh;
use crate::io::slot_routes::{Route, SlotRoutes};
use crate::redis::ClusterNodes;
use crate::redis::cluster::slots::{Node, Redirect, SlotMap};

/// Redirections of one call: nodes may send it to and fro while they do not agree.
const MAX_REDIRECTIONS: u8 = 16;

/// The masters of a cluster, and the connections to them.
pub struct ClusterServers {
    shared: Arc<Shared>,
    nodes: ClusterNodes,
    connections: Vec<Connection>,
    next_id: ConnectionId,
    routes: SlotRoutes,
    refresh: SlotMapRefresh,
    /// Tasks that ask for the masters, as they are from now on.
    masters_requests: Vec<MastersRequest>,
    /// Why no node serves some slots, or none can be reached.
    last_error: Option<ConnectError>,
}

/// What happens to a cluster.
pub enum ClusterEvent {
    Connection(ConnectionId, ConnectionEvent),
    SlotMap(Result<SlotMap, ConnectError>),
}

impl ClusterServers {
    /// Starts to ask for the slot map.
    pub fn new(nodes: ClusterNodes, shared: Arc<Shared>) -> ClusterServers {
        ClusterServers {
            shared,
            nodes,
            connections: Vec::new(),
            next_id: 0,
            routes: SlotRoutes::new(),
            refresh: SlotMapRefresh::new(),
            masters_requests: Vec::new(),
            last_error: None,
        }
    }

    /// Gives a call to the connection of its node, or keeps it until there is one.
    pub fn route(&mut self, mut call: Call) {
        call.asking = false;
        match self.routes.route(&call) {
            Route::Connection(id) => match self.connection(id) {
                Some(connection) => connection.push(call),
                // It cannot be: a connection outlives its place in the routes.
                None => self.park(call),
            },
            Route::Gone => {
                let error = StoreError::connection_lost(call.name, &self.shared.server);
                self.answer(call, error);
            }
            Route::Wait => self.park(call),
        }
    }

    /// Keeps a call until there is a route; or rejects it, if the last slot map showed none and calls
    /// fail fast.
    fn park(&mut self, call: Call) {
        match &self.last_error {
            Some(error) if self.shared.limits.fail_fast => {
                self.shared.reject_away(call, &self.shared.server, error);
            }
            _ => {
                if self.routes.park(call) {
                    self.refresh.request_soon();
                }
            }
        }
    }

    fn answer(&self, mut call: Call, error: StoreError) {
        let answer = |events: &mut _| call.answer(Err(error), events);
        self.shared.completions.push_all(answer);
    }

    /// Answers when a fresh slot map has come; at once, if the last one could not be had and calls fail
    /// fast.
    pub fn answer_masters(&mut self, request: MastersRequest) {
        match &self.last_error {
            Some(error) if self.shared.limits.fail_fast => {
                let error = StoreError::away(request.name, &self.shared.server, error);
                let _ = request.reply.send(Err(error)); // The task may be gone.
            }
            _ => {
                self.masters_requests.push(request);
                self.refresh.request();
            }
        }
    }

    fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections
            .iter_mut()
            .find(|connection| connection.id == id)
    }

    /// Returns the connection to a node, which is made if there is none.
    fn connection_to(&mut self, node: &Node) -> ConnectionId {
        let existing = self
            .connections
            .iter()
            .find(|connection| connection.node() == Some(node));
        if let Some(connection) = existing {
            return connection.id;
        }
        let id = self.next_id;
        self.next_id += 1;
        let (target, node) = (self.nodes.target(node), Some(node.clone()));
        let connection = Connection::new(id, target, node, self.shared.clone());
        self.connections.push(connection);
        id
    }

    pub fn is_idle(&self) -> bool {
        let are_idle = self.connections.iter().all(Connection::is_idle);
        are_idle && self.routes.first_deadline().is_none() && self.masters_requests.is_empty()
    }

    pub fn next_batch(&mut self) -> Option<impl Future<Output = BatchOutcome> + use<>> {
        self.connections.iter_mut().find_map(Connection::next_batch)
    }

    pub fn renew_leases(&mut self, now: Instant) -> Option<Instant> {
        let connections = self.connections.iter_mut();
        let due = connections.filter_map(|connection| connection.renew_lease(now));
        due.min()
    }

    pub fn poll_event(&mut self, context: &mut Context) -> Poll<ClusterEvent> {
        for connection in &mut self.connections {
            if let Poll::Ready(event) = connection.poll_event(context) {
                return Poll::Ready(ClusterEvent::Connection(connection.id, event));
            }
        }
        self.refresh.poll(context).map(ClusterEvent::SlotMap)
    }

    pub fn handle_event(&mut self, event: ClusterEvent) {
        match event {
            ClusterEvent::Connection(id, event) => {
                let is_connected = matches!(event, ConnectionEvent::Connected(_));
                if let Some(connection) = self.connection(id) {
                    connection.handle_event(event);
                }
                if is_connected {
                    self.announce_if_ready();
                } else {
                    self.refresh.request_soon(); // The node may have been replaced.
                }
            }
            ClusterEvent::SlotMap(result) => self.handle_slot_map(result),
        }
    }

    /// A cluster is ready when the connections to all masters are open.
    fn announce_if_ready(&self) {
        let mut masters = self
            .connections
            .iter()
            .filter(|connection| self.routes.is_master(connection.id));
        if self.routes.is_known() && masters.all(Connection::is_open) {
            self.shared.set_status(Status::Ready);
        }
    }

    pub fn handle_outcome(&mut self, outcome: BatchOutcome) {
        let id = outcome.connection;
        let Some(connection) = self.connection(id) else {
            return;
        };
        for unanswered in connection.handle_outcome(outcome) {
            match unanswered {
                Unanswered::Unsent(call) => self.route(call),
                Unanswered::Unserved(call, why) => {
                    self.routes.slot_unserved(call.command.key());
                    self.refresh.refused();
                    self.last_error = Some(why);
                    self.park(call);
                }
                Unanswered::Redirected(call, redirect) => self.redirect(call, id, redirect),
            }
        }
        self.settle(id);
    }

    /// Sends a call to the node that has its key by the word of another.
    fn redirect(&mut self, mut call: Call, from: ConnectionId, redirect: Redirect) {
        call.redirections += 1;
        if call.redirections > MAX_REDIRECTIONS {
            let error = StoreError::redirected(call.name, &self.shared.server);
            return self.answer(call, error);
        }
        // What else has moved shows in a fresh slot map; one is enough if many slots move.
        self.refresh.request_soon();
        match redirect {
            Redirect::Moved(slot, node) => {
                let to = self.connection_to(&node);
                self.routes.slot_moved(slot, from, node, to);
                self.route(call);
            }
            Redirect::Ask(node) => {
                let to = self.connection_to(&node);
                call.asking = true;
                if let Some(connection) = self.connection(to) {
                    connection.push(call);
                }
            }
        }
    }

    /// Routes the calls that were parked until this connection had its older batches back, and closes
    /// connections that are not needed any more.
    fn settle(&mut self, id: ConnectionId) {
        let is_settled = self
            .connections
            .iter()
            .all(|connection| connection.id != id || connection.is_settled());
        if is_settled {
            for call in self.routes.settled(id) {
                self.route(call);
            }
        }
        self.close_unneeded();
    }

    /// Closes the connections to nodes that are no master any more and have no call in flight.
    fn close_unneeded(&mut self) {
        let before = self.connections.len();
        let routes = &self.routes;
        self.connections
            .retain(|connection| routes.is_master(connection.id) || !connection.is_idle());
        if self.connections.len() < before {
            self.announce_if_ready(); // The closed one may have been what was missing.
        }
    }

    /// Requests a fresh slot map, if there is a reason to.
    pub fn refresh_slot_map(&mut self) {
        if self.shared.take_suspect() {
            self.refresh.request_soon();
        }
        let (connections, routes) = (&self.connections, &self.routes);
        let connected = || {
            let open = connections.iter().filter_map(|connection| {
                let node = connection.node()?.clone();
                Some((node, connection.sender()?))
            });
            open.collect()
        };
        let limit = self.shared.limits.connect;
        self.refresh
            .start(&self.nodes, limit, connected, || routes.master_nodes());
    }

    /// Routes by a fresh slot map from now on, and sends what waits for a node that is no master any
    /// more to the one that took its place.
    fn handle_slot_map(&mut self, result: Result<SlotMap, ConnectError>) {
        let mut again: Vec<Call> = self.routes.take_unserved().into();
        let is_found = result.is_ok();
        let left = match result {
            Ok(map) => self.replace_routes(map),
            Err(error) => {
                let event = Event::ConnectFailed(error.clone());
                self.shared.completions.push([event]);
                self.last_error = Some(error);
                HashSet::new()
            }
        };
        let masters = self.routes.masters();
        if is_found {
            for request in take(&mut self.masters_requests) {
                let _ = request.reply.send(Ok(masters.clone())); // The task may be gone.
            }
        }
        for connection in &mut self.connections {
            let (is_master, has_lost) = (
                masters.contains(&connection.id),
                left.contains(&connection.id),
            );
            if !is_master || has_lost {
                again.extend(connection.take_waiting());
            }
            if has_lost && connection.batches_in_flight() > 0 {
                if is_master {
                    connection.slots_moved();
                } else {
                    connection.give_up();
                }
            }
        }
        again.sort_by_key(|call| call.sequence);
        for call in again {
            self.route(call);
        }
        self.close_unneeded();
        let are_open = self
            .connections
            .iter()
            .all(|connection| connection.is_open() || !masters.contains(&connection.id));
        let is_all_well = is_found && are_open && !self.routes.has_unserved();
        if is_all_well {
            self.last_error = None;
        }
        self.refresh.done(is_all_well);
        self.announce_if_ready();
    }

    /// Replaces the routes. Returns the connections that have lost a slot. What these have in flight
    /// may come back with MOVED, and later calls on such a slot must not overtake it.
    fn replace_routes(&mut self, map: SlotMap) -> HashSet<ConnectionId> {
        let nodes: Vec<Node> = map.0.iter().map(|(_, _, node)| node.clone()).collect();
        let ids: Vec<ConnectionId> = nodes.iter().map(|node| self.connection_to(node)).collect();
        let left = self.routes.replace(map, |node| {
            let place = nodes.iter().position(|found| found == node);
            place.map_or(0, |place| ids[place])
        });
        if !left.is_empty() {
            self.shared.drop_copies();
        }
        let mut losers = HashSet::new();
        for (slot, from) in left {
            losers.insert(from);
            let is_busy = |connection: &mut Connection| connection.batches_in_flight() > 0;
            if self.connection(from).is_some_and(is_busy) {
                self.routes.park_slot(slot, from);
            }
        }
        losers
    }

    pub fn first_deadline(&self) -> Option<Instant> {
        let waiting = self
            .connections
            .iter()
            .filter_map(Connection::first_deadline);
        let requests = self.masters_requests.iter().map(|request| request.deadline);
        waiting
            .chain(self.routes.first_deadline())
            .chain(requests)
            .min()
    }

    pub fn expire(&mut self, now: Instant) {
        for connection in &mut self.connections {
            connection.expire(now);
        }
        let (server, last_error) = (&self.shared.server, self.last_error.as_ref());
        let late = self.routes.take_late(now);
        self.shared.reject_late(late, server, last_error);
        let is_late = |request: &mut MastersRequest| request.deadline <= now;
        for request in self.masters_requests.extract_if(.., is_late) {
            let limit = self.shared.limits.command;
            let error = StoreError::unreachable(request.name, server, limit, last_error);
            let _ = request.reply.send(Err(error)); // The task may be gone.
        }
    }

    /// Closes all connections. Returns the calls that are not sent.
    pub fn close(&mut self) -> Vec<Call> {
        let mut unsent = self.routes.take_all();
        for connection in &mut self.connections {
            unsent.extend(connection.take_waiting());
            connection.close();
        }
        self.masters_requests.clear();
        unsent
    }

    /// Answers a batch that comes back after [`ClusterServers::close`]. Returns the calls without an
    /// answer.
    pub fn handle_last_outcome(&mut self, outcome: BatchOutcome) -> Vec<Unanswered> {
        match self.connection(outcome.connection) {
            Some(connection) => connection.handle_outcome(outcome),
            None => Vec::new(),
        }
    }
}
