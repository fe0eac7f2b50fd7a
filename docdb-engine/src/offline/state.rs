//! A database that nobody has open, as far as it can be made out: the checkpoint that its files hold,
//! and what the log says on top of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use docdb_datafile::FilePtr;
use docdb_index::{Key, Pointer};
use docdb_types::{DEFAULT_COLLECTION, ErrorKind};
use docdb_vfs::Vfs;
use docdb_wal::{LogFinding, Lsn, SurveyReport, Surveyed, Surveyor, WalOptions, survey};

use super::files::Manifests;
use super::finding::{Finding, Findings};
use crate::bulk_files::BulkFiles;
use crate::error::{Error, Result};
use crate::manifest::{CollectionEntry, MANIFEST, Manifest};
use crate::open::WAL_DIR;
use crate::pointer::DocPtr;
use crate::record::{self, KIND_COMMIT, LoggedOp, OpKind};

/// What a record of the log makes of a document.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) body: Where,
}

/// Where a version's body is.
#[derive(Debug, Clone)]
pub(crate) enum Where {
    /// In memory, from the log.
    Logged(Arc<[u8]>),
    Stored(FilePtr),
    Deleted,
}

/// A record that stands behind damage.
#[derive(Debug, Clone)]
pub(crate) struct Later {
    pub(crate) change: Change,
    pub(crate) path: Arc<Path>,
    pub(crate) offset: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct CollectionState {
    pub(crate) name: String,
    pub(crate) created: u64,
    pub(crate) highest_id: Option<u64>,
}

/// From where the log is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    /// The manifest.
    Newest,
    /// An earlier one that is kept, as the manifest does not verify.
    Kept,
    /// Nothing: no manifest verifies.
    Nothing,
}

/// A checkpoint and the log on top. The log's documents are in memory, as when the database is opened.
pub(crate) struct State {
    pub(crate) base: Base,
    pub(crate) manifest: Manifest,
    /// The newest version of every document that a record which can be applied has written.
    pub(crate) delta: BTreeMap<Key, Change>,
    /// Those that exist after that.
    pub(crate) collections: BTreeMap<u32, CollectionState>,
    pub(crate) next_collection: u32,
    pub(crate) bulk_files: BulkFiles,
    /// The newest record of each document behind a hole in the log.
    pub(crate) later: BTreeMap<Key, Later>,
    /// Names that records behind a hole give.
    pub(crate) later_names: BTreeMap<u32, String>,
    /// The newest drop of each collection behind a hole.
    pub(crate) later_drops: BTreeMap<u32, Later>,
    pub(crate) log: SurveyReport,
}

impl State {
    /// Reads it; `keeps_later`: also what stands behind damage.
    ///
    /// # Errors
    /// `UnsupportedVersion`; `Io`. Damage is told to `findings`.
    pub(crate) fn read(
        vfs: &dyn Vfs,
        dir: &Path,
        manifests: Manifests,
        keeps_later: bool,
        findings: &Findings<'_>,
    ) -> Result<State> {
        let (base, manifest) = match (manifests.newest, manifests.kept.into_iter().next()) {
            (Some(manifest), _) => (Base::Newest, manifest),
            (None, Some(manifest)) => (Base::Kept, manifest),
            (None, None) => (Base::Nothing, empty_manifest()),
        };
        let mut options = WalOptions::default();
        options.start_lsn = Some(Lsn(manifest.checkpoint_ts + 1));
        options.proven_lsn = Lsn(manifest.proven_lsn);
        options.wal_id = (base != Base::Nothing).then_some(manifest.wal_id);
        let collections = manifest.collections.iter().map(|entry| {
            let state = CollectionState {
                name: entry.name.clone(),
                created: entry.created_ts,
                highest_id: entry.highest_id,
            };
            (entry.id, state)
        });
        let mut state = State {
            base,
            delta: BTreeMap::new(),
            collections: collections.collect(),
            next_collection: manifest.next_collection,
            bulk_files: BulkFiles::default(),
            later: BTreeMap::new(),
            later_names: BTreeMap::new(),
            later_drops: BTreeMap::new(),
            log: SurveyReport::default(),
            manifest,
        };
        let wal_dir = dir.join(WAL_DIR);
        if !vfs.exists(&wal_dir)? {
            findings.tell(Finding::damage(&wal_dir, None, "the log is missing"));
            return Ok(state);
        }
        let start = state.manifest.checkpoint_ts + 1;
        let mut replay = Replay {
            state,
            start,
            keeps_later,
            stopped_before: None,
            findings,
        };
        let report = survey(vfs, &wal_dir, &options, &mut replay)?;
        let stopped_before = replay.stopped_before;
        state = replay.state;
        state.log = report;
        if let Some(version) = stopped_before {
            state.log.is_whole = false;
            state.log.last_lsn = version - 1;
        }
        Ok(state)
    }

