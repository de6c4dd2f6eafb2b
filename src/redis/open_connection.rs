//! A connection that is open and has logged in.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use super::peer::Peer;
use super::wire::{self, Direct, DirectStream, Sender, WireListener};

/// An open connection. Dropping it closes the socket, and every batch in flight fails.
pub struct OpenConnection {
    sender: Sender,
    direct: Option<Arc<dyn Direct>>,
    driver: JoinHandle<()>,
    pub peer: Box<Peer>,
    /// Whether the server said at login that it is a master.
    pub is_master: bool,
    /// Whether it speaks RESP3, which has push messages.
    pub is_resp3: bool,
    /// By which number its server's messages about keys are known, if there are any (`tracking.rs`).
    pub tracked: Option<u64>,
    /// Ends when another server should be used instead.
    watch: Option<JoinHandle<()>>,
}

impl OpenConnection {
    /// Starts the task that reads and writes `stream`, which leads to `peer`.
    pub fn over<S>(stream: S, listener: WireListener, peer: Peer) -> OpenConnection
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, driver) = wire::open(stream, listener);
        OpenConnection::start(sender, None, driver, peer)
    }

    /// The same over a stream that other threads may use directly.
    #[cfg_attr(not(unix), allow(dead_code))] // Only on Unix a socket is read beside the runtime.
    pub fn over_direct<S>(stream: S, listener: WireListener, peer: Peer) -> OpenConnection
    where
        S: DirectStream + 'static,
    {
        let (sender, direct, driver) = wire::open_direct(stream, listener);
        OpenConnection::start(sender, Some(direct), driver, peer)
    }

    fn start(
        sender: Sender,
        direct: Option<Arc<dyn Direct>>,
        driver: impl Future<Output = ()> + Send + 'static,
        peer: Peer,
    ) -> OpenConnection {
        OpenConnection {
            sender,
            direct,
            driver: tokio::spawn(driver),
            peer: Box::new(peer),
            is_master: false,
            is_resp3: false,
            tracked: None,
            watch: None,
        }
    }

    /// Sends commands for as long as the connection is open.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Returns a way to use the connection on another thread, if there is one.
    pub fn direct(&self) -> Option<Arc<dyn Direct>> {
        self.direct.clone()
    }

    /// Makes the connection count as lost when the task ends.
    pub fn lost_after(&mut self, watch: JoinHandle<()>) {
        self.watch = Some(watch);
    }

    /// Resolves when the server or the network has closed the connection, or when another server
    /// should be used instead.
    pub async fn lost(&mut self) {
        match &mut self.watch {
            None => drop((&mut self.driver).await),
            Some(watch) => {
                tokio::select! {
                    _ = &mut self.driver => {}
                    _ = watch => {}
                }
            }
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.driver.abort();
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}
