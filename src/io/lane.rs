//! One server of a store: the connection to it, and the calls that are to go over it.
//!
//! What is in flight on a connection that breaks is sent once more, as every command the store uses
//! has the same effect twice as once; and in the order in which the calls were made.

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use redis::{RedisError, ServerError, Value};
use tokio::time::{sleep, timeout_at};

use crate::error::{ConnectError, ServerName, StoreError};
use crate::io::engine::{Call, News, Shared, Status};
use crate::redis::cluster::slots::{Node, Redirect, redirect};
use crate::redis::{Batch, OpenConnection, Sender, Target, is_transient, within};

/// Calls that go out as one batch. More than this and the first waits for the last.
const BATCH: usize = 1024;
/// About how many bytes a call is on the wire, besides its key and value.
const FRAME: usize = 96;
/// The wait before the second attempt to connect; it doubles with each further one …
const BACKOFF_FIRST: Duration = Duration::from_millis(25);
/// … up to this.
const BACKOFF_MOST: Duration = Duration::from_millis(800);
/// A batch without a reply for so many times `commandTimeout`, and the connection is taken for
/// dead: a peer that vanished behind a firewall never says so. One that is merely slow is not: its
/// late replies are waited for, though nobody needs them any more.
const SILENCE: u32 = 2;

/// How often a server that is a replica, or has been one for long, is left to see whether another has
/// its name now: each time, what is in flight is sent again.
const LOOK_FOR_MASTER: Duration = Duration::from_secs(1);

/// A lane's number in its store.
pub type LaneId = u32;

type Connecting = Pin<Box<dyn Future<Output = Result<OpenConnection, ConnectError>> + Send>>;

/// Whether there is a connection.
enum Link {
    Up(OpenConnection),
    Down(Connecting),
}

/// What happens to a link.
pub enum LinkEvent {
    Connected(OpenConnection),
    Failed(ConnectError),
    Lost,
}

/// What became of a batch that was sent, and how.
pub struct Landed {
    pub lane: LaneId,
    landing: Landing,
    /// On which connection of the lane.
    connection: u64,
    /// How often the lane had been told by then that a key is elsewhere.
    era: u64,
}

enum Landing {
    /// A reply for each command.
    Replied(Vec<Call>, Vec<Value>),
    /// The connection broke; these calls have no answer yet.
    Lost(Vec<Call>, RedisError),
    /// There was no reply for very long; every call has run into its deadline.
    Silent,
}

/// A call that has come back without an answer, and why.
pub enum Returned {
    /// Its connection is gone.
    Unsent(Call),
    /// Its key is elsewhere.
    Redirected(Call, Redirect),
    /// The cluster has nobody at this moment to serve its key.
    Unserved(Call, ConnectError),
}

impl Returned {
    pub fn into_call(self) -> Call {
        match self {
            Returned::Unsent(call)
            | Returned::Redirected(call, _)
            | Returned::Unserved(call, _) => call,
        }
    }
}

/// A server, the connection to it, and its calls.
pub struct Lane {
    pub id: LaneId,
    shared: Arc<Shared>,
    target: Target,
    name: ServerName,
    /// The node of a cluster that it is.
    node: Option<Node>,
    link: Link,
    /// Counts the connections that were given up.
    connection: u64,
    /// Batches in flight on the connection there is, and on those given up. The latter come back
    /// at once, and nothing is sent before they are in the queue again: order is kept.
    aloft: usize,
    stale: usize,
    /// Counts the answers by which a key is elsewhere, and the batches in flight that were sent
    /// before the last of them. See [`Lane::is_settled`].
    era: u64,
    older: usize,
    /// Calls not sent yet, in their order, so the first deadline is the front's.
    waiting: VecDeque<Call>,
    /// Attempts to connect since the server last replied to a call: a server that takes
    /// connections and drops them is no better than one that takes none.
    attempts: u32,
    last_error: Option<ConnectError>,
    /// Whether this server, or one before it, was a master: it said so, or has carried out a write.
    was_master: bool,
    /// Since when there are only replicas, by the writes they refuse.
    replica_since: Option<Instant>,
    /// The last connection that was left because its server is not the one to talk to, and when. What
    /// was in flight there has not been lost: it may be sent again as often as that happens.
    left: Option<(u64, Instant)>,
}

