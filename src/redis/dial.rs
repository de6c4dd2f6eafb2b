//! Opens a TCP connection: looks the name up, tries its addresses, sets the socket up.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::sleep;

use super::url::Family;
use crate::error::ConnectError;

/// A silent peer is probed after this long, then every [`KEEPALIVE_INTERVAL`].
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// As Node's `autoSelectFamilyAttemptTimeout`.
const HEAD_START: Duration = Duration::from_millis(250);
/// Sent bytes that stay unacknowledged so long break the connection. Only Linux can be told.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(15);

/// Connects to a host, by its addresses of a family.
pub async fn dial(host: &str, port: u16, family: Family) -> Result<TcpStream, ConnectError> {
    let mut addresses = resolve(host, port).await?;
    addresses.retain(|address| match family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    });
    if addresses.is_empty() {
        return Err(ConnectError {
            code: "ENOTFOUND".into(),
            reason: "the host has no address of the family that the url asks for".into(),
        });
    }
    let stream = connect_first(addresses).await?;
    tune(&stream)?;
    Ok(stream)
}

/// Asks the system for the host's addresses, anew for each attempt: a name may move.
async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    match lookup_host((host, port)).await {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(ConnectError {
            code: "ENOTFOUND".into(),
            reason: error.to_string().into(),
        }),
    }
}

/// Connects to the first address that answers. Each gets a head start before the next is tried
/// beside it, so that one which swallows packets, such as IPv6 where only IPv4 works, costs little.
async fn connect_first(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut untried = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    loop {
        if let Some(address) = untried.next() {
            attempts.push(TcpStream::connect(address));
        } else if attempts.is_empty() {
            return Err(last);
        }
        tokio::select! {
            Some(attempt) = attempts.next() => match attempt {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            },
            () = sleep(HEAD_START), if untried.len() > 0 => {}
        }
    }
}

/// NODELAY, because a batch is one write and must not wait for an acknowledgement; keepalive and
/// a user timeout, so that a peer that vanished without a word is noticed.
fn tune(stream: &TcpStream) -> Result<(), ConnectError> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE_AFTER)
            .with_interval(KEEPALIVE_INTERVAL),
    )?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}
