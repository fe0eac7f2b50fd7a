//! Work in the background that leaves the device to commits.
//!
//! A device carries out one flush after the other, and a flush takes everything along that was written
//! before it. So a commit that comes while a file of some MiB is synced at once waits for all of it: 16
//! writers had a P99 of 4 ms beside a checkpoint, and of 0.5 ms without. Synced in small parts, the same
//! file costs each commit no more than one part.

use docdb_datafile::DataFileWriter;
use docdb_index::RunWriter;

use crate::db::Inner;
use crate::error::Result;
use crate::pointer::DocPtr;

/// A part that is synced by itself. With 80 to 200 KB the P99 of commits was lowest; a flush of so much
/// takes hardly longer than one of a few KB.
const PART_BYTES: u64 = 128 << 10;

impl Inner {
    /// Syncs what was appended to the data file once it is a part.
    pub(crate) fn pace_data(&self, writer: &mut DataFileWriter) -> Result<()> {
        if writer.unsynced_bytes() >= PART_BYTES && self.commits_wait_for_device() {
            writer.sync_written()?;
        }
        Ok(())
    }

    /// The same for a run.
    pub(crate) fn pace_run(&self, writer: &mut RunWriter<DocPtr>) -> Result<()> {
        if writer.unsynced_bytes() >= PART_BYTES && self.commits_wait_for_device() {
            writer.sync_written()?;
        }
        Ok(())
    }

    /// Where memory runs short, commits wait for checkpoints rather than for the device.
    pub(crate) fn commits_wait_for_device(&self) -> bool {
        self.options.durability.syncs_groups()
            && self.delta_bytes() < self.options.memory_bytes_max / 2
    }
}
