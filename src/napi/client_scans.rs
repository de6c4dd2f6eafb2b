//! Commands of scans that the app's client executes.

use std::mem::take;

use napi::{Env, Unknown, ValueType};
use redis::Value;

use crate::error::StoreError;
use crate::io::event::ClientCommands;
use crate::io::handle::CLIENT_SERVER;
use crate::napi::client::read_reply;
use crate::napi::raw;
use crate::napi::store_core::StoreCore;

impl StoreCore {
    /// Executes commands through the app's client.
    pub fn execute_through_client(&self, env: &Env, mut commands: ClientCommands) {
        let Some(client) = &self.client else {
            return;
        };
        let id = self.next_at_client.get();
        self.next_at_client.set(id.wrapping_add(1));
        let (name, list) = (commands.name, take(&mut commands.commands));
        // Kept first: a client may answer at once.
        self.at_client.borrow_mut().insert(id, commands);
        client.execute(env, id, name, &list, &self.answered);
    }

    /// The app's client has executed commands. `error` is what went wrong, or undefined.
    pub fn client_answered<'e>(&self, env: &'e Env, [id, error, replies]: [Unknown<'e>; 3]) {
        let commands = self
            .at_client
            .borrow_mut()
            .remove(&(raw::number(&id) as u32));
        let Some(commands) = commands else {
            return;
        };
        let answer = match raw::kind(&error) {
            ValueType::Object => Err(self.callbacks.read_error(env, &error)),
            _ => match read_reply(env, &replies) {
                Ok(Value::Array(values)) => Ok(values),
                _ => Err(StoreError::unexpected(commands.name, CLIENT_SERVER)),
            },
        };
        let _ = commands.reply.send(answer); // The scan may be gone.
    }
}
