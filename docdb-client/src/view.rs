//! Where documents are read and written: a database, or a transaction or snapshot of one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use docdb_ipc::{Request, Response, Scan, Text, ViewRequest, WriteOp};
use docdb_types::ErrorKind;
use tokio::time::Instant;

use crate::client::{may_repeat, unexpected, unexpected_to_write};
use crate::connection::{ScanStream, ViewGuard};
use crate::error::Stage;
use crate::{Client, CollectionInfo, Error, Result, WriteOptions};

/// Where a collection's requests go.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    Database { client: Client, db: Text },
    View(Arc<View>),
}

/// An open transaction or snapshot, on the connection that it was opened on.
#[derive(Debug)]
pub(crate) struct View {
    client: Client,
    guard: ViewGuard,
    version: u64,
    is_transaction: bool,
    /// Writes that were begun and whose answer has not been seen: what the transaction holds is not
    /// known as long as there are any.
    unanswered: AtomicUsize,
    is_lost: AtomicBool,
}

impl Scope {
    pub(crate) fn read(&self, collection: Text, id: u64) -> Request {
        match self {
            Scope::Database { db, .. } => Request::Read {
                db: db.clone(),
                collection,
                id,
            },
            Scope::View(view) => Request::View(ViewRequest::Read {
                view: view.guard.id(),
                collection,
                id,
            }),
        }
    }

    pub(crate) fn exists(&self, collection: Text, id: u64) -> Request {
        match self {
            Scope::Database { db, .. } => Request::Exists {
                db: db.clone(),
                collection,
                id,
            },
            Scope::View(view) => Request::View(ViewRequest::Exists {
                view: view.guard.id(),
                collection,
                id,
            }),
        }
    }

    pub(crate) fn count(&self, collection: Text) -> Request {
        match self {
            Scope::Database { db, .. } => Request::Count {
                db: db.clone(),
                collection,
            },
            Scope::View(view) => Request::View(ViewRequest::Count {
                view: view.guard.id(),
                collection,
            }),
        }
    }

    pub(crate) async fn call(&self, request: Request) -> Result<Response> {
        match self {
            Scope::Database { client, .. } => client.call(request).await,
            Scope::View(view) => view.call(&request).await,
        }
    }

    pub(crate) async fn write(&self, op: WriteOp, options: &WriteOptions) -> Result<Response> {
        let op = op.when(options.precondition);
        match self {
            Scope::Database { client, db } => {
                let request = Request::Write {
                    db: db.clone(),
                    durability: options.durability.clone(),
                    op,
                };
                client.call(request).await
            }
            Scope::View(view) => {
                if options.durability.is_some() {
                    return Err(refused("the durability of a transaction is its commit's"));
                }
                view.write(op).await
            }
        }
    }

    /// For what is not done in a transaction or snapshot.
    pub(crate) fn database(&self) -> Result<(&Client, &Text)> {
        match self {
            Scope::Database { client, db } => Ok((client, db)),
            Scope::View(_) => Err(refused(
                "a range is deleted in a commit of its own; in a transaction delete its documents",
            )),
        }
    }

    /// A scan of a collection that is set up here, and not started.
    pub(crate) fn scan(&self, collection: Text, credit_bytes: u32) -> Scan {
        let db = match self {
            Scope::Database { db, .. } => db.clone(),
            Scope::View(_) => Text::default(),
        };
        Scan::new(db, collection, credit_bytes)
    }

    pub(crate) async fn open_scan(&self, scan: Scan) -> Result<ScanStream> {
        match self {
            Scope::Database { client, .. } => client.open_scan(scan).await,
            Scope::View(view) => {
                let (connection, id) = (view.guard.connection(), view.guard.id());
                let opened = connection.open_scan(scan, Some(id), self.deadline()).await;
                opened.map_err(|error| view.judged(error))
            }
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Scope::Database { client, .. } => client.deadline(),
            Scope::View(view) => view.client.deadline(),
        }
    }

    /// What a scan's failure means, and whether the scan may be started anew.
    pub(crate) fn scan_failed(&self, error: Error) -> (Error, bool) {
        match self {
            Scope::Database { .. } => {
                let may_repeat = may_repeat(&error, true);
                (error, may_repeat)
            }
            Scope::View(view) => (view.judged(error), false),
        }
    }
}

