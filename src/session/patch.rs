//! What one request has changed in a session, put over what another has stored meanwhile.
//!
//! Members of the session count as a whole: one that I have set, changed or deleted is mine; all others
//! are theirs. There is no deep merge and no merge of arrays: connect-redis has tried and taken it back,
//! because a Date became `{}` and arrays grew without end. Only `cookie` is merged member by member,
//! because express-session changes its `expires` in every request.

use crate::session::members::{Member, find, members, number, same_value};
use crate::session::true_expiry::written_date;

/// A member with rules of its own.
const COOKIE: &[u8] = b"cookie";
/// The time to live that the app gave the cookie, in milliseconds.
const AGE: &[u8] = b"originalMaxAge";
/// How much less an age is that nobody has changed, in milliseconds. express-session computes it anew from
/// the cookie's end in every request, and the clock may have moved on meanwhile.
const AGE_DRIFT: f64 = 100.0;
/// The end that follows from it.
const EXPIRES: &[u8] = b"expires";

/// What a request has changed in a session since it was loaded.
pub struct Changes<'a> {
    base: Vec<Member<'a>>,
    mine: Vec<Member<'a>>,
    /// The names that it has set, changed or deleted; `cookie` is not among them.
    names: Vec<Vec<u8>>,
    cookie: CookieChange,
}

#[derive(Clone, Copy, PartialEq)]
enum CookieChange {
    /// At most its `expires`, which every request moves.
    None,
    Members,
}

/// Changes put over what is stored.
#[derive(Debug, PartialEq)]
pub struct Patched {
    pub text: Vec<u8>,
    pub life: Life,
}

/// How long a patched session lives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Life {
    /// As my save says.
    Mine,
    /// So many milliseconds: another request has given the cookie another age.
    Theirs(f64),
    /// As long as it would have without my save: another request has taken the cookie its age.
    Kept,
}

/// How much of some changes is in what is stored.
#[derive(Debug, PartialEq)]
pub enum Traces {
    All,
    None,
    Some,
}

