//! What must hold of a text that the true expiry was put into, or was to be put into.

use crate::json::{self, Json};

/// Milliseconds since the epoch, as `Date.prototype.toISOString` writes them, by Howard Hinnant's
/// `civil_from_days`; for the years 1970 to 9999.
pub fn iso(ms: u64) -> String {
    let (days, ms) = (ms / 86_400_000, ms % 86_400_000);
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let ms = ms % 1000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Panics unless `after` is `before` with one token replaced by `expires`, in the notation that
/// stood there. Returns where the token stands.
pub fn one_token_replaced(before: &[u8], after: &[u8], expires: u64) -> std::ops::Range<usize> {
    let date = format!("\"{}\"", iso(expires));
    let number = expires.to_string();
    let is_token = |text: &[u8], quoted: bool| match json::parse(text) {
        Some(Json::String(_)) => quoted && text[0] == b'"',
        Some(Json::Number(_)) => !quoted && text[0] != b' ',
        _ => false,
    };
    // The two texts are alike up to somewhere in the token, and again from there on.
    let alike = before
        .iter()
        .zip(after)
        .take_while(|(before, after)| before == after)
        .count();
    for (new, quoted) in [(date, true), (number, false)] {
        let earliest = (alike + 1).saturating_sub(new.len() + 1);
        for start in (earliest..=alike).rev() {
            if !after[start..].starts_with(new.as_bytes()) {
                continue;
            }
            let rest = &after[start + new.len()..];
            let Some(end) = before
                .len()
                .checked_sub(rest.len())
                .filter(|end| *end > start)
            else {
                continue;
            };
            if before[end..] == *rest && is_token(&before[start..end], quoted) {
                return start..end;
            }
        }
    }
    panic!(
        "more than cookie.expires has changed, or it is not {expires}:\n{}\n{}",
        before.escape_ascii(),
        after.escape_ascii()
    );
}

/// Panics unless an app that parses both texts sees the same, but for `cookie.expires`.
pub fn same_but_for_expires(before: &[u8], after: &[u8], expires: u64) {
    let (before, after) = match (json::parse(before), json::parse(after)) {
        (Some(before), Some(after)) => (before, after),
        (None, None) => return, // JSON.parse throws on both.
        (before, after) => panic!("JSON has become none, or the other way: {before:?} {after:?}"),
    };
    if before == after {
        return;
    }
    let new = match cookie(&before).and_then(|cookie| cookie.get("expires")) {
        Some(Json::String(_)) => Json::String(iso(expires).encode_utf16().collect()),
        _ => Json::Number(expires.to_string()),
    };
    let mut wanted = before;
    let place = match &mut wanted {
        Json::Object(session) => match session.get_mut("cookie") {
            Some(Json::Object(cookie)) => cookie.get_mut("expires"),
            _ => None,
        },
        _ => None,
    };
    *place.expect("something else than cookie.expires has changed") = new;
    assert_eq!(after, wanted);
}

/// Whether the true expiry is due in this text, as an app sees it; `None` where it may be or not,
/// because a name stands there twice or holds half of a surrogate pair.
pub fn is_due(text: &[u8]) -> Option<bool> {
    let Some(Json::Object(session)) = json::parse(text) else {
        return Some(false);
    };
    if str::from_utf8(text).is_err() || session.is_doubled("cookie") {
        return None;
    }
    let Some(Json::Object(cookie)) = session.get("cookie") else {
        return Some(false);
    };
    if !cookie.doubled.is_empty() || cookie.has_broken_name() {
        return None;
    }
    Some(
        matches!(cookie.get("originalMaxAge"), Some(Json::Number(_)))
            && matches!(
                cookie.get("expires"),
                Some(Json::Number(_) | Json::String(_))
            ),
    )
}

fn cookie(session: &Json) -> Option<&json::Members> {
    let Json::Object(session) = session else {
        return None;
    };
    match session.get("cookie") {
        Some(Json::Object(cookie)) => Some(cookie),
        _ => None,
    }
}
