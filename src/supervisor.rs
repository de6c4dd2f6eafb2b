//! Keeps a store connected, and carries its calls over the connection it has.
//!
//! The promises it keeps: a call is answered within `commandTimeout` whatever happens to the
//! server; it waits for a connection that is away; on a connection that breaks it is sent once
//! more, as every command the store uses has the same effect twice as once.

use std::collections::VecDeque;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::{Pipeline, RedisError, Value};
use tokio::task::coop::unconstrained;
use tokio::task::yield_now;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};

use crate::engine::{Call, Closing, News, Shared, Status};
use crate::error::{ConnectError, StoreError};
use crate::transport::{Connection, Sender, Transport};

/// How long the I/O thread stays awake for what comes next: see [`Watch`].
const WATCH: Duration = Duration::from_micros(100);
/// Calls that go out as one pipeline. More than this and the first waits for the last.
const BATCH: usize = 1024;
/// The wait before the second attempt to connect; it doubles with each further one …
const BACKOFF_FIRST: Duration = Duration::from_millis(25);
/// … up to this.
const BACKOFF_MOST: Duration = Duration::from_millis(800);
/// A batch without a reply for so many times `commandTimeout`, and the connection is taken for
/// dead: a peer that vanished behind a firewall never says so. One that is merely slow is not: its
/// late replies are waited for, though nobody needs them any more.
const SILENCE: u32 = 2;

type Connecting = Pin<Box<dyn Future<Output = Result<Connection, ConnectError>> + Send>>;

/// Whether there is a connection.
enum Link {
    Up(Connection),
    Down(Connecting),
}

/// What became of a batch that was sent, and on which connection.
struct Landed {
    landing: Landing,
    connection: u64,
}

enum Landing {
    /// A reply for each command.
    Replied(Vec<Call>, Vec<Value>),
    /// The connection broke; these calls have no answer yet.
    Lost(Vec<Call>, RedisError),
    /// There was no reply for very long; every call has run into its deadline.
    Silent,
}

/// Serves a store until it is closed.
pub async fn run(shared: Arc<Shared>, transport: Transport) {
    let _end = AnnounceEnd(shared.clone());
    let mut supervisor = Supervisor {
        link: Link::Down(Box::pin(std::future::pending())),
        transport,
        shared,
        connection: 0,
        aloft: 0,
        stale: 0,
        serial: 0,
        waiting: VecDeque::new(),
        attempts: 0,
        last_error: None,
    };
    supervisor.connect();
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
    transport: Transport,
    link: Link,
    /// Counts the connections that were given up.
    connection: u64,
    /// Batches in flight on the connection there is, and on those given up. The latter come back
    /// at once, and nothing is sent before they are in the queue again: order is kept.
    aloft: usize,
    stale: usize,
    /// Counts the calls taken from the queue.
    serial: u64,
    /// Calls not sent yet, the oldest first, so the first deadline is the front's.
    waiting: VecDeque<Call>,
    /// Attempts to connect since the server last replied to a call: a server that takes
    /// connections and drops them is no better than one that takes none.
    attempts: u32,
    last_error: Option<ConnectError>,
}

impl Supervisor {
    async fn serve(&mut self) {
        let mut flights = FuturesUnordered::new();
        let mut sweeps = FuturesUnordered::new();
        let mut watch = Watch::default();
        loop {
            let arrivals = self.shared.arrivals();
            let now = Instant::now();
            watch.calls_arrived(arrivals.calls.len(), self.aloft, now);
            let is_watching = watch.is_on(now);
            let deadline = now + self.shared.limits.command;
            for mut call in arrivals.calls {
                self.serial += 1;
                call.serial = self.serial;
                call.deadline = deadline;
                self.waiting.push_back(call);
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
                    if self.waiting.is_empty() && flights.is_empty() && sweeps.is_empty() =>
                {
                    break;
                }
                _ => {}
            }
            if let Link::Up(connection) = &self.link {
                while self.stale == 0 && !self.waiting.is_empty() {
                    let most = self.waiting.len().min(BATCH);
                    let batch = self.waiting.drain(..most).collect();
                    let flight = fly(connection.sender(), batch, self.shared.clone());
                    let connection = self.connection;
                    self.aloft += 1;
                    flights.push(async move {
                        Landed {
                            landing: flight.await,
                            connection,
                        }
                    });
                }
            }
            let deadline = self.waiting.front().map(|call| call.deadline);
            tokio::select! {
                () = self.shared.wake.notified() => {}
                Some(landed) = flights.next() => {
                    self.land(landed);
                    watch.answered();
                }
                () = yield_now(), if is_watching => {}
                Some(()) = sweeps.next() => {}
                event = self.link.next_event() => self.on_link(event),
                () = until(deadline) => self.expire_waiting(),
            }
        }
        // Whatever is left is told why before it is dropped.
        let mut orphans: Vec<Call> = self.waiting.drain(..).collect();
        self.link = Link::Down(Box::pin(std::future::pending()));
        while let Some(landed) = flights.next().await {
            match landed.landing {
                // A reply that made it is still the truth about its call.
                Landing::Replied(calls, values) => self.deliver(calls, values),
                Landing::Lost(calls, _) => orphans.extend(calls),
                Landing::Silent => {}
            }
        }
        orphans.sort_by_key(|call| call.serial);
        turn_away(&self.shared, orphans);
        // The sweeps go with this: at the end, the JS thread tells whoever waits for one.
    }

