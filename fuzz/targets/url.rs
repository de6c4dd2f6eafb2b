//! Any text as the option `url`: it is taken or explained, and an explanation repeats no password.
//!
//! A byte of 1 stands for a password that a look at the explanation would find.
#![no_main]

use connect_redis_rs_fuzz::redis::url::Url;
use connect_redis_rs_fuzz::values::put_key;
use libfuzzer_sys::fuzz_target;

const PASSWORD: &str = "Pa55w0rD";

fuzz_target!(|input: &[u8]| {
    let text = put_key(input, PASSWORD.as_bytes());
    // Those are no part of any url.
    let url = String::from_utf8_lossy(&text).replace(['\t', '\n', '\r'], "");
    let shown = match Url::parse(&url) {
        Ok(url) => url.address.name().to_string(),
        Err(explained) => {
            assert!(!explained.is_empty());
            explained
        }
    };
    if has_password(&url) {
        assert!(!holds_password(&shown), "{url}: {shown}");
    }
});

/// Whether the password stands where one belongs, in `scheme://user:password@host`, and there only.
fn has_password(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    if scheme.to_lowercase().ends_with("unix") {
        return false; // There it is a parameter, and nothing tells what belongs to it.
    }
    let (login, host) = rest.rsplit_once('@').unwrap_or_default();
    let (user, password) = login.split_once(':').unwrap_or_default();
    password.contains(PASSWORD)
        && ![scheme, user, host].into_iter().any(holds_password)
        && !user.contains(['/', '@', '?', '#', '\\'])
}

/// Also where a host name or a scheme was made lower case of it.
fn holds_password(text: &str) -> bool {
    text.to_lowercase().contains("pa55")
}
