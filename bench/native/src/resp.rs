//! The frames of Redis's replies, one after the other, without making values of them.

use std::io::{self, BufRead};

/// Reads frames from what the server sends.
pub struct Frames<R> {
    from: R,
    line: Vec<u8>,
}

impl<R: BufRead> Frames<R> {
    pub fn new(from: R) -> Frames<R> {
        Frames {
            from,
            line: Vec::new(),
        }
    }

    /// Reads the length of an array (`*`) or a bulk string (`$`), or an integer (`:`). Fails if another
    /// frame follows, such as an error of the server, which the error then has.
    pub fn number(&mut self, kind: u8) -> io::Result<usize> {
        self.line.clear();
        self.from.read_until(b'\n', &mut self.line)?;
        let number = self.line.strip_prefix(&[kind]).and_then(|rest| {
            std::str::from_utf8(rest.trim_ascii_end())
                .ok()?
                .parse()
                .ok()
        });
        number.ok_or_else(|| {
            let line = String::from_utf8_lossy(&self.line);
            io::Error::other(format!("unexpected reply: {line:?}"))
        })
    }

    /// Reads a bulk string, and appends its frame, as it was sent, to `frames`.
    pub fn bulk_string(&mut self, frames: &mut Vec<u8>) -> io::Result<()> {
        let length = self.number(b'$')?;
        frames.extend_from_slice(&self.line);
        self.pass(length + 2, |bytes| frames.extend_from_slice(bytes))
    }

    /// Reads a bulk string and forgets it.
    pub fn skip_bulk_string(&mut self) -> io::Result<()> {
        let length = self.number(b'$')?;
        self.pass(length + 2, |_| {})
    }

    fn pass(&mut self, mut length: usize, mut to: impl FnMut(&[u8])) -> io::Result<()> {
        while length > 0 {
            let bytes = self.from.fill_buf()?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let now = bytes.len().min(length);
            to(&bytes[..now]);
            self.from.consume(now);
            length -= now;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    #[test]
    fn frames_are_read_however_they_are_cut() {
        let reply = b"*2\r\n$1\r\n7\r\n*2\r\n$3\r\na\r\n\r\n$0\r\n\r\n:12\r\n";
        for size in 1..reply.len() {
            let mut frames = Frames::new(BufReader::with_capacity(size, &reply[..]));
            assert_eq!(frames.number(b'*').unwrap(), 2);
            frames.skip_bulk_string().unwrap();
            assert_eq!(frames.number(b'*').unwrap(), 2);
            let mut keys = Vec::new();
            frames.bulk_string(&mut keys).unwrap();
            frames.bulk_string(&mut keys).unwrap();
            assert_eq!(keys, b"$3\r\na\r\n\r\n$0\r\n\r\n");
            assert_eq!(frames.number(b':').unwrap(), 12);
        }
    }

    #[test]
    fn an_error_of_the_server_is_an_error() {
        let mut frames = Frames::new(&b"-NOPERM no\r\n"[..]);
        let error = frames.number(b'*').unwrap_err();
        assert!(error.to_string().contains("-NOPERM no"));
        assert!(Frames::new(&b""[..]).number(b'*').is_err());
    }
}
