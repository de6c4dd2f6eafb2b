//! Bytes that arrive now and are due later: one direction of a connection.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The last part of a wait is spun, because a thread wakes up some tens of microseconds late.
const SPIN: Duration = Duration::from_micros(60);

/// How long bytes travel in one direction. It can change at any time, for what arrives from then on.
#[derive(Default)]
pub struct Delay(AtomicU64);

impl Delay {
    pub fn set(&self, delay: Duration) {
        let nanoseconds = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.0.store(nanoseconds, Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// The end at which bytes arrive.
pub struct Arrivals<W> {
    delay: Arc<Delay>,
    due: Sender<(Instant, Vec<u8>)>,
    /// Chunks that have arrived and are not written yet.
    under_way: Arc<AtomicUsize>,
    to: Arc<Mutex<W>>,
}

/// The end at which they leave, each chunk when it is due.
pub struct Departures<W> {
    due: Receiver<(Instant, Vec<u8>)>,
    under_way: Arc<AtomicUsize>,
    to: Arc<Mutex<W>>,
}

/// A direction that ends in `to`. Departures need a thread of their own.
pub fn direction<W: Write>(delay: Arc<Delay>, to: W) -> (Arrivals<W>, Departures<W>) {
    let (sender, receiver) = channel();
    let under_way = Arc::new(AtomicUsize::new(0));
    let to = Arc::new(Mutex::new(to));
    let arrivals = Arrivals {
        delay,
        due: sender,
        under_way: under_way.clone(),
        to: to.clone(),
    };
    let departures = Departures {
        due: receiver,
        under_way,
        to,
    };
    (arrivals, departures)
}

impl<W: Write> Arrivals<W> {
    /// Takes bytes that arrive now. Without a delay, and with nothing under way, they are written at
    /// once: no other thread has to wake up for them.
    pub fn take(&self, bytes: &[u8]) -> io::Result<()> {
        let delay = self.delay.get();
        if delay.is_zero() && self.under_way.load(Ordering::Acquire) == 0 {
            return write(&self.to, bytes);
        }
        let due = Instant::now() + delay;
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let gone = |_| io::ErrorKind::BrokenPipe.into();
        self.due.send((due, bytes.to_vec())).map_err(gone)
    }
}

impl<W: Write> Departures<W> {
    /// Writes what is due, until the other end is dropped and nothing is under way.
    pub fn run(self) -> io::Result<()> {
        while let Ok((due, bytes)) = self.due.recv() {
            wait_until(due);
            write(&self.to, &bytes)?;
            self.under_way.fetch_sub(1, Ordering::Release);
        }
        Ok(())
    }
}

fn write<W: Write>(to: &Mutex<W>, bytes: &[u8]) -> io::Result<()> {
    let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
    to.write_all(bytes)?;
    to.flush()
}

fn wait_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    if left > SPIN {
        thread::sleep(left - SPIN);
    }
    while Instant::now() < due {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time and the bytes of a write.
    type Leaving = (Instant, Vec<u8>);

    /// Where bytes end up.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<Leaving>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .unwrap()
                .push((Instant::now(), bytes.to_vec()));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn bytes_keep_their_order_whatever_the_delay_becomes() {
        let (delay, written) = (Arc::new(Delay::default()), Written::default());
        let (arrivals, departures) = direction(delay.clone(), written.clone());
        let running = thread::spawn(|| departures.run());
        let sent: Vec<u8> = (0..200).collect();
        for &byte in &sent {
            delay.set(Duration::from_micros(
                [300, 0, 2000, 0, 0][byte as usize % 5],
            ));
            arrivals.take(&[byte]).unwrap();
            if byte % 20 == 0 {
                thread::sleep(Duration::from_millis(3)); // nothing is under way any more
            }
        }
        drop(arrivals);
        running.join().unwrap().unwrap();
        let written = written.0.lock().unwrap();
        let received: Vec<u8> = written
            .iter()
            .flat_map(|(_, bytes)| bytes.clone())
            .collect();
        assert_eq!(received, sent);
    }

    #[test]
    fn nothing_leaves_before_it_is_due() {
        let (delay, written) = (Arc::new(Delay::default()), Written::default());
        let (arrivals, departures) = direction(delay.clone(), written.clone());
        let running = thread::spawn(|| departures.run());
        delay.set(Duration::from_micros(250));
        let mut sent = Vec::new();
        for byte in 0..50 {
            sent.push(Instant::now());
            arrivals.take(&[byte]).unwrap();
            thread::sleep(Duration::from_micros(100));
        }
        drop(arrivals);
        running.join().unwrap().unwrap();
        for (sent, (left, _)) in sent.iter().zip(written.0.lock().unwrap().iter()) {
            assert!(*left >= *sent + Duration::from_micros(250));
        }
    }

    #[test]
    fn what_is_under_way_arrives_after_the_sender_has_ended() {
        let (delay, written) = (Arc::new(Delay::default()), Written::default());
        delay.set(Duration::from_millis(5));
        let (arrivals, departures) = direction(delay, written.clone());
        arrivals.take(b"last").unwrap();
        drop(arrivals);
        departures.run().unwrap();
        assert_eq!(written.0.lock().unwrap()[0].1, b"last");
    }
}
