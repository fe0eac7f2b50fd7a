//! What requests about transactions and snapshots do.

use std::time::Duration;

use docdb_engine::{CollectionInfo, Document, Error, ErrorKind, Ready, Snapshot, Txn, TxnOptions};
use docdb_ipc::{RequestId, Response, ViewRequest};
use docdb_pool::DbHandle;

use crate::convert;
use crate::execute::{self, Commits, Outcome};
use crate::limits::{INLINE_WRITE_BYTES_MAX, INLINE_WRITE_OPS_MAX};
use crate::open_scan::{OpenScan, scan_request};

/// An open transaction or snapshot.
pub(crate) enum OpenView {
    Transaction(Box<OpenTransaction>),
    Snapshot(OpenSnapshot),
}

pub(crate) struct OpenTransaction {
    pub(crate) txn: Txn,
    timeout: Duration,
    /// Bytes of documents that were written so far.
    written_bytes: usize,
    /// Keeps the database in use.
    db: DbHandle,
}

#[derive(Clone)]
pub(crate) struct OpenSnapshot {
    snapshot: Snapshot,
    db: DbHandle,
}

/// Opens what the request asks for. Does not wait.
pub(crate) fn open(db: DbHandle, request: &ViewRequest) -> Result<OpenView, Error> {
    match request {
        ViewRequest::Begin {
            serializable,
            timeout_ms,
            ..
        } => {
            let mut options = if *serializable {
                TxnOptions::serializable()
            } else {
                TxnOptions::default()
            };
            match timeout_ms {
                None => {}
                Some(0) => {
                    let message = "a transaction's timeout must be above 0";
                    return Err(Error::new(ErrorKind::InvalidArgument, message));
                }
                Some(ms) => options = options.with_timeout(Duration::from_millis((*ms).into())),
            }
            Ok(OpenView::Transaction(Box::new(OpenTransaction {
                txn: db.begin(&options)?,
                timeout: options.timeout,
                written_bytes: 0,
                db,
            })))
        }
        ViewRequest::OpenSnapshot { .. } => Ok(OpenView::Snapshot(OpenSnapshot {
            snapshot: db.snapshot()?,
            db,
        })),
        _ => Err(Error::new(ErrorKind::Internal, "nothing is to be opened")),
    }
}

impl OpenView {
    pub(crate) fn version(&self) -> u64 {
        match self {
            OpenView::Transaction(open) => open.txn.version(),
            OpenView::Snapshot(open) => open.snapshot.version(),
        }
    }

    /// How long a transaction lasts.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        match self {
            OpenView::Transaction(open) => Some(open.timeout),
            OpenView::Snapshot(_) => None,
        }
    }
}

/// What can be asked for in either.
trait Reads {
    fn read(&mut self, collection: &str, id: u64, wait: bool) -> Result<Ready<Document>, Error>;
    fn exists(&mut self, collection: &str, id: u64, wait: bool) -> Result<Ready<bool>, Error>;
    fn count(&mut self, collection: &str) -> Result<u64, Error>;
    fn collections(&mut self) -> Result<Vec<CollectionInfo>, Error>;
}

macro_rules! reads {
    ($view:ty) => {
        impl Reads for $view {
            fn read(&mut self, coll: &str, id: u64, wait: bool) -> Result<Ready<Document>, Error> {
                if wait {
                    <$view>::read(self, coll, id).map(Ready::Now)
                } else {
                    <$view>::read_nowait(self, coll, id)
                }
            }

            fn exists(&mut self, coll: &str, id: u64, wait: bool) -> Result<Ready<bool>, Error> {
                if wait {
                    <$view>::exists(self, coll, id).map(Ready::Now)
                } else {
                    <$view>::exists_nowait(self, coll, id)
                }
            }

            fn count(&mut self, coll: &str) -> Result<u64, Error> {
                <$view>::count(self, coll)
            }

            fn collections(&mut self) -> Result<Vec<CollectionInfo>, Error> {
                <$view>::collections(self)
            }
        }
    };
}

reads!(Txn);
reads!(Snapshot);

/// Answers what only reads. `None`: the thread would have to wait, and may not.
fn read(
    view: &mut impl Reads,
    request: &ViewRequest,
    wait: bool,
) -> Result<Option<Outcome>, Error> {
    let response = match request {
        ViewRequest::Read { collection, id, .. } => {
            return Ok(match view.read(collection, *id, wait)? {
                Ready::Now(Document { version, body }) => Some(Outcome::Document { version, body }),
                Ready::WouldBlock => None,
            });
        }
        ViewRequest::Exists { collection, id, .. } => match view.exists(collection, *id, wait)? {
            Ready::Now(exists) => Response::Exists(exists),
            Ready::WouldBlock => return Ok(None),
        },
        _ if !wait => return Ok(None),
        ViewRequest::Count { collection, .. } => Response::Count(view.count(collection)?),
        ViewRequest::ListCollections { .. } => convert::collections(view.collections()?),
        _ => return Err(Error::new(ErrorKind::Internal, "not a read of a view")),
    };
    Ok(Some(Outcome::Response(response)))
}

