//! What every part of a scan works with.

use std::sync::Arc;

use redis::{Cmd, Value};

use crate::error::StoreError;
use crate::io::call::Destination;
use crate::io::event::Record;
use crate::io::scan::pending_ids::PendingIds;
use crate::io::scan::results::Results;
use crate::io::scan::seen_keys::SeenKeys;
use crate::io::scan::session_sizes::SessionSizes;
use crate::io::scan_request::ScanRequest;
use crate::io::shared::Shared;
use crate::session::seal::open;

/// A scan that runs.
pub struct ScanTask {
    pub request: ScanRequest,
    pub shared: Arc<Shared>,
}

/// What a scan has seen so far.
pub struct Progress {
    pub results: Results,
    pub seen: SeenKeys,
    pub ids: PendingIds,
    pub sizes: SessionSizes,
    /// How many records were rewritten.
    pub rewritten: usize,
}

impl ScanTask {
    /// Executes one command, which is on its way when this returns. An error of the server is an error.
    pub fn execute(
        &self,
        command: Cmd,
        destination: Destination,
    ) -> impl Future<Output = Result<Value, StoreError>> {
        let name = self.request.name;
        let replies = self.shared.execute(name, vec![command], destination);
        async move { self.checked(replies.await?.pop()) }
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
        self.retain_own(keys);
        progress.seen.retain_new(keys);
    }

    /// Keeps the store's own keys, some perhaps twice.
    pub fn retain_own(&self, keys: &mut Vec<Vec<u8>>) {
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
            is_client_key && key.starts_with(prefix)
        });
    }

    /// Makes the record of a key.
    pub fn record(&self, key: &[u8], text: Option<Vec<u8>>, expires: Option<f64>) -> Record {
        Record {
            id: key[self.request.prefix.len()..].to_vec(),
            text,
            expires,
            trouble: None,
        }
    }

    /// The record of a key whose text does not open.
    pub fn bad_record(&self, key: &[u8], trouble: StoreError) -> Record {
        Record {
            trouble: Some(Box::new(trouble)),
            ..self.record(key, None, None)
        }
    }

    /// The text of what is stored at a key.
    pub fn open(&self, key: &[u8], stored: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        open(self.request.seal.as_ref(), &self.whole(key), stored)
            .map_err(|why| StoreError::sealed(self.request.name, &self.shared.server, why))
    }

    /// A key as Redis has it.
    pub fn whole(&self, key: &[u8]) -> Vec<u8> {
        [&*self.request.client_prefix, key].concat()
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
