//! Makes a new database of what verifies of one that is damaged.
//!
//! A document is *proven* if its bytes verify and nothing that is damaged can hold a newer version of
//! it, or its deletion: a run's page that covers its id, or the log before its record. With a hole in
//! the log the new database is what the database was before the hole, which is a prefix of its commits.
//! What cannot be proven, and is newer than what is, is *doubtful*: it is told of, and put into the new
//! database only on request. It is kept apart because it may have been deleted since: a compaction
//! drops the frames of deletions, so a frame in a data file alone proves nothing. What is known to be
//! deleted, if only by a record behind the hole, is never put into the new database.

mod evidence;
mod places;
mod report;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_datafile::FilePtr;
use docdb_index::Key;
use docdb_types::ErrorKind;
use docdb_vfs::Vfs;
use docdb_wal::{Lsn, WalOptions, survey};

use super::documents::{Documents, Newest};
use super::files::{self, Files, Manifests};
use super::finding::{Finding, Findings, Observer};
use super::source::Source;
use super::state::{Base, Later, State, Where};
use super::winners::Ranges;
use crate::error::Result;
use crate::manifest::CollectionEntry;
use crate::open::{WAL_DIR, lock_database};
use evidence::{Evidences, Places, Wanted, find_copies};
use places::{LogFinder, open_files, runs_beside};
pub use report::{DoubtfulDocument, LostDocument, SalvageLog, SalvageOptions, SalvageReport};
use write::NewDatabase;

/// Most documents of which copies are looked for.
const WANTED_MAX: usize = 1 << 20;
/// After damage to the log or the manifest versions may have been given out that nobody sees any more:
/// the new database leaves so many out.
const VERSIONS_LEFT_OUT: u64 = 1 << 20;

/// Makes a new database in `into`, which must not exist, of what the one in `dir` still has. That is
/// locked and not changed; nobody may have it open. The new one is there as a whole or not at all.
/// Collections and documents keep their numbers, names and versions.
///
/// Memory: what the log holds since the checkpoint; up to
/// [`doubtful_max`](SalvageOptions::doubtful_max) documents that are doubtful, and a million of those
/// that do not verify, some 100 bytes each. Of more than these no copies are looked for.
///
/// # Errors
/// `InUse`; `AlreadyExists` if `into` does; `UnsupportedVersion`; `DiskFull`; `Io`; what `log` answers.
pub fn salvage(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    into: &Path,
    options: &SalvageOptions,
    observer: &dyn Observer,
    log: &mut dyn SalvageLog,
) -> Result<SalvageReport> {
    let source = Source::new(Arc::clone(vfs), options.progress.clone());
    let _lock = lock_database(&source, dir)?;
    let findings = Findings::new(observer);
    let names = source.list(dir)?;
    let manifests = Manifests::read(&source, dir, &names, &findings)?;
    files::expect(&source, dir, &manifests, &options.progress);
    // What only earlier checkpoints name is where copies are.
    let kept = manifests.kept.clone();
    let state = State::read(&source, dir, manifests, true, &findings)?;
    let files = open_files(&source, dir, &names, &state, &kept, &findings)?;
    let places = Places {
        vfs: &source,
        files: &files,
        runs: runs_beside(&source, dir, &names, &state)?,
    };
    let mut salvage = Salvage {
        source: &source,
        dir,
        state: &state,
        files: &files,
        uncertain: Ranges::default(),
        wanted: BTreeMap::new(),
        logged: BTreeMap::new(),
        include_doubtful: options.include_doubtful,
        log,
        report: SalvageReport {
            version: state.version(),
            ..SalvageReport::default()
        },
        highest_version: state.log.highest_lsn.max(state.version()),
        collections: BTreeSet::new(),
    };
    salvage.look(&findings)?;
    let mut new = NewDatabase::create(vfs, into)?;
    if let Err(error) = salvage.write(&mut new, &places, options.doubtful_max) {
        new.abandon();
        return Err(error);
    }
    let (collections, next_collection) = salvage.collections();
    let mut report = salvage.report;
    report.damages = findings.damages();
    report.is_whole = report.lost == 0
        && report.doubtful == 0
        && state.is_newest()
        && salvage.uncertain.is_empty();
    let left_out = if state.is_newest() && state.base == Base::Newest {
        0
    } else {
        VERSIONS_LEFT_OUT
    };
    let version = salvage.highest_version.saturating_add(left_out);
    new.finish(collections, next_collection, version)?;
    Ok(report)
}

struct Salvage<'a> {
    source: &'a Source,
    dir: &'a Path,
    state: &'a State,
    files: &'a Files,
    uncertain: Ranges,
    /// What does not verify, with what else there is of it.
    wanted: BTreeMap<Key, Wanted>,
    /// Bodies of wanted documents that are in segments of the log that are only kept.
    logged: BTreeMap<Key, Arc<[u8]>>,
    include_doubtful: bool,
    log: &'a mut dyn SalvageLog,
    report: SalvageReport,
    highest_version: u64,
    /// Collections that documents were put into.
    collections: BTreeSet<u32>,
}

