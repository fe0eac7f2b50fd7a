//! The bytes of a data file. No I/O.
//!
//! A data file is a header of 4096 bytes, then frames without gaps. All numbers are little-endian.
//! Every frame begins at a multiple of 8. Before a sync the last 4096-byte block is filled up with a
//! padding frame, so that no block that holds synced bytes is ever written again, and the durable
//! length is a multiple of 4096. What lies beyond the durable length, which is kept elsewhere, is
//! not part of the file.
//!
//! File header:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `DOCDBDAT` |
//! | 8 | 4 | version of the format, 1 |
//! | 12 | 4 | length of this header, 4096 |
//! | 16 | 8 | incompatible feature bits: an unknown one forbids opening; none is defined |
//! | 24 | 8 | compatible feature bits: unknown ones are ignored; none is defined |
//! | 32 | 4 | number of the file |
//! | 36 | 4 | zero |
//! | 40 | 16 | salt of the file |
//! | 56 | 8 | key id, zero: not encrypted |
//! | 64 | 4028 | zero |
//! | 4092 | 4 | CRC-32 of bytes 0..4092 |
//!
//! Frame header, 48 bytes, followed by the body and zeros up to a multiple of 8:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `DFRM` |
//! | 4 | 4 | flags: bit 0 tombstone (no body), bit 1 padding (the body is zeros), bit 2 unversioned |
//! | 8 | 4 | collection; zero in padding |
//! | 12 | 4 | length of the body, at most 32 MiB |
//! | 16 | 8 | document id; zero in padding |
//! | 24 | 8 | version; zero in padding and in unversioned frames |
//! | 32 | 4 | CRC-32 of the body |
//! | 36 | 8 | zero |
//! | 44 | 4 | CRC-32 of the salt (16), the file's number (4), the frame's offset in the file (8), and bytes 0..44 of this header |
//!
//! So a frame that lies at another offset, comes from another file, or belongs to another document
//! or version never validates, and neither does a body that was exchanged. An unversioned frame was
//! written before its version was known, by a commit too large for the log; whoever points to it knows
//! the version. It is bound to its file, its place, its collection and its document all the same.

use crc32fast::Hasher;

/// The first bytes of a data file.
pub const FILE_MAGIC: [u8; 8] = *b"DOCDBDAT";
/// The version of the format that this build writes, and the only one that it reads.
pub const FILE_VERSION: u32 = 1;
/// The length of a file's header, in bytes.
pub const FILE_HEADER_BYTES: usize = 4096;
/// The incompatible feature bits that this build knows.
pub const INCOMPAT_KNOWN: u64 = 0;
/// The first bytes of a frame.
pub const FRAME_MAGIC: [u8; 4] = *b"DFRM";
/// The length of a frame's header, in bytes.
pub const FRAME_HEADER_BYTES: usize = 48;
/// Frames begin at multiples of this, in bytes.
pub const FRAME_ALIGN_BYTES: u64 = 8;
/// Synced lengths are multiples of this, in bytes.
pub const BLOCK_BYTES: u64 = 4096;
/// Largest body of a frame, in bytes.
pub const BODY_BYTES_MAX: u32 = 32 << 20;

/// Flag: the document was deleted by this version.
pub const FLAG_TOMBSTONE: u32 = 1;
/// Flag: nothing but filling.
pub const FLAG_PADDING: u32 = 2;
/// Flag: the version is zero in the frame; who points to it knows it.
pub const FLAG_UNVERSIONED: u32 = 4;

/// What makes a file this one and no other; enters every checksum in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// The file's number in its database, never reused.
    pub number: u32,
    /// Random bits, drawn when the file is created.
    pub salt: u128,
}

/// Whose version a frame holds; enters the frame's checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameId {
    /// The collection's number.
    pub collection: u32,
    /// The document's id.
    pub id: u64,
    /// The document's version.
    pub version: u64,
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

const FLAGS_KNOWN: u32 = FLAG_TOMBSTONE | FLAG_PADDING | FLAG_UNVERSIONED;

