//! The texts that went to JS last, so that a save can say where the text is that its session was loaded
//! with, instead of bringing it back.

/// How many bytes of texts are kept. JS knows by the number of bytes that have crossed whether a text is
/// still here (`lib/native/bases.js`).
pub const RECENT: usize = 2 * 1024 * 1024;

/// The last bytes of all texts, one after the other.
#[derive(Default)]
pub struct RecentTexts {
    /// The byte at each position stands at its remainder by [`RECENT`].
    bytes: Vec<u8>,
    /// The position after the last byte.
    end: u64,
}

impl RecentTexts {
    /// Adds a text. Returns the position after it.
    pub fn push(&mut self, text: &[u8]) -> u64 {
        self.bytes.resize(RECENT, 0); // Once: whoever keeps no bases has no room for them.
        self.end += text.len() as u64;
        // No more than there is room for.
        let text = &text[text.len().saturating_sub(RECENT)..];
        let at = ((self.end - text.len() as u64) % RECENT as u64) as usize;
        let (until_end, rest) = text.split_at(text.len().min(RECENT - at));
        self.bytes[at..at + until_end.len()].copy_from_slice(until_end);
        self.bytes[..rest.len()].copy_from_slice(rest);
        self.end
    }

    /// The text at a position; `None` if it is not here any more.
    pub fn get(&self, position: u64, length: usize) -> Option<Vec<u8>> {
        let end = position.checked_add(length as u64)?;
        if end > self.end || position + (RECENT as u64) < self.end {
            return None;
        }
        let at = (position % RECENT as u64) as usize;
        let until_end = self.bytes.get(at..(at + length).min(RECENT))?;
        let rest = self.bytes.get(..length - until_end.len())?;
        Some([until_end, rest].concat())
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = RecentTexts::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_until_so_many_bytes_have_followed_it() {
        let mut texts = RecentTexts::default();
        assert_eq!(texts.push(b"first"), 5);
        let second = texts.push(b"second");
        assert_eq!(texts.get(0, 5), Some(b"first".to_vec()));
        assert_eq!(texts.get(5, 6), Some(b"second".to_vec()));
        assert_eq!(texts.get(5, 7), None);
        let rest = vec![b'x'; RECENT - 6];
        assert_eq!(texts.push(&rest), second + rest.len() as u64);
        assert_eq!(texts.get(5, 6), Some(b"second".to_vec()));
        assert_eq!(texts.get(4, 6), None);
        assert_eq!(texts.get(second, rest.len()), Some(rest));
    }

    #[test]
    fn a_text_that_goes_over_the_end_of_the_room_is_whole() {
        let mut texts = RecentTexts::default();
        texts.push(&vec![b'x'; RECENT - 3]);
        let end = texts.push(b"abcdef");
        assert_eq!(texts.get(end - 6, 6), Some(b"abcdef".to_vec()));
        assert_eq!(texts.get(end - 7, 7), Some(b"xabcdef".to_vec()));
    }

    #[test]
    fn a_text_that_is_longer_than_the_room_is_there_as_far_as_there_is_room() {
        let mut texts = RecentTexts::default();
        let long: Vec<u8> = (0..RECENT + 5).map(|n| n as u8).collect();
        let end = texts.push(&long);
        assert_eq!(texts.get(0, 6), None);
        assert_eq!(texts.get(end - 6, 6), Some(long[RECENT - 1..].to_vec()));
        assert_eq!(texts.get(5, RECENT), Some(long[5..].to_vec()));
        assert_eq!(texts.get(u64::MAX, 1), None);
    }
}