/// The best that is known of a document beyond what is proven.
struct Doubt {
    version: u64,
    body: Where,
    why: &'static str,
    file: PathBuf,
    offset: u64,
}

impl<'a> Salvage<'a> {
    /// Looks at every document once: which do not verify, and of which keys not enough is known.
    fn look(&mut self, findings: &'a Findings<'a>) -> Result<()> {
        let mut documents = Documents::new(self.source, self.dir, self.state, Some(findings))?;
        while let Some(newest) = documents.next()? {
            let Where::Stored(pointer) = newest.body else {
                continue;
            };
            let read = self.read(newest.key, newest.version, pointer)?;
            if let Err(why) = read {
                let path = self.files.path(pointer.file);
                findings.tell(Finding::damage(&path, pointer.offset, why));
                if self.wanted.len() < WANTED_MAX {
                    let wanted = Wanted {
                        version: newest.version,
                        ..Wanted::default()
                    };
                    self.wanted.insert(newest.key, wanted);
                }
            }
        }
        let mut uncertain = documents.into_uncertain();
        if self.state.base == Base::Nothing && !self.state.is_newest() {
            // There is no index.
            uncertain.add(Key::MIN, Key::MAX);
        }
        self.uncertain = uncertain.sorted();
        find_copies(self.files, &mut self.wanted)?;
        self.find_logged()
    }

    /// Looks for wanted documents in the whole log.
    fn find_logged(&mut self) -> Result<()> {
        let dir = self.dir.join(WAL_DIR);
        if self.wanted.is_empty() || !self.source.exists(&dir)? {
            return Ok(());
        }
        let mut options = WalOptions::default();
        options.start_lsn = Some(Lsn(self.state.manifest.checkpoint_ts + 1));
        options.wal_id = (self.state.base != Base::Nothing).then_some(self.state.manifest.wal_id);
        let mut finder = LogFinder {
            wanted: &mut self.wanted,
            found: &mut self.logged,
        };
        survey(self.source, &dir, &options, &mut finder)?;
        Ok(())
    }

