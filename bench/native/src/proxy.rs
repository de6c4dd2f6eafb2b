//! A TCP proxy that puts a server further away: bytes take half of a round trip in each direction.

use std::io::{self, Read};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use crate::delayed::{Delay, direction};

/// Listens on a free port of 127.0.0.1. Connections are served by threads that nobody joins.
/// Returns the port.
pub fn listen(server_port: u16, delay: Arc<Delay>) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // If the server refuses, the client sees its connection close.
            let _ = forward(client, server_port, &delay);
        }
    });
    Ok(port)
}

fn forward(client: TcpStream, server_port: u16, delay: &Arc<Delay>) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server_port))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    carry(client.try_clone()?, server.try_clone()?, delay.clone());
    carry(server, client, delay.clone());
    Ok(())
}

/// Carries bytes in one direction, and then its end.
fn carry(mut from: TcpStream, to: TcpStream, delay: Arc<Delay>) {
    let Ok(end) = to.try_clone() else { return };
    let (arrivals, departures) = direction(delay, to);
    thread::spawn(move || {
        let _ = departures.run();
        let _ = end.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if arrivals.take(&buffer[..length]).is_err() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::time::{Duration, Instant};

    /// A server that sends back what it gets, and closes when the client has.
    fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            io::copy(&mut client.try_clone().unwrap(), &mut client).unwrap();
        });
        port
    }

    #[test]
    fn all_bytes_go_both_ways_in_order_and_so_does_the_end() {
        let delay = Arc::new(Delay::default());
        delay.set(Duration::from_micros(250));
        let port = listen(echo(), delay).unwrap();
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let sent: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut writer = client.try_clone().unwrap();
        let copy = sent.clone();
        thread::spawn(move || {
            for chunk in copy.chunks(10_007) {
                writer.write_all(chunk).unwrap();
            }
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        assert!(received == sent);
    }

    #[test]
    fn a_round_trip_takes_twice_the_delay_and_little_more() {
        let delay = Arc::new(Delay::default());
        let port = listen(echo(), delay.clone()).unwrap();
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        client.set_nodelay(true).unwrap();
        for half in [250, 500, 2500].map(Duration::from_micros) {
            delay.set(half);
            let mut times: Vec<Duration> = (0..50)
                .map(|_| {
                    let sent = Instant::now();
                    client.write_all(b"PING").unwrap();
                    client.read_exact(&mut [0; 4]).unwrap();
                    sent.elapsed()
                })
                .collect();
            times.sort();
            assert!(times[0] >= 2 * half, "{times:?}");
            // Generous, for a busy machine.
            assert!(times[25] < 2 * half + Duration::from_millis(5), "{times:?}");
        }
    }
}
