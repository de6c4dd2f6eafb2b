//! Ids on their way to the JS thread, many at once.

use std::mem::{replace, take};

/// Ids that are not handed over yet.
#[derive(Default)]
pub struct PendingIds {
    /// A JSON array without its end; empty if there are none.
    json: Vec<u8>,
    count: usize,
}

impl PendingIds {
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn add(&mut self, id: &[u8]) {
        self.json.push(if self.count == 0 { b'[' } else { b',' });
        self.count += 1;
        if is_plain(id) {
            self.json.push(b'"');
            self.json.extend_from_slice(id);
            self.json.push(b'"');
        } else {
            // Writing to memory does not fail.
            let _ = serde_json::to_writer(&mut self.json, &String::from_utf8_lossy(id));
        }
    }

    /// Returns the ids as a JSON array, and empties this. `None` if there are none.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        let count = take(&mut self.count);
        // The next ids need as much room: so the array is not moved while it grows.
        let room = Vec::with_capacity(self.json.len());
        let mut json = replace(&mut self.json, room);
        json.push(b']');
        (count > 0).then_some(json)
    }
}

/// Whether an id stands in JSON as it is. The ids of express-session do.
fn is_plain(id: &[u8]) -> bool {
    // All bytes are looked at, many at once, since nearly all ids are plain.
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') & !matches!(byte, b'"' | b'\\');
    id.iter().fold(true, |all, byte| all & plain(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_a_json_array_whatever_they_hold() {
        let mut ids = PendingIds::default();
        assert_eq!(ids.take(), None);
        for id in ["a ~", "", "\"b\"", "c\\", "\u{1}é", "\u{7f}"] {
            ids.add(id.as_bytes());
        }
        ids.add(b"\xff");
        let array: Vec<String> = serde_json::from_slice(&ids.take().unwrap()).unwrap();
        assert_eq!(
            array,
            ["a ~", "", "\"b\"", "c\\", "\u{1}é", "\u{7f}", "\u{fffd}"]
        );
        assert_eq!(ids.take(), None);
        ids.add(b"d");
        assert_eq!(ids.take().unwrap(), b"[\"d\"]");
    }
}
