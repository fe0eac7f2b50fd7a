//! The handle that everything else is made from.

use std::path::Path;
use std::sync::Arc;

use docdb_ipc::{Request, Response, Text, ViewRequest};
use docdb_types::ErrorKind;
use tokio::time::Instant;

use crate::connection::{Connection, ScanStream, ViewGuard};
use crate::error::Stage;
use crate::link::Link;
use crate::{ClientBuilder, Database, Error, Result};

/// A client of one server. Cloning it is cheap; all clones share one connection, on which any
/// number of requests run at once.
///
/// When the connection breaks, the next call makes a new one. A call that was under way is made
/// again, once, if that is safe: it was not sent, or it only reads. A write that was sent is
/// answered with [`ErrorKind::OutcomeUnknown`].
///
/// Dropping the future of a call asks the server to give the request up; whether a write happened
/// is not known then.
#[derive(Debug, Clone)]
pub struct Client {
    link: Arc<Link>,
}

/// A database, as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatabaseInfo {
    /// Its name.
    pub name: String,
    /// Its id, never reused.
    pub id: u64,
    /// Its durability mode.
    pub durability: String,
    /// Whether the server has it open.
    pub open: bool,
}

impl Client {
    /// Connects to the server whose socket has this path, with the default settings.
    pub async fn connect(path: impl AsRef<Path>) -> Result<Client> {
        Client::builder(path).connect().await
    }

    /// Settings for a client of the server whose socket has this path.
    pub fn builder(path: impl AsRef<Path>) -> ClientBuilder {
        ClientBuilder::new(path.as_ref().to_owned())
    }

    pub(crate) async fn connect_with(config: ClientBuilder) -> Result<Client> {
        let link = Link::new(config);
        link.connect_once().await?;
        Ok(Client {
            link: Arc::new(link),
        })
    }

    /// Asks whether the server answers.
    pub async fn ping(&self) -> Result<()> {
        match self.call(Request::Ping).await? {
            Response::Pong => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// A database of the server. Nothing is sent, and it need not exist.
    pub fn database(&self, name: &str) -> Database {
        Database::new(self.clone(), Text::from(name))
    }

    /// The databases, in the order of their names.
    pub async fn databases(&self) -> Result<Vec<DatabaseInfo>> {
        match self.call(Request::ListDatabases).await? {
            Response::Databases(list) => Ok(list
                .into_iter()
                .map(|info| DatabaseInfo {
                    name: info.name.to_string(),
                    id: info.id,
                    durability: info.durability.to_string(),
                    open: info.open,
                })
                .collect()),
            other => Err(unexpected(&other)),
        }
    }

    /// Creates a database; `AlreadyExists` if there is one. Without a durability mode (`full`,
    /// `always`, `interval(MILLISECONDS)`, `os`, `memory(MILLISECONDS)`) it has the server's default.
    pub async fn create_database(&self, name: &str, durability: Option<&str>) -> Result<()> {
        let durability = durability.map(Text::from);
        expect_ok(
            self.call(Request::CreateDatabase {
                name: name.into(),
                durability,
            })
            .await?,
        )
    }

    /// Drops a database with everything in it; `DatabaseNotFound` if there is none.
    pub async fn drop_database(&self, name: &str) -> Result<()> {
        expect_ok(
            self.call(Request::DropDatabase { name: name.into() })
                .await?,
        )
    }

    /// The server's statistics, a JSON object.
    pub async fn stats(&self) -> Result<serde_json::Value> {
        stats_of(self.call(Request::Stats { db: None }).await?)
    }

    /// The live connection, for a request that is made once.
    pub(crate) async fn connection(&self) -> Result<Arc<Connection>> {
        self.link.connection().await
    }

    /// Makes one request, and once more if the connection broke and that is safe.
    pub(crate) async fn call(&self, request: Request) -> Result<Response> {
        match self.call_once(&request).await {
            Err(error) if may_repeat(&error, request.is_read_only()) => {
                self.call_once(&request).await
            }
            result => result,
        }
    }

    pub(crate) async fn open_scan(&self, scan: docdb_ipc::Scan) -> Result<ScanStream> {
        let connection = self.link.connection().await?;
        connection.open_scan(scan, None, self.deadline()).await
    }

    pub(crate) async fn open_view(&self, request: ViewRequest) -> Result<(ViewGuard, u64)> {
        let connection = self.link.connection().await?;
        if connection.limits().transactions_max == 0 {
            let message = "the server has no transactions and snapshots";
            return Err(Error::new(ErrorKind::UnsupportedVersion, message).at(Stage::Unsent));
        }
        connection.open_view(request, self.deadline()).await
    }

    /// When a request that is made now must be answered.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        // A timeout beyond the clock's range is none.
        self.link
            .config()
            .request_timeout
            .and_then(|timeout| Instant::now().checked_add(timeout))
    }

    async fn call_once(&self, request: &Request) -> Result<Response> {
        let connection = self.link.connection().await?;
        if !connection.knows(request) {
            let message = format!("the server does not know {}", request.opcode());
            return Err(Error::new(ErrorKind::UnsupportedVersion, message).at(Stage::Unsent));
        }
        connection.call(request, self.deadline()).await
    }
}

/// Whether a request that failed so can be made again without being made twice.
pub(crate) fn may_repeat(error: &Error, read_only: bool) -> bool {
    match error.stage() {
        Stage::LostUnsent => true,
        Stage::LostSent => read_only,
        Stage::Connect | Stage::Unsent | Stage::Sent | Stage::LostView => false,
    }
}

pub(crate) fn unexpected(response: &Response) -> Error {
    let message = format!("the server answered with {}", response.opcode());
    Error::new(ErrorKind::Protocol, message)
}

/// As [`unexpected`], for a request that changes something: it may have been carried out.
pub(crate) fn unexpected_to_write(response: &Response) -> Error {
    let message = format!("the server answered with {}", response.opcode());
    Error::new(ErrorKind::OutcomeUnknown, message)
}

pub(crate) fn expect_ok(response: Response) -> Result<()> {
    match response {
        Response::Ok => Ok(()),
        other => Err(unexpected_to_write(&other)),
    }
}

pub(crate) fn stats_of(response: Response) -> Result<serde_json::Value> {
    match response {
        Response::Stats(json) | Response::HealStats(json) => {
            serde_json::from_slice(&json).map_err(|error| {
                let message = format!("the server's statistics are not JSON: {error}");
                Error::new(ErrorKind::Protocol, message).with_source(error)
            })
        }
        other => Err(unexpected(&other)),
    }
}
