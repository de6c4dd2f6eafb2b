//! SCAN, driven as fast as a client can: the time that Redis itself needs to go over its keys.
//!
//! The next SCAN is sent as soon as the cursor is read, before the keys; no key is looked at. The commands
//! are those that the store sends.

use std::collections::VecDeque;
use std::io::{self, BufReader, Write};
use std::net::TcpStream;

use crate::resp::Frames;

/// What to do with the keys.
#[derive(Clone, Copy, PartialEq)]
pub enum Operation {
    Count,
    Unlink,
}

/// The command whose reply comes next.
enum Sent {
    Scan,
    Unlink,
}

/// Goes over all strings that match. Returns how many keys Redis returned.
pub fn scan(
    server: TcpStream,
    operation: Operation,
    pattern: &str,
    count: u32,
) -> io::Result<usize> {
    server.set_nodelay(true)?;
    let mut to = server.try_clone()?;
    let mut frames = Frames::new(BufReader::with_capacity(64 * 1024, server));
    let count = count.to_string();
    let tail = command_tail(&["MATCH", pattern, "COUNT", &count, "TYPE", "string"]);
    let mut send_scan = {
        let mut to = to.try_clone()?;
        move |cursor: &[u8]| {
            let head = [&b"*8\r\n$4\r\nSCAN\r\n"[..], cursor].concat();
            to.write_all(&[&head, tail.as_bytes()].concat())
        }
    };
    let mut sent = VecDeque::from([Sent::Scan]);
    send_scan(b"$1\r\n0\r\n")?;
    let mut found = 0;
    while let Some(next) = sent.pop_front() {
        if let Sent::Unlink = next {
            frames.number(b':')?;
            continue;
        }
        frames.number(b'*')?;
        let mut cursor = Vec::new();
        frames.bulk_string(&mut cursor)?;
        if cursor != b"$1\r\n0\r\n" {
            send_scan(&cursor)?;
            sent.push_back(Sent::Scan);
        }
        let keys = frames.number(b'*')?;
        found += keys;
        if operation == Operation::Count {
            for _ in 0..keys {
                frames.skip_bulk_string()?;
            }
        } else if keys > 0 {
            let mut unlink = format!("*{}\r\n$6\r\nUNLINK\r\n", keys + 1).into_bytes();
            for _ in 0..keys {
                frames.bulk_string(&mut unlink)?;
            }
            to.write_all(&unlink)?;
            sent.push_back(Sent::Unlink);
        }
    }
    Ok(found)
}

/// Words of a command, as they are sent.
fn command_tail(words: &[&str]) -> String {
    let frame = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
    words.iter().map(frame).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    /// Answers with these replies, all at once. Returns a connection to it, and what it was sent.
    fn server(replies: &'static str) -> (TcpStream, thread::JoinHandle<String>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let running = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.write_all(replies.as_bytes()).unwrap();
            let mut sent = String::new();
            socket.read_to_string(&mut sent).unwrap();
            sent
        });
        (client, running)
    }

    const FIRST: &str = "*8\r\n$4\r\nSCAN\r\n$1\r\n0\r\n$5\r\nMATCH\r\n$2\r\ns*\r\n$5\r\nCOUNT\r\n$3\r\n500\r\n\
                         $4\r\nTYPE\r\n$6\r\nstring\r\n";

    #[test]
    fn the_keys_of_all_steps_are_counted() {
        let (client, running) = server(
            "*2\r\n$2\r\n17\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n*2\r\n$1\r\n0\r\n*1\r\n$1\r\nc\r\n",
        );
        assert_eq!(scan(client, Operation::Count, "s*", 500).unwrap(), 3);
        let second = FIRST.replace("$1\r\n0\r\n", "$2\r\n17\r\n");
        assert_eq!(running.join().unwrap(), [FIRST, &second].concat());
    }

    #[test]
    fn keys_are_unlinked_after_the_next_scan_is_sent() {
        let (client, running) =
            server("*2\r\n$2\r\n17\r\n*1\r\n$1\r\na\r\n*2\r\n$1\r\n0\r\n*0\r\n:1\r\n");
        assert_eq!(scan(client, Operation::Unlink, "s*", 500).unwrap(), 1);
        let second = FIRST.replace("$1\r\n0\r\n", "$2\r\n17\r\n");
        let unlink = "*2\r\n$6\r\nUNLINK\r\n$1\r\na\r\n";
        assert_eq!(running.join().unwrap(), [FIRST, &second, unlink].concat());
    }
}
