//! What is stored at rest: whatever is sealed opens again, and nowhere else; whatever is stored opens or
//! is an error, and an encrypted record that this store has not written never opens.
//!
//! An input is a byte that chooses the seal, a byte of what is changed, and a text or what is stored.
#![no_main]

use std::sync::LazyLock;

use connect_redis_rs_fuzz::session::seal::{
    Compression, Encryption, EncryptionKey, Notation, Seal, open, shape,
};
use libfuzzer_sys::fuzz_target;

const KEY: &[u8] = b"sess:a";

static SEALS: LazyLock<Vec<Seal>> = LazyLock::new(|| {
    let compressions = [
        None,
        Some(Compression {
            threshold: 0,
            level: 1,
        }),
    ];
    let mut seals = Vec::new();
    for compression in compressions {
        for ids in [&[][..], &[1], &[2, 1]] {
            for (write, refuses_plain) in [(true, false), (false, false), (true, true)] {
                let key = |&id: &u32| EncryptionKey::new(id, &[id as u8; 32]);
                let encryption = (!ids.is_empty()).then(|| Encryption {
                    keys: ids.iter().map(key).collect(),
                    write,
                    refuses_plain,
                });
                let seal = Seal::new(encryption, compression);
                seals.push(seal.in_notation(Notation::Letters));
                seals.push(seal);
            }
        }
    }
    seals
});

fuzz_target!(|input: &[u8]| {
    let [choice, change, text @ ..] = input else {
        return;
    };
    let seal = &SEALS[usize::from(*choice) % SEALS.len()];

    // What is sealed.
    let stored = seal.seal(KEY, text).into_owned();
    assert_eq!(open(Some(seal), KEY, stored.clone()).as_deref(), Ok(text));
    let treatment = shape(&stored);
    let is_encrypted = treatment.is_some_and(|treatment| treatment.header.key.is_some());
    if is_encrypted {
        assert!(open(Some(seal), b"sess:b", stored.clone()).is_err());
        assert!(open(None, KEY, stored.clone()).is_err());
        let mut changed = stored;
        let at = usize::from(*change) * changed.len() / 256;
        changed[at] ^= 1 << (change % 8);
        let read = open(Some(seal), KEY, changed.clone());
        // Without its magic it is plain.
        assert!(read.is_err() || read.as_ref() == Ok(&changed) && shape(&changed).is_none());
    }

    // What anybody stores.
    for reader in SEALS.iter().map(Some).chain([None]) {
        let read = open(reader, KEY, text.to_vec());
        let treatment = shape(text);
        if treatment.is_some_and(|treatment| treatment.header.key.is_some()) {
            assert!(read.is_err(), "a forged record opens");
        } else if treatment.is_none() && read.is_ok() {
            assert_eq!(read.as_deref(), Ok(text));
        }
    }
});
