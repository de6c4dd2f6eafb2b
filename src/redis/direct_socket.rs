//! Sockets that another thread than the runtime's may use as well. Windows has none: what a socket is
//! asked beside the runtime could keep it from waking there.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::task::Poll;

use socket2::SockRef;
use tokio::io::ReadBuf;

#[cfg(target_os = "linux")]
pub use linux::DirectSocket;

/// The most bytes that one read takes: memory for more would be zeroed each time.
const READ: usize = 32 * 1024;

/// Reads from a socket, whether or not the runtime knows yet that something has come.
fn read_now(socket: impl AsFd, buffer: &mut ReadBuf) -> Poll<io::Result<()>> {
    let size = buffer.remaining().min(READ);
    loop {
        match (&*SockRef::from(&socket)).read(buffer.initialize_unfilled_to(size)) {
            Ok(count) => {
                buffer.advance(count);
                return Poll::Ready(Ok(()));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other_unix {
    use std::task::Context;

    use tokio::net::{TcpStream, UnixStream};

    use super::*;
    use crate::redis::wire::DirectStream;

    impl DirectStream for TcpStream {
        fn read_now(&mut self, _: &mut Context, buffer: &mut ReadBuf) -> Poll<io::Result<()>> {
            read_now(&*self, buffer)
        }
    }

    impl DirectStream for UnixStream {
        fn read_now(&mut self, _: &mut Context, buffer: &mut ReadBuf) -> Poll<io::Result<()>> {
            read_now(&*self, buffer)
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, IoSlice, Write};
    use std::net::Shutdown;
    use std::os::fd::OwnedFd;
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};

    use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
    use socket2::Socket;
    use tokio::io::unix::AsyncFd;
    use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

    use super::read_now;
    use crate::redis::socket_watch::{SocketWatch, has_event};
    use crate::redis::wire::DirectStream;

    /// A socket that can be muted. While the JS thread awaits what comes, the runtime should not be woken
    /// for it, too: that would take the processor from a Redis on the same machine. So the runtime learns
    /// what comes from an epoll of ours.
    pub struct DirectSocket {
        arrivals: AsyncFd<OwnedFd>,
        socket: AsyncFd<Socket>,
    }

    impl DirectSocket {
        /// Takes over a socket that does not block.
        #[allow(deprecated)] // reason: sound for types that keep their descriptor; the other is `unsafe`
        pub fn new(socket: impl Into<OwnedFd>) -> io::Result<DirectSocket> {
            let socket = Socket::from(socket.into());
            let arrivals = epoll::create(CreateFlags::CLOEXEC)?;
            epoll::add(&arrivals, &socket, DATA, EventFlags::IN)?;
            Ok(DirectSocket {
                arrivals: AsyncFd::with_interest(arrivals, Interest::READABLE)?,
                socket: AsyncFd::with_interest(socket, Interest::WRITABLE)?,
            })
        }
    }

    /// What comes with an event; nobody reads it.
    const DATA: EventData = EventData::new_u64(0);

    impl DirectStream for DirectSocket {
        fn read_now(&mut self, _: &mut Context, buffer: &mut ReadBuf) -> Poll<io::Result<()>> {
            read_now(self.socket.get_ref(), buffer)
        }

        fn watch(&self, watch: &SocketWatch) -> bool {
            watch.once(self.socket.get_ref()).is_ok()
        }

        fn mute(&self, is_muted: bool) {
            let flags = match is_muted {
                true => EventFlags::empty(),
                false => EventFlags::IN,
            };
            let (arrivals, socket) = (self.arrivals.get_ref(), self.socket.get_ref());
            // It cannot fail: both are open, and one holds the other.
            let _ = epoll::modify(arrivals, socket, DATA, flags);
        }
    }

    impl AsyncRead for DirectSocket {
        fn poll_read(
            self: Pin<&mut Self>,
            context: &mut Context,
            buffer: &mut ReadBuf,
        ) -> Poll<io::Result<()>> {
            loop {
                let mut arrived = ready!(self.arrivals.poll_read_ready(context))?;
                match read_now(self.socket.get_ref(), buffer) {
                    // If it is not asked, the epoll takes the socket for readable still. Then it tells nothing
                    // when the socket is muted no longer and something has come meanwhile.
                    Poll::Pending if has_event(self.arrivals.get_ref())? => {}
                    // Only when all is read: the epoll tells once that something came, and does not tell that
                    // the end of the stream came with it.
                    Poll::Pending => arrived.clear_ready(),
                    result => return result,
                }
            }
        }
    }

    impl AsyncWrite for DirectSocket {
        fn poll_write(
            self: Pin<&mut Self>,
            context: &mut Context,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(context, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            context: &mut Context,
            slices: &[IoSlice],
        ) -> Poll<io::Result<usize>> {
            loop {
                let mut writable = ready!(self.socket.poll_write_ready(context))?;
                match self.socket.get_ref().write_vectored(slices) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        writable.clear_ready();
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => return Poll::Ready(result),
                }
            }
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(())) // The system holds nothing back that it was given.
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context) -> Poll<io::Result<()>> {
            Poll::Ready(self.socket.get_ref().shutdown(Shutdown::Write))
        }
    }

    #[cfg(test)]
    mod tests {
        use std::io::Write;
        use std::os::unix::net::UnixStream;
        use std::time::Duration;

        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        use tokio::time::timeout;

        use super::*;

        const PATIENCE: Duration = Duration::from_secs(20);

        fn pair() -> (DirectSocket, UnixStream) {
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            (DirectSocket::new(ours).unwrap(), theirs)
        }

        async fn read(socket: &mut DirectSocket) -> u8 {
            let read = timeout(PATIENCE, socket.read_u8()).await;
            read.expect("the runtime does not wake").unwrap()
        }

        #[tokio::test]
        async fn the_runtime_learns_what_came_while_the_socket_was_muted() {
            let (mut socket, mut peer) = pair();
            for round in 0..10 {
                peer.write_all(&[round]).unwrap();
                assert_eq!(read(&mut socket).await, round);
                let nothing = timeout(Duration::from_millis(1), socket.read_u8()).await;
                assert!(nothing.is_err());
                socket.mute(true);
                peer.write_all(&[100 + round]).unwrap();
                let muted = timeout(Duration::from_millis(1), socket.read_u8()).await;
                assert!(muted.is_err(), "the runtime wakes");
                socket.mute(false);
                assert_eq!(read(&mut socket).await, 100 + round);
            }
        }

        #[tokio::test]
        async fn the_end_is_read_after_what_came_before_it() {
            let (mut socket, mut peer) = pair();
            peer.write_all(b"last").unwrap();
            drop(peer);
            let mut text = Vec::new();
            let all = timeout(PATIENCE, socket.read_to_end(&mut text)).await;
            assert_eq!((all.unwrap().unwrap(), &text[..]), (4, &b"last"[..]));
        }

        #[tokio::test]
        async fn more_than_the_socket_takes_at_once_is_written() {
            let (mut socket, mut peer) = pair();
            let sent = vec![7; 4 << 20];
            let reader = std::thread::spawn(move || {
                let mut received = Vec::new();
                std::io::Read::read_to_end(&mut peer, &mut received).unwrap();
                received
            });
            let written = timeout(PATIENCE, socket.write_all(&sent)).await;
            written.unwrap().unwrap();
            socket.shutdown().await.unwrap();
            assert!(reader.join().unwrap() == sent);
        }
    }
}
