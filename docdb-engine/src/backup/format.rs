//! The bytes of the file `BACKUP`, which says what a backup holds. No I/O; little-endian.
//!
//! Header, 96 bytes:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `DOCDBBAK` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | incompatible feature bits: an unknown one refuses the file; none is defined |
//! | 16 | 4 | compatible feature bits: unknown ones are ignored; none is defined |
//! | 20 | 4 | number of databases |
//! | 24 | 8 | number of the backup: 1 more than that of the backup it replaced |
//! | 32 | 16 | id of the source: of the data directory, or of the log of a database that is alone |
//! | 48 | 8 | number that the source's next database gets |
//! | 56 | 8 | bytes of all that follows the header |
//! | 64 | 4 | key id, zero: not encrypted |
//! | 68 | 20 | zero |
//! | 88 | 4 | CRC-32 of all that follows the header |
//! | 92 | 4 | CRC-32 of bytes 0 to 91 |
//!
//! Databases follow, in ascending order of their ids:
//!
//! | bytes | field |
//! |---|---|
//! | 8 | id |
//! | 8 | version: every commit up to this one is in the backup, and none above |
//! | 8 | documents |
//! | 8 | number of the backup that copied it; lower than this one's if it was only kept |
//! | 1 | n, bytes of the name, at most 64; 0 for a database that is alone |
//! | 1 | m, bytes of the durability mode's text, at most 32 |
//! | 2 | zero |
//! | 4 | number of files |
//! | n | name, UTF-8 |
//! | m | durability mode, UTF-8 |
//! | | the files |
//!
//! A file:
//!
//! | bytes | field |
//! |---|---|
//! | 1 | kind: 1 manifest, 2 data file, 3 index run |
//! | 7 | zero |
//! | 8 | number; of a manifest that of the backup that copied it |
//! | 16 | salt; zero for a manifest |
//! | 8 | bytes of it that count; the file may be longer |
//! | 4 each | CRC-32 of each MiB of these, the last one being what is left |

use docdb_types::limits::{DATABASES_MAX, NAME_BYTES_MAX};

