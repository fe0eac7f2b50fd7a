//! The disk of this machine.

mod dir;
mod file;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::{DirLock, OpenMode, Result, Vfs, VfsFile};

/// The file system, the clock and the random numbers of this machine.
///
/// Files are created with mode 0600 and directories with mode 0700; every descriptor is closed on
/// exec. A sync is `fdatasync` on Linux, `F_FULLFSYNC` on macOS and `fsync` elsewhere.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct RealVfs;

impl RealVfs {
    /// The file system of this machine.
    pub fn new() -> Self {
        Self
    }
}

impl Vfs for RealVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn VfsFile>> {
        Ok(Arc::new(file::RealFile::open(path, mode)?))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        dir::create(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        dir::sync(path)
    }

    fn list(&self, path: &Path) -> Result<Vec<String>> {
        dir::list(path)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        dir::exists(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        dir::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        dir::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        dir::remove_dir(path)
    }

    fn lock_dir(&self, path: &Path) -> Result<Box<dyn DirLock>> {
        dir::lock(path)
    }

    fn now(&self) -> Duration {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        ORIGIN.get_or_init(Instant::now).elapsed()
    }

    fn fill_random(&self, buf: &mut [u8]) {
        fill_random(buf);
    }
}

#[cfg(target_os = "linux")]
fn fill_random(mut buf: &mut [u8]) {
    use rustix::io::Errno;
    use rustix::rand::{GetRandomFlags, getrandom};

    while !buf.is_empty() {
        match getrandom(&mut *buf, GetRandomFlags::empty()) {
            Ok(filled) => buf = &mut buf[filled..],
            Err(Errno::INTR) => {}
            // A sandbox may forbid the call but not the device.
            Err(_) => return fill_random_from_device(buf),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn fill_random(buf: &mut [u8]) {
    fill_random_from_device(buf);
}

/// Panics if the machine has no source of randomness: identities drawn from anything weaker could
/// repeat, and then old log records would pass for new ones.
fn fill_random_from_device(buf: &mut [u8]) {
    use std::io::Read;

    std::fs::File::open("/dev/urandom")
        .and_then(|mut device| device.read_exact(buf))
        .expect("every Unix machine has a random device");
}
