//! Copying one file into a backup, or what a file there lacks.

use std::path::Path;
use std::sync::Arc;

use crc32fast::Hasher;
use docdb_types::ErrorKind;
use docdb_vfs::{OpenMode, Vfs, VfsFile};

use super::format::{CHUNK_BYTES, FileEntry, FileId};
use super::place;
use super::work::{Made, Work};
use crate::error::{Error, Result};
use crate::planted::{Bug, is_planted};

/// Bytes that are copied at a time, and synced at a time where commits wait for the device; see
/// [`crate::pacing`].
const PART_BYTES: u64 = 128 << 10;

/// How a file came into a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copied {
    /// It was not there.
    New,
    /// It was there, and has grown by what was copied.
    Extended,
    /// It was there.
    Reused,
    /// It was there, but damaged, or it was missing.
    Anew,
}

/// What to copy, and where to.
#[derive(Clone, Copy)]
pub(super) struct CopyFile<'a> {
    pub(super) from: &'a Path,
    pub(super) to: &'a Path,
    pub(super) id: FileId,
    /// So much of it.
    pub(super) bytes: u64,
    /// What the backup before holds of it.
    pub(super) known: Option<&'a FileEntry>,
}

/// Copies a file durably, but for its name.
///
/// A file that has grown is extended where it lies: what the backup before names of it is not touched,
/// since both end on a block, and what an interrupted attempt has left behind that is written anew.
pub(super) fn copy(
    work: &mut Work<'_>,
    file: &CopyFile<'_>,
    syncs_parts: impl Fn() -> Result<bool>,
) -> Result<(FileEntry, Copied)> {
    let (target, mut entry, how) = open_target(work, file)?;
    let Some(target) = target else {
        work.progress.bytes_done += file.bytes;
        return Ok((entry, how));
    };
    work.progress.bytes_done += entry.bytes;
    let source = work.vfs.open(file.from, OpenMode::Read)?;
    let mut crc = partial_crc(&mut entry);
    let mut buffer = vec![0; (file.bytes - entry.bytes).min(PART_BYTES) as usize];
    while entry.bytes < file.bytes {
        let left_of_chunk = CHUNK_BYTES - entry.bytes % CHUNK_BYTES;
        let part = (file.bytes - entry.bytes)
            .min(left_of_chunk)
            .min(PART_BYTES);
        let part = &mut buffer[..part as usize];
        source.read_exact_at(part, entry.bytes)?;
        work.in_place(target.write_all_at(part, entry.bytes))?;
        crc.update(part);
        entry.bytes += part.len() as u64;
        if entry.bytes.is_multiple_of(CHUNK_BYTES) {
            let full = std::mem::replace(&mut crc, Hasher::new());
            entry.crcs.push(full.finalize());
        }
        let part_bytes = part.len() as u64;
        if syncs_parts()? && entry.bytes < file.bytes {
            work.in_place(target.sync_data())?;
        }
        work.progress.bytes_copied += part_bytes;
        work.done(part_bytes)?;
    }
    if !entry.bytes.is_multiple_of(CHUNK_BYTES) {
        entry.crcs.push(crc.finalize());
    }
    if !is_planted(Bug::BackupUnsynced) {
        work.in_place(target.sync_data())?;
    }
    Ok((entry, how))
}

/// Copies a file as a whole, in place of what the backup before has of it, which is damaged or missing.
/// Whatever happens, that is there until the new one is: there may be more in it than is lost.
///
/// # Errors
/// `Corrupt` if the source does not hold what the backup once did.
pub(super) fn copy_anew(
    work: &mut Work<'_>,
    file: &CopyFile<'_>,
    known: &FileEntry,
    syncs_parts: impl Fn() -> Result<bool>,
) -> Result<FileEntry> {
    let beside = file.to.with_file_name(place::anew_name(&file.id));
    let new = CopyFile {
        to: &beside,
        known: None,
        ..*file
    };
    let (entry, _) = copy(work, &new, syncs_parts)?;
    // The last checksum is of less, if the file has grown since.
    let is_longer = entry.bytes > known.bytes;
    let whole = known.bytes / CHUNK_BYTES;
    let comparable = if is_longer {
        whole as usize
    } else {
        known.crcs.len()
    };
    let pairs = known.crcs.iter().zip(&entry.crcs).take(comparable);
    if let Some(n) = pairs.into_iter().position(|(was, is)| was != is) {
        let message = format!(
            "{} is damaged, and so is {} after offset {}: it does not hold what was backed up once",
            file.to.display(),
            file.from.display(),
            n as u64 * CHUNK_BYTES
        );
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    let renamed = work.vfs.rename(&beside, file.to);
    work.in_place(renamed)?;
    Ok(entry)
}

/// The file to write behind what the entry says, none if there is nothing to write.
type Opened = (Option<Arc<dyn VfsFile>>, FileEntry, Copied);

fn open_target(work: &mut Work<'_>, file: &CopyFile<'_>) -> Result<Opened> {
    let vfs = Arc::clone(&work.vfs);
    if let Some(known) = file.known {
        if known.bytes == file.bytes {
            return Ok((None, known.clone(), Copied::Reused));
        }
        let target = work.in_place(vfs.open(file.to, OpenMode::ReadWrite))?;
        work.in_place(target.set_len(known.bytes))?;
        work.made
            .push(Made::Grown(file.to.to_path_buf(), known.bytes));
        return Ok((Some(target), known.clone(), Copied::Extended));
    }
    if vfs.exists(file.to)? {
        // Of an interrupted backup.
        work.in_place(vfs.remove_file(file.to))?;
    }
    let entry = FileEntry {
        id: file.id,
        bytes: 0,
        crcs: Vec::new(),
    };
    let target = work.in_place(vfs.open(file.to, OpenMode::CreateNew))?;
    work.made.push(Made::File(file.to.to_path_buf()));
    Ok((Some(target), entry, Copied::New))
}

/// Whether what the backup before holds of a file can be there.
///
/// # Errors
/// `InvalidArgument` if it holds more than there is.
pub(super) fn is_there(vfs: &dyn Vfs, file: &CopyFile<'_>, known: &FileEntry) -> Result<bool> {
    if known.bytes > file.bytes {
        let message = format!(
            "the backup has {} bytes of {}, which now has {}: the database was set back since; back \
             it up into another directory",
            known.bytes,
            file.from.display(),
            file.bytes
        );
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    if !vfs.exists(file.to)? {
        return Ok(false);
    }
    Ok(vfs.open(file.to, OpenMode::Read)?.len()? >= known.bytes)
}

/// The checksum of the chunk that the entry ends in, to go on with.
fn partial_crc(entry: &mut FileEntry) -> Hasher {
    let begun = entry.bytes % CHUNK_BYTES;
    match entry.crcs.pop_if(|_| begun > 0) {
        Some(crc) => Hasher::new_with_initial_len(crc, begun),
        None => Hasher::new(),
    }
}

pub(super) fn too_short(path: &Path, bytes: u64) -> Error {
    let message = format!(
        "{} is damaged: it ends at offset {bytes}, before what the backup holds of it",
        path.display()
    );
    Error::new(ErrorKind::Corrupt, message)
}
