//! What every part of a scan works with.

use std::sync::Arc;

use redis::{Cmd, Value};

use crate::error::StoreError;
use crate::io::call::Destination;
use crate::io::event::Record;
use crate::io::scan::results::Results;
use crate::io::scan::seen_keys::SeenKeys;
use crate::io::scan::session_sizes::SessionSizes;
use crate::io::scan_request::ScanRequest;
use crate::io::shared::Shared;

/// A scan that runs.
pub struct ScanTask {
    pub request: ScanRequest,
    pub shared: Arc<Shared>,
}

/// What a scan has seen so far.
pub struct Progress {
    pub results: Results,
    pub seen: SeenKeys,
    pub sizes: SessionSizes,
}

impl ScanTask {
    /// Executes one command. An error of the server is an error.
    pub async fn execute(
        &self,
        command: Cmd,
        destination: Destination,
    ) -> Result<Value, StoreError> {
        let name = self.request.name;
        let mut replies = self
            .shared
            .execute(name, vec![command], destination)
            .await?;
        self.checked(replies.pop())
    }

    /// Returns a reply, if it is there and no error of the server.
    pub fn checked(&self, reply: Option<Value>) -> Result<Value, StoreError> {
        match reply {
            Some(Value::ServerError(error)) => Err(StoreError::server(
                self.request.name,
                &self.shared.server,
                &error,
            )),
            Some(value) => Ok(value),
            None => Err(self.unexpected()),
        }
    }

    /// The error if a reply is not what the command can have.
    pub fn unexpected(&self) -> StoreError {
        StoreError::unexpected(self.request.name, &self.shared.server)
    }

    /// Keeps the store's own keys that the scan has not seen yet, without what the app's client puts
    /// before them.
    pub fn retain_new(&self, progress: &mut Progress, keys: &mut Vec<Vec<u8>>) {
        let ScanRequest {
            prefix,
            client_prefix,
            ..
        } = &self.request;
        keys.retain_mut(|key| {
            let is_client_key = key.starts_with(client_prefix);
            if is_client_key {
                key.drain(..client_prefix.len());
            }
            is_client_key && key.starts_with(prefix) && progress.seen.insert(key)
        });
    }

    /// Makes the record of a key.
    pub fn record(&self, key: &[u8], text: Option<Vec<u8>>, expires: Option<f64>) -> Record {
        Record {
            id: key[self.request.prefix.len()..].to_vec(),
            text,
            expires,
        }
    }
}

/// A command on many keys.
pub fn on_keys(name: &str, keys: &[impl AsRef<[u8]>]) -> Cmd {
    let size = keys.iter().map(|key| key.as_ref().len()).sum::<usize>();
    let mut command = Cmd::with_capacity(1 + keys.len(), name.len() + size);
    command.arg(name);
    for key in keys {
        command.arg(key.as_ref());
    }
    command
}

/// The bytes of a bulk string; `None` if the value is something else.
pub fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}
