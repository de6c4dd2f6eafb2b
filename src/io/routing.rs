//! What a store knows of its cluster: which lane goes to the node that has a slot; and the calls
//! that have no lane to go to yet.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::error::ConnectError;
use crate::io::engine::{Call, To};
use crate::io::lane::{LaneId, pause};
use crate::redis::cluster::slots::{Node, SLOTS, SlotMap, slot_of};
use crate::redis::{self as transport, Sender, Target, within};

type Looking = Pin<Box<dyn Future<Output = Result<SlotMap, ConnectError>> + Send>>;

/// Where a call is to go.
pub enum Way {
    Lane(LaneId),
    /// To the node it names, which is no master any more.
    Gone,
    /// Nowhere yet.
    Wait,
}

/// The cluster as it was when it was last looked at, and what redirections have said since.
pub struct Cluster {
    transport: transport::ClusterNodes,
    /// The lane of each slot.
    slots: Vec<Option<LaneId>>,
    masters: HashMap<Node, LaneId>,
    /// Calls whose slot nobody is known to serve, in their order.
    pub unserved: VecDeque<Call>,
    /// Slots that have moved, with the lane they came from: calls on them wait until what was sent
    /// there before is back.
    moved: HashMap<u16, LaneId>,
    /// Calls that wait for that.
    held: Vec<Call>,
    /// Sweeps that want to know the masters, as they are from now on.
    askers: Vec<Call>,
    looking: Option<Looking>,
    /// Whether to look again.
    wanted: bool,
    /// Times it was looked in a row without finding all well.
    attempts: u32,
    /// Whether a node has refused a call since the last look, though it has the slot by that.
    is_refused: bool,
    /// Why there is nobody, or nobody for some slots.
    pub last_error: Option<ConnectError>,
}

impl Cluster {
    pub fn new(transport: transport::ClusterNodes) -> Cluster {
        Cluster {
            transport,
            slots: vec![None; SLOTS],
            masters: HashMap::new(),
            unserved: VecDeque::new(),
            moved: HashMap::new(),
            held: Vec::new(),
            askers: Vec::new(),
            looking: None,
            wanted: true,
            attempts: 0,
            is_refused: false,
            last_error: None,
        }
    }

    /// Whether the cluster has been seen.
    pub fn is_known(&self) -> bool {
        !self.masters.is_empty()
    }

    pub fn is_master(&self, lane: LaneId) -> bool {
        self.masters.values().any(|&master| master == lane)
    }

    pub fn masters(&self) -> Vec<LaneId> {
        self.masters.values().copied().collect()
    }

    pub fn target(&self, node: &Node) -> Target {
        self.transport.target(node)
    }

    /// The way of a call.
    pub fn way(&self, call: &Call) -> Way {
        match call.to {
            To::Lane(lane) if self.is_master(lane) => Way::Lane(lane),
            To::Lane(_) => Way::Gone,
            To::Key => {
                let slot = slot_of(call.command.key());
                match self.slots[usize::from(slot)] {
                    Some(lane) if !self.moved.contains_key(&slot) => Way::Lane(lane),
                    _ => Way::Wait,
                }
            }
            To::Masters => Way::Wait,
        }
    }

    /// Keeps a call that has no way yet.
    pub fn keep(&mut self, call: Call) {
        match call.to {
            To::Masters => {
                self.askers.push(call);
                self.look();
            }
            To::Key if self.moved.contains_key(&slot_of(call.command.key())) => {
                self.held.push(call);
            }
            _ => {
                let place = self.unserved.partition_point(|w| w.serial < call.serial);
                self.unserved.insert(place, call);
                self.look_in_a_while();
            }
        }
    }

    /// Takes the calls that found nobody, for another try.
    pub fn take_unserved(&mut self) -> VecDeque<Call> {
        std::mem::take(&mut self.unserved)
    }

