//! Those who read while others write: each sees one state.

use std::collections::BTreeMap;
use std::sync::Arc;

use docdb_engine::{Document, ErrorKind, Result as EngineResult, Scan, ScanRequest, Snapshot};

use super::step::Write;
use crate::oracle::{Print, Session, State, Stop, document_print};

/// A scan, and what it has still to give.
type OpenScan = (Scan, &'static str, Vec<(u64, Print)>);

/// The snapshots and scans that are open.
#[derive(Debug, Default)]
pub(super) struct Readers {
    snapshots: BTreeMap<usize, (Snapshot, Arc<State>)>,
    scans: BTreeMap<usize, OpenScan>,
}

impl Readers {
    pub(super) fn hold(&mut self, session: &Session, place: usize) -> Result<(), Stop> {
        // Another one's place is taken only when it has let go.
        if self.snapshots.contains_key(&place) {
            return Ok(());
        }
        let snapshot = session.db.snapshot()?;
        let journal = session.journal.lock();
        if snapshot.version() < journal.last_version() {
            return Err(Stop::Wrong(format!(
                "a snapshot sees version {}, {} was acknowledged before",
                snapshot.version(),
                journal.last_version()
            )));
        }
        let held = (snapshot, Arc::clone(journal.last()));
        self.snapshots.insert(place, held);
        Ok(())
    }

    pub(super) fn release(&mut self, place: usize) {
        self.snapshots.remove(&place);
        self.scans.remove(&place);
    }

    pub(super) fn begin_scan(
        &mut self,
        session: &Session,
        place: usize,
        name: &'static str,
        reverse: bool,
    ) -> Result<(), Stop> {
        let state = Arc::clone(session.journal.lock().last());
        let Some(collection) = state.collection(name) else {
            return Ok(());
        };
        let documents = collection.documents.iter();
        let mut rest: Vec<_> = documents
            .map(|(id, (version, body))| (*id, document_print(name, *id, *version, body)))
            .collect();
        if reverse {
            rest.reverse();
        }
        let scan = session.db.scan(&ScanRequest {
            collection: name.to_owned(),
            reverse,
            ..ScanRequest::default()
        })?;
        self.scans.insert(place, (scan, name, rest));
        Ok(())
    }

    pub(super) fn go_on(&mut self, place: usize) -> Result<(), Stop> {
        let Some((scan, name, rest)) = self.scans.get_mut(&place) else {
            return Ok(());
        };
        let chunk = scan.next_chunk(3, 1 << 10)?;
        if chunk.is_empty() && !rest.is_empty() {
            return Err(Stop::Wrong(format!("a scan of {name} lacks {}", rest[0].0)));
        }
        for item in &chunk {
            let print = document_print(name, item.id, item.version, &item.body);
            if rest.first() != Some(&(item.id, print)) {
                return Err(Stop::Wrong(format!(
                    "a scan of {name} gives document {} in version {}, which is not what was there",
                    item.id, item.version
                )));
            }
            rest.remove(0);
        }
        if chunk.is_empty() {
            self.scans.remove(&place);
        }
        Ok(())
    }

    /// Compares what a reader of `state` was answered.
    pub(super) fn compare(
        &self,
        found: EngineResult<Document>,
        state: &State,
        write: &Write,
    ) -> Result<(), Stop> {
        compare(found, state, write.collection, write.id)
    }

    pub(super) fn look_at(&self, session: &Session, name: &str, id: u64) -> Result<(), Stop> {
        let last = Arc::clone(session.journal.lock().last());
        compare(session.db.read(name, id), &last, name, id)?;
        for (snapshot, state) in self.snapshots.values() {
            compare(snapshot.read(name, id), state, name, id)?;
        }
        Ok(())
    }

    pub(super) fn look_at_all(&self) -> Result<(), Stop> {
        for (snapshot, state) in self.snapshots.values() {
            for (name, collection) in state.collections() {
                let count = snapshot.count(name)?;
                if count != collection.documents.len() as u64 {
                    return Err(Stop::Wrong(format!(
                        "a snapshot counts {count} documents in {name}, {} were there",
                        collection.documents.len()
                    )));
                }
                for id in collection.documents.keys() {
                    compare(snapshot.read(name, *id), state, name, *id)?;
                }
            }
        }
        Ok(())
    }
}

/// Compares what a reader was answered with what is there.
pub(super) fn compare(
    found: EngineResult<Document>,
    state: &State,
    name: &str,
    id: u64,
) -> Result<(), Stop> {
    let wrong = |what: String| Err(Stop::Wrong(format!("{name}/{id}: {what}")));
    match (found, state.read(name, id)) {
        (Ok(found), Ok((version, body))) => {
            if found.version == *version && *found.body == **body {
                return Ok(());
            }
            wrong(format!("version {} is read, not {version}", found.version))
        }
        (Err(error), Err(kind)) if error.kind() == kind => Ok(()),
        (Ok(found), Err(kind)) => wrong(format!("version {} is read, not {kind:?}", found.version)),
        (Err(error), Ok((version, _))) if error.kind() == ErrorKind::NotFound => {
            wrong(format!("is not found, version {version} is there"))
        }
        (Err(error), _) => Err(Stop::Failed(error)),
    }
}