impl<'a> Changes<'a> {
    /// Compares a session as it was loaded with what is to be saved of it. `None` if one of them is no
    /// JSON object.
    pub fn between(base: &'a [u8], mine: &'a [u8]) -> Option<Changes<'a>> {
        let (base, mine) = (members(base)?, members(mine)?);
        let names = changed_names(&base, &mine, &[COOKIE]);
        let cookie = match (find(&base, COOKIE), find(&mine, COOKIE)) {
            (Some(before), Some(after)) if same_value(before.value, after.value) => {
                CookieChange::None
            }
            (Some(before), Some(after)) => match (members(before.value), members(after.value)) {
                (Some(before), Some(after)) if changed_in_cookie(&before, &after).is_empty() => {
                    CookieChange::None
                }
                _ => CookieChange::Members,
            },
            (None, Some(_)) => CookieChange::Members,
            // No session is without a cookie.
            (_, None) => CookieChange::None,
        };
        Some(Changes {
            base,
            mine,
            names,
            cookie,
        })
    }

    /// Whether nothing has changed but `cookie.expires`.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.cookie == CookieChange::None
    }

    /// Puts the changes over `theirs`, at the time `now`. `None` if that is no JSON object.
    pub fn apply(&self, theirs: &[u8], now: f64) -> Option<Patched> {
        let theirs = members(theirs)?;
        let mut object = ObjectText::with_capacity(theirs.len() * 32);
        let mut life = Life::Mine;
        let mine = find(&self.mine, COOKIE);
        match (mine, find(&theirs, COOKIE)) {
            (Some(mine), Some(stored)) => {
                let cookie = self.cookie(mine.value, stored.value, now);
                object.put(stored.written, &cookie.text);
                life = cookie.life;
            }
            (Some(only), None) | (None, Some(only)) => object.put(only.written, only.value),
            (None, None) => {}
        }
        for member in theirs.iter().filter(|member| member.name != COOKIE) {
            if !self.is_changed(&member.name) {
                object.put(member.written, member.value);
            } else if let Some(mine) = find(&self.mine, &member.name) {
                object.put(member.written, mine.value);
            }
        }
        for member in &self.mine {
            if self.is_changed(&member.name) && find(&theirs, &member.name).is_none() {
                object.put(member.written, member.value);
            }
        }
        let text = object.end();
        Some(Patched { text, life })
    }

    /// How much of the changes is in `theirs`, beside those of `cookie`.
    pub fn found_in(&self, theirs: &[u8]) -> Traces {
        let Some(theirs) = members(theirs) else {
            return Traces::Some;
        };
        let value = |members: &[Member<'a>], name: &[u8]| find(members, name).map(|m| m.value);
        let (mut all, mut none) = (true, true);
        for name in &self.names {
            let stored = find(&theirs, name).map(|member| member.value);
            all &= is_same(stored, value(&self.mine, name));
            none &= is_same(stored, value(&self.base, name));
        }
        match (all, none) {
            // Without a member that tells, it does no harm to put the changes there once more.
            (_, true) => Traces::None,
            (true, false) => Traces::All,
            (false, false) => Traces::Some,
        }
    }

    /// The names of members that others have changed in `theirs`, and that a save of mine as a whole
    /// takes back.
    pub fn overwritten_in(&self, theirs: &[u8]) -> Vec<String> {
        let Some(theirs) = members(theirs) else {
            return Vec::new();
        };
        let value = |members: &[Member], name: &[u8]| {
            find(members, name).map(|member| member.value.to_vec())
        };
        changed_names(&self.base, &theirs, &[COOKIE])
            .into_iter()
            .filter(|name| {
                let (stored, mine) = (value(&theirs, name), value(&self.mine, name));
                !is_same(stored.as_deref(), mine.as_deref())
            })
            .map(|name| String::from_utf8_lossy(&name).into_owned())
            .collect()
    }

    fn is_changed(&self, name: &[u8]) -> bool {
        self.names.iter().any(|changed| changed == name)
    }

    /// A cookie with my changes, member by member. The age is one's who changed it, and `expires`
    /// follows from it.
    fn cookie(&self, mine: &[u8], theirs: &[u8], now: f64) -> Patched {
        let whole = |text: &[u8]| Patched {
            text: text.to_vec(),
            life: Life::Mine,
        };
        let base = find(&self.base, COOKIE).and_then(|member| members(member.value));
        let (Some(base), Some(mine_members), Some(stored)) = (base, members(mine), members(theirs))
        else {
            // What is no object cannot be merged: mine if I changed it.
            return whole(match self.cookie {
                CookieChange::Members => mine,
                CookieChange::None => theirs,
            });
        };
        let value = |members: &[Member<'_>], name: &[u8]| {
            find(members, name).map(|member| member.value.to_vec())
        };
        let is_age_theirs = has_same_age(&base, &mine_members) && !has_same_age(&base, &stored);
        let (expires, life) = if is_age_theirs {
            match value(&stored, AGE).as_deref().and_then(number) {
                Some(age) => (
                    written_date(now + age).or_else(|| value(&stored, EXPIRES)),
                    Life::Theirs(age),
                ),
                None => (value(&stored, EXPIRES), Life::Kept),
            }
        } else {
            (value(&mine_members, EXPIRES), Life::Mine)
        };
        let changed = changed_in_cookie(&base, &mine_members);
        let is_changed = |name: &[u8]| changed.iter().any(|changed| changed == name);
        let mut object = ObjectText::with_capacity(theirs.len());
        for member in &stored {
            let value = match &*member.name {
                EXPIRES => expires.clone(),
                name if is_changed(name) => value(&mine_members, name),
                _ => Some(member.value.to_vec()),
            };
            if let Some(value) = value {
                object.put(member.written, &value);
            }
        }
        for member in &mine_members {
            let is_new = find(&stored, &member.name).is_none();
            match &*member.name {
                EXPIRES if is_new => {
                    if let Some(expires) = &expires {
                        object.put(member.written, expires);
                    }
                }
                name if is_new && is_changed(name) => object.put(member.written, member.value),
                _ => {}
            }
        }
        let text = object.end();
        Patched { text, life }
    }
}

/// The text of an object that is being written.
struct ObjectText(Vec<u8>);

impl ObjectText {
    fn with_capacity(bytes: usize) -> ObjectText {
        ObjectText(Vec::with_capacity(bytes))
    }

    /// Adds a member, with its name as JSON has it.
    fn put(&mut self, written: &[u8], value: &[u8]) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.0.extend_from_slice(written);
        self.0.push(b':');
        self.0.extend_from_slice(value);
    }

    fn end(mut self) -> Vec<u8> {
        if self.0.is_empty() {
            self.0.push(b'{');
        }
        self.0.push(b'}');
        self.0
    }
}

