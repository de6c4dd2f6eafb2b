//! Panics on demand, for tests of what a panic leaves behind. Only a build with the feature
//! `test-panics` panics.

/// Panics if `bytes` hold the text `panic at ` followed by `place`.
#[cfg(feature = "test-panics")]
pub fn panic_at(place: &str, bytes: &[u8]) {
    let trigger = format!("panic at {place}");
    if bytes
        .windows(trigger.len())
        .any(|window| window == trigger.as_bytes())
    {
        panic!("the feature test-panics: {trigger}");
    }
}

#[cfg(not(feature = "test-panics"))]
pub fn panic_at(_place: &str, _bytes: &[u8]) {}