impl Lane {
    /// Starts to connect.
    pub fn new(id: LaneId, target: Target, node: Option<Node>, shared: Arc<Shared>) -> Lane {
        let mut lane = Lane {
            id,
            name: target.server_name(),
            shared,
            target,
            node,
            link: Link::Down(Box::pin(std::future::pending())),
            connection: 0,
            aloft: 0,
            stale: 0,
            era: 0,
            older: 0,
            waiting: VecDeque::new(),
            attempts: 0,
            last_error: None,
            was_master: false,
            replica_since: None,
            left: None,
        };
        lane.connect();
        lane
    }

    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    pub fn is_up(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    /// Whether nothing is in flight, nor waits.
    pub fn is_idle(&self) -> bool {
        self.in_flight() == 0 && self.waiting.is_empty()
    }

    pub fn in_flight(&self) -> usize {
        self.aloft + self.stale + self.older
    }

    /// Whether every batch is back that was sent before the last answer by which a key is elsewhere:
    /// later calls on such a key may not overtake what is in it.
    pub fn is_settled(&self) -> bool {
        self.older == 0 && self.stale == 0
    }

    /// Keys of this lane are elsewhere from now on: what is in flight is older than that.
    pub fn begin_era(&mut self) {
        self.era += 1;
        self.older += std::mem::take(&mut self.aloft);
    }

    /// Another has taken this server's place: what is in flight comes back now, to be sent there,
    /// as a server that hangs would never answer.
    pub fn leave(&mut self) {
        self.drop_connection();
        self.connect();
    }

    /// Why there is no connection, where one has been tried for in vain.
    fn trouble(&self) -> Option<&ConnectError> {
        match self.link {
            Link::Up(_) => None,
            Link::Down(_) => self.last_error.as_ref(),
        }
    }

    /// A way to send something beside the calls, where there is a connection.
    pub fn sender(&self) -> Option<Sender> {
        match &self.link {
            Link::Up(connection) => Some(connection.sender()),
            Link::Down(_) => None,
        }
    }

    /// Queues a call at its place.
    pub fn push(&mut self, mut call: Call) {
        if self.shared.limits.fails_at_once
            && let Some(trouble) = self.trouble()
        {
            let error = StoreError::away(call.name, &self.name, trouble);
            tell(&self.shared, |news| call.answer(Err(error), news));
            return;
        }
        match self.waiting.back() {
            Some(last) if last.serial > call.serial => {
                let place = self.waiting.partition_point(|w| w.serial < call.serial);
                self.waiting.insert(place, call);
            }
            _ => self.waiting.push_back(call),
        }
    }

    /// Takes away all that has not been sent.
    pub fn take_waiting(&mut self) -> VecDeque<Call> {
        std::mem::take(&mut self.waiting)
    }

    /// A batch of what waits, on its way, where there is something and a connection for it.
    pub fn next_flight(&mut self) -> Option<impl Future<Output = Landed> + use<>> {
        let Link::Up(connection) = &self.link else {
            return None;
        };
        if self.stale > 0 || self.waiting.is_empty() {
            return None;
        }
        let most = self.waiting.len().min(BATCH);
        let calls = self.waiting.drain(..most).collect();
        let sender = connection.sender();
        let flight = fly(&sender, calls, self.shared.clone(), self.name.clone());
        self.aloft += 1;
        let (lane, connection, era) = (self.id, self.connection, self.era);
        Some(async move {
            Landed {
                lane,
                landing: flight.await,
                connection,
                era,
            }
        })
    }

    /// Waits for the next change of the link. Cancel-safe: the attempt lives in the link.
    pub fn poll_event(&mut self, context: &mut Context) -> Poll<LinkEvent> {
        match &mut self.link {
            Link::Up(connection) => std::pin::pin!(connection.lost())
                .poll(context)
                .map(|()| LinkEvent::Lost),
            Link::Down(attempt) => attempt.as_mut().poll(context).map(|result| match result {
                Ok(connection) => LinkEvent::Connected(connection),
                Err(error) => LinkEvent::Failed(error),
            }),
        }
    }

    pub fn on_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Connected(connection) => {
                if connection.is_master {
                    self.is_master();
                }
                self.link = Link::Up(connection);
                self.last_error = None;
            }
            LinkEvent::Failed(error) => {
                self.last_error = Some(error);
                self.connect();
                if self.shared.limits.fails_at_once {
                    for call in self.take_waiting() {
                        self.push(call);
                    }
                }
            }
            LinkEvent::Lost => self.reconnect(),
        }
    }

    /// There is a master.
    fn is_master(&mut self) {
        self.was_master = true;
        self.replica_since = None;
    }

    /// Drops the connection, and with it all that is in flight there, and starts a new one.
    fn reconnect(&mut self) {
        self.drop_connection();
        self.shared.set_status(Status::Reconnecting);
        if self.shared.gives_back {
            // A client can go on, and must not be overtaken by what is sent again from here.
            self.shared.has_given_up.store(true, Ordering::Release);
        } else {
            self.connect();
        }
    }

    fn drop_connection(&mut self) {
        self.connection += 1;
        self.shared.lost.fetch_add(1, Ordering::AcqRel);
        self.stale += std::mem::take(&mut self.aloft) + std::mem::take(&mut self.older);
        self.close();
    }

    /// Drops the connection for good.
    pub fn close(&mut self) {
        self.link = Link::Down(Box::pin(std::future::pending()));
    }

    fn connect(&mut self) {
        let limit = self.shared.limits.connect;
        self.link = Link::Down(connecting(&self.target, limit, self.attempts));
        self.attempts = self.attempts.saturating_add(1);
    }

    /// Answers the calls of a batch that is back; returns those that have no answer yet.
    pub fn land(&mut self, landed: Landed) -> Vec<Returned> {
        let is_current = landed.connection == self.connection;
        if !is_current {
            self.stale -= 1;
        } else if landed.era == self.era {
            self.aloft -= 1;
        } else {
            self.older -= 1;
        }
        let was_left = self.left.is_some_and(|(left, _)| left == landed.connection);
        match landed.landing {
            Landing::Replied(calls, values) => {
                let Delivered { returned, leaves } = self.deliver(calls, values, was_left);
                if leaves && is_current {
                    self.left = Some((self.connection, Instant::now()));
                    self.reconnect();
                } else if !leaves && !was_left {
                    self.attempts = 0;
                }
                if is_current
                    && returned
                        .iter()
                        .any(|c| matches!(c, Returned::Redirected(..)))
                {
                    self.begin_era();
                }
                returned
            }
            Landing::Lost(calls, error) => {
                // A batch may know before the link does, and must not go out there again.
                if is_current {
                    self.reconnect();
                }
                self.take_back(calls, &error, was_left)
            }
            Landing::Silent => {
                if is_current {
                    self.reconnect();
                }
                Vec::new()
            }
        }
    }

    /// Gives each call its replies; returns those that were not carried out. With `was_left` the
    /// connection has been left because of a call before these.
    fn deliver(&mut self, calls: Vec<Call>, values: Vec<Value>, was_left: bool) -> Delivered {
        let mut returned = Vec::new();
        let mut leaves = false;
        let mut behind = Behind::new(was_left);
        let mut values = values.into_iter();
        let came = Instant::now();
        let shared = self.shared.clone();
        tell(&shared, |news| {
            news.reserve(calls.len());
            for mut call in calls {
                let count = call.command.replies();
                let mut asked;
                let replies = if call.asking {
                    asked = without_asking(values.by_ref().take(2 * count));
                    &mut asked
                } else {
                    &mut values
                };
                let refusal = match replies.as_slice().first() {
                    Some(_) if call.is_open() && behind.has(&call) => Some(Refusal::Left),
                    Some(Value::ServerError(error)) if call.is_open() => self.refusal(error, came),
                    Some(Value::ServerError(_)) => None,
                    _ => {
                        if call.command.is_write() {
                            self.is_master();
                        }
                        None
                    }
                };
                if matches!(refusal, Some(Refusal::Left)) {
                    behind.add(&call);
                }
                leaves |= matches!(refusal, Some(Refusal::Left | Refusal::Told));
                let back = match refusal {
                    None | Some(Refusal::Told) => {
                        let answer = call.command.read(replies, call.name, &self.name, came);
                        call.answer(answer, news);
                        continue;
                    }
                    Some(refusal) => refusal,
                };
                replies.take(count).for_each(drop);
                call.asking = false;
                returned.push(match back {
                    Refusal::Redirected(to) => Returned::Redirected(call, to),
                    Refusal::Unserved(why) => Returned::Unserved(call, why),
                    Refusal::Left | Refusal::Told => Returned::Unsent(call),
                });
            }
        });
        Delivered { returned, leaves }
    }

    /// Whether an error says that the command was not carried out, and may be elsewhere or later.
    fn refusal(&mut self, error: &ServerError, now: Instant) -> Option<Refusal> {
        if self.shared.gives_back {
            // What follows a client answers as the client would. But a server that has become a
            // replica is left to the client, which may know another.
            return (error.code() == READONLY).then_some(Refusal::Left);
        }
        if let Some(node) = &self.node {
            if let Some(to) = redirect(error, &node.host) {
                return Some(Refusal::Redirected(to));
            }
            if matches!(error.code(), "CLUSTERDOWN" | "TRYAGAIN" | READONLY) {
                return Some(Refusal::Unserved(ConnectError::from(error)));
            }
        }
        let limits = self.shared.limits;
        if error.code() == READONLY {
            // A master that has become a replica: soon the name is that of the new master. One that
            // was never anything else may be meant: then reads go on, and writes are told so, after
            // a look every now and then whether the name has moved.
            let since = *self.replica_since.get_or_insert(now);
            let was_master = self.was_master || self.target.is_sentinel();
            let waits = was_master && now - since < limits.command && !limits.fails_at_once;
            let looks = |(_, last)| now - last >= LOOK_FOR_MASTER;
            if !waits && !self.left.is_none_or(looks) {
                return None;
            }
        } else if !is_transient(error.code()) {
            return None;
        }
        if limits.fails_at_once {
            return Some(Refusal::Told);
        }
        self.last_error = Some(ConnectError::from(error));
        Some(Refusal::Left)
    }

    /// Takes back the calls of a broken connection that may be sent once more; rejects the others.
    /// With `was_left` it was we who left it.
    fn take_back(&self, calls: Vec<Call>, error: &RedisError, was_left: bool) -> Vec<Returned> {
        let mut returned = Vec::new();
        tell(&self.shared, |news| {
            for mut call in calls.into_iter().filter(Call::is_open) {
                if call.retried && !was_left && !self.shared.gives_back {
                    let lost = StoreError::lost(call.name, &self.name, error);
                    call.answer(Err(lost), news);
                } else {
                    call.retried |= !was_left;
                    call.asking = false;
                    returned.push(Returned::Unsent(call));
                }
            }
        });
        returned
    }

    /// Until when the first of what waits may wait.
    pub fn first_deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|call| call.deadline)
    }

    /// Rejects the calls that have waited for a connection as long as they may.
    pub fn expire(&mut self, now: Instant) {
        expire(
            &self.shared,
            &mut self.waiting,
            &self.name,
            self.last_error.as_ref(),
            now,
        );
    }
}

