//! What a database holds, and what every write does to it, without any of the machinery.

use std::collections::BTreeMap;

use docdb_engine::{Db, ErrorKind, Precondition, WriteKind, WriteOp};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Collection {
    /// By id: version and body.
    pub(crate) documents: BTreeMap<u64, (u64, Vec<u8>)>,
    /// The highest id ever used.
    pub(crate) highest: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) collections: BTreeMap<String, Collection>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Op {
    pub(crate) kind: WriteKind,
    pub(crate) collection: String,
    pub(crate) id: u64,
    pub(crate) precondition: Precondition,
    pub(crate) body: Vec<u8>,
}

impl Op {
    pub(crate) fn new(kind: WriteKind, collection: &str, id: u64, body: &[u8]) -> Op {
        Op {
            kind,
            collection: collection.to_owned(),
            id,
            precondition: Precondition::None,
            body: body.to_vec(),
        }
    }

    pub(crate) fn as_write(&self) -> WriteOp<'_> {
        WriteOp::new(self.kind, &self.collection, self.id, &self.body).when(self.precondition)
    }
}

pub(crate) fn submit(db: &Db, ops: &[Op]) -> docdb_engine::CommitTicket {
    let writes: Vec<_> = ops.iter().map(Op::as_write).collect();
    db.submit(&writes)
}

/// Why a commit is refused, and the position of the operation.
pub(crate) type Refused = (ErrorKind, Option<usize>);

impl State {
    /// An empty database.
    pub(crate) fn new() -> State {
        let mut state = State::default();
        state
            .collections
            .insert("_default".to_owned(), Collection::default());
        state
    }

    /// The same without what cannot be seen.
    pub(crate) fn visible(&self) -> State {
        let mut state = self.clone();
        for collection in state.collections.values_mut() {
            collection.highest = None;
        }
        state
    }

    /// What the database holds after a commit with number `version`, and the ids written.
    pub(crate) fn apply(&self, ops: &[Op], version: u64) -> Result<(State, Vec<u64>), Refused> {
        let mut state = self.clone();
        let mut ids = Vec::new();
        for (index, op) in ops.iter().enumerate() {
            let refuse = |kind| Err((kind, Some(index)));
            let Some(collection) = state.collections.get_mut(&op.collection) else {
                return refuse(ErrorKind::CollectionNotFound);
            };
            let id = match (op.kind, collection.highest) {
                (WriteKind::Insert, None) => 1,
                (WriteKind::Insert, Some(u64::MAX)) => return refuse(ErrorKind::LimitExceeded),
                (WriteKind::Insert, Some(highest)) => highest + 1,
                _ => op.id,
            };
            let current = collection.documents.get(&id).map(|(version, _)| *version);
            match (op.kind, current) {
                (WriteKind::Create, Some(_)) => return refuse(ErrorKind::AlreadyExists),
                (WriteKind::Update | WriteKind::Merge | WriteKind::Delete, None) => {
                    return refuse(ErrorKind::NotFound);
                }
                _ => {}
            }
            let holds = match op.precondition {
                Precondition::None => true,
                Precondition::Absent => current.is_none(),
                // What this commit has written has no number yet that anyone could name.
                Precondition::VersionIs(wanted) => current == Some(wanted) && wanted != version,
            };
            if !holds {
                return refuse(ErrorKind::VersionMismatch);
            }
            if op.kind == WriteKind::Delete {
                collection.documents.remove(&id);
            } else {
                collection.documents.insert(id, (version, op.body.clone()));
            }
            collection.highest = collection.highest.max(Some(id));
            ids.push(id);
        }
        Ok((state, ids))
    }

    pub(crate) fn with_collection(&self, name: &str) -> Result<State, Refused> {
        let mut state = self.clone();
        let before = state
            .collections
            .insert(name.to_owned(), Collection::default());
        match before {
            Some(_) => Err((ErrorKind::AlreadyExists, None)),
            None => Ok(state),
        }
    }

    pub(crate) fn without_collection(&self, name: &str, force: bool) -> Result<State, Refused> {
        if name == "_default" {
            return Err((ErrorKind::InvalidArgument, None));
        }
        let mut state = self.clone();
        match state.collections.remove(name) {
            None => Err((ErrorKind::CollectionNotFound, None)),
            Some(collection) if !force && !collection.documents.is_empty() => {
                Err((ErrorKind::NotEmpty, None))
            }
            Some(_) => Ok(state),
        }
    }
}
