//! Records of a scan on their way to JS, many at once (`lib/native/scan-results.js`).

use napi::Env;

use crate::error::StoreError;
use crate::io::event::{CallId, Record};
use crate::napi::answers::Answers;
use crate::napi::callbacks::JsCallbacks;
use crate::napi::crossing::MAX_ANSWERS;
use crate::napi::recent_saves::RecentSaves;
use crate::session::command::Reply;

/// Records of a scan on their way to JS.
#[derive(Default)]
pub struct ScanRecords {
    /// The inside of a JSON array: so JS keeps no part of a larger string.
    ids: Vec<u8>,
    /// Of `all`; empty for `ids`.
    texts: Answers,
    has_texts: bool,
    count: usize,
}

/// A record that was not added.
pub struct BadRecord {
    pub sid: Vec<u8>,
    pub error: StoreError,
}

impl ScanRecords {
    /// Whether the records must be handed over before another is added.
    pub fn is_full(&self) -> bool {
        self.count >= MAX_ANSWERS || self.texts.is_full()
    }

    /// Adds a record.
    pub fn add(&mut self, record: Record) -> Result<(), BadRecord> {
        let Record {
            id,
            text,
            expires,
            trouble,
        } = record;
        if let Some(error) = trouble {
            return Err(BadRecord {
                sid: id,
                error: *error,
            });
        }
        if let Some(text) = text {
            let added = StoreError::catch_panic("all", || {
                let base = None;
                let session = Reply::Session {
                    text,
                    expires,
                    base,
                };
                self.texts
                    .add(0, session, None, &mut RecentSaves::default());
                Ok(())
            });
            added.map_err(|error| BadRecord {
                sid: id.clone(),
                error,
            })?;
            self.has_texts = true;
        }
        let comma: &[u8] = if self.count == 0 { b"" } else { b"," };
        self.ids.extend_from_slice(comma);
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut self.ids, &String::from_utf8_lossy(&id));
        self.count += 1;
        Ok(())
    }

    /// Hands the records of a scan over to JS, and empties this.
    pub fn hand_over(&mut self, env: &Env, callbacks: &JsCallbacks, scan: CallId) {
        if self.count > 0 {
            let ids = [b"[", &*self.ids, b"]"].concat();
            let texts = self.has_texts.then(|| self.texts.packed());
            callbacks.scan_chunk(env, scan, &ids, texts);
        }
        self.ids.clear();
        self.texts.clear();
        self.has_texts = false;
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sids_are_the_inside_of_a_json_array_whatever_they_hold() {
        let mut records = ScanRecords::default();
        for id in ["a", "\"b\"", "\u{1}é"] {
            let id = id.into();
            let record = Record {
                id,
                text: None,
                expires: None,
                trouble: None,
            };
            assert!(records.add(record).is_ok());
        }
        let array = [b"[", &*records.ids, b"]"].concat();
        let sids: Vec<String> = serde_json::from_slice(&array).unwrap();
        assert_eq!(sids, ["a", "\"b\"", "\u{1}é"]);
        assert!(!records.has_texts);
    }
}
