//! Panics on demand, for the tests of what a panic leaves behind. Only a build with the feature
//! `test-panics` has them.

/// Panics where `bytes` hold `panic at ` and the name of the place.
#[cfg(feature = "test-panics")]
pub fn panic_at(place: &str, bytes: &[u8]) {
    let asked = format!("panic at {place}");
    if bytes
        .windows(asked.len())
        .any(|here| here == asked.as_bytes())
    {
        panic!("the feature test-panics: {asked}");
    }
}

#[cfg(not(feature = "test-panics"))]
pub fn panic_at(_place: &str, _bytes: &[u8]) {}
