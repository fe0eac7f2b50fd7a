//! The limit: the same disk, written bare.

use std::error::Error;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::sample::{Latencies, Sample};

const FILE_BYTES: u64 = 64 << 20;
const WRITE_BYTES: usize = 512;

/// The distance between two writes: a device block, as a log that never rewrites one needs.
const STRIDE_BYTES: u64 = 4096;

/// A file whose blocks were all written before.
pub(super) struct Device {
    file: File,
    path: PathBuf,
    offset: u64,
}

impl Device {
    pub(super) const NAME: &str = "device: 512 B pwrite + fdatasync, preallocated";

    pub(super) fn create(dir: &Path) -> Result<Device, Box<dyn Error>> {
        let path = dir.join("device");
        let file = File::create_new(&path)?;
        let zeros = vec![0u8; 1 << 20];
        for offset in (0..FILE_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, offset)?;
        }
        file.sync_all()?;
        Ok(Device {
            file,
            path,
            offset: 0,
        })
    }

    /// Writes and syncs 512 bytes again and again, one block further each time.
    pub(super) fn run(&mut self, time: Duration) -> Result<Sample, Box<dyn Error>> {
        let mut latencies = Latencies::default();
        let bytes = [b'x'; WRITE_BYTES];
        let began = Instant::now();
        while began.elapsed() < time {
            let start = Instant::now();
            self.file.write_all_at(&bytes, self.offset)?;
            self.file.sync_data()?;
            latencies.note(start);
            self.offset = (self.offset + STRIDE_BYTES) % FILE_BYTES;
        }
        Ok(latencies.sample(began.elapsed()))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
