//! Snapshots.

use std::sync::Arc;

use docdb_ipc::{Text, ViewRequest};

use crate::view::{Scope, View};
use crate::{Collection, CollectionInfo, Database, RawCollection, Result};

/// One state of a database, for any number of reads and scans. It never blocks writers. A cheap
/// handle: all clones are the same snapshot, which is closed when the last one is dropped, its
/// collections and scans included.
///
/// It ends when it was not used for 60 s, when it is an hour old, or when the server needs the memory
/// that it keeps; then every call answers [`SnapshotTooOld`](crate::ErrorKind::SnapshotTooOld). It ends
/// with its connection, too.
#[derive(Debug, Clone)]
pub struct Snapshot {
    view: Arc<View>,
}

impl Database {
    /// A snapshot of what is visible now.
    ///
    /// ```no_run
    /// # async fn example(db: docdb_client::Database) -> docdb_client::Result<()> {
    /// let snapshot = db.snapshot().await?;
    /// let stock = snapshot.collection::<u32>("stock");
    /// let count = stock.count().await?;
    /// let mut scan = stock.scan(..);
    /// while let Some(document) = scan.next().await? {
    ///     println!("{} of {count}: {}", document.id, document.value);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let request = ViewRequest::OpenSnapshot {
            db: self.name_text(),
        };
        Ok(Snapshot {
            view: View::open(self.client(), request).await?,
        })
    }
}

impl Snapshot {
    /// The version that is read at: what was committed at or below it is seen.
    pub fn version(&self) -> u64 {
        self.view.version()
    }

    /// A collection of documents of one type, in this snapshot. To write to it is `InvalidArgument`.
    pub fn collection<T>(&self, name: &str) -> Collection<T> {
        Collection::new(self.raw_collection(name))
    }

    /// A collection of documents as bytes, in this snapshot.
    pub fn raw_collection(&self, name: &str) -> RawCollection {
        RawCollection::new(Scope::View(Arc::clone(&self.view)), Text::from(name))
    }

    /// The collections, in the order of their names.
    pub async fn collections(&self) -> Result<Vec<CollectionInfo>> {
        self.view.collections().await
    }

    /// Closes the snapshot. To drop it does the same, without waiting for that.
    pub async fn close(self) -> Result<()> {
        self.view.close().await
    }
}
