//! Between the engine's types and the protocol's.

use docdb_engine::{self as engine, Committed, Error, ErrorKind};
use docdb_ipc::{self as ipc, OpResult, Response, WireError};

/// The error as it is sent. `op_index` is for batches only.
pub(crate) fn wire_error(error: &Error) -> WireError {
    let mut wire = WireError::new(error.kind(), error.to_string());
    wire.version = error.version();
    wire
}

pub(crate) fn failed(error: &Error) -> Response {
    Response::Error(wire_error(error))
}

/// The engine's form of an operation, or why this build has none.
pub(crate) fn write_op(op: &ipc::WriteOp) -> Result<engine::WriteOp<'_>, Error> {
    let unknown = |what: &str| Error::new(ErrorKind::InvalidArgument, format!("unknown {what}"));
    Ok(engine::WriteOp {
        kind: match op.kind {
            ipc::WriteKind::Create => engine::WriteKind::Create,
            ipc::WriteKind::Update => engine::WriteKind::Update,
            ipc::WriteKind::Upsert => engine::WriteKind::Upsert,
            ipc::WriteKind::Delete => engine::WriteKind::Delete,
            ipc::WriteKind::Insert => engine::WriteKind::Insert,
            ipc::WriteKind::Patch => engine::WriteKind::Patch,
            ipc::WriteKind::Merge => engine::WriteKind::Merge,
            _ => return Err(unknown("kind of write")),
        },
        collection: &op.collection,
        id: op.id.unwrap_or(0),
        precondition: match op.precondition {
            ipc::Precondition::None => engine::Precondition::None,
            ipc::Precondition::VersionIs(version) => engine::Precondition::VersionIs(version),
            ipc::Precondition::Absent => engine::Precondition::Absent,
            _ => return Err(unknown("precondition")),
        },
        body: &op.body,
    })
}

/// The answer that lists collections, by name.
pub(crate) fn collections(list: Vec<engine::CollectionInfo>) -> Response {
    let info = |info: engine::CollectionInfo| ipc::CollectionInfo {
        name: info.name.into(),
        id: u64::from(info.id),
        documents: info.documents,
    };
    let mut list: Vec<_> = list.into_iter().map(info).collect();
    list.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Response::Collections(list)
}

/// The answer to the commit of a transaction.
pub(crate) fn committed(result: Result<Committed, Error>) -> Response {
    match result {
        Ok(committed) => Response::Committed {
            version: committed.version,
        },
        Err(error) => failed(&error),
    }
}

/// The answer to a single write.
pub(crate) fn written(result: Result<Committed, Error>) -> Response {
    match result {
        Ok(committed) => Response::Written {
            version: committed.version,
            id: committed.ids.first().copied().unwrap_or(0),
        },
        Err(error) => failed(&error),
    }
}

/// The result of one commit of an independent batch.
pub(crate) fn op_result(result: Result<Committed, Error>) -> OpResult {
    match written(result) {
        Response::Written { version, id } => OpResult::Ok { version, id },
        Response::Error(error) => OpResult::Err(error),
        _ => unreachable!("`written` gives nothing else"),
    }
}

/// The answer to an atomic batch of `ops` operations: when one of them failed it has its error and
/// the others are aborted; a failure of the commit as a whole is the request's.
pub(crate) fn atomic_batch(result: Result<Committed, Error>, ops: usize) -> Response {
    match result {
        Ok(committed) => {
            let version = committed.version;
            let results = committed
                .ids
                .iter()
                .map(|&id| OpResult::Ok { version, id })
                .collect();
            Response::BatchDone { results }
        }
        Err(error) => match error.op_index() {
            Some(failed_at) if failed_at < ops => {
                let result = |at| {
                    if at == failed_at {
                        return OpResult::Err(wire_error(&error));
                    }
                    let message = format!("operation {failed_at} of the batch failed");
                    OpResult::Err(WireError::new(ErrorKind::Aborted, message))
                };
                Response::BatchDone {
                    results: (0..ops).map(result).collect(),
                }
            }
            _ => failed(&error),
        },
    }
}
