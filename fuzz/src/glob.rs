//! Redis's glob-style matching (`stringmatchlen` in its util.c), written anew from its rules.

/// Whether `pattern` matches the whole of `text`.
pub fn matches(mut pattern: &[u8], mut text: &[u8]) -> bool {
    while let Some((&first, rest)) = pattern.split_first() {
        match first {
            b'*' => {
                return (0..=text.len()).any(|skipped| matches(rest, &text[skipped..]));
            }
            _ if text.is_empty() => return false,
            b'?' => pattern = rest,
            b'[' => {
                let (is_in, after) = class(rest, text[0]);
                if !is_in {
                    return false;
                }
                pattern = after;
            }
            // A backslash at the very end stands for itself.
            b'\\' if !rest.is_empty() => {
                if rest[0] != text[0] {
                    return false;
                }
                pattern = &rest[1..];
            }
            _ => {
                if first != text[0] {
                    return false;
                }
                pattern = rest;
            }
        }
        text = &text[1..];
    }
    text.is_empty()
}

/// Whether `byte` is in the class that `pattern` begins with, and what follows the class.
fn class(mut pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    let is_negated = pattern.first() == Some(&b'^');
    if is_negated {
        pattern = &pattern[1..];
    }
    let mut is_in = false;
    loop {
        match *pattern {
            [] => break,
            [b']', ..] => {
                pattern = &pattern[1..];
                break;
            }
            [b'\\', escaped, ..] => {
                is_in |= escaped == byte;
                pattern = &pattern[2..];
            }
            [from, b'-', to, ..] => {
                is_in |= (from.min(to)..=from.max(to)).contains(&byte);
                pattern = &pattern[3..];
            }
            [one, ..] => {
                is_in |= one == byte;
                pattern = &pattern[1..];
            }
        }
    }
    (is_in != is_negated, pattern)
}
