//! The bodies of answers.

use docdb_types::limits::{COLLECTIONS_MAX, COMMIT_OPS_MAX, DATABASES_MAX};

use crate::backup;
use crate::codec::{Encode, Head};
use crate::limits::{BATCH_ERROR_MESSAGE_BYTES_MAX, ERROR_MESSAGE_BYTES_MAX, SCAN_ITEMS_MAX};
use crate::scan::SCAN_ITEM_HEADER_BYTES;
use crate::wire::{Fields, Present, Put, Reader};
use crate::{
    CollectionInfo, Compacted, DatabaseInfo, DecodeError, EncodeError, ErrorCode, Frame,
    HEAL_NAMED_MAX, HealOutcome, HealReport, OpResult, Opcode, Response, ScanItem,
    UnhealableDocument, WireError,
};

const CURSOR: u32 = 0;
const RANGE_VERSION: u32 = 0;
const RANGE_NEXT: u32 = 1;
const HEALED_WHAT: u32 = 0;
const ERROR_VERSION: u32 = 0;
const ERROR_OP_INDEX: u32 = 1;

/// Two empty texts, an id and a flag.
const DATABASE_BYTES_MIN: usize = 2 + 8 + 2 + 1;
/// An empty text, an id and a count.
const COLLECTION_BYTES_MIN: usize = 2 + 8 + 8;
/// Two empty texts, an id and a version.
const UNHEALABLE_BYTES_MIN: usize = 2 + 8 + 8 + 2;
/// An empty text.
const TEXT_BYTES_MIN: usize = 2;
/// A tag and an error with an empty message.
const RESULT_BYTES_MIN: usize = 1 + 2 + 2 + 2;

const RESULT_OK: u8 = 0;
const RESULT_ERROR: u8 = 1;

/// A [`Response::Document`] whose body is borrowed.
pub(crate) struct DocumentRef<'a> {
    pub(crate) version: u64,
    pub(crate) body: &'a [u8],
}

impl Encode for DocumentRef<'_> {
    fn encode<P: Put>(&self, p: &mut P) -> Result<Head, EncodeError> {
        p.u64(self.version);
        p.bytes(self.body)?;
        Ok(Head {
            opcode: Opcode::Document,
            present: 0,
        })
    }
}

impl Encode for Response {
    fn encode<P: Put>(&self, p: &mut P) -> Result<Head, EncodeError> {
        let mut fields = Fields::default();
        match self {
            Response::Error(error) => put_error(p, error, ERROR_MESSAGE_BYTES_MAX)?,
            Response::Pong | Response::Ok => {}
            Response::Databases(databases) => {
                p.count(databases.len(), DATABASES_MAX)?;
                for database in databases {
                    p.text(&database.name)?;
                    p.u64(database.id);
                    p.text(&database.durability)?;
                    p.u8(u8::from(database.open));
                }
            }
            Response::Collections(collections) => {
                p.count(collections.len(), COLLECTIONS_MAX)?;
                for collection in collections {
                    p.text(&collection.name)?;
                    p.u64(collection.id);
                    p.u64(collection.documents);
                }
            }
            Response::Document { version, body } => {
                return DocumentRef {
                    version: *version,
                    body,
                }
                .encode(p);
            }
            Response::Exists(exists) => p.u8(u8::from(*exists)),
            Response::Count(count) => p.u64(*count),
            Response::ScanItems(items) => {
                p.count(items.len(), SCAN_ITEMS_MAX)?;
                for item in items {
                    p.u64(item.id);
                    p.u64(item.version);
                    p.bytes(&item.body)?;
                }
            }
            Response::ScanEnd { cursor, items } => {
                p.u64(*items);
                fields.bytes(p, CURSOR, cursor.as_ref())?;
            }
            Response::Written { version, id } => {
                p.u64(*version);
                p.u64(*id);
            }
            Response::BatchDone { results } => {
                p.count(results.len(), COMMIT_OPS_MAX)?;
                for result in results {
                    put_result(p, result)?;
                }
            }
            Response::RangeDeleted {
                deleted,
                version,
                next,
            } => {
                p.u64(*deleted);
                fields.u64(p, RANGE_VERSION, *version);
                fields.u64(p, RANGE_NEXT, *next);
            }
            Response::Opened { version } | Response::Committed { version } => p.u64(*version),
            Response::Compacted(done) => {
                p.u64(done.files);
                p.u64(done.bytes_before);
                p.u64(done.bytes_after);
                p.u64(done.documents_moved);
            }
            Response::Healed { outcome, what } => {
                p.u8(outcome.code());
                fields.text(p, HEALED_WHAT, what.as_ref())?;
            }
            Response::HealedAll(report) => put_report(p, report)?,
            Response::HealStats(json) | Response::Stats(json) => p.bytes(json)?,
            Response::BackedUp(report) => backup::put_answer(p, report)?,
        }
        Ok(Head {
            opcode: self.opcode(),
            present: fields.0,
        })
    }
}

