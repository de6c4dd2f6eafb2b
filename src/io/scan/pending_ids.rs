//! Ids on their way to the JS thread, many at once.

use std::mem::take;

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
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut self.json, &String::from_utf8_lossy(id));
    }

    /// Returns the ids as a JSON array, and empties this. `None` if there are none.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        let PendingIds { mut json, count } = take(self);
        json.push(b']');
        (count > 0).then_some(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_a_json_array_whatever_they_hold() {
        let mut ids = PendingIds::default();
        assert_eq!(ids.take(), None);
        for id in ["a", "\"b\"", "\u{1}é"] {
            ids.add(id.as_bytes());
        }
        ids.add(b"\xff");
        let ids: Vec<String> = serde_json::from_slice(&ids.take().unwrap()).unwrap();
        assert_eq!(ids, ["a", "\"b\"", "\u{1}é", "\u{fffd}"]);
    }
}
