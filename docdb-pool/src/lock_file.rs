//! The LOCK file: who owns the data directory, in words. The lock itself is on the directory, so a
//! file that is left behind blocks nobody.

use std::path::Path;

use docdb_engine::{Error, ErrorKind};
use docdb_vfs::{IoError, OpenMode, Vfs};

use crate::layout;

/// Most bytes of a LOCK file that are read.
const LOCK_BYTES_MAX: usize = 4096;

/// Says in the LOCK file that this process owns the directory.
pub(crate) fn write(vfs: &dyn Vfs, data_dir: &Path, address: &str) -> Result<(), IoError> {
    let path = data_dir.join(layout::LOCK);
    let file = if vfs.exists(&path)? {
        vfs.open(&path, OpenMode::ReadWrite)?
    } else {
        vfs.open(&path, OpenMode::CreateNew)?
    };
    let text = format!("pid {}\nsocket {address}\n", std::process::id());
    file.set_len(0)?;
    file.write_all_at(text.as_bytes(), 0)
}

/// The error for a directory that another process owns.
pub(crate) fn in_use(vfs: &dyn Vfs, data_dir: &Path) -> Error {
    let mut message = format!("{} is in use by another process", data_dir.display());
    if let Some(owner) = read(vfs, data_dir) {
        message.push_str(" (");
        message.push_str(&owner);
        message.push(')');
    }
    Error::new(ErrorKind::InUse, message)
}

/// What the LOCK file says, on one line; `None` if it says nothing.
fn read(vfs: &dyn Vfs, data_dir: &Path) -> Option<String> {
    let file = vfs
        .open(&data_dir.join(layout::LOCK), OpenMode::Read)
        .ok()?;
    let mut bytes = [0; LOCK_BYTES_MAX];
    let len = file.read_at(&mut bytes, 0).ok()?;
    let text = String::from_utf8_lossy(&bytes[..len]);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| line.contains(' '))
        .collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}
