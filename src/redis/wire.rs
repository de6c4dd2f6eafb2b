//! Carries batches of commands over a stream, and their replies back.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use redis::{ErrorKind, RedisError, RedisResult, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::resp::{Batch, Frame, Parser};

/// Bytes that are read at once. Only a line that is longer makes the buffer larger.
const READ_AT_ONCE: usize = 64 * 1024;
/// Batches that are written at once.
const WRITTEN_AT_ONCE: usize = 16;

/// Sends batches over a stream, as long as what [`open`] returned runs.
#[derive(Clone)]
pub struct Sender(UnboundedSender<Request>);

/// A batch and whoever waits for its replies.
struct Request {
    batch: Batch,
    answer: Answer,
}

type Answer = oneshot::Sender<RedisResult<Vec<Value>>>;

impl Sender {
    /// Queues a batch, at once; what is returned waits for a reply to each of its commands, errors
    /// of the server among them. It fails as a whole where the connection does. Not to wait for it
    /// changes nothing for other batches.
    pub fn send(&self, batch: Batch) -> impl Future<Output = RedisResult<Vec<Value>>> + use<> {
        let (answer, replies) = oneshot::channel();
        // Where the wire has ended, the answer is dropped with the request.
        let _ = self.0.send(Request { batch, answer });
        async move { replies.await.unwrap_or_else(|_| Err(closed().into())) }
    }
}

/// A way to send over a stream, and what has to run for that: it ends when the stream does, or is
/// not understood. Dropped, it closes the stream, and what waits for a reply fails. `pushes` are
/// told what the server says unasked.
pub fn open<S>(
    stream: S,
    pushes: Option<UnboundedSender<Vec<Value>>>,
) -> (Sender, impl Future<Output = ()>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (sender, requests) = unbounded_channel();
    let mut wire = Wire {
        stream,
        requests,
        unwritten: VecDeque::new(),
        written: 0,
        is_flushed: true,
        aloft: Aloft::default(),
        input: Vec::with_capacity(READ_AT_ONCE),
        parser: Parser::default(),
        pushes,
    };
    let driver = async move {
        let error = poll_fn(|context| wire.poll(context)).await;
        wire.fail(&error);
    };
    (Sender(sender), driver)
}

struct Wire<S> {
    stream: S,
    requests: UnboundedReceiver<Request>,
    /// Batches on their way into the stream, and how many bytes of the first are there.
    unwritten: VecDeque<Vec<u8>>,
    written: usize,
    /// Whether all that was written has left; a TLS stream may hold some back.
    is_flushed: bool,
    aloft: Aloft,
    /// What was read and is not understood yet.
    input: Vec<u8>,
    parser: Parser,
    pushes: Option<UnboundedSender<Vec<Value>>>,
}

