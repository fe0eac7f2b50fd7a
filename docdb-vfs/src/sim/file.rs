//! One file: what is durable, what programs see, and the operations between the two.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::pages::{Image, PAGE_BYTES, pieces};

/// A change of length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// At least so many bytes: a write past the end.
    Grow(u64),
    /// At least so many bytes, with their space set aside.
    Reserve(u64),
    /// Exactly so many bytes.
    Resize(u64),
}

impl Length {
    pub(super) fn apply(self, image: &mut Image) {
        match self {
            Length::Grow(len) => image.grow(len),
            Length::Reserve(len) => image.reserve(len),
            Length::Resize(len) => image.resize(len),
        }
    }
}

/// What an operation did to a file. Length and contents are apart, because they persist apart.
#[derive(Debug, Clone)]
pub(super) enum FileChange {
    /// Bytes at an offset. After a failed sync they are `lost`: still read, but clean in the
    /// kernel's eyes, so that no later sync writes them.
    Data {
        offset: u64,
        bytes: Arc<[u8]>,
        lost: bool,
    },
    /// A new length. The inode stays dirty when a sync fails, so a length is never lost.
    Length(Length),
}

/// An operation that no sync has covered.
#[derive(Debug, Clone)]
pub(super) struct FileOp {
    /// Place in the order of all operations of the disk.
    pub(super) seq: u64,
    pub(super) change: FileChange,
}

/// A file. Invariant: `unsynced` applied in order to `durable` gives `current`.
#[derive(Debug, Clone, Default)]
pub(super) struct FileNode {
    pub(super) durable: Image,
    pub(super) current: Image,
    pub(super) unsynced: Vec<FileOp>,
    /// Entries that name the file now: 0 or 1.
    pub(super) links: u32,
    /// Open handles.
    pub(super) handles: u32,
}

impl FileNode {
    /// A file whose contents are all durable.
    pub(super) fn settled(image: Image) -> Self {
        Self {
            durable: image.clone(),
            current: image,
            ..Self::default()
        }
    }

    pub(super) fn write(&mut self, seq: u64, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len() as u64;
        let change = FileChange::Data {
            offset,
            bytes: bytes.into(),
            lost: false,
        };
        self.unsynced.push(FileOp { seq, change });
        if end > self.current.len() {
            let change = FileChange::Length(Length::Grow(end));
            self.unsynced.push(FileOp { seq, change });
        }
        self.current.write(offset, bytes);
    }

    pub(super) fn set_length(&mut self, seq: u64, length: Length) {
        self.unsynced.push(FileOp {
            seq,
            change: FileChange::Length(length),
        });
        length.apply(&mut self.current);
    }

    /// Makes everything durable but what an earlier sync has lost. A lost byte whose page was
    /// written to again persists with that page, as the page cache has it.
    pub(super) fn sync(&mut self) {
        let mut dirty_pages = BTreeSet::new();
        for op in &self.unsynced {
            if let FileChange::Data {
                offset,
                bytes,
                lost: false,
            } = &op.change
            {
                dirty_pages
                    .extend(pieces(*offset, bytes.len() as u64, PAGE_BYTES).map(|p| p.index));
            }
        }
        let mut still_lost = Vec::new();
        for op in std::mem::take(&mut self.unsynced) {
            match op.change {
                FileChange::Data {
                    offset,
                    bytes,
                    lost: true,
                } => {
                    let clean = pieces(offset, bytes.len() as u64, PAGE_BYTES)
                        .filter(|piece| !dirty_pages.contains(&piece.index));
                    still_lost.extend(clean.map(|piece| FileOp {
                        seq: op.seq,
                        change: FileChange::Data {
                            offset: offset + piece.start as u64,
                            bytes: bytes[piece.start..piece.end].into(),
                            lost: true,
                        },
                    }));
                }
                FileChange::Data { .. } => {}
                FileChange::Length(length) => {
                    length.apply(&mut self.durable);
                    if let Length::Resize(len) = length {
                        cut_data(&mut still_lost, len);
                    }
                }
            }
        }
        for page in dirty_pages {
            self.durable.share_page(page, &self.current);
        }
        self.unsynced = still_lost;
    }

    /// A sync failed: the pages are marked clean all the same.
    pub(super) fn lose_unsynced(&mut self) {
        for op in &mut self.unsynced {
            if let FileChange::Data { lost, .. } = &mut op.change {
                *lost = true;
            }
        }
    }
}

/// Takes from data operations what lies at `len` and after it.
fn cut_data(ops: &mut Vec<FileOp>, len: u64) {
    ops.retain_mut(|op| match &mut op.change {
        FileChange::Data { offset, bytes, .. } => {
            let left = len.saturating_sub(*offset);
            if left < bytes.len() as u64 {
                *bytes = bytes[..left as usize].into();
            }
            left > 0
        }
        FileChange::Length(_) => true,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durable(file: &FileNode) -> Vec<u8> {
        let mut buf = vec![0; file.durable.len() as usize];
        file.durable.read(&mut buf, 0);
        buf
    }

    #[test]
    fn a_sync_makes_current_durable() {
        let mut file = FileNode::default();
        file.write(0, 0, &[1; 9000]);
        file.set_length(1, Length::Resize(100));
        file.write(2, 8000, &[2; 8]);
        file.sync();
        assert!(file.unsynced.is_empty());
        let mut expected = vec![1; 100];
        expected.resize(8000, 0);
        expected.extend([2; 8]);
        assert_eq!(durable(&file), expected);
    }

    #[test]
    fn a_later_sync_does_not_bring_back_what_a_failed_one_lost() {
        let mut file = FileNode::default();
        file.write(0, 0, &[1; 8192]);
        file.lose_unsynced();
        file.write(1, 4096, &[2; 1]);
        file.sync();
        let bytes = durable(&file);
        assert_eq!(bytes.len(), 8192);
        assert!(
            bytes[..4096].iter().all(|b| *b == 0),
            "the clean page was never written"
        );
        assert_eq!(bytes[4096], 2);
        assert!(
            bytes[4097..].iter().all(|b| *b == 1),
            "the dirty page goes out whole"
        );
        assert_eq!(file.unsynced.len(), 1);
    }

    #[test]
    fn a_cut_takes_lost_bytes_along() {
        let mut file = FileNode::default();
        file.write(0, 0, &[1; 8192]);
        file.lose_unsynced();
        file.set_length(1, Length::Resize(10));
        file.set_length(2, Length::Resize(8192));
        file.sync();
        let mut replayed = file.durable.clone();
        for op in &file.unsynced {
            if let FileChange::Data { offset, bytes, .. } = &op.change {
                replayed.put(*offset, bytes);
            }
        }
        let mut buf = vec![9; 8192];
        replayed.read(&mut buf, 0);
        assert!(buf[..10].iter().all(|b| *b == 1));
        assert!(buf[10..].iter().all(|b| *b == 0));
    }
}
