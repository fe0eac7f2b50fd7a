//! A scan between two of its steps.

use docdb_engine::{Error, ErrorKind, Scan, ScanItem, ScanRequest, TxnScan};
use docdb_ipc::RequestId;
use docdb_pool::DbHandle;

use crate::limits::{SCAN_CHUNK_BYTES, SCAN_CHUNK_ITEMS};
use crate::view::OpenTransaction;

pub(crate) enum OpenScan {
    /// Of the newest state, or of a snapshot, which it outlives.
    Free {
        scan: Scan,
        snapshot: Option<RequestId>,
        /// Keeps the database in use.
        _db: DbHandle,
    },
    /// Of a transaction, which must be at hand for each step.
    Bound {
        scan: TxnScan,
        transaction: RequestId,
    },
}

impl OpenScan {
    /// The next documents; none at the end.
    pub(crate) fn next(
        &mut self,
        transaction: Option<&mut OpenTransaction>,
    ) -> Result<Vec<ScanItem>, Error> {
        match (self, transaction) {
            (OpenScan::Free { scan, .. }, _) => scan.next_chunk(SCAN_CHUNK_ITEMS, SCAN_CHUNK_BYTES),
            (OpenScan::Bound { scan, .. }, Some(open)) => {
                scan.next_chunk(&mut open.txn, SCAN_CHUNK_ITEMS, SCAN_CHUNK_BYTES)
            }
            (OpenScan::Bound { .. }, None) => Err(Error::new(
                ErrorKind::Internal,
                "a transaction's scan is asked without it",
            )),
        }
    }

    /// Where another scan can go on, if a limit ended this one.
    pub(crate) fn cursor(&self) -> Option<Vec<u8>> {
        match self {
            OpenScan::Free { scan, .. } => scan.cursor(),
            OpenScan::Bound { .. } => None,
        }
    }

    /// The transaction that it is of.
    pub(crate) fn transaction(&self) -> Option<RequestId> {
        match self {
            OpenScan::Free { .. } => None,
            OpenScan::Bound { transaction, .. } => Some(*transaction),
        }
    }

    /// The snapshot that it was opened in.
    pub(crate) fn snapshot(&self) -> Option<RequestId> {
        match self {
            OpenScan::Free { snapshot, .. } => *snapshot,
            OpenScan::Bound { .. } => None,
        }
    }
}

/// The engine's form of what is to be scanned.
pub(crate) fn scan_request(scan: &docdb_ipc::Scan) -> ScanRequest {
    ScanRequest {
        collection: scan.collection.to_string(),
        from: scan.from,
        to: scan.to,
        limit: scan.limit,
        reverse: scan.reverse,
        cursor: scan.cursor.as_ref().map(|cursor| cursor.to_vec()),
        at_latest: scan.at_latest,
    }
}
