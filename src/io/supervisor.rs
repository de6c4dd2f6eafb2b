//! Carries a store's calls: each to the lane of the server that is to have it.
//!
//! The promises kept here and in `lane.rs`: a call is answered within `commandTimeout` whatever
//! happens to the servers; it waits for a connection that is away; on a connection that breaks it is
//! sent once more; in a cluster it follows its key to where that is.

use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::task::yield_now;
use tokio::time::sleep_until;

use crate::error::{ConnectError, StoreError};
use crate::io::engine::{Call, Closing, News, Shared, Status};
use crate::io::lane::{Landed, Lane, LaneId, LinkEvent, Returned, expire, tell};
use crate::io::routing::{Cluster, Way};
use crate::redis::cluster::slots::{Node, Redirect, SlotMap};
use crate::redis::{Target, Topology};
use crate::session::command::Reply;

/// How long the I/O thread stays awake for what comes next: see [`Watch`].
const WATCH: Duration = Duration::from_micros(100);
/// Redirections of one call, as nodes may send it to and fro while they do not agree.
const REDIRECTIONS: u8 = 16;

/// Serves a store until it is closed.
pub async fn run(shared: Arc<Shared>, transport: Topology) {
    let _end = AnnounceEnd(shared.clone());
    let mut supervisor = Supervisor {
        shared,
        lanes: Vec::new(),
        next_lane: 0,
        cluster: None,
        serial: 0,
    };
    match transport {
        Topology::Single(target) => {
            supervisor.open_lane(target, None);
        }
        Topology::Cluster(cluster) => supervisor.cluster = Some(Cluster::new(cluster)),
    }
    supervisor.serve().await;
}

/// Tells JS the end, also where a panic is it.
struct AnnounceEnd(Arc<Shared>);

impl Drop for AnnounceEnd {
    fn drop(&mut self) {
        self.0.shut(Closing::Now);
        // Calls may have slipped in before the shutting. (Whoever waits for a sweep is told by the
        // JS thread, at the end.)
        turn_away(&self.0, self.0.arrivals().calls);
        self.0.outbox.push([News::End]);
    }
}

struct Supervisor {
    shared: Arc<Shared>,
    /// One server's, or one for each master of a cluster, and for those that were masters and have
    /// something in flight.
    lanes: Vec<Lane>,
    next_lane: LaneId,
    /// Where it is a cluster.
    cluster: Option<Cluster>,
    /// Counts the calls taken from the queue.
    serial: u64,
}

impl Supervisor {
    async fn serve(&mut self) {
        let mut flights = FuturesUnordered::new();
        let mut sweeps = FuturesUnordered::new();
        let mut watch = Watch::default();
        loop {
            let arrivals = self.shared.arrivals();
            let now = Instant::now();
            watch.calls_arrived(arrivals.calls.len(), flights.len(), now);
            let is_watching = watch.is_on(now);
            let deadline = now + self.shared.limits.command;
            for mut call in arrivals.calls {
                self.serial += 1;
                call.serial = self.serial;
                call.deadline = deadline;
                self.route(call);
            }
            for sweep in arrivals.sweeps {
                sweeps.push(sweep.run(self.shared.clone()));
            }
            if self.shared.has_given_up.load(Ordering::Relaxed) {
                break;
            }
            match arrivals.closing {
                Some(Closing::Now) => break,
                Some(Closing::WhenIdle)
                    if self.is_idle() && flights.is_empty() && sweeps.is_empty() =>
                {
                    break;
                }
                _ => {}
            }
            for lane in &mut self.lanes {
                while let Some(flight) = lane.next_flight() {
                    flights.push(flight);
                }
            }
            self.look_at_cluster();
            let deadline = self.first_deadline();
            let (lanes, cluster) = (&mut self.lanes, &mut self.cluster);
            let event = tokio::select! {
                () = self.shared.wake.notified() => Event::None,
                Some(landed) = flights.next() => Event::Landed(landed),
                () = yield_now(), if is_watching => Event::None,
                Some(()) = sweeps.next() => Event::None,
                event = poll_fn(|context| poll_links(lanes, cluster, context)) => event,
                () = until(deadline) => Event::Late,
            };
            match event {
                Event::None => {}
                Event::Landed(landed) => {
                    self.land(landed);
                    watch.answered();
                }
                Event::Link(lane, event) => self.on_link(lane, event),
                Event::Looked(layout) => self.looked(layout),
                Event::Late => self.expire(),
            }
        }
        // Whatever is left is told why before it is dropped.
        let mut orphans: Vec<Call> = Vec::new();
        for lane in &mut self.lanes {
            orphans.extend(lane.take_waiting());
            lane.close();
        }
        orphans.extend(self.cluster.iter_mut().flat_map(Cluster::take_all));
        while let Some(landed) = flights.next().await {
            // A reply that made it is still the truth about its call.
            if let Some(lane) = self.lane(landed.lane) {
                orphans.extend(lane.land(landed).into_iter().map(Returned::into_call));
            }
        }
        orphans.sort_by_key(|call| call.serial);
        turn_away(&self.shared, orphans);
        // The sweeps go with this: at the end, the JS thread tells whoever waits for one.
    }

