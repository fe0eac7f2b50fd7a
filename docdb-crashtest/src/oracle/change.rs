//! Everything that a commit can be.

use std::collections::BTreeMap;
use std::sync::Arc;

use docdb_engine::ErrorKind;

use super::state::{Op, Refused, State};

/// What a transaction wrote, by document: `None` is a deletion.
pub type Written = BTreeMap<(Arc<str>, u64), Option<Arc<[u8]>>>;

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes, each of which sees the earlier ones.
    Ops(Arc<[Op]>),
    /// A transaction.
    Txn(Arc<Work>),
    /// A new collection.
    Create(Arc<str>),
    /// The end of a collection, also of one with documents if that is forced.
    Drop(Arc<str>, bool),
}

/// What a transaction has done before it commits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work {
    /// The version that it reads at.
    pub begun: u64,
    /// What it wrote.
    pub written: Written,
    /// What it read, if it is serializable: ranges of ids.
    pub read: Option<Vec<(Arc<str>, u64, u64)>>,
}

/// What a commit changed: a document, or everything under a name.
pub type Touched = (Arc<str>, Option<u64>);

impl Work {
    /// Whether a commit that changed this keeps the transaction from committing.
    pub fn loses_to(&self, touched: &Touched) -> bool {
        let (name, id) = touched;
        let hits = |from: u64, to: u64| id.is_none_or(|id| (from..=to).contains(&id));
        let mut written = self.written.keys();
        if written.any(|(of, own)| of == name && hits(*own, *own)) {
            return true;
        }
        let mut read = self.read.iter().flatten();
        read.any(|(of, from, to)| of == name && hits(*from, *to))
    }
}

impl Change {
    /// The state after this, what it changed, and the ids that the writes got. Whether a transaction
    /// loses to another is not asked here.
    ///
    /// # Errors
    /// What the engine answers.
    pub fn apply(
        &self,
        state: &State,
        version: u64,
    ) -> Result<(State, Vec<Touched>, Vec<u64>), Refused> {
        match self {
            Change::Ops(ops) => {
                let (state, ids) = state.apply(ops, version)?;
                let touched = ops.iter().zip(&ids);
                let touched = touched.map(|(op, id)| (Arc::clone(&op.collection), Some(*id)));
                Ok((state, touched.collect(), ids))
            }
            Change::Txn(work) => {
                let state = state.with_written(&work.written, version);
                let state = state.ok_or((ErrorKind::CollectionNotFound, None))?;
                let keys = work.written.keys();
                let touched = keys.map(|(name, id)| (Arc::clone(name), Some(*id)));
                Ok((state, touched.collect(), Vec::new()))
            }
            Change::Create(name) => {
                let state = state.with_collection(name)?;
                Ok((state, vec![(Arc::clone(name), None)], Vec::new()))
            }
            Change::Drop(name, force) => {
                let state = state.without_collection(name, *force)?;
                Ok((state, vec![(Arc::clone(name), None)], Vec::new()))
            }
        }
    }
}
