//! Large commits: their bodies go to a data file, once, and the log gets pointers to them.
//!
//! 1. Holding `bulk`: the bodies are appended to the bulk file, which is synced (and the directory,
//!    if the file is new). Nobody refers to them yet, so a failure here changes nothing: the file
//!    takes no more, and what earlier commits have in it stays.
//! 2. Under the sequencer: the commit is validated, logged and installed as any other, with pointers
//!    in place of bodies. Its record says which file they are in and how much of it is synced, so
//!    that a recovery needs no manifest to know the file.
//! 3. The next checkpoint enters the file into the manifest.
//!
//! The frames are unversioned, because the version is known only in the second step. So is the id
//! that an insert gets; it is guessed, and since large commits take turns, only a small commit that
//! inserts meanwhile makes the guess wrong. Then the commit is logged as a small one is, and its
//! frames are garbage.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use crc32fast::Hasher;
use docdb_datafile::{DataFile, DataFileWriter, FileIdentity, FilePtr, data_file_name};
use docdb_index::{Place, Pointer};
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
use crate::pointer::DocPtr;
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
    /// For each operation the id that its frame carries.
    ids: Vec<u64>,
    /// Held until the commit is sequenced: the next one guesses ids only then.
    _turn: MutexGuard<'a, BulkFile>,
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

    /// Whether the frames carry the ids that the operations have got.
    pub(super) fn fit(&self, ids: impl Iterator<Item = u64>) -> bool {
        self.ids.iter().copied().eq(ids)
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
        let ids = guess_ids(ops, planned);
        let mut writer = match turn.writer.take() {
            Some(writer) => writer,
            None => self.new_bulk_file()?,
        };
        // From here to the end an error drops the writer: what it wrote is in doubt.
        let is_new = writer.durable_len() == 0;
        let mut pointers = Vec::with_capacity(ops.len());
        for ((op, plan), &id) in ops.iter().zip(planned).zip(&ids) {
            pointers.push(match op.kind {
                WriteKind::Delete => None,
                _ => Some(writer.append_unversioned(plan.key.collection, id, op.body)?),
            });
        }
        let durable_bytes = writer.sync()?;
        let FileIdentity { number, salt } = writer.identity();
        if is_new {
            self.vfs.sync_dir(&self.dir)?;
            let path = writer.path();
            let file = DataFile::open(self.vfs.as_ref(), path, writer.identity(), durable_bytes)?;
            self.store.add(file);
        } else if let Some(file) = self.store.get(number) {
            file.extend(durable_bytes);
        }
        if durable_bytes < self.options.data_file_bytes_max {
            turn.writer = Some(writer);
        }
        let file = DataFileEntry::new(number, salt, durable_bytes);
        let logged = logged(&file, &pointers);
        let mut crc = Hasher::new();
        crc.update(&logged);
        Ok(StoredBodies {
            file,
            pointers,
            logged: self.wal.pack(Body::Shared(logged)),
            crc,
            ids,
            _turn: turn,
        })
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

/// The ids that the operations will have if nobody else inserts.
fn guess_ids(ops: &[WriteOp<'_>], planned: &[Planned]) -> Vec<u64> {
    let mut earlier = Earlier::default();
    let ids = ops.iter().zip(planned).map(|(op, plan)| {
        let mut key = plan.key;
        if plan.seen.is_none() {
            let highest = earlier.highest(&plan.collection);
            // Past the last id there is none: the sequencer says so.
            key.id = highest.map_or(1, |id| id.saturating_add(1));
        }
        earlier.note(key, &plan.collection, op.kind);
        key.id
    });
    ids.collect()
}
