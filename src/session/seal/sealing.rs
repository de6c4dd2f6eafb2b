//! What is done with a session's text on its way to Redis and back.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::session::seal::compression::{Compression, decompress};
use crate::session::seal::encryption::{EncryptionKey, Nonces, TAG};
use crate::session::seal::envelope::{
    BadHeader, Header, Notation, Treatment, form_of, in_notation, to_bytes,
};

/// The options `encryption` and `compression` of a store. Its keys are overwritten when the last clone
/// is dropped.
#[derive(Clone, Default)]
pub struct Seal {
    rules: Arc<Rules>,
    /// How this clone writes envelopes.
    pub form: Notation,
}

#[derive(Default)]
struct Rules {
    encryption: Option<Encryption>,
    /// How texts are written; compressed ones are read in any case.
    compression: Option<Compression>,
    nonces: Nonces,
}

/// The option `encryption`.
pub struct Encryption {
    /// The first writes, all read.
    pub keys: Vec<EncryptionKey>,
    /// Whether texts are written encrypted.
    pub write: bool,
    /// Whether a text that is not encrypted does not open.
    pub refuses_plain: bool,
}

/// Why a record does not open, as the end of a sentence that begins with the record. It holds nothing
/// of the record but the key's id.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unopened {
    Cut,
    Version,
    Garbled,
    NoKeys,
    UnknownKey(u32),
    Forged,
    Damaged,
    Plain,
}

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unopened::Cut => "is cut off",
            Unopened::Version => {
                "is in a format that this version of connect-redis-rs does not know"
            }
            Unopened::Garbled => {
                "cannot be read as text (the app's client must return bytes, or all processes \
                 must use such a client)"
            }
            Unopened::NoKeys => "is encrypted (the store needs the option encryption)",
            Unopened::UnknownKey(id) => {
                return write!(f, "is encrypted with the key {id}, not in encryption.keys");
            }
            Unopened::Forged => {
                "was changed, or written for another session or prefix, or with another secret"
            }
            Unopened::Damaged => "is compressed, and does not decompress",
            Unopened::Plain => "is not encrypted (encryption.plain is \"refuse\")",
        })
    }
}

impl From<BadHeader> for Unopened {
    fn from(bad: BadHeader) -> Unopened {
        match bad {
            BadHeader::Cut => Unopened::Cut,
            BadHeader::Version => Unopened::Version,
            BadHeader::Garbled => Unopened::Garbled,
        }
    }
}

/// It shows no key.
impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

impl Seal {
    pub fn new(encryption: Option<Encryption>, compression: Option<Compression>) -> Seal {
        Seal {
            rules: Arc::new(Rules {
                encryption,
                compression,
                nonces: Nonces::default(),
            }),
            form: Notation::Bytes,
        }
    }

    /// The same, writing envelopes in this form.
    pub fn in_notation(&self, form: Notation) -> Seal {
        Seal {
            rules: self.rules.clone(),
            form,
        }
    }

    /// Returns what Redis is given of a session's text at `key`, the whole key with its prefix.
    pub fn seal<'t>(&self, key: &[u8], text: &'t [u8]) -> Cow<'t, [u8]> {
        let writer = self
            .rules
            .encryption
            .as_ref()
            .filter(|encryption| encryption.write)
            .and_then(|encryption| encryption.keys.first());
        let compressed = self
            .rules
            .compression
            .and_then(|compression| compression.compress(text));
        // A text that looks like an envelope is put into one, or it could not be told from one.
        if writer.is_none() && compressed.is_none() && form_of(text).is_none() {
            return Cow::Borrowed(text);
        }
        let header = Header {
            key: writer.map(|writer| writer.id),
            is_compressed: compressed.is_some(),
        };
        let nonce = match writer {
            Some(_) => self.rules.nonces.next(),
            None => Default::default(),
        };
        let content = compressed.as_deref().unwrap_or(text);
        let mut envelope = Vec::with_capacity(header.length() + content.len() + TAG);
        header.write(nonce, &mut envelope);
        envelope.extend_from_slice(content);
        if let Some(writer) = writer {
            let encrypted = writer.encrypt(key, nonce, header.length(), &mut envelope);
            // Never: Redis takes no text that is too long for it. In no case may it go out as it is.
            assert!(encrypted.is_ok(), "a text is too long to be encrypted");
        }
        Cow::Owned(in_notation(envelope, self.form))
    }

    fn refuses_plain(&self) -> bool {
        let encryption = self.rules.encryption.as_ref();
        encryption.is_some_and(|encryption| encryption.refuses_plain)
    }
}

