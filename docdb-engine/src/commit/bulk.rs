//! Large commits: their bodies go to a data file, once, and the log gets pointers to them.
//!
//! 1. Holding `bulk`: the bodies are appended to the bulk file, which is synced (and the directory,
//!    if the file is new). Nobody refers to them yet, so a failure here changes nothing: the space is
//!    given back, the file takes no more, and what earlier commits have in it stays.
//! 2. Under the sequencer: the commit is validated, logged and installed as any other, with pointers
//!    in place of bodies. Its record says which file they are in and how much of it is synced, so
//!    that a recovery needs no manifest to know the file.
//! 3. The next checkpoint enters the file into the manifest.
//!
//! The frames are unversioned, because the version is known only in the second step. So is the id
//! that an insert gets; it is guessed, and since large commits take turns, only a small commit that
//! inserts meanwhile makes the guess wrong, or the collection is created anew. Then the commit is
//! logged as a small one is. The frames of a commit that is not logged with them are cut off again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use crc32fast::Hasher;
use docdb_datafile::{DataFile, DataFileWriter, FileIdentity, FilePtr, data_file_name};
use docdb_index::{Key, Place, Pointer};
use docdb_mvcc::WriteKind;
use docdb_wal::Body;
use parking_lot::MutexGuard;

use super::Planned;
use super::batch::Earlier;
use crate::bulk_files::BulkFiles;
use crate::db::Inner;
use crate::error::Result;
use crate::manifest::DataFileEntry;
use crate::ops::WriteOp;
use crate::planted::{Bug, is_planted};
use crate::pointer::DocPtr;
use crate::publish::entry_of;
use crate::record::{OpHead, OpKind};

/// The data file that large commits append to.
#[derive(Debug, Default)]
pub(crate) struct BulkFile {
    /// `None` at first, after an error, and when the file is full.
    writer: Option<DataFileWriter>,
}

impl BulkFile {
    /// Takes no more into the file with that number.
    pub(crate) fn seal_file(&mut self, number: u32) {
        self.writer = self.writer.take().filter(|w| w.identity().number != number);
    }

    /// Takes no more into this file.
    pub(crate) fn seal(&mut self) {
        self.writer = None;
    }
}

/// The file, where the bodies lie in it, and the file for readers if it is new.
type Written = (DataFileEntry, Vec<Option<FilePtr>>, Option<DataFile>);

/// Bodies that are durable in a data file, for a commit that is not sequenced yet.
pub(super) struct StoredBodies<'a> {
    /// The file, and how much of it is synced.
    pub(super) file: DataFileEntry,
    /// For each operation where its body lies; a deletion has none.
    pointers: Vec<Option<FilePtr>>,
    /// What the log gets: the file's identity, and the pointers.
    pub(super) logged: Body<'static>,
    /// Of these, before any compression.
    pub(super) crc: Hasher,
    /// For each operation the document that its frame carries.
    keys: Vec<Key>,
    /// The file for readers, if it is new.
    opened: Option<DataFile>,
    /// The file's synced length before.
    start_bytes: u64,
    is_logged: bool,
    inner: &'a Inner,
    /// Held until the commit is sequenced: the next one guesses ids only then.
    turn: MutexGuard<'a, BulkFile>,
}

impl Drop for StoredBodies<'_> {
    fn drop(&mut self) {
        if !self.is_logged {
            let DataFileEntry { number, salt, .. } = self.file;
            let identity = FileIdentity { number, salt };
            self.turn.writer = self.inner.cut_back(identity, self.start_bytes);
        }
    }
}

impl StoredBodies<'_> {
    /// What the commit's record says of the file.
    pub(super) fn file_op(&self) -> OpHead {
        OpHead {
            kind: OpKind::BulkFile,
            existed: false,
            collection: 0,
            id: self.file.durable_bytes,
            body_bytes: BulkFiles::encode(&self.file).len() as u32,
        }
    }

    /// Where the operation's document is from now on.
    pub(super) fn place(&self, op_index: usize) -> Place<Arc<[u8]>, DocPtr> {
        match self.pointers.get(op_index) {
            Some(Some(pointer)) => Place::Stored(DocPtr(*pointer)),
            _ => Place::Deleted,
        }
    }

    /// The bytes that the frames take.
    pub(super) fn bytes(&self) -> u64 {
        let pointers = self.pointers.iter().flatten();
        pointers.map(FilePtr::frame_bytes).sum()
    }

    /// Whether the frames carry the documents that the operations have come to.
    pub(super) fn fit(&self, keys: impl Iterator<Item = Key>) -> bool {
        self.keys.iter().copied().eq(keys)
    }

    /// The commit is logged: from now on the frames are read.
    pub(super) fn logged(&mut self) {
        self.is_logged = true;
        self.inner.adopt(self.file, self.opened.take());
    }
}