    /// The last commit up to which the state is that of the database.
    pub(crate) fn version(&self) -> u64 {
        self.log.last_lsn.max(self.manifest.checkpoint_ts)
    }

    /// Whether nothing says that there was more than [`State::version`].
    pub(crate) fn is_newest(&self) -> bool {
        self.log.is_whole
    }

    /// Whether documents of that collection may be any of the database's.
    pub(crate) fn may_exist(&self, collection: u32) -> bool {
        self.collections.contains_key(&collection)
            || self.base == Base::Nothing
            || collection >= self.next_collection
    }

    /// The collection's name; made up if it is not known.
    pub(crate) fn name(&self, collection: u32) -> String {
        let known = self.collections.get(&collection).map(|c| c.name.as_str());
        let later = || self.later_names.get(&collection).map(String::as_str);
        match known.or_else(later) {
            Some(name) => name.to_owned(),
            None if collection == 0 => DEFAULT_COLLECTION.to_owned(),
            None => format!("collection-{collection}"),
        }
    }
}

fn empty_manifest() -> Manifest {
    Manifest {
        next_collection: 1,
        next_data_file: 1,
        next_run: 1,
        collections: vec![CollectionEntry {
            id: 0,
            created_ts: 0,
            documents: 0,
            highest_id: None,
            name: DEFAULT_COLLECTION.to_owned(),
        }],
        ..Manifest::default()
    }
}

struct Replay<'a> {
    state: State,
    start: u64,
    keeps_later: bool,
    /// A record that verifies cannot be applied: what follows stands behind damage.
    stopped_before: Option<u64>,
    findings: &'a Findings<'a>,
}

impl Surveyor for Replay<'_> {
    fn record(&mut self, surveyed: Surveyed<'_>) {
        let version = surveyed.record.lsn.0;
        if version < self.start {
            return;
        }
        let applies = surveyed.in_order && self.stopped_before.is_none();
        if !applies && !self.keeps_later {
            return;
        }
        let decoded = if surveyed.record.kind == KIND_COMMIT {
            record::decode(surveyed.record.payload)
        } else {
            Err(format!("record {version} is of an unknown kind"))
        };
        let outcome = decoded.and_then(|ops| {
            if applies {
                self.check(&ops)?;
                ops.iter().for_each(|op| self.apply(version, op));
            } else {
                ops.iter().for_each(|op| self.keep(&surveyed, op));
            }
            Ok(())
        });
        if let Err(what) = outcome {
            if applies {
                self.stopped_before = Some(version);
            }
            let finding = Finding::damage(surveyed.path, surveyed.offset, what);
            self.findings.tell(finding);
        }
    }

    fn found(&mut self, finding: LogFinding) {
        self.findings.tell(finding.into());
    }
}

