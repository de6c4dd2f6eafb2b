//! Sends batches of commands over a stream and matches the replies to them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use redis::{RedisError, RedisResult, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::Instant;

use super::resp::{Batch, Frame, HeadSender, Heads, Parser, protocol_error, without_script};
use super::socket_watch::SocketWatch;
use super::tracking::TrackedConnection;

/// Size of the read buffer in bytes. Only a longer line makes it grow.
const READ_BUFFER: usize = 64 * 1024;
/// The most batches in one write.
const BATCHES_A_WRITE: usize = 16;
/// The most bytes that [`Direct`] reads at once.
const DIRECT_READ: usize = 16 * 1024;

/// Sends batches over a stream, as long as the future that [`open`] returned runs.
#[derive(Clone)]
pub struct Sender(UnboundedSender<QueuedBatch>);

/// A batch that is not in flight yet.
struct QueuedBatch {
    batch: Batch,
    queued: Instant,
    result: BatchResult,
}

/// Takes the replies to a batch. The caller may have stopped waiting: then sending does nothing.
type BatchResult = oneshot::Sender<RedisResult<Vec<Value>>>;

impl Sender {
    /// Queues a batch immediately. Dropping its replies changes nothing for other batches.
    pub fn send(&self, batch: Batch) -> Replies {
        let (result, replies) = oneshot::channel();
        // If the connection has ended, this drops `result`.
        let queued = Instant::now();
        let _ = self.0.send(QueuedBatch {
            batch,
            queued,
            result,
        });
        Replies::Awaited(replies)
    }
}

/// Who hears what a server sends besides replies.
pub enum WireListener {
    Nobody,
    /// Gets the push messages.
    Subscriber(UnboundedSender<Vec<Value>>),
    /// Gets them in order with the replies.
    Tracked(TrackedConnection),
}

/// Resolves to one reply for each command of a batch, errors of the server included, or fails if the
/// connection does.
pub enum Replies {
    Awaited(oneshot::Receiver<RedisResult<Vec<Value>>>),
    /// They have come; empty once they are taken.
    Here(Option<RedisResult<Vec<Value>>>),
}

impl Replies {
    /// Returns the replies if they have come, or why the connection failed.
    pub fn take_now(&mut self) -> Option<RedisResult<Vec<Value>>> {
        match self {
            Replies::Awaited(replies) => match replies.try_recv() {
                Err(TryRecvError::Empty) => None,
                came => {
                    *self = Replies::Here(None);
                    Some(came.unwrap_or_else(|_| Err(closed().into())))
                }
            },
            Replies::Here(result) => result.take(),
        }
    }
}

impl Future for Replies {
    type Output = RedisResult<Vec<Value>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context) -> Poll<Self::Output> {
        let came = match self.get_mut() {
            Replies::Awaited(replies) => ready!(Pin::new(replies).poll(context)).ok(),
            Replies::Here(result) => result.take(),
        };
        Poll::Ready(came.unwrap_or_else(|| Err(closed().into())))
    }
}

/// Writes to and reads from a stream on any thread, beside the future that does it otherwise.
pub trait Direct: Send + Sync {
    /// Writes a batch now, which must not be empty, if nothing is queued, and nothing in flight that was sent
    /// otherwise; else hands it back. The future writes what the stream does not take at once. From here to
    /// [`Direct::leave`] it is not woken for what comes, unless a batch is queued. It wakes `reader` when it
    /// has read all the replies.
    fn send(&self, batch: Batch, reader: &Waker) -> Result<Replies, Batch>;

    /// Reads and handles what has come.
    fn read(&self);

    /// Lets `watch` tell when something comes that nobody has read. Returns whether it will.
    fn watch(&self, watch: &SocketWatch) -> bool;

    /// Leaves the reading to the future. What has come by now is read before this returns; it wakes the
    /// reader of a batch as the future does.
    fn leave(&self);
}

/// A stream that can be used beside the runtime.
pub trait DirectStream: AsyncRead + AsyncWrite + Unpin + Send {
    /// Reads without waiting for the runtime to learn that something has come.
    fn read_now(&mut self, context: &mut Context, buffer: &mut ReadBuf) -> Poll<io::Result<()>>;

    /// See [`Direct::watch`].
    fn watch(&self, _: &SocketWatch) -> bool {
        false
    }

