//! What a database holds, and what every write does to it, without any of the machinery.

use std::collections::BTreeMap;
use std::sync::Arc;

use docdb_engine::{DEFAULT_COLLECTION, ErrorKind, Precondition, WriteKind, WriteOp, json};

use super::change::Written;
use super::print::{Print, document_print, name_print};

/// A version and the bytes of a document.
type Versioned = (u64, Arc<[u8]>);

/// A collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collection {
    /// By id: version and bytes.
    pub documents: BTreeMap<u64, Versioned>,
    /// The highest id that a commit ever used.
    pub highest: Option<u64>,
    /// The highest id that was handed out, also to transactions that came to nothing. It need not
    /// survive the process.
    pub taken: Option<u64>,
}

/// What a database holds. A copy shares all collections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    collections: BTreeMap<Arc<str>, Arc<Collection>>,
    print: Print,
}

/// One write of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// What to do.
    pub kind: WriteKind,
    /// The collection's name.
    pub collection: Arc<str>,
    /// The document's id; not used by an insert.
    pub id: u64,
    /// What is demanded of the current version.
    pub precondition: Precondition,
    /// The document, or what to change in it.
    pub body: Vec<u8>,
}

impl Op {
    /// A write without a precondition.
    pub fn new(kind: WriteKind, collection: &str, id: u64, body: impl Into<Vec<u8>>) -> Op {
        Op {
            kind,
            collection: collection.into(),
            id,
            precondition: Precondition::None,
            body: body.into(),
        }
    }

    /// As the engine takes it.
    pub fn as_write(&self) -> WriteOp<'_> {
        WriteOp::new(self.kind, &self.collection, self.id, &self.body).when(self.precondition)
    }
}

/// Why a commit is refused, and the position of the operation.
pub type Refused = (ErrorKind, Option<usize>);

impl State {
    /// An empty database.
    pub fn new() -> State {
        let none = State {
            collections: BTreeMap::new(),
            print: Print::default(),
        };
        none.with_collection(DEFAULT_COLLECTION).unwrap_or(none)
    }

    /// The hash of what can be seen of it.
    pub fn print(&self) -> Print {
        self.print
    }

    /// The collections, by name.
    pub fn collections(&self) -> impl Iterator<Item = (&str, &Collection)> {
        self.collections
            .iter()
            .map(|(name, collection)| (&**name, &**collection))
    }

    /// The collection of that name.
    pub fn collection(&self, name: &str) -> Option<&Collection> {
        self.collections.get(name).map(|collection| &**collection)
    }

    /// What a reader of that document is answered.
    ///
    /// # Errors
    /// `CollectionNotFound`, `NotFound`.
    pub fn read(&self, collection: &str, id: u64) -> Result<&Versioned, ErrorKind> {
        let collection = self.collection(collection);
        let collection = collection.ok_or(ErrorKind::CollectionNotFound)?;
        collection.documents.get(&id).ok_or(ErrorKind::NotFound)
    }

    /// The bytes of all documents.
    pub fn live_bytes(&self) -> u64 {
        let documents = self.collections.values().flat_map(|c| c.documents.values());
        documents.map(|(_, body)| body.len() as u64).sum()
    }

    /// What the database holds after a commit with number `version`, and the ids written.
    ///
    /// # Errors
    /// What the engine answers.
    pub fn apply(&self, ops: &[Op], version: u64) -> Result<(State, Vec<u64>), Refused> {
        let mut state = self.clone();
        let mut ids = Vec::with_capacity(ops.len());
        for (index, op) in ops.iter().enumerate() {
            let id = state.apply_one(op, version);
            ids.push(id.map_err(|kind| (kind, Some(index)))?);
        }
        Ok((state, ids))
    }

