//! RESP, Redis's protocol, versions 2 and 3: <https://redis.io/docs/latest/develop/reference/protocol-spec/>

mod batch;
mod parser;

pub use batch::{Batch, HeadSender};
pub use parser::{Frame, Parser, protocol_error};
