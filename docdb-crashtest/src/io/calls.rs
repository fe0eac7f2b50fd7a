//! The calls that a life makes to its disk, and what can go wrong with each of them.

use std::fmt;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use docdb_vfs::sim::{FaultKind, SimVfs};
use docdb_vfs::{DirLock, IoOp, OpenMode, Result, Vfs, VfsFile};
use parking_lot::Mutex;

use crate::job::Scale;

/// One call, as the disk counted it.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// Its number.
    pub(super) at_op: u64,
    pub(super) op: IoOp,
    pub(super) path: PathBuf,
    /// Whether it makes a file.
    pub(super) creates: bool,
    /// Where it writes.
    pub(super) offset: u64,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "call {}: {} {}",
            self.at_op,
            self.op,
            self.path.display()
        )
    }
}

impl Call {
    fn name(&self) -> &str {
        self.path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("")
    }

    /// Whether it is the same kind of call to the same kind of file, in another life.
    pub(super) fn is_like(&self, other: &Call) -> bool {
        let kind = |call: &Call| {
            let name = call.name();
            name.trim_matches(|c: char| c.is_ascii_hexdigit() || c == '-')
                .to_owned()
        };
        self.op == other.op && self.creates == other.creates && kind(self) == kind(other)
    }

    /// Whether its failure is final: what it should have made durable is the only copy.
    pub(super) fn is_final(&self) -> bool {
        match self.op {
            IoOp::Sync => self.name().ends_with(".wal"),
            IoOp::SyncDir => self.path.ends_with("wal"),
            _ => false,
        }
    }
}

/// A fault to be planned on a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Fault {
    Eio,
    Enospc,
    Edquot,
    Emfile,
    Enomem,
    Eagain,
    Eintr,
    /// A part is transferred.
    Short,
    /// A sync answers that it has done what it has not; so many calls later the power fails.
    Lie(u64),
    /// A write lands at this offset.
    Misdirected(u64),
}

const ERRNOS: [(Fault, i32, &str); 7] = [
    (Fault::Eio, 5, "EIO"),
    (Fault::Enospc, 28, "ENOSPC"),
    (Fault::Edquot, 122, "EDQUOT"),
    (Fault::Emfile, 24, "EMFILE"),
    (Fault::Enomem, 12, "ENOMEM"),
    (Fault::Eagain, 11, "EAGAIN"),
    (Fault::Eintr, 4, "EINTR"),
];

impl Fault {
    pub(super) fn kind(self) -> FaultKind {
        match self {
            Fault::Short => FaultKind::Short,
            Fault::Lie(_) => FaultKind::SyncLies,
            Fault::Misdirected(offset) => FaultKind::Misdirected { offset },
            errno => {
                let known = ERRNOS.iter().find(|(fault, ..)| *fault == errno);
                FaultKind::Os(known.map_or(5, |(_, code, _)| *code))
            }
        }
    }

    /// Without what differs from case to case.
    pub(super) fn name(self) -> &'static str {
        match self {
            Fault::Short => "short transfer",
            Fault::Lie(_) => "sync that lies",
            Fault::Misdirected(_) => "misdirected write",
            errno => {
                let known = ERRNOS.iter().find(|(fault, ..)| *fault == errno);
                known.map_or("", |(_, _, name)| *name)
            }
        }
    }

    /// As in a place.
    pub(super) fn text(self) -> String {
        match self {
            Fault::Short => "short".to_owned(),
            Fault::Lie(after) => format!("lie@{after}"),
            Fault::Misdirected(offset) => format!("misdirected@{offset}"),
            errno => errno.name().to_owned(),
        }
    }

    pub(super) fn parse(text: &str) -> Option<Fault> {
        if text == "short" {
            return Some(Fault::Short);
        }
        if let Some(after) = text.strip_prefix("lie@") {
            return Some(Fault::Lie(after.parse().ok()?));
        }
        if let Some(offset) = text.strip_prefix("misdirected@") {
            return Some(Fault::Misdirected(offset.parse().ok()?));
        }
        let known = ERRNOS.iter().find(|(_, _, name)| *name == text);
        known.map(|(fault, ..)| *fault)
    }

    /// Whether the operation says that it failed. The others only do something else.
    pub(super) fn is_told(self) -> bool {
        !matches!(self, Fault::Lie(_) | Fault::Misdirected(_))
    }

    pub(super) fn is_full_disk(self) -> bool {
        matches!(self, Fault::Enospc | Fault::Edquot)
    }
}

