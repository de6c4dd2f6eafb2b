//! The app's own JS client as a transport: for the commands of a sweep, which go back to the JS
//! thread to be carried out there. (Single calls need no way of theirs: `lib/client/client-backend.js`.)

use napi::{Env, Unknown, ValueType};
use redis::{Arg, Cmd, Value};

use crate::napi::raw::{self, Held, Try};

/// The function of the face that has the client carry out commands.
pub struct JsClient {
    ask: Held,
}

impl JsClient {
    /// Takes the function, where it is one.
    pub fn new<'e>(env: &'e Env, ask: &Unknown<'e>) -> Try<'e, JsClient> {
        Ok(JsClient {
            ask: Held::new(env, ask)?,
        })
    }

    /// Has the client carry out the commands of a sweep, for the store's method `name`. `answered(id, error, replies)` is called
    /// with what became of them.
    pub fn ask(&self, env: &Env, id: u32, name: &str, commands: &[Cmd], answered: &Held) {
        let asked = raw::list(env, commands, arguments).and_then(|commands| {
            let (id, name) = (raw::value(env, id), raw::value(env, name));
            self.ask.call(env, [id, name, commands, answered.get(env)])
        });
        // What the client throws is an answer, too: this only fails with the environment.
        let _ = asked;
    }
}

/// A command as the array of its arguments, its name the first.
fn arguments<'e>(env: &'e Env, command: &Cmd) -> Try<'e> {
    let arguments: Vec<&[u8]> = command
        .args_iter()
        .filter_map(|argument| match argument {
            Arg::Simple(bytes) => Some(bytes),
            _ => None, // The crate's own iterators use these.
        })
        .collect();
    raw::list(env, &arguments, |env, argument| raw::string(env, argument))
}

/// A client's reply as the replies of Redis are: strings and Buffers, numbers, arrays, null.
pub fn reply<'e>(env: &'e Env, value: &Unknown<'e>) -> Try<'e, Value> {
    Ok(match raw::kind(value) {
        ValueType::Number => Value::Int(raw::number(value) as i64),
        ValueType::String => Value::BulkString(raw::string_bytes(env, value, 1024)?),
        ValueType::Object => match (raw::buffer_bytes(env, value), raw::elements(env, value)) {
            (Some(bytes), _) => Value::BulkString(bytes),
            (None, Some(elements)) => {
                let replies = elements.iter().map(|element| reply(env, element));
                Value::Array(replies.collect::<Try<Vec<Value>>>()?)
            }
            (None, None) => Value::Nil,
        },
        _ => Value::Nil,
    })
}
