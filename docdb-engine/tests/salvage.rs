//! `salvage` of databases of which any byte is damaged: everything comes over but what stood there, what
//! was deleted does not come back, whatever cannot be proven is told of, and the source stays as it is.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use common::model::State;
use common::offline::{Life, bulk, closed, damaged, keeping, killed};
use common::{dir, dump, open, options};
use docdb_engine::offline::{
    self, CheckOptions, DoubtfulDocument, Finding, LostDocument, Observer, SalvageLog,
    SalvageOptions, SalvageReport,
};
use docdb_engine::vfs::sim::{CrashPolicy, SimVfs};
use docdb_engine::vfs::{DirLock, IoError, IoOp, OpenMode, Vfs, VfsFile};
use docdb_engine::{Db, ManualDriver, Result, WriteOp};

const NEW: &str = "/data/new";

#[derive(Default)]
struct Findings(Mutex<Vec<Finding>>);

impl Observer for Findings {
    fn finding(&self, finding: Finding) {
        self.0.lock().unwrap().push(finding);
    }
}

#[derive(Debug)]
struct Doubtful {
    collection: String,
    id: u64,
    version: u64,
    body: Option<Vec<u8>>,
    is_included: bool,
}

#[derive(Default, Debug)]
struct Log {
    lost: Vec<(String, u64, u64)>,
    doubtful: Vec<Doubtful>,
}

impl SalvageLog for Log {
    fn lost(&mut self, document: &LostDocument<'_>) -> Result<()> {
        let collection = document.collection.to_owned();
        self.lost.push((collection, document.id, document.version));
        Ok(())
    }

    fn doubtful(&mut self, document: &DoubtfulDocument<'_>) -> Result<()> {
        self.doubtful.push(Doubtful {
            collection: document.collection.to_owned(),
            id: document.id,
            version: document.version,
            body: document.body.map(<[u8]>::to_vec),
            is_included: document.is_included,
        });
        Ok(())
    }
}

struct Salvaged {
    report: SalvageReport,
    log: Log,
    state: State,
    findings: Vec<Finding>,
    vfs: SimVfs,
}

fn source_files(vfs: &SimVfs) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = vfs
        .files()
        .into_iter()
        .filter(|path| path.starts_with(dir()));
    files
        .map(|path| (path.clone(), vfs.read_file(&path).unwrap()))
        .collect()
}

fn open_new(vfs: &SimVfs) -> Db {
    let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
    Db::open_manual(shared, Path::new(NEW), options(), Arc::new(ManualDriver)).unwrap()
}

/// Salvages on a copy of the disk, opens the new database, and looks at all of it.
fn salvage(vfs: &SimVfs, include_doubtful: bool, what: &str) -> Salvaged {
    let vfs = vfs.fork_crash(&CrashPolicy::KeepAll);
    let before = source_files(&vfs);
    let mut how = SalvageOptions::default();
    how.include_doubtful = include_doubtful;
    let (observer, mut log) = (Findings::default(), Log::default());
    let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
    let outcome = offline::salvage(&shared, dir(), Path::new(NEW), &how, &observer, &mut log);
    let report = outcome.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(source_files(&vfs), before, "{what}: the source has changed");
    assert_eq!(report.lost, log.lost.len() as u64);
    assert_eq!(report.doubtful, log.doubtful.len() as u64);
    let checker = Findings::default();
    let checked = offline::check(&shared, Path::new(NEW), &CheckOptions::default(), &checker);
    let found = checker.0.into_inner().unwrap();
    assert_eq!(checked.unwrap().damages, 0, "{what}: {found:#?}");
    // What was salvaged survives a loss of power at once.
    let opened = open_new(&vfs.fork_crash(&CrashPolicy::KeepNone));
    let state = dump(&opened).unwrap();
    let documents: usize = state.collections.values().map(|c| c.documents.len()).sum();
    assert_eq!(report.documents, documents as u64);
    Salvaged {
        report,
        log,
        state,
        findings: observer.0.into_inner().unwrap(),
        vfs,
    }
}

type Document = (String, u64, u64, Vec<u8>);

fn documents(state: &State) -> Vec<Document> {
    let mut all = Vec::new();
    for (name, collection) in &state.collections {
        for (id, (version, body)) in &collection.documents {
            all.push((name.clone(), *id, *version, body.clone()));
        }
    }
    all
}

fn holds(state: &State, (name, id, version, body): &Document) -> bool {
    let document = state
        .collections
        .get(name)
        .and_then(|c| c.documents.get(id));
    document.is_some_and(|(v, b)| (v, b) == (version, body))
}

