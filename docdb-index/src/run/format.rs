//! The bytes of a run. No I/O.
//!
//! A run is a sequence of pages of 4096 bytes: the header; groups of 31 data blocks, each followed by
//! its filter page, where the last group may have fewer blocks; the fence pages; and the footer. So
//! every filter page but the last lies at an index that is a multiple of 32. All numbers are little-endian. Every page's checksum covers the run's salt (16 bytes), its
//! number (8), the page's index in the file (8), and the page except the checksum itself; so a page
//! in another place or from another run never validates.
//!
//! Header, page 0:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | CRC-32 of the page |
//! | 4 | 4 | magic `DRUN` |
//! | 8 | 4 | version of the format, 1 |
//! | 12 | 2 | length of a pointer, at most 64 |
//! | 14 | 2 | length of an entry: 21 and the pointer's |
//! | 16 | 8 | incompatible feature bits: an unknown one forbids opening; none is defined |
//! | 24 | 8 | compatible feature bits: unknown ones are ignored; none is defined |
//! | 32 | 8 | number of the run |
//! | 40 | 16 | salt of the run |
//! | 56 | 8 | key id, zero: not encrypted |
//! | 64 | 4032 | zero |
//!
//! The header's own checksum covers the page alone, as the salt and number are in it.
//!
//! Data block, and the entries in it, in ascending order of keys:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | CRC-32 |
//! | 4 | 2 | number of entries, at least 1 |
//! | 6 | 2 | zero |
//! | 8 | | entries without gaps, then zeros |
//!
//! | offset in the entry | bytes | field |
//! |---|---|---|
//! | 0 | 4 | collection |
//! | 4 | 8 | document id |
//! | 12 | 8 | version |
//! | 20 | 1 | 0 document, 1 deletion |
//! | 21 | | pointer; zeros for a deletion |
//!
//! Filter page: two lines of 64 bytes, 512 bits each, for every data block of the group.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | CRC-32 |
//! | 4 | 2 | number of data blocks in the group, 1 to 31 |
//! | 6 | 58 | zero |
//! | 64 | | lines, those of the group's first block first, then zeros |
//!
//! A key whose hash is `h` sets six bits in one line of its block: the line is bit 63 of `h`, and the
//! bits' numbers are bits 0 to 8 of `h`, 9 to 17, and so on; bit `n` of a line is bit `n % 8` of its
//! byte `n / 8`. A key with a bit that is not set is not in the block. The hash is that of the finisher
//! of SplitMix64 (three shifts, two multiplications) of the finisher of the collection, plus the id.
//! This is a blocked Bloom filter after Putze, Sanders and Singler, "Cache-, Hash- and Space-Efficient
//! Bloom Filters" (2007), where the data block takes part in the choice of the line.
//!
//! Fence page: as a data block, with entries of 12 bytes: collection (4) and id (8) of the first key
//! of each data block, in order. Every fence page but the last is full (340 entries).
//!
//! Footer, the last page:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | CRC-32 |
//! | 4 | 4 | magic `DRNF` |
//! | 8 | 8 | entries |
//! | 16 | 8 | deletions among them |
//! | 24 | 8 | data blocks |
//! | 32 | 8 | fence pages |
//! | 40 | 8 | filter pages |
//! | 48 | 8 | lowest version, zero in an empty run |
//! | 56 | 8 | highest version, zero in an empty run |
//! | 64 | 12 | first key: collection, id; zero in an empty run |
//! | 76 | 12 | last key: collection, id; zero in an empty run |
//! | 88 | 4008 | zero |
//!
//! The file's length is 4096 times (2 + data blocks + filter pages + fence pages).

use crc32fast::Hasher;
use docdb_mvcc::CommitTs;

use super::{RunEntry, search};
use crate::{Key, Pointer};

