//! True expiry: puts the key's real time of expiry into the session text that is read back.
//!
//! `touch` moves the key's expiry but not the text, so the `cookie.expires` that connect-redis
//! reads back goes stale, and a later `save` of that session deletes it (connect-redis #259, #412).

use std::fmt;
use std::io::Write;
use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

use redis::Value;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::test_panics::panic_at;

/// What `get` does with the key's real time of expiry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TrueExpiry {
    /// Does not ask for it, because it does not follow the cookie (`ttl` function, `disableTTL`).
    Unasked,
    /// Puts it into the JSON text.
    InText,
    /// Returns it beside the text, which only a custom serializer can read.
    Beside,
    /// Both (`touchAfter`).
    InTextAndBeside,
}

impl TrueExpiry {
    /// Applies PTTL's reply, which came when `Date.now()` returned `now`: puts the expiry into the
    /// text, or returns it to go beside the text. An error (no right to PTTL), -1 (no expiry) and -2
    /// (just gone) leave the session as stored; one that is just gone expires `now`, so that no copy of it
    /// is served.
    pub fn apply(self, text: &mut Vec<u8>, pttl: &Value, now: f64) -> Applied {
        let (expires, is_there) = match *pttl {
            Value::Int(ttl @ 0..) => (now + ttl as f64, true),
            Value::Int(-2) => (now, false),
            _ => return Applied::default(),
        };
        let is_in_text =
            is_there && matches!(self, TrueExpiry::InText | TrueExpiry::InTextAndBeside);
        Applied {
            beside: (self != TrueExpiry::InText).then_some(expires),
            replaced: is_in_text.then(|| put_true_expiry(text, expires)).flatten(),
        }
    }
}

/// A true expiry that was applied.
#[derive(Debug, Default)]
pub struct Applied {
    /// Milliseconds since the epoch, to go beside the text.
    pub beside: Option<f64>,
    /// What it has replaced in the text.
    pub replaced: Option<Replaced>,
}

/// A part of a text that was replaced.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub struct Replaced {
    /// Where the new part stands.
    place: Range<usize>,
    before: Before,
}

#[derive(Clone, Debug)]
#[cfg_attr(test, derive(PartialEq))]
enum Before {
    Short([u8; ISO_DATE], u8),
    Long(Vec<u8>),
}

impl Replaced {
    /// The old part of a text whose new part stands at `place`.
    pub fn new(place: Range<usize>, before: &[u8]) -> Replaced {
        let before = match before.len() {
            length @ ..=ISO_DATE => {
                let mut bytes = [0; ISO_DATE];
                bytes[..length].copy_from_slice(before);
                Before::Short(bytes, length as u8)
            }
            _ => Before::Long(before.to_vec()),
        };
        Replaced { place, before }
    }

    /// Where the new part stands.
    pub fn place(&self) -> Range<usize> {
        self.place.clone()
    }

    /// The old part.
    pub fn before(&self) -> &[u8] {
        match &self.before {
            Before::Short(bytes, length) => &bytes[..usize::from(*length)],
            Before::Long(bytes) => bytes,
        }
    }

    /// Puts the old part back. Returns whether the text has the place.
    pub fn undo(&self, text: &mut Vec<u8>) -> bool {
        let has_place = self.place.start <= self.place.end && self.place.end <= text.len();
        if has_place {
            replace(text, self.place(), self.before());
        }
        has_place
    }
}

/// Replaces a part of a text. Returns the place of the new one.
fn replace(text: &mut Vec<u8>, place: Range<usize>, new: &[u8]) -> Range<usize> {
    let now = place.start..place.start + new.len();
    if new.len() == place.len() {
        text[place].copy_from_slice(new);
    } else {
        text.splice(place, new.iter().copied());
    }
    now
}

#[derive(serde::Deserialize)]
struct Cookie<'a> {
    #[serde(borrow, rename = "originalMaxAge")]
    original_max_age: Option<&'a RawValue>,
    #[serde(borrow)]
    expires: Option<&'a RawValue>,
}

/// From here on a year has five digits, in milliseconds since the epoch.
const YEAR_10000: f64 = 253_402_300_800_000.0;

/// Bytes of a date in JSON.
const ISO_DATE: usize = "\"2026-01-01T12:00:00.123Z\"".len();