#[test]
fn what_is_whole_comes_over_whole() {
    for life in [closed(), killed(), bulk(), keeping()] {
        let salvaged = salvage(&life.vfs, false, "whole");
        assert_eq!(&salvaged.state, life.last());
        assert!(salvaged.report.is_whole, "{:?}", salvaged.findings);
        assert_eq!(salvaged.report.damages, 0);
        assert_eq!(
            Some(&salvaged.report.version),
            life.states.last_key_value().map(|(version, _)| version)
        );
        // New commits go on above all old versions.
        let db = open_new(&salvaged.vfs);
        let op = WriteOp::upsert("_default", 77, b"77");
        let version = db.submit(&[op]).wait().unwrap().version;
        assert!(version > salvaged.report.version);
        db.close().unwrap();
    }
}

#[derive(Default, Debug)]
struct Seen {
    whole: usize,
    lost: usize,
    copied: usize,
    doubtful: usize,
    earlier: usize,
}

/// Damages a file at many places, and judges what comes over.
fn flip_all(life: &Life, stride: u64, wanted: impl Fn(&str) -> bool) -> Seen {
    let mut seen = Seen::default();
    for (path, contents) in source_files(&life.vfs) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !wanted(&name) {
            continue;
        }
        let length = contents.len() as u64;
        let mut offset = 0;
        while offset < length {
            life.vfs
                .flip_bit(&path, offset, (offset % 8) as u8)
                .unwrap();
            let what = format!("{name} at {offset}");
            let salvaged = salvage(&life.vfs, false, &what);
            judge(life, &salvaged, &name, &what, &mut seen);
            let included = salvage(&life.vfs, true, &what);
            judge_included(life, &included, &what);
            life.vfs
                .flip_bit(&path, offset, (offset % 8) as u8)
                .unwrap();
            let is_dense = name.starts_with("MANIFEST") && length < 300;
            offset += if is_dense || offset % 4096 < 128 {
                stride.div_ceil(16)
            } else {
                stride
            };
        }
    }
    seen
}

fn judge(life: &Life, salvaged: &Salvaged, name: &str, what: &str, seen: &mut Seen) {
    let Salvaged {
        report, log, state, ..
    } = salvaged;
    let what = format!("{what}: {report:?} {log:?}");
    let last = life.last();
    let at = life.states.get(&report.version);
    let at = at.unwrap_or_else(|| panic!("{what}: no such version"));
    // Everything is what was there at that version: nothing old, nothing deleted, nothing invented.
    for document in documents(state) {
        assert!(holds(at, &document), "{what}: {document:?} came");
    }
    let is_named = |document: &Document| {
        let (collection, id, version, body) = document;
        // Without a manifest names are not known.
        let is_same = |name: &String| name == collection || name.starts_with("collection-");
        log.lost
            .iter()
            .any(|lost| *lost == (collection.clone(), *id, *version))
            || log.doubtful.iter().any(|doubtful| {
                doubtful.id == *id
                    && is_same(&doubtful.collection)
                    && (doubtful.version == *version || doubtful.version == 0)
                    && doubtful.body.as_ref() == Some(body)
            })
    };
    let missing: Vec<_> = documents(last)
        .into_iter()
        .filter(|document| !holds(state, document))
        .collect();
    let is_damaged_log = name.ends_with(".wal");
    for document in &missing {
        let may_be_unnamed = is_damaged_log && document.2 > report.version;
        assert!(
            is_named(document) || may_be_unnamed,
            "{what}: {document:?} is gone silently"
        );
    }
    if state != last && report.is_whole {
        // What nobody can tell from a torn tail, a recovery cuts as well.
        let recovered = open(&salvaged.vfs).map(|db| dump(&db).unwrap());
        assert_eq!(&recovered.unwrap(), state, "{what}: said to be whole");
    }
    if name.starts_with("data-") {
        // Only what stood there.
        assert_eq!(missing.len(), log.lost.len(), "{what}");
        assert!(log.lost.len() <= 1 && log.doubtful.is_empty(), "{what}");
    } else if name.starts_with("run-") {
        assert!(log.lost.is_empty(), "{what}");
    }
    seen.whole += usize::from(report.is_whole);
    seen.lost += usize::from(report.lost > 0);
    seen.copied += usize::from(report.from_copies > 0);
    seen.doubtful += usize::from(report.doubtful > 0);
    seen.earlier += usize::from(at != last);
}