/// The length of every page, in bytes.
pub const PAGE_BYTES: usize = 4096;
/// The version of the format that this build writes, and the only one that it reads.
pub const RUN_VERSION: u32 = 1;
/// The incompatible feature bits that this build knows.
pub const INCOMPAT_KNOWN: u64 = 0;
/// Longest pointer, in bytes.
pub const POINTER_BYTES_MAX: usize = 64;
/// Fences in a full fence page.
pub const FENCES_PER_PAGE: usize = (PAGE_BYTES - BLOCK_HEADER_BYTES) / FENCE_BYTES;

/// Data blocks that share a filter page.
pub const BLOCKS_PER_FILTER: usize = 31;

const HEADER_MAGIC: [u8; 4] = *b"DRUN";
const FOOTER_MAGIC: [u8; 4] = *b"DRNF";
const BLOCK_HEADER_BYTES: usize = 8;
const ENTRY_FIXED_BYTES: usize = 21;
const FENCE_BYTES: usize = 12;

/// A page's bytes.
pub type Page = [u8; PAGE_BYTES];

/// What makes a run this one and no other; enters every checksum in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RunIdentity {
    /// The run's number in its database, never reused.
    pub number: u64,
    /// Random bits, drawn when the run is created.
    pub salt: u128,
}

/// What a run's footer says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunMeta {
    /// Documents, deleted ones included.
    pub entries: u64,
    /// Deletions among them.
    pub tombstones: u64,
    /// Pages of entries.
    pub data_blocks: u64,
    /// Lowest version in it; zero in an empty run.
    pub min_ts: CommitTs,
    /// Highest version in it; zero in an empty run.
    pub max_ts: CommitTs,
    /// First and last key; `None` in an empty run.
    pub keys: Option<(Key, Key)>,
}

impl RunMeta {
    /// Pages of fences.
    pub fn fence_pages(&self) -> u64 {
        self.data_blocks.div_ceil(FENCES_PER_PAGE as u64)
    }

    /// Pages of filters.
    pub fn filter_pages(&self) -> u64 {
        self.data_blocks.div_ceil(BLOCKS_PER_FILTER as u64)
    }

    /// The index of the first fence page.
    pub fn fences_at(&self) -> u64 {
        1 + self.data_blocks + self.filter_pages()
    }

    /// The length of the file, in bytes.
    pub fn file_bytes(&self) -> u64 {
        (1 + self.fences_at() + self.fence_pages()) * PAGE_BYTES as u64
    }

    /// The index of the page that is the filter of this data block.
    pub fn filter_page(&self, block: u64) -> u64 {
        let group = block / BLOCKS_PER_FILTER as u64;
        let end = (group + 1) * BLOCKS_PER_FILTER as u64;
        1 + end.min(self.data_blocks) + group
    }
}

/// The index of the page that is this data block.
pub fn block_page(block: u64) -> u64 {
    1 + block + block / BLOCKS_PER_FILTER as u64
}

/// Why bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// They do not verify.
    Corrupt(&'static str),
    /// They verify, but are of a version or have features that this build does not know.
    Unsupported(String),
}

type Result<T> = std::result::Result<T, FormatError>;

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    let mut number = [0; 2];
    number.copy_from_slice(&bytes[offset..offset + 2]);
    u16::from_le_bytes(number)
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(number)
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(number)
}

fn key_at(bytes: &[u8], offset: usize) -> Key {
    Key {
        collection: u32_at(bytes, offset),
        id: u64_at(bytes, offset + 4),
    }
}

fn put_key(bytes: &mut [u8], key: Key) {
    bytes[0..4].copy_from_slice(&key.collection.to_le_bytes());
    bytes[4..12].copy_from_slice(&key.id.to_le_bytes());
}

fn page_crc(page: &Page, identity: &RunIdentity, index: u64) -> u32 {
    let mut bound = [0; 32];
    bound[0..16].copy_from_slice(&identity.salt.to_le_bytes());
    bound[16..24].copy_from_slice(&identity.number.to_le_bytes());
    bound[24..32].copy_from_slice(&index.to_le_bytes());
    let mut hasher = Hasher::new();
    hasher.update(&bound);
    hasher.update(&page[4..]);
    hasher.finalize()
}

