//! When the nodes of a cluster are asked for a new slot map.

use std::future::Future;
use std::mem::take;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::ConnectError;
use crate::io::retry::back_off;
use crate::redis::cluster::slots::{Node, SlotMap};
use crate::redis::{ClusterNodes, Sender, within};

type Refreshing = Pin<Box<dyn Future<Output = Result<SlotMap, ConnectError>> + Send>>;

/// Requests slot maps, one at a time, with a growing wait between those that did not help.
pub struct SlotMapRefresh {
    refreshing: Option<Refreshing>,
    is_wanted: bool,
    /// How many in a row did not show a cluster in which all is well.
    attempts: u32,
    /// Whether a node refused a call since the last slot map, although the map gives it the slot.
    is_refused: bool,
}

impl SlotMapRefresh {
    /// Wants the first slot map, at once.
    pub fn new() -> SlotMapRefresh {
        SlotMapRefresh {
            refreshing: None,
            is_wanted: true,
            attempts: 0,
            is_refused: false,
        }
    }

    /// Requests a fresh slot map.
    pub fn request(&mut self) {
        self.is_wanted = true;
    }

    /// Requests a fresh slot map, but not at once: more may change soon.
    pub fn request_soon(&mut self) {
        self.attempts = self.attempts.max(1);
        self.is_wanted = true;
    }

    /// A node refused a call on a slot of its own.
    pub fn refused(&mut self) {
        self.is_refused = true;
    }

    /// A slot map has come, or could not be had. If not all is well, another follows.
    pub fn done(&mut self, is_all_well: bool) {
        let is_refused = take(&mut self.is_refused);
        if is_all_well && !is_refused {
            self.attempts = 0;
        } else {
            self.attempts = self.attempts.saturating_add(1);
            self.is_wanted = true;
        }
    }

    /// Starts a request, if one is wanted and none is under way. `connected` returns the nodes with an
    /// open connection, `known` all that the last slot map named.
    pub fn start(
        &mut self,
        nodes: &ClusterNodes,
        limit: Duration,
        connected: impl FnOnce() -> Vec<(Node, Sender)>,
        known: impl FnOnce() -> Vec<Node>,
    ) {
        if !self.is_wanted || self.refreshing.is_some() {
            return;
        }
        self.is_wanted = false;
        let (nodes, connected, known) = (nodes.clone(), connected(), known());
        let attempts = self.attempts;
        self.refreshing = Some(Box::pin(async move {
            back_off(attempts).await;
            within(limit, nodes.slot_map(connected, known)).await
        }));
    }

    /// Waits for the slot map that was requested.
    pub fn poll(&mut self, context: &mut Context) -> Poll<Result<SlotMap, ConnectError>> {
        let Some(refreshing) = &mut self.refreshing else {
            return Poll::Pending;
        };
        let polled = refreshing.as_mut().poll(context);
        if polled.is_ready() {
            self.refreshing = None;
        }
        polled
    }
}
