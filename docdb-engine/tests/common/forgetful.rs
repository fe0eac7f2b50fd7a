//! A file system on which some syncs are forgotten: the bug of a line that was left out.

use std::cell::Cell;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use docdb_engine::vfs::sim::SimVfs;
use docdb_engine::vfs::{DirLock, OpenMode, Result, Vfs, VfsFile};

/// Which syncs are forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forgotten {
    /// Of files whose name begins so.
    Files(&'static str),
    /// Of the directory with this path.
    Directory(&'static str),
}

thread_local! {
    static FORGOTTEN: Cell<Option<Forgotten>> = const { Cell::new(None) };
}

/// Has databases that this thread creates or opens forget some syncs, or none.
pub(crate) fn forget(what: Option<Forgotten>) {
    FORGOTTEN.set(what);
}

pub(crate) fn wrapped(vfs: &SimVfs) -> Arc<dyn Vfs> {
    match FORGOTTEN.get() {
        None => Arc::new(vfs.clone()),
        Some(what) => Arc::new(Forgetful {
            vfs: vfs.clone(),
            what,
        }),
    }
}

#[derive(Debug)]
struct Forgetful {
    vfs: SimVfs,
    what: Forgotten,
}

impl Vfs for Forgetful {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn VfsFile>> {
        let file = self.vfs.open(path, mode)?;
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        match self.what {
            Forgotten::Files(prefix) if name.starts_with(prefix) => Ok(Arc::new(Unsynced(file))),
            _ => Ok(file),
        }
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        self.vfs.create_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        match self.what {
            Forgotten::Directory(forgotten) if path == Path::new(forgotten) => Ok(()),
            _ => self.vfs.sync_dir(path),
        }
    }

    fn list(&self, path: &Path) -> Result<Vec<String>> {
        self.vfs.list(path)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        self.vfs.exists(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.vfs.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.vfs.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.vfs.remove_dir(path)
    }

    fn lock_dir(&self, path: &Path) -> Result<Box<dyn DirLock>> {
        self.vfs.lock_dir(path)
    }

    fn now(&self) -> Duration {
        self.vfs.now()
    }

    fn fill_random(&self, buf: &mut [u8]) {
        self.vfs.fill_random(buf);
    }
}

#[derive(Debug)]
struct Unsynced(Arc<dyn VfsFile>);

impl VfsFile for Unsynced {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn read_at_nowait(&self, buf: &mut [u8], offset: u64) -> Result<Option<usize>> {
        self.0.read_at_nowait(buf, offset)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.0.write_all_at(buf, offset)
    }

    fn write_vectored_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()> {
        self.0.write_vectored_all_at(bufs, offset)
    }

    fn sync_data(&self) -> Result<()> {
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&self, len: u64) -> Result<()> {
        self.0.allocate(len)
    }
}
