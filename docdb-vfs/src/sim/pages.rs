//! The contents of a file as sparse pages that images share until one of them writes.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::hash::Hash64;

/// Bytes in a page.
pub(super) const PAGE_BYTES: u64 = 4096;

const ZEROS: [u8; PAGE_BYTES as usize] = [0; PAGE_BYTES as usize];

/// A page and, once somebody asked, its hash.
#[derive(Debug)]
struct Page {
    bytes: [u8; PAGE_BYTES as usize],
    hash: OnceLock<u64>,
}

impl Clone for Page {
    /// A copy is made to be written to, so it does not take the hash along.
    fn clone(&self) -> Self {
        Self {
            bytes: self.bytes,
            hash: OnceLock::new(),
        }
    }
}

/// One state of a file's contents. A clone costs one reference count; pages are copied when written
/// to while another image shares them.
///
/// Invariant outside of [`Image::put`] and [`Image::settle`]: bytes past `len` are zero.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    pages: Arc<BTreeMap<u64, Arc<Page>>>,
    len: u64,
    /// Space below this offset is set aside, whether or not it has a page.
    reserved: u64,
}

impl Image {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Copies what lies at `offset` and returns how much that was; less than `buf.len()` only at
    /// the end.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let left = self.len.saturating_sub(offset).min(buf.len() as u64);
        let buf = &mut buf[..left as usize];
        for piece in pieces(offset, buf.len() as u64, PAGE_BYTES) {
            let target = &mut buf[piece.start..piece.end];
            match self.pages.get(&piece.index) {
                Some(page) => {
                    target.copy_from_slice(&page.bytes[piece.inner..piece.inner + target.len()]);
                }
                None => target.fill(0),
            }
        }
        buf.len()
    }

    /// Writes and extends.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        self.put(offset, data);
        self.grow(offset + data.len() as u64);
    }

    /// Writes without a change of length: what lands past the end shows only if the length grows
    /// before [`Image::settle`].
    pub(super) fn put(&mut self, offset: u64, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let pages = Arc::make_mut(&mut self.pages);
        for piece in pieces(offset, data.len() as u64, PAGE_BYTES) {
            let source = &data[piece.start..piece.end];
            let page = pages.entry(piece.index).or_insert_with(|| {
                Arc::new(Page {
                    bytes: ZEROS,
                    hash: OnceLock::new(),
                })
            });
            let page = Arc::make_mut(page);
            page.hash = OnceLock::new();
            page.bytes[piece.inner..piece.inner + source.len()].copy_from_slice(source);
        }
    }

    /// Makes the length at least `len`.
    pub(super) fn grow(&mut self, len: u64) {
        self.len = self.len.max(len);
    }

    /// Sets space aside and makes the length at least `len`.
    pub(super) fn reserve(&mut self, len: u64) {
        self.reserved = self.reserved.max(len);
        self.grow(len);
    }

    /// Sets the length; what lay past it is gone.
    pub(super) fn resize(&mut self, len: u64) {
        self.len = len;
        self.reserved = self.reserved.min(len);
        self.settle();
    }

    /// Drops what lies past the end.
    pub(super) fn settle(&mut self) {
        let first_past = self.len.div_ceil(PAGE_BYTES);
        let tail = (self.len % PAGE_BYTES) as usize;
        let last = self.len / PAGE_BYTES;
        let dirty_tail = tail > 0
            && self
                .pages
                .get(&last)
                .is_some_and(|page| page.bytes[tail..] != ZEROS[tail..]);
        let past = self
            .pages
            .last_key_value()
            .is_some_and(|(index, _)| *index >= first_past);
        if !dirty_tail && !past {
            return;
        }
        let pages = Arc::make_mut(&mut self.pages);
        drop(pages.split_off(&first_past));
        if dirty_tail && let Some(page) = pages.get_mut(&last) {
            let page = Arc::make_mut(page);
            page.hash = OnceLock::new();
            page.bytes[tail..].fill(0);
        }
    }

    /// Takes over the page `index` as `other` has it.
    pub(super) fn share_page(&mut self, index: u64, other: &Image) {
        let pages = Arc::make_mut(&mut self.pages);
        match other.pages.get(&index) {
            Some(page) => pages.insert(index, Arc::clone(page)),
            None => pages.remove(&index),
        };
    }

    /// Inverts one bit of the byte at `offset`, which must lie below the length.
    pub(super) fn flip_bit(&mut self, offset: u64, bit: u8) {
        let mut byte = [0];
        self.read(&mut byte, offset);
        byte[0] ^= 1 << (bit % 8);
        self.put(offset, &byte);
    }

    /// Pages that take up space, whether written or set aside.
    pub(super) fn allocated_pages(&self) -> u64 {
        let reserved = self.reserved.div_ceil(PAGE_BYTES);
        reserved + self.pages.range(reserved..).count() as u64
    }

    /// Pages that a write of `len` bytes at `offset` would newly take up.
    pub(super) fn missing_pages(&self, offset: u64, len: u64) -> u64 {
        let reserved = self.reserved.div_ceil(PAGE_BYTES);
        let first = (offset / PAGE_BYTES).max(reserved);
        let end = (offset + len).div_ceil(PAGE_BYTES).max(first);
        (end - first) - self.pages.range(first..end).count() as u64
    }

    /// Adds length and contents; a page of zeros counts as no page.
    pub(super) fn hash_into(&self, hash: &mut Hash64) {
        hash.number(self.len);
        for (index, page) in self.pages.iter() {
            let of_page = *page.hash.get_or_init(|| {
                if page.bytes == ZEROS {
                    return 0;
                }
                let mut hash = Hash64::new();
                hash.bytes(&page.bytes);
                hash.value().max(1)
            });
            if of_page != 0 {
                hash.number(*index);
                hash.number(of_page);
            }
        }
    }
}

