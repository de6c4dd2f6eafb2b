//! zstd, for texts that become smaller by it.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::get_frame_content_size;

/// The highest level of zstd.
pub const MAX_LEVEL: i32 = 22;
/// Bytes of the longest text that is compressed, and the most that a compressed text may declare: what
/// is stored may be anybody's, and room for it is taken before it is read.
const MAX_TEXT: usize = 64 * 1024 * 1024;

/// The option `compression`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compression {
    /// Bytes of the shortest text that is compressed.
    pub threshold: usize,
    /// zstd's, from 1 to [`MAX_LEVEL`].
    pub level: i32,
}

impl Default for Compression {
    fn default() -> Compression {
        Compression {
            threshold: 1024,
            level: 1,
        }
    }
}

thread_local! {
    // Made anew, each would cost as much as the work.
    static COMPRESSOR: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

impl Compression {
    /// Returns the compressed text; `None` if that would not be a tenth smaller.
    pub fn compress(self, text: &[u8]) -> Option<Vec<u8>> {
        if text.len() < self.threshold.max(1) || text.len() > MAX_TEXT {
            return None;
        }
        // With no more room than is of use, zstd gives up early.
        let mut compressed = vec![0; text.len() - text.len().div_ceil(10)];
        let length = COMPRESSOR.with_borrow_mut(|slot| {
            let compressor = match slot {
                Some((level, compressor)) if *level == self.level => compressor,
                _ => {
                    &mut slot
                        .insert((self.level, Compressor::new(self.level).ok()?))
                        .1
                }
            };
            compressor
                .compress_to_buffer(text, &mut compressed[..])
                .ok()
        })?;
        compressed.truncate(length);
        Some(compressed)
    }
}

/// Returns the text; `None` if that is no zstd frame, or one that declares no length or more than
/// [`MAX_TEXT`].
pub fn decompress(compressed: &[u8]) -> Option<Vec<u8>> {
    let declared = get_frame_content_size(compressed).ok()??;
    let length = usize::try_from(declared).ok()?;
    if length > MAX_TEXT {
        return None;
    }
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(decompressor) => decompressor,
            None => slot.insert(Decompressor::new().ok()?),
        };
        let text = decompressor.decompress(compressed, length).ok()?;
        (text.len() == length).then_some(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Compression = Compression {
        threshold: 0,
        level: 1,
    };

    #[test]
    fn a_text_is_compressed_only_if_it_gets_smaller() {
        let text = "a session of an app, ".repeat(100);
        let compressed = ALL.compress(text.as_bytes()).unwrap();
        assert!(compressed.len() < text.len() / 10);
        assert_eq!(decompress(&compressed).as_deref(), Some(text.as_bytes()));
        let mut random = [0; 600];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random).unwrap();
        assert_eq!(ALL.compress(&random), None);
        assert_eq!(ALL.compress(b""), None);
        assert_eq!(Compression::default().compress(&[b'a'; 1023]), None);
        assert!(Compression::default().compress(&[b'a'; 1024]).is_some());
    }

    #[test]
    fn a_declared_length_of_4_gb_takes_no_memory() {
        // Magic, a descriptor that announces eight bytes of length, the window, and the length.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x00];
        frame.extend_from_slice(&(4_u64 << 30).to_le_bytes());
        assert_eq!(get_frame_content_size(&frame).ok(), Some(Some(4 << 30)));
        assert_eq!(decompress(&frame), None);
    }

    #[test]
    fn a_frame_that_lies_about_its_length_is_not_read() {
        let text = [b'a'; 5000];
        let frame = ALL.compress(&text).unwrap();
        for cut in 0..frame.len() {
            assert_eq!(decompress(&frame[..cut]), None, "{cut}");
        }
        assert_eq!(decompress(&[&frame[..], &frame[..]].concat()), None);
        assert_eq!(decompress(b"no frame"), None);
    }
}
