//! Tells a thread other than the runtime's that something has come on a socket.
//!
//! The JS thread's event loop could watch the socket itself. But libuv must be told before a descriptor
//! that it watches is closed, and the I/O thread closes this one whenever it likes. So the event loop
//! watches an epoll of ours, from which the system removes a socket that is closed.

#[cfg(target_os = "linux")]
pub use linux::{SocketWatch, has_event};

/// Only Linux has it.
#[cfg(not(target_os = "linux"))]
pub enum SocketWatch {}

#[cfg(not(target_os = "linux"))]
impl SocketWatch {
    pub fn new() -> std::io::Result<SocketWatch> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    pub fn take(&self) -> bool {
        match *self {}
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use rustix::event::Timespec;
    use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
    use rustix::io::Errno;

    /// Its descriptor is readable once something has come on the socket that was last given to
    /// [`SocketWatch::once`].
    pub struct SocketWatch(OwnedFd);

    impl SocketWatch {
        pub fn new() -> io::Result<SocketWatch> {
            Ok(SocketWatch(epoll::create(CreateFlags::CLOEXEC)?))
        }

        /// Watches a socket until something has come, or it has ended.
        pub fn once(&self, socket: impl AsFd) -> io::Result<()> {
            let flags = EventFlags::IN | EventFlags::ONESHOT;
            let data = EventData::new_u64(0);
            match epoll::modify(&self.0, &socket, data, flags) {
                Err(Errno::NOENT) => Ok(epoll::add(&self.0, &socket, data, flags)?),
                result => Ok(result?),
            }
        }

        /// Returns whether something has come, and is still to be read. Then the watch is over.
        pub fn take(&self) -> bool {
            has_event(&self.0).unwrap_or(false)
        }
    }

    /// Returns whether an epoll has an event, and takes it.
    pub fn has_event(epoll: impl AsFd) -> io::Result<bool> {
        let mut events = [Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        }];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        match epoll::wait(epoll, &mut events[..], Some(&now)) {
            Ok(count) => Ok(count > 0),
            Err(Errno::INTR) => Ok(true), // Look once more.
            Err(error) => Err(error.into()),
        }
    }

    impl AsFd for SocketWatch {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    #[cfg(test)]
    mod tests {
        use std::io::{Read, Write};
        use std::os::unix::net::UnixStream;

        use super::*;

        #[test]
        fn a_watch_ends_when_something_has_come() {
            let (mut ours, mut theirs) = UnixStream::pair().unwrap();
            let watch = SocketWatch::new().unwrap();
            theirs.write_all(b"1").unwrap();
            assert!(!watch.take(), "nothing is watched");
            watch.once(&ours).unwrap();
            assert!(watch.take());
            assert!(!watch.take(), "the watch is over");
            watch.once(&ours).unwrap();
            ours.read_exact(&mut [0]).unwrap();
            assert!(!watch.take(), "another has read it");
            theirs.write_all(b"2").unwrap();
            assert!(watch.take());
        }

        #[test]
        fn a_socket_may_be_closed_while_it_is_watched() {
            let watch = SocketWatch::new().unwrap();
            for _ in 0..3 {
                let (ours, mut theirs) = UnixStream::pair().unwrap();
                watch.once(&ours).unwrap();
                drop(ours);
                drop(theirs.write_all(b"1"));
                assert!(!watch.take());
            }
            let (ours, theirs) = UnixStream::pair().unwrap();
            watch.once(&ours).unwrap();
            drop(theirs);
            assert!(watch.take(), "the peer has closed it");
        }
    }
}
