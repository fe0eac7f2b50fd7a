//! The bodies of requests: required fields first, then the optional ones in the order of their
//! presence bits.

use docdb_types::limits::COMMIT_OPS_MAX;

use crate::backup;
use crate::codec::{Encode, Head};
use crate::view_codec;
use crate::wire::{Fields, Present, Put, Reader};
use crate::{
    BatchMode, DecodeError, DecodeReason, EncodeError, Frame, Opcode, Precondition, Request, Scan,
    Text, WriteKind, WriteOp,
};

const DURABILITY: u32 = 0;
const FORCE: u32 = 0;
const STATS_DB: u32 = 0;
const SCAN_FROM: u32 = 0;
const SCAN_TO: u32 = 1;
const SCAN_LIMIT: u32 = 2;
const SCAN_REVERSE: u32 = 3;
const SCAN_CURSOR: u32 = 4;
const SCAN_AT_LATEST: u32 = 5;

const RANGE_FROM: u32 = 0;
const RANGE_TO: u32 = 1;
const RANGE_LIMIT: u32 = 2;
const RANGE_DURABILITY: u32 = 3;

const OP_ID: u32 = 0;
const OP_SAME_COLLECTION: u32 = 1;
const OP_VERSION_IS: u32 = 2;
const OP_ABSENT: u32 = 3;
const OP_BODY: u32 = 4;
/// Kind, presence bits and the shorter of an id and a body's length.
const OP_BYTES_MIN: usize = 1 + 2 + 4;

impl Encode for Request {
    fn encode<P: Put>(&self, p: &mut P) -> Result<Head, EncodeError> {
        let mut fields = Fields::default();
        match self {
            Request::Ping | Request::Cancel | Request::ListDatabases => {}
            Request::ScanCredit { bytes } => p.u32(*bytes),
            Request::CreateDatabase { name, durability } => {
                p.text(name)?;
                fields.text(p, DURABILITY, durability.as_ref())?;
            }
            Request::DropDatabase { name } => p.text(name)?,
            Request::ListCollections { db }
            | Request::Checkpoint { db }
            | Request::Compact { db }
            | Request::HealAll { db }
            | Request::HealStats { db } => p.text(db)?,
            Request::CreateCollection { db, name } => {
                p.text(db)?;
                p.text(name)?;
            }
            Request::DropCollection { db, name, force } => {
                p.text(db)?;
                p.text(name)?;
                fields.flag(FORCE, *force);
            }
            Request::Read { db, collection, id }
            | Request::Exists { db, collection, id }
            | Request::Heal { db, collection, id } => {
                p.text(db)?;
                p.text(collection)?;
                p.u64(*id);
            }
            Request::Count { db, collection } => {
                p.text(db)?;
                p.text(collection)?;
            }
            Request::Scan(scan) => put_scan(p, &mut fields, scan)?,
            Request::Write { db, durability, op } => {
                p.text(db)?;
                put_op(p, op, None)?;
                fields.text(p, DURABILITY, durability.as_ref())?;
            }
            Request::Batch {
                db,
                mode,
                durability,
                ops,
            } => {
                p.text(db)?;
                p.u8(mode.code());
                p.count(ops.len(), COMMIT_OPS_MAX)?;
                let mut previous = None;
                for op in ops {
                    put_op(p, op, previous)?;
                    previous = Some(&op.collection);
                }
                fields.text(p, DURABILITY, durability.as_ref())?;
            }
            Request::DeleteRange {
                db,
                collection,
                from,
                to,
                limit,
                durability,
            } => {
                p.text(db)?;
                p.text(collection)?;
                fields.u64(p, RANGE_FROM, *from);
                fields.u64(p, RANGE_TO, *to);
                fields.u64(p, RANGE_LIMIT, *limit);
                fields.text(p, RANGE_DURABILITY, durability.as_ref())?;
            }
            Request::Backup(request) => backup::put_request(p, &mut fields, request)?,
            Request::Stats { db } => fields.text(p, STATS_DB, db.as_ref())?,
            Request::View(request) => fields = view_codec::encode(p, request)?,
        }
        Ok(Head {
            opcode: self.opcode(),
            present: fields.0,
        })
    }
}

fn put_scan(p: &mut impl Put, fields: &mut Fields, scan: &Scan) -> Result<(), EncodeError> {
    p.text(&scan.db)?;
    p.text(&scan.collection)?;
    put_range(p, fields, scan)?;
    fields.flag(SCAN_AT_LATEST, scan.at_latest);
    Ok(())
}