impl Replay<'_> {
    /// Whether a commit can be applied as a whole.
    fn check(&self, ops: &[LoggedOp<'_>]) -> std::result::Result<(), String> {
        let mut files = self.state.bulk_files.clone();
        for op in ops {
            match op.kind {
                OpKind::BulkFile => files.note(BulkFiles::decode(op)?),
                OpKind::PutStored => {
                    let pointer = DocPtr::decode(op.body).ok_or("a pointer is none")?;
                    if !files.holds(pointer.0) {
                        return Err("a pointer leads to nowhere".to_owned());
                    }
                }
                OpKind::CreateCollection => {
                    std::str::from_utf8(op.body).map_err(|_| "a name is no UTF-8")?;
                }
                OpKind::Put | OpKind::Delete | OpKind::DropCollection => {}
            }
        }
        Ok(())
    }

    fn apply(&mut self, version: u64, op: &LoggedOp<'_>) {
        let state = &mut self.state;
        match op.kind {
            OpKind::CreateCollection => {
                let collection = CollectionState {
                    name: String::from_utf8_lossy(op.body).into_owned(),
                    created: version,
                    highest_id: None,
                };
                state.collections.insert(op.collection, collection);
                let next = op.collection.saturating_add(1);
                state.next_collection = state.next_collection.max(next);
            }
            OpKind::DropCollection => {
                state.collections.remove(&op.collection);
            }
            OpKind::BulkFile => {
                if let Ok(file) = BulkFiles::decode(op) {
                    state.bulk_files.note(file);
                }
            }
            OpKind::Put | OpKind::PutStored | OpKind::Delete => {
                if let Some(body) = body_of(op) {
                    if let Some(collection) = state.collections.get_mut(&op.collection) {
                        collection.highest_id = collection.highest_id.max(Some(op.id));
                    }
                    let key = Key::new(op.collection, op.id);
                    state.delta.insert(key, Change { version, body });
                }
            }
        }
    }

    /// Notes what stands behind damage.
    fn keep(&mut self, surveyed: &Surveyed<'_>, op: &LoggedOp<'_>) {
        let state = &mut self.state;
        let later = |body| Later {
            change: Change {
                version: surveyed.record.lsn.0,
                body,
            },
            path: Arc::from(surveyed.path),
            offset: surveyed.offset,
        };
        match op.kind {
            OpKind::CreateCollection => {
                let name = String::from_utf8_lossy(op.body).into_owned();
                state.later_names.insert(op.collection, name);
            }
            OpKind::DropCollection => {
                let later = later(Where::Deleted);
                state.later_drops.insert(op.collection, later);
            }
            OpKind::BulkFile => {
                if let Ok(file) = BulkFiles::decode(op) {
                    state.bulk_files.note(file);
                }
            }
            OpKind::Put | OpKind::PutStored | OpKind::Delete => {
                if let Some(body) = body_of(op) {
                    let later = later(body);
                    let key = Key::new(op.collection, op.id);
                    let known = state.later.get(&key);
                    if known.is_none_or(|known| known.change.version <= later.change.version) {
                        state.later.insert(key, later);
                    }
                }
            }
        }
    }
}

fn body_of(op: &LoggedOp<'_>) -> Option<Where> {
    Some(match op.kind {
        OpKind::Delete => Where::Deleted,
        OpKind::PutStored => Where::Stored(DocPtr::decode(op.body)?.0),
        _ => Where::Logged(Arc::from(op.body)),
    })
}

impl From<LogFinding> for Finding {
    fn from(finding: LogFinding) -> Finding {
        let make = if finding.is_damage {
            Finding::damage
        } else {
            Finding::note
        };
        make(&finding.path, Some(finding.offset), finding.what)
    }
}

/// The error of a database without a manifest.
pub(crate) fn no_manifest(dir: &Path) -> Error {
    let path = dir.join(MANIFEST);
    let what = format!(
        "{} is missing or damaged: which documents the database has is not known; salvage it",
        path.display()
    );
    Error::new(ErrorKind::Corrupt, what)
}