    /// The document, or why it does not verify.
    fn read(
        &self,
        key: Key,
        version: u64,
        pointer: FilePtr,
    ) -> Result<std::result::Result<Arc<[u8]>, String>> {
        match self.files.read(key, version, pointer) {
            Ok(body) => Ok(Ok(body)),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Err(error.message().to_owned())),
            Err(error) => Err(error),
        }
    }

    /// Goes through everything that is known of documents, in the order of keys.
    fn write(
        &mut self,
        new: &mut NewDatabase,
        places: &Places<'_>,
        doubtful_max: usize,
    ) -> Result<()> {
        let state = self.state;
        let uncertain = self.uncertain.clone();
        let mut documents = Documents::new(self.source, self.dir, state, None)?;
        let mut evidences = Evidences::new(places, state, &uncertain, doubtful_max);
        let mut later = state.later.iter().peekable();
        let mut newest = documents.next()?;
        let mut evidence = evidences.next()?;
        loop {
            let keys = [
                newest.as_ref().map(|newest| newest.key),
                evidence.as_ref().map(|(key, _)| *key),
                later.peek().map(|(key, _)| **key),
            ];
            let Some(key) = keys.into_iter().flatten().min() else {
                return Ok(());
            };
            let mut proven = None;
            let mut doubts = Vec::new();
            if let Some(found) = newest.take_if(|newest| newest.key == key) {
                newest = documents.next()?;
                if found.is_certain {
                    proven = Some(found);
                } else {
                    doubts.push(self.unsure(found));
                }
            }
            if let Some((_, found)) = evidence.take_if(|(at, _)| *at == key) {
                evidence = evidences.next()?;
                doubts.push(Doubt {
                    version: found.version,
                    body: found.pointer.map_or(Where::Deleted, Where::Stored),
                    why: "a file has it, and what the index says of it is damaged or missing",
                    file: found.file.to_path_buf(),
                    offset: found.offset,
                });
            }
            if let Some((_, found)) = later.next_if(|(at, _)| **at == key) {
                doubts.push(behind(found));
            }
            if let Some(drop) = state.later_drops.get(&key.collection) {
                doubts.push(behind(drop));
            }
            // Of equal ones the index's own.
            let best = doubts.into_iter().rev().max_by_key(|doubt| doubt.version);
            let known = proven.as_ref().map_or(0, |proven| proven.version);
            let best = best.filter(|doubt| doubt.version > known || proven.is_none());
            self.decide(new, key, proven, best)?;
        }
    }

    fn unsure(&self, found: Newest) -> Doubt {
        let (file, offset) = match &found.body {
            Where::Stored(pointer) => (self.files.path(pointer.file), pointer.offset),
            _ => (self.dir.to_path_buf(), 0),
        };
        Doubt {
            version: found.version,
            body: found.body,
            why: "a newer version may be in a part of the index that does not verify",
            file,
            offset,
        }
    }

    fn decide(
        &mut self,
        new: &mut NewDatabase,
        key: Key,
        proven: Option<Newest>,
        doubt: Option<Doubt>,
    ) -> Result<()> {
        let proven = proven.filter(|proven| !matches!(proven.body, Where::Deleted));
        let Some(doubt) = doubt else {
            return match proven {
                Some(proven) => self.proven(new, proven),
                None => Ok(()),
            };
        };
        self.highest_version = self.highest_version.max(doubt.version);
        let name = self.state.name(key.collection);
        let body = match &doubt.body {
            Where::Logged(body) => Some(Arc::clone(body)),
            Where::Stored(pointer) => match self.read(key, doubt.version, *pointer)? {
                Ok(body) => Some(body),
                Err(why) => {
                    self.lost(key, doubt.version, *pointer, &why)?;
                    return match proven {
                        Some(proven) => self.proven(new, proven),
                        None => Ok(()),
                    };
                }
            },
            Where::Deleted => None,
        };
        // Nothing says that there was anything to delete.
        if body.is_none() && proven.is_none() {
            return Ok(());
        }
        let is_included = self.include_doubtful || body.is_none();
        self.report.doubtful += 1;
        self.log.doubtful(&DoubtfulDocument {
            collection: &name,
            id: key.id,
            version: doubt.version,
            body: body.as_deref(),
            why: doubt.why,
            file: &doubt.file,
            offset: doubt.offset,
            is_included,
        })?;
        match (body, proven) {
            (Some(body), _) if self.include_doubtful => {
                // A frame that does not say its version gets one above all others.
                let version = match doubt.version {
                    0 => {
                        self.highest_version += 1;
                        self.highest_version
                    }
                    version => version,
                };
                self.push(new, key, version, &body)
            }
            (Some(_), Some(proven)) => self.proven(new, proven),
            (Some(_), None) | (None, _) => Ok(()),
        }
    }

    fn proven(&mut self, new: &mut NewDatabase, newest: Newest) -> Result<()> {
        let Newest { key, version, .. } = newest;
        match newest.body {
            Where::Deleted => Ok(()),
            Where::Logged(body) => self.push(new, key, version, &body),
            Where::Stored(pointer) => match self.read(key, version, pointer)? {
                Ok(body) => self.push(new, key, version, &body),
                Err(why) => self.copied(new, key, version, pointer, &why),
            },
        }
    }

    fn copied(
        &mut self,
        new: &mut NewDatabase,
        key: Key,
        version: u64,
        pointer: FilePtr,
        why: &str,
    ) -> Result<()> {
        let wanted = self.wanted.get(&key).filter(|w| w.version == version);
        let mut body = self.logged.get(&key).filter(|_| wanted.is_some()).cloned();
        if body.is_none()
            && let Some(copy) = wanted.and_then(|wanted| wanted.copy)
        {
            body = self.read(key, version, copy)?.ok();
        }
        match body {
            Some(body) => {
                self.report.from_copies += 1;
                self.push(new, key, version, &body)
            }
            None => self.lost(key, version, pointer, why),
        }
    }

    fn lost(&mut self, key: Key, version: u64, pointer: FilePtr, why: &str) -> Result<()> {
        self.report.lost += 1;
        let name = self.state.name(key.collection);
        let file = self.files.path(pointer.file);
        self.log.lost(&LostDocument {
            collection: &name,
            id: key.id,
            version,
            file: &file,
            offset: pointer.offset,
            why,
            older_version: self.wanted.get(&key).and_then(|wanted| wanted.older),
        })
    }

    fn push(&mut self, new: &mut NewDatabase, key: Key, version: u64, body: &[u8]) -> Result<()> {
        self.report.documents += 1;
        self.highest_version = self.highest_version.max(version);
        self.collections.insert(key.collection);
        new.push(key, version, body)
    }

    /// The new database's collections, and the number that the next one gets.
    fn collections(&self) -> (Vec<CollectionEntry>, u32) {
        let mut numbers: BTreeSet<u32> = self.state.collections.keys().copied().collect();
        numbers.extend(&self.collections);
        let mut taken = BTreeSet::new();
        let entries = numbers.iter().map(|&id| {
            let known = self.state.collections.get(&id);
            let mut name = self.state.name(id);
            while !taken.insert(name.clone()) {
                name.push('\'');
            }
            CollectionEntry {
                id,
                created_ts: known.map_or(0, |known| known.created),
                documents: 0,
                highest_id: known.and_then(|known| known.highest_id),
                name,
            }
        });
        let entries: Vec<_> = entries.collect();
        let later = self.state.later_names.keys().max();
        let highest = numbers.last().max(later).copied().unwrap_or(0);
        let next = self.state.next_collection.max(highest.saturating_add(1));
        (entries, next)
    }
}

fn behind(later: &Later) -> Doubt {
    Doubt {
        version: later.change.version,
        body: later.change.body.clone(),
        why: "its record stands behind damage in the log",
        file: later.path.to_path_buf(),
        offset: later.offset,
    }
}