impl View {
    /// Opens a transaction or snapshot; once more, if the connection was lost.
    pub(crate) async fn open(client: &Client, request: ViewRequest) -> Result<Arc<View>> {
        let is_transaction = matches!(request, ViewRequest::Begin { .. });
        let (guard, version) = match client.open_view(request.clone()).await {
            Err(error) if may_repeat(&error, true) => client.open_view(request).await,
            opened => opened,
        }
        .map_err(|error| match error.stage() {
            Stage::LostUnsent | Stage::LostSent => error.at(Stage::LostView),
            _ => error,
        })?;
        Ok(Arc::new(View {
            client: client.clone(),
            guard,
            version,
            is_transaction,
            unanswered: AtomicUsize::new(0),
            is_lost: AtomicBool::new(false),
        }))
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Whether the connection broke, and the transaction or snapshot is gone with it.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
    }

    /// Whether a write's answer has not been seen.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.unanswered.load(Ordering::Acquire) > 0
    }

    async fn call(&self, request: &Request) -> Result<Response> {
        let connection = self.guard.connection();
        let answer = connection.call(request, self.client.deadline()).await;
        answer.map_err(|error| self.judged(error))
    }

    async fn write(&self, op: WriteOp) -> Result<Response> {
        if !self.is_transaction {
            return Err(refused(
                "a snapshot is only read; begin a transaction to write",
            ));
        }
        let view = self.guard.id();
        self.unanswered.fetch_add(1, Ordering::AcqRel);
        let answer = self
            .call(&Request::View(ViewRequest::Write { view, op }))
            .await;
        let is_known = match &answer {
            Ok(_) => true,
            Err(error) => error.kind() != ErrorKind::Timeout || error.stage() == Stage::Unsent,
        };
        if is_known {
            self.unanswered.fetch_sub(1, Ordering::AcqRel);
        }
        answer
    }

    pub(crate) async fn collections(&self) -> Result<Vec<CollectionInfo>> {
        let view = self.guard.id();
        let request = Request::View(ViewRequest::ListCollections { view });
        match self.call(&request).await? {
            Response::Collections(list) => Ok(CollectionInfo::list(list)),
            other => Err(unexpected(&other)),
        }
    }

    /// Commits; gives the version.
    pub(crate) async fn commit(&self, durability: Option<Text>) -> Result<u64> {
        let view = self.guard.id();
        let request = Request::View(ViewRequest::Commit { view, durability });
        match self.ending(&request).await? {
            Response::Committed { version } => Ok(version),
            other => Err(unexpected_to_write(&other)),
        }
    }

    pub(crate) async fn roll_back(&self) -> Result<()> {
        let view = self.guard.id();
        self.end(ViewRequest::Rollback { view }).await
    }

    pub(crate) async fn close(&self) -> Result<()> {
        let view = self.guard.id();
        self.end(ViewRequest::CloseSnapshot { view }).await
    }

    async fn end(&self, request: ViewRequest) -> Result<()> {
        match self.ending(&Request::View(request)).await {
            Ok(Response::Ok) => Ok(()),
            Ok(other) => Err(unexpected(&other)),
            // It is over, which is what was asked for.
            Err(error) if self.is_lost() && error.kind() == ErrorKind::Closed => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes a request after whose answer there is nothing left to give up.
    async fn ending(&self, request: &Request) -> Result<Response> {
        let answer = self.call(request).await;
        let is_over = match &answer {
            Ok(_) => true,
            // Not run, or not known to be: it is given up when it is dropped.
            Err(error) => !matches!(
                error.kind(),
                ErrorKind::Busy
                    | ErrorKind::Cancelled
                    | ErrorKind::Timeout
                    | ErrorKind::OutcomeUnknown
            ),
        };
        if is_over {
            self.guard.ended();
        }
        answer
    }

    /// What an error means here: with its connection a transaction is gone, and nothing of it was
    /// written.
    fn judged(&self, error: Error) -> Error {
        if !matches!(error.stage(), Stage::LostUnsent | Stage::LostSent) {
            return error;
        }
        self.is_lost.store(true, Ordering::Release);
        let what = if self.is_transaction {
            "the transaction was rolled back with its connection"
        } else {
            "the snapshot was closed with its connection"
        };
        let message = format!("{what}: {}", error.message());
        Error::new(ErrorKind::Closed, message)
            .at(Stage::LostView)
            .with_source(error)
    }
}

fn refused(message: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, message).at(Stage::Unsent)
}