/// What follows the place of a scan, apart from [`SCAN_AT_LATEST`].
pub(crate) fn put_range(
    p: &mut impl Put,
    fields: &mut Fields,
    scan: &Scan,
) -> Result<(), EncodeError> {
    p.u32(scan.credit_bytes);
    fields.u64(p, SCAN_FROM, scan.from);
    fields.u64(p, SCAN_TO, scan.to);
    fields.u64(p, SCAN_LIMIT, scan.limit);
    fields.flag(SCAN_REVERSE, scan.reverse);
    fields.bytes(p, SCAN_CURSOR, scan.cursor.as_ref())
}

/// Unlike a message's, an operation's presence bits stand before its fields and are settled by
/// the operation alone.
pub(crate) fn put_op(
    p: &mut impl Put,
    op: &WriteOp,
    previous: Option<&Text>,
) -> Result<(), EncodeError> {
    if op.id.is_some() != op.kind.has_id() {
        return Err(EncodeError::Invalid(
            "every write but an insert names an id",
        ));
    }
    if !op.kind.has_body() && !op.body.is_empty() {
        return Err(EncodeError::Invalid("a delete has no body"));
    }
    let same_collection = previous == Some(&op.collection);
    let mut bits = Fields::default();
    bits.flag(OP_ID, op.id.is_some());
    bits.flag(OP_SAME_COLLECTION, same_collection);
    bits.flag(
        OP_VERSION_IS,
        matches!(op.precondition, Precondition::VersionIs(_)),
    );
    bits.flag(OP_ABSENT, op.precondition == Precondition::Absent);
    bits.flag(OP_BODY, op.kind.has_body());
    p.u8(op.kind.code());
    p.u16(bits.0);
    if let Some(id) = op.id {
        p.u64(id);
    }
    if !same_collection {
        p.text(&op.collection)?;
    }
    if let Precondition::VersionIs(version) = op.precondition {
        p.u64(version);
    }
    if op.kind.has_body() {
        p.bytes(&op.body)?;
    }
    Ok(())
}

pub(crate) fn decode(frame: &Frame) -> Result<Request, DecodeError> {
    let mut r = Reader::new(frame);
    let mut present = Present::new(frame.present);
    let request = match Opcode::from_code(frame.opcode) {
        Some(Opcode::Ping) => Request::Ping,
        Some(Opcode::Cancel) => Request::Cancel,
        Some(Opcode::ScanCredit) => Request::ScanCredit { bytes: r.u32()? },
        Some(Opcode::ListDatabases) => Request::ListDatabases,
        Some(Opcode::CreateDatabase) => Request::CreateDatabase {
            name: r.text()?,
            durability: r.opt_text(present.has(DURABILITY))?,
        },
        Some(Opcode::DropDatabase) => Request::DropDatabase { name: r.text()? },
        Some(Opcode::ListCollections) => Request::ListCollections { db: r.text()? },
        Some(Opcode::CreateCollection) => Request::CreateCollection {
            db: r.text()?,
            name: r.text()?,
        },
        Some(Opcode::DropCollection) => Request::DropCollection {
            db: r.text()?,
            name: r.text()?,
            force: present.has(FORCE),
        },
        Some(Opcode::Read) => Request::Read {
            db: r.text()?,
            collection: r.text()?,
            id: r.u64()?,
        },
        Some(Opcode::Exists) => Request::Exists {
            db: r.text()?,
            collection: r.text()?,
            id: r.u64()?,
        },
        Some(Opcode::Count) => Request::Count {
            db: r.text()?,
            collection: r.text()?,
        },
        Some(Opcode::Scan) => Request::Scan(scan(&mut r, &mut present)?),
        Some(Opcode::Write) => {
            let db = r.text()?;
            let op = op(&mut r, None)?;
            let durability = r.opt_text(present.has(DURABILITY))?;
            Request::Write { db, durability, op }
        }
        Some(Opcode::Batch) => batch(&mut r, &mut present)?,
        Some(Opcode::DeleteRange) => Request::DeleteRange {
            db: r.text()?,
            collection: r.text()?,
            from: r.opt_u64(present.has(RANGE_FROM))?,
            to: r.opt_u64(present.has(RANGE_TO))?,
            limit: r.opt_u64(present.has(RANGE_LIMIT))?,
            durability: r.opt_text(present.has(RANGE_DURABILITY))?,
        },
        Some(Opcode::Checkpoint) => Request::Checkpoint { db: r.text()? },
        Some(Opcode::Compact) => Request::Compact { db: r.text()? },
        Some(Opcode::Heal) => Request::Heal {
            db: r.text()?,
            collection: r.text()?,
            id: r.u64()?,
        },
        Some(Opcode::HealAll) => Request::HealAll { db: r.text()? },
        Some(Opcode::HealStats) => Request::HealStats { db: r.text()? },
        Some(Opcode::Backup) => Request::Backup(backup::request(&mut r, &mut present)?),
        Some(Opcode::Stats) => Request::Stats {
            db: r.opt_text(present.has(STATS_DB))?,
        },
        _ => match view_codec::decode(frame, &mut r, &mut present)? {
            Some(request) => Request::View(request),
            None => return Err(frame.unexpected()),
        },
    };
    r.finish(&present)?;
    Ok(request)
}