fn settled(outcome: Result<Option<Outcome>, Error>) -> Option<Outcome> {
    outcome.unwrap_or_else(|error| Some(Outcome::Response(convert::failed(&error))))
}

impl OpenTransaction {
    /// Does what does not end the transaction. `None`: the thread would have to wait, and may not.
    pub(crate) fn run(
        &mut self,
        transaction: RequestId,
        request: &ViewRequest,
        wait: bool,
    ) -> Option<Outcome> {
        settled(self.try_run(transaction, request, wait))
    }

    fn try_run(
        &mut self,
        transaction: RequestId,
        request: &ViewRequest,
        wait: bool,
    ) -> Result<Option<Outcome>, Error> {
        match request {
            // As a write of its own, which may have to look for its document, too.
            ViewRequest::Write { op, .. } if wait || self.may_run_inline(op) => {
                let id = self.txn.write(&convert::write_op(op)?)?;
                self.written_bytes = self.written_bytes.saturating_add(op.body.len());
                let written = Response::Written { version: 0, id };
                Ok(Some(Outcome::Response(written)))
            }
            ViewRequest::Scan { scan, .. } if wait => {
                let scan = self.txn.scan(&scan_request(scan))?;
                let mut scan = OpenScan::Bound { scan, transaction };
                let first = scan.next(Some(self))?;
                Ok(Some(Outcome::Chunk(Box::new(scan), first)))
            }
            ViewRequest::Write { .. } | ViewRequest::Scan { .. } => Ok(None),
            ViewRequest::CloseSnapshot { .. } => Err(Error::new(
                ErrorKind::InvalidArgument,
                "it is a transaction, which is committed or rolled back, not closed",
            )),
            request => read(&mut self.txn, request, wait),
        }
    }

    fn may_run_inline(&self, op: &docdb_ipc::WriteOp) -> bool {
        op.body.len() <= INLINE_WRITE_BYTES_MAX && !op.kind.is_edit() && !self.db.commits_may_wait()
    }

    /// Whether its commit takes no longer than a small write.
    pub(crate) fn is_small(&self) -> bool {
        self.txn.isolation() == docdb_engine::Isolation::Snapshot
            && !self.db.commits_may_wait()
            && self.txn.writes() <= INLINE_WRITE_OPS_MAX
            && self.written_bytes <= INLINE_WRITE_BYTES_MAX
    }

    pub(crate) fn commit(self, durability: Option<&str>) -> Outcome {
        let ticket = match durability.map(execute::parse_durability) {
            None => self.txn.commit(),
            Some(Ok(durability)) => self.txn.commit_as(durability),
            Some(Err(error)) => return Outcome::Response(convert::failed(&error)),
        };
        Outcome::Commits {
            db: self.db,
            commits: Commits::Transaction(ticket),
        }
    }
}

impl OpenSnapshot {
    /// Does what does not close the snapshot. `None`: the thread would have to wait, and may not.
    pub(crate) fn run(
        &mut self,
        snapshot: RequestId,
        request: &ViewRequest,
        wait: bool,
    ) -> Option<Outcome> {
        settled(self.try_run(snapshot, request, wait))
    }

    fn try_run(
        &mut self,
        snapshot: RequestId,
        request: &ViewRequest,
        wait: bool,
    ) -> Result<Option<Outcome>, Error> {
        match request {
            ViewRequest::Write { .. }
            | ViewRequest::Commit { .. }
            | ViewRequest::Rollback { .. } => Err(Error::new(
                ErrorKind::InvalidArgument,
                "it is a snapshot, which is only read; begin a transaction to write",
            )),
            ViewRequest::Scan { scan, .. } if wait => {
                let mut scan = OpenScan::Free {
                    scan: self.snapshot.scan(&scan_request(scan))?,
                    snapshot: Some(snapshot),
                    _db: self.db.clone(),
                };
                let first = scan.next(None)?;
                Ok(Some(Outcome::Chunk(Box::new(scan), first)))
            }
            ViewRequest::Scan { .. } => Ok(None),
            request => read(&mut self.snapshot, request, wait),
        }
    }
}