/// The answers of a batch are given.
struct Delivered {
    /// The calls that were not carried out.
    returned: Vec<Returned>,
    /// Whether the server is not the one to talk to now, and the connection is to be left.
    leaves: bool,
}

/// The calls of a batch that come behind one that is made again, and must not overtake it: they are
/// made again, too.
struct Behind {
    /// Whether that one was in an earlier batch.
    all: bool,
    /// The keys of those in this one.
    keys: HashSet<Vec<u8>>,
}

impl Behind {
    fn new(all: bool) -> Behind {
        Behind {
            all,
            keys: HashSet::new(),
        }
    }

    fn add(&mut self, call: &Call) {
        self.keys.insert(call.command.key().to_vec());
    }

    /// A call about many keys is behind one about any of them.
    fn has(&self, call: &Call) -> bool {
        let key = call.command.key();
        self.all || self.keys.contains(key) || (key.is_empty() && !self.keys.is_empty())
    }
}

/// What a replica says to a write.
const READONLY: &str = "READONLY";

/// Why a server has not carried out a command.
enum Refusal {
    /// It is not the one to talk to: the call is made again on another connection.
    Left,
    /// Likewise, but the call is answered with the error.
    Told,
    Redirected(Redirect),
    Unserved(ConnectError),
}

/// The replies to the commands alone, of commands that each had an ASKING before them.
fn without_asking(replies: impl Iterator<Item = Value>) -> std::vec::IntoIter<Value> {
    let own: Vec<Value> = replies.skip(1).step_by(2).collect();
    own.into_iter()
}