impl<S> Wire<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Does what can be done now. Ready when it is over, with the reason.
    fn poll(&mut self, context: &mut Context) -> Poll<RedisError> {
        if self.poll_requests(context).is_ready() {
            return Poll::Ready(closed().into());
        }
        let written = self.poll_write(context);
        // What can be read is read in any case: a server may wait for that before it reads on, and
        // one that has gone may have said something before.
        match (self.poll_read(context), written) {
            (Poll::Ready(error), _) => Poll::Ready(error),
            (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(error.into()),
            (Poll::Pending, _) => Poll::Pending,
        }
    }

    /// Takes the batches that are to be sent. Ready when there can be no more.
    fn poll_requests(&mut self, context: &mut Context) -> Poll<()> {
        while let Some(Request { batch, answer }) = ready!(self.requests.poll_recv(context)) {
            self.aloft.push(batch.replies(), answer);
            let bytes = batch.into_bytes();
            // To write nothing looks like a stream that takes nothing.
            if !bytes.is_empty() {
                self.unwritten.push_back(bytes);
            }
        }
        Poll::Ready(())
    }

    fn poll_write(&mut self, context: &mut Context) -> Poll<io::Result<()>> {
        while let Some(first) = self.unwritten.front() {
            let mut slices = [IoSlice::new(&[]); WRITTEN_AT_ONCE];
            for (slice, bytes) in slices.iter_mut().zip(&self.unwritten) {
                *slice = IoSlice::new(bytes);
            }
            slices[0] = IoSlice::new(&first[self.written..]);
            let used = self.unwritten.len().min(WRITTEN_AT_ONCE);
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

    /// Reads what there is. Ready when there can be no more.
    fn poll_read(&mut self, context: &mut Context) -> Poll<RedisError> {
        loop {
            if self.input.capacity() - self.input.len() < READ_AT_ONCE / 4 {
                self.input.reserve(READ_AT_ONCE);
            }
            let read = pin!(self.stream.read_buf(&mut self.input)).poll(context);
            match ready!(read) {
                Ok(0) => return Poll::Ready(closed().into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(closed().into());
                }
                Err(error) => return Poll::Ready(error.into()),
            }
            if let Err(error) = self.take_in() {
                return Poll::Ready(error);
            }
        }
    }

    /// Understands what was read, as far as it is whole.
    fn take_in(&mut self) -> RedisResult<()> {
        let mut rest = &self.input[..];
        while let Some(said) = self.parser.next(&mut rest)? {
            match (said, &self.pushes) {
                (Frame::Reply(reply), _) => self.aloft.reply(reply)?,
                // Nobody may listen any more.
                (Frame::Push(push), Some(pushes)) => drop(pushes.send(push)),
                (Frame::Push(_), None) => {}
            }
        }
        let used = self.input.len() - rest.len();
        self.input.drain(..used);
        Ok(())
    }

    /// Tells everybody who waits for a reply that there will be none.
    fn fail(&mut self, error: &RedisError) {
        self.requests.close();
        while let Ok(request) = self.requests.try_recv() {
            self.aloft.push(request.batch.replies(), request.answer);
        }
        self.aloft.fail(error);
    }
}

/// Batches that have not got all their replies, in the order in which those come.
#[derive(Default)]
struct Aloft(VecDeque<Awaited>);

/// A batch's replies.
struct Awaited {
    replies: Vec<Value>,
    /// How many there will be.
    count: usize,
    answer: Answer,
}

impl Aloft {
    fn push(&mut self, count: usize, answer: Answer) {
        if count == 0 {
            // (Whoever asked may not wait any more, here and below.)
            let _ = answer.send(Ok(Vec::new()));
            return;
        }
        self.0.push_back(Awaited {
            replies: Vec::with_capacity(count),
            count,
            answer,
        });
    }

    fn reply(&mut self, reply: Value) -> RedisResult<()> {
        let Some(first) = self.0.front_mut() else {
            return Err(unasked(reply));
        };
        first.replies.push(reply);
        if first.replies.len() == first.count
            && let Some(Awaited {
                replies, answer, ..
            }) = self.0.pop_front()
        {
            let _ = answer.send(Ok(replies));
        }
        Ok(())
    }

    fn fail(&mut self, error: &RedisError) {
        for awaited in self.0.drain(..) {
            let _ = awaited.answer.send(Err(error.clone()));
        }
    }
}

/// Why a reply to nothing ends a connection: a server that says an error before it closes it, or
/// one whose replies cannot be told apart any more.
fn unasked(reply: Value) -> RedisError {
    match reply {
        Value::ServerError(error) => error.into(),
        _ => {
            let detail = "a reply came to no command".to_string();
            (ErrorKind::Parse, "not RESP", detail).into()
        }
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the connection was closed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
    use tokio::runtime::Builder;

    fn ping() -> Batch {
        batch(&[b"PING"])
    }

    fn batch(command: &[&[u8]]) -> Batch {
        let mut batch = Batch::default();
        batch.add(command);
        batch
    }

    /// Runs a test over a wire to the server's end of a stream, which holds so many bytes.
    fn over<T>(room: usize, test: impl AsyncFnOnce(Sender, DuplexStream) -> T) -> T {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (ours, theirs) = duplex(room);
            let (sender, driver) = open(ours, None);
            tokio::select! {
                result = test(sender, theirs) => result,
                // (A test goes on when the wire has ended.)
                () = async { driver.await; std::future::pending().await } => unreachable!(),
            }
        })
    }

    #[test]
    fn replies_come_to_their_batches_in_order() {
        over(1024, async |sender, mut server| {
            assert_eq!(sender.send(Batch::default()).await, Ok(vec![]));
            let (first, second) = (sender.send(ping()), sender.send(ping()));
            drop(sender.send(ping())); // Its reply is still its own.
            let last = sender.send(ping());
            server
                .write_all(b":1\r\n:2\r\n>1\r\n+news\r\n:3\r\n:4\r\n")
                .await
                .unwrap();
            assert_eq!(first.await, Ok(vec![Value::Int(1)]));
            assert_eq!(last.await, Ok(vec![Value::Int(4)]));
            assert_eq!(second.await, Ok(vec![Value::Int(2)]));
        });
    }

    #[test]
    fn a_server_that_does_not_read_is_read_from() {
        over(64, async |sender, mut server| {
            let small = sender.send(ping());
            let value = vec![b'x'; 100_000];
            let large = sender.send(batch(&[b"SET", b"k", &value]));
            // More than the stream holds, so that it has to be taken before this goes on.
            let text = "y".repeat(10_000);
            let reply = format!("${}\r\n{text}\r\n", text.len());
            server.write_all(reply.as_bytes()).await.unwrap();
            assert_eq!(small.await, Ok(vec![Value::BulkString(text.into())]));
            let mut read = Vec::with_capacity(200_000);
            while read.len() < value.len() {
                server.read_buf(&mut read).await.unwrap();
            }
            server.write_all(b"+OK\r\n").await.unwrap();
            assert_eq!(large.await, Ok(vec![Value::Okay]));
        });
    }

    #[test]
    fn when_the_server_closes_all_that_is_in_flight_fails_and_what_is_sent_later() {
        over(1024, async |sender, mut server| {
            let (first, second) = (sender.send(ping()), sender.send(ping()));
            server.write_all(b":1\r\n$100\r\nhalf of").await.unwrap();
            drop(server);
            assert_eq!(first.await, Ok(vec![Value::Int(1)]));
            for error in [second.await, sender.send(ping()).await] {
                let error = error.unwrap_err();
                assert!(error.is_connection_dropped() && error.is_io_error());
            }
        });
    }

    #[test]
    fn what_cannot_be_understood_fails_all_that_is_in_flight_with_the_reason() {
        over(1024, async |sender, mut server| {
            let calls = [sender.send(ping()), sender.send(ping())];
            server
                .write_all(b"HTTP/1.1 400 Bad Request\r\n")
                .await
                .unwrap();
            for call in calls {
                let error = call.await.unwrap_err();
                assert!(error.detail().unwrap().contains("no reply of Redis"));
            }
        });
    }

    #[test]
    fn a_reply_to_nothing_ends_the_wire() {
        over(1024, async |sender, mut server| {
            server
                .write_all(b"-ERR max number of clients reached\r\n")
                .await
                .unwrap();
            assert_eq!(server.read_buf(&mut Vec::new()).await.unwrap(), 0);
            assert!(sender.send(ping()).await.is_err());
        });
    }

    #[test]
    fn a_wire_that_is_dropped_fails_what_is_in_flight() {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (ours, mut theirs) = duplex(1024);
            let (sender, driver) = open(ours, None);
            let call = sender.send(ping());
            drop(driver);
            assert!(call.await.unwrap_err().is_connection_dropped());
            let mut read = Vec::new();
            assert_eq!(theirs.read_buf(&mut read).await.unwrap(), 0);
        });
    }
}
