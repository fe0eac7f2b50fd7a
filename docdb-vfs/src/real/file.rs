//! Open files.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::{IoError, IoOp, OpenMode, Result, VfsFile};

/// Buffers handed to the kernel in one call: the smallest `IOV_MAX` of the systems supported.
const IOVECS_PER_CALL_MAX: usize = 1024;

#[derive(Debug)]
pub(super) struct RealFile {
    fd: OwnedFd,
    path: PathBuf,
}

/// Repeats `call` while a signal interrupts it.
pub(super) fn retry_interrupted<T>(
    mut call: impl FnMut() -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

/// Makes contents and length durable, past the device's volatile cache.
pub(super) fn full_sync(fd: &OwnedFd) -> rustix::io::Result<()> {
    #[cfg(target_os = "linux")]
    return rustix::fs::fdatasync(fd);
    #[cfg(target_os = "macos")]
    return rustix::fs::fcntl_fullfsync(fd);
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    return rustix::fs::fsync(fd);
}

/// Refuses offsets that the kernel would take for negative numbers; -1 would even mean the cursor.
fn check_range(offset: u64, len: usize) -> rustix::io::Result<()> {
    match offset.checked_add(len as u64) {
        Some(end) if i64::try_from(end).is_ok() => Ok(()),
        _ => Err(Errno::INVAL),
    }
}

impl RealFile {
    pub(super) fn open(path: &Path, mode: OpenMode) -> Result<Self> {
        let flags = match mode {
            OpenMode::Read => OFlags::RDONLY,
            OpenMode::ReadWrite => OFlags::RDWR,
            OpenMode::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        };
        let open = || {
            let fd = retry_interrupted(|| {
                rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)
            })?;
            // A directory opens for reading, and only the first read would say what it is.
            match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
                FileType::Directory => Err(Errno::ISDIR),
                _ => Ok(fd),
            }
        };
        let fd = open().map_err(|e| IoError::new(IoOp::Open, path, e.into()))?;
        Ok(Self {
            fd,
            path: path.to_path_buf(),
        })
    }

    fn fail(&self, op: IoOp, source: Errno) -> IoError {
        IoError::new(op, &self.path, source.into())
    }

    fn fail_at(&self, op: IoOp, offset: u64, source: impl Into<io::Error>) -> IoError {
        IoError::at(op, &self.path, offset, source.into())
    }

    fn len_now(&self) -> rustix::io::Result<u64> {
        Ok(u64::try_from(rustix::fs::fstat(&self.fd)?.st_size).unwrap_or(0))
    }
}

impl VfsFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        check_range(offset, buf.len()).map_err(|e| self.fail_at(IoOp::Read, offset, e))?;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            match rustix::io::pread(&self.fd, &mut buf[done..], at) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                Err(e) => return Err(self.fail_at(IoOp::Read, at, e)),
            }
        }
        Ok(done)
    }

    #[cfg(target_os = "linux")]
    fn read_at_nowait(&self, buf: &mut [u8], offset: u64) -> Result<Option<usize>> {
        use rustix::io::ReadWriteFlags;
        use std::io::IoSliceMut;

        check_range(offset, buf.len()).map_err(|e| self.fail_at(IoOp::Read, offset, e))?;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let mut part = [IoSliceMut::new(&mut buf[done..])];
            match rustix::io::preadv2(&self.fd, &mut part, at, ReadWriteFlags::NOWAIT) {
                // Linux 5.9 and 5.10 answer 0 also where the end is not (preadv2(2), BUGS).
                Ok(0) => {
                    let len = self
                        .len_now()
                        .map_err(|e| self.fail_at(IoOp::Read, at, e))?;
                    return Ok((at >= len).then_some(done));
                }
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => {
                    return Ok(None);
                }
                Err(e) => return Err(self.fail_at(IoOp::Read, at, e)),
            }
        }
        Ok(Some(done))
    }

    #[cfg(not(target_os = "linux"))]
    fn read_at_nowait(&self, _buf: &mut [u8], _offset: u64) -> Result<Option<usize>> {
        Ok(None)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let done = self.read_at(buf, offset)?;
        if done < buf.len() {
            let at = offset + done as u64;
            return Err(self.fail_at(IoOp::Read, at, io::ErrorKind::UnexpectedEof));
        }
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        check_range(offset, buf.len()).map_err(|e| self.fail_at(IoOp::Write, offset, e))?;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            match rustix::io::pwrite(&self.fd, &buf[done..], at) {
                Ok(0) => return Err(self.fail_at(IoOp::Write, at, io::ErrorKind::WriteZero)),
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                Err(e) => return Err(self.fail_at(IoOp::Write, at, e)),
            }
        }
        Ok(())
    }

    fn write_vectored_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()> {
        let total = bufs
            .iter()
            .try_fold(0_usize, |sum, buf| sum.checked_add(buf.len()));
        total
            .ok_or(Errno::INVAL)
            .and_then(|total| check_range(offset, total))
            .map_err(|e| self.fail_at(IoOp::Write, offset, e))?;

        let mut at = offset;
        // Copied, because a short write moves the start of the first buffer left.
        let mut batch: Vec<IoSlice<'_>> = Vec::new();
        for chunk in bufs.chunks(IOVECS_PER_CALL_MAX) {
            batch.clear();
            batch.extend_from_slice(chunk);
            let mut left = &mut batch[..];
            IoSlice::advance_slices(&mut left, 0);
            while !left.is_empty() {
                match rustix::io::pwritev(&self.fd, left, at) {
                    Ok(0) => return Err(self.fail_at(IoOp::Write, at, io::ErrorKind::WriteZero)),
                    Ok(n) => {
                        at += n as u64;
                        IoSlice::advance_slices(&mut left, n);
                    }
                    Err(Errno::INTR) => {}
                    Err(e) => return Err(self.fail_at(IoOp::Write, at, e)),
                }
            }
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn forget_cached(&self, offset: u64, len: u64) {
        // A length of 0 would mean all of the file.
        if let Some(len) = std::num::NonZeroU64::new(len) {
            let _ = rustix::fs::fadvise(&self.fd, offset, Some(len), rustix::fs::Advice::DontNeed);
        }
    }

    fn sync_data(&self) -> Result<()> {
        retry_interrupted(|| full_sync(&self.fd)).map_err(|e| self.fail(IoOp::Sync, e))
    }

    fn len(&self) -> Result<u64> {
        self.len_now().map_err(|e| self.fail(IoOp::Metadata, e))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        check_range(len, 0)
            .and_then(|()| retry_interrupted(|| rustix::fs::ftruncate(&self.fd, len)))
            .map_err(|e| self.fail(IoOp::SetLen, e))
    }

    fn allocate(&self, len: u64) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        let allocate = || {
            check_range(len, 0)?;
            #[cfg(target_os = "linux")]
            match retry_interrupted(|| {
                rustix::fs::fallocate(&self.fd, rustix::fs::FallocateFlags::empty(), 0, len)
            }) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
                done => return done,
            }
            if self.len_now()? < len {
                retry_interrupted(|| rustix::fs::ftruncate(&self.fd, len))?;
            }
            Ok(())
        };
        allocate().map_err(|e: Errno| self.fail(IoOp::Allocate, e))
    }
}
