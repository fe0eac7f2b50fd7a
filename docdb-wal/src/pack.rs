//! Records as they are to stand in the log: bodies compressed where that is worth it.

use std::borrow::Cow;

use bytes::Bytes;

use crate::compression::Compression;
use crate::format::compressed::Prefix;
use crate::format::record::FLAG_COMPRESSED;
use crate::group::{Body, Record};
use crate::log::PAYLOAD_BYTES_MAX;
use crate::lz4;

/// Smaller bodies are left as they are: a group is padded to 4 KiB, so alone in its group such a
/// record would take the same blocks.
const COMPRESSED_BYTES_MIN: usize = 4 << 10;
/// A body is compressed if that saves this part of it: less is not worth expanding it at recovery.
const SAVED_PART_MIN: usize = 8;

/// A body that [`Wal::pack`](crate::Wal::pack) has looked at.
#[derive(Debug, Clone)]
pub struct Packed<'a>(Form<'a>);

#[derive(Debug, Clone)]
enum Form<'a> {
    Slice(&'a [u8]),
    Shared(Bytes),
    Block(Block),
}

/// A compressed body.
#[derive(Debug, Clone)]
struct Block {
    bytes: Bytes,
    /// Of `bytes`.
    crc: crc32fast::Hasher,
    body_bytes: usize,
}

impl Packed<'_> {
    /// The length in bytes of the body as it was given.
    pub(crate) fn body_bytes(&self) -> usize {
        match &self.0 {
            Form::Slice(bytes) => bytes.len(),
            Form::Shared(bytes) => bytes.len(),
            Form::Block(block) => block.body_bytes,
        }
    }
}

/// The body, compressed if `compression` asks for it and it is worth it.
pub(crate) fn pack(body: Body<'_>, compression: Compression) -> Packed<'_> {
    Packed(match body {
        Body::Packed(packed) => packed.0,
        Body::Slice(bytes) => compress(bytes, compression).map_or(Form::Slice(bytes), Form::Block),
        Body::Shared(bytes) => match compress(&bytes, compression) {
            Some(block) => Form::Block(block),
            None => Form::Shared(bytes),
        },
    })
}

fn compress(body: &[u8], compression: Compression) -> Option<Block> {
    if compression == Compression::None {
        return None;
    }
    // One that is too large is refused as it is.
    if !(COMPRESSED_BYTES_MIN..=PAYLOAD_BYTES_MAX).contains(&body.len()) {
        return None;
    }
    let block = lz4::compress(body)?;
    if block.len() > body.len() - body.len() / SAVED_PART_MIN {
        return None;
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(&block);
    Some(Block {
        // Without the room that was left for a block that does not compress: many may wait.
        bytes: block.into_boxed_slice().into(),
        crc,
        body_bytes: body.len(),
    })
}

/// A record as it is to stand in the log.
#[derive(Debug)]
pub(crate) struct PackedRecord<'a> {
    pub(crate) stamp: u64,
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    /// What is copied into the group.
    pub(crate) front: Cow<'a, [u8]>,
    pub(crate) rest: Rest<'a>,
    /// CRC-32 of `front` and `rest`.
    pub(crate) stored_crc: u32,
    /// The length of the payload as it was given.
    payload_bytes: usize,
}

/// The bulk of what stands in the log.
#[derive(Debug)]
pub(crate) enum Rest<'a> {
    Slice(&'a [u8]),
    Shared(Bytes),
}

impl<'a> PackedRecord<'a> {
    pub(crate) fn new(record: &'a Record<'a>, compression: Compression) -> PackedRecord<'a> {
        let (rest, block) = match &record.body {
            Body::Slice(bytes) => (Rest::Slice(bytes), compress(bytes, compression)),
            Body::Shared(bytes) => (Rest::Shared(bytes.clone()), compress(bytes, compression)),
            Body::Packed(Packed(Form::Slice(bytes))) => (Rest::Slice(bytes), None),
            Body::Packed(Packed(Form::Shared(bytes))) => (Rest::Shared(bytes.clone()), None),
            Body::Packed(Packed(Form::Block(block))) => return Self::compressed(record, block),
        };
        if let Some(block) = block {
            return Self::compressed(record, &block);
        }
        PackedRecord {
            stamp: record.stamp,
            kind: record.kind,
            flags: 0,
            front: Cow::Borrowed(record.head),
            rest,
            stored_crc: record.payload_crc,
            payload_bytes: record.payload_bytes(),
        }
    }

    fn compressed(record: &Record<'_>, block: &Block) -> PackedRecord<'a> {
        let payload_bytes = record.head.len() + block.body_bytes;
        let prefix = Prefix {
            payload_bytes: payload_bytes as u32,
            payload_crc: record.payload_crc,
            front_bytes: record.head.len() as u32,
        };
        let front = [&prefix.encode(), record.head].concat();
        let mut crc = crc32fast::Hasher::new();
        crc.update(&front);
        crc.combine(&block.crc);
        PackedRecord {
            stamp: record.stamp,
            kind: record.kind,
            flags: FLAG_COMPRESSED,
            front: Cow::Owned(front),
            rest: Rest::Shared(block.bytes.clone()),
            stored_crc: crc.finalize(),
            payload_bytes,
        }
    }

    /// The length of the payload as it was given.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// The length of what stands in the log behind the record's header.
    pub(crate) fn stored_bytes(&self) -> usize {
        let rest = match &self.rest {
            Rest::Slice(bytes) => bytes.len(),
            Rest::Shared(bytes) => bytes.len(),
        };
        self.front.len() + rest
    }
}