    fn apply_one(&mut self, op: &Op, version: u64) -> Result<u64, ErrorKind> {
        let collection = self.collections.get_mut(&op.collection);
        let collection = collection.ok_or(ErrorKind::CollectionNotFound)?;
        let id = match (op.kind, collection.highest.max(collection.taken)) {
            (WriteKind::Insert, None) => 1,
            (WriteKind::Insert, Some(u64::MAX)) => return Err(ErrorKind::LimitExceeded),
            (WriteKind::Insert, Some(highest)) => highest + 1,
            _ => op.id,
        };
        let current = collection.documents.get(&id);
        match (op.kind, current) {
            (WriteKind::Create, Some(_)) => return Err(ErrorKind::AlreadyExists),
            (WriteKind::Update | WriteKind::Merge | WriteKind::Patch | WriteKind::Delete, None) => {
                return Err(ErrorKind::NotFound);
            }
            _ => {}
        }
        let holds = match op.precondition {
            Precondition::None => true,
            Precondition::Absent => current.is_none(),
            // What this commit has written has no number yet that anyone could name.
            Precondition::VersionIs(wanted) => {
                wanted != version && current.is_some_and(|(version, _)| *version == wanted)
            }
        };
        if !holds {
            return Err(ErrorKind::VersionMismatch);
        }
        let body: Option<Arc<[u8]>> = match (op.kind, current) {
            (WriteKind::Delete, _) => None,
            (WriteKind::Patch, Some((_, body))) => Some(edited(json::patch(body, &op.body))?),
            (WriteKind::Merge, Some((_, body))) => Some(edited(json::merge(body, &op.body))?),
            _ => Some(op.body.as_slice().into()),
        };
        if let Some((version, body)) = current {
            self.print -= document_print(&op.collection, id, *version, body);
        }
        let collection = Arc::make_mut(collection);
        match body {
            None => drop(collection.documents.remove(&id)),
            Some(body) => {
                self.print += document_print(&op.collection, id, version, &body);
                collection.documents.insert(id, (version, body));
            }
        }
        collection.highest = collection.highest.max(Some(id));
        Ok(id)
    }

    /// What the database holds after a transaction; `None` if a collection is gone.
    pub fn with_written(&self, written: &Written, version: u64) -> Option<State> {
        let mut state = self.clone();
        for ((name, id), body) in written {
            let collection = Arc::make_mut(state.collections.get_mut(name)?);
            if let Some((version, body)) = collection.documents.remove(id) {
                state.print -= document_print(name, *id, version, &body);
            }
            if let Some(body) = body {
                state.print += document_print(name, *id, version, body);
                let document = (version, Arc::clone(body));
                collection.documents.insert(*id, document);
            }
            collection.highest = collection.highest.max(Some(*id));
        }
        Some(state)
    }

    /// Hands out the next id of the collection to a transaction whose own writes there have ids up to
    /// `own`.
    ///
    /// # Errors
    /// `CollectionNotFound`, `LimitExceeded`.
    pub fn take_id(&mut self, collection: &str, own: Option<u64>) -> Result<u64, ErrorKind> {
        let collection = self.collections.get_mut(collection);
        let collection = Arc::make_mut(collection.ok_or(ErrorKind::CollectionNotFound)?);
        let taken = collection.highest.max(collection.taken);
        let id = match taken.max(own) {
            None => 1,
            Some(highest) => highest.checked_add(1).ok_or(ErrorKind::LimitExceeded)?,
        };
        if own <= taken {
            collection.taken = Some(id);
        }
        Ok(id)
    }

    /// What another process finds: it knows nothing of ids that came to nothing.
    #[must_use]
    pub fn without_taken(&self) -> State {
        let mut state = self.clone();
        for collection in state.collections.values_mut() {
            if collection.taken.is_some() {
                Arc::make_mut(collection).taken = None;
            }
        }
        state
    }

    /// With a new collection.
    ///
    /// # Errors
    /// `AlreadyExists`.
    pub fn with_collection(&self, name: &str) -> Result<State, Refused> {
        if self.collections.contains_key(name) {
            return Err((ErrorKind::AlreadyExists, None));
        }
        let mut state = self.clone();
        state.collections.insert(name.into(), Arc::default());
        state.print += name_print(name);
        Ok(state)
    }

    /// Without a collection.
    ///
    /// # Errors
    /// `InvalidArgument` for `_default`, `CollectionNotFound`, `NotEmpty` unless forced.
    pub fn without_collection(&self, name: &str, force: bool) -> Result<State, Refused> {
        if name == DEFAULT_COLLECTION {
            return Err((ErrorKind::InvalidArgument, None));
        }
        let mut state = self.clone();
        match state.collections.remove(name) {
            None => Err((ErrorKind::CollectionNotFound, None)),
            Some(collection) if !force && !collection.documents.is_empty() => {
                Err((ErrorKind::NotEmpty, None))
            }
            Some(collection) => {
                state.print -= name_print(name);
                for (id, (version, body)) in &collection.documents {
                    state.print -= document_print(name, *id, *version, body);
                }
                Ok(state)
            }
        }
    }

    /// The ids of a range, in order, at most `limit`.
    pub fn ids(&self, name: &str, from: u64, to: u64, limit: usize) -> Vec<u64> {
        let Some(collection) = self.collection(name).filter(|_| from <= to) else {
            return Vec::new();
        };
        let range = collection.documents.range(from..=to);
        range.map(|(id, _)| *id).take(limit).collect()
    }
}

impl Default for State {
    fn default() -> State {
        State::new()
    }
}

fn edited(edited: Result<Vec<u8>, json::EditError>) -> Result<Arc<[u8]>, ErrorKind> {
    edited.map(Arc::from).map_err(|_| ErrorKind::InvalidPatch)
}
