//! Taking segments away that nobody needs any more.

use std::sync::Arc;

use super::Log;
use crate::error::{Result, WalError};
use crate::format::segment::temporary_name;
use crate::lsn::Lsn;
use crate::segment::{Retired, SegmentInfo};
use crate::sync::atomic::Ordering;

impl Log {
    /// Removes segments in which every record is below `lsn`, but for those that are kept.
    pub(crate) fn retire_below(self: &Arc<Self>, lsn: Lsn) -> Result<usize> {
        let _one_at_a_time = self.retiring.lock();
        self.needed_lsn.fetch_max(lsn.0, Ordering::Relaxed);
        let mut unneeded = self.unneeded(lsn.0);
        unneeded.truncate(unneeded.len().saturating_sub(self.options.keep_segments));
        let count = unneeded.len();
        let retired = unneeded
            .into_iter()
            .try_for_each(|segment| self.retire(segment));
        let given_way = retired.and_then(|()| self.shrink());
        self.reckon_room(&self.preparer.lock());
        Ok(count + given_way?)
    }

    /// The segments in which every record is below `lsn`, oldest first. One behind which the first
    /// group is not durable yet is not among them: without both, nothing would tell where the log goes
    /// on.
    pub(super) fn unneeded(&self, lsn: u64) -> Vec<SegmentInfo> {
        let durable = self.durable_lsn.load(Ordering::Acquire);
        let is_unneeded = |segment: &&SegmentInfo| {
            let last = segment.last_lsn.filter(|last| *last < lsn);
            last.is_some_and(|last| !segment.rotated || last < durable)
        };
        let segments = self.segments.lock();
        segments.iter().take_while(is_unneeded).cloned().collect()
    }

    /// Takes the oldest segment away. To be called by one thread at a time.
    pub(super) fn retire(self: &Arc<Self>, segment: SegmentInfo) -> Result<()> {
        if let Some(error) = self.poison_error() {
            return Err(error);
        }
        let retired = self.take_name(segment)?;
        self.segments.lock().remove(0);
        // Each by itself, so that no crash leaves a gap behind which older segments stand. After a
        // failure that order cannot be had any more.
        if let Err(error) = self.home.vfs.sync_dir(&self.home.dir) {
            let error = WalError::from(error);
            self.fail(error.clone());
            return Err(error);
        }
        if let Some(retired) = retired {
            // Nothing is written into it before its old name is gone for good.
            self.preparer.lock().keep_retired(retired);
        }
        Ok(())
    }

    /// Takes a retired segment's name away: its file is removed, or gets a temporary name if it is to
    /// serve again.
    fn take_name(&self, segment: SegmentInfo) -> Result<Option<Retired>> {
        let vfs = self.home.vfs.as_ref();
        // Readers pin segments only while none is retired. The list of segments has one pin too.
        let is_read = Arc::strong_count(&segment.pin) > 2;
        let wanted = !is_read && self.preparer.lock().wants_retired(segment.capacity_bytes);
        if !wanted {
            vfs.remove_file(&segment.path)?;
            return Ok(None);
        }
        let temporary = self.home.dir.join(temporary_name(segment.number));
        vfs.rename(&segment.path, &temporary)?;
        Ok(Some(Retired {
            temporary,
            capacity_bytes: segment.capacity_bytes,
        }))
    }
}