fn put_report(p: &mut impl Put, report: &HealReport) -> Result<(), EncodeError> {
    p.u64(report.files);
    p.u64(report.bytes);
    p.u64(report.found);
    p.u64(report.healed);
    p.u64(report.unhealable);
    p.u64(report.index_pages_damaged);
    p.count(report.unhealable_documents.len(), HEAL_NAMED_MAX)?;
    for document in &report.unhealable_documents {
        p.text(&document.collection)?;
        p.u64(document.id);
        p.u64(document.version);
        p.text(&document.what)?;
    }
    p.count(report.places.len(), HEAL_NAMED_MAX)?;
    for place in &report.places {
        p.text(place)?;
    }
    Ok(())
}

fn report(r: &mut Reader<'_>) -> Result<HealReport, DecodeError> {
    Ok(HealReport {
        files: r.u64()?,
        bytes: r.u64()?,
        found: r.u64()?,
        healed: r.u64()?,
        unhealable: r.u64()?,
        index_pages_damaged: r.u64()?,
        unhealable_documents: list(r, UNHEALABLE_BYTES_MIN, HEAL_NAMED_MAX, |r| {
            Ok(UnhealableDocument {
                collection: r.text()?,
                id: r.u64()?,
                version: r.u64()?,
                what: r.text()?,
            })
        })?,
        places: list(r, TEXT_BYTES_MIN, HEAL_NAMED_MAX, |r| r.text())?,
    })
}

fn put_result(p: &mut impl Put, result: &OpResult) -> Result<(), EncodeError> {
    match result {
        OpResult::Ok { version, id } => {
            p.u8(RESULT_OK);
            p.u64(*version);
            p.u64(*id);
            Ok(())
        }
        OpResult::Err(error) => {
            p.u8(RESULT_ERROR);
            put_error(p, error, BATCH_ERROR_MESSAGE_BYTES_MAX)
        }
    }
}

pub(crate) fn put_error(
    p: &mut impl Put,
    error: &WireError,
    message_bytes_max: usize,
) -> Result<(), EncodeError> {
    let mut bits = Fields::default();
    bits.flag(ERROR_VERSION, error.version.is_some());
    bits.flag(ERROR_OP_INDEX, error.op_index.is_some());
    p.u16(error.code.raw());
    p.u16(bits.0);
    p.text(&error.message[..error.message.floor_char_boundary(message_bytes_max)])?;
    Fields::default().u64(p, ERROR_VERSION, error.version);
    Fields::default().u32(p, ERROR_OP_INDEX, error.op_index);
    Ok(())
}

