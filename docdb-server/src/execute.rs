//! What each request does.
//!
//! A request is first tried on the connection's own thread ([`inline`]), which must never wait: if
//! it would have to, it is handed back and runs on a worker thread ([`blocking`]).

use std::panic::{AssertUnwindSafe, catch_unwind};

use docdb_engine::{Body, CommitTicket, Durability, Error, ErrorKind, Ready, ScanItem};
use docdb_ipc::{BatchMode, Compacted, DatabaseInfo, Request, Response, WireError, WriteOp};
use docdb_pool::{DbHandle, Pool};
use tracing::error;

use crate::convert;
use crate::heal;
use crate::limits::{INLINE_WRITE_BYTES_MAX, INLINE_WRITE_OPS_MAX};
use crate::open_scan::{OpenScan, scan_request};
use crate::state::{State, count};
use crate::stats;
use crate::view::{self, OpenView};

/// What came of a request.
pub(crate) enum Outcome {
    /// Its answer.
    Response(Response),
    /// Its answer is a document, which is not copied before it is sent.
    Document { version: u64, body: Body },
    /// Its answer comes when these commits settle.
    Commits { db: DbHandle, commits: Commits },
    /// A transaction or snapshot is open.
    Opened(OpenView),
    /// A scan with its first documents.
    Chunk(Box<OpenScan>, Vec<ScanItem>),
}

/// Commits that were submitted, in the order of their submission.
pub(crate) enum Commits {
    /// A single write.
    Write(CommitTicket),
    /// A collection created or dropped.
    Collection(CommitTicket),
    /// A transaction.
    Transaction(CommitTicket),
    /// An atomic batch of so many operations.
    Atomic(CommitTicket, usize),
    /// An independent batch: one for each operation, or why it was not even submitted.
    Independent(Vec<Result<CommitTicket, Error>>),
}

/// Runs `work`; a panic in it becomes the request's error and ends nothing else.
pub(crate) fn contained<T>(state: &State, work: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        count(&state.counters.panics);
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| text.to_string())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        error!(alert = true, "a request panicked: {text}");
        Error::new(
            ErrorKind::Internal,
            "the request failed by a bug; the server's log has its cause",
        )
    })
}

/// What came of trying a request on the connection's own thread.
pub(crate) enum Inline {
    Done(Outcome),
    /// It would have to wait, and was not begun.
    MustWait(Request),
}

/// Does what can be done without waiting; else gives the request back.
pub(crate) fn inline(pool: &Pool, request: Request) -> Inline {
    let Some(name) = request.db() else {
        return match request {
            Request::Ping => Inline::Done(Outcome::Response(Response::Pong)),
            other => Inline::MustWait(other),
        };
    };
    if !may_run_inline(&request) {
        return Inline::MustWait(request);
    }
    let db = match pool.try_database(name) {
        Ok(Some(db)) => db,
        Ok(None) => return Inline::MustWait(request),
        Err(error) => return Inline::Done(Outcome::Response(convert::failed(&error))),
    };
    let outcome = match &request {
        Request::Read { collection, id, .. } => match db.read_nowait(collection, *id) {
            Ok(Ready::Now(document)) => Ok(Outcome::Document {
                version: document.version,
                body: document.body,
            }),
            Ok(Ready::WouldBlock) => return Inline::MustWait(request),
            Err(error) => Err(error),
        },
        Request::Exists { collection, id, .. } => match db.exists_nowait(collection, *id) {
            Ok(Ready::Now(exists)) => Ok(Outcome::Response(Response::Exists(exists))),
            Ok(Ready::WouldBlock) => return Inline::MustWait(request),
            Err(error) => Err(error),
        },
        Request::View(request) => view::open(db, request).map(Outcome::Opened),
        // Nobody else on this thread is to wait for checkpoints.
        _ if db.commits_may_wait() => return Inline::MustWait(request),
        _ => write(db, &request),
    };
    Inline::Done(outcome.unwrap_or_else(|error| Outcome::Response(convert::failed(&error))))
}

fn may_run_inline(request: &Request) -> bool {
    match request {
        Request::Read { .. }
        | Request::Exists { .. }
        | Request::CreateCollection { .. }
        | Request::DropCollection { .. } => true,
        Request::View(request) => request.view().is_none(),
        // A patch reads its document, which may lie on the device and be large.
        Request::Write { op, .. } => op.body.len() <= INLINE_WRITE_BYTES_MAX && !op.kind.is_edit(),
        Request::Batch { ops, .. } => {
            !ops.iter().any(|op| op.kind.is_edit())
                && ops.len() <= INLINE_WRITE_OPS_MAX
                && ops.iter().map(|op| op.body.len()).sum::<usize>() <= INLINE_WRITE_BYTES_MAX
        }
        _ => false,
    }
}

/// The outcome of what was to run on a thread that may wait, and did not.
pub(crate) fn not_run() -> Outcome {
    let error = Error::new(ErrorKind::Internal, "a request that may wait was not run");
    Outcome::Response(convert::failed(&error))
}

/// Does all of a request, on a thread that may wait.
pub(crate) fn blocking(state: &State, request: Request) -> Outcome {
    try_blocking(state, request).unwrap_or_else(|error| Outcome::Response(convert::failed(&error)))
}

