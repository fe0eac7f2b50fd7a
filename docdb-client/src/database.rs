//! One database of a server.

use docdb_ipc::{Compacted, Request, Response, Text};

use crate::client::{expect_ok, stats_of, unexpected, unexpected_to_write};
use crate::view::Scope;
use crate::{Batch, Client, Collection, RawCollection, Result};

/// A database. A cheap handle: nothing is sent until a method is called, and the database need not
/// exist before.
#[derive(Debug, Clone)]
pub struct Database {
    pub(crate) client: Client,
    pub(crate) name: Text,
}

/// A collection, as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CollectionInfo {
    /// Its name.
    pub name: String,
    /// Its id, never reused in its database.
    pub id: u64,
    /// How many documents it holds.
    pub documents: u64,
}

impl CollectionInfo {
    pub(crate) fn list(list: Vec<docdb_ipc::CollectionInfo>) -> Vec<CollectionInfo> {
        list.into_iter()
            .map(|info| CollectionInfo {
                name: info.name.to_string(),
                id: info.id,
                documents: info.documents,
            })
            .collect()
    }
}

impl Database {
    pub(crate) fn new(client: Client, name: Text) -> Self {
        Database { client, name }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn name_text(&self) -> Text {
        self.name.clone()
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A collection of documents of one type.
    pub fn collection<T>(&self, name: &str) -> Collection<T> {
        Collection::new(self.raw_collection(name))
    }

    /// A collection of documents as bytes.
    pub fn raw_collection(&self, name: &str) -> RawCollection {
        let scope = Scope::Database {
            client: self.client.clone(),
            db: self.name.clone(),
        };
        RawCollection::new(scope, Text::from(name))
    }

    /// The collections, in the order of their names.
    pub async fn collections(&self) -> Result<Vec<CollectionInfo>> {
        match self
            .client
            .call(Request::ListCollections {
                db: self.name.clone(),
            })
            .await?
        {
            Response::Collections(list) => Ok(CollectionInfo::list(list)),
            other => Err(unexpected(&other)),
        }
    }

    /// Creates a collection; `AlreadyExists` if there is one.
    pub async fn create_collection(&self, name: &str) -> Result<()> {
        let request = Request::CreateCollection {
            db: self.name.clone(),
            name: name.into(),
        };
        expect_ok(self.client.call(request).await?)
    }

    /// Drops a collection; `NotEmpty` if it holds documents, unless forced.
    pub async fn drop_collection(&self, name: &str, force: bool) -> Result<()> {
        let request = Request::DropCollection {
            db: self.name.clone(),
            name: name.into(),
            force,
        };
        expect_ok(self.client.call(request).await?)
    }

    /// Takes a checkpoint and waits for it.
    pub async fn checkpoint(&self) -> Result<()> {
        expect_ok(
            self.client
                .call(Request::Checkpoint {
                    db: self.name.clone(),
                })
                .await?,
        )
    }

    /// Gives back the space of what was deleted or replaced, and waits for that: as long as copying
    /// what is left of the files takes.
    pub async fn compact(&self) -> Result<Compacted> {
        let request = Request::Compact {
            db: self.name.clone(),
        };
        match self.client.call(request).await? {
            Response::Compacted(done) => Ok(done),
            other => Err(unexpected_to_write(&other)),
        }
    }

    /// The database's statistics, a JSON object.
    pub async fn stats(&self) -> Result<serde_json::Value> {
        stats_of(
            self.client
                .call(Request::Stats {
                    db: Some(self.name.clone()),
                })
                .await?,
        )
    }

    /// Starts a batch of writes to this database.
    pub fn batch(&self) -> Batch {
        Batch::new(self.client.clone(), self.name.clone())
    }
}