/// Rejects the calls of a queue whose deadline is over, with the last reason there is.
pub fn expire(
    shared: &Shared,
    waiting: &mut VecDeque<Call>,
    server: &str,
    last_error: Option<&ConnectError>,
    now: Instant,
) {
    tell(shared, |news| {
        while let Some(call) = waiting.front_mut().filter(|call| call.deadline <= now) {
            let limit = shared.limits.command;
            let error = StoreError::unreachable(call.name, server, limit, last_error);
            call.answer(Err(error), news);
            waiting.pop_front();
        }
    });
}

/// One attempt to connect, after the wait that the attempts before it call for.
fn connecting(target: &Target, limit: Duration, attempts: u32) -> Connecting {
    let target = target.clone();
    Box::pin(async move {
        pause(attempts).await;
        within(limit, target.connect()).await
    })
}

/// Waits as long as so many attempts in vain call for.
pub async fn pause(attempts: u32) {
    if attempts > 0 {
        sleep(backoff(attempts, RandomState::new().hash_one(attempts))).await;
    }
}

/// Doubles with each attempt up to a bound; between half and the whole of that, by `random`, so
/// that a thousand processes do not come back in the same millisecond.
fn backoff(attempts: u32, random: u64) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    let whole = BACKOFF_FIRST
        .saturating_mul(1 << doublings)
        .min(BACKOFF_MOST);
    let half = whole / 2;
    half + half.mul_f64((random % 1024) as f64 / 1024.0)
}