/// With what is doubtful included, everything that verifies is there, and nothing that never was.
fn judge_included(life: &Life, included: &Salvaged, what: &str) {
    let log = &included.log;
    assert!(log.doubtful.iter().all(|doubtful| doubtful.is_included));
    let every = || life.states.values().flat_map(documents);
    for document in documents(&included.state) {
        let was = |d: Document| (&d.1, &d.3) == (&document.1, &document.3);
        assert!(every().any(was), "{what}: {document:?} never was");
    }
}

#[test]
fn flips_in_data_files() {
    let is_data = |name: &str| name.starts_with("data-");
    let seen = flip_all(&closed(), 61, is_data);
    assert!(
        seen.lost > 5 && seen.whole > 5 && seen.doubtful == 0,
        "{seen:?}"
    );
    let seen = flip_all(&bulk(), 211, is_data);
    assert!(seen.lost > 5, "{seen:?}");
    // Earlier checkpoints and the log have copies.
    let seen = flip_all(&keeping(), 211, is_data);
    assert!(seen.copied > 5, "{seen:?}");
}

#[test]
fn flips_in_runs() {
    let is_run = |name: &str| name.starts_with("run-");
    for life in [closed(), killed(), keeping()] {
        let seen = flip_all(&life, 211, is_run);
        assert!(seen.whole > 5 && seen.lost == 0, "{seen:?}");
    }
}

#[test]
fn flips_in_manifests() {
    let is_manifest = |name: &str| name.starts_with("MANIFEST");
    for life in [closed(), killed(), bulk(), keeping()] {
        flip_all(&life, 31, is_manifest);
    }
}

#[test]
fn flips_in_the_log() {
    let is_log = |name: &str| name.ends_with(".wal");
    for life in [killed(), bulk()] {
        let seen = flip_all(&life, 97, is_log);
        assert!(seen.earlier > 5 && seen.whole > 5, "{seen:?}");
    }
}

#[test]
fn files_that_are_gone() {
    for life in [closed(), killed(), bulk(), keeping()] {
        for (path, contents) in source_files(&life.vfs) {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            for (what, contents) in [
                ("gone", None),
                ("empty", Some(Vec::new())),
                ("halved", Some(contents[..contents.len() / 2].to_vec())),
                ("zeroed", Some(vec![0; contents.len()])),
            ] {
                let vfs = damaged(&life.vfs, &path, contents.as_deref().unwrap_or(&[]));
                if contents.is_none() {
                    vfs.remove(&path).unwrap();
                }
                let what = format!("{name} {what}");
                let salvaged = salvage(&vfs, false, &what);
                for document in documents(&salvaged.state) {
                    let at = life.states.get(&salvaged.report.version);
                    let at = at.unwrap_or_else(|| panic!("{what}: {:?}", salvaged.report));
                    assert!(holds(at, &document), "{what}: {document:?}");
                }
                if &salvaged.state != life.last() && !name.ends_with(".wal") {
                    assert!(!salvaged.report.is_whole, "{what}");
                }
            }
        }
    }
}

/// Many documents in one run, then deletions in a newer one.
fn with_deletions() -> (SimVfs, State, State) {
    let vfs = common::disk();
    let db = common::create(&vfs).unwrap();
    let bodies: Vec<String> = (0..600).map(|id| format!("{{\"id\":{id}}}")).collect();
    for (id, body) in (0..).zip(&bodies) {
        drop(db.submit(&[WriteOp::create("_default", id, body.as_bytes())]));
    }
    db.wal().sync().unwrap();
    db.checkpoint().unwrap();
    let full = documents_of(&db);
    for id in (0..600).step_by(3) {
        drop(db.submit(&[WriteOp::delete("_default", id)]));
    }
    db.wal().sync().unwrap();
    db.checkpoint().unwrap();
    let state = documents_of(&db);
    db.close().unwrap();
    (vfs, full, state)
}

/// What is there, without looking at it in every way.
fn documents_of(db: &Db) -> State {
    let mut state = State::new();
    let all = common::scan_all(db, &common::in_collection("_default")).unwrap();
    let collection = state.collections.get_mut("_default").unwrap();
    collection.documents = all.into_iter().map(|(id, v, b)| (id, (v, b))).collect();
    state
}

fn salvaged_documents(vfs: &SimVfs) -> State {
    documents_of(&open_new(vfs))
}