const MAGIC: &[u8; 8] = b"DOCDBBAK";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 96;
const DATABASE_BYTES_MIN: usize = 8 * 4 + 4 + 4;
const FILE_BYTES_MIN: usize = 8 + 8 + 16 + 8;
const DURABILITY_BYTES_MAX: usize = 32;
/// Longest description that is written or read, in bytes: that of about 16 TB.
pub(crate) const BACKUP_BYTES_MAX: u64 = 64 << 20;
/// A checksum's part of a file, in bytes.
pub(crate) const CHUNK_BYTES: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Description {
    pub(crate) number: u64,
    pub(crate) source: u128,
    pub(crate) next_database: u64,
    /// Ascending by id.
    pub(crate) databases: Vec<DatabaseEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatabaseEntry {
    pub(crate) id: u64,
    pub(crate) version: u64,
    pub(crate) documents: u64,
    pub(crate) copied_by: u64,
    pub(crate) name: String,
    pub(crate) durability: String,
    pub(crate) files: Vec<FileEntry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum FileKind {
    Manifest,
    Data,
    Run,
}

/// Which file it is, wherever it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId {
    pub(crate) kind: FileKind,
    pub(crate) number: u64,
    pub(crate) salt: u128,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileEntry {
    pub(crate) id: FileId,
    pub(crate) bytes: u64,
    /// One for each [`CHUNK_BYTES`].
    pub(crate) crcs: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DescriptionError {
    Damaged { offset: u64, what: &'static str },
    Unsupported(String),
}

impl Description {
    pub(crate) fn database(&self, id: u64) -> Option<&DatabaseEntry> {
        let at = self.databases.binary_search_by_key(&id, |entry| entry.id);
        at.ok().map(|at| &self.databases[at])
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; HEADER_BYTES];
        for database in &self.databases {
            out.extend_from_slice(&database.id.to_le_bytes());
            out.extend_from_slice(&database.version.to_le_bytes());
            out.extend_from_slice(&database.documents.to_le_bytes());
            out.extend_from_slice(&database.copied_by.to_le_bytes());
            out.push(database.name.len() as u8);
            out.push(database.durability.len() as u8);
            out.extend_from_slice(&[0; 2]);
            out.extend_from_slice(&(database.files.len() as u32).to_le_bytes());
            out.extend_from_slice(database.name.as_bytes());
            out.extend_from_slice(database.durability.as_bytes());
            for file in &database.files {
                out.push(match file.id.kind {
                    FileKind::Manifest => 1,
                    FileKind::Data => 2,
                    FileKind::Run => 3,
                });
                out.extend_from_slice(&[0; 7]);
                out.extend_from_slice(&file.id.number.to_le_bytes());
                out.extend_from_slice(&file.id.salt.to_le_bytes());
                out.extend_from_slice(&file.bytes.to_le_bytes());
                for crc in &file.crcs {
                    out.extend_from_slice(&crc.to_le_bytes());
                }
            }
        }
        let body_bytes = (out.len() - HEADER_BYTES) as u64;
        let body_crc = crc32fast::hash(&out[HEADER_BYTES..]);
        out[0..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[20..24].copy_from_slice(&(self.databases.len() as u32).to_le_bytes());
        out[24..32].copy_from_slice(&self.number.to_le_bytes());
        out[32..48].copy_from_slice(&self.source.to_le_bytes());
        out[48..56].copy_from_slice(&self.next_database.to_le_bytes());
        out[56..64].copy_from_slice(&body_bytes.to_le_bytes());
        out[88..92].copy_from_slice(&body_crc.to_le_bytes());
        let crc = crc32fast::hash(&out[..92]);
        out[92..96].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Description, DescriptionError> {
        let damaged = |offset, what| Err(DescriptionError::Damaged { offset, what });
        if bytes.len() < HEADER_BYTES {
            return damaged(bytes.len() as u64, "it is shorter than its header");
        }
        let (header, body) = bytes.split_at(HEADER_BYTES);
        if &header[..8] != MAGIC {
            return damaged(0, "its magic number is missing");
        }
        let mut tail = Reader::new(&header[88..], 88);
        let (body_crc, header_crc) = (tail.u32()?, tail.u32()?);
        if crc32fast::hash(&header[..92]) != header_crc {
            return damaged(92, "its header's checksum does not match");
        }
        let mut header = Reader::new(&header[8..88], 8);
        let version = header.u32()?;
        let incompatible = header.u32()?;
        header.u32()?;
        let count = header.u32()? as usize;
        let number = header.u64()?;
        let source = header.u128()?;
        let next_database = header.u64()?;
        let body_bytes = header.u64()?;
        if version != VERSION {
            let what = format!("format version {version}");
            return Err(DescriptionError::Unsupported(what));
        }
        if incompatible != 0 {
            let what = format!("feature bits {incompatible:#x}");
            return Err(DescriptionError::Unsupported(what));
        }
        if body_bytes != body.len() as u64 {
            return damaged(
                bytes.len() as u64,
                "its length is not the one in its header",
            );
        }
        if crc32fast::hash(body) != body_crc {
            return damaged(HEADER_BYTES as u64, "its checksum does not match");
        }
        let mut body = Reader::new(body, HEADER_BYTES as u64);
        if count > DATABASES_MAX || count > body.left() / DATABASE_BYTES_MIN {
            return damaged(20, "it announces more databases than it holds");
        }
        let mut databases: Vec<DatabaseEntry> = Vec::with_capacity(count);
        for _ in 0..count {
            let at = body.at;
            let database = database(&mut body)?;
            let last = databases.last();
            if last.is_some_and(|last| last.id >= database.id) || database.copied_by > number {
                return damaged(at, "a database is not in its place");
            }
            databases.push(database);
        }
        if body.left() > 0 {
            return damaged(body.at, "bytes stand behind its last entry");
        }
        Ok(Description {
            number,
            source,
            next_database,
            databases,
        })
    }
}

fn database(body: &mut Reader<'_>) -> Result<DatabaseEntry, DescriptionError> {
    let at = body.at;
    let damaged = |what| DescriptionError::Damaged { offset: at, what };
    let (id, version, documents) = (body.u64()?, body.u64()?, body.u64()?);
    let copied_by = body.u64()?;
    let (name_bytes, durability_bytes) = (body.u8()? as usize, body.u8()? as usize);
    body.take(2)?;
    let count = body.u32()? as usize;
    if name_bytes > NAME_BYTES_MAX || durability_bytes > DURABILITY_BYTES_MAX {
        return Err(damaged("a name is too long"));
    }
    let text = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).map(str::to_owned);
        text.map_err(|_| damaged("a name is not UTF-8"))
    };
    let name = text(body.take(name_bytes)?)?;
    let durability = text(body.take(durability_bytes)?)?;
    if count > body.left() / FILE_BYTES_MIN {
        return Err(damaged("it announces more files than it holds"));
    }
    let mut files = Vec::with_capacity(count);
    for _ in 0..count {
        files.push(file(body)?);
    }
    Ok(DatabaseEntry {
        id,
        version,
        documents,
        copied_by,
        name,
        durability,
        files,
    })
}

fn file(body: &mut Reader<'_>) -> Result<FileEntry, DescriptionError> {
    let at = body.at;
    let damaged = |what| DescriptionError::Damaged { offset: at, what };
    let kind = match body.u8()? {
        1 => FileKind::Manifest,
        2 => FileKind::Data,
        3 => FileKind::Run,
        _ => return Err(damaged("a file is of no kind that there is")),
    };
    body.take(7)?;
    let (number, salt, bytes) = (body.u64()?, body.u128()?, body.u64()?);
    if kind == FileKind::Data && number > u64::from(u32::MAX) {
        return Err(damaged("no data file has that number"));
    }
    let chunks = bytes.div_ceil(CHUNK_BYTES);
    if chunks > (body.left() / 4) as u64 {
        return Err(damaged("a file has more parts than checksums"));
    }
    let mut crcs = Vec::with_capacity(chunks as usize);
    for _ in 0..chunks {
        crcs.push(body.u32()?);
    }
    let id = FileId { kind, number, salt };
    Ok(FileEntry { id, bytes, crcs })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: u64,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], at: u64) -> Self {
        Reader { bytes, at }
    }

    fn left(&self) -> usize {
        self.bytes.len()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DescriptionError> {
        let Some((taken, rest)) = self.bytes.split_at_checked(count) else {
            let (offset, what) = (self.at, "it ends inside an entry");
            return Err(DescriptionError::Damaged { offset, what });
        };
        self.bytes = rest;
        self.at += count as u64;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DescriptionError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn u8(&mut self) -> Result<u8, DescriptionError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, DescriptionError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, DescriptionError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn u128(&mut self) -> Result<u128, DescriptionError> {
        Ok(u128::from_le_bytes(self.array()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Description {
        let file = |kind, number, salt, bytes: u64| FileEntry {
            id: FileId { kind, number, salt },
            bytes,
            crcs: (0..bytes.div_ceil(CHUNK_BYTES))
                .map(|n| n as u32 + 9)
                .collect(),
        };
        let database = |id, name: &str, files| DatabaseEntry {
            id,
            version: 77,
            documents: 5,
            copied_by: 3,
            name: name.into(),
            durability: "interval(100)".into(),
            files,
        };
        Description {
            number: 4,
            source: 0x1122,
            next_database: 12,
            databases: vec![
                database(2, "ü", vec![file(FileKind::Manifest, 3, 0, 242)]),
                database(
                    9,
                    "shop",
                    vec![
                        file(FileKind::Manifest, 3, 0, 0),
                        file(FileKind::Data, 4, 7, (2 << 20) + 4096),
                        file(FileKind::Run, 5, 8, 1 << 20),
                    ],
                ),
            ],
        }
    }

    #[test]
    fn round_trip() {
        for description in [sample(), Description::default()] {
            assert_eq!(Description::decode(&description.encode()), Ok(description));
        }
    }

    #[test]
    fn golden() {
        let bytes = sample().encode();
        assert_eq!((bytes.len(), crc32fast::hash(&bytes)), GOLDEN);
    }

    /// Length and CRC-32 of the whole: any change of the format shows.
    const GOLDEN: (usize, u32) = (388, 2_985_140_257);

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let good = sample().encode();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Description::decode(&bad).is_err(), "bit {bit}");
        }
        for end in 0..good.len() {
            assert!(Description::decode(&good[..end]).is_err(), "cut at {end}");
        }
    }

    /// What verifies and makes no sense is refused, and nothing is allocated by its numbers.
    #[test]
    fn numbers_that_cannot_be_are_refused() {
        let forged = |change: fn(&mut Vec<u8>)| {
            let mut bytes = sample().encode();
            change(&mut bytes);
            let body_crc = crc32fast::hash(&bytes[HEADER_BYTES..]);
            bytes[88..92].copy_from_slice(&body_crc.to_le_bytes());
            let crc = crc32fast::hash(&bytes[..92]);
            bytes[92..96].copy_from_slice(&crc.to_le_bytes());
            Description::decode(&bytes)
        };
        assert_eq!(forged(|_| ()), Ok(sample()));
        type Change = fn(&mut Vec<u8>);
        let changes: [Change; 7] = [
            |b| b[20..24].copy_from_slice(&u32::MAX.to_le_bytes()),
            |b| b[HEADER_BYTES + 36..HEADER_BYTES + 40].copy_from_slice(&u32::MAX.to_le_bytes()),
            |b| b[HEADER_BYTES + 32] = 65,
            |b| b[HEADER_BYTES] = 9,
            |b| b[HEADER_BYTES + 24] = 200,
            |b| b[HEADER_BYTES + 40 + 2 + 13] = 7,
            |b| b[HEADER_BYTES + 40 + 2 + 13 + 32..][..8].copy_from_slice(&u64::MAX.to_le_bytes()),
        ];
        for (n, change) in changes.into_iter().enumerate() {
            assert!(forged(change).is_err(), "change {n}");
        }
        assert!(matches!(
            forged(|b| b[8] = 2),
            Err(DescriptionError::Unsupported(_))
        ));
        assert!(matches!(
            forged(|b| b[12] = 1),
            Err(DescriptionError::Unsupported(_))
        ));
    }
}