fn seal(page: &mut Page, identity: &RunIdentity, index: u64) {
    let crc = page_crc(page, identity, index);
    page[0..4].copy_from_slice(&crc.to_le_bytes());
}

fn check_crc(page: &Page, identity: &RunIdentity, index: u64) -> Result<()> {
    if page_crc(page, identity, index) != u32_at(page, 0) {
        return Err(FormatError::Corrupt("the page's checksum is wrong"));
    }
    Ok(())
}

/// Checks that a page of any kind but the header is the one that was written there.
pub fn check_page(page: &Page, identity: &RunIdentity, index: u64) -> Result<()> {
    check_crc(page, identity, index)
}

/// The length of an entry, in bytes.
pub const fn entry_bytes<P: Pointer>() -> usize {
    assert!(P::BYTES <= POINTER_BYTES_MAX, "the pointer is too long");
    ENTRY_FIXED_BYTES + P::BYTES
}

/// How many entries a data block holds.
pub const fn entries_per_block<P: Pointer>() -> usize {
    (PAGE_BYTES - BLOCK_HEADER_BYTES) / entry_bytes::<P>()
}

/// The header page of a run.
pub fn encode_header<P: Pointer>(identity: &RunIdentity) -> Page {
    let mut page = [0; PAGE_BYTES];
    page[4..8].copy_from_slice(&HEADER_MAGIC);
    page[8..12].copy_from_slice(&RUN_VERSION.to_le_bytes());
    page[12..14].copy_from_slice(&(P::BYTES as u16).to_le_bytes());
    page[14..16].copy_from_slice(&(entry_bytes::<P>() as u16).to_le_bytes());
    page[32..40].copy_from_slice(&identity.number.to_le_bytes());
    page[40..56].copy_from_slice(&identity.salt.to_le_bytes());
    let crc = crc32fast::hash(&page[4..]);
    page[0..4].copy_from_slice(&crc.to_le_bytes());
    page
}

/// Checks the header page of a run with this kind of pointer, and returns the identity that it
/// states.
pub fn decode_header<P: Pointer>(page: &Page) -> Result<RunIdentity> {
    if page[4..8] != HEADER_MAGIC {
        return Err(FormatError::Corrupt("the header's magic is wrong"));
    }
    // The checksum's place and kind are the same in every version, so that damage is never taken
    // for a newer version.
    if crc32fast::hash(&page[4..]) != u32_at(page, 0) {
        return Err(FormatError::Corrupt("the header's checksum is wrong"));
    }
    let version = u32_at(page, 8);
    if version != RUN_VERSION {
        return Err(FormatError::Unsupported(format!(
            "format version {version}"
        )));
    }
    let unknown = u64_at(page, 16) & !INCOMPAT_KNOWN;
    if unknown != 0 {
        return Err(FormatError::Unsupported(format!(
            "incompatible feature bits {unknown:#x}"
        )));
    }
    let key = u64_at(page, 56);
    if key != 0 {
        return Err(FormatError::Unsupported(format!(
            "encryption with key {key}"
        )));
    }
    let lens = (usize::from(u16_at(page, 12)), usize::from(u16_at(page, 14)));
    if lens != (P::BYTES, entry_bytes::<P>()) {
        return Err(FormatError::Unsupported(format!(
            "pointers of {} bytes",
            lens.0
        )));
    }
    let mut salt = [0; 16];
    salt.copy_from_slice(&page[40..56]);
    Ok(RunIdentity {
        number: u64_at(page, 32),
        salt: u128::from_le_bytes(salt),
    })
}

