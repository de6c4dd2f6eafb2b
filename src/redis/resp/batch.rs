//! Encodes commands.

use std::collections::VecDeque;

use redis::{Cmd, Value};
use tokio::sync::mpsc::UnboundedSender;

/// Takes the first element of a reply.
pub type HeadSender = UnboundedSender<Value>;

/// Who gets the heads of which replies, in order. Only scans have any, so all others carry no more than
/// an empty pointer.
pub type Heads = Option<Box<VecDeque<(usize, HeadSender)>>>;

/// Commands that are sent together.
#[derive(Default)]
pub struct Batch {
    /// The commands in RESP.
    bytes: Vec<u8>,
    replies: usize,
    heads: Heads,
    /// Whether ASKING goes before each command.
    asking: bool,
}

impl Batch {
    /// With space for so many bytes.
    pub fn with_capacity(bytes: usize) -> Batch {
        Batch {
            bytes: Vec::with_capacity(bytes),
            ..Batch::default()
        }
    }

    /// How many replies there will be.
    pub fn replies(&self) -> usize {
        self.replies
    }

    /// Takes out who gets the heads of replies. A head is sent as soon as it has come, before the rest.
    pub fn take_heads(&mut self) -> Heads {
        self.heads.take()
    }

    /// The commands in RESP.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Sends ASKING before each command that is added from now on. Each ASKING has its own reply.
    pub fn set_asking(&mut self, asking: bool) {
        self.asking = asking;
    }

    /// Adds a command, given as its name and arguments.
    pub fn add(&mut self, command: &[&[u8]]) {
        self.add_parts(command, &[]);
    }

    /// Adds a command in two parts.
    pub fn add_parts(&mut self, command: &[&[u8]], more: &[&[u8]]) {
        self.ask();
        self.write(command, more);
        self.replies += 1;
    }

    /// Adds a command of the redis crate.
    pub fn add_cmd(&mut self, command: &Cmd) {
        self.ask();
        command.write_packed_command(&mut self.bytes);
        self.replies += 1;
    }

    /// The same; if the reply is an array, its first element is sent on before the others are parsed.
    pub fn add_cmd_with_head(&mut self, command: &Cmd, head: &HeadSender) {
        self.add_cmd(command);
        let heads = self.heads.get_or_insert_default();
        heads.push_back((self.replies - 1, head.clone()));
    }

    /// Adds a SUBSCRIBE. In RESP3 it has no reply but a push message; only if it fails, its error
    /// comes as the reply to the next command.
    pub fn subscribe(&mut self, channel: &str) {
        self.write(&[b"SUBSCRIBE", channel.as_bytes()], &[]);
    }

    fn ask(&mut self) {
        if self.asking {
            self.write(&[b"ASKING"], &[]);
            self.replies += 1;
        }
    }

    fn write(&mut self, command: &[&[u8]], more: &[&[u8]]) {
        self.write_length(b'*', command.len() + more.len());
        for argument in command.iter().chain(more) {
            self.write_length(b'$', argument.len());
            self.bytes.extend_from_slice(argument);
            self.bytes.extend_from_slice(b"\r\n");
        }
    }

    fn write_length(&mut self, kind: u8, length: usize) {
        self.bytes.push(kind);
        let mut digits = itoa::Buffer::new();
        self.bytes
            .extend_from_slice(digits.format(length).as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_arrays_of_strings() {
        let mut batch = Batch::default();
        batch.add(&[b"SET", b"k", b"a\r\nbcdefgh"]);
        batch.set_asking(true);
        batch.add_cmd(redis::cmd("GET").arg("k"));
        assert_eq!(batch.replies(), 3);
        assert_eq!(
            String::from_utf8(batch.into_bytes()).unwrap(),
            "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\na\r\nbcdefgh\r\n\
             *1\r\n$6\r\nASKING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
        );
    }
}
