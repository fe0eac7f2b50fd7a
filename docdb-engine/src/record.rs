//! The payload of a commit's log record.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | payload version, 1 |
//! | 1 | 1 | flags, 0; room for optional fields |
//! | 2 | 2 | zero |
//! | 4 | 4 | number of operations |
//! | 8 | 24 each | operations |
//! | | | bodies, one after the other, in the order of the operations |
//!
//! An operation:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | kind: 1 put, 2 delete, 3 create collection, 4 drop collection, 5 bulk file, 6 put stored |
//! | 1 | 1 | flags: 1 the document existed before |
//! | 2 | 2 | zero |
//! | 4 | 4 | collection number |
//! | 8 | 8 | document id; 0 for collections; of a bulk file its synced length |
//! | 16 | 4 | length of the body: the document, the collection's name; of a bulk file number (4) and salt (16); of a document in one its pointer: file (4), offset (8), length (4) |
//! | 20 | 4 | zero |

use docdb_types::limits;

pub(crate) const HEAD_BYTES: usize = 8;
pub(crate) const OP_BYTES: usize = 24;

/// The kind of log records that hold a commit.
pub(crate) const KIND_COMMIT: u16 = 1;

const VERSION: u8 = 1;
const FLAG_EXISTED: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum OpKind {
    Put = 1,
    Delete = 2,
    CreateCollection = 3,
    DropCollection = 4,
    /// A data file that this commit wrote bodies to.
    BulkFile = 5,
    /// A put whose body is in a data file.
    PutStored = 6,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoggedOp<'a> {
    pub(crate) kind: OpKind,
    pub(crate) existed: bool,
    pub(crate) collection: u32,
    pub(crate) id: u64,
    pub(crate) body: &'a [u8],
}

/// An operation without its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpHead {
    pub(crate) kind: OpKind,
    pub(crate) existed: bool,
    pub(crate) collection: u32,
    pub(crate) id: u64,
    pub(crate) body_bytes: u32,
}

/// Appends the head of a commit of `ops` operations.
pub(crate) fn encode_head(out: &mut Vec<u8>, ops: u32) {
    out.extend_from_slice(&[VERSION, 0, 0, 0]);
    out.extend_from_slice(&ops.to_le_bytes());
}

/// Appends an operation; its body belongs behind all operations.
pub(crate) fn encode_op(out: &mut Vec<u8>, op: &LoggedOp<'_>) {
    encode_op_head(
        out,
        &OpHead {
            kind: op.kind,
            existed: op.existed,
            collection: op.collection,
            id: op.id,
            body_bytes: op.body.len() as u32,
        },
    );
}

/// Appends an operation of which only the length of the body is known here.
pub(crate) fn encode_op_head(out: &mut Vec<u8>, op: &OpHead) {
    let mut bytes = [0; OP_BYTES];
    bytes[0] = op.kind as u8;
    bytes[1] = if op.existed { FLAG_EXISTED } else { 0 };
    bytes[4..8].copy_from_slice(&op.collection.to_le_bytes());
    bytes[8..16].copy_from_slice(&op.id.to_le_bytes());
    bytes[16..20].copy_from_slice(&op.body_bytes.to_le_bytes());
    out.extend_from_slice(&bytes);
}

/// The operations of a payload, or what is wrong with it. The payload's checksum has been verified,
/// so an error here means a version that this build does not know, or a bug.
pub(crate) fn decode(payload: &[u8]) -> Result<Vec<LoggedOp<'_>>, String> {
    let head = payload
        .get(..HEAD_BYTES)
        .ok_or("the payload of a commit is too short")?;
    if head[0] != VERSION || head[1] != 0 {
        return Err(format!(
            "commit payload version {}, flags {}",
            head[0], head[1]
        ));
    }
    let count = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    let ops_end = count
        .checked_mul(OP_BYTES)
        .and_then(|bytes| bytes.checked_add(HEAD_BYTES))
        .filter(|&end| end <= payload.len() && count <= limits::COMMIT_OPS_MAX + 1)
        .ok_or("a commit with more operations than its payload holds")?;
    let mut bodies = &payload[ops_end..];
    let mut ops = Vec::with_capacity(count);
    for bytes in payload[HEAD_BYTES..ops_end].chunks_exact(OP_BYTES) {
        let kind = match bytes[0] {
            1 => OpKind::Put,
            2 => OpKind::Delete,
            3 => OpKind::CreateCollection,
            4 => OpKind::DropCollection,
            5 => OpKind::BulkFile,
            6 => OpKind::PutStored,
            other => return Err(format!("operation kind {other} in a commit")),
        };
        let mut raw = [0; 8];
        raw.copy_from_slice(&bytes[8..16]);
        let length = u32::from_le_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]) as usize;
        let body = bodies
            .get(..length)
            .ok_or("a body beyond the end of its commit")?;
        bodies = &bodies[length..];
        ops.push(LoggedOp {
            kind,
            existed: bytes[1] & FLAG_EXISTED != 0,
            collection: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
            id: u64::from_le_bytes(raw),
            body,
        });
    }
    if bodies.is_empty() {
        Ok(ops)
    } else {
        Err("bytes behind the last body of a commit".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(ops: &[LoggedOp<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        encode_head(&mut out, ops.len() as u32);
        for op in ops {
            encode_op(&mut out, op);
        }
        for op in ops {
            out.extend_from_slice(op.body);
        }
        out
    }

    fn sample() -> [LoggedOp<'static>; 3] {
        let op = LoggedOp {
            kind: OpKind::Put,
            existed: true,
            collection: 3,
            id: 9,
            body: b"{}",
        };
        [
            op,
            LoggedOp {
                kind: OpKind::Delete,
                id: u64::MAX,
                body: b"",
                ..op
            },
            LoggedOp {
                kind: OpKind::CreateCollection,
                existed: false,
                id: 0,
                body: b"name",
                ..op
            },
        ]
    }

    #[test]
    fn round_trip() {
        assert_eq!(decode(&encode(&sample())), Ok(sample().to_vec()));
        assert_eq!(decode(&encode(&[])), Ok(vec![]));
    }

    #[test]
    fn golden() {
        let hex: String = encode(&sample()[..1])
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(
            hex,
            "010000000100000001010000030000000900000000000000020000000000000 07b7d"
                .replace(' ', "")
        );
    }

    #[test]
    fn short_or_changed_payloads_are_errors() {
        let good = encode(&sample());
        for end in 0..good.len() {
            assert!(decode(&good[..end]).is_err(), "{end}");
        }
        let mut many = good.clone();
        many[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(decode(&many).is_err());
    }
}