    /// Keeps from the runtime that something has come; if false, no longer.
    fn mute(&self, _: bool) {}
}

/// Returns a sender for a stream, and the future that reads and writes it. The future must be polled;
/// it resolves when the stream ends or after a protocol error. Dropping it closes the stream, and
/// every batch in flight fails.
pub fn open<S>(stream: S, listener: WireListener) -> (Sender, impl Future<Output = ()>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (sender, wire) = share(stream, listener, |_, _| {});
    (sender, drive(wire))
}

/// The same, and a way to use the stream directly.
pub fn open_direct<S>(
    stream: S,
    listener: WireListener,
) -> (Sender, Arc<dyn Direct>, impl Future<Output = ()>)
where
    S: DirectStream + 'static,
{
    let (sender, wire) = share(stream, listener, S::mute);
    let direct = DirectWire(wire.clone());
    (sender, Arc::new(direct), drive(wire))
}

/// A stream that several threads use; `None` once it is closed.
type SharedWire<S> = Arc<Mutex<Option<Wire<S>>>>;

fn share<S>(stream: S, listener: WireListener, mute: fn(&S, bool)) -> (Sender, SharedWire<S>) {
    let (sender, queue) = unbounded_channel();
    let wire = Wire {
        stream,
        queue,
        unwritten: VecDeque::new(),
        written: 0,
        is_flushed: true,
        in_flight: InFlight::default(),
        input: Vec::with_capacity(READ_BUFFER),
        parser: Parser::default(),
        is_paused: false,
        listener,
        mute,
        is_muted: false,
        driver: None,
        direct_input: Vec::new(),
        broken: None,
    };
    (Sender(sender), Arc::new(Mutex::new(Some(wire))))
}

/// Reads and writes until the stream ends.
async fn drive<S>(wire: SharedWire<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let wire = CloseOnDrop(wire);
    let error = poll_fn(|context| match &mut *locked(&wire.0) {
        Some(wire) => wire.poll(context),
        None => Poll::Ready(closed().into()),
    })
    .await;
    if let Some(wire) = &mut *locked(&wire.0) {
        wire.fail(&error);
    }
}

/// Closes the stream, whoever else has it.
struct CloseOnDrop<S>(SharedWire<S>);

impl<S> Drop for CloseOnDrop<S> {
    fn drop(&mut self) {
        locked(&self.0).take();
    }
}

fn locked<S>(wire: &SharedWire<S>) -> MutexGuard<'_, Option<Wire<S>>> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}

struct DirectWire<S>(SharedWire<S>);

impl<S: DirectStream> Direct for DirectWire<S> {
    fn send(&self, batch: Batch, reader: &Waker) -> Result<Replies, Batch> {
        match &mut *locked(&self.0) {
            Some(wire) => wire.send_now(batch, reader),
            None => Err(batch),
        }
    }

    fn read(&self) {
        if let Some(wire) = &mut *locked(&self.0) {
            wire.read_now(); // The caller is the reader, and need not be woken.
        }
    }

    fn watch(&self, watch: &SocketWatch) -> bool {
        let wire = locked(&self.0);
        wire.as_ref().is_some_and(|wire| wire.stream.watch(watch))
    }

    fn leave(&self) {
        if let Some(wire) = &mut *locked(&self.0) {
            wire.leave();
        }
    }
}

struct Wire<S> {
    stream: S,
    queue: UnboundedReceiver<QueuedBatch>,
    /// Batches that are not wholly written.
    unwritten: VecDeque<Vec<u8>>,
    /// How many bytes of the first of them are written.
    written: usize,
    /// Whether the stream holds nothing back, as TLS may.
    is_flushed: bool,
    in_flight: InFlight,
    /// Bytes that were read and are not parsed yet.
    input: Vec<u8>,
    parser: Parser,
    /// Whether input was left, for others to send first what follows from the head of a reply.
    is_paused: bool,
    listener: WireListener,
    /// See [`DirectStream::mute`].
    mute: fn(&S, bool),
    /// Whether the driver does not learn that something has come.
    is_muted: bool,
    /// Wakes the future that drives this, once it has been polled.
    driver: Option<Waker>,
    /// Where [`Direct`] reads.
    direct_input: Vec<u8>,
    /// What is wrong with the input that [`Direct`] has read.
    broken: Option<RedisError>,
}