/// Replaces `cookie.expires` in the JSON text of a session by `expires` (milliseconds since the
/// epoch), in the notation that stands there: an ISO string or a number. Every other byte stays.
///
/// Nothing changes if the expiry does not follow the cookie's age (`cookie.originalMaxAge` is not a
/// number), if there is no `cookie.expires` or more than one, if the text is no JSON object, or if the
/// year of `expires` does not have four digits. `JSON.parse` refuses the new text if it refuses the old
/// one.
/// Returns what was replaced; `None` if nothing was.
pub fn put_true_expiry(text: &mut Vec<u8>, expires: f64) -> Option<Replaced> {
    if !(0.0..YEAR_10000).contains(&expires) {
        return None;
    }
    let place = find_expires(text)?;
    let mut new = [0; ISO_DATE];
    let mut rest = &mut new[..];
    let written = if text[place.start] == b'"' {
        write!(rest, "{}", WrittenDate(expires))
    } else {
        write!(rest, "{expires:.0}")
    };
    let left = rest.len();
    let new = &new[..ISO_DATE - left];
    if written.is_err() {
        return None; // It cannot be: there is room for every time before the year 10000.
    }
    let old = Replaced::new(place.clone(), &text[place]);
    let place = replace(text, old.place(), new);
    Some(Replaced { place, ..old })
}

/// A time, in milliseconds since the epoch, as `JSON.stringify` writes a Date. `None` if its year does
/// not have four digits.
pub fn written_date(time: f64) -> Option<Vec<u8>> {
    let is_usual = (0.0..YEAR_10000).contains(&time);
    is_usual.then(|| WrittenDate(time).to_string().into_bytes())
}

/// Milliseconds since the epoch, of a year with four digits.
struct WrittenDate(f64);

impl fmt::Display for WrittenDate {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let time = UNIX_EPOCH + Duration::from_millis(self.0 as u64);
        write!(f, "\"{}\"", humantime::format_rfc3339_millis(time))
    }
}

/// Whether [`put_true_expiry`] would change this text; if not, no PTTL is needed.
pub fn has_cookie_expiry(text: &[u8]) -> bool {
    find_expires(text).is_some()
}

/// Returns where the value of `cookie.expires` stands, if it can be replaced.
fn find_expires(text: &[u8]) -> Option<Range<usize>> {
    panic_at("the expiry", text);
    if let Some(found) = find_in_plain_cookie(text) {
        return found;
    }
    let cookie = find_cookie(text)?.get().as_bytes();
    // serde would also take an array, member by member.
    if cookie.first() != Some(&b'{') {
        return None;
    }
    let Cookie {
        original_max_age,
        expires,
    } = serde_json::from_slice(cookie).ok()?;
    let is_number = |raw: &RawValue| {
        raw.get()
            .starts_with(|c: char| c == '-' || c.is_ascii_digit())
    };
    if !original_max_age.is_some_and(is_number) {
        return None;
    }
    let expires = expires?;
    if !is_number(expires) && !expires.get().starts_with('"') {
        return None;
    }
    // `expires` borrows from `text`, so its address tells its place.
    let start = expires.get().as_ptr() as usize - text.as_ptr() as usize;
    Some(start..start + expires.get().len())
}

/// As [`find_expires`], in a quarter of the time, of a text that begins as express-session writes it:
/// with the cookie, whose members are plain. `None` if it begins otherwise, and must be read by all the
/// rules of JSON.
#[allow(clippy::option_option)] // reason: found; not there; unknown
fn find_in_plain_cookie(text: &[u8]) -> Option<Option<Range<usize>>> {
    const START: &[u8] = br#"{"cookie":{"#;
    let mut rest = text.strip_prefix(START)?;
    let (mut age, mut expires) = (None, None);
    loop {
        let name = plain_string(rest)?;
        rest = rest[name.len()..].strip_prefix(b":")?;
        let value = plain_value(rest)?;
        let start = text.len() - rest.len();
        let place = start..start + value.len();
        let twice = match name {
            b"\"originalMaxAge\"" => age.replace(value).is_some(),
            b"\"expires\"" => expires.replace((value, place)).is_some(),
            _ => false,
        };
        if twice {
            return None;
        }
        rest = &rest[value.len()..];
        match rest.split_first()? {
            (b',', more) => rest = more,
            (b'}', _) => break,
            _ => return None,
        }
    }
    let is_number = |value: &[u8]| matches!(value[0], b'-' | b'0'..=b'9');
    let follows_age = age.is_some_and(is_number);
    let can_be_replaced = |value: &[u8]| is_number(value) || value[0] == b'"';
    Some(
        expires
            .filter(|(value, _)| follows_age && can_be_replaced(value))
            .map(|(_, place)| place),
    )
}

