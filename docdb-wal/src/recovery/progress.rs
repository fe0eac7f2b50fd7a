//! How far a recovery has got.

use std::fmt;
use std::sync::Arc;

/// How far a recovery has got with reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RecoveryProgress {
    /// Segments read to their end.
    pub segments: u64,
    /// Segments to read.
    pub segments_total: u64,
    /// Bytes of the segments read, padding included.
    pub bytes: u64,
    /// Bytes of all segments to read; the last one may end earlier.
    pub bytes_total: u64,
    /// Records handed to the visitor.
    pub records: u64,
}

/// Is told how far a recovery has got: after each segment and about every 16 MiB, on the thread that
/// reads. The recovery waits for it.
#[derive(Clone)]
pub struct OnProgress(Arc<dyn Fn(RecoveryProgress) + Send + Sync>);

impl OnProgress {
    /// Calls `tell`.
    pub fn new(tell: impl Fn(RecoveryProgress) + Send + Sync + 'static) -> OnProgress {
        OnProgress(Arc::new(tell))
    }
}

impl fmt::Debug for OnProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnProgress").finish_non_exhaustive()
    }
}

/// How many bytes are read between two calls.
const TELL_BYTES: u64 = 16 << 20;

/// Counts, and calls.
#[derive(Debug, Default)]
pub(super) struct Teller {
    tell: Option<OnProgress>,
    progress: RecoveryProgress,
    told_bytes: u64,
    /// Of the segments before the one being read.
    bytes_before: u64,
}

impl Teller {
    pub(super) fn new(tell: Option<OnProgress>, segments: u64, bytes: u64) -> Teller {
        Teller {
            tell,
            progress: RecoveryProgress {
                segments_total: segments,
                bytes_total: bytes,
                ..RecoveryProgress::default()
            },
            ..Teller::default()
        }
    }

    /// The segment was read up to `offset`.
    pub(super) fn read_to(&mut self, offset: u64, records: u64) {
        self.progress.bytes = self.bytes_before + offset;
        self.progress.records = records;
        if self.progress.bytes >= self.told_bytes + TELL_BYTES {
            self.tell();
        }
    }

    /// The segment was read to its end.
    pub(super) fn end_segment(&mut self, bytes: u64) {
        self.bytes_before += bytes;
        self.progress.bytes = self.bytes_before;
        self.progress.segments += 1;
        self.tell();
    }

    fn tell(&mut self) {
        self.told_bytes = self.progress.bytes;
        if let Some(OnProgress(tell)) = &self.tell {
            tell(self.progress);
        }
    }
}