fn scan(r: &mut Reader<'_>, present: &mut Present) -> Result<Scan, DecodeError> {
    let (db, collection, credit_bytes) = (r.text()?, r.text()?, r.u32()?);
    let scan = range(r, present, Scan::new(db, collection, credit_bytes))?;
    Ok(Scan {
        at_latest: present.has(SCAN_AT_LATEST),
        ..scan
    })
}

/// The scan with its optional fields, apart from [`SCAN_AT_LATEST`].
pub(crate) fn range(
    r: &mut Reader<'_>,
    present: &mut Present,
    scan: Scan,
) -> Result<Scan, DecodeError> {
    Ok(Scan {
        from: r.opt_u64(present.has(SCAN_FROM))?,
        to: r.opt_u64(present.has(SCAN_TO))?,
        limit: r.opt_u64(present.has(SCAN_LIMIT))?,
        reverse: present.has(SCAN_REVERSE),
        cursor: r.opt_bytes(present.has(SCAN_CURSOR))?,
        ..scan
    })
}

fn batch(r: &mut Reader<'_>, present: &mut Present) -> Result<Request, DecodeError> {
    let db = r.text()?;
    let mode = r.u8()?;
    let Some(mode) = BatchMode::from_code(mode) else {
        return Err(r.bad_value("batch mode", mode));
    };
    let count = r.count(OP_BYTES_MIN, usize::MAX)?;
    // The decoded operations take several times the memory of their bytes.
    if count > COMMIT_OPS_MAX {
        let announced = u32::try_from(count).unwrap_or(u32::MAX);
        return Err(r.fail(DecodeReason::TooManyOps {
            announced,
            max: COMMIT_OPS_MAX,
        }));
    }
    let mut ops: Vec<WriteOp> = Vec::with_capacity(count);
    for _ in 0..count {
        let op = op(r, ops.last().map(|op| &op.collection))?;
        ops.push(op);
    }
    let durability = r.opt_text(present.has(DURABILITY))?;
    Ok(Request::Batch {
        db,
        mode,
        durability,
        ops,
    })
}

pub(crate) fn op(r: &mut Reader<'_>, previous: Option<&Text>) -> Result<WriteOp, DecodeError> {
    let kind = r.u8()?;
    let Some(kind) = WriteKind::from_code(kind) else {
        return Err(r.bad_value("write kind", kind));
    };
    let bits = r.u16()?;
    let mut present = Present::new(bits);
    let has_id = present.has(OP_ID);
    let same_collection = present.has(OP_SAME_COLLECTION);
    let version_is = present.has(OP_VERSION_IS);
    let absent = present.has(OP_ABSENT);
    let has_body = present.has(OP_BODY);
    r.known_fields(&present)?;
    if has_id != kind.has_id() || has_body != kind.has_body() || (version_is && absent) {
        return Err(r.bad_value("write fields", bits));
    }
    let id = r.opt_u64(has_id)?;
    let collection = match (same_collection, previous) {
        (false, _) => r.text()?,
        (true, Some(previous)) => previous.clone(),
        (true, None) => return Err(r.bad_value("write fields", bits)),
    };
    let precondition = match (r.opt_u64(version_is)?, absent) {
        (Some(version), _) => Precondition::VersionIs(version),
        (None, true) => Precondition::Absent,
        (None, false) => Precondition::None,
    };
    let body = r.opt_bytes(has_body)?.unwrap_or_default();
    Ok(WriteOp {
        kind,
        collection,
        id,
        precondition,
        body,
    })
}
