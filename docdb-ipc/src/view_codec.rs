//! The bodies of requests about transactions and snapshots.

use crate::request_codec::{self, put_op};
use crate::wire::{Fields, Present, Put, Reader};
use crate::{DecodeError, EncodeError, Frame, Opcode, RequestId, Scan, Text, ViewRequest};

const SERIALIZABLE: u32 = 0;
const TIMEOUT: u32 = 1;
const DURABILITY: u32 = 0;

/// Writes the fields and gives the presence bits.
pub(crate) fn encode(p: &mut impl Put, request: &ViewRequest) -> Result<Fields, EncodeError> {
    let mut fields = Fields::default();
    if let Some(view) = request.view() {
        if view == RequestId::CONNECTION {
            return Err(EncodeError::Invalid("request ids start at 1"));
        }
        p.u64(view.0);
    }
    match request {
        ViewRequest::Begin {
            db,
            serializable,
            timeout_ms,
        } => {
            p.text(db)?;
            fields.flag(SERIALIZABLE, *serializable);
            fields.u32(p, TIMEOUT, *timeout_ms);
        }
        ViewRequest::OpenSnapshot { db } => p.text(db)?,
        ViewRequest::Commit { durability, .. } => {
            fields.text(p, DURABILITY, durability.as_ref())?;
        }
        ViewRequest::Rollback { .. }
        | ViewRequest::CloseSnapshot { .. }
        | ViewRequest::ListCollections { .. } => {}
        ViewRequest::Read { collection, id, .. } | ViewRequest::Exists { collection, id, .. } => {
            p.text(collection)?;
            p.u64(*id);
        }
        ViewRequest::Count { collection, .. } => p.text(collection)?,
        ViewRequest::Scan { scan, .. } => {
            if !scan.db.is_empty() || scan.at_latest {
                return Err(EncodeError::Invalid(
                    "a scan in a transaction or snapshot names no database and is not at the latest",
                ));
            }
            p.text(&scan.collection)?;
            request_codec::put_range(p, &mut fields, scan)?;
        }
        ViewRequest::Write { op, .. } => put_op(p, op, None)?,
    }
    Ok(fields)
}

/// `None` if the frame is no such request.
pub(crate) fn decode(
    frame: &Frame,
    r: &mut Reader<'_>,
    present: &mut Present,
) -> Result<Option<ViewRequest>, DecodeError> {
    Ok(Some(match Opcode::from_code(frame.opcode) {
        Some(Opcode::Begin) => ViewRequest::Begin {
            db: r.text()?,
            serializable: present.has(SERIALIZABLE),
            timeout_ms: r.opt_u32(present.has(TIMEOUT))?,
        },
        Some(Opcode::Commit) => ViewRequest::Commit {
            view: view(r)?,
            durability: r.opt_text(present.has(DURABILITY))?,
        },
        Some(Opcode::Rollback) => ViewRequest::Rollback { view: view(r)? },
        Some(Opcode::OpenSnapshot) => ViewRequest::OpenSnapshot { db: r.text()? },
        Some(Opcode::CloseSnapshot) => ViewRequest::CloseSnapshot { view: view(r)? },
        Some(Opcode::ReadIn) => ViewRequest::Read {
            view: view(r)?,
            collection: r.text()?,
            id: r.u64()?,
        },
        Some(Opcode::ExistsIn) => ViewRequest::Exists {
            view: view(r)?,
            collection: r.text()?,
            id: r.u64()?,
        },
        Some(Opcode::CountIn) => ViewRequest::Count {
            view: view(r)?,
            collection: r.text()?,
        },
        Some(Opcode::ScanIn) => ViewRequest::Scan {
            view: view(r)?,
            scan: scan(r, present)?,
        },
        Some(Opcode::ListCollectionsIn) => ViewRequest::ListCollections { view: view(r)? },
        Some(Opcode::WriteIn) => ViewRequest::Write {
            view: view(r)?,
            op: request_codec::op(r, None)?,
        },
        _ => return Ok(None),
    }))
}

fn view(r: &mut Reader<'_>) -> Result<RequestId, DecodeError> {
    match RequestId(r.u64()?) {
        RequestId::CONNECTION => Err(r.bad_value("view", 0u8)),
        view => Ok(view),
    }
}

fn scan(r: &mut Reader<'_>, present: &mut Present) -> Result<Scan, DecodeError> {
    let (collection, credit_bytes) = (r.text()?, r.u32()?);
    let scan = Scan::new(Text::default(), collection, credit_bytes);
    request_codec::range(r, present, scan)
}
