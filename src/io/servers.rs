//! The servers of a store: one, or the masters of a cluster.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use tokio::time::Instant;

use crate::io::call::{Call, MastersRequest};
use crate::io::cluster_servers::{ClusterEvent, ClusterServers};
use crate::io::connection::{ConnectionEvent, Unanswered};
use crate::io::direct::DirectBatch;
use crate::io::one_server::OneServer;
use crate::io::sent_batch::BatchOutcome;
use crate::io::shared::Shared;
use crate::redis::Topology;

/// Where a store's calls go.
pub enum Servers {
    One(Box<OneServer>),
    Cluster(Box<ClusterServers>),
}

/// What happens to the servers.
pub enum ServersEvent {
    One(ConnectionEvent),
    Cluster(ClusterEvent),
}

impl Servers {
    /// Starts to connect.
    pub fn new(topology: Topology, shared: Arc<Shared>) -> Servers {
        match topology {
            Topology::Single(target) => Servers::One(Box::new(OneServer::new(target, shared))),
            Topology::Cluster(nodes) => {
                Servers::Cluster(Box::new(ClusterServers::new(nodes, shared)))
            }
        }
    }

    /// Gives a call to the server that has its key.
    pub fn route(&mut self, call: Call) {
        match self {
            Servers::One(server) => server.route(call),
            Servers::Cluster(cluster) => cluster.route(call),
        }
    }

    /// Answers which connections lead to a master.
    pub fn answer_masters(&mut self, request: MastersRequest) {
        match self {
            Servers::One(server) => server.answer_masters(request),
            Servers::Cluster(cluster) => cluster.answer_masters(request),
        }
    }

    /// Whether no call is in flight, nor waits.
    pub fn is_idle(&self) -> bool {
        match self {
            Servers::One(server) => server.is_idle(),
            Servers::Cluster(cluster) => cluster.is_idle(),
        }
    }

    /// Takes over a batch that the JS thread has sent itself. It is the next batch.
    pub fn take_over(&mut self, batch: DirectBatch) {
        match self {
            Servers::One(server) => server.take_over(batch),
            Servers::Cluster(_) => {} // It has no direct route.
        }
    }

    /// Sends the next batch; `None` if nothing can be sent now.
    pub fn next_batch(&mut self) -> Option<impl Future<Output = BatchOutcome> + use<>> {
        match self {
            Servers::One(server) => server.next_batch().map(Either::Left),
            Servers::Cluster(cluster) => cluster.next_batch().map(Either::Right),
        }
    }

    /// Renews the leases of a near cache that are due. Returns when the next one is.
    pub fn renew_leases(&mut self, now: Instant) -> Option<Instant> {
        match self {
            Servers::One(server) => server.renew_lease(now),
            Servers::Cluster(cluster) => cluster.renew_leases(now),
        }
    }

    /// Asks a cluster how its slots are spread, if there is a reason to.
    pub fn refresh(&mut self) {
        if let Servers::Cluster(cluster) = self {
            cluster.refresh_slot_map();
        }
    }

    /// Waits for the next event. Cancel-safe.
    pub fn poll_event(&mut self, context: &mut Context) -> Poll<ServersEvent> {
        match self {
            Servers::One(server) => server.poll_event(context).map(ServersEvent::One),
            Servers::Cluster(cluster) => cluster.poll_event(context).map(ServersEvent::Cluster),
        }
    }

    pub fn handle_event(&mut self, event: ServersEvent) {
        match (self, event) {
            (Servers::One(server), ServersEvent::One(event)) => server.handle_event(event),
            (Servers::Cluster(cluster), ServersEvent::Cluster(event)) => {
                cluster.handle_event(event);
            }
            _ => {} // An event comes from these servers.
        }
    }

    /// Answers the calls of a batch that is back, and queues those that are not carried out.
    pub fn handle_outcome(&mut self, outcome: BatchOutcome) {
        match self {
            Servers::One(server) => server.handle_outcome(outcome),
            Servers::Cluster(cluster) => cluster.handle_outcome(outcome),
        }
    }

    /// Returns the first deadline of what waits.
    pub fn first_deadline(&self) -> Option<Instant> {
        match self {
            Servers::One(server) => server.first_deadline(),
            Servers::Cluster(cluster) => cluster.first_deadline(),
        }
    }

    /// Rejects what has waited as long as it may.
    pub fn expire(&mut self, now: Instant) {
        match self {
            Servers::One(server) => server.expire(now),
            Servers::Cluster(cluster) => cluster.expire(now),
        }
    }

    /// Closes all connections. Returns the calls that are not sent.
    pub fn close(&mut self) -> Vec<Call> {
        match self {
            Servers::One(server) => server.close().into(),
            Servers::Cluster(cluster) => cluster.close(),
        }
    }

    /// Answers a batch that comes back after [`Servers::close`]. Returns the calls without an answer.
    pub fn handle_last_outcome(&mut self, outcome: BatchOutcome) -> Vec<Call> {
        let unanswered = match self {
            Servers::One(server) => server.handle_last_outcome(outcome),
            Servers::Cluster(cluster) => cluster.handle_last_outcome(outcome),
        };
        unanswered.into_iter().map(Unanswered::into_call).collect()
    }
}
