//! Opens a TCP connection: resolves the host name, tries its addresses, sets the socket's options.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::sleep;

#[cfg(test)]
use super::test_network::{MemoryOrTcp, TestNetwork};
use super::url::Family;
use crate::error::{Code, ConnectError};

/// A silent peer is probed after this time, then every [`KEEPALIVE_INTERVAL`].
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// The same as Node's `autoSelectFamilyAttemptTimeout`.
const HEAD_START: Duration = Duration::from_millis(250);
/// Bytes that stay unacknowledged for this time break the connection. Only Linux has the option.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(15);

#[cfg(not(test))]
pub type Socket = TcpStream;
#[cfg(test)]
pub type Socket = Box<dyn MemoryOrTcp>;

/// How to open a TCP connection.
#[derive(Clone, Default)]
pub struct Dialer {
    pub family: Family,
    /// In a test: connects to the scripted servers of this network.
    #[cfg(test)]
    pub network: Option<TestNetwork>,
}

impl Dialer {
    pub async fn dial(&self, host: &str, port: u16) -> Result<Socket, ConnectError> {
        #[cfg(test)]
        if let Some(network) = &self.network {
            return Ok(Box::new(network.dial(host, port)?));
        }
        let mut addresses = resolve(host, port).await?;
        addresses.retain(|address| match self.family {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        });
        if addresses.is_empty() {
            return Err(ConnectError::new(
                Code::NotFound,
                "the host has no address of the family that the url asks for",
            ));
        }
        let stream = connect_first(addresses).await?;
        set_options(&stream)?;
        #[cfg(test)]
        let stream = Box::new(stream);
        Ok(stream)
    }
}

/// Asks the system for the host's addresses. Every attempt asks again, because the name may get
/// another address.
async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    match lookup_host((host, port)).await {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(ConnectError::new(Code::NotFound, error.to_string())),
    }
}

/// Returns a connection to the first address that answers. Each address gets a head start, then the
/// next one is tried as well: an address that swallows packets, such as IPv6 in a network that only
/// routes IPv4, costs little time.
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

/// Sets TCP_NODELAY, because a batch is one write and must not wait for an acknowledgement; and
/// keepalive and a user timeout, so that a peer that vanished silently is noticed.
fn set_options(stream: &TcpStream) -> Result<(), ConnectError> {
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
