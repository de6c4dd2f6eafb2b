//! AES-256-GCM with a key for each session.
//!
//! One key must not see 2³² random nonces, which a busy app spends in months. Derived for each session
//! (HKDF-SHA256), a key sees as many as the session has saves.

use std::sync::{Mutex, PoisonError};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::hkdf::{HKDF_SHA256, Prk};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::session::seal::envelope::NONCE;

/// Bytes of the shortest secret.
pub const MIN_SECRET: usize = 32;
/// The salt of HKDF-Extract: what else is derived from the same secret elsewhere is other keys.
const SALT: &[u8] = b"connect-redis-rs/1";
/// Bytes of the tag behind the text.
pub const TAG: usize = 16;
/// Nonces that are taken from the system at once.
const NONCES_AT_ONCE: usize = 128;

/// One of the option `encryption.keys`. Its memory is overwritten when it is dropped.
pub struct EncryptionKey {
    pub id: u32,
    /// HKDF's pseudorandom key. The secret itself is not kept.
    derived: Zeroizing<Vec<u8>>,
}

impl EncryptionKey {
    /// The secret has [`MIN_SECRET`] bytes or more.
    pub fn new(id: u32, secret: &[u8]) -> EncryptionKey {
        // HKDF-Extract.
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SALT), secret);
        EncryptionKey {
            id,
            derived: Zeroizing::new(derived.as_ref().to_vec()),
        }
    }

    /// Whether the other has the same secret.
    pub fn is_same(&self, other: &EncryptionKey) -> bool {
        self.derived == other.derived
    }

    /// The key of the session at the Redis key `of`.
    fn for_session(&self, of: &[u8]) -> Result<LessSafeKey, Unspecified> {
        let info = [of];
        let derived = Prk::new_less_safe(HKDF_SHA256, &self.derived);
        let expanded = derived.expand(&info, &AES_256_GCM)?;
        Ok(LessSafeKey::new(UnboundKey::from(expanded)))
    }

    /// Encrypts `text[from..]` and appends the tag. The error is that the text is longer than AES-GCM
    /// allows, 64 GiB.
    pub fn encrypt(
        &self,
        of: &[u8],
        nonce: [u8; NONCE],
        from: usize,
        text: &mut Vec<u8>,
    ) -> Result<(), Unspecified> {
        let (header, plain) = text.split_at_mut(from);
        let tag = self.for_session(of)?.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from([header, of].concat()),
            plain,
        )?;
        text.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Returns the text that stands encrypted in `envelope[from..]`. The error is that it was not
    /// encrypted by this secret, for this key of Redis, under this header.
    pub fn decrypt(
        &self,
        of: &[u8],
        nonce: [u8; NONCE],
        from: usize,
        mut envelope: Vec<u8>,
    ) -> Result<Vec<u8>, Unspecified> {
        let bound = [&envelope[..from], of].concat();
        let length = self
            .for_session(of)?
            .open_within(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(bound),
                &mut envelope,
                from..,
            )?
            .len();
        envelope.truncate(length);
        Ok(envelope)
    }
}

/// Random nonces. To ask the system for each would take as long as the encryption.
pub struct Nonces {
    system: SystemRandom,
    taken: Mutex<Vec<[u8; NONCE]>>,
}

impl Default for Nonces {
    fn default() -> Nonces {
        Nonces {
            system: SystemRandom::new(),
            taken: Mutex::default(),
        }
    }
}

impl Nonces {
    /// Returns a nonce that was not returned before. It panics if the system has no random numbers:
    /// nothing may be encrypted then.
    pub fn next(&self) -> [u8; NONCE] {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(nonce) = taken.pop() {
            return nonce;
        }
        let mut fresh = [0; NONCE * NONCES_AT_ONCE];
        assert!(
            self.system.fill(&mut fresh).is_ok(),
            "the system gives no random numbers"
        );
        taken.extend(fresh.as_chunks::<NONCE>().0);
        taken.pop().unwrap_or_else(|| unreachable!("just filled"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encrypted(key: &EncryptionKey, of: &[u8], nonce: [u8; NONCE]) -> Vec<u8> {
        let mut text = b"header: the text".to_vec();
        key.encrypt(of, nonce, 8, &mut text).unwrap();
        text
    }

    #[test]
    fn only_the_same_secret_key_and_header_decrypt() {
        let key = EncryptionKey::new(1, &[7; MIN_SECRET]);
        let sealed = encrypted(&key, b"sess:a", [1; NONCE]);
        let open = |key: &EncryptionKey, of: &[u8], nonce, sealed: &[u8]| {
            key.decrypt(of, nonce, 8, sealed.to_vec()).ok()
        };
        let text = open(&key, b"sess:a", [1; NONCE], &sealed);
        assert_eq!(text.as_deref(), Some(&b"the text"[..]));
        assert_eq!(open(&key, b"sess:b", [1; NONCE], &sealed), None);
        assert_eq!(open(&key, b"sess:a", [2; NONCE], &sealed), None);
        let other = EncryptionKey::new(1, &[8; MIN_SECRET]);
        assert_eq!(open(&other, b"sess:a", [1; NONCE], &sealed), None);
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&key, b"sess:a", [1; NONCE], &flipped), None, "{bit}");
        }
        for cut in 8..sealed.len() {
            assert_eq!(open(&key, b"sess:a", [1; NONCE], &sealed[..cut]), None);
        }
    }

    #[test]
    fn no_nonce_comes_twice() {
        let nonces = Nonces::default();
        let mut seen = std::collections::HashSet::new();
        assert!((0..10_000).all(|_| seen.insert(nonces.next())));
    }
}
