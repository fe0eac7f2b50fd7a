//! A file system whose syncs are watched: something can happen before one, or it can be left out.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use docdb_engine::vfs::sim::SimVfs;
use docdb_engine::vfs::{DirLock, OpenMode, Result, Vfs, VfsFile};

/// What is about to be synced.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Synced<'a> {
    /// A file, by its name.
    File(&'a str),
    Directory(&'a Path),
}

/// Told of a sync before it is made; whether it is made.
type OnSync = Arc<dyn Fn(Synced<'_>) -> bool + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Watched {
    vfs: SimVfs,
    on_sync: OnSync,
    /// Bytes written to all files.
    pub(crate) written: Arc<AtomicU64>,
}

impl Watched {
    pub(crate) fn new(
        vfs: &SimVfs,
        on_sync: impl Fn(Synced<'_>) -> bool + Send + Sync + 'static,
    ) -> Watched {
        Watched {
            vfs: vfs.clone(),
            on_sync: Arc::new(on_sync),
            written: Arc::default(),
        }
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl Vfs for Watched {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn VfsFile>> {
        let name = path.file_name().and_then(|name| name.to_str());
        Ok(Arc::new(WatchedFile {
            file: self.vfs.open(path, mode)?,
            name: name.unwrap_or_default().to_owned(),
            on_sync: Arc::clone(&self.on_sync),
            written: Arc::clone(&self.written),
        }))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        self.vfs.create_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        if (self.on_sync)(Synced::Directory(path)) {
            self.vfs.sync_dir(path)
        } else {
            Ok(())
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

    fn sleep(&self, time: Duration) {
        self.vfs.sleep(time);
    }

    fn fill_random(&self, buf: &mut [u8]) {
        self.vfs.fill_random(buf);
    }
}

struct WatchedFile {
    file: Arc<dyn VfsFile>,
    name: String,
    on_sync: OnSync,
    written: Arc<AtomicU64>,
}

impl std::fmt::Debug for WatchedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.file.fmt(f)
    }
}

impl VfsFile for WatchedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn read_at_nowait(&self, buf: &mut [u8], offset: u64) -> Result<Option<usize>> {
        self.file.read_at_nowait(buf, offset)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.written.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(buf, offset)
    }

    fn write_vectored_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()> {
        let bytes: usize = bufs.iter().map(|buf| buf.len()).sum();
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
        self.file.write_vectored_all_at(bufs, offset)
    }

    fn sync_data(&self) -> Result<()> {
        if (self.on_sync)(Synced::File(&self.name)) {
            self.file.sync_data()
        } else {
            Ok(())
        }
    }

    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> Result<()> {
        self.file.allocate(len)
    }
}