/// Returns the text of what is stored at `key`. What is in no envelope is the text. A store without
/// the options opens what is only compressed.
pub fn open(seal: Option<&Seal>, key: &[u8], stored: Vec<u8>) -> Result<Vec<u8>, Unopened> {
    let is_refused = seal.is_some_and(Seal::refuses_plain);
    if form_of(&stored).is_none() {
        return if is_refused {
            Err(Unopened::Plain)
        } else {
            Ok(stored)
        };
    }
    let mut envelope = to_bytes(stored)?;
    let (header, nonce) = Header::read(&envelope)?;
    let content = match header.key {
        None if is_refused => return Err(Unopened::Plain),
        None => {
            envelope.drain(..header.length());
            envelope
        }
        Some(id) => {
            let encryption = seal.and_then(|seal| seal.rules.encryption.as_ref());
            let keys = &encryption.ok_or(Unopened::NoKeys)?.keys;
            let key_of_id = keys.iter().find(|key| key.id == id);
            key_of_id
                .ok_or(Unopened::UnknownKey(id))?
                .decrypt(key, nonce, header.length(), envelope)
                .map_err(|_| Unopened::Forged)?
        }
    };
    if header.is_compressed {
        decompress(&content).ok_or(Unopened::Damaged)
    } else {
        Ok(content)
    }
}

/// Returns the text of what is stored, as [`open`] does, and what is stored, if that is not the text
/// itself.
pub fn open_and_keep(
    seal: Option<&Seal>,
    key: &[u8],
    stored: Vec<u8>,
) -> Result<(Vec<u8>, Option<Vec<u8>>), Unopened> {
    // Only an envelope differs from its text: a plain one, which is usual, is not copied.
    let sealed = form_of(&stored).is_some().then(|| stored.clone());
    Ok((open(seal, key, stored)?, sealed))
}

