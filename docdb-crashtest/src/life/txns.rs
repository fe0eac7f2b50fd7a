//! Transactions that are open, and what each has seen and done.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use docdb_engine::{Db, ErrorKind, ScanRequest, Txn, TxnOptions, WriteKind};

use super::readers::compare;
use super::step::{TxnStep, Write};
use crate::oracle::{Change, Journal, Op, Session, State, Stop, Work, document_print};

#[derive(Debug)]
struct Open {
    txn: Txn,
    /// What it began with, with its own writes over it, which have the version 0.
    view: State,
    work: Work,
}

/// The transactions that are open, by place.
#[derive(Debug, Default)]
pub(super) struct Txns(BTreeMap<usize, Open>);

impl Txns {
    pub(super) fn step(
        &mut self,
        session: &Session,
        place: usize,
        step: &TxnStep,
        now: Duration,
    ) -> Result<(), Stop> {
        if let TxnStep::Begin { serializable } = step {
            if let Entry::Vacant(free) = self.0.entry(place) {
                free.insert(begin(session, *serializable)?);
            }
            return Ok(());
        }
        let Some(open) = self.0.get_mut(&place) else {
            return Ok(());
        };
        if now >= open.txn.deadline() {
            self.0.remove(&place);
            return Ok(());
        }
        match step {
            TxnStep::Begin { .. } => Ok(()),
            TxnStep::Write(write) => open.write(session, write),
            TxnStep::Read(name, id) => open.read(name, *id),
            TxnStep::Scan(name, from, to) => open.scan(name, *from, *to),
            TxnStep::Count(name) => open.count(name),
            TxnStep::Rollback => {
                if let Some(open) = self.0.remove(&place) {
                    open.txn.rollback();
                }
                Ok(())
            }
            TxnStep::Commit => match self.0.remove(&place) {
                Some(open) => open.commit(session),
                None => Ok(()),
            },
        }
    }
}

fn begin(session: &Session, serializable: bool) -> Result<Open, Stop> {
    let options = if serializable {
        TxnOptions::serializable()
    } else {
        TxnOptions::default()
    };
    let txn = session.db.begin(&options)?;
    let journal = session.journal.lock();
    if txn.version() < journal.last_version() {
        return Err(Stop::Wrong(format!(
            "a transaction begins at version {}, {} was acknowledged before",
            txn.version(),
            journal.last_version()
        )));
    }
    Ok(Open {
        view: State::clone(journal.last()),
        work: Work {
            begun: txn.version(),
            read: serializable.then(Vec::new),
            ..Work::default()
        },
        txn,
    })
}

impl Open {
    fn note(&mut self, name: &str, from: u64, to: u64) {
        if let Some(read) = &mut self.work.read {
            read.push((name.into(), from, to));
        }
    }

    fn write(&mut self, session: &Session, write: &Write) -> Result<(), Stop> {
        let mut op = write.resolve(&self.view);
        let answer = self.txn.write(&op.as_write());
        let own = self.work.written.keys();
        let own = own.filter(|(name, _)| **name == *write.collection);
        let own = own.map(|(_, id)| *id).max();
        if op.kind == WriteKind::Insert && self.view.collection(write.collection).is_some() {
            let precondition = op.precondition;
            let refused = matches!(precondition, docdb_engine::Precondition::VersionIs(_));
            if refused {
                return match answer {
                    Err(error) if error.kind() == ErrorKind::VersionMismatch => Ok(()),
                    Err(error) => Err(error.into()),
                    Ok(id) => Err(Stop::Wrong(format!("an insert got {id} all the same"))),
                };
            }
            let id = answer?;
            self.expect_id(session, write.collection, own, id)?;
            op = Op {
                kind: WriteKind::Upsert,
                id,
                ..op
            };
        } else {
            let expected = self.view.apply(std::slice::from_ref(&op), 0);
            match (answer, expected) {
                (Ok(_), Ok(_)) => {}
                (Err(error), Err((kind, _))) if error.kind() == kind => {
                    // The answer tells what was read.
                    self.note(write.collection, op.id, op.id);
                    return Ok(());
                }
                (Ok(_), Err((kind, _))) => {
                    return Err(Stop::Wrong(format!("{op:?} must be refused with {kind:?}")));
                }
                (Err(error), _) => return Err(error.into()),
            }
        }
        if op.kind.is_edit() {
            self.note(write.collection, op.id, op.id);
        }
        let id = op.id;
        if let Ok((view, _)) = self.view.apply(&[op], 0) {
            self.view = view;
        }
        let body = self.view.read(write.collection, id);
        let body = body.ok().map(|(_, body)| Arc::clone(body));
        let key = (Arc::from(write.collection), id);
        self.work.written.insert(key, body);
        Ok(())
    }