    fn lane(&mut self, id: LaneId) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|lane| lane.id == id)
    }

    fn open_lane(&mut self, target: Target, node: Option<Node>) -> LaneId {
        let id = self.next_lane;
        self.next_lane += 1;
        let lane = Lane::new(id, target, node, self.shared.clone());
        self.lanes.push(lane);
        id
    }

    fn is_idle(&self) -> bool {
        self.lanes.iter().all(Lane::is_idle)
            && self
                .cluster
                .as_ref()
                .is_none_or(|cluster| cluster.first_deadline().is_none())
    }

    /// Gives a call to the lane of its server, or keeps it until there is one.
    fn route(&mut self, mut call: Call) {
        let Some(cluster) = &self.cluster else {
            if let Some(lane) = self.lanes.first_mut() {
                lane.push(call); // One server has all keys.
            }
            return;
        };
        call.asking = false;
        match cluster.way(&call) {
            Way::Lane(id) => match self.lane(id) {
                Some(lane) => lane.push(call),
                None => self.keep(call), // It cannot be: a lane outlives its place in the cluster.
            },
            Way::Gone => tell(&self.shared, |news| {
                let error = StoreError::connection_lost(call.name, &self.shared.server);
                call.answer(Err(error), news);
            }),
            Way::Wait => self.keep(call),
        }
    }

    /// Keeps a call until the cluster has been looked at; or rejects it, where that has been in vain
    /// and calls are not to wait.
    fn keep(&mut self, mut call: Call) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        match &cluster.last_error {
            Some(trouble) if self.shared.limits.fails_at_once => {
                let error = StoreError::away(call.name, &self.shared.server, trouble);
                tell(&self.shared, |news| call.answer(Err(error), news));
            }
            _ => cluster.keep(call),
        }
    }

    fn on_link(&mut self, id: LaneId, event: LinkEvent) {
        if let (LinkEvent::Failed(error), None) = (&event, &self.cluster) {
            self.shared.outbox.push([News::Failed(error.clone())]);
        }
        let is_connected = matches!(event, LinkEvent::Connected(_));
        if let Some(lane) = self.lane(id) {
            lane.on_link(event);
        }
        if is_connected {
            self.tell_if_ready();
        } else if let Some(cluster) = &mut self.cluster {
            // Its node may have been replaced.
            cluster.look_in_a_while();
        }
    }

    /// A store is ready when each of its servers is.
    fn tell_if_ready(&self) {
        let is_ready = match &self.cluster {
            None => self.lanes.iter().all(Lane::is_up),
            Some(cluster) => {
                let mut serving = self.lanes.iter().filter(|lane| cluster.is_master(lane.id));
                cluster.is_known() && serving.all(Lane::is_up)
            }
        };
        if is_ready {
            self.shared.set_status(Status::Ready);
        }
    }

    fn land(&mut self, landed: Landed) {
        let id = landed.lane;
        let Some(lane) = self.lane(id) else {
            return;
        };
        for returned in lane.land(landed) {
            match returned {
                Returned::Unsent(call) => self.route(call),
                Returned::Unserved(call, why) => {
                    if let Some(cluster) = &mut self.cluster {
                        cluster.slot_unserved(call.command.key(), why);
                    }
                    self.keep(call);
                }
                Returned::Redirected(call, redirect) => self.send_on(call, id, redirect),
            }
        }
        self.settle(id);
    }

    /// Sends a call on to the node where its key is said to be.
    fn send_on(&mut self, mut call: Call, from: LaneId, redirect: Redirect) {
        call.redirections += 1;
        if call.redirections > REDIRECTIONS {
            let error = StoreError::redirected(call.name, &self.shared.server);
            return tell(&self.shared, |news| call.answer(Err(error), news));
        }
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        match redirect {
            Redirect::Moved(slot, node) => {
                let to = self.lane_to(&node);
                if let Some(cluster) = &mut self.cluster {
                    cluster.slot_moved(slot, from, node, to);
                }
                self.route(call);
            }
            Redirect::Ask(node) => {
                // The slot is on its way: soon it will be there for good.
                cluster.look_in_a_while();
                let to = self.lane_to(&node);
                call.asking = true;
                if let Some(lane) = self.lane(to) {
                    lane.push(call);
                }
            }
        }
    }

    /// The lane to a node, opened where there is none.
    fn lane_to(&mut self, node: &Node) -> LaneId {
        let lane = self.lanes.iter().find(|lane| lane.node() == Some(node));
        match (lane, &self.cluster) {
            (Some(lane), _) => lane.id,
            (None, Some(cluster)) => {
                let target = cluster.target(node);
                self.open_lane(target, Some(node.clone()))
            }
            (None, None) => 0,
        }
    }

    /// Lets the calls go that have waited for what is back now, and a lane that is not needed.
    fn settle(&mut self, id: LaneId) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let is_settled = |lane: &Lane| lane.id != id || lane.is_settled();
        if self.lanes.iter().all(is_settled) {
            for call in cluster.settled(id) {
                self.route(call);
            }
        }
        self.close_unneeded();
    }

    /// Closes the lanes that have no slot any more and nothing to do.
    fn close_unneeded(&mut self) {
        let Some(cluster) = &self.cluster else {
            return;
        };
        let before = self.lanes.len();
        self.lanes
            .retain(|lane| cluster.is_master(lane.id) || !lane.is_idle());
        if self.lanes.len() < before {
            self.tell_if_ready(); // It may have been what was away.
        }
    }

    /// Has the cluster looked at, where there is a reason to.
    fn look_at_cluster(&mut self) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        if self.shared.take_doubt() {
            cluster.look_in_a_while();
        }
        let lanes = &self.lanes;
        cluster.start(self.shared.limits.connect, || {
            let connected = lanes.iter().filter_map(|lane| {
                let node = lane.node()?.clone();
                Some((node, lane.sender()?))
            });
            connected.collect()
        });
    }

    /// Takes in how the cluster is laid out now.
    fn looked(&mut self, looked: Result<SlotMap, ConnectError>) {
        let Some(mut cluster) = self.cluster.take() else {
            return;
        };
        let is_found = looked.is_ok();
        let mut left = Vec::new();
        let unserved = cluster.take_unserved();
        match looked {
            Err(error) => {
                self.shared.outbox.push([News::Failed(error.clone())]);
                cluster.last_error = Some(error);
            }
            Ok(layout) => {
                let nodes: Vec<Node> = layout.0.iter().map(|(_, _, node)| node.clone()).collect();
                self.cluster = Some(cluster);
                let lanes: Vec<LaneId> = nodes.iter().map(|node| self.lane_to(node)).collect();
                let Some(taken) = self.cluster.take() else {
                    return;
                };
                cluster = taken;
                left = cluster.take_in(layout, |node| {
                    let place = nodes.iter().position(|found| found == node);
                    place.map_or(0, |place| lanes[place])
                });
            }
        }
        let askers = if is_found {
            cluster.take_askers()
        } else {
            Vec::new()
        };
        let masters = cluster.masters();
        // What is in flight may come back with MOVED: calls made from now on must not overtake it.
        let mut lanes_left = HashSet::new();
        for (slot, from) in left {
            lanes_left.insert(from);
            if self.lane(from).is_some_and(|lane| lane.in_flight() > 0) {
                cluster.hold(slot, from);
            }
        }
        self.cluster = Some(cluster);
        tell(&self.shared, |news| {
            for mut asker in askers {
                asker.answer(Ok(Reply::Masters(masters.clone())), news);
            }
        });
        // What waits for a node that is no master any more goes to the one that took its place.
        let mut again: Vec<Call> = unserved.into();
        for lane in &mut self.lanes {
            let (is_master, has_lost) = (masters.contains(&lane.id), lanes_left.contains(&lane.id));
            if !is_master || has_lost {
                again.extend(lane.take_waiting());
            }
            match is_master {
                _ if !has_lost || lane.in_flight() == 0 => {}
                true => lane.begin_era(),
                false => lane.leave(),
            }
        }
        again.sort_by_key(|call| call.serial);
        for call in again {
            self.route(call);
        }
        self.close_unneeded();
        let is_well = self
            .lanes
            .iter()
            .all(|l| l.is_up() || !masters.contains(&l.id));
        if let Some(cluster) = &mut self.cluster {
            let is_well = is_found && is_well && cluster.unserved.is_empty();
            if is_well {
                cluster.last_error = None;
            }
            cluster.looked(is_well);
        }
        self.tell_if_ready();
    }

    fn first_deadline(&self) -> Option<Instant> {
        let lanes = self.lanes.iter().filter_map(Lane::first_deadline);
        let cluster = self.cluster.iter().filter_map(Cluster::first_deadline);
        lanes.chain(cluster).min()
    }

    /// Rejects what has waited as long as it may.
    fn expire(&mut self) {
        let now = Instant::now();
        for lane in &mut self.lanes {
            lane.expire(now);
        }
        if let Some(cluster) = &mut self.cluster {
            let mut late = cluster.take_late(now);
            let last_error = cluster.last_error.as_ref();
            expire(
                &self.shared,
                &mut late,
                &self.shared.server,
                last_error,
                now,
            );
        }
    }
}