    pub fn take_askers(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.askers)
    }

    /// A slot is at another node from now on; `from` has said so, and has older calls on it.
    pub fn slot_moved(&mut self, slot: u16, from: LaneId, node: Node, to: LaneId) {
        self.slots[usize::from(slot)] = Some(to);
        self.masters.insert(node, to);
        self.moved.insert(slot, from);
        // What else has moved is asked for; but where many slots move, not for each of them.
        self.look_in_a_while();
    }

    /// Nobody serves a slot at this moment.
    pub fn slot_unserved(&mut self, key: &[u8], why: ConnectError) {
        self.slots[usize::from(slot_of(key))] = None;
        self.last_error = Some(why);
        self.is_refused = true;
    }

    /// All older calls of a lane are back: those on the slots that have left it may go. In the order
    /// in which they were made.
    pub fn settled(&mut self, from: LaneId) -> Vec<Call> {
        let before = self.moved.len();
        self.moved.retain(|_, lane| *lane != from);
        if self.moved.len() == before {
            return Vec::new();
        }
        self.held.sort_by_key(|call| call.serial);
        std::mem::take(&mut self.held)
    }

    /// Takes in how the cluster is laid out; `lane_of` gives the lane of a node. Returns the slots
    /// that have left a lane, with that lane.
    pub fn take_in(
        &mut self,
        layout: SlotMap,
        mut lane_of: impl FnMut(&Node) -> LaneId,
    ) -> Vec<(u16, LaneId)> {
        self.masters.clear();
        let before = std::mem::replace(&mut self.slots, vec![None; SLOTS]);
        for (from, to, node) in layout.0 {
            let lane = *self
                .masters
                .entry(node)
                .or_insert_with_key(|node| lane_of(node));
            let last = usize::from(to).min(SLOTS - 1);
            if let Some(slots) = self.slots.get_mut(usize::from(from)..=last) {
                slots.fill(Some(lane));
            }
        }
        let slots = (0..).zip(before.into_iter().zip(&self.slots));
        slots
            .filter_map(|(slot, (was, is))| {
                was.filter(|was| Some(*was) != *is).map(|was| (slot, was))
            })
            .collect()
    }

    /// Has the calls on a slot wait until the older ones are back that a lane has in flight.
    pub fn hold(&mut self, slot: u16, from: LaneId) {
        self.moved.entry(slot).or_insert(from);
    }

    /// Has it looked at the cluster as it is from now on.
    pub fn look(&mut self) {
        self.wanted = true;
    }

    /// As [`Cluster::look`], but not at once.
    pub fn look_in_a_while(&mut self) {
        self.attempts = self.attempts.max(1);
        self.wanted = true;
    }

    /// The cluster has been looked at; where not all is well, it is looked at again.
    pub fn looked(&mut self, is_all_well: bool) {
        let is_refused = std::mem::take(&mut self.is_refused);
        if is_all_well && !is_refused {
            self.attempts = 0;
        } else {
            self.attempts = self.attempts.saturating_add(1);
            self.wanted = true;
        }
    }

    /// Starts to look, where that is wanted: `connected` gives the nodes there is a connection to.
    pub fn start(&mut self, limit: Duration, connected: impl FnOnce() -> Vec<(Node, Sender)>) {
        if !self.wanted || self.looking.is_some() {
            return;
        }
        self.wanted = false;
        let transport = self.transport.clone();
        let (connected, known) = (connected(), self.masters.keys().cloned().collect());
        let attempts = self.attempts;
        self.looking = Some(Box::pin(async move {
            pause(attempts).await;
            within(limit, transport.slot_map(connected, known)).await
        }));
    }

    /// Waits for the end of the look that is under way.
    pub fn poll_look(&mut self, context: &mut Context) -> Poll<Result<SlotMap, ConnectError>> {
        let Some(looking) = &mut self.looking else {
            return Poll::Pending;
        };
        let polled = looking.as_mut().poll(context);
        if polled.is_ready() {
            self.looking = None;
        }
        polled
    }

    /// Until when the first of what waits may wait.
    pub fn first_deadline(&self) -> Option<Instant> {
        let others = self.held.iter().chain(&self.askers);
        let waiting = others.chain(self.unserved.front());
        waiting.map(|call| call.deadline).min()
    }

    /// Takes the calls whose time is over.
    pub fn take_late(&mut self, now: Instant) -> VecDeque<Call> {
        let late = |calls: &mut Vec<Call>| -> Vec<Call> {
            calls.extract_if(.., |call| call.deadline <= now).collect()
        };
        let mut taken: VecDeque<Call> = late(&mut self.held).into();
        taken.extend(late(&mut self.askers));
        let in_time = self.unserved.partition_point(|call| call.deadline <= now);
        taken.extend(self.unserved.drain(..in_time));
        taken
    }

    /// Takes everything there is.
    pub fn take_all(&mut self) -> Vec<Call> {
        let mut all = std::mem::take(&mut self.held);
        all.append(&mut self.askers);
        all.extend(self.take_unserved());
        all
    }
}
