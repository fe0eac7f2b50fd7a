//! A loss made on purpose, to show that the test can fail.

use std::error::Error;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Blocks that lose their contents at the end of each log.
const LOST_BLOCKS: u64 = 3;

const BLOCK_BYTES: u64 = 4096;

/// Overwrites the last written blocks of the newest log segment of every database with zeros, as if
/// the device had never got them although it said so. Says how many logs it damaged.
pub(super) fn lose_log_tails(data_dir: &Path) -> Result<usize, Box<dyn Error>> {
    let mut damaged = 0;
    for database in fs::read_dir(data_dir)? {
        let log = database?.path().join("wal");
        if log.is_dir()
            && let Some((segment, written)) = last_written(&log)?
        {
            let last_block = written.div_ceil(BLOCK_BYTES);
            let first_lost = last_block.saturating_sub(LOST_BLOCKS).max(1);
            let zeros = vec![0; ((last_block - first_lost) * BLOCK_BYTES) as usize];
            let file = File::options().write(true).open(&segment)?;
            file.write_all_at(&zeros, first_lost * BLOCK_BYTES)?;
            damaged += 1;
        }
    }
    Ok(damaged)
}

/// The newest segment with more than a header, and how many of its bytes were written.
fn last_written(log: &Path) -> Result<Option<(PathBuf, u64)>, Box<dyn Error>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(log)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "wal") {
            segments.push(path);
        }
    }
    // Segments are numbered with a fixed width.
    segments.sort();
    for segment in segments.into_iter().rev() {
        let bytes = fs::read(&segment)?;
        let written = bytes
            .iter()
            .rposition(|b| *b != 0)
            .map_or(0, |at| at as u64 + 1);
        if written > 2 * BLOCK_BYTES {
            return Ok(Some((segment, written)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tail_is_lost() {
        let dir = std::env::temp_dir().join(format!("docdb-plant-{}", std::process::id()));
        let log = dir.join("db-1/wal");
        fs::create_dir_all(&log).expect("a directory");
        let mut old = vec![7u8; 20 * BLOCK_BYTES as usize];
        fs::write(log.join("0001.wal"), &old).expect("a segment");
        old[10 * BLOCK_BYTES as usize + 1..].fill(0);
        fs::write(log.join("0002.wal"), &old).expect("a segment");
        fs::write(log.join("0003.wal"), vec![0; 4096]).expect("a prepared segment");
        let damaged = lose_log_tails(&dir);
        let first = fs::read(log.join("0001.wal")).expect("a segment");
        let second = fs::read(log.join("0002.wal")).expect("a segment");
        fs::remove_dir_all(&dir).expect("removed");
        assert_eq!(damaged.ok(), Some(1));
        assert!(first.iter().all(|b| *b == 7));
        let kept = 8 * BLOCK_BYTES as usize;
        assert!(second[..kept].iter().all(|b| *b == 7) && second[kept..].iter().all(|b| *b == 0));
        assert_eq!(second.len(), old.len());
    }
}
