//! Which segments count, and how much of each.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use docdb_vfs::VfsFile;

use super::Survey;
use crate::error::{Result, WalError};
use crate::format::segment::{Cut, HeaderError, Origin, file_name};
use crate::recovery::chain::SegmentFile;

/// A segment, as far as it counts.
pub(super) struct Part {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn VfsFile>,
    /// `None` if the header does not verify.
    pub(super) origin: Option<Origin>,
    pub(super) is_recycled: bool,
    pub(super) durable: (u64, u64),
    /// Bytes from here on are void.
    pub(super) end: u64,
    pub(super) is_cut: bool,
}

impl Survey<'_> {
    /// The segments that count, oldest first.
    pub(super) fn parts(
        &mut self,
        segments: Vec<SegmentFile>,
        wal_id: Option<u128>,
    ) -> Result<Vec<Part>> {
        let mut parts = VecDeque::new();
        let mut cut: Option<Cut> = None;
        let mut newer: Option<u64> = None;
        for segment in segments.into_iter().rev() {
            let SegmentFile {
                number,
                path,
                file,
                header,
            } = segment;
            if cut.is_some_and(|cut| number > cut.segment) {
                self.note(&path, 0, "a recovery has cut this segment away");
                continue;
            }
            let header = match header {
                Ok(header) if wal_id.is_some_and(|id| id != header.wal_id) => {
                    let what = format!("the segment belongs to log {:032x}", header.wal_id);
                    self.damage(&path, 24, &what);
                    self.unknown_up_to = self.unknown_up_to.max(number);
                    continue;
                }
                Ok(header) => Some(header),
                Err(HeaderError::Damaged(what)) => {
                    self.damage(&path, 0, what);
                    self.unknown_up_to = self.unknown_up_to.max(number);
                    None
                }
                Err(HeaderError::Unsupported(what)) => {
                    return Err(WalError::UnsupportedVersion { path, what });
                }
            };
            let wanted = match (cut, newer) {
                (Some(cut), _) => Some(cut.segment),
                (None, Some(newer)) => newer.checked_sub(1),
                (None, None) => None,
            };
            if let Some(wanted) = wanted
                && wanted != number
            {
                let path = path.with_file_name(file_name(wanted));
                self.damage(&path, 0, "the file is missing, but the log goes on in it");
                self.unknown_up_to = self.unknown_up_to.max(wanted);
            }
            let cut_here = cut.take().filter(|cut| cut.segment == number);
            let length = file.len()?;
            let capacity = header.map_or(length, |header| header.capacity_bytes);
            cut = match header.map(|header| header.origin) {
                Some(Origin::Recovered(at)) if at.segment < number => Some(at),
                _ => None,
            };
            newer = Some(number);
            parts.push_front(Part {
                number,
                path,
                file,
                origin: header.map(|header| header.origin),
                is_recycled: header.is_none_or(|header| header.recycled),
                durable: header.map_or((0, 0), |h| (h.durable_lsn, h.durable_group)),
                end: cut_here.map_or(capacity, |cut| cut.offset).min(length),
                is_cut: cut_here.is_some(),
            });
        }
        Ok(parts.into())
    }
}