/// The bytes that a frame with a body of `len` bytes takes: header, body and zeros.
pub fn frame_bytes(len: u32) -> u64 {
    (FRAME_HEADER_BYTES as u64 + u64::from(len)).next_multiple_of(FRAME_ALIGN_BYTES)
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

/// The header of a file.
pub fn encode_file_header(identity: &FileIdentity) -> [u8; FILE_HEADER_BYTES] {
    let mut bytes = [0; FILE_HEADER_BYTES];
    bytes[0..8].copy_from_slice(&FILE_MAGIC);
    bytes[8..12].copy_from_slice(&FILE_VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&(FILE_HEADER_BYTES as u32).to_le_bytes());
    bytes[32..36].copy_from_slice(&identity.number.to_le_bytes());
    bytes[40..56].copy_from_slice(&identity.salt.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..4092]);
    bytes[4092..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Checks a file's header and returns the identity that it states.
pub fn decode_file_header(bytes: &[u8; FILE_HEADER_BYTES]) -> Result<FileIdentity, FormatError> {
    if bytes[0..8] != FILE_MAGIC {
        return Err(FormatError::Corrupt("the file header's magic is wrong"));
    }
    // The checksum's place and kind are the same in every version, so that damage is never taken
    // for a newer version.
    if crc32fast::hash(&bytes[..4092]) != u32_at(bytes, 4092) {
        return Err(FormatError::Corrupt("the file header's checksum is wrong"));
    }
    let version = u32_at(bytes, 8);
    if version != FILE_VERSION {
        return Err(FormatError::Unsupported(format!(
            "format version {version}"
        )));
    }
    let unknown = u64_at(bytes, 16) & !INCOMPAT_KNOWN;
    if unknown != 0 {
        return Err(FormatError::Unsupported(format!(
            "incompatible feature bits {unknown:#x}"
        )));
    }
    let key = u64_at(bytes, 56);
    if key != 0 {
        return Err(FormatError::Unsupported(format!(
            "encryption with key {key}"
        )));
    }
    if u32_at(bytes, 12) != FILE_HEADER_BYTES as u32 {
        return Err(FormatError::Corrupt("the file header's length is wrong"));
    }
    let mut salt = [0; 16];
    salt.copy_from_slice(&bytes[40..56]);
    Ok(FileIdentity {
        number: u32_at(bytes, 32),
        salt: u128::from_le_bytes(salt),
    })
}

/// What a frame's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// [`FLAG_TOMBSTONE`], [`FLAG_PADDING`], [`FLAG_UNVERSIONED`] or none.
    pub flags: u32,
    /// Whose version it is.
    pub id: FrameId,
    /// The length of the body, in bytes.
    pub len: u32,
    /// CRC-32 of the body.
    pub body_crc: u32,
}

impl FrameHeader {
    /// Whether the frame says that the document was deleted.
    pub fn is_tombstone(&self) -> bool {
        self.flags & FLAG_TOMBSTONE != 0
    }

    /// Whether the frame holds a body of that version of that document.
    pub fn is_body_of(&self, id: &FrameId) -> bool {
        match self.flags {
            0 => self.id == *id,
            FLAG_UNVERSIONED => self.id == FrameId { version: 0, ..*id },
            _ => false,
        }
    }

    /// Whether the frame is only filling.
    pub fn is_padding(&self) -> bool {
        self.flags & FLAG_PADDING != 0
    }
}

fn frame_header_crc(header: &[u8], identity: &FileIdentity, offset: u64) -> u32 {
    let mut bound = [0; 28];
    bound[0..16].copy_from_slice(&identity.salt.to_le_bytes());
    bound[16..20].copy_from_slice(&identity.number.to_le_bytes());
    bound[20..28].copy_from_slice(&offset.to_le_bytes());
    let mut hasher = Hasher::new();
    hasher.update(&bound);
    hasher.update(&header[..44]);
    hasher.finalize()
}

/// The header of a frame at `offset` of the file with that identity.
pub fn encode_frame_header(
    header: &FrameHeader,
    identity: &FileIdentity,
    offset: u64,
) -> [u8; FRAME_HEADER_BYTES] {
    let mut bytes = [0; FRAME_HEADER_BYTES];
    bytes[0..4].copy_from_slice(&FRAME_MAGIC);
    bytes[4..8].copy_from_slice(&header.flags.to_le_bytes());
    bytes[8..12].copy_from_slice(&header.id.collection.to_le_bytes());
    bytes[12..16].copy_from_slice(&header.len.to_le_bytes());
    bytes[16..24].copy_from_slice(&header.id.id.to_le_bytes());
    bytes[24..32].copy_from_slice(&header.id.version.to_le_bytes());
    bytes[32..36].copy_from_slice(&header.body_crc.to_le_bytes());
    let crc = frame_header_crc(&bytes, identity, offset);
    bytes[44..48].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Checks the header of a frame that was read from `offset` of the file with that identity. The
/// body is not checked.
pub fn decode_frame_header(
    bytes: &[u8; FRAME_HEADER_BYTES],
    identity: &FileIdentity,
    offset: u64,
) -> Result<FrameHeader, FormatError> {
    if bytes[0..4] != FRAME_MAGIC {
        return Err(FormatError::Corrupt("no frame begins here"));
    }
    if frame_header_crc(bytes, identity, offset) != u32_at(bytes, 44) {
        return Err(FormatError::Corrupt("the frame header's checksum is wrong"));
    }
    let header = FrameHeader {
        flags: u32_at(bytes, 4),
        id: FrameId {
            collection: u32_at(bytes, 8),
            id: u64_at(bytes, 16),
            version: u64_at(bytes, 24),
        },
        len: u32_at(bytes, 12),
        body_crc: u32_at(bytes, 32),
    };
    if header.flags & !FLAGS_KNOWN != 0 {
        return Err(FormatError::Unsupported(format!(
            "frame flags {:#x}",
            header.flags
        )));
    }
    if header.len > BODY_BYTES_MAX {
        return Err(FormatError::Corrupt(
            "the frame's length is above the limit",
        ));
    }
    Ok(header)
}

/// The padding frame that takes exactly `bytes` bytes, a multiple of 8 and at least
/// [`FRAME_HEADER_BYTES`], at `offset`.
pub(crate) fn padding_frame(bytes: usize, identity: &FileIdentity, offset: u64) -> Vec<u8> {
    let mut frame = vec![0; bytes];
    let body = &frame[FRAME_HEADER_BYTES..];
    let header = FrameHeader {
        flags: FLAG_PADDING,
        id: FrameId {
            collection: 0,
            id: 0,
            version: 0,
        },
        len: body.len() as u32,
        body_crc: crc32fast::hash(body),
    };
    frame[..FRAME_HEADER_BYTES].copy_from_slice(&encode_frame_header(&header, identity, offset));
    frame
}

/// How many bytes of padding make `offset` a multiple of [`BLOCK_BYTES`]; 0 if it is one.
pub fn padding_bytes(offset: u64) -> usize {
    let gap = (offset.next_multiple_of(BLOCK_BYTES) - offset) as usize;
    // A gap that cannot hold a header takes the whole next block too.
    if gap > 0 && gap < FRAME_HEADER_BYTES {
        gap + BLOCK_BYTES as usize
    } else {
        gap
    }
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
