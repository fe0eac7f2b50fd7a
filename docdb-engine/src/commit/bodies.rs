//! The documents of a commit as the log takes them.

use bytes::Bytes;
use docdb_index::Pointer;
use docdb_mvcc::WriteKind;
use docdb_wal::{Body, Wal};

use super::Accepted;
use super::bulk::StoredBodies;
use crate::ops::WriteOp;
use crate::pointer::DocPtr;
use crate::record::{self, OpHead, OpKind};

/// Bodies up to this size are copied into the log's group, larger ones are linked.
const COPIED_BYTES_MAX: usize = 16 << 10;
/// Up to this size, hashing a body again costs less than combining two checksums.
const REHASHED_BYTES_MAX: usize = 4 << 10;

/// The documents of a commit as the log takes them. What it is to get is compressed already, if the
/// log does that, since it is appended under the sequencer.
pub(super) enum Bodies<'a> {
    Copied {
        bytes: &'a [u8],
        body: Body<'a>,
    },
    Linked {
        bytes: Bytes,
        body: Body<'a>,
        crc: crc32fast::Hasher,
    },
    /// The log gets pointers.
    Stored(StoredBodies<'a>),
}

impl<'a> Bodies<'a> {
    pub(super) fn new(bytes: &'a [u8], wal: &Wal) -> Bodies<'a> {
        Bodies::Copied {
            bytes,
            body: wal.pack(Body::Slice(bytes)),
        }
    }

    pub(super) fn gather(ops: &[WriteOp<'a>], body_bytes: usize, wal: &Wal) -> Bodies<'a> {
        match ops {
            [op] if op.kind == WriteKind::Delete => Bodies::new(&[], wal),
            [op] if body_bytes <= COPIED_BYTES_MAX => Bodies::new(op.body, wal),
            _ => {
                let mut bytes = Vec::with_capacity(body_bytes);
                for op in ops.iter().filter(|op| op.kind != WriteKind::Delete) {
                    bytes.extend_from_slice(op.body);
                }
                let mut crc = crc32fast::Hasher::new();
                crc.update(&bytes);
                let bytes = Bytes::from(bytes);
                Bodies::Linked {
                    body: wal.pack(Body::Shared(bytes.clone())),
                    bytes,
                    crc,
                }
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Bodies::Copied { bytes, .. } => bytes.len(),
            Bodies::Linked { bytes, .. } => bytes.len(),
            Bodies::Stored(stored) => stored.logged.len(),
        }
    }

    pub(super) fn stored(&self) -> Option<&StoredBodies<'a>> {
        match self {
            Bodies::Stored(stored) => Some(stored),
            Bodies::Copied { .. } | Bodies::Linked { .. } => None,
        }
    }

    /// Appends the head of the commit's record.
    pub(super) fn encode_head(
        &self,
        head: &mut Vec<u8>,
        ops: &[WriteOp<'_>],
        accepted: &[Accepted],
    ) {
        let stored = self.stored();
        let extra = u32::from(stored.is_some());
        record::encode_head(head, ops.len() as u32 + extra);
        if let Some(stored) = stored {
            record::encode_op_head(head, &stored.file_op());
        }
        for (op, accepted) in ops.iter().zip(accepted) {
            let (kind, body_bytes) = match (op.kind, stored) {
                (WriteKind::Delete, _) => (OpKind::Delete, 0),
                (_, Some(_)) => (OpKind::PutStored, DocPtr::BYTES),
                (_, None) => (OpKind::Put, op.body.len()),
            };
            record::encode_op_head(
                head,
                &OpHead {
                    kind,
                    existed: accepted.existed,
                    collection: accepted.key.collection,
                    id: accepted.key.id,
                    body_bytes: body_bytes as u32,
                },
            );
        }
    }

    pub(super) fn body(&self) -> Body<'_> {
        match self {
            Bodies::Copied { body, .. } | Bodies::Linked { body, .. } => body.clone(),
            Bodies::Stored(stored) => stored.logged.clone(),
        }
    }

    /// The checksum of `head` and the bodies behind it. The head holds assigned ids, so it is hashed
    /// under the sequencer; large bodies were hashed before.
    pub(super) fn payload_crc(&self, head: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(head);
        match self {
            Bodies::Copied { bytes, .. } => hasher.update(bytes),
            Bodies::Linked { bytes, .. } if bytes.len() <= REHASHED_BYTES_MAX => {
                hasher.update(bytes);
            }
            Bodies::Linked { crc, .. } => hasher.combine(crc),
            Bodies::Stored(stored) => hasher.combine(&stored.crc),
        }
        hasher.finalize()
    }
}
