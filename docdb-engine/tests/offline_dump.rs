//! `dump` gives what a recovery would show, and changes nothing.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::{Arc, Mutex};

use common::model::State;
use common::offline::{bulk, closed, keeping, killed};
use common::{dir, open, options};
use docdb_engine::offline::{self, DumpReport, DumpedDocument, Finding, Observer, Progress};
use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::{CrashPolicy, SimVfs};
use docdb_engine::{ErrorKind, Result};

#[derive(Default)]
struct Findings(Mutex<Vec<Finding>>);

impl Observer for Findings {
    fn finding(&self, finding: Finding) {
        self.0.lock().unwrap().push(finding);
    }
}

type Dumped = Vec<(String, u64, u64, Vec<u8>)>;

fn dump(vfs: &SimVfs) -> Result<(DumpReport, Dumped, Vec<Finding>)> {
    let before = vfs.image_hash();
    let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
    let findings = Findings::default();
    let mut dumped = Vec::new();
    let mut give = |document: DumpedDocument<'_>| {
        let DumpedDocument {
            collection,
            id,
            version,
            body,
        } = document;
        dumped.push((collection.to_owned(), id, version, body.to_vec()));
        Ok(())
    };
    let report = offline::dump(&shared, dir(), &Progress::default(), &findings, &mut give);
    assert_eq!(vfs.image_hash(), before);
    Ok((report?, dumped, findings.0.into_inner().unwrap()))
}

fn all(state: &State) -> Dumped {
    let mut all = Dumped::new();
    for (name, collection) in &state.collections {
        for (id, (version, body)) in &collection.documents {
            all.push((name.clone(), *id, *version, body.clone()));
        }
    }
    all
}

fn sorted(mut dumped: Dumped) -> Dumped {
    dumped.sort();
    dumped
}

#[test]
fn all_documents_are_given() {
    for life in [closed(), killed(), bulk(), keeping()] {
        let (report, dumped, findings) = dump(&life.vfs).unwrap();
        assert_eq!(sorted(dumped), sorted(all(life.last())));
        assert_eq!((report.damages, findings.len()), (0, 0), "{findings:?}");
        let last = life.states.last_key_value().unwrap();
        assert_eq!(
            (report.version, report.documents as usize),
            (*last.0, all(last.1).len())
        );
    }
}

/// Whatever is damaged: what is given is right, and what is missing is not passed over in silence.
#[test]
fn damage_costs_what_it_hits() {
    for life in [closed(), killed(), bulk()] {
        for path in life.vfs.files() {
            let length = life.vfs.read_file(&path).unwrap().len() as u64;
            for offset in (0..length).step_by(151) {
                life.vfs.flip_bit(&path, offset, 3).unwrap();
                let outcome = dump(&life.vfs);
                let what = format!("{} at {offset}", path.display());
                match outcome {
                    Ok((report, dumped, _)) => {
                        let state = &life.states[&report.version];
                        for document in &dumped {
                            assert!(all(state).contains(document), "{what}: {document:?}");
                        }
                        if sorted(dumped) != sorted(all(life.last())) && report.damages == 0 {
                            // What nobody can tell from a torn tail.
                            let db = open(&life.vfs.fork_crash(&CrashPolicy::KeepAll)).unwrap();
                            assert_eq!(db.visible_version(), report.version, "{what}");
                        }
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}");
                        assert!(path.ends_with("MANIFEST"), "{what}: {error}");
                    }
                }
                life.vfs.flip_bit(&path, offset, 3).unwrap();
            }
        }
    }
}

#[test]
fn a_database_in_use_is_refused() {
    let life = closed();
    let _db = common::open_with(&life.vfs, options()).unwrap();
    assert_eq!(dump(&life.vfs).unwrap_err().kind(), ErrorKind::InUse);
}