/// What the supervisor wakes up for.
enum Event {
    /// Something to be looked for in the queue.
    None,
    Landed(Landed),
    Link(LaneId, LinkEvent),
    Looked(Result<SlotMap, ConnectError>),
    Late,
}

fn poll_links(
    lanes: &mut [Lane],
    cluster: &mut Option<Cluster>,
    context: &mut Context,
) -> Poll<Event> {
    for lane in lanes {
        if let Poll::Ready(event) = lane.poll_event(context) {
            return Poll::Ready(Event::Link(lane.id, event));
        }
    }
    match cluster {
        Some(cluster) => cluster.poll_look(context).map(Event::Looked),
        None => Poll::Pending,
    }
}

/// Decides when the I/O thread stays awake rather than sleep: while single calls follow one another
/// closely, each after the answer to the one before. To sleep and be woken costs more time then
/// than the call itself. With many calls at once there is always something to do, and a thread that
/// only watches would take the processor from Redis beside it; with few there would be nothing to
/// see.
#[derive(Default)]
struct Watch {
    /// Whether the last call followed closely, and alone.
    close: bool,
    /// When there last was a call or an answer.
    last: Option<Instant>,
}

impl Watch {
    fn calls_arrived(&mut self, calls: usize, batches_aloft: usize, now: Instant) {
        if calls > 0 {
            let is_alone = calls == 1 && batches_aloft == 0;
            self.close = is_alone && self.last.is_some_and(|last| now - last < WATCH);
            self.last = Some(now);
        }
    }

