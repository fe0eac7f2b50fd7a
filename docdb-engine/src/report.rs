//! What opening a database found and did.

use std::fmt;
use std::time::Duration;

/// What opening a database found and did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The log's part.
    pub wal: docdb_wal::RecoveryReport,
    /// The checkpoint from which the log was replayed.
    pub checkpoint_version: u64,
    /// Commits replayed.
    pub commits: u64,
    /// Leftovers of interrupted steps that were removed, by name.
    pub removed: Vec<String>,
    /// Files that are not the database's, left alone, by name.
    pub foreign: Vec<String>,
    /// How long it took to read the manifest and to open runs and data files. How long the log took
    /// to be read and replayed, and how long its tail took to be written anew, stands in `wal`.
    pub files_time: Duration,
    /// How long opening took.
    pub total_time: Duration,
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "checkpoint {}, {} commits replayed ({} bytes), {} in {:.1} ms (files {:.1}, replay \
             {:.1}, tail {:.1})",
            self.checkpoint_version,
            self.commits,
            self.wal.payload_bytes,
            if self.wal.clean {
                "closed cleanly"
            } else {
                "not closed cleanly"
            },
            self.total_time.as_secs_f64() * 1e3,
            self.files_time.as_secs_f64() * 1e3,
            self.wal.judge_time.as_secs_f64() * 1e3,
            self.wal.act_time.as_secs_f64() * 1e3,
        )?;
        if let Some(cut) = &self.wal.cut {
            write!(
                f,
                "; torn tail cut at {}:{}",
                cut.path.display(),
                cut.offset
            )?;
        }
        if !self.removed.is_empty() {
            write!(f, "; removed {}", self.removed.join(", "))?;
        }
        Ok(())
    }
}