/// What can go wrong with a call, and whether it stays so.
pub(super) fn faults(call: &Call, scale: Scale) -> Vec<(Fault, bool)> {
    let errnos: &[Fault] = match call.op {
        IoOp::Write | IoOp::Allocate | IoOp::SetLen | IoOp::CreateDir | IoOp::Rename => {
            &[Fault::Eio, Fault::Enospc, Fault::Edquot]
        }
        IoOp::Open if call.creates => &[Fault::Eio, Fault::Enospc, Fault::Emfile, Fault::Edquot],
        IoOp::Open => &[Fault::Eio, Fault::Emfile],
        IoOp::Read => &[Fault::Eio, Fault::Enomem, Fault::Eagain],
        // What was to be written may only now find that there is no space.
        IoOp::Sync | IoOp::SyncDir => &[Fault::Eio, Fault::Enospc, Fault::Edquot],
        _ => &[Fault::Eio],
    };
    let changes = !matches!(
        call.op,
        IoOp::Read | IoOp::Metadata | IoOp::List | IoOp::Lock
    ) && (call.op != IoOp::Open || call.creates);
    let mut faults = Vec::new();
    for errno in errnos {
        let is_rare = !matches!(errno, Fault::Eio | Fault::Enospc);
        if is_rare && scale == Scale::Smoke {
            continue;
        }
        faults.extend([(*errno, false), (*errno, true)]);
    }
    match call.op {
        IoOp::Write => {
            faults.extend([(Fault::Short, false), (Fault::Short, true)]);
            let elsewhere = [0, call.offset + 4096, call.offset.saturating_sub(4096)];
            let elsewhere = elsewhere.iter().filter(|to| **to != call.offset);
            faults.extend(elsewhere.map(|to| (Fault::Misdirected(*to), false)));
        }
        IoOp::Read => faults.push((Fault::Short, false)),
        IoOp::Sync | IoOp::SyncDir => {
            faults.extend([(Fault::Lie(1), false), (Fault::Lie(9), false)]);
            faults.extend([(Fault::Lie(40), false), (Fault::Lie(u64::MAX), true)]);
        }
        _ => {}
    }
    if !changes && scale == Scale::Smoke {
        faults.retain(|(fault, _)| matches!(fault, Fault::Eio | Fault::Short));
    }
    faults
}

/// A disk that notes its calls.
#[derive(Debug, Clone)]
pub(super) struct Noting {
    vfs: SimVfs,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Noting {
    pub(super) fn new(vfs: &SimVfs) -> Noting {
        Noting {
            vfs: vfs.clone(),
            calls: Arc::default(),
        }
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }

    fn note<T>(&self, op: IoOp, path: &Path, at: (bool, u64), call: impl FnOnce() -> T) -> T {
        let at_op = self.vfs.op_count();
        let done = call();
        if self.vfs.op_count() > at_op {
            self.calls.lock().push(Call {
                at_op,
                op,
                path: path.to_path_buf(),
                creates: at.0,
                offset: at.1,
            });
        }
        done
    }
}

const ANYWHERE: (bool, u64) = (false, 0);

impl Vfs for Noting {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn VfsFile>> {
        let creates = mode == OpenMode::CreateNew;
        let file = self.note(IoOp::Open, path, (creates, 0), || self.vfs.open(path, mode))?;
        Ok(Arc::new(NotingFile {
            disk: self.clone(),
            file,
            path: path.to_path_buf(),
        }))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        self.note(IoOp::CreateDir, path, ANYWHERE, || {
            self.vfs.create_dir(path)
        })
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.note(IoOp::SyncDir, path, ANYWHERE, || self.vfs.sync_dir(path))
    }

    fn list(&self, path: &Path) -> Result<Vec<String>> {
        self.note(IoOp::List, path, ANYWHERE, || self.vfs.list(path))
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        self.note(IoOp::Metadata, path, ANYWHERE, || self.vfs.exists(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.note(IoOp::Rename, to, ANYWHERE, || self.vfs.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.note(IoOp::Remove, path, ANYWHERE, || self.vfs.remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.note(IoOp::Remove, path, ANYWHERE, || self.vfs.remove_dir(path))
    }

    fn lock_dir(&self, path: &Path) -> Result<Box<dyn DirLock>> {
        self.note(IoOp::Lock, path, ANYWHERE, || self.vfs.lock_dir(path))
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

#[derive(Debug)]
struct NotingFile {
    disk: Noting,
    file: Arc<dyn VfsFile>,
    path: PathBuf,
}

impl NotingFile {
    fn note<T>(&self, op: IoOp, offset: u64, call: impl FnOnce() -> T) -> T {
        self.disk.note(op, &self.path, (false, offset), call)
    }
}

impl VfsFile for NotingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.note(IoOp::Read, offset, || self.file.read_at(buf, offset))
    }

    fn read_at_nowait(&self, buf: &mut [u8], offset: u64) -> Result<Option<usize>> {
        self.note(IoOp::Read, offset, || self.file.read_at_nowait(buf, offset))
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.note(IoOp::Read, offset, || self.file.read_exact_at(buf, offset))
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.note(IoOp::Write, offset, || self.file.write_all_at(buf, offset))
    }

    fn write_vectored_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()> {
        self.note(IoOp::Write, offset, || {
            self.file.write_vectored_all_at(bufs, offset)
        })
    }

    fn sync_data(&self) -> Result<()> {
        self.note(IoOp::Sync, 0, || self.file.sync_data())
    }

    fn len(&self) -> Result<u64> {
        self.note(IoOp::Metadata, 0, || self.file.len())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.note(IoOp::SetLen, 0, || self.file.set_len(len))
    }

    fn allocate(&self, len: u64) -> Result<()> {
        self.note(IoOp::Allocate, 0, || self.file.allocate(len))
    }
}