fn try_blocking(state: &State, request: Request) -> Result<Outcome, Error> {
    let pool = &state.pool;
    let response = match &request {
        Request::Ping => Response::Pong,
        Request::ListDatabases => Response::Databases(list_databases(pool)),
        Request::CreateDatabase { name, durability } => {
            let durability = durability.as_deref().map(parse_durability).transpose()?;
            pool.create_database(name, durability)?;
            Response::Ok
        }
        Request::DropDatabase { name } => {
            pool.drop_database(name)?;
            Response::Ok
        }
        Request::ListCollections { db } => convert::collections(pool.database(db)?.collections()?),
        Request::Count { db, collection } => Response::Count(pool.database(db)?.count(collection)?),
        Request::DeleteRange {
            db,
            collection,
            from,
            to,
            limit,
            durability,
        } => {
            let db = pool.database(db)?;
            let done = match durability.as_deref() {
                None => db.delete_range(collection, *from, *to, *limit)?,
                Some(text) => {
                    let durability = parse_durability(text)?;
                    db.delete_range_as(collection, *from, *to, *limit, durability)?
                }
            };
            Response::RangeDeleted {
                deleted: done.deleted,
                version: done.version,
                next: done.next,
            }
        }
        Request::Checkpoint { db } => {
            pool.database(db)?.checkpoint()?;
            Response::Ok
        }
        Request::Compact { db } => {
            let report = pool.database(db)?.compact()?;
            Response::Compacted(Compacted {
                files: report.files,
                bytes_before: report.bytes_before,
                bytes_after: report.bytes_after,
                documents_moved: report.documents_moved,
            })
        }
        Request::Heal { db, collection, id } => heal::heal(state, db, collection, *id)?,
        Request::HealStats { db } => {
            let stats = heal::stats(&pool.database(db)?.heal_stats());
            Response::HealStats(stats.to_string().into())
        }
        Request::Stats { db } => {
            let value = match db {
                None => stats::server(state),
                Some(db) => stats::database(db, &*pool.database(db)?),
            };
            Response::Stats(value.to_string().into())
        }
        Request::Read { db, collection, id } => {
            let document = pool.database(db)?.read(collection, *id)?;
            return Ok(Outcome::Document {
                version: document.version,
                body: document.body,
            });
        }
        Request::Exists { db, collection, id } => {
            Response::Exists(pool.database(db)?.exists(collection, *id)?)
        }
        Request::Write { db, .. }
        | Request::Batch { db, .. }
        | Request::CreateCollection { db, .. }
        | Request::DropCollection { db, .. } => return write(pool.database(db)?, &request),
        Request::Scan(scan) => {
            let db = pool.database(&scan.db)?;
            let mut scan = OpenScan::Free {
                scan: db.scan(&scan_request(scan))?,
                snapshot: None,
                _db: db,
            };
            let first = scan.next(None)?;
            return Ok(Outcome::Chunk(Box::new(scan), first));
        }
        Request::View(request) if let Some(db) = request.db() => {
            return Ok(Outcome::Opened(view::open(pool.database(db)?, request)?));
        }
        _ => {
            let message = "this server does not know the request";
            Response::Error(WireError::new(ErrorKind::Protocol, message))
        }
    };
    Ok(Outcome::Response(response))
}

fn list_databases(pool: &Pool) -> Vec<DatabaseInfo> {
    let info = |info: docdb_pool::DatabaseInfo| DatabaseInfo {
        name: info.name.into(),
        id: info.id,
        durability: info.durability.into(),
        open: info.open,
    };
    pool.list().into_iter().map(info).collect()
}

/// Submits the writes of a request; their outcome comes with the tickets.
fn write(db: DbHandle, request: &Request) -> Result<Outcome, Error> {
    let commits = match request {
        Request::Write { durability, op, .. } => {
            let ops = [convert::write_op(op)?];
            Commits::Write(submit(&db, &ops, durability.as_deref())?)
        }
        Request::Batch { ops, .. } if ops.is_empty() => {
            let message = "a batch needs at least one operation";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        Request::Batch {
            mode,
            durability,
            ops,
            ..
        } => {
            let durability = durability.as_deref();
            match mode {
                BatchMode::Atomic => {
                    let ops: Vec<_> = ops
                        .iter()
                        .map(convert::write_op)
                        .collect::<Result<_, _>>()?;
                    Commits::Atomic(submit(&db, &ops, durability)?, ops.len())
                }
                BatchMode::Independent => {
                    let submit = |op: &WriteOp| submit(&db, &[convert::write_op(op)?], durability);
                    Commits::Independent(ops.iter().map(submit).collect())
                }
                _ => {
                    return Err(Error::new(
                        ErrorKind::InvalidArgument,
                        "unknown kind of batch",
                    ));
                }
            }
        }
        Request::CreateCollection { name, .. } => Commits::Collection(db.create_collection(name)),
        Request::DropCollection { name, force, .. } => {
            Commits::Collection(db.drop_collection(name, *force))
        }
        _ => return Err(Error::new(ErrorKind::Internal, "not a write")),
    };
    Ok(Outcome::Commits { db, commits })
}

pub(crate) fn parse_durability(text: &str) -> Result<Durability, Error> {
    text.parse()
        .map_err(|error: docdb_engine::UnknownDurability| {
            Error::new(ErrorKind::InvalidArgument, error.to_string())
        })
}

/// Submits one commit. What it asks for beyond the database's own mode delays its answer only.
fn submit(
    db: &DbHandle,
    ops: &[docdb_engine::WriteOp<'_>],
    durability: Option<&str>,
) -> Result<CommitTicket, Error> {
    Ok(match durability {
        None => db.submit(ops),
        Some(text) => db.submit_as(ops, parse_durability(text)?),
    })
}
