//! A session's changes, put over what another has stored: the result is what a model of top-level
//! members says, byte for byte in the members' own text; and whatever the texts are, nothing panics.
//!
//! An input that begins with `{` is three texts, one a line; any other makes sessions of the members
//! below.
#![no_main]

use arbitrary::{Result, Unstructured};
use connect_redis_rs_fuzz::json::{self, Json};
use connect_redis_rs_fuzz::session::patch::{Changes, Life, Traces};
use libfuzzer_sys::fuzz_target;

const NOW: f64 = 1_767_268_800_000.0;

/// Names, some in two notations.
const NAMES: [[&str; 2]; 6] = [
    [r#""a""#, r#""\u0061""#],
    [r#""passport""#, r#""pass\u0070ort""#],
    [r#""é""#, r#""\u00e9""#],
    [r#""1""#, r#""\u0031""#],
    [r#""__proto__""#, r#""__pro\u0074o__""#],
    [r#""\ud800""#, r#""\uD800""#],
];
/// Values, each in two notations that JS reads alike.
const VALUES: [[&str; 2]; 8] = [
    ["1", "1.0"],
    ["-0", "0"],
    ["1e21", "1000000000000000000000"],
    [r#""x/\"""#, r#""\u0078\/\u0022""#],
    [
        r#"{"user":{"id":7,"roles":["a"]}}"#,
        r#"{"user" : {"roles":["\u0061"],"id":7.0}}"#,
    ],
    ["[]", "[ ]"],
    ["[1,2]", "[1, 2e0]"],
    ["null", "null"],
];
const AGES: [&str; 3] = ["null", "1000", "60000"];
const EXPIRES: [&str; 3] = ["null", "\"2026-01-01T00:00:00.000Z\"", "5"];
const FLAGS: [&str; 2] = ["false", "true"];

/// A session of the model: for each name the value and its notation; and the cookie, if it has one.
#[derive(Clone, Debug)]
struct Model {
    members: [Option<(usize, usize)>; NAMES.len()],
    cookie: Option<Cookie>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Cookie {
    age: usize,
    expires: usize,
    secure: Option<usize>,
}

fuzz_target!(|input: &[u8]| {
    if input.starts_with(b"{") {
        let mut lines = input.splitn(3, |&byte| byte == b'\n');
        let mut next = || lines.next().unwrap_or_default();
        return any_texts(next(), next(), next());
    }
    let _ = sessions(&mut Unstructured::new(input));
});

/// Whatever is patched stays what it must be: an object, with the cookie first.
fn any_texts(base: &[u8], mine: &[u8], theirs: &[u8]) {
    let Some(changes) = Changes::between(base, mine) else {
        return;
    };
    changes.overwritten_in(theirs);
    changes.found_in(theirs);
    let Some(patched) = changes.apply(theirs, NOW) else {
        return;
    };
    assert!(matches!(json::parse(&patched.text), Some(Json::Object(_))));
    let again = Changes::between(&patched.text, &patched.text);
    assert!(again.is_some_and(|changes| changes.is_empty()));
}

fn sessions(input: &mut Unstructured) -> Result<()> {
    let (base, mine, theirs) = (model(input)?, model(input)?, model(input)?);
    let notations: [usize; NAMES.len()] =
        [0; NAMES.len()].map(|_| usize::from(input.arbitrary::<bool>().unwrap_or_default()));
    let text = |model: &Model, notations: &[usize]| written(model, notations).into_bytes();
    let plain = [0; NAMES.len()];
    let (base_text, mine_text) = (text(&base, &plain), text(&mine, &plain));
    let theirs_text = text(&theirs, &notations);
    let changes = Changes::between(&base_text, &mine_text).expect("both are objects");
    let patched = changes
        .apply(&theirs_text, NOW)
        .expect("theirs is one, too");

    let value = |model: &Model, n: usize| model.members[n].map(|(value, _)| value);
    let is_mine = |n: usize| value(&base, n) != value(&mine, n);
    let mut wanted = Vec::new();
    if let Some(cookie) = cookie(base.cookie, mine.cookie, theirs.cookie, patched.life) {
        wanted.push(format!("\"cookie\":{cookie}"));
    }
    let put = |name: &str, (value, notation): (usize, usize)| {
        format!("{name}:{}", VALUES[value][notation])
    };
    for (n, name) in NAMES.iter().enumerate() {
        let taken = if is_mine(n) { &mine } else { &theirs };
        if let (Some(value), Some(_)) = (taken.members[n], theirs.members[n]) {
            wanted.push(put(name[notations[n]], value));
        }
    }
    for (n, name) in NAMES.iter().enumerate() {
        if let (true, Some(value), None) = (is_mine(n), mine.members[n], theirs.members[n]) {
            wanted.push(put(name[0], value));
        }
    }
    let wanted = format!("{{{}}}", wanted.join(","));
    assert_eq!(String::from_utf8_lossy(&patched.text), wanted);

    // What was patched has all of my changes.
    assert_ne!(changes.found_in(&patched.text), Traces::Some);
    let lost = changes.overwritten_in(&theirs_text).len();
    let taken_back = (0..NAMES.len())
        .filter(|&n| value(&base, n) != value(&theirs, n) && value(&mine, n) != value(&theirs, n));
    assert_eq!(lost, taken_back.count());
    Ok(())
}

fn model(input: &mut Unstructured) -> Result<Model> {
    let mut members = [None; NAMES.len()];
    for member in &mut members {
        // Small, so that two sessions often have the same.
        let n = input.int_in_range(0..=VALUES.len() * 2)?;
        *member = n.checked_sub(1).map(|n| (n / 2, n % 2));
    }
    let cookie = Cookie {
        age: input.choose_index(AGES.len())?,
        expires: input.choose_index(EXPIRES.len())?,
        secure: input.int_in_range(0..=FLAGS.len())?.checked_sub(1),
    };
    let cookie = input.ratio(7, 8)?.then_some(cookie);
    Ok(Model { members, cookie })
}

fn written(model: &Model, notations: &[usize]) -> String {
    let cookie = model
        .cookie
        .map(|cookie| format!("\"cookie\":{}", written_cookie(cookie)));
    let members = model.members.iter().enumerate().filter_map(|(n, member)| {
        let (value, notation) = (*member)?;
        Some(format!(
            "{}:{}",
            NAMES[n][notations[n]], VALUES[value][notation]
        ))
    });
    let all: Vec<String> = cookie.into_iter().chain(members).collect();
    format!("{{{}}}", all.join(","))
}

fn written_cookie(cookie: Cookie) -> String {
    let secure = cookie.secure.map(|n| format!(",\"secure\":{}", FLAGS[n]));
    format!(
        "{{\"originalMaxAge\":{},\"expires\":{}{}}}",
        AGES[cookie.age],
        EXPIRES[cookie.expires],
        secure.unwrap_or_default()
    )
}

/// The cookie that the model says, as text.
fn cookie(
    base: Option<Cookie>,
    mine: Option<Cookie>,
    theirs: Option<Cookie>,
    life: Life,
) -> Option<String> {
    let (mine, theirs) = match (mine, theirs) {
        (Some(mine), Some(theirs)) => (mine, theirs),
        (mine, theirs) => {
            assert_eq!(life, Life::Mine);
            return mine.or(theirs).map(written_cookie);
        }
    };
    let Some(base) = base else {
        // It is new, and so mine as a whole.
        assert_eq!(life, Life::Mine);
        return Some(written_cookie(mine));
    };
    let is_age_mine = base.age != mine.age;
    let age = if is_age_mine { mine.age } else { theirs.age };
    let secure = if base.secure == mine.secure {
        theirs.secure
    } else {
        mine.secure
    };
    let mut text = written_cookie(Cookie {
        age,
        expires: mine.expires,
        secure,
    });
    if is_age_mine || base.age == theirs.age {
        assert_eq!(life, Life::Mine);
    } else if let Ok(ms) = AGES[age].parse::<f64>() {
        assert_eq!(life, Life::Theirs(ms));
        let date = connect_redis_rs_fuzz::check::iso((NOW + ms) as u64);
        let from = format!("\"expires\":{}", EXPIRES[mine.expires]);
        text = text.replace(&from, &format!("\"expires\":\"{date}\""));
    } else {
        assert_eq!(life, Life::Kept);
        text = written_cookie(Cookie {
            age,
            expires: theirs.expires,
            secure,
        });
    }
    Some(text)
}
