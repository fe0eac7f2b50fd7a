//! The simulated disk behind the traits.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::io::Errno;

use super::SimVfs;
use super::disk::{Disk, check_end};
use super::fault::Verdict;
use super::namespace::NodeId;
use crate::{DirLock, IoError, IoOp, OpenMode, Result, Vfs, VfsFile};

impl Vfs for SimVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn VfsFile>> {
        let fail = |e| IoError::new(IoOp::Open, path, e);
        let mut disk = self.disk.lock();
        let node = match mode {
            OpenMode::CreateNew => disk.create(IoOp::Open, path).map_err(fail)?,
            OpenMode::Read | OpenMode::ReadWrite => {
                let verdict = disk.begin_read(IoOp::Open, path, 0).map_err(fail)?;
                disk.end(verdict).map_err(fail)?;
                disk.lookup(path).map_err(fail)?
            }
        };
        disk.file_mut(node).map_err(fail)?.handles += 1;
        Ok(Arc::new(SimFile {
            disk: Arc::clone(&self.disk),
            generation: disk.generation,
            node,
            path: path.to_path_buf(),
            writable: mode != OpenMode::Read,
        }))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        let done = self.disk.lock().create(IoOp::CreateDir, path);
        done.map(drop)
            .map_err(|e| IoError::new(IoOp::CreateDir, path, e))
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        let done = self.disk.lock().sync_dir(path);
        done.map_err(|e| IoError::new(IoOp::SyncDir, path, e))
    }

    fn list(&self, path: &Path) -> Result<Vec<String>> {
        let list = |disk: &mut Disk| {
            let verdict = disk.begin_read(IoOp::List, path, 0)?;
            disk.end(verdict)?;
            let dir = disk.dir(disk.lookup(path)?)?;
            Ok(dir.current.keys().cloned().collect())
        };
        list(&mut self.disk.lock()).map_err(|e| IoError::new(IoOp::List, path, e))
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        let exists = |disk: &mut Disk| {
            let verdict = disk.begin_read(IoOp::Metadata, path, 0)?;
            disk.end(verdict)?;
            match disk.lookup(path) {
                Ok(_) => Ok(true),
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(e) => Err(e),
            }
        };
        exists(&mut self.disk.lock()).map_err(|e| IoError::new(IoOp::Metadata, path, e))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let done = self.disk.lock().rename(from, to);
        done.map_err(|e| IoError::new(IoOp::Rename, from, e))
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        let done = self.disk.lock().remove(path, false);
        done.map_err(|e| IoError::new(IoOp::Remove, path, e))
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        let done = self.disk.lock().remove(path, true);
        done.map_err(|e| IoError::new(IoOp::Remove, path, e))
    }

    fn lock_dir(&self, path: &Path) -> Result<Box<dyn DirLock>> {
        let fail = |e| IoError::new(IoOp::Lock, path, e);
        let mut disk = self.disk.lock();
        let verdict = disk.begin_read(IoOp::Lock, path, 0).map_err(fail)?;
        disk.end(verdict).map_err(fail)?;
        let node = disk.lookup(path).map_err(fail)?;
        disk.dir(node).map_err(fail)?;
        if !disk.locked.insert(node) {
            return Err(fail(Errno::WOULDBLOCK.into()));
        }
        Ok(Box::new(SimLock {
            disk: Arc::clone(&self.disk),
            generation: disk.generation,
            node,
            path: path.to_path_buf(),
        }))
    }

    fn now(&self) -> Duration {
        self.disk.lock().clock
    }

    /// Moves the clock and returns at once.
    fn sleep(&self, time: Duration) {
        self.advance(time);
    }

    fn fill_random(&self, buf: &mut [u8]) {
        self.disk.lock().rng.fill(buf);
    }
}

/// Held until dropped or until the machine crashes.
struct SimLock {
    disk: Arc<Mutex<Disk>>,
    generation: u64,
    node: NodeId,
    path: PathBuf,
}

impl DirLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut disk = self.disk.lock();
        if disk.generation == self.generation {
            disk.locked.remove(&self.node);
        }
    }
}

impl fmt::Debug for SimLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimLock")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// A handle; dead once the machine has crashed.
struct SimFile {
    disk: Arc<Mutex<Disk>>,
    generation: u64,
    node: NodeId,
    path: PathBuf,
    writable: bool,
}

impl SimFile {
    /// Runs `work` on the disk if the handle is alive.
    fn with<T>(
        &self,
        op: IoOp,
        offset: Option<u64>,
        work: impl FnOnce(&mut Disk) -> io::Result<T>,
    ) -> Result<T> {
        let mut disk = self.disk.lock();
        let done = if disk.generation != self.generation {
            Err(io::Error::other("the handle was opened before a crash"))
        } else if !self.writable && matches!(op, IoOp::Write | IoOp::SetLen | IoOp::Allocate) {
            // What ftruncate says differs from what write says.
            Err(if op == IoOp::SetLen {
                Errno::INVAL
            } else {
                Errno::BADF
            }
            .into())
        } else {
            work(&mut disk)
        };
        done.map_err(|e| match offset {
            Some(offset) => IoError::at(op, &self.path, offset, e),
            None => IoError::new(op, &self.path, e),
        })
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut disk = self.disk.lock();
        if disk.generation == self.generation
            && let Ok(file) = disk.file_mut(self.node)
        {
            file.handles -= 1;
        }
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile")
            .field("path", &self.path)
            .field("writable", &self.writable)
            .finish_non_exhaustive()
    }
}

impl VfsFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.with(IoOp::Read, Some(offset), |disk| {
            check_end(offset.checked_add(buf.len() as u64))?;
            let verdict = disk.begin_read(IoOp::Read, &self.path, offset)?;
            let mut len = buf.len();
            match verdict {
                Verdict::Short => len = disk.rng.below(len as u64) as usize,
                verdict => disk.end(verdict)?,
            }
            Ok(disk.file(self.node)?.current.read(&mut buf[..len], offset))
        })
    }

    fn read_at_nowait(&self, buf: &mut [u8], offset: u64) -> Result<Option<usize>> {
        self.read_at(buf, offset).map(Some)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let done = self.read_at(buf, offset)?;
        if done < buf.len() {
            let at = offset + done as u64;
            let eof = io::ErrorKind::UnexpectedEof.into();
            return Err(IoError::at(IoOp::Read, &self.path, at, eof));
        }
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.with(IoOp::Write, Some(offset), |disk| {
            disk.write(self.node, &self.path, offset, buf)
        })
    }

    fn write_vectored_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()> {
        let mut whole = Vec::new();
        bufs.iter().for_each(|buf| whole.extend_from_slice(buf));
        self.write_all_at(&whole, offset)
    }

    fn sync_data(&self) -> Result<()> {
        self.with(IoOp::Sync, None, |disk| {
            disk.sync_file(self.node, &self.path)
        })
    }

    fn len(&self) -> Result<u64> {
        self.with(IoOp::Metadata, None, |disk| {
            let verdict = disk.begin_read(IoOp::Metadata, &self.path, 0)?;
            disk.end(verdict)?;
            Ok(disk.file(self.node)?.current.len())
        })
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.with(IoOp::SetLen, None, |disk| {
            disk.set_length(IoOp::SetLen, self.node, &self.path, len)
        })
    }

    fn allocate(&self, len: u64) -> Result<()> {
        self.with(IoOp::Allocate, None, |disk| {
            disk.set_length(IoOp::Allocate, self.node, &self.path, len)
        })
    }
}
