//! The bytes of the catalog file, without any I/O. Little-endian.
//!
//! Header, 96 bytes:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `DOCDBCAT` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | incompatible feature bits: an unknown one refuses the file |
//! | 16 | 4 | compatible feature bits: an unknown one is kept and ignored |
//! | 20 | 4 | number of entries |
//! | 24 | 8 | edit number, from 1, one higher with every change |
//! | 32 | 8 | next database id; every id below it is or was used |
//! | 40 | 8 | bytes of all entries together |
//! | 48 | 16 | random id of the data directory |
//! | 64 | 24 | zero |
//! | 88 | 4 | CRC-32 of the entries, seeded with the data directory's id and the edit number |
//! | 92 | 4 | CRC-32 of the bytes 0..92 |
//!
//! Entries follow, in ascending order of their ids:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | database id |
//! | 8 | 1 | state: 1 creating, 2 active, 3 dropping |
//! | 9 | 1 | n, bytes of the name, 1..=64 |
//! | 10 | 1 | m, bytes of the durability mode's text, 1..=32 |
//! | 11 | 1 | zero |
//! | 12 | n | name, UTF-8 |
//! | 12 + n | m | durability mode, UTF-8, for example `full` |
//!
//! Nothing follows the last entry.

use docdb_types::check_database_name;
use docdb_types::limits::{DATABASES_MAX, NAME_BYTES_MAX};

/// Magic number at the start of a catalog.
pub(crate) const MAGIC: [u8; 8] = *b"DOCDBCAT";
/// The version that this build writes and reads.
pub(crate) const VERSION: u32 = 1;
/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 96;
/// Bytes of an entry before its texts.
const ENTRY_HEAD_BYTES: usize = 12;
/// Longest text of a durability mode, in bytes.
pub(crate) const DURABILITY_BYTES_MAX: usize = 32;
/// Largest catalog file, in bytes; a longer one is not read.
pub(crate) const CATALOG_BYTES_MAX: usize =
    HEADER_BYTES + DATABASES_MAX * (ENTRY_HEAD_BYTES + NAME_BYTES_MAX + DURABILITY_BYTES_MAX);

const ENTRIES_CRC_AT: usize = 88;
const HEADER_CRC_AT: usize = 92;

/// Where a database is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum EntryState {
    /// Its directory is being made; it was never answered. Rolled back at the next open.
    Creating,
    /// It exists.
    Active,
    /// It was dropped; its directory is being removed. Finished at the next open.
    Dropping,
}

impl EntryState {
    fn code(self) -> u8 {
        match self {
            EntryState::Creating => 1,
            EntryState::Active => 2,
            EntryState::Dropping => 3,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(EntryState::Creating),
            2 => Some(EntryState::Active),
            3 => Some(EntryState::Dropping),
            _ => None,
        }
    }
}

/// One database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) state: EntryState,
    pub(crate) name: String,
    /// The text of the durability mode. Kept as text: a mode that this build does not know then
    /// refuses one database, not all.
    pub(crate) durability: String,
}

/// A whole catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Catalog {
    pub(crate) edit: u64,
    pub(crate) next_id: u64,
    pub(crate) data_dir_id: [u8; 16],
    pub(crate) compatible_features: u32,
    /// Ascending by id.
    pub(crate) entries: Vec<Entry>,
}

/// Why bytes are not a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FormatError {
    /// The bytes do not verify.
    Damaged { offset: u64, what: &'static str },
    /// They verify, but a newer build wrote them.
    Unsupported { what: String },
}

impl Catalog {
    /// An empty catalog for a new data directory.
    pub(crate) fn new(data_dir_id: [u8; 16]) -> Self {
        Self {
            edit: 1,
            next_id: 1,
            data_dir_id,
            compatible_features: 0,
            entries: Vec::new(),
        }
    }