impl Inner {
    /// Writes the bodies of a large commit and makes them durable.
    pub(super) fn store_bodies(
        &self,
        ops: &[WriteOp<'_>],
        planned: &[Planned],
    ) -> Result<StoredBodies<'_>> {
        let mut turn = self.bulk.lock();
        // Asked under the lock: once the database is closed, its directory may be another owner's.
        self.check_writable()?;
        let keys = guess_keys(ops, planned);
        let mut writer = match turn.writer.take() {
            Some(writer) => writer,
            None => self.new_bulk_file()?,
        };
        let (identity, start_bytes) = (writer.identity(), writer.durable_len());
        let written = self.write_bodies(&mut writer, ops, &keys);
        let (file, pointers, opened) = match written {
            Ok(written) => written,
            Err(error) => {
                // The next one begins a new file: what of this one reached the disk is in doubt.
                drop(self.cut_back(identity, start_bytes));
                return Err(error);
            }
        };
        if file.durable_bytes < self.options.data_file_bytes_max {
            turn.writer = Some(writer);
        }
        let logged = logged(&file, &pointers);
        let mut crc = Hasher::new();
        crc.update(&logged);
        Ok(StoredBodies {
            file,
            pointers,
            logged: self.wal.pack(Body::Shared(logged)),
            crc,
            keys,
            opened,
            start_bytes,
            is_logged: false,
            inner: self,
            turn,
        })
    }

    fn write_bodies(
        &self,
        writer: &mut DataFileWriter,
        ops: &[WriteOp<'_>],
        keys: &[Key],
    ) -> Result<Written> {
        let is_new = writer.durable_len() == 0;
        let mut pointers = Vec::with_capacity(ops.len());
        for (op, key) in ops.iter().zip(keys) {
            pointers.push(match op.kind {
                WriteKind::Delete => None,
                _ => Some(writer.append_unversioned(key.collection, key.id, op.body)?),
            });
        }
        let entry = entry_of(writer)?;
        if is_new && is_planted(Bug::FileNameErrorIgnored) {
            let _ = self.vfs.sync_dir(&self.dir);
        } else if is_new {
            self.sync_dir()?;
        }
        Ok((entry, pointers, self.open_if_new(&entry)?))
    }

    /// Gives back what was written to a file behind `start_bytes`, where nothing points to, or all of
    /// it. What cannot be given back now is garbage. A writer for what is left, if that can go on.
    fn cut_back(&self, identity: FileIdentity, start_bytes: u64) -> Option<DataFileWriter> {
        let (vfs, path) = (
            self.vfs.as_ref(),
            self.dir.join(data_file_name(identity.number)),
        );
        if start_bytes == 0 {
            let _ = vfs.remove_file(&path);
            return None;
        }
        DataFileWriter::append_to(vfs, &path, identity, start_bytes).ok()
    }

    fn new_bulk_file(&self) -> Result<DataFileWriter> {
        let identity = self.new_data_file();
        self.newest_bulk_file
            .store(identity.number, Ordering::Relaxed);
        let path = self.dir.join(data_file_name(identity.number));
        Ok(DataFileWriter::create(self.vfs.as_ref(), &path, identity)?)
    }
}

/// What the log gets in place of the bodies.
fn logged(file: &DataFileEntry, pointers: &[Option<FilePtr>]) -> Bytes {
    let identity = BulkFiles::encode(file);
    let mut bytes = Vec::with_capacity(identity.len() + pointers.len() * DocPtr::BYTES);
    bytes.extend_from_slice(&identity);
    for pointer in pointers.iter().flatten() {
        let start = bytes.len();
        bytes.resize(start + DocPtr::BYTES, 0);
        DocPtr(*pointer).encode(&mut bytes[start..]);
    }
    bytes.into()
}

/// The documents that the operations will come to if nobody else inserts.
fn guess_keys(ops: &[WriteOp<'_>], planned: &[Planned]) -> Vec<Key> {
    let mut earlier = Earlier::with_capacity(ops.len());
    let keys = ops.iter().zip(planned).map(|(op, plan)| {
        let mut key = plan.key;
        if plan.seen.is_none() {
            let highest = earlier.highest(&plan.collection);
            // Past the last id there is none: the sequencer says so.
            key.id = highest.map_or(1, |id| id.saturating_add(1));
        }
        earlier.note(key, op.kind);
        key
    });
    keys.collect()
}