/// The part of a byte range that lies within one page or sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// The page or sector.
    pub(super) index: u64,
    /// Where in it the part begins.
    pub(super) inner: usize,
    /// Where in the range the part begins.
    pub(super) start: usize,
    /// Where in the range the part ends.
    pub(super) end: usize,
}

/// Cuts `len` bytes at `offset` at the multiples of `unit_bytes`.
pub(super) fn pieces(offset: u64, len: u64, unit_bytes: u64) -> impl Iterator<Item = Piece> {
    let mut start = 0;
    std::iter::from_fn(move || {
        if start >= len {
            return None;
        }
        let at = offset + start;
        let inner = at % unit_bytes;
        let end = len.min(start + unit_bytes - inner);
        let piece = Piece {
            index: at / unit_bytes,
            inner: inner as usize,
            start: start as usize,
            end: end as usize,
        };
        start = end;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(image: &Image) -> Vec<u8> {
        let mut buf = vec![0xee; image.len() as usize];
        assert_eq!(image.read(&mut buf, 0), buf.len());
        buf
    }

    #[test]
    fn cuts_at_the_boundaries() {
        let cut: Vec<Piece> = pieces(510, 516, 512).collect();
        assert_eq!(
            cut,
            [
                Piece {
                    index: 0,
                    inner: 510,
                    start: 0,
                    end: 2
                },
                Piece {
                    index: 1,
                    inner: 0,
                    start: 2,
                    end: 514
                },
                Piece {
                    index: 2,
                    inner: 0,
                    start: 514,
                    end: 516
                },
            ]
        );
        assert_eq!(pieces(5, 0, 512).count(), 0);
    }

    #[test]
    fn a_clone_is_independent() {
        let mut a = Image::default();
        a.write(4090, &[1; 12]);
        let b = a.clone();
        a.write(4095, &[2; 2]);
        assert_eq!(&contents(&b)[4090..], [1; 12]);
        assert_eq!(&contents(&a)[4090..], [1, 1, 1, 1, 1, 2, 2, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn a_cut_does_not_come_back() {
        let mut image = Image::default();
        image.write(0, &[7; 10_000]);
        image.resize(5000);
        image.resize(10_000);
        let bytes = contents(&image);
        assert!(bytes[..5000].iter().all(|b| *b == 7));
        assert!(bytes[5000..].iter().all(|b| *b == 0));
    }

    #[test]
    fn counts_space_by_the_page() {
        let mut image = Image::default();
        image.reserve(8192);
        assert_eq!(image.allocated_pages(), 2);
        assert_eq!(image.missing_pages(0, 8193), 1);
        image.write(8192, &[1]);
        assert_eq!(image.allocated_pages(), 3);
        assert_eq!(image.missing_pages(1 << 40, 1), 1);
    }

    #[test]
    fn the_hash_sees_contents_not_layout() {
        let hash = |image: &Image| {
            let mut hash = Hash64::new();
            image.hash_into(&mut hash);
            hash.value()
        };
        let mut sparse = Image::default();
        sparse.resize(8192);
        let mut zeros = Image::default();
        zeros.write(0, &[0; 8192]);
        assert_eq!(hash(&sparse), hash(&zeros));
        zeros.write(5, &[1]);
        assert_ne!(hash(&sparse), hash(&zeros));
    }
}