/// The names of the members that are in one only, or differ, but for some of them.
fn changed_names(before: &[Member], after: &[Member], but: &[&[u8]]) -> Vec<Vec<u8>> {
    let set = after.iter().filter(|member| {
        let known = find(before, &member.name);
        known.is_none_or(|known| !same_value(known.value, member.value))
    });
    let deleted = before
        .iter()
        .filter(|member| find(after, &member.name).is_none());
    set.chain(deleted)
        .filter(|member| !but.contains(&&*member.name))
        .map(|member| member.name.to_vec())
        .collect()
}

/// The names of the members of a cookie that a request has changed, but for `expires`.
fn changed_in_cookie(before: &[Member], after: &[Member]) -> Vec<Vec<u8>> {
    let but: &[&[u8]] = match has_same_age(before, after) {
        true => &[EXPIRES, AGE],
        false => &[EXPIRES],
    };
    changed_names(before, after, but)
}

/// Whether a cookie has the age that it had before.
fn has_same_age(before: &[Member], after: &[Member]) -> bool {
    let age = |members| find(members, AGE).map(|member| member.value);
    match (age(before).and_then(number), age(after).and_then(number)) {
        (Some(before), Some(after)) => (0.0..AGE_DRIFT).contains(&(before - after)),
        _ => is_same(age(before), age(after)),
    }
}

