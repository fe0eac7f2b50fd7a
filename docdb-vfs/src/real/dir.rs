//! Directories and their entries.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::file::{full_sync, retry_interrupted};
use crate::{DirLock, IoError, IoOp, Result};

pub(super) fn create(path: &Path) -> Result<()> {
    rustix::fs::mkdir(path, Mode::RWXU).map_err(|e| IoError::new(IoOp::CreateDir, path, e.into()))
}

pub(super) fn sync(path: &Path) -> Result<()> {
    open_dir(path)
        .and_then(|dir| retry_interrupted(|| full_sync(&dir)))
        .map_err(|e| IoError::new(IoOp::SyncDir, path, e.into()))
}

pub(super) fn list(path: &Path) -> Result<Vec<String>> {
    let names = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    };
    names().map_err(|e| IoError::new(IoOp::List, path, e))
}

pub(super) fn exists(path: &Path) -> Result<bool> {
    match rustix::fs::stat(path) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(e) => Err(IoError::new(IoOp::Metadata, path, e.into())),
    }
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    rustix::fs::rename(from, to).map_err(|e| IoError::new(IoOp::Rename, from, e.into()))
}

pub(super) fn remove_file(path: &Path) -> Result<()> {
    rustix::fs::unlink(path).map_err(|e| IoError::new(IoOp::Remove, path, e.into()))
}

pub(super) fn remove_dir(path: &Path) -> Result<()> {
    rustix::fs::rmdir(path).map_err(|e| IoError::new(IoOp::Remove, path, e.into()))
}

/// Holds an exclusive `flock` on a descriptor of the directory itself: the kernel ties it to the
/// directory, not to the path, and drops it when the last descriptor closes.
#[derive(Debug)]
struct RealLock {
    _dir: OwnedFd,
}

impl DirLock for RealLock {}

pub(super) fn lock(path: &Path) -> Result<Box<dyn DirLock>> {
    let fail = |e: Errno| IoError::new(IoOp::Lock, path, e.into());
    let dir = open_dir(path).map_err(fail)?;
    retry_interrupted(|| rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive))
        .map_err(fail)?;
    Ok(Box::new(RealLock { _dir: dir }))
}

fn open_dir(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    retry_interrupted(|| rustix::fs::open(path, flags, Mode::empty()))
}
