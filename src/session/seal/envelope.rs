//! The bytes around a text: its header, as bytes or in the letters of base64url.

use data_encoding::BASE64URL_NOPAD;

/// What every envelope begins with. No JSON begins with a NUL; the letters keep a serializer's bytes
/// from being taken for an envelope.
const MAGIC: &[u8; 4] = b"\0crs";
/// What an envelope in letters begins with.
const TEXT_MAGIC: &[u8] = b"crs1.";
const VERSION: u8 = 1;
// Flags. Two bits say that it is encrypted, so that no flipped bit makes a plain text of it.
const ENCRYPTED: u8 = 0b011;
const COMPRESSED: u8 = 0b100;

/// Bytes of the magic, the version and the flags.
const FIXED: usize = 6;
/// Bytes of the key's id.
const KEY_ID: usize = 4;
/// Bytes of the nonce.
pub const NONCE: usize = 12;
/// Bytes of the longest header.
const LONGEST: usize = FIXED + KEY_ID + NONCE;

/// How an envelope is written. Both are read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Notation {
    #[default]
    Bytes,
    /// `crs1.` and base64url: for an app's client, which may take all values for text.
    Letters,
}

/// What was done to a stored text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Treatment {
    pub form: Notation,
    pub header: Header,
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Header {
    /// The id of the key, if the text is encrypted.
    pub key: Option<u32>,
    pub is_compressed: bool,
}

/// Why the bytes after the magic are no header.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BadHeader {
    Cut,
    Version,
    /// A client has read the bytes as text.
    Garbled,
}

impl Header {
    /// Bytes that it takes.
    pub fn length(self) -> usize {
        match self.key {
            Some(_) => LONGEST,
            None => FIXED,
        }
    }

    /// Writes it; with the nonce, if the text is encrypted.
    pub fn write(self, nonce: [u8; NONCE], to: &mut Vec<u8>) {
        to.extend_from_slice(MAGIC);
        let encrypted = if self.key.is_some() { ENCRYPTED } else { 0 };
        let compressed = if self.is_compressed { COMPRESSED } else { 0 };
        to.extend_from_slice(&[VERSION, encrypted | compressed]);
        if let Some(key) = self.key {
            to.extend_from_slice(&key.to_be_bytes());
            to.extend_from_slice(&nonce);
        }
    }

    /// Reads the header of an envelope. The nonce is zeros if the text is not encrypted.
    pub fn read(envelope: &[u8]) -> Result<(Header, [u8; NONCE]), BadHeader> {
        let rest = envelope.strip_prefix(MAGIC).ok_or(BadHeader::Cut)?;
        let ([version, flags], rest) = rest.split_first_chunk().ok_or(BadHeader::Cut)?;
        let is_compressed = flags & COMPRESSED != 0;
        match (*version, flags & !COMPRESSED) {
            (VERSION, ENCRYPTED) => {}
            (VERSION, 0) => {
                let header = Header {
                    key: None,
                    is_compressed,
                };
                return Ok((header, [0; NONCE]));
            }
            _ => return Err(BadHeader::Version),
        }
        let (id, rest) = rest.split_first_chunk().ok_or(BadHeader::Cut)?;
        let (nonce, _) = rest.split_first_chunk().ok_or(BadHeader::Cut)?;
        let header = Header {
            key: Some(u32::from_be_bytes(*id)),
            is_compressed,
        };
        Ok((header, *nonce))
    }
}

/// The form of what is stored; `None` if it is no envelope.
pub fn form_of(stored: &[u8]) -> Option<Notation> {
    if stored.starts_with(MAGIC) {
        Some(Notation::Bytes)
    } else if stored.starts_with(TEXT_MAGIC) {
        Some(Notation::Letters)
    } else {
        None
    }
}

/// An envelope in this form.
pub fn in_notation(envelope: Vec<u8>, form: Notation) -> Vec<u8> {
    match form {
        Notation::Bytes => envelope,
        Notation::Letters => {
            let length = BASE64URL_NOPAD.encode_len(envelope.len());
            let mut letters = vec![0; TEXT_MAGIC.len() + length];
            let (magic, rest) = letters.split_at_mut(TEXT_MAGIC.len());
            magic.copy_from_slice(TEXT_MAGIC);
            BASE64URL_NOPAD.encode_mut(&envelope, rest);
            letters
        }
    }
}

/// The bytes of an envelope in either form.
pub fn to_bytes(stored: Vec<u8>) -> Result<Vec<u8>, BadHeader> {
    match stored.strip_prefix(TEXT_MAGIC) {
        Some(letters) => BASE64URL_NOPAD
            .decode(letters)
            .map_err(|_| BadHeader::Garbled),
        None => Ok(stored),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_as_it_was_written() {
        for key in [None, Some(0), Some(7), Some(u32::MAX)] {
            for is_compressed in [false, true] {
                let header = Header { key, is_compressed };
                let nonce = if key.is_some() {
                    [9; NONCE]
                } else {
                    [0; NONCE]
                };
                let mut bytes = Vec::new();
                header.write(nonce, &mut bytes);
                assert_eq!(bytes.len(), header.length());
                assert_eq!(Header::read(&bytes), Ok((header, nonce)));
                for cut in 4..bytes.len() {
                    assert_eq!(Header::read(&bytes[..cut]), Err(BadHeader::Cut));
                }
            }
        }
    }

    #[test]
    fn an_unknown_version_or_flag_is_not_read() {
        assert_eq!(Header::read(b"\0crs\x02\0"), Err(BadHeader::Version));
        assert_eq!(Header::read(b"\0crs\x01\x08"), Err(BadHeader::Version));
        assert_eq!(Header::read(b"\0crs\x01\x01"), Err(BadHeader::Version));
    }

    #[test]
    fn letters_stand_for_the_same_bytes() {
        let envelope = b"\0crs\x01\0\xff\xfe\xfd".to_vec();
        let letters = in_notation(envelope.clone(), Notation::Letters);
        assert!(letters.is_ascii() && form_of(&letters) == Some(Notation::Letters));
        assert_eq!(to_bytes(letters), Ok(envelope));
        assert_eq!(to_bytes(b"crs1.?".to_vec()), Err(BadHeader::Garbled));
    }

    #[test]
    fn json_is_no_envelope() {
        for text in [&b"{}"[..], b"", b"\0", b"\0cr", b"crs1", b"\"crs1.\""] {
            assert_eq!(form_of(text), None);
        }
    }
}