    /// The catalog's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; HEADER_BYTES];
        for entry in &self.entries {
            debug_assert!(entry.name.len() <= NAME_BYTES_MAX);
            debug_assert!(entry.durability.len() <= DURABILITY_BYTES_MAX);
            out.extend_from_slice(&entry.id.to_le_bytes());
            out.push(entry.state.code());
            out.push(entry.name.len() as u8);
            out.push(entry.durability.len() as u8);
            out.push(0);
            out.extend_from_slice(entry.name.as_bytes());
            out.extend_from_slice(entry.durability.as_bytes());
        }
        let entries_bytes = (out.len() - HEADER_BYTES) as u64;
        let entries_crc = entries_crc(&self.data_dir_id, self.edit, &out[HEADER_BYTES..]);
        out[0..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[16..20].copy_from_slice(&self.compatible_features.to_le_bytes());
        out[20..24].copy_from_slice(&(self.entries.len() as u32).to_le_bytes());
        out[24..32].copy_from_slice(&self.edit.to_le_bytes());
        out[32..40].copy_from_slice(&self.next_id.to_le_bytes());
        out[40..48].copy_from_slice(&entries_bytes.to_le_bytes());
        out[48..64].copy_from_slice(&self.data_dir_id);
        out[ENTRIES_CRC_AT..HEADER_CRC_AT].copy_from_slice(&entries_crc.to_le_bytes());
        let header_crc = crc32fast::hash(&out[..HEADER_CRC_AT]);
        out[HEADER_CRC_AT..HEADER_BYTES].copy_from_slice(&header_crc.to_le_bytes());
        out
    }

    /// The catalog that `bytes` hold, if every one of them verifies.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let Some((header, body)) = bytes.split_at_checked(HEADER_BYTES) else {
            return Err(damaged(bytes.len(), "the file is shorter than a header"));
        };
        if header[0..8] != MAGIC {
            return Err(damaged(0, "the magic number is wrong"));
        }
        if crc32fast::hash(&header[..HEADER_CRC_AT]) != u32_at(header, HEADER_CRC_AT) {
            return Err(damaged(HEADER_CRC_AT, "the header's checksum is wrong"));
        }
        let version = u32_at(header, 8);
        if version != VERSION {
            let what = format!("format version {version}, this build reads {VERSION}");
            return Err(FormatError::Unsupported { what });
        }
        let incompatible = u32_at(header, 12);
        if incompatible != 0 {
            let what = format!("unknown incompatible feature bits {incompatible:#x}");
            return Err(FormatError::Unsupported { what });
        }
        let entry_count = u32_at(header, 20) as usize;
        let edit = u64_at(header, 24);
        let next_id = u64_at(header, 32);
        if u64_at(header, 40) != body.len() as u64 {
            return Err(damaged(40, "the file's length is not what the header says"));
        }
        let mut data_dir_id = [0; 16];
        data_dir_id.copy_from_slice(&header[48..64]);
        if entries_crc(&data_dir_id, edit, body) != u32_at(header, ENTRIES_CRC_AT) {
            return Err(damaged(HEADER_BYTES, "the entries' checksum is wrong"));
        }
        if entry_count > DATABASES_MAX || entry_count > body.len() / ENTRY_HEAD_BYTES {
            return Err(damaged(20, "more entries than the file can hold"));
        }
        let entries = decode_entries(body, entry_count, next_id)?;
        Ok(Self {
            edit,
            next_id,
            data_dir_id,
            compatible_features: u32_at(header, 16),
            entries,
        })
    }
}

fn decode_entries(body: &[u8], count: usize, next_id: u64) -> Result<Vec<Entry>, FormatError> {
    let mut entries: Vec<Entry> = Vec::with_capacity(count);
    let mut rest = body;
    for _ in 0..count {
        let offset = HEADER_BYTES + body.len() - rest.len();
        let Some((head, texts)) = rest.split_at_checked(ENTRY_HEAD_BYTES) else {
            return Err(damaged(offset, "an entry is cut short"));
        };
        let id = u64_at(head, 0);
        let Some(state) = EntryState::from_code(head[8]) else {
            return Err(damaged(offset + 8, "an entry's state is unknown"));
        };
        let (name_bytes, durability_bytes) = (usize::from(head[9]), usize::from(head[10]));
        if durability_bytes == 0 || durability_bytes > DURABILITY_BYTES_MAX || head[11] != 0 {
            return Err(damaged(offset + 10, "an entry's lengths are wrong"));
        }
        let Some((texts, after)) = texts.split_at_checked(name_bytes + durability_bytes) else {
            return Err(damaged(offset, "an entry is cut short"));
        };
        let (name, durability) = texts.split_at(name_bytes);
        let (Ok(name), Ok(durability)) =
            (std::str::from_utf8(name), std::str::from_utf8(durability))
        else {
            return Err(damaged(
                offset + ENTRY_HEAD_BYTES,
                "an entry's text is not UTF-8",
            ));
        };
        if check_database_name(name).is_err() {
            return Err(damaged(
                offset + ENTRY_HEAD_BYTES,
                "an entry's name breaks the rules",
            ));
        }
        if id == 0 || id >= next_id || entries.last().is_some_and(|last| last.id >= id) {
            return Err(damaged(offset, "an entry's id is out of order"));
        }
        entries.push(Entry {
            id,
            state,
            name: name.into(),
            durability: durability.into(),
        });
        rest = after;
    }
    if !rest.is_empty() {
        return Err(damaged(
            HEADER_BYTES + body.len() - rest.len(),
            "bytes follow the last entry",
        ));
    }
    Ok(entries)
}