    /// The id of an insert is above all that are taken, whoever has them.
    fn expect_id(
        &self,
        session: &Session,
        name: &str,
        own: Option<u64>,
        id: u64,
    ) -> Result<(), Stop> {
        let mut journal = session.journal.lock();
        if journal.has_changed(name, self.work.begun) {
            // The collection was dropped meanwhile, perhaps there is another one.
            return Ok(());
        }
        match journal.take_id(name, own) {
            Ok(expected) if expected == id => Ok(()),
            Ok(expected) => Err(Stop::Wrong(format!(
                "an insert into {name} got the id {id}, not {expected}"
            ))),
            Err(kind) => Err(Stop::Wrong(format!(
                "an insert into {name} got the id {id}, not {kind:?}"
            ))),
        }
    }

    fn read(&mut self, name: &'static str, id: u64) -> Result<(), Stop> {
        self.note(name, id, id);
        compare(self.txn.read(name, id), &self.view, name, id)
    }

    fn scan(&mut self, name: &'static str, from: u64, to: u64) -> Result<(), Stop> {
        let Some(collection) = self.view.collection(name).filter(|_| from <= to) else {
            return Ok(());
        };
        let documents = collection.documents.range(from..=to);
        let expected: Vec<_> = documents
            .map(|(id, (version, body))| (*id, document_print(name, *id, *version, body)))
            .collect();
        let mut scan = self.txn.scan(&ScanRequest {
            collection: name.to_owned(),
            from: Some(from),
            to: Some(to),
            ..ScanRequest::default()
        })?;
        let mut found = Vec::new();
        loop {
            let chunk = scan.next_chunk(&mut self.txn, 4, 1 << 10)?;
            if chunk.is_empty() {
                break;
            }
            let item =
                |i: docdb_engine::ScanItem| (i.id, document_print(name, i.id, i.version, &i.body));
            found.extend(chunk.into_iter().map(item));
        }
        self.note(name, from, to);
        if found != expected {
            return Err(Stop::Wrong(format!(
                "a transaction's scan of {name} from {from} to {to} gave {} documents, not the {} \
                 that it sees",
                found.len(),
                expected.len()
            )));
        }
        Ok(())
    }

    fn count(&mut self, name: &'static str) -> Result<(), Stop> {
        let Some(collection) = self.view.collection(name) else {
            return Ok(());
        };
        let expected = collection.documents.len() as u64;
        let count = self.txn.count(name)?;
        self.note(name, 0, u64::MAX);
        if count != expected {
            return Err(Stop::Wrong(format!(
                "a transaction counts {count} documents in {name}, not {expected}"
            )));
        }
        Ok(())
    }

    fn commit(self, session: &Session) -> Result<(), Stop> {
        if self.work.written.is_empty() {
            self.txn.commit().wait()?;
            return Ok(());
        }
        let is_gone = {
            let journal = session.journal.lock();
            let mut names = self.work.written.keys().map(|(name, _)| name);
            names.any(|name| journal.has_changed(name, self.work.begun))
        };
        let change = Change::Txn(Arc::new(self.work));
        let submitted = session.submit_change(&change, None, |_| self.txn.commit());
        match session.wait(submitted) {
            // A collection that is gone is a conflict with its end, too.
            Err(Stop::Failed(error))
                if is_gone && error.kind() == ErrorKind::CollectionNotFound =>
            {
                Ok(())
            }
            done => done.map(|_| ()),
        }
    }
}

/// Of several numbers of commits that show the same: the last one after which each collection's next
/// id is the one that the database hands out; and the collections whose next id was asked for.
pub(super) fn which(
    db: &Db,
    journal: &Journal,
    fitting: &[usize],
) -> Result<(usize, Vec<String>), Stop> {
    let last = fitting.last().copied().unwrap_or(0);
    let highest = |number: usize, name: &str| {
        let state = journal.state(number)?;
        state.collection(name)?.highest
    };
    let Some(state) = journal.state(last) else {
        return Ok((last, Vec::new()));
    };
    let names: Vec<&str> = state.collections().map(|(name, _)| name).collect();
    let differs = |name: &&&str| {
        fitting
            .iter()
            .any(|number| highest(*number, name) != highest(last, name))
    };
    let mut left = fitting.to_vec();
    let mut asked = Vec::new();
    for name in names.iter().filter(differs) {
        let mut txn = db.begin(&TxnOptions::default())?;
        let id = txn.insert(name, b"0")?;
        txn.rollback();
        asked.push((*name).to_owned());
        left.retain(|number| highest(*number, name).map_or(1, |id| id + 1) == id);
    }
    let wrong = || Stop::Wrong("the next ids fit no state that shows what is there".to_owned());
    Ok((left.last().copied().ok_or_else(wrong)?, asked))
}