/// Whether two values are the same, or both are not there.
fn is_same(one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => same_value(one, other),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: f64 = 1_767_268_800_123.0; // 2026-01-01T12:00:00.123Z

    fn patched(base: &str, mine: &str, theirs: &str) -> (String, Life) {
        let changes = Changes::between(base.as_bytes(), mine.as_bytes()).unwrap();
        let patched = changes.apply(theirs.as_bytes(), NOON).unwrap();
        (String::from_utf8(patched.text).unwrap(), patched.life)
    }

    fn text(base: &str, mine: &str, theirs: &str) -> String {
        patched(base, mine, theirs).0
    }

    #[test]
    fn members_that_i_set_change_or_delete_are_mine_and_all_others_theirs() {
        assert_eq!(
            text(
                r#"{"a":1,"b":1,"c":1,"d":1}"#,
                r#"{"a":1,"b":2,"d":1,"e":[1, 2]}"#,
                r#"{"a":5,"b":7,"c":7,"f":{"x" : 1.0}}"#
            ),
            r#"{"a":5,"b":2,"f":{"x" : 1.0},"e":[1, 2]}"#
        );
    }

    #[test]
    fn what_they_deleted_stays_deleted_and_what_i_deleted_too() {
        assert_eq!(text(r#"{"a":1,"b":1}"#, r#"{"b":1}"#, r#"{"a":1}"#), "{}");
    }

    #[test]
    fn objects_and_arrays_are_not_merged() {
        assert_eq!(
            text(
                r#"{"a":[1],"o":{"x":1}}"#,
                r#"{"a":[1,2],"o":{"x":1,"y":2}}"#,
                r#"{"a":[1,3],"o":{"x":9}}"#
            ),
            r#"{"a":[1,2],"o":{"x":1,"y":2}}"#
        );
    }

    #[test]
    fn the_cookie_stays_first_and_its_expiry_is_that_of_the_save() {
        let cookie = |expires: &str| {
            format!(r#"{{"originalMaxAge":1000,"expires":"{expires}","path":"/"}}"#)
        };
        let (a, b, c) = (cookie("a"), cookie("b"), cookie("c"));
        let (found, life) = patched(
            &format!(r#"{{"cookie":{a},"n":1}}"#),
            &format!(r#"{{"cookie":{b},"n":2}}"#),
            &format!(r#"{{"m":1,"cookie":{c},"n":1}}"#),
        );
        assert_eq!(found, format!(r#"{{"cookie":{b},"m":1,"n":2}}"#));
        assert_eq!(life, Life::Mine);
    }

    #[test]
    fn another_age_of_theirs_is_kept_and_the_expiry_follows_it() {
        let (found, life) = patched(
            r#"{"cookie":{"originalMaxAge":1000,"expires":"a"},"n":1}"#,
            r#"{"cookie":{"originalMaxAge":1000,"expires":"b"},"n":2}"#,
            r#"{"cookie":{"originalMaxAge":60000,"expires":"c","secure":true},"n":1}"#,
        );
        assert_eq!(
            found,
            r#"{"cookie":{"originalMaxAge":60000,"expires":"2026-01-01T12:01:00.123Z","secure":true},"n":2}"#
        );
        assert_eq!(life, Life::Theirs(60000.0));
    }

    #[test]
    fn an_age_that_i_changed_is_mine() {
        let (found, life) = patched(
            r#"{"cookie":{"originalMaxAge":1000,"expires":"a"}}"#,
            r#"{"cookie":{"originalMaxAge":5,"expires":"b","path":"/x"}}"#,
            r#"{"cookie":{"originalMaxAge":60000,"expires":"c","secure":true}}"#,
        );
        assert_eq!(
            found,
            r#"{"cookie":{"originalMaxAge":5,"expires":"b","secure":true,"path":"/x"}}"#
        );
        assert_eq!(life, Life::Mine);
    }

    #[test]
    fn an_age_that_has_only_drifted_is_not_changed() {
        let (base, mine) = (
            r#"{"cookie":{"originalMaxAge":1000,"expires":"a"},"n":1}"#,
            r#"{"cookie":{"originalMaxAge":998,"expires":"b"},"n":1}"#,
        );
        let changes = Changes::between(base.as_bytes(), mine.as_bytes()).unwrap();
        assert!(changes.is_empty());
        let (found, life) = patched(
            base,
            &mine.replace(r#""n":1"#, r#""n":2"#),
            r#"{"cookie":{"originalMaxAge":60000,"expires":"c"},"n":1}"#,
        );
        assert_eq!(
            found,
            r#"{"cookie":{"originalMaxAge":60000,"expires":"2026-01-01T12:01:00.123Z"},"n":2}"#
        );
        assert_eq!(life, Life::Theirs(60000.0));
    }

    #[test]
    fn a_cookie_without_an_age_leaves_the_life_as_it_is() {
        let (found, life) = patched(
            r#"{"cookie":{"originalMaxAge":1000,"expires":"a"},"n":1}"#,
            r#"{"cookie":{"originalMaxAge":1000,"expires":"b"},"n":2}"#,
            r#"{"cookie":{"originalMaxAge":null,"expires":null},"n":1}"#,
        );
        assert_eq!(
            found,
            r#"{"cookie":{"originalMaxAge":null,"expires":null},"n":2}"#
        );
        assert_eq!(life, Life::Kept);
    }

    #[test]
    fn a_session_that_only_lives_longer_has_not_changed() {
        let is_empty = |base: &str, mine: &str| {
            Changes::between(base.as_bytes(), mine.as_bytes())
                .unwrap()
                .is_empty()
        };
        assert!(is_empty(
            r#"{"cookie":{"originalMaxAge":1,"expires":"a"},"n": 1.0}"#,
            r#"{"cookie":{"originalMaxAge":1,"expires":"b"},"n":1}"#
        ));
        assert!(!is_empty(
            r#"{"cookie":{"originalMaxAge":1,"expires":"a"}}"#,
            r#"{"cookie":{"originalMaxAge":2,"expires":"b"}}"#
        ));
        assert!(!is_empty(r#"{"n":1}"#, "{}"));
        assert!(is_empty(r#"{"cookie":[1]}"#, r#"{"cookie":[1.0]}"#));
    }

    #[test]
    fn what_is_no_object_is_not_patched() {
        assert!(Changes::between(b"[]", b"{}").is_none());
        assert!(Changes::between(b"{}", b"5").is_none());
        let changes = Changes::between(b"{}", b"{\"a\":1}").unwrap();
        assert_eq!(changes.apply(b"[]", NOON), None);
        assert_eq!(changes.apply(b"", NOON), None);
    }

    #[test]
    fn changes_are_found_where_they_were_stored() {
        let found = |theirs: &str| {
            Changes::between(br#"{"n":1,"m":1,"x":1}"#, br#"{"n":2,"m":1,"y":1}"#)
                .unwrap()
                .found_in(theirs.as_bytes())
        };
        assert_eq!(found(r#"{"n":2,"m":7,"y":1}"#), Traces::All);
        assert_eq!(found(r#"{"n":1,"m":7,"x":1}"#), Traces::None);
        assert_eq!(found(r#"{"n":3,"m":7,"y":1}"#), Traces::Some);
        assert_eq!(found("5"), Traces::Some);
    }

    #[test]
    fn only_what_others_changed_and_i_take_back_is_overwritten() {
        let changes = Changes::between(
            br#"{"cookie":{"expires":"a"},"same":1,"mine":1,"gone":1,"both":1}"#,
            br#"{"cookie":{"expires":"b"},"same":1,"mine":2,"gone":1,"both":3}"#,
        )
        .unwrap();
        let theirs = br#"{"cookie":{"expires":"c"},"same":1,"mine":1,"new":1,"both":3}"#;
        assert_eq!(changes.overwritten_in(theirs), ["new", "gone"]);
    }
}
