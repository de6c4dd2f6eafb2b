//! RESP, Redis's protocol, versions 2 and 3: <https://redis.io/docs/latest/develop/reference/protocol-spec/>

mod batch;
mod parser;
mod script_error;

pub use batch::{Batch, HeadSender, Heads};
pub use parser::{Frame, Parser, protocol_error};
pub use script_error::without_script;