/// The page of the newer run that holds deletions is damaged: what was deleted may still be in the data
/// file, and does not come back unless that is asked for.
#[test]
fn what_was_deleted_comes_back_only_on_request() {
    let (vfs, full, state) = with_deletions();
    let runs: Vec<_> = source_files(&vfs).into_keys().collect();
    let is_run = |path: &&PathBuf| path.extension().is_some_and(|e| e == "idx");
    let newest = runs.iter().rfind(is_run).unwrap();
    // Its second data block.
    vfs.flip_bit(newest, 2 * 4096 + 100, 0).unwrap();
    let salvaged = salvage_only(&vfs, |_| {});
    for document in documents(&salvaged.state) {
        assert!(holds(&state, &document), "{document:?} came back");
    }
    let log = &salvaged.log;
    assert!(!log.doubtful.is_empty() && !salvaged.report.is_whole);
    // Everything else is there: a run's page covers some of the ids.
    let missing = documents(&state).len() - documents(&salvaged.state).len();
    let doubtful = |document: &Document| log.doubtful.iter().any(|d| d.id == document.1);
    assert!(
        documents(&state)
            .iter()
            .all(|d| holds(&salvaged.state, d) || doubtful(d))
    );
    assert!((1..=250).contains(&missing), "{missing}");
    // With very little memory it is the same.
    let small = salvage_only(&vfs, |options| options.doubtful_max = 7);
    assert_eq!(small.state, salvaged.state);
    let ids = |log: &Log| {
        log.doubtful
            .iter()
            .map(|d| (d.id, d.version))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&small.log), ids(log));
    // On request everything that stands anywhere comes.
    let included = salvage_only(&vfs, |options| options.include_doubtful = true);
    for document in documents(&state) {
        assert!(holds(&included.state, &document), "{document:?}");
    }
    for document in documents(&included.state) {
        assert!(holds(&full, &document), "{document:?}");
    }
}

/// As [`salvage`], for more documents than can be looked at in every way.
fn salvage_only(vfs: &SimVfs, set: impl Fn(&mut SalvageOptions)) -> Salvaged {
    let vfs = vfs.fork_crash(&CrashPolicy::KeepAll);
    let mut how = SalvageOptions::default();
    set(&mut how);
    let (observer, mut log) = (Findings::default(), Log::default());
    let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
    let outcome = offline::salvage(&shared, dir(), Path::new(NEW), &how, &observer, &mut log);
    Salvaged {
        report: outcome.unwrap(),
        log,
        state: salvaged_documents(&vfs),
        findings: observer.0.into_inner().unwrap(),
        vfs,
    }
}

/// Behind a hole in the log stands the deletion of one document and a new version of another.
#[test]
fn what_stands_behind_a_hole_in_the_log() {
    let vfs = common::disk();
    let db = common::create(&vfs).unwrap();
    let write = |op: WriteOp<'_>| db.submit(&[op]).wait().unwrap().version;
    write(WriteOp::create("_default", 1, b"1"));
    write(WriteOp::create("_default", 2, b"2"));
    let before = write(WriteOp::create("_default", 3, b"3"));
    write(WriteOp::create("_default", 4, b"\"lost in the hole\""));
    write(WriteOp::delete("_default", 1));
    let updated = write(WriteOp::update("_default", 2, b"22"));
    write(WriteOp::create("_default", 5, b"5"));
    drop(db);
    let vfs = vfs.fork_crash(&CrashPolicy::KeepAll);
    let is_log = |path: &PathBuf| path.extension().is_some_and(|e| e == "wal");
    let (path, contents) = source_files(&vfs)
        .into_iter()
        .rfind(|(path, _)| is_log(path))
        .unwrap();
    let mut windows = contents.windows(18);
    let at = windows.position(|w| w == b"\"lost in the hole\"").unwrap();
    vfs.flip_bit(&path, at as u64, 0).unwrap();

    let salvaged = salvage(&vfs, false, "hole");
    assert_eq!(salvaged.report.version, before);
    let collection = &salvaged.state.collections["_default"];
    // Not 1, which is known to be deleted; 2 as it was before the hole.
    let ids: Vec<_> = collection.documents.keys().copied().collect();
    assert_eq!(ids, [2, 3]);
    assert_eq!(collection.documents[&2].1, b"2");
    let told = salvaged
        .log
        .doubtful
        .iter()
        .map(|d| (d.id, d.body.is_some(), d.is_included));
    let told: Vec<_> = told.collect();
    assert_eq!(told, [(1, false, true), (2, true, false), (5, true, false)]);

    let included = salvage(&vfs, true, "hole");
    let collection = &included.state.collections["_default"];
    let ids: Vec<_> = collection.documents.keys().copied().collect();
    assert_eq!(ids, [2, 3, 5]);
    assert_eq!(collection.documents[&2], (updated, b"22".to_vec()));
}