/// Sends calls as one batch, at once, and waits for their replies. Calls whose deadline comes first
/// are rejected then; the others go on waiting.
fn fly(
    sender: &Sender,
    mut calls: Vec<Call>,
    shared: Arc<Shared>,
    server: ServerName,
) -> impl Future<Output = Landing> + use<> {
    let size = calls.iter().map(|call| call.command.size() + FRAME).sum();
    let mut batch = Batch::with_capacity(size);
    for call in &calls {
        batch.set_asking(call.asking);
        call.command.add_to(&mut batch);
    }
    let response = sender.send(batch);
    async move {
        let mut response = std::pin::pin!(response);
        let silence = Instant::now() + SILENCE * shared.limits.command;
        loop {
            // They are in their order, so that none comes before that of the first.
            let deadline = calls
                .iter()
                .find(|call| call.is_open())
                .map_or(silence, |call| call.deadline);
            if deadline == silence && Instant::now() >= silence {
                return Landing::Silent;
            }
            match timeout_at(deadline.into(), &mut response).await {
                Ok(Ok(values)) => return Landing::Replied(calls, values),
                Ok(Err(error)) => return Landing::Lost(calls, error),
                Err(_) => {
                    let now = Instant::now();
                    tell(&shared, |news| {
                        for call in calls.iter_mut().filter(|call| call.deadline <= now) {
                            let limit = shared.limits.command;
                            let timeout = StoreError::timeout(call.name, &server, limit);
                            call.answer(Err(timeout), news);
                        }
                    });
                    shared.doubt();
                }
            }
        }
    }
}

/// Collects the answers that `answer` gives and wakes the JS thread once for all of them.
pub fn tell(shared: &Shared, answer: impl FnOnce(&mut Vec<News>)) {
    let mut news = Vec::new();
    answer(&mut news);
    if !news.is_empty() {
        shared.outbox.push(news);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_its_bound_and_no_further() {
        assert!(backoff(1, 0) >= BACKOFF_FIRST / 2);
        assert!(backoff(1, u64::MAX) <= BACKOFF_FIRST);
        assert!(backoff(3, 0) > backoff(1, u64::MAX));
        for attempts in [10, 100, u32::MAX] {
            assert!(backoff(attempts, u64::MAX) <= BACKOFF_MOST);
            assert!(backoff(attempts, 0) >= BACKOFF_MOST / 2);
        }
    }
}