/// The entries' checksum is bound to the data directory and the edit, so that entries of another
/// directory or another edit never validate.
fn entries_crc(data_dir_id: &[u8; 16], edit: u64, entries: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(data_dir_id);
    crc.update(&edit.to_le_bytes());
    crc.update(entries);
    crc.finalize()
}

fn damaged(offset: usize, what: &'static str) -> FormatError {
    FormatError::Damaged {
        offset: offset as u64,
        what,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Catalog {
        let entry = |id, state, name: &str| Entry {
            id,
            state,
            name: name.into(),
            durability: "full".into(),
        };
        Catalog {
            edit: 7,
            next_id: 9,
            data_dir_id: *b"0123456789abcdef",
            compatible_features: 0,
            entries: vec![
                entry(1, EntryState::Active, "users"),
                entry(3, EntryState::Creating, "über"),
                entry(8, EntryState::Dropping, "users"),
            ],
        }
    }

    #[test]
    fn round_trip() {
        for catalog in [sample(), Catalog::new([7; 16])] {
            assert_eq!(Catalog::decode(&catalog.encode()), Ok(catalog));
        }
    }

    #[test]
    fn golden() {
        let catalog = Catalog {
            entries: sample().entries[..1].to_vec(),
            ..sample()
        };
        let mut hex = String::new();
        for byte in catalog.encode() {
            hex.push_str(&format!("{byte:02x}"));
        }
        assert_eq!(hex, GOLDEN);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let bytes = sample().encode();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(
                matches!(Catalog::decode(&bad), Err(FormatError::Damaged { .. })),
                "bit {bit}"
            );
        }
        for len in 0..bytes.len() {
            assert!(Catalog::decode(&bytes[..len]).is_err(), "cut to {len}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(Catalog::decode(&longer).is_err());
    }

    #[test]
    fn a_newer_catalog_is_unsupported_not_damaged() {
        for at in [8, 12] {
            let mut bytes = sample().encode();
            bytes[at] = 0x42;
            let crc = crc32fast::hash(&bytes[..HEADER_CRC_AT]);
            bytes[HEADER_CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
            assert!(matches!(
                Catalog::decode(&bytes),
                Err(FormatError::Unsupported { .. })
            ));
        }
    }

    /// Bytes that are damaged but carry right checksums must not panic or be accepted.
    #[test]
    fn resealed_damage_is_refused() {
        let bytes = sample().encode();
        for at in (20..48).chain(HEADER_BYTES..HEADER_BYTES + ENTRY_HEAD_BYTES) {
            if (24..40).contains(&at) {
                continue; // the edit number and a larger next id are valid with any value
            }
            let mut bad = bytes.clone();
            bad[at] = 0xee;
            let edit = u64_at(&bad, 24);
            let crc = entries_crc(b"0123456789abcdef", edit, &bad[HEADER_BYTES..]);
            bad[ENTRIES_CRC_AT..HEADER_CRC_AT].copy_from_slice(&crc.to_le_bytes());
            let crc = crc32fast::hash(&bad[..HEADER_CRC_AT]);
            bad[HEADER_CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
            assert!(Catalog::decode(&bad).is_err(), "byte {at}");
        }
    }

    const GOLDEN: &str = concat!(
        "444f4344424341540100000000000000000000000100000007000000000000000900000000000000",
        "15000000000000003031323334353637383961626364656600000000000000000000000000000000",
        "0000000000000000999bbb7ac44046d2010000000000000002050400757365727366756c6c",
    );
}
