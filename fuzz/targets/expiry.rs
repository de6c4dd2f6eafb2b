//! The true expiry, put into any text: only `cookie.expires` changes, or nothing does.
#![no_main]

use connect_redis_rs_fuzz::check;
use connect_redis_rs_fuzz::session::true_expiry::{has_cookie_expiry, put_true_expiry};
use libfuzzer_sys::fuzz_target;

/// From here on an ISO string has more than four digits a year.
const YEAR_10000: u64 = 253_402_300_800_000;

fuzz_target!(|text: &[u8]| {
    // Any time, and some that are too late, by the text alone: so a corpus is of plain sessions.
    let mut hash = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    hash ^= hash >> 32;
    let expires = hash % (YEAR_10000 + YEAR_10000 / 64);

    let mut after = text.to_vec();
    let replaced = put_true_expiry(&mut after, expires as f64);
    let changed = replaced.is_some();

    let has_expiry = has_cookie_expiry(text);
    assert_eq!(changed, has_expiry && expires < YEAR_10000);
    if !changed {
        assert_eq!(after, text, "said unchanged, but changed");
    } else {
        check::one_token_replaced(text, &after, expires);
        check::same_but_for_expires(text, &after, expires);
        let mut again = after.clone();
        assert!(put_true_expiry(&mut again, expires as f64).is_some());
        assert_eq!(again, after);
        if let Some(replaced) = replaced {
            replaced.undo(&mut again);
            assert_eq!(again, text);
        }
    }
    if let Some(is_due) = check::is_due(text) {
        if is_due {
            assert!(has_expiry, "a stale expiry is left in the session");
        } else if connect_redis_rs_fuzz::json::parse(text).is_some() {
            assert!(!has_expiry, "the expiry is not the cookie's");
        }
    }
});