/// A data block: at least one and at most [`entries_per_block`] entries.
pub fn encode_block<P: Pointer>(
    entries: &[RunEntry<P>],
    identity: &RunIdentity,
    index: u64,
) -> Page {
    let mut page = [0; PAGE_BYTES];
    page[4..6].copy_from_slice(&(entries.len() as u16).to_le_bytes());
    let slots = page[BLOCK_HEADER_BYTES..].chunks_exact_mut(entry_bytes::<P>());
    for (slot, entry) in slots.zip(entries) {
        put_key(slot, entry.key);
        slot[12..20].copy_from_slice(&entry.ts.0.to_le_bytes());
        match entry.pointer {
            Some(pointer) => pointer.encode(&mut slot[ENTRY_FIXED_BYTES..]),
            None => slot[20] = 1,
        }
    }
    seal(&mut page, identity, index);
    page
}

/// A data block whose checksum has been checked.
#[derive(Debug)]
pub struct Block<'a> {
    page: &'a Page,
    len: usize,
    entry_bytes: usize,
}

impl<'a> Block<'a> {
    /// Checks the checksum and the number of entries; the entries are checked as they are decoded.
    pub fn check<P: Pointer>(page: &'a Page, identity: &RunIdentity, index: u64) -> Result<Self> {
        check_crc(page, identity, index)?;
        let len = u16_at(page, 4);
        if len == 0 || usize::from(len) > entries_per_block::<P>() {
            return Err(FormatError::Corrupt("the number of entries is wrong"));
        }
        Ok(Self::checked::<P>(page, len))
    }

    /// A page that [`Block::check`] has accepted before.
    pub fn of_checked<P: Pointer>(page: &'a Page) -> Self {
        Self::checked::<P>(page, u16_at(page, 4))
    }

    /// As [`Block::of_checked`], if the number of entries is known.
    pub fn checked<P: Pointer>(page: &'a Page, entries: u16) -> Self {
        Self {
            page,
            len: usize::from(entries),
            entry_bytes: entry_bytes::<P>(),
        }
    }

    /// How many entries there are.
    pub fn entries(&self) -> usize {
        self.len
    }

    fn entry_at(&self, i: usize) -> &'a [u8] {
        &self.page[BLOCK_HEADER_BYTES + i * self.entry_bytes..][..self.entry_bytes]
    }

    /// The key of entry `i`, which is below [`Block::entries`].
    pub fn key(&self, i: usize) -> Key {
        key_at(self.entry_at(i), 0)
    }

    /// The first entry whose key is not below `key`; [`Block::entries`] if there is none.
    pub fn lower_bound(&self, key: Key) -> usize {
        self.lower_bound_near(key, self.len / 2)
    }

    /// As [`Block::lower_bound`], fast if that is `guess`.
    pub fn lower_bound_near(&self, key: Key, guess: usize) -> usize {
        search::partition(self.len, guess, |i| self.key(i) < key)
    }

    /// Entry `i`, which is below [`Block::entries`].
    pub fn entry<P: Pointer>(&self, i: usize) -> Result<RunEntry<P>> {
        let entry = self.entry_at(i);
        let pointer = match entry[20] {
            0 => match P::decode(&entry[ENTRY_FIXED_BYTES..]) {
                Some(pointer) => Some(pointer),
                None => return Err(FormatError::Corrupt("a pointer is none")),
            },
            1 => None,
            _ => return Err(FormatError::Corrupt("an entry is of no known kind")),
        };
        Ok(RunEntry {
            key: key_at(entry, 0),
            ts: CommitTs(u64_at(entry, 12)),
            pointer,
        })
    }
}

/// Sets a filter page's number of blocks and its checksum.
pub fn seal_filter(page: &mut Page, blocks: usize, identity: &RunIdentity, index: u64) {
    page[4..6].copy_from_slice(&(blocks as u16).to_le_bytes());
    seal(page, identity, index);
}

/// Checks a filter page for a group of `expected` data blocks.
pub fn check_filter(
    page: &Page,
    identity: &RunIdentity,
    index: u64,
    expected: usize,
) -> Result<()> {
    check_crc(page, identity, index)?;
    if usize::from(u16_at(page, 4)) != expected {
        return Err(FormatError::Corrupt("the number of blocks is wrong"));
    }
    Ok(())
}

