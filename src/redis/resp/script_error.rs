//! The errors of commands that a script ran.

use std::borrow::Cow;

use redis::{Value, parse_redis_value};

use crate::error::Code;

/// What Redis 6.2 puts before the error of a script's `redis.call`, and then the digest.
const CALL: &str = "ERR Error running script (call to f_";
/// Before an error in a script, once or twice; then the line.
const PLACE: &str = "@user_script:";
/// What Redis 7 puts after the error of a script's `redis.call`.
const SUFFIX: &str = " script: ";
/// How an error begins if the user of the connection may not run the command: until Redis 7.0, and
/// later.
const NO_PERMISSION: [&str; 2] = [
    "The user executing the script can't",
    "ACL failure in script",
];

/// Returns an error of a script as the command alone would give it; any other reply as it is. So a code
/// has one meaning: Redis 6.2 answers `ERR Error running script (call to f_…): @user_script:1: WRONGTYPE …`,
/// or `@user_script: 1: -READONLY …` to `pcall`.
pub fn without_script(reply: Value) -> Value {
    let Value::ServerError(error) = &reply else {
        return reply;
    };
    let said = match error.details() {
        Some(details) => format!("{} {details}", error.code()),
        None => error.code().to_string(),
    };
    let bare = bare_text(&said);
    if *bare == said {
        return reply;
    }
    // Only the redis crate can make this value.
    let blob = format!("!{}\r\n{bare}\r\n", bare.len());
    parse_redis_value(blob.as_bytes()).unwrap_or(reply)
}

fn bare_text(error: &str) -> Cow<'_, str> {
    let bare = without_place(error);
    let is_placed = bare.len() < error.len();
    let bare = bare
        .rsplit_once(SUFFIX)
        .filter(|(_, suffix)| suffix.contains(PLACE))
        .map_or(bare, |(bare, _)| bare);
    let details = bare.strip_prefix("ERR ").unwrap_or(bare);
    if NO_PERMISSION.iter().any(|begin| details.starts_with(begin)) {
        format!("NOPERM {details}").into()
    } else if is_placed && has_no_code(details) {
        format!("ERR {details}").into()
    } else {
        bare.into()
    }
}

/// The error without what Redis 6.2 says of its place in a script.
fn without_place(error: &str) -> &str {
    let called = error
        .strip_prefix(CALL)
        .and_then(|call| call.split_once("): "));
    let mut placed = called.map_or(error, |(_, placed)| placed);
    while let Some((line, rest)) = placed
        .strip_prefix(PLACE)
        .and_then(|place| place.split_once(": "))
        && line.trim_start().bytes().all(|c| c.is_ascii_digit())
    {
        placed = rest;
    }
    if placed.len() == error.len() {
        return error;
    }
    placed.strip_prefix('-').unwrap_or(placed)
}

fn has_no_code(error: &str) -> bool {
    let word = error.split(' ').next().unwrap_or_default();
    Code::of_server(word) == Code::ServerError
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_as_it_is_without_a_script() {
        let read = |reply: &str| parse_redis_value(reply.as_bytes()).unwrap();
        let said = read("-@user_script: 1: -READONLY You can't write.\r\n");
        assert_eq!(without_script(said), read("-READONLY You can't write.\r\n"));
        for other in [
            "-ERR\r\n",
            "-\r\n",
            "-ERR no\r\n",
            "+OK\r\n",
            "$3\r\n@us\r\n",
        ] {
            assert_eq!(without_script(read(other)), read(other));
        }
    }

    #[test]
    fn an_error_is_the_same_in_a_script() {
        let sha = "a9e934c851f716bdcbd4a04ba3c8791737b238fc";
        for error in [
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "READONLY You can't write against a read only replica.",
            "NOREPLICAS Not enough good replicas to write.",
            "ERR value is not an integer or out of range",
        ] {
            for said in [
                // Redis 6.2: an error of the command itself, and one of its conditions.
                format!("ERR Error running script (call to f_{sha}): @user_script:1: {error}"),
                format!(
                    "ERR Error running script (call to f_{sha}): @user_script:3: \
                     @user_script: 3: -{error}"
                ),
                format!("@user_script: 12: -{error}"),
                // Redis 7, Valkey.
                format!("{error} script: {sha}, on @user_script:1."),
                format!("{error} script: on @user_script:1."),
                error.to_string(),
            ] {
                assert_eq!(bare_text(&said), error, "{said}");
            }
        }
    }

    #[test]
    fn a_missing_right_has_one_code() {
        let old = "The user executing the script can't run this command or subcommand";
        let new = "ACL failure in script: No permissions to access a key";
        for (said, details) in [
            (format!("@user_script: 1: {old}"), old),
            (
                format!(
                    "ERR Error running script (call to f_a9): @user_script:1: @user_script: 1: {old}"
                ),
                old,
            ),
            (format!("ERR {old} script: a9, on @user_script:1."), old),
            (format!("ERR {old}"), old),
            (format!("ERR {new} script: a9, on @user_script:1."), new),
            (format!("ERR {new}"), new),
        ] {
            assert_eq!(bare_text(&said), format!("NOPERM {details}"), "{said}");
        }
    }

    #[test]
    fn another_error_is_left_as_it_is() {
        for error in [
            "",
            "-",
            "ERR",
            "ERR unknown command 'GETEX', with args beginning with: '@user_script:1: x'",
            "ERR syntax error script: here",
            "NOSCRIPT No matching script. Please use EVAL.",
            "@user_script",
            "@user_script:x: y",
            "ERR Error running script (call to f_",
        ] {
            assert_eq!(bare_text(error), error);
        }
        assert_eq!(bare_text("@user_script: 1: 'x' is nil"), "ERR 'x' is nil");
    }
}
