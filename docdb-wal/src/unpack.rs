//! Payloads as they were given, from records as they stand in the log.

use std::path::Path;

use crate::error::{Result, WalError};
use crate::format::compressed::Prefix;
use crate::log::PAYLOAD_BYTES_MAX;
use crate::lsn::Lsn;
use crate::lz4;
use crate::recovery::Replayed;
use crate::recovery::reader::StoredRecord;

/// Expands one record after the other into the same memory.
#[derive(Debug, Default)]
pub(crate) struct Unpacker {
    /// As long as the longest payload so far.
    buffer: Vec<u8>,
}

impl Unpacker {
    /// The record, which has been verified as it stands in the file `path`, with its payload as it
    /// was given.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] if it is not what it says it is; [`WalError::UnsupportedVersion`] if
    /// this build cannot expand it.
    pub(crate) fn replay<'a>(
        &'a mut self,
        path: &Path,
        record: StoredRecord<'a>,
    ) -> Result<Replayed<'a>> {
        let header = record.header;
        let payload = if header.is_compressed() {
            self.expand(path, record)?
        } else {
            record.payload
        };
        Ok(Replayed {
            lsn: Lsn(header.lsn),
            stamp: header.stamp,
            kind: header.kind,
            payload,
            stored_bytes: record.payload.len(),
        })
    }

    fn expand(&mut self, path: &Path, record: StoredRecord<'_>) -> Result<&[u8]> {
        if !lz4::IS_BUILT_IN {
            return Err(WalError::UnsupportedVersion {
                path: path.to_path_buf(),
                what: format!(
                    "record {} at offset {} is compressed with LZ4, and docdb-wal was built without \
                     the feature `lz4`; build it with that feature",
                    record.header.lsn, record.offset
                ),
            });
        }
        // The stored bytes are what somebody wrote, so this is no torn write.
        let lies = |what: &str| {
            let what = format!("record {} {what}", record.header.lsn);
            WalError::corrupt(path, record.offset, what)
        };
        let (prefix, front, block) = Prefix::split(record.payload)
            .ok_or_else(|| lies("is too short for what it says is in it"))?;
        let length = prefix.payload_bytes as usize;
        if length > PAYLOAD_BYTES_MAX {
            return Err(lies("says that it is larger than any record"));
        }
        if self.buffer.len() < length {
            self.buffer.resize(length, 0);
        }
        let payload = &mut self.buffer[..length];
        let Some((head, body)) = payload.split_at_mut_checked(front.len()) else {
            return Err(lies("says that it is shorter than its front"));
        };
        head.copy_from_slice(front);
        if !lz4::expand(block, body) {
            return Err(lies("does not expand to the length that it says it has"));
        }
        if crc32fast::hash(payload) != prefix.payload_crc {
            return Err(lies("expands to what its checksum does not match"));
        }
        Ok(payload)
    }
}
