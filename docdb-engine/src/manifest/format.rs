//! The bytes of the manifest. All integers are little-endian.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `DOCDBMAN` |
//! | 8 | 2 | format version, 2 |
//! | 10 | 2 | zero |
//! | 12 | 4 | incompatible feature bits |
//! | 16 | 4 | compatible feature bits |
//! | 20 | 4 | length of the body |
//! | 24 | 4 | key id, 0 |
//! | 28 | 4 | CRC-32 of bytes 0 to 27 and of the body |
//! | 32 | | body |
//!
//! The body, in this order:
//!
//! | bytes | field |
//! |---|---|
//! | 8 | edit number: 1 more than that of the manifest it replaced |
//! | 16 | log id |
//! | 8 | checkpoint: every commit up to this one is in the data files and runs below |
//! | 8 | proven: every log record up to this one was durable |
//! | 4 | number that the next collection gets |
//! | 4 | number that the next data file gets |
//! | 8 | number that the next run gets |
//! | 4 | number of the data file that checkpoints append to; zero: the next one begins a file |
//! | 8 | entries in the runs that were of collections when these were dropped, since all runs were last merged |
//! | 4 | number of collections, then each: number (4), created by commit (8), documents (8), highest id used (8), 1 if one was (1), length of the name (1), name |
//! | 4 | number of data files, then each: number (4), salt (16), durable length (8), live bytes (8): the length of those frames in it that are the newest version of a document of a collection that exists |
//! | 4 | number of runs, newest first, then each: number (8), salt (16) |

use docdb_types::limits;