impl<S> Wire<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Writes and reads as much as is possible now. Ready with the reason when the connection ends.
    fn poll(&mut self, context: &mut Context) -> Poll<RedisError> {
        if !matches!(&self.driver, Some(driver) if driver.will_wake(context.waker())) {
            self.driver = Some(context.waker().clone());
        }
        if let Some(error) = self.broken.take() {
            return Poll::Ready(error);
        }
        if self.poll_queue(context).is_ready() {
            return Poll::Ready(closed().into());
        }
        let written = self.poll_write(context);
        // Read whatever the write does: a server may wait for its replies to be read before it reads
        // on, and one that closed the connection may have sent something before.
        match (self.poll_read(context), written) {
            (Poll::Ready(error), _) => Poll::Ready(error),
            (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(error.into()),
            (Poll::Pending, _) => Poll::Pending,
        }
    }

    /// Takes the queued batches. Ready when no sender is left.
    fn poll_queue(&mut self, context: &mut Context) -> Poll<()> {
        while let Some(queued) = ready!(self.queue.poll_recv(context)) {
            let QueuedBatch {
                mut batch,
                queued,
                result,
            } = queued;
            self.in_flight.push(&mut batch, queued, result);
            self.set_muted(false);
            let bytes = batch.into_bytes();
            // An empty write would look like a stream that takes no more bytes.
            if !bytes.is_empty() {
                self.unwritten.push_back(bytes);
            }
        }
        Poll::Ready(())
    }

    fn poll_write(&mut self, context: &mut Context) -> Poll<io::Result<()>> {
        while let Some(first) = self.unwritten.front() {
            let mut slices = [IoSlice::new(&[]); BATCHES_A_WRITE];
            for (slice, bytes) in slices.iter_mut().zip(&self.unwritten) {
                *slice = IoSlice::new(bytes);
            }
            slices[0] = IoSlice::new(&first[self.written..]);
            let used = self.unwritten.len().min(BATCHES_A_WRITE);
            let stream = Pin::new(&mut self.stream);
            let count = ready!(stream.poll_write_vectored(context, &slices[..used]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.is_flushed = false;
            self.written += count;
            while let Some(first) = self.unwritten.front()
                && first.len() <= self.written
            {
                self.written -= first.len();
                self.unwritten.pop_front();
            }
        }
        if !self.is_flushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads and handles what has come. Ready with the reason when no more can come.
    fn poll_read(&mut self, context: &mut Context) -> Poll<RedisError> {
        loop {
            if !self.is_paused {
                match ready!(self.poll_input(context)) {
                    Ok(0) => return Poll::Ready(closed().into()),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        return Poll::Ready(closed().into());
                    }
                    Err(error) => return Poll::Ready(error.into()),
                }
            }
            match self.handle_input() {
                Ok(Some(reader)) => reader.wake(),
                Ok(None) => {}
                Err(error) => return Poll::Ready(error),
            }
            if self.is_paused {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Reads some bytes.
    fn poll_input(&mut self, context: &mut Context) -> Poll<io::Result<usize>> {
        if self.input.capacity() - self.input.len() < READ_BUFFER / 4 {
            self.input.reserve(READ_BUFFER);
        }
        pin!(self.stream.read_buf(&mut self.input)).poll(context)
    }

    /// Keeps from the driver that something has come, or no longer.
    fn set_muted(&mut self, is_muted: bool) {
        // What a server says of keys must be handled whatever the JS thread does.
        let is_tracked = matches!(self.listener, WireListener::Tracked(_));
        if self.is_muted != is_muted && !is_tracked {
            self.is_muted = is_muted;
            (self.mute)(&self.stream, is_muted);
        }
    }

    /// Parses the input and hands on its frames. Returns who waits for a direct batch that is complete.
    fn handle_input(&mut self) -> RedisResult<Option<Waker>> {
        let mut reader = None;
        let mut rest = &self.input[..];
        self.is_paused = false;
        loop {
            self.parser.stop_at_head(self.in_flight.wants_head());
            let Some(frame) = self.parser.next(&mut rest)? else {
                if let Some(head) = self.parser.take_head() {
                    self.in_flight.send_head(head);
                    self.is_paused = true;
                }
                break;
            };
            match (frame, &self.listener) {
                (Frame::Reply(reply), listener) => {
                    let Some(complete) = self.in_flight.add_reply(without_script(reply))? else {
                        continue;
                    };
                    if let (WireListener::Tracked(connection), Some(queued)) =
                        (listener, complete.queued)
                    {
                        connection.answered(queued);
                    }
                    reader = complete.reader.or(reader);
                }
                // The receiver may be gone.
                (Frame::Push(push), WireListener::Subscriber(pushes)) => drop(pushes.send(push)),
                (Frame::Push(push), WireListener::Tracked(connection)) => connection.pushed(push),
                (Frame::Push(_), WireListener::Nobody) => {}
            }
        }
        let used = self.input.len() - rest.len();
        self.input.drain(..used);
        Ok(reader)
    }

    /// Fails every batch that has not got all its replies.
    fn fail(&mut self, error: &RedisError) {
        self.queue.close();
        while let Ok(mut last) = self.queue.try_recv() {
            self.in_flight
                .push(&mut last.batch, last.queued, last.result);
        }
        self.in_flight.fail(error);
    }
}

impl<S: DirectStream> Wire<S> {
    /// See [`Direct::send`].
    fn send_now(&mut self, mut batch: Batch, reader: &Waker) -> Result<Replies, Batch> {
        let is_idle = self.queue.is_empty()
            && self.unwritten.is_empty()
            && self.is_flushed
            && self.in_flight.is_all_direct();
        let Some(driver) = self.driver.clone().filter(|_| is_idle) else {
            return Err(batch);
        };
        let (result, replies) = oneshot::channel();
        self.in_flight.push(&mut batch, Instant::now(), result);
        if let Some(batch) = self.in_flight.0.back_mut() {
            batch.reader = Some(reader.clone());
        }
        self.unwritten.push_back(batch.into_bytes());
        self.set_muted(true);
        // If the stream takes no more, this makes it wake the driver, which writes the rest.
        if let Poll::Ready(Err(_)) = self.poll_write(&mut Context::from_waker(&driver)) {
            driver.wake(); // It meets the same error, and ends the connection.
        }
        Ok(Replies::Awaited(replies))
    }

    /// See [`Direct::leave`].
    fn leave(&mut self) {
        self.set_muted(false);
        if !self.in_flight.0.is_empty()
            && let Some(reader) = self.read_now()
        {
            reader.wake();
        }
    }

    /// See [`Direct::read`]. Returns who waits for a direct batch that is complete.
    fn read_now(&mut self) -> Option<Waker> {
        let driver = self.driver.clone().filter(|_| self.broken.is_none())?;
        let mut reader = None;
        self.direct_input.resize(DIRECT_READ, 0);
        loop {
            let mut buffer = ReadBuf::new(&mut self.direct_input);
            let context = &mut Context::from_waker(&driver);
            match self.stream.read_now(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Pending => return reader,
                // The driver meets the same end or error, and ends the connection.
                Poll::Ready(_) => {
                    self.set_muted(false);
                    driver.wake();
                    return reader;
                }
            }
            let is_all = buffer.remaining() > 0;
            self.input.extend_from_slice(buffer.filled());
            match self.handle_input() {
                Ok(complete) => reader = complete.or(reader),
                Err(error) => {
                    self.broken = Some(error);
                    driver.wake();
                    return reader;
                }
            }
            if self.is_paused {
                driver.wake(); // It goes on.
                return reader;
            }
            if is_all {
                return reader;
            }
        }
    }
}

/// Batches that have not got all their replies, oldest first: a server replies in order.
#[derive(Default)]
struct InFlight(VecDeque<AwaitedBatch>);

struct AwaitedBatch {
    /// The replies that have come.
    replies: Vec<Value>,
    /// How many replies must come.
    count: usize,
    /// Who waits for the head of which reply, in order.
    heads: Heads,
    /// When the batch was queued, as long as no reply is an error.
    queued: Option<Instant>,
    result: BatchResult,
    /// Who waits for it, if it was sent directly: nobody awaits its result yet.
    reader: Option<Waker>,
}

impl AwaitedBatch {
    /// Whether somebody waits for the head of the reply that comes next.
    fn wants_head(&self) -> bool {
        let next = self.heads.as_ref().and_then(|heads| heads.front());
        next.is_some_and(|(reply, _)| *reply == self.replies.len())
    }

    /// Takes out who waits for the head of a reply first.
    fn take_head(&mut self) -> Option<HeadSender> {
        let (_, sender) = self.heads.as_mut()?.pop_front()?;
        Some(sender)
    }
}

/// What follows from a batch that has got all its replies.
struct Complete {
    /// As in [`AwaitedBatch`].
    queued: Option<Instant>,
    reader: Option<Waker>,
}

impl InFlight {
    fn push(&mut self, batch: &mut Batch, queued: Instant, result: BatchResult) {
        let count = batch.replies();
        if count == 0 {
            let _ = result.send(Ok(Vec::new()));
            return;
        }
        self.0.push_back(AwaitedBatch {
            replies: Vec::with_capacity(count),
            count,
            heads: batch.take_heads(),
            queued: Some(queued),
            result,
            reader: None,
        });
    }

    /// Whether all was sent directly. What is sent otherwise follows what was sent directly, never the
    /// reverse, so the last one tells.
    fn is_all_direct(&self) -> bool {
        let last = self.0.back();
        last.is_none_or(|last| last.reader.is_some())
    }

    /// Whether somebody waits for the head of the reply that comes next.
    fn wants_head(&self) -> bool {
        self.0.front().is_some_and(AwaitedBatch::wants_head)
    }

    /// Sends the head of the next reply to who waits for it.
    fn send_head(&mut self, head: Value) {
        if let Some(sender) = self.0.front_mut().and_then(AwaitedBatch::take_head) {
            let _ = sender.send(head); // The task may be gone.
        }
    }

    /// Adds a reply to the oldest batch. Returns what follows if that was its last reply.
    fn add_reply(&mut self, reply: Value) -> RedisResult<Option<Complete>> {
        let Some(oldest) = self.0.front_mut() else {
            return Err(unexpected_reply(reply));
        };
        if matches!(reply, Value::ServerError(_)) {
            oldest.queued = None;
        }
        if oldest.wants_head() {
            oldest.take_head(); // It had none: it is no array.
        }
        oldest.replies.push(reply);
        if oldest.replies.len() == oldest.count
            && let Some(AwaitedBatch {
                replies,
                result,
                queued,
                reader,
                ..
            }) = self.0.pop_front()
        {
            let _ = result.send(Ok(replies));
            return Ok(Some(Complete { queued, reader }));
        }
        Ok(None)
    }

    fn fail(&mut self, error: &RedisError) {
        for batch in self.0.drain(..) {
            let _ = batch.result.send(Err(error.clone()));
        }
    }
}

/// The error for a reply without a command. It ends the connection: either the server sends an error
/// before it closes the connection, or replies and commands do not match any more.
fn unexpected_reply(reply: Value) -> RedisError {
    match reply {
        Value::ServerError(error) => error.into(),
        _ => protocol_error("a reply came without a command"),
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the connection was closed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::yield_now;
    use tokio::time::timeout;

    const LIMIT: Duration = Duration::from_secs(3600);

    fn ping() -> Batch {
        batch(&[b"PING"])
    }

    fn batch(command: &[&[u8]]) -> Batch {
        let mut batch = Batch::default();
        batch.add(command);
        batch
    }

    /// A sender for one end of a stream that holds so many bytes, and the other end. The task that
    /// reads and writes runs to its end.
    fn connect(capacity: usize) -> (Sender, DuplexStream) {
        let (ours, theirs) = duplex(capacity);
        let (sender, driver) = open(ours, WireListener::Nobody);
        tokio::spawn(driver);
        (sender, theirs)
    }

    /// The same with a way to use the stream directly; the driver has begun.
    async fn connect_direct(capacity: usize) -> (Sender, Arc<dyn Direct>, DuplexStream) {
        let (sender, direct, theirs, _) = connect_mutable(capacity).await;
        (sender, direct, theirs)
    }

    /// The same with whether the stream is muted.
    async fn connect_mutable(
        capacity: usize,
    ) -> (Sender, Arc<dyn Direct>, DuplexStream, Arc<AtomicBool>) {
        let (ours, theirs) = duplex(capacity);
        let is_muted = Arc::new(AtomicBool::new(false));
        let ours = Mutable(ours, is_muted.clone());
        let (sender, direct, driver) = open_direct(ours, WireListener::Nobody);
        tokio::spawn(driver);
        yield_now().await;
        (sender, direct, theirs, is_muted)
    }

    /// A stream that tells whether it is muted.
    struct Mutable(DuplexStream, Arc<AtomicBool>);

    impl AsyncRead for Mutable {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context,
            buffer: &mut ReadBuf,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(context, buffer)
        }
    }

    impl AsyncWrite for Mutable {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(context, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(context)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(context)
        }
    }

    impl DirectStream for Mutable {
        fn read_now(
            &mut self,
            context: &mut Context,
            buffer: &mut ReadBuf,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(context, buffer)
        }

        fn mute(&self, is_muted: bool) {
            self.1.store(is_muted, Ordering::Relaxed);
        }
    }

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Reader(AtomicUsize);

    impl Wake for Reader {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn send_now(direct: &Arc<dyn Direct>, batch: Batch) -> Option<Replies> {
        direct.send(batch, Waker::noop()).ok()
    }

    async fn write(server: &mut DuplexStream, text: &str) {
        server.write_all(text.as_bytes()).await.unwrap();
    }

    /// Whether the stream ends.
    async fn is_closed(server: &mut DuplexStream) -> bool {
        let mut rest = Vec::new();
        let read = timeout(LIMIT, server.read_to_end(&mut rest)).await;
        read.is_ok_and(|read| read.is_ok())
    }

    /// A SCAN whose head goes to the receiver.
    fn scan() -> (Batch, UnboundedReceiver<Value>) {
        let (head, heads) = unbounded_channel();
        let mut batch = Batch::default();
        batch.add_cmd_with_head(&redis::cmd("SCAN"), &head);
        (batch, heads)
    }

    #[tokio::test(start_paused = true)]
    async fn the_head_of_a_reply_comes_before_the_rest_is_there() {
        let (sender, mut server) = connect(1024);
        let (batch, mut heads) = scan();
        let (scan, ping) = (sender.send(batch), sender.send(ping()));
        write(&mut server, "*2\r\n$1\r\n7\r\n*1\r\n").await;
        let text = |text: &str| Value::BulkString(text.into());
        assert_eq!(heads.recv().await, Some(text("7")));
        write(&mut server, "$1\r\na\r\n+OK\r\n").await;
        let reply = Value::Array(vec![text("7"), Value::Array(vec![text("a")])]);
        assert_eq!(scan.await, Ok(vec![reply]));
        assert_eq!(ping.await, Ok(vec![Value::Okay]));
        assert_eq!(heads.recv().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_that_is_lost_after_its_head_fails() {
        let (sender, mut server) = connect(1024);
        let (batch, mut heads) = scan();
        let scan = sender.send(batch);
        write(&mut server, "*2\r\n$1\r\n7\r\n*1\r\n").await;
        assert!(heads.recv().await.is_some());
        drop(server);
        assert!(scan.await.is_err());
        assert_eq!(heads.recv().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn replies_come_to_their_batches_in_order() {
        let (sender, mut server) = connect(1024);
        assert_eq!(sender.send(Batch::default()).await, Ok(vec![]));
        let (first, second) = (sender.send(ping()), sender.send(ping()));
        drop(sender.send(ping())); // Its reply still belongs to it.
        let last = sender.send(ping());
        write(&mut server, ":1\r\n:2\r\n>1\r\n+news\r\n:3\r\n:4\r\n").await;
        assert_eq!(first.await, Ok(vec![Value::Int(1)]));
        assert_eq!(last.await, Ok(vec![Value::Int(4)]));
        assert_eq!(second.await, Ok(vec![Value::Int(2)]));
    }

    #[tokio::test(start_paused = true)]
    async fn batches_are_written_in_order_and_are_not_mixed() {
        let (sender, mut server) = connect(7);
        let calls: Vec<_> = (0..50)
            .map(|number| sender.send(batch(&[b"ECHO", format!("{number}").as_bytes()])))
            .collect();
        let mut expected = Batch::default();
        for number in 0..50 {
            expected.add(&[b"ECHO", format!("{number}").as_bytes()]);
        }
        let mut read = vec![0; expected.into_bytes().len()];
        server.read_exact(&mut read).await.unwrap();
        let numbers: Vec<String> = String::from_utf8(read)
            .unwrap()
            .split("\r\n")
            .filter_map(|word| word.parse::<u32>().ok())
            .map(|number| number.to_string())
            .collect();
        let expected: Vec<String> = (0..50).map(|number| number.to_string()).collect();
        assert_eq!(numbers, expected);
        drop(calls);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_direct_write_leaves_is_written_before_what_follows() {
        let (sender, direct, mut server) = connect_direct(7).await;
        let text = |number: u32| format!("{number}").into_bytes();
        for number in 0..20 {
            let first = send_now(&direct, batch(&[b"ECHO", &text(2 * number)]));
            assert!(send_now(&direct, ping()).is_none(), "one is not written");
            let second = sender.send(batch(&[b"ECHO", &text(2 * number + 1)]));
            let mut expected = batch(&[b"ECHO", &text(2 * number)]);
            expected.add(&[b"ECHO", &text(2 * number + 1)]);
            let expected = expected.into_bytes();
            let mut read = vec![0; expected.len()];
            server.read_exact(&mut read).await.unwrap();
            assert_eq!(read, expected);
            write(&mut server, ":1\r\n:2\r\n").await;
            assert_eq!(first.unwrap().await, Ok(vec![Value::Int(1)]));
            assert_eq!(second.await, Ok(vec![Value::Int(2)]));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_muted_from_a_direct_write_until_it_is_left_or_a_batch_is_queued() {
        let (sender, direct, mut server, is_muted) = connect_mutable(1024).await;
        let is_muted = || is_muted.load(Ordering::Relaxed);
        assert!(!is_muted());
        let mut replies = send_now(&direct, ping()).unwrap();
        assert!(is_muted());
        write(&mut server, ":1\r\n").await;
        direct.read();
        assert!(replies.take_now().is_some() && is_muted());
        direct.leave();
        assert!(!is_muted());

        let mut replies = send_now(&direct, ping()).unwrap();
        write(&mut server, ":2\r\n").await;
        direct.leave();
        assert!(!is_muted(), "the replies are left");
        assert_eq!(replies.take_now(), Some(Ok(vec![Value::Int(2)])));

        let _replies = send_now(&direct, ping()).unwrap();
        drop(sender.send(ping()));
        yield_now().await;
        assert!(!is_muted(), "the driver must learn of the replies");
    }

    #[tokio::test(start_paused = true)]
    async fn replies_that_come_as_the_stream_is_left_wake_their_reader() {
        let (_sender, direct, mut server) = connect_direct(1024).await;
        let reader = Arc::new(Reader::default());
        let mut replies = direct.send(ping(), &reader.clone().into()).ok().unwrap();
        direct.leave();
        assert_eq!(
            (replies.take_now(), reader.0.load(Ordering::Relaxed)),
            (None, 0)
        );
        write(&mut server, ":1\r\n").await;
        direct.leave();
        assert_eq!(reader.0.load(Ordering::Relaxed), 1);
        assert!(replies.take_now().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_muted_stream_ends_the_connection() {
        let (sender, direct, server, is_muted) = connect_mutable(1024).await;
        let _replies = send_now(&direct, ping()).unwrap();
        drop(server);
        direct.read();
        assert!(!is_muted.load(Ordering::Relaxed));
        assert!(sender.send(ping()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_written_directly_before_what_is_queued() {
        let (sender, direct, mut server) = connect_direct(1024).await;
        let queued = sender.send(ping());
        assert!(send_now(&direct, ping()).is_none(), "one is queued");
        yield_now().await;
        assert!(send_now(&direct, ping()).is_none(), "one is in flight");
        write(&mut server, ":1\r\n").await;
        assert_eq!(queued.await, Ok(vec![Value::Int(1)]));
        assert!(send_now(&direct, ping()).is_some());
        assert!(send_now(&direct, ping()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn replies_are_read_directly_in_pieces_and_by_whoever_comes_first() {
        let (_sender, direct, mut server) = connect_direct(1024).await;
        let mut replies = send_now(&direct, ping()).unwrap();
        direct.read();
        assert_eq!(replies.take_now(), None);
        write(&mut server, "$5\r\nhe").await;
        direct.read();
        assert_eq!(replies.take_now(), None);
        write(&mut server, "llo").await;
        yield_now().await; // The driver reads.
        write(&mut server, "\r\n").await;
        direct.read();
        let hello = vec![Value::BulkString("hello".into())];
        assert_eq!(replies.take_now(), Some(Ok(hello)));
        assert!(send_now(&direct, ping()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_direct_batch_fails_with_its_connection() {
        for text in ["", "HTTP/1.1 400 Bad Request\r\n"] {
            let (sender, direct, mut server) = connect_direct(1024).await;
            let replies = send_now(&direct, ping()).unwrap();
            write(&mut server, text).await;
            if text.is_empty() {
                drop(server);
            }
            direct.read();
            assert!(replies.await.is_err());
            assert!(sender.send(ping()).await.is_err());
            assert!(send_now(&direct, ping()).is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_for_all_its_replies() {
        let (sender, mut server) = connect(1024);
        let mut two = ping();
        two.add(&[b"PING"]);
        let (two, one) = (sender.send(two), sender.send(ping()));
        write(&mut server, "-ERR no\r\n:2\r\n:3\r\n").await;
        let replies = two.await.unwrap();
        assert!(matches!(
            replies[..],
            [Value::ServerError(_), Value::Int(2)]
        ));
        assert_eq!(one.await, Ok(vec![Value::Int(3)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_waited_for() {
        let (sender, mut server) = connect(1024);
        let mut call = Box::pin(sender.send(ping()));
        assert!(timeout(LIMIT, &mut call).await.is_err());
        write(&mut server, ":1\r\n").await;
        assert_eq!(call.await, Ok(vec![Value::Int(1)]));
    }

    #[tokio::test(start_paused = true)]
    async fn push_messages_go_to_their_receiver() {
        let (ours, mut server) = duplex(1024);
        let (pushes, mut received) = unbounded_channel();
        let (sender, driver) = open(ours, WireListener::Subscriber(pushes));
        tokio::spawn(driver);
        let call = sender.send(ping());
        write(&mut server, ">1\r\n+news\r\n:1\r\n").await;
        assert_eq!(call.await, Ok(vec![Value::Int(1)]));
        let news = vec![Value::SimpleString("news".into())];
        assert_eq!(received.recv().await, Some(news));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_read_is_read_from() {
        let (sender, mut server) = connect(64);
        let small = sender.send(ping());
        let value = vec![b'x'; 100_000];
        let large = sender.send(batch(&[b"SET", b"k", &value]));
        // More than the stream holds: the write ends only if the other side reads meanwhile.
        let text = "y".repeat(10_000);
        write(&mut server, &format!("${}\r\n{text}\r\n", text.len())).await;
        assert_eq!(small.await, Ok(vec![Value::BulkString(text.into())]));
        let mut read = Vec::with_capacity(200_000);
        while read.len() < value.len() {
            server.read_buf(&mut read).await.unwrap();
        }
        write(&mut server, "+OK\r\n").await;
        assert_eq!(large.await, Ok(vec![Value::Okay]));
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_server_closes_batches_in_flight_and_later_ones_fail() {
        let (sender, mut server) = connect(1024);
        let (first, second) = (sender.send(ping()), sender.send(ping()));
        write(&mut server, ":1\r\n$100\r\nhalf of").await;
        drop(server);
        assert_eq!(first.await, Ok(vec![Value::Int(1)]));
        for error in [second.await, sender.send(ping()).await] {
            let error = error.unwrap_err();
            assert!(error.is_connection_dropped() && error.is_io_error());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_protocol_error_fails_all_batches_in_flight_and_ends_the_connection() {
        let (sender, mut server) = connect(1024);
        let calls = [sender.send(ping()), sender.send(ping())];
        write(&mut server, "HTTP/1.1 400 Bad Request\r\n").await;
        for call in calls {
            let error = call.await.unwrap_err();
            assert!(error.detail().unwrap().contains("protocol error"));
        }
        assert!(is_closed(&mut server).await);
        assert!(sender.send(ping()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_without_a_command_ends_the_connection() {
        for reply in ["-ERR max number of clients reached\r\n", ":1\r\n"] {
            let (sender, mut server) = connect(1024);
            write(&mut server, reply).await;
            assert!(is_closed(&mut server).await);
            assert!(sender.send(ping()).await.is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_task_closes_the_stream_and_fails_batches_in_flight() {
        let (ours, mut server) = duplex(1024);
        let (sender, driver) = open(ours, WireListener::Nobody);
        let call = sender.send(ping());
        drop(driver);
        assert!(call.await.unwrap_err().is_connection_dropped());
        assert!(is_closed(&mut server).await);
    }
}
