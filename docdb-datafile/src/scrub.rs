//! Verifying a file part by part, past the caches where that is possible.

use crate::format::{FILE_HEADER_BYTES, FRAME_ALIGN_BYTES};
use crate::{DataFile, DataFileError, Result};

/// Most stretches that one part tells apart; what comes after them is one stretch.
const STRETCHES_MAX: usize = 1024;

/// A stretch of a file that does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins, in bytes from the file's beginning.
    pub from: u64,
    /// Where what follows it begins.
    pub to: u64,
    /// What does not fit, of the first that does not.
    pub what: &'static str,
}

impl Damage {
    /// Whether a frame that takes these bytes is touched by it.
    pub fn touches(&self, offset: u64, bytes: u64) -> bool {
        offset < self.to && self.from < offset.saturating_add(bytes)
    }
}

/// What [`DataFile::scrub`] has verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scrubbed {
    /// Where the next part begins.
    pub offset: u64,
    /// The file ended here, as far as it was durable when the part began.
    pub is_end: bool,
    /// Where something does not verify, in order, without overlaps.
    pub damage: Vec<Damage>,
}

impl DataFile {
    /// Reads and verifies the file from `from` on, where an earlier part ended or at 0: about
    /// `bytes_max` bytes, and whole frames. What is damaged is told and passed over; of a file that is
    /// too short, all that is left. In bounded
    /// memory: the largest frame and 1 MiB.
    ///
    /// # Errors
    /// `Io`, except for what the device cannot read, which counts as damaged.
    pub fn scrub(&self, from: u64, bytes_max: u64) -> Result<Scrubbed> {
        let durable_len = self.durable_len();
        let reach = bytes_max.min(durable_len.saturating_sub(from));
        // What the page cache has may be intact where the medium is not.
        self.file().forget_cached(from, reach);
        let mut damage: Vec<Damage> = Vec::new();
        let mut note = |from, to, error: &DataFileError| {
            let what = match error {
                DataFileError::Corrupt { what, .. } => *what,
                DataFileError::Io(_) => "the device cannot read it",
                _ => "it is of a kind that this version does not know",
            };
            let is_full = damage.len() == STRETCHES_MAX;
            match damage.last_mut() {
                Some(last) if last.to == from || is_full => last.to = to,
                _ => damage.push(Damage { from, to, what }),
            }
        };
        if from < FILE_HEADER_BYTES as u64 {
            match self.check_header() {
                Ok(()) => {}
                Err(error) if is_damage(&error) => note(0, FILE_HEADER_BYTES as u64, &error),
                Err(error) => return Err(error),
            }
        }
        let missing = self.file().len()? < durable_len;
        if missing {
            let what = "the file ends before its durable length";
            let from = from.max(FILE_HEADER_BYTES as u64);
            note(from, durable_len, &self.corrupt(from, what));
        }
        let end = match missing {
            true => 0,
            false => from.saturating_add(bytes_max.max(1)),
        };
        let mut frames = self.frames_from(from);
        let mut is_end = false;
        let mut unread = None;
        while !is_end && frames.offset() < end {
            let before = frames.offset();
            match frames.next() {
                None => is_end = true,
                Some(Ok(_)) => {}
                Some(Err(error)) if is_damage(&error) => {
                    let begin = match &error {
                        DataFileError::Corrupt { offset, .. } => (*offset).max(before),
                        _ => before,
                    };
                    note(begin, frames.offset(), &error);
                }
                // What the device cannot read is as good as damaged. The frames in it that it can read
                // are for whoever knows where they lie.
                Some(Err(error)) if matches!(&error, DataFileError::Io(io) if io.is_device_error()) =>
                {
                    let behind = end
                        .max(before + FRAME_ALIGN_BYTES)
                        .next_multiple_of(FRAME_ALIGN_BYTES);
                    unread = Some(behind.min(durable_len));
                    note(before, behind.min(durable_len), &error);
                    break;
                }
                Some(Err(error)) => return Err(error),
            }
        }
        let offset = match missing {
            true => durable_len,
            false => unread.unwrap_or(frames.offset()),
        };
        self.file().forget_cached(from, offset.saturating_sub(from));
        Ok(Scrubbed {
            offset,
            is_end: is_end || offset >= durable_len,
            damage,
        })
    }
}

fn is_damage(error: &DataFileError) -> bool {
    matches!(
        error,
        DataFileError::Corrupt { .. } | DataFileError::Unsupported { .. }
    )
}