pub(crate) fn decode(frame: &Frame) -> Result<Response, DecodeError> {
    let mut r = Reader::new(frame);
    let mut present = Present::new(frame.present);
    let response = match Opcode::from_code(frame.opcode) {
        Some(Opcode::Error) => Response::Error(error(&mut r)?),
        Some(Opcode::Pong) => Response::Pong,
        Some(Opcode::Ok) => Response::Ok,
        Some(Opcode::Databases) => {
            Response::Databases(list(&mut r, DATABASE_BYTES_MIN, DATABASES_MAX, database)?)
        }
        Some(Opcode::Collections) => Response::Collections(list(
            &mut r,
            COLLECTION_BYTES_MIN,
            COLLECTIONS_MAX,
            collection,
        )?),
        Some(Opcode::Document) => Response::Document {
            version: r.u64()?,
            body: r.bytes()?,
        },
        Some(Opcode::ExistsAnswer) => Response::Exists(boolean(&mut r, "exists")?),
        Some(Opcode::CountAnswer) => Response::Count(r.u64()?),
        Some(Opcode::ScanItems) => Response::ScanItems(list(
            &mut r,
            SCAN_ITEM_HEADER_BYTES,
            SCAN_ITEMS_MAX,
            scan_item,
        )?),
        Some(Opcode::ScanEnd) => {
            let items = r.u64()?;
            Response::ScanEnd {
                cursor: r.opt_bytes(present.has(CURSOR))?,
                items,
            }
        }
        Some(Opcode::Written) => Response::Written {
            version: r.u64()?,
            id: r.u64()?,
        },
        Some(Opcode::BatchDone) => Response::BatchDone {
            results: list(&mut r, RESULT_BYTES_MIN, COMMIT_OPS_MAX, op_result)?,
        },
        Some(Opcode::RangeDeleted) => Response::RangeDeleted {
            deleted: r.u64()?,
            version: r.opt_u64(present.has(RANGE_VERSION))?,
            next: r.opt_u64(present.has(RANGE_NEXT))?,
        },
        Some(Opcode::Opened) => Response::Opened { version: r.u64()? },
        Some(Opcode::Committed) => Response::Committed { version: r.u64()? },
        Some(Opcode::BackedUp) => Response::BackedUp(backup::answer(&mut r)?),
        Some(Opcode::Compacted) => Response::Compacted(Compacted {
            files: r.u64()?,
            bytes_before: r.u64()?,
            bytes_after: r.u64()?,
            documents_moved: r.u64()?,
        }),
        Some(Opcode::Healed) => {
            let outcome = r.u8()?;
            let Some(outcome) = HealOutcome::from_code(outcome) else {
                return Err(r.bad_value("heal outcome", outcome));
            };
            Response::Healed {
                outcome,
                what: r.opt_text(present.has(HEALED_WHAT))?,
            }
        }
        Some(Opcode::HealedAll) => Response::HealedAll(report(&mut r)?),
        Some(Opcode::HealStatsAnswer) => Response::HealStats(r.bytes()?),
        Some(Opcode::StatsAnswer) => Response::Stats(r.bytes()?),
        _ => return Err(frame.unexpected()),
    };
    r.finish(&present)?;
    Ok(response)
}

fn list<'a, T>(
    r: &mut Reader<'a>,
    item_bytes_min: usize,
    max: usize,
    item: fn(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = r.count(item_bytes_min, max)?;
    (0..count).map(|_| item(r)).collect()
}

pub(crate) fn boolean(r: &mut Reader<'_>, field: &'static str) -> Result<bool, DecodeError> {
    match r.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        n => Err(r.bad_value(field, n)),
    }
}

fn database(r: &mut Reader<'_>) -> Result<DatabaseInfo, DecodeError> {
    Ok(DatabaseInfo {
        name: r.text()?,
        id: r.u64()?,
        durability: r.text()?,
        open: boolean(r, "open")?,
    })
}

fn collection(r: &mut Reader<'_>) -> Result<CollectionInfo, DecodeError> {
    Ok(CollectionInfo {
        name: r.text()?,
        id: r.u64()?,
        documents: r.u64()?,
    })
}

fn scan_item(r: &mut Reader<'_>) -> Result<ScanItem, DecodeError> {
    Ok(ScanItem {
        id: r.u64()?,
        version: r.u64()?,
        body: r.bytes()?,
    })
}

fn op_result(r: &mut Reader<'_>) -> Result<OpResult, DecodeError> {
    match r.u8()? {
        RESULT_OK => Ok(OpResult::Ok {
            version: r.u64()?,
            id: r.u64()?,
        }),
        RESULT_ERROR => error(r).map(OpResult::Err),
        n => Err(r.bad_value("result", n)),
    }
}

pub(crate) fn error(r: &mut Reader<'_>) -> Result<WireError, DecodeError> {
    let code = r.u16()?;
    let Some(code) = ErrorCode::from_raw(code) else {
        return Err(r.bad_value("error code", code));
    };
    let mut present = Present::new(r.u16()?);
    let (has_version, has_op_index) = (present.has(ERROR_VERSION), present.has(ERROR_OP_INDEX));
    r.known_fields(&present)?;
    let message = r.text()?.to_string();
    let version = r.opt_u64(has_version)?;
    let op_index = r.opt_u32(has_op_index)?;
    Ok(WireError {
        code,
        message,
        version,
        op_index,
    })
}