    fn on_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Connected(connection) => {
                self.link = Link::Up(connection);
                self.last_error = None;
                self.shared.set_status(Status::Ready);
            }
            LinkEvent::Failed(error) => {
                self.shared.outbox.push([News::Failed(error.clone())]);
                self.last_error = Some(error);
                self.connect();
            }
            LinkEvent::Lost => self.reconnect(),
        }
    }

    /// Drops the connection, and with it all that is in flight there, and starts a new one.
    fn reconnect(&mut self) {
        self.connection += 1;
        self.stale += std::mem::take(&mut self.aloft);
        self.shared.set_status(Status::Reconnecting);
        if self.shared.gives_back {
            // A client can go on, and must not be overtaken by what is sent again from here.
            self.shared.has_given_up.store(true, Ordering::Release);
        } else {
            self.connect();
        }
    }

    fn connect(&mut self) {
        let limit = self.shared.limits.connect;
        self.link = Link::Down(connecting(&self.transport, limit, self.attempts));
        self.attempts = self.attempts.saturating_add(1);
    }

    fn land(
        &mut self,
        Landed {
            landing,
            connection,
        }: Landed,
    ) {
        let is_current = connection == self.connection;
        if is_current {
            self.aloft -= 1;
        } else {
            self.stale -= 1;
        }
        match landing {
            Landing::Replied(calls, values) => {
                self.attempts = 0;
                self.deliver(calls, values);
            }
            Landing::Lost(calls, error) => {
                // A batch may know before the link does, and must not go out there again.
                if is_current {
                    self.reconnect();
                }
                self.send_again(calls, &error);
            }
            Landing::Silent if is_current => self.reconnect(),
            Landing::Silent => {}
        }
    }

    /// Gives each call its replies.
    fn deliver(&self, mut calls: Vec<Call>, values: Vec<Value>) {
        let mut values = values.into_iter();
        tell(&self.shared, |news| {
            for call in &mut calls {
                let answer = call
                    .command
                    .read(&mut values, call.name, &self.shared.server);
                call.answer(answer, news);
            }
        });
    }

    /// Puts calls whose connection broke back to their place in the queue, once.
    fn send_again(&mut self, calls: Vec<Call>, error: &RedisError) {
        let shared = self.shared.clone();
        tell(&shared, |news| {
            for mut call in calls.into_iter().filter(Call::is_open) {
                if call.retried && !shared.gives_back {
                    let lost = StoreError::lost(call.name, &shared.server, error);
                    call.answer(Err(lost), news);
                } else {
                    call.retried = true;
                    self.waiting.push_back(call);
                }
            }
        });
        self.waiting
            .make_contiguous()
            .sort_by_key(|call| call.serial);
    }

    /// Rejects the calls that have waited for a connection as long as they may.
    fn expire_waiting(&mut self) {
        let now = Instant::now();
        let shared = self.shared.clone();
        tell(&shared, |news| {
            while let Some(call) = self.waiting.front_mut().filter(|c| c.deadline <= now) {
                let error = StoreError::unreachable(
                    call.name,
                    &shared.server,
                    shared.limits.command,
                    self.last_error.as_ref(),
                );
                call.answer(Err(error), news);
                self.waiting.pop_front();
            }
        });
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

/// What happens to a link.
enum LinkEvent {
    Connected(Connection),
    Failed(ConnectError),
    Lost,
}

impl Link {
    /// Waits for the next change. Cancel-safe: the attempt lives in the link, not in this call.
    async fn next_event(&mut self) -> LinkEvent {
        match self {
            Link::Up(connection) => {
                connection.lost().await;
                LinkEvent::Lost
            }
            Link::Down(attempt) => match attempt.await {
                Ok(connection) => LinkEvent::Connected(connection),
                Err(error) => LinkEvent::Failed(error),
            },
        }
    }
}

/// One attempt to connect, after the wait that the attempts before it call for.
fn connecting(transport: &Transport, limit: Duration, attempts: u32) -> Connecting {
    let transport = transport.clone();
    Box::pin(async move {
        if attempts > 0 {
            sleep(backoff(attempts, RandomState::new().hash_one(attempts))).await;
        }
        match timeout(limit, transport.connect()).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError {
                code: "ETIMEDOUT".into(),
                reason: format!("no answer within {} ms (connectTimeout)", limit.as_millis())
                    .into(),
            }),
        }
    })
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

/// Sends a batch as one pipeline and waits for its replies. Calls whose deadline comes first are
/// rejected then; the others go on waiting.
async fn fly(mut sender: Sender, mut batch: Vec<Call>, shared: Arc<Shared>) -> Landing {
    let mut pipeline = Pipeline::with_capacity(2 * batch.len());
    for call in &batch {
        call.command.add_to(&mut pipeline);
    }
    // Out of tokio's budget: a flight that is put off for it would be sent after later ones.
    let mut response = std::pin::pin!(unconstrained(sender.send(&pipeline)));
    let silence = Instant::now() + SILENCE * shared.limits.command;
    loop {
        let deadline = batch
            .iter()
            .filter(|call| call.is_open())
            .map(|call| call.deadline)
            .min()
            .unwrap_or(silence);
        if deadline == silence && Instant::now() >= silence {
            return Landing::Silent;
        }
        match timeout_at(deadline.into(), &mut response).await {
            Ok(Ok(values)) => return Landing::Replied(batch, values),
            Ok(Err(error)) => return Landing::Lost(batch, error),
            Err(_) => {
                let now = Instant::now();
                tell(&shared, |news| {
                    for call in batch.iter_mut().filter(|call| call.deadline <= now) {
                        let timeout =
                            StoreError::timeout(call.name, &shared.server, shared.limits.command);
                        call.answer(Err(timeout), news);
                    }
                });
            }
        }
    }
}

/// Collects the answers that `answer` gives and wakes the JS thread once for all of them.
fn tell(shared: &Shared, answer: impl FnOnce(&mut Vec<News>)) {
    let mut news = Vec::new();
    answer(&mut news);
    if !news.is_empty() {
        shared.outbox.push(news);
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
