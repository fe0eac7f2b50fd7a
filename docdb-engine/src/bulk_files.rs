//! The data files that large commits have written to since the last checkpoint began.

use std::collections::BTreeMap;
use std::path::Path;

use docdb_datafile::{DataFile, DocStore, FileIdentity, FilePtr, data_file_name};
use docdb_types::ErrorKind;
use docdb_vfs::Vfs;

use crate::error::{Error, Result};
use crate::manifest::{DataFileEntry, Manifest};
use crate::open::must_exist;
use crate::record::LoggedOp;

/// Number and salt.
const IDENTITY_BYTES: usize = 4 + 16;

/// Files by number, each with as much of it as a logged commit says is synced.
#[derive(Debug, Clone, Default)]
pub(crate) struct BulkFiles(BTreeMap<u32, DataFileEntry>);

impl BulkFiles {
    /// Notes what a commit has written to.
    pub(crate) fn note(&mut self, file: DataFileEntry) {
        let known = self.0.entry(file.number).or_insert(file);
        known.durable_bytes = known.durable_bytes.max(file.durable_bytes);
    }

    /// What a record's operation says of a file.
    pub(crate) fn decode(op: &LoggedOp<'_>) -> std::result::Result<DataFileEntry, String> {
        let parts = op.body.split_first_chunk::<4>();
        let salt = |rest: &[u8]| <[u8; 16]>::try_from(rest).ok();
        let parts = parts.and_then(|(number, rest)| Some((number, salt(rest)?)));
        let (number, salt) = parts.ok_or("a bulk file without number and salt")?;
        Ok(DataFileEntry::new(
            u32::from_le_bytes(*number),
            u128::from_le_bytes(salt),
            op.id,
        ))
    }

    /// The body of the operation that [`BulkFiles::decode`] reads.
    pub(crate) fn encode(file: &DataFileEntry) -> [u8; IDENTITY_BYTES] {
        let mut bytes = [0; IDENTITY_BYTES];
        bytes[..4].copy_from_slice(&file.number.to_le_bytes());
        bytes[4..].copy_from_slice(&file.salt.to_le_bytes());
        bytes
    }

    /// Whether a synced frame can begin there.
    pub(crate) fn holds(&self, pointer: FilePtr) -> bool {
        let end = pointer.offset.checked_add(pointer.frame_bytes());
        let file = self.0.get(&pointer.file);
        end.is_some_and(|end| file.is_some_and(|file| end <= file.durable_bytes))
    }

    /// The files' numbers.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.0.keys().copied()
    }

    /// The number of the next data file, if it would be `next` without these.
    pub(crate) fn next_number(&self, next: u32) -> u32 {
        let last = self.0.last_key_value();
        last.map_or(next, |(number, _)| next.max(number.saturating_add(1)))
    }

    /// Enters the files into a manifest.
    pub(crate) fn enter(&self, manifest: &mut Manifest) {
        for file in self.0.values() {
            manifest.enter_data_file(*file);
        }
    }

    /// Opens the files and adds them to `store`. Each was synced before the log told of it, so one
    /// that is missing or shorter is damage.
    pub(crate) fn open(
        &self,
        vfs: &dyn Vfs,
        dir: &Path,
        manifest: &Manifest,
        store: &DocStore,
    ) -> Result<()> {
        for file in self.0.values() {
            let path = dir.join(data_file_name(file.number));
            let entered = manifest.data_files.iter().find(|e| e.number == file.number);
            if entered.is_some_and(|entry| entry.salt != file.salt) {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!(
                        "{}: the manifest and the log name two files so",
                        path.display()
                    ),
                ));
            }
            must_exist(vfs, &path, "log")?;
            let identity = FileIdentity {
                number: file.number,
                salt: file.salt,
            };
            let durable = entered.map_or(0, |entry| entry.durable_bytes);
            let durable = durable.max(file.durable_bytes);
            store.add(DataFile::open(vfs, &path, identity, durable)?);
        }
        Ok(())
    }
}
