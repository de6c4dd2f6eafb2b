//! Which connection leads to the node that has a slot, and the calls that have no such connection
//! now.

use std::collections::{HashMap, VecDeque};
use std::mem::{replace, take};

use tokio::time::Instant;

use crate::io::call::{Call, ConnectionId, Destination};
use crate::io::call_queue::CallQueue;
use crate::redis::cluster::slots::{Node, SLOTS, SlotMap, slot_of};

/// Where a call goes.
#[derive(Debug, PartialEq)]
pub enum Route {
    Connection(ConnectionId),
    /// To the connection that it names, which leads to no master any more.
    Gone,
    /// Nowhere yet.
    Wait,
}

/// The routes of all slots: by the last slot map, and by the redirections since.
pub struct SlotRoutes {
    /// The connection of each slot.
    slots: Vec<Option<ConnectionId>>,
    masters: HashMap<Node, ConnectionId>,
    /// Calls whose slot no known node serves.
    unserved: CallQueue,
    /// Slots that have moved, with the connection they came from. Calls on them are parked until what
    /// was sent there before is back.
    moved: HashMap<u16, ConnectionId>,
    parked: Vec<Call>,
}

impl SlotRoutes {
    /// No routes.
    pub fn new() -> SlotRoutes {
        SlotRoutes {
            slots: vec![None; SLOTS],
            masters: HashMap::new(),
            unserved: CallQueue::default(),
            moved: HashMap::new(),
            parked: Vec::new(),
        }
    }

    /// Whether a slot map has come.
    pub fn is_known(&self) -> bool {
        !self.masters.is_empty()
    }

    pub fn is_master(&self, connection: ConnectionId) -> bool {
        self.masters.values().any(|&master| master == connection)
    }

    pub fn masters(&self) -> Vec<ConnectionId> {
        self.masters.values().copied().collect()
    }

    pub fn master_nodes(&self) -> Vec<Node> {
        self.masters.keys().cloned().collect()
    }

    pub fn route(&self, call: &Call) -> Route {
        match call.destination {
            Destination::Connection(id) if self.is_master(id) => Route::Connection(id),
            Destination::Connection(_) => Route::Gone,
            Destination::Key => {
                let slot = slot_of(call.command.key());
                match self.slots[usize::from(slot)] {
                    Some(id) if !self.moved.contains_key(&slot) => Route::Connection(id),
                    _ => Route::Wait,
                }
            }
        }
    }

    /// Keeps a call that has no route yet. Returns whether it waits for a new slot map; if not, its
    /// slot has just moved.
    pub fn park(&mut self, call: Call) -> bool {
        let is_moved = call.destination == Destination::Key
            && self.moved.contains_key(&slot_of(call.command.key()));
        if is_moved {
            self.parked.push(call);
        } else {
            self.unserved.insert(call);
        }
        !is_moved
    }

    /// Takes the calls whose slot no known node served.
    pub fn take_unserved(&mut self) -> VecDeque<Call> {
        self.unserved.take_all()
    }

    pub fn has_unserved(&self) -> bool {
        !self.unserved.is_empty()
    }

    /// A slot is at another node from now on. `from` said so, and has older calls on it.
    pub fn slot_moved(&mut self, slot: u16, from: ConnectionId, node: Node, to: ConnectionId) {
        self.slots[usize::from(slot)] = Some(to);
        self.masters.insert(node, to);
        self.moved.insert(slot, from);
    }

    /// No node serves the slot of this key now.
    pub fn slot_unserved(&mut self, key: &[u8]) {
        self.slots[usize::from(slot_of(key))] = None;
    }

    /// Parks later calls on a slot until the older ones that `from` has in flight are back.
    pub fn park_slot(&mut self, slot: u16, from: ConnectionId) {
        self.moved.entry(slot).or_insert(from);
    }

    /// All older calls of a connection are back. Returns the parked calls, in order, if slots had left
    /// that connection.
    pub fn settled(&mut self, from: ConnectionId) -> Vec<Call> {
        let before = self.moved.len();
        self.moved.retain(|_, moved_from| *moved_from != from);
        if self.moved.len() == before {
            return Vec::new();
        }
        self.parked.sort_by_key(|call| call.sequence);
        take(&mut self.parked)
    }

    /// Replaces the routes by a new slot map; `connection_to` returns the connection to a node.
    /// Returns the slots that have left a connection, with that connection.
    pub fn replace(
        &mut self,
        map: SlotMap,
        mut connection_to: impl FnMut(&Node) -> ConnectionId,
    ) -> Vec<(u16, ConnectionId)> {
        self.masters.clear();
        let before = replace(&mut self.slots, vec![None; SLOTS]);
        for (from, to, node) in map.0 {
            let id = *self
                .masters
                .entry(node)
                .or_insert_with_key(|node| connection_to(node));
            let last = usize::from(to).min(SLOTS - 1);
            if let Some(slots) = self.slots.get_mut(usize::from(from)..=last) {
                slots.fill(Some(id));
            }
        }
        let slots = (0..).zip(before.into_iter().zip(&self.slots));
        slots
            .filter_map(|(slot, (was, is))| {
                was.filter(|was| Some(*was) != *is).map(|was| (slot, was))
            })
            .collect()
    }

    /// Returns the first deadline of the calls that wait here.
    pub fn first_deadline(&self) -> Option<Instant> {
        let parked = self.parked.iter().map(|call| call.deadline);
        parked.chain(self.unserved.first_deadline()).min()
    }

    /// Takes the calls whose deadline has passed.
    pub fn take_late(&mut self, now: Instant) -> Vec<Call> {
        let is_late = |call: &mut Call| call.deadline <= now;
        let mut late: Vec<Call> = self.parked.extract_if(.., is_late).collect();
        late.extend(self.unserved.take_late(now));
        late
    }

    /// Takes all calls.
    pub fn take_all(&mut self) -> Vec<Call> {
        let mut all = take(&mut self.parked);
        all.extend(self.take_unserved());
        all
    }
}
