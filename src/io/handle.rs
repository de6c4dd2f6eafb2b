//! The JS thread's end of a store's connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use crate::error::StoreError;
use crate::io::call::NewCall;
use crate::io::completions::CompletionQueue;
use crate::io::direct::DirectPoll;
use crate::io::event::Status;
use crate::io::limits::Limits;
use crate::io::runtime::io_thread;
use crate::io::scan;
use crate::io::scan_request::ScanRequest;
use crate::io::shared::{Carrier, Closing, Shared, Submitted};
use crate::io::supervisor;
use crate::redis::{Freshness, Peer, SocketWatch, Topology, Tracking, Written};

/// What messages call the server that the app's client is connected to.
pub const CLIENT_SERVER: &str = "the client's server";

/// Sends calls to the I/O thread. Their answers come back as events.
pub struct Handle {
    shared: Arc<Shared>,
}

/// Why calls are refused.
pub enum Refused {
    Closed(Vec<NewCall>),
    /// The connection was lost: the app's client must execute the commands.
    HandedBack(Vec<NewCall>),
}

impl Handle {
    /// Starts to connect, on the I/O thread. `tracking` is that of the near cache, if there is one. With `hands_back` a lost connection is the end: see
    /// [`Event::HandedBack`](crate::io::event::Event::HandedBack). The error says why that thread
    /// cannot run.
    pub fn start(
        topology: Topology,
        limits: Limits,
        completions: Arc<CompletionQueue>,
        hands_back: bool,
        tracking: Option<Arc<Tracking>>,
    ) -> Result<Handle, String> {
        let carrier = match topology {
            Topology::Single(_) => Carrier::Server { hands_back },
            Topology::Cluster(_) => Carrier::Cluster { hands_back },
        };
        let shared = Shared::new(
            carrier,
            topology.server_name(),
            limits,
            completions,
            tracking,
        );
        shared.set_peer(topology.peer());
        io_thread()?.spawn(supervisor::run(shared.clone(), topology));
        Ok(Handle { shared })
    }

    /// For a store whose commands the app's client executes. Only scans run on the I/O thread; their
    /// commands go back as [`Event::ClientCommands`](crate::io::event::Event::ClientCommands).
    pub fn through_client(
        limits: Limits,
        completions: Arc<CompletionQueue>,
    ) -> Result<Handle, String> {
        io_thread()?;
        let server = CLIENT_SERVER.into();
        let shared = Shared::new(Carrier::Client, server, limits, completions, None);
        Ok(Handle { shared })
    }

    /// Sends calls, which were made at `called`. Each gets an
    /// [`Event::Answer`](crate::io::event::Event::Answer).
    pub fn send(
        &self,
        calls: Vec<NewCall>,
        waiting: usize,
        called: Instant,
    ) -> Result<Submitted, Refused> {
        self.shared.submit(calls, waiting, called).map_err(|calls| {
            if self.has_handed_back() {
                Refused::HandedBack(calls)
            } else {
                Refused::Closed(calls)
            }
        })
    }

    /// See [`Shared::poll_direct`].
    pub fn poll_direct(&self) -> DirectPoll {
        self.shared.poll_direct()
    }

    /// See [`Shared::watch_direct`].
    pub fn watch_direct(&self, watch: &Arc<SocketWatch>) {
        self.shared.watch_direct(watch);
    }

    /// Returns what to call, on the JS thread, when the watch tells that something has come: see
    /// [`Shared::read_direct`].
    pub fn late_reader(&self) -> impl Fn() + use<> {
        let shared = self.shared.clone();
        move || shared.read_direct()
    }

    /// Starts a scan over the keyspace. Its results come as
    /// [`Event::ScanChunk`](crate::io::event::Event::ScanChunk), its end as
    /// [`Event::ScanEnd`](crate::io::event::Event::ScanEnd).
    pub fn scan(&self, request: ScanRequest) -> Result<(), StoreError> {
        if !self.shared.is_through_client() {
            return self.shared.submit_scan(request);
        }
        let thread = io_thread().map_err(|_| StoreError::internal(request.name))?;
        self.shared.begin_scan(request.name)?;
        let shared = self.shared.clone();
        thread.spawn(async move {
            scan::run(request, shared.clone()).await;
            shared.end_scan();
        });
        Ok(())
    }

    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Whether the connection was lost, and what was in flight is handed back.
    pub fn has_handed_back(&self) -> bool {
        self.shared.has_handed_back()
    }

    /// What messages call the server.
    pub fn server(&self) -> &str {
        &self.shared.server
    }

    /// Where the connection goes; `None` if that is not known.
    pub fn peer(&self) -> Option<Peer> {
        self.shared.peer()
    }

    /// How many connections were lost or left; then as in
    /// [`Traffic::numbers`](crate::io::traffic::Traffic::numbers).
    pub fn traffic(&self) -> Vec<f64> {
        let reconnects = self.shared.reconnects.load(Ordering::Relaxed);
        let mut numbers = vec![reconnects as f64];
        numbers.extend(self.shared.traffic.numbers());
        numbers
    }

    /// For the near cache: see [`Tracking::look`].
    pub fn look(&self) -> (Written, Freshness) {
        match &self.shared.tracking {
            Some(tracking) => tracking.look(),
            None => (Written::default(), Freshness::Unknown),
        }
    }

    pub fn limits(&self) -> Limits {
        self.shared.limits
    }

    /// Ends the store: see [`Closing`]. [`Event::End`](crate::io::event::Event::End) follows. Doing it
    /// again does nothing.
    pub fn close(&self, closing: Closing) {
        self.shared.close(closing);
    }
}
