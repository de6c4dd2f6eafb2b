//! The members of a JSON object as they are written: names and values as raw text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// How deep values are compared that are written differently.
const MAX_DEPTH: u8 = 64;

/// A member of an object.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// The name as JSON has it, with its quotes.
    pub written: &'a [u8],
    /// The name itself. Bytes, because JSON may have half of a surrogate pair in it.
    pub name: Cow<'a, [u8]>,
    /// The value as JSON has it.
    pub value: &'a [u8],
}

/// Reads the members of a JSON object, in their order. As for `JSON.parse`, the last of several members
/// of the same name counts, at the place of the first. `None` if the text is no object, no valid JSON or
/// no UTF-8.
pub fn members(text: &[u8]) -> Option<Vec<Member<'_>>> {
    let mut found: Vec<Member> = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    deserializer.deserialize_map(Members(&mut found)).ok()?;
    deserializer.end().ok()?;
    let mut members: Vec<Member> = Vec::with_capacity(found.len());
    for member in found {
        match members.iter_mut().find(|known| known.name == member.name) {
            Some(known) => known.value = member.value,
            None => members.push(member),
        }
    }
    Some(members)
}

/// The member of this name.
pub fn find<'m, 'a>(members: &'m [Member<'a>], name: &[u8]) -> Option<&'m Member<'a>> {
    members.iter().find(|member| member.name == name)
}

/// Whether two values, as they are written, are the same to JS: a session that was stored by another
/// program may have spaces, `1.0` or other escapes, which `JSON.stringify` does not write.
pub fn same_value(one: &[u8], other: &[u8]) -> bool {
    is_same(one, other, MAX_DEPTH)
}

fn is_same(one: &[u8], other: &[u8], depth: u8) -> bool {
    if one == other {
        return true;
    }
    let (Some(first), Some(second), true) = (one.first(), other.first(), depth > 0) else {
        return false;
    };
    match (first, second) {
        (b'{', b'{') => {
            let (Some(these), Some(those)) = (members(one), members(other)) else {
                return false;
            };
            these.len() == those.len()
                && these.iter().all(|member| {
                    find(&those, &member.name)
                        .is_some_and(|known| is_same(member.value, known.value, depth - 1))
                })
        }
        (b'[', b'[') => {
            let (Some(these), Some(those)) = (elements(one), elements(other)) else {
                return false;
            };
            let mut pairs = these.iter().zip(&those);
            these.len() == those.len() && pairs.all(|(this, that)| is_same(this, that, depth - 1))
        }
        (b'"', b'"') => matches!((decoded(one), decoded(other)), (Some(a), Some(b)) if a == b),
        (b'-' | b'0'..=b'9', b'-' | b'0'..=b'9') => {
            matches!((number(one), number(other)), (Some(a), Some(b)) if a == b)
        }
        _ => false,
    }
}

/// The value of a number as JS reads it; `None` of anything else.
pub fn number(value: &[u8]) -> Option<f64> {
    let is_number = matches!(value.first()?, b'-' | b'0'..=b'9');
    is_number.then(|| std::str::from_utf8(value).ok()?.parse().ok())?
}

/// The text of a JSON string.
fn decoded(written: &[u8]) -> Option<Cow<'_, [u8]>> {
    struct Bytes;
    impl<'a> Visitor<'a> for Bytes {
        type Value = Cow<'a, [u8]>;
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            Ok(Cow::Owned(bytes.to_vec()))
        }
        fn visit_borrowed_bytes<E>(self, bytes: &'a [u8]) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(bytes))
        }
    }
    serde_json::Deserializer::from_slice(written)
        .deserialize_bytes(Bytes)
        .ok()
}

struct Members<'f, 'a>(&'f mut Vec<Member<'a>>);

impl<'a> Visitor<'a> for Members<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            let written = name.get().as_bytes();
            let name = decoded(written).ok_or_else(|| serde::de::Error::custom("a name"))?;
            let value = value.get().as_bytes();
            self.0.push(Member {
                written,
                name,
                value,
            });
        }
        Ok(())
    }
}

/// The elements of an array.
fn elements(text: &[u8]) -> Option<Vec<&[u8]>> {
    struct Elements;
    impl<'a> Visitor<'a> for Elements {
        type Value = Vec<&'a [u8]>;
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("an array")
        }
        fn visit_seq<S: SeqAccess<'a>>(self, mut array: S) -> Result<Self::Value, S::Error> {
            let mut found = Vec::new();
            while let Some(value) = array.next_element::<&RawValue>()? {
                found.push(value.get().as_bytes());
            }
            Ok(found)
        }
    }
    serde_json::Deserializer::from_slice(text)
        .deserialize_seq(Elements)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Option<Vec<(String, String)>> {
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let members = members(text.as_bytes())?;
        let pair = |member: &Member| (text_of(&member.name), text_of(member.value));
        Some(members.iter().map(pair).collect())
    }

    #[test]
    fn members_are_read_as_they_are_written() {
        let found = written(r#" {"a" : {"x": [1 ,2]} , "\u0062":1.0,"__proto__":null} "#).unwrap();
        let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
        assert_eq!(
            found,
            [
                pair("a", r#"{"x": [1 ,2]}"#),
                pair("b", "1.0"),
                pair("__proto__", "null")
            ]
        );
    }

    #[test]
    fn the_last_of_a_name_counts_at_the_place_of_the_first() {
        let found = written(r#"{"a":1,"b":2,"\u0061":3}"#).unwrap();
        assert_eq!(found[0], ("a".into(), "3".into()));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn what_is_no_object_has_no_members() {
        for text in ["", "[]", "5", "{", "{}x", "{\"a\":}", "\"{}\"", "null"] {
            assert_eq!(written(text), None, "{text}");
        }
        assert!(members(b"{\"a\":\"\xff\"}").is_none());
    }

    #[test]
    fn half_a_surrogate_pair_is_a_name_like_another() {
        assert_eq!(written(r#"{"\ud800":1,"\ud801":2}"#).unwrap().len(), 2);
    }

    #[test]
    fn values_are_the_same_if_js_reads_them_alike() {
        let same = |a: &str, b: &str| same_value(a.as_bytes(), b.as_bytes());
        assert!(same("1.0", "1") && same("1e2", "100") && same("-0", "0"));
        assert!(same(r#""\u0061/""#, r#""a\/""#));
        assert!(same(
            r#"{"a":[1, {"b":2}],"c":3}"#,
            r#"{"c":3.0,"a":[1,{"b":2}]}"#
        ));
        assert!(!same("1", "2") && !same("1", "\"1\"") && !same("true", "false"));
        assert!(!same("[1,2]", "[2,1]") && !same("[1]", "[1,1]") && !same("{}", r#"{"a":1}"#));
        assert!(!same("0.1", "0.10000000000000002"));
    }

    #[test]
    fn values_too_deep_to_compare_differ() {
        let deep = |text: &str| format!("{}{text}{}", "[".repeat(99), "]".repeat(99));
        assert!(!same_value(deep("1").as_bytes(), deep("1.0").as_bytes()));
    }
}