/// A value that stands at the beginning of `text`, if it is a plain one: no object, no array, no
/// escapes, no fractions.
fn plain_value(text: &[u8]) -> Option<&[u8]> {
    match text.first()? {
        b'"' => plain_string(text),
        b'-' | b'0'..=b'9' => {
            let digits = text.strip_prefix(b"-").unwrap_or(text);
            let count = digits.iter().take_while(|c| c.is_ascii_digit()).count();
            let is_plain = count > 0 && (count == 1 || digits[0] != b'0');
            is_plain.then(|| &text[..text.len() - digits.len() + count])
        }
        _ => [&b"true"[..], b"false", b"null"]
            .into_iter()
            .find(|word| text.starts_with(word))
            .map(|word| &text[..word.len()]),
    }
}

/// The string, with its quotes, that stands at the beginning of `text`, if it is all plain ASCII.
fn plain_string(text: &[u8]) -> Option<&[u8]> {
    let inside = text.strip_prefix(b"\"")?;
    let is_end = |c: &u8| matches!(c, b'"' | b'\\' | ..b' ' | 0x80..);
    let end = inside.iter().position(is_end)?;
    (inside[end] == b'"').then(|| &text[..end + 2])
}

/// The value of the first member `cookie`. What follows it is not read: express-session writes the
/// cookie first, and a session may be long.
fn find_cookie(text: &[u8]) -> Option<&RawValue> {
    struct Finder<'a, 'f>(&'f mut Option<&'a RawValue>);

    impl<'a> Visitor<'a> for Finder<'a, '_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("an object with a cookie")
        }

        fn visit_map<M: MapAccess<'a>>(self, mut members: M) -> Result<(), M::Error> {
            while let Some(IsCookie(is_cookie)) = members.next_key()? {
                if is_cookie {
                    *self.0 = Some(members.next_value()?);
                    return Ok(());
                }
                members.next_value::<IgnoredAny>()?;
            }
            Ok(())
        }
    }

    let mut found = None;
    // Left in the middle of the object it reports an error, which says nothing about the cookie.
    let _ = serde_json::Deserializer::from_slice(text).deserialize_map(Finder(&mut found));
    found
}

/// A member's name, compared without being kept.
struct IsCookie(bool);