/// A device that gives no bytes of a sector is as bad as one that gives wrong ones, and no worse.
#[test]
fn sectors_that_cannot_be_read() {
    let life = closed();
    let shared: Arc<dyn Vfs> = Arc::new(Unreadable(life.vfs.clone()));
    let (observer, mut log) = (Findings::default(), Log::default());
    let how = SalvageOptions::default();
    let outcome = offline::salvage(&shared, dir(), Path::new(NEW), &how, &observer, &mut log);
    assert!(!outcome.unwrap().is_whole);
    assert_eq!(log.lost.len(), 1, "{log:?}");
    let findings = Findings::default();
    let report = offline::check(&shared, dir(), &CheckOptions::default(), &findings).unwrap();
    let findings = findings.0.into_inner().unwrap();
    let is_told = |f: &Finding| f.offset == Some(8192) && f.what.contains("device");
    assert!(findings.iter().any(is_told), "{findings:#?}");
    assert!(report.damages >= 2);
    let state = salvaged_documents(&life.vfs);
    let default = &state.collections["_default"];
    assert_eq!(default, &life.last().collections["_default"]);
}

/// Gives EIO for the third sector of the first data file.
#[derive(Debug)]
struct Unreadable(SimVfs);

#[derive(Debug)]
struct UnreadableFile(Arc<dyn VfsFile>, PathBuf);

impl UnreadableFile {
    fn check(&self, length: usize, offset: u64) -> docdb_engine::vfs::Result<()> {
        let bad = 8192..8192 + 512;
        if offset < bad.end && offset + length as u64 > bad.start {
            let error = std::io::Error::from_raw_os_error(5);
            return Err(IoError::at(IoOp::Read, &self.1, offset, error));
        }
        Ok(())
    }
}

impl VfsFile for UnreadableFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> docdb_engine::vfs::Result<usize> {
        self.check(buf.len(), offset)?;
        self.0.read_at(buf, offset)
    }
    fn read_at_nowait(&self, _: &mut [u8], _: u64) -> docdb_engine::vfs::Result<Option<usize>> {
        Ok(None)
    }
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> docdb_engine::vfs::Result<()> {
        self.check(buf.len(), offset)?;
        self.0.read_exact_at(buf, offset)
    }
    fn write_all_at(&self, _: &[u8], _: u64) -> docdb_engine::vfs::Result<()> {
        panic!("written to the source")
    }
    fn write_vectored_all_at(
        &self,
        _: &[std::io::IoSlice<'_>],
        _: u64,
    ) -> docdb_engine::vfs::Result<()> {
        panic!("written to the source")
    }
    fn sync_data(&self) -> docdb_engine::vfs::Result<()> {
        panic!("the source is synced")
    }
    fn len(&self) -> docdb_engine::vfs::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, _: u64) -> docdb_engine::vfs::Result<()> {
        panic!("the source is cut")
    }
    fn allocate(&self, _: u64) -> docdb_engine::vfs::Result<()> {
        panic!("the source grows")
    }
}

impl Vfs for Unreadable {
    fn open(&self, path: &Path, mode: OpenMode) -> docdb_engine::vfs::Result<Arc<dyn VfsFile>> {
        let file = self.0.open(path, mode)?;
        if path != dir().join("data-00000001.dat") {
            return Ok(file);
        }
        Ok(Arc::new(UnreadableFile(file, path.to_path_buf())))
    }
    fn create_dir(&self, path: &Path) -> docdb_engine::vfs::Result<()> {
        self.0.create_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> docdb_engine::vfs::Result<()> {
        self.0.sync_dir(path)
    }
    fn list(&self, path: &Path) -> docdb_engine::vfs::Result<Vec<String>> {
        self.0.list(path)
    }
    fn exists(&self, path: &Path) -> docdb_engine::vfs::Result<bool> {
        self.0.exists(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> docdb_engine::vfs::Result<()> {
        self.0.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> docdb_engine::vfs::Result<()> {
        self.0.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> docdb_engine::vfs::Result<()> {
        self.0.remove_dir(path)
    }
    fn lock_dir(&self, path: &Path) -> docdb_engine::vfs::Result<Box<dyn DirLock>> {
        self.0.lock_dir(path)
    }
    fn now(&self) -> std::time::Duration {
        self.0.now()
    }
    fn fill_random(&self, buf: &mut [u8]) {
        self.0.fill_random(buf);
    }
}