/// A fence page: at most [`FENCES_PER_PAGE`] keys.
pub fn encode_fences(fences: &[Key], identity: &RunIdentity, index: u64) -> Page {
    let mut page = [0; PAGE_BYTES];
    page[4..6].copy_from_slice(&(fences.len() as u16).to_le_bytes());
    for (slot, key) in page[BLOCK_HEADER_BYTES..]
        .chunks_exact_mut(FENCE_BYTES)
        .zip(fences)
    {
        put_key(slot, *key);
    }
    seal(&mut page, identity, index);
    page
}

/// Checks a fence page and adds its keys, which must be `expected` many and ascend.
pub fn decode_fences(
    page: &Page,
    identity: &RunIdentity,
    index: u64,
    expected: usize,
    fences: &mut Vec<Key>,
) -> Result<()> {
    check_crc(page, identity, index)?;
    if usize::from(u16_at(page, 4)) != expected {
        return Err(FormatError::Corrupt("the number of fences is wrong"));
    }
    for slot in page[BLOCK_HEADER_BYTES..]
        .chunks_exact(FENCE_BYTES)
        .take(expected)
    {
        let key = key_at(slot, 0);
        if fences.last().is_some_and(|last| *last >= key) {
            return Err(FormatError::Corrupt("the fences do not ascend"));
        }
        fences.push(key);
    }
    Ok(())
}

/// The footer page, which has this index.
pub fn encode_footer(meta: &RunMeta, identity: &RunIdentity, index: u64) -> Page {
    let mut page = [0; PAGE_BYTES];
    page[4..8].copy_from_slice(&FOOTER_MAGIC);
    page[8..16].copy_from_slice(&meta.entries.to_le_bytes());
    page[16..24].copy_from_slice(&meta.tombstones.to_le_bytes());
    page[24..32].copy_from_slice(&meta.data_blocks.to_le_bytes());
    page[32..40].copy_from_slice(&meta.fence_pages().to_le_bytes());
    page[40..48].copy_from_slice(&meta.filter_pages().to_le_bytes());
    page[48..56].copy_from_slice(&meta.min_ts.0.to_le_bytes());
    page[56..64].copy_from_slice(&meta.max_ts.0.to_le_bytes());
    if let Some((first, last)) = meta.keys {
        put_key(&mut page[64..76], first);
        put_key(&mut page[76..88], last);
    }
    seal(&mut page, identity, index);
    page
}

/// Checks the footer page, which has this index, against itself and against its place at the end of
/// the file.
pub fn decode_footer<P: Pointer>(
    page: &Page,
    identity: &RunIdentity,
    index: u64,
) -> Result<RunMeta> {
    check_crc(page, identity, index)?;
    if page[4..8] != FOOTER_MAGIC {
        return Err(FormatError::Corrupt("the footer's magic is wrong"));
    }
    let entries = u64_at(page, 8);
    let meta = RunMeta {
        entries,
        tombstones: u64_at(page, 16),
        data_blocks: u64_at(page, 24),
        min_ts: CommitTs(u64_at(page, 48)),
        max_ts: CommitTs(u64_at(page, 56)),
        keys: (entries > 0).then(|| (key_at(page, 64), key_at(page, 76))),
    };
    let per_block = entries_per_block::<P>() as u64;
    // The first comparison bounds the number of blocks by the file's length, so that nothing after
    // it overflows.
    let fits = meta.data_blocks < index
        && meta.fences_at() + meta.fence_pages() == index
        && u64_at(page, 32) == meta.fence_pages()
        && u64_at(page, 40) == meta.filter_pages()
        && meta.data_blocks <= entries
        && entries <= meta.data_blocks * per_block
        && meta.tombstones <= entries
        && meta.min_ts <= meta.max_ts
        && meta.keys.is_none_or(|(first, last)| first <= last);
    if !fits {
        return Err(FormatError::Corrupt("the footer does not fit the file"));
    }
    Ok(meta)
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