/// What was done to a stored text; `None` if nothing, or if that cannot be told.
pub fn shape(stored: &[u8]) -> Option<Treatment> {
    let form = form_of(stored)?;
    let envelope = to_bytes(stored.to_vec()).ok()?;
    let (header, _) = Header::read(&envelope).ok()?;
    Some(Treatment { form, header })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::seal::encryption::MIN_SECRET;

    const KEY: &[u8] = b"sess:a";

    fn encryption(ids: &[u32], write: bool) -> Option<Encryption> {
        let key = |&id: &u32| EncryptionKey::new(id, &[id as u8; MIN_SECRET]);
        Some(Encryption {
            keys: ids.iter().map(key).collect(),
            write,
            refuses_plain: false,
        })
    }

    fn refusing() -> Seal {
        let encryption = encryption(&[1], true).map(|encryption| Encryption {
            refuses_plain: true,
            ..encryption
        });
        Seal::new(encryption, None)
    }

    fn all_seals() -> Vec<Seal> {
        let mut seals = Vec::new();
        for compression in [None, Some(Compression::default())] {
            for ids in [&[1, 2][..], &[2, 1], &[1]] {
                for write in [false, true] {
                    let seal = Seal::new(encryption(ids, write), compression);
                    seals.push(seal.in_notation(Notation::Letters));
                    seals.push(seal);
                }
            }
            seals.push(Seal::new(None, compression));
        }
        seals
    }

    fn texts() -> [Vec<u8>; 4] {
        let long = format!(r#"{{"cookie":{{}},"list":"{}"}}"#, "session ".repeat(300));
        [
            br#"{"cookie":{}}"#.to_vec(),
            long.into_bytes(),
            b"\0crs\x01\0 like an envelope".to_vec(),
            b"crs1.AAAA".to_vec(),
        ]
    }

    #[test]
    fn what_one_seal_writes_all_with_its_key_read() {
        let all = all_seals();
        for writer in &all {
            for text in texts() {
                let stored = writer.seal(KEY, &text).into_owned();
                let key = shape(&stored).and_then(|shape| shape.header.key);
                for reader in &all {
                    let keys = reader.rules.encryption.as_ref().map(|e| &e.keys);
                    let knows = |id| keys.is_some_and(|keys| keys.iter().any(|k| k.id == id));
                    let read = open(Some(reader), KEY, stored.clone());
                    match key {
                        Some(_) if keys.is_none() => assert_eq!(read, Err(Unopened::NoKeys)),
                        Some(id) if !knows(id) => {
                            assert_eq!(read, Err(Unopened::UnknownKey(id)));
                        }
                        _ => assert_eq!(read.as_ref(), Ok(&text)),
                    }
                }
            }
        }
    }

    #[test]
    fn an_encrypted_text_shows_nothing_of_itself_and_never_twice_the_same() {
        let seal = Seal::new(encryption(&[1], true), None);
        let text = br#"{"user":"ada"}"#;
        let (one, two) = (seal.seal(KEY, text), seal.seal(KEY, text));
        assert_ne!(one, two);
        assert!(!one.windows(3).any(|part| part == b"ada"));
        assert_eq!(one.len(), 22 + text.len() + TAG);
    }

    #[test]
    fn a_flipped_bit_a_cut_or_another_place_is_an_error() {
        for compression in [None, Some(Compression::default())] {
            let seal = Seal::new(encryption(&[1], true), compression);
            for text in texts() {
                let stored = seal.seal(KEY, &text).into_owned();
                // Of a long text the first and last bits: the header, the nonce, the tag.
                for bit in (0..stored.len() * 8).filter(|bit| {
                    let byte = bit / 8;
                    byte < 64 || stored.len() - byte < 64
                }) {
                    let mut flipped = stored.clone();
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    let read = open(Some(&seal), KEY, flipped.clone());
                    // Without its magic it is plain, and no session: JSON.parse refuses it.
                    assert!(read.is_err() || bit / 8 < 4 && read == Ok(flipped), "{bit}");
                    let mut flipped = stored.clone();
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    assert!(open(Some(&refusing()), KEY, flipped).is_err(), "{bit}");
                }
                for cut in 4..stored.len() {
                    assert!(open(Some(&seal), KEY, stored[..cut].to_vec()).is_err());
                }
                for place in [&b"sess:b"[..], b"other:a", b"sess:", b""] {
                    let moved = open(Some(&seal), place, stored.clone());
                    assert_eq!(moved, Err(Unopened::Forged));
                }
            }
        }
    }

    #[test]
    fn plain_is_refused_in_every_disguise() {
        let refusing = refusing();
        let compressed = Seal::new(None, Some(Compression::default()));
        for text in texts() {
            let wrapped = compressed.seal(KEY, &text).into_owned();
            let lettered = compressed
                .in_notation(Notation::Letters)
                .seal(KEY, &text)
                .into_owned();
            for stored in [text, wrapped, lettered] {
                let is_envelope_like = shape(&stored).is_none() && form_of(&stored).is_some();
                let read = open(Some(&refusing), KEY, stored);
                assert!(read == Err(Unopened::Plain) || is_envelope_like && read.is_err());
            }
        }
        let own = refusing.seal(KEY, b"{}").into_owned();
        assert_eq!(open(Some(&refusing), KEY, own), Ok(b"{}".to_vec()));
    }

    #[test]
    fn bytes_that_a_client_read_as_text_are_an_error() {
        let seal = Seal::new(encryption(&[1], true), None);
        let stored = seal.seal(KEY, b"{}");
        let garbled = String::from_utf8_lossy(&stored).into_owned().into_bytes();
        assert!(open(Some(&seal), KEY, garbled).is_err());
    }

    #[test]
    fn without_the_options_compressed_opens_and_encrypted_is_an_error() {
        let text = &texts()[1];
        let compressed = Seal::new(None, Some(Compression::default())).seal(KEY, text);
        assert_eq!(open(None, KEY, compressed.into_owned()).as_ref(), Ok(text));
        let encrypted = Seal::new(encryption(&[1], true), None).seal(KEY, text);
        let read = open(None, KEY, encrypted.into_owned());
        assert_eq!(read, Err(Unopened::NoKeys));
    }
}