impl<'a> Deserialize<'a> for IsCookie {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<IsCookie, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = IsCookie;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a member's name")
            }
            fn visit_bytes<E>(self, name: &[u8]) -> Result<IsCookie, E> {
                Ok(IsCookie(name == b"cookie"))
            }
        }
        // Not a str: JSON may have half of a surrogate pair in a name, which is none to Rust.
        deserializer.deserialize_bytes(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: f64 = 1_767_268_800_123.0; // 2026-01-01T12:00:00.123Z

    fn changed(text: &str) -> Option<String> {
        let mut bytes = text.as_bytes().to_vec();
        let replaced = put_true_expiry(&mut bytes, NOON);
        let changed = replaced.is_some();
        if let Some(replaced) = replaced {
            let mut undone = bytes.clone();
            assert!(replaced.undo(&mut undone));
            assert_eq!(undone, text.as_bytes());
        }
        assert_eq!(changed, has_cookie_expiry(text.as_bytes()));
        let after = String::from_utf8(bytes).unwrap();
        if !changed {
            assert_eq!(after, text, "said unchanged, but changed");
        }
        changed.then_some(after)
    }

    #[test]
    fn a_session_that_is_just_gone_expires_now_and_one_without_an_expiry_never() {
        let before = br#"{"cookie":{"expires":"2026-01-01T12:00:00.123Z"}}"#;
        for (pttl, beside) in [(-2, Some(NOON)), (-1, None)] {
            let mut text = before.to_vec();
            let applied = TrueExpiry::InTextAndBeside.apply(&mut text, &Value::Int(pttl), NOON);
            assert_eq!(applied.beside, beside);
            assert_eq!(applied.replaced, None);
            assert_eq!(text, before);
        }
    }

    #[test]
    fn the_expiry_is_replaced_and_every_other_byte_stays() {
        let text = r#" {"a":-0, "cookie" : {"originalMaxAge":1000,"expires":"2020-01-01T00:00:00.000Z","path":"/"},"n":1e400,"s":"\ud800"} "#;
        assert_eq!(
            changed(text).unwrap(),
            text.replace("2020-01-01T00:00:00.000Z", "2026-01-01T12:00:00.123Z")
        );
    }

    #[test]
    fn a_plain_cookie_is_read_as_any_other() {
        for cookie in [
            r#""originalMaxAge":1000,"expires":"2020-01-01T00:00:00.000Z","secure":true,"path":"/""#,
            r#""expires":5,"originalMaxAge":-1"#,
            r#""originalMaxAge":null,"expires":null,"httpOnly":false"#,
            r#""originalMaxAge":"5","expires":"x""#,
            r#""originalMaxAge":5,"expires":false"#,
            r#""path":"/""#,
        ] {
            let text = format!(r#"{{"cookie":{{{cookie}}},"n":1}}"#);
            let plain = find_in_plain_cookie(text.as_bytes()).expect("it is plain");
            let spaced = text.replacen(":{", ": {", 1); // and so for serde to read
            assert_eq!(find_in_plain_cookie(spaced.as_bytes()), None);
            let moved = plain.map(|place| place.start + 1..place.end + 1);
            assert_eq!(find_expires(spaced.as_bytes()), moved, "{text}");
        }
    }

    #[test]
    fn a_cookie_that_is_not_plain_is_left_to_serde() {
        for cookie in [
            "",
            r#""expires":"\u0078","originalMaxAge":5"#,
            r#""expires":"x","originalMaxAge":5.5"#,
            r#""expires":"x","originalMaxAge":05"#,
            r#""expires":"x","expires":"x","originalMaxAge":5"#,
            r#""domain":{},"expires":"x","originalMaxAge":5"#,
            r#""path":"/ü","expires":"x","originalMaxAge":5"#,
            r#""expires":"x","originalMaxAge":5,"#,
            r#""expires":"x" ,"originalMaxAge":5"#,
        ] {
            let text = format!(r#"{{"cookie":{{{cookie}}}}}"#);
            assert_eq!(find_in_plain_cookie(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_date_of_another_length_is_replaced_too() {
        assert_eq!(
            changed(r#"{"cookie":{"expires":"Thu, 01 Jan 2020 00:00:00 GMT","originalMaxAge":5}}"#)
                .unwrap(),
            r#"{"cookie":{"expires":"2026-01-01T12:00:00.123Z","originalMaxAge":5}}"#
        );
    }

    #[test]
    fn a_number_stays_a_number() {
        assert_eq!(
            changed(r#"{"cookie":{"expires":5,"originalMaxAge":5}}"#).unwrap(),
            r#"{"cookie":{"expires":1767268800123,"originalMaxAge":5}}"#
        );
    }

    #[test]
    fn escaped_member_names_are_seen_as_json_sees_them() {
        assert!(changed(r#"{"\u0063ookie":{"expires":"x","originalMaxAge":5}}"#).is_some());
    }

    #[test]
    fn a_name_that_is_no_unicode_does_not_hide_the_cookie() {
        assert!(changed(r#"{"\ud800":1,"cookie":{"expires":"x","originalMaxAge":5}}"#).is_some());
    }

    #[test]
    fn nothing_changes_where_the_expiry_is_not_the_cookies() {
        for text in [
            "",
            "null",
            "[]",
            "5",
            "\"x\"",
            "{}",
            r#"{"cookie":null}"#,
            r#"{"cookie":5}"#,
            r#"{"cookie":[1,"x"]}"#,
            r#"{"cookie":{}}"#,
            r#"{"cookie":{"expires":"x"}}"#,
            r#"{"cookie":{"expires":"x","originalMaxAge":null}}"#,
            r#"{"cookie":{"expires":"x","originalMaxAge":"5"}}"#,
            r#"{"cookie":{"expires":null,"originalMaxAge":5}}"#,
            r#"{"cookie":{"expires":{},"originalMaxAge":5}}"#,
            r#"{"cookie":{"expires":"x","expires":"y","originalMaxAge":5}}"#,
            r#"{"user":{"cookie":{"expires":"x","originalMaxAge":5}}}"#,
            r#"[{"expires":"x","originalMaxAge":5}]"#,
            r#"{"cookie":{"expires":"x","originalMaxAge":5"#,
            r#"{"cookie" {"expires":"x","originalMaxAge":5}}"#,
        ] {
            assert_eq!(changed(text), None, "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_passed_over_without_recursion() {
        let deep = format!(
            r#"{{"d":{}{},"cookie":{{"expires":"x","originalMaxAge":5}}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert!(changed(&deep).is_some());
    }

    #[test]
    fn a_time_no_iso_string_can_hold_changes_nothing() {
        for expires in [-1.0, 253_402_300_800_000.0, f64::INFINITY, f64::NAN] {
            for text in [
                r#"{"cookie":{"expires":"x","originalMaxAge":5}}"#,
                r#"{"cookie":{"expires":7,"originalMaxAge":5}}"#,
            ] {
                let mut bytes = text.as_bytes().to_vec();
                assert!(put_true_expiry(&mut bytes, expires).is_none());
                assert_eq!(bytes, text.as_bytes());
            }
        }
    }
}