    fn answered(&mut self) {
        self.last = Some(Instant::now());
    }

    fn is_on(&self, now: Instant) -> bool {
        self.close && self.last.is_some_and(|last| now - last < WATCH)
    }
}

/// Rejects calls because the store is closed, or gives them back where it has given up.
fn turn_away(shared: &Shared, calls: Vec<Call>) {
    let gives_back = shared.has_given_up.load(Ordering::Acquire);
    tell(shared, |news| {
        for mut call in calls.into_iter().filter(Call::is_open) {
            if gives_back {
                call.give_back(&shared.server, news);
            } else {
                call.answer(Err(StoreError::closed(call.name)), news);
            }
        }
    });
}

/// Resolves at `deadline`; never where there is none.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_single_calls_that_follow_closely_keep_the_thread_awake() {
        let start = Instant::now();
        let at = |micros| start + Duration::from_micros(micros);
        let mut watch = Watch::default();
        watch.calls_arrived(1, 0, start);
        assert!(!watch.is_on(start), "the first call follows nothing");
        watch.calls_arrived(1, 0, at(30));
        assert!(watch.is_on(at(31)));
        assert!(!watch.is_on(at(500)), "nothing came");
        watch.calls_arrived(1, 0, at(1000));
        assert!(!watch.is_on(at(1001)), "it came late");
        watch.calls_arrived(1, 0, at(1030));
        watch.calls_arrived(64, 0, at(1040));
        assert!(!watch.is_on(at(1041)), "there are many");
        watch.calls_arrived(1, 1, at(1050));
        assert!(!watch.is_on(at(1051)), "it is not alone");
    }
}
