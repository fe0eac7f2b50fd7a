//! The limit: the same disk, written and read bare.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::measure::{Clock, Failure, Latencies, Sample};

const FILE_BYTES: u64 = 64 << 20;
/// Synced writes begin at a device block each, as a log that never rewrites one needs.
const BLOCK_BYTES: u64 = 4096;
const READ_BYTES: usize = 1 << 20;

/// A file whose blocks were all written before.
pub struct Device {
    file: File,
    path: PathBuf,
    offset: u64,
}

impl Device {
    pub fn create(dir: &Path) -> Result<Device, Failure> {
        let path = dir.join("device");
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
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

    /// Writes and syncs `bytes` again and again, each time in the blocks behind the last.
    pub fn synced_writes(&mut self, bytes: usize, time: Duration) -> Result<Sample, Failure> {
        let mut latencies = Latencies::default();
        let bytes = vec![b'x'; bytes];
        let stride = (bytes.len() as u64).next_multiple_of(BLOCK_BYTES);
        let clock = Clock::start();
        while clock.elapsed() < time {
            let start = Instant::now();
            self.file.write_all_at(&bytes, self.offset)?;
            self.file.sync_data()?;
            latencies.note(start);
            self.offset += stride;
            if self.offset + stride > FILE_BYTES {
                self.offset = 0;
            }
        }
        Ok(clock.stop(latencies.count()).with_latencies(latencies))
    }

    /// Writes `bytes` again and again without a sync, each time behind the last, at multiples of
    /// 64 bytes.
    pub fn writes(&mut self, bytes: usize, time: Duration) -> Result<Sample, Failure> {
        let mut latencies = Latencies::default();
        let bytes = vec![b'x'; bytes];
        let stride = (bytes.len() as u64).next_multiple_of(64);
        let mut offset = 0;
        let clock = Clock::start();
        while clock.elapsed() < time {
            let start = Instant::now();
            self.file.write_all_at(&bytes, offset)?;
            latencies.note(start);
            offset += stride;
            if offset + stride > FILE_BYTES {
                offset = 0;
            }
        }
        let sample = clock.stop(latencies.count()).with_latencies(latencies);
        self.file.sync_data()?;
        Ok(sample)
    }

    /// Reads the file through the page cache over and over until `total` bytes were read.
    pub fn reads(&mut self, total: u64) -> Result<Sample, Failure> {
        let mut buffer = vec![0; READ_BYTES];
        let mut done = 0;
        let clock = Clock::start();
        while done < total {
            self.file.read_exact_at(&mut buffer, done % FILE_BYTES)?;
            done += buffer.len() as u64;
        }
        Ok(clock.stop(done / READ_BYTES as u64).with_bytes(done))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
