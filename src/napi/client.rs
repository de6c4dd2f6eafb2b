//! The app's own JS client, which executes the commands of a scan on the JS thread. (Single calls do
//! not come here: `lib/client/client-backend.js`.)

use napi::{Env, Unknown, ValueType};
use redis::{Arg, Cmd, Value};

use crate::napi::raw::{self, JsRef, JsResult};

/// The function in JS that executes commands through the client.
pub struct JsClient {
    execute: JsRef,
}

impl JsClient {
    /// Takes the function.
    pub fn new<'e>(env: &'e Env, execute: &Unknown<'e>) -> JsResult<'e, JsClient> {
        Ok(JsClient {
            execute: JsRef::new(env, execute)?,
        })
    }

    /// Executes the commands of a scan, for the store's method `name`. Then
    /// `answered(id, error, replies)` is called.
    pub fn execute(&self, env: &Env, id: u32, name: &str, commands: &[Cmd], answered: &JsRef) {
        let executed = raw::list(env, commands, arguments).and_then(|commands| {
            let (id, name) = (raw::value(env, id), raw::value(env, name));
            self.execute
                .call(env, [id, name, commands, answered.get(env)])
        });
        // What the client throws is an answer, too: this fails only if the environment ends.
        let _ = executed;
    }
}

/// A command as the array of its name and arguments.
fn arguments<'e>(env: &'e Env, command: &Cmd) -> JsResult<'e> {
    let arguments: Vec<&[u8]> = command
        .args_iter()
        .filter_map(|argument| match argument {
            Arg::Simple(bytes) => Some(bytes),
            _ => None, // The crate's own iterators use these.
        })
        .collect();
    // A script gets what is stored, byte for byte.
    let is_script = arguments.first() == Some(&&b"EVAL"[..]);
    raw::list(env, &arguments, |env, argument| {
        if is_script && std::str::from_utf8(argument).is_err() {
            raw::buffer(env, argument)
        } else {
            raw::string(env, argument)
        }
    })
}

/// Reads a client's reply: strings and Buffers, numbers, arrays, null.
pub fn read_reply<'e>(env: &'e Env, value: &Unknown<'e>) -> JsResult<'e, Value> {
    Ok(match raw::kind(value) {
        ValueType::Number => Value::Int(raw::number(value) as i64),
        ValueType::String => Value::BulkString(raw::string_bytes(env, value, 1024)?),
        ValueType::Object => match (raw::buffer_bytes(env, value), raw::elements(env, value)) {
            (Some(bytes), _) => Value::BulkString(bytes),
            (None, Some(elements)) => {
                let replies = elements.iter().map(|element| read_reply(env, element));
                Value::Array(replies.collect::<JsResult<Vec<Value>>>()?)
            }
            (None, None) => Value::Nil,
        },
        _ => Value::Nil,
    })
}