const MAGIC: &[u8; 8] = b"DOCDBMAN";
const VERSION: u16 = 2;
const HEADER_BYTES: usize = 32;
/// More than a manifest of the most collections and many files; a longer one is not read.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Manifest {
    pub(crate) edit: u64,
    pub(crate) wal_id: u128,
    pub(crate) checkpoint_ts: u64,
    pub(crate) proven_lsn: u64,
    pub(crate) next_collection: u32,
    pub(crate) next_data_file: u32,
    pub(crate) next_run: u64,
    /// The data file that checkpoints append to.
    pub(crate) append_file: Option<u32>,
    /// Entries in the runs that a merge of all of them would drop since their collections were.
    pub(crate) dropped_entries: u64,
    pub(crate) collections: Vec<CollectionEntry>,
    pub(crate) data_files: Vec<DataFileEntry>,
    pub(crate) runs: Vec<RunEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CollectionEntry {
    pub(crate) id: u32,
    pub(crate) created_ts: u64,
    pub(crate) documents: u64,
    pub(crate) highest_id: Option<u64>,
    pub(crate) name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DataFileEntry {
    pub(crate) number: u32,
    pub(crate) salt: u128,
    pub(crate) durable_bytes: u64,
    /// The bytes of its frames that are referenced.
    pub(crate) live_bytes: u64,
}

impl DataFileEntry {
    /// An entry without live bytes.
    pub(crate) fn new(number: u32, salt: u128, durable_bytes: u64) -> DataFileEntry {
        DataFileEntry {
            number,
            salt,
            durable_bytes,
            live_bytes: 0,
        }
    }
}

impl Manifest {
    /// Whether it names this data file.
    pub(crate) fn names_data_file(&self, number: u32) -> bool {
        self.data_files.iter().any(|entry| entry.number == number)
    }

    /// Whether it names this run.
    pub(crate) fn names_run(&self, number: u64) -> bool {
        self.runs.iter().any(|entry| entry.number == number)
    }

    /// Enters a data file, or what was appended to it.
    pub(crate) fn enter_data_file(&mut self, entry: DataFileEntry) {
        match self.data_file_mut(entry.number) {
            Some(known) => known.durable_bytes = known.durable_bytes.max(entry.durable_bytes),
            None => self.data_files.push(entry),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunEntry {
    pub(crate) number: u64,
    pub(crate) salt: u128,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ManifestError {
    Damaged(&'static str),
    Unsupported(String),
}

impl Manifest {
    /// The data file that checkpoints append to.
    pub(crate) fn append_entry(&self) -> Option<&DataFileEntry> {
        let number = self.append_file?;
        self.data_files.iter().find(|entry| entry.number == number)
    }

    pub(crate) fn data_file_mut(&mut self, number: u32) -> Option<&mut DataFileEntry> {
        self.data_files
            .iter_mut()
            .find(|entry| entry.number == number)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; HEADER_BYTES];
        out.extend_from_slice(&self.edit.to_le_bytes());
        out.extend_from_slice(&self.wal_id.to_le_bytes());
        out.extend_from_slice(&self.checkpoint_ts.to_le_bytes());
        out.extend_from_slice(&self.proven_lsn.to_le_bytes());
        out.extend_from_slice(&self.next_collection.to_le_bytes());
        out.extend_from_slice(&self.next_data_file.to_le_bytes());
        out.extend_from_slice(&self.next_run.to_le_bytes());
        out.extend_from_slice(&self.append_file.unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&self.dropped_entries.to_le_bytes());
        out.extend_from_slice(&(self.collections.len() as u32).to_le_bytes());
        for entry in &self.collections {
            out.extend_from_slice(&entry.id.to_le_bytes());
            out.extend_from_slice(&entry.created_ts.to_le_bytes());
            out.extend_from_slice(&entry.documents.to_le_bytes());
            out.extend_from_slice(&entry.highest_id.unwrap_or(0).to_le_bytes());
            out.push(u8::from(entry.highest_id.is_some()));
            out.push(entry.name.len() as u8);
            out.extend_from_slice(entry.name.as_bytes());
        }
        out.extend_from_slice(&(self.data_files.len() as u32).to_le_bytes());
        for entry in &self.data_files {
            out.extend_from_slice(&entry.number.to_le_bytes());
            out.extend_from_slice(&entry.salt.to_le_bytes());
            out.extend_from_slice(&entry.durable_bytes.to_le_bytes());
            out.extend_from_slice(&entry.live_bytes.to_le_bytes());
        }
        out.extend_from_slice(&(self.runs.len() as u32).to_le_bytes());
        for entry in &self.runs {
            out.extend_from_slice(&entry.number.to_le_bytes());
            out.extend_from_slice(&entry.salt.to_le_bytes());
        }
        let body_bytes = (out.len() - HEADER_BYTES) as u32;
        out[0..8].copy_from_slice(MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_le_bytes());
        out[20..24].copy_from_slice(&body_bytes.to_le_bytes());
        let crc = checksum(&out);
        out[28..32].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        if bytes.len() < HEADER_BYTES {
            return Err(ManifestError::Damaged("it is shorter than its header"));
        }
        if &bytes[0..8] != MAGIC {
            return Err(ManifestError::Damaged("its magic number is missing"));
        }
        let mut header = Reader {
            bytes: &bytes[8..HEADER_BYTES],
        };
        let version = header.u16()?;
        header.u16()?;
        let incompatible = header.u32()?;
        header.u32()?;
        let body_bytes = header.u32()? as usize;
        header.u32()?;
        let crc = header.u32()?;
        if body_bytes != bytes.len() - HEADER_BYTES {
            return Err(ManifestError::Damaged(
                "its length is not the one in its header",
            ));
        }
        if crc != checksum(bytes) {
            return Err(ManifestError::Damaged("its checksum does not match"));
        }
        if version != VERSION {
            return Err(ManifestError::Unsupported(format!(
                "format version {version}"
            )));
        }
        if incompatible != 0 {
            return Err(ManifestError::Unsupported(format!(
                "feature bits {incompatible:#x}"
            )));
        }
        let mut body = Reader {
            bytes: &bytes[HEADER_BYTES..],
        };
        let mut manifest = Manifest {
            edit: body.u64()?,
            wal_id: body.u128()?,
            checkpoint_ts: body.u64()?,
            proven_lsn: body.u64()?,
            next_collection: body.u32()?,
            next_data_file: body.u32()?,
            next_run: body.u64()?,
            append_file: match body.u32()? {
                0 => None,
                number => Some(number),
            },
            dropped_entries: body.u64()?,
            ..Manifest::default()
        };
        for _ in 0..body.count(30, limits::COLLECTIONS_MAX)? {
            let id = body.u32()?;
            let created_ts = body.u64()?;
            let documents = body.u64()?;
            let highest_id = body.u64()?;
            let used = body.u8()? != 0;
            let name_bytes = body.u8()? as usize;
            let name = String::from_utf8(body.take(name_bytes)?.to_vec())
                .map_err(|_| ManifestError::Damaged("a collection's name is not UTF-8"))?;
            let highest_id = used.then_some(highest_id);
            manifest.collections.push(CollectionEntry {
                id,
                created_ts,
                documents,
                highest_id,
                name,
            });
        }
        for _ in 0..body.count(36, usize::MAX)? {
            let entry = DataFileEntry {
                number: body.u32()?,
                salt: body.u128()?,
                durable_bytes: body.u64()?,
                live_bytes: body.u64()?,
            };
            if entry.live_bytes > entry.durable_bytes {
                return Err(ManifestError::Damaged(
                    "a data file has more live bytes than bytes",
                ));
            }
            manifest.data_files.push(entry);
        }
        for _ in 0..body.count(24, usize::MAX)? {
            manifest.runs.push(RunEntry {
                number: body.u64()?,
                salt: body.u128()?,
            });
        }
        if body.bytes.is_empty() {
            Ok(manifest)
        } else {
            Err(ManifestError::Damaged("bytes stand behind its last entry"))
        }
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..28]);
    hasher.update(&bytes[HEADER_BYTES..]);
    hasher.finalize()
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], ManifestError> {
        if count > self.bytes.len() {
            return Err(ManifestError::Damaged("it ends inside an entry"));
        }
        let (taken, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ManifestError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn u8(&mut self) -> Result<u8, ManifestError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<u16, ManifestError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, ManifestError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, ManifestError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn u128(&mut self) -> Result<u128, ManifestError> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    /// A number of entries of at least `entry_bytes` each, which must fit into what is left.
    fn count(&mut self, entry_bytes: usize, max: usize) -> Result<usize, ManifestError> {
        let count = self.u32()? as usize;
        if count > max || count > self.bytes.len() / entry_bytes {
            return Err(ManifestError::Damaged(
                "it announces more entries than it holds",
            ));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        Manifest {
            edit: 3,
            wal_id: 0x1122,
            checkpoint_ts: 77,
            proven_lsn: 80,
            next_collection: 2,
            next_data_file: 5,
            next_run: 6,
            append_file: Some(4),
            dropped_entries: 11,
            collections: vec![
                CollectionEntry {
                    id: 0,
                    created_ts: 0,
                    documents: 9,
                    highest_id: Some(u64::MAX),
                    name: "_default".into(),
                },
                CollectionEntry {
                    id: 1,
                    created_ts: 4,
                    documents: 0,
                    highest_id: None,
                    name: "ü".into(),
                },
            ],
            data_files: vec![DataFileEntry {
                number: 4,
                salt: 7,
                durable_bytes: 8192,
                live_bytes: 56,
            }],
            runs: vec![RunEntry { number: 5, salt: 8 }],
        }
    }

    #[test]
    fn round_trip() {
        assert_eq!(Manifest::decode(&sample().encode()), Ok(sample()));
        assert_eq!(
            Manifest::decode(&Manifest::default().encode()),
            Ok(Manifest::default())
        );
    }

    #[test]
    fn golden() {
        let bytes = sample().encode();
        assert_eq!((bytes.len(), crc32fast::hash(&bytes)), GOLDEN);
    }

    /// Length and CRC-32 of the whole: any change of the format shows.
    const GOLDEN: (usize, u32) = (242, 3_900_467_932);

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let good = sample().encode();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&bad).is_err(), "bit {bit}");
        }
        for end in 0..good.len() {
            assert!(Manifest::decode(&good[..end]).is_err(), "cut at {end}");
        }
    }
}
