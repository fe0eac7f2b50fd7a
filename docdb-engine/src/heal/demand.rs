//! Healing on demand: one document, or all there is.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use docdb_index::{Key, Lookup, Place, ReadMode};
use docdb_types::ErrorKind;
use parking_lot::Mutex;

use super::Wanted;
use super::damage::Damaged;
use super::restore::{Fate, How};
use super::walk::{PLACES_MAX, Part, Target, Walk};
use crate::db::{Db, Inner};
use crate::error::{Error, Result};

/// Bytes that a thread verifies between two looks at whether it is to go on.
const PART_BYTES: u64 = 1 << 20;
/// Threads that verify at a time, unless the options say otherwise.
const THREADS: usize = 4;
/// Most threads.
const THREADS_MAX: usize = 64;
/// How often a document is looked at that is written, or moved, meanwhile.
const TRIES: usize = 16;

/// What [`Db::heal`] found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum HealOutcome {
    /// The document verifies.
    Intact,
    /// It was damaged, and is restored durably.
    Healed,
    /// It is damaged and there is no intact copy of its version: `Corrupt`, naming file and offset.
    Unhealable(Error),
    /// There is no such document.
    NotFound,
}

/// How [`Db::heal_all`] goes about it.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct HealOptions<'a> {
    /// Threads that verify at a time, the caller's included; 4 by default, 64 at most. They end before
    /// the call does.
    pub threads: usize,
    /// Told how far it has come, about every MiB and from all the threads; answers whether to go on. It
    /// must not close the database.
    pub on_progress: Option<&'a (dyn Fn(HealProgress) -> bool + Sync)>,
}

impl Default for HealOptions<'_> {
    fn default() -> Self {
        HealOptions {
            threads: THREADS,
            on_progress: None,
        }
    }
}

impl fmt::Debug for HealOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealOptions")
            .field("threads", &self.threads)
            .field("on_progress", &self.on_progress.is_some())
            .finish()
    }
}

/// How far a [`Db::heal_all`] has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealProgress {
    /// Bytes of data files and index runs that are verified.
    pub done_bytes: u64,
    /// How many there were when it began.
    pub todo_bytes: u64,
}

/// A damaged document without an intact copy.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UnhealableDocument {
    /// Its collection.
    pub collection: String,
    /// Its id.
    pub id: u64,
    /// Its version.
    pub version: u64,
    /// Where it is damaged.
    pub error: Error,
}

/// What [`Db::heal_all`] found and did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct HealReport {
    /// Data files and index runs that were verified.
    pub files: u64,
    /// Bytes that were read, the log's included.
    pub bytes: u64,
    /// Documents that were damaged.
    pub found: u64,
    /// Those of them that are restored.
    pub healed: u64,
    /// Those of them of which there is no intact copy.
    pub unhealable: u64,
    /// The first 100 of these.
    pub unhealable_documents: Vec<UnhealableDocument>,
    /// Other damage, by file and offset, at most 100 places: pages of index runs, headers, the log.
    pub places: Vec<Error>,
    /// Pages of index entries among it, which cannot be restored.
    pub index_pages_damaged: u64,
    /// How long it took.
    pub time: Duration,
}

impl HealReport {
    /// Whether something is damaged that could not be restored.
    pub fn is_damaged(&self) -> bool {
        self.unhealable > 0 || self.index_pages_damaged > 0
    }
}

impl Db {
    /// Verifies a document as it is on the disk, and restores it if it is damaged and an intact copy of
    /// its current version is found.
    ///
    /// # Errors
    /// `CollectionNotFound`; `Corrupt` if the index is damaged where it tells of the document; `Io`,
    /// `DiskFull`, `Poisoned`, `Closed`.
    pub fn heal(&self, collection: &str, id: u64) -> Result<HealOutcome> {
        self.inner.heal(collection, id)
    }

    /// Verifies everything: data files, index runs and the log, with several threads and as fast as it
    /// goes; then restores the documents that are damaged. Readers, writers and checkpoints go on
    /// meanwhile. Takes a checkpoint first, so that all documents are in data files.
    ///
    /// # Errors
    /// `Busy` if one is under way; `Cancelled` if `on_progress` says so: what is restored by then is;
    /// those of [`Db::checkpoint`]. That something is damaged is no error: see
    /// [`HealReport::is_damaged`].
    pub fn heal_all(&self, options: &HealOptions<'_>) -> Result<HealReport> {
        self.inner.heal_all(options)
    }
}

impl Inner {
    fn heal(&self, collection: &str, id: u64) -> Result<HealOutcome> {
        for _ in 0..TRIES {
            self.check_open()?;
            let snapshot = self.snapshot();
            let key = Key::new(self.collections.id_at(collection, snapshot.ts())?, id);
            let version = match self.index.get(key, snapshot.ts(), ReadMode::Blocking)? {
                Lookup::Found(version) => version,
                Lookup::Absent => return Ok(HealOutcome::NotFound),
                Lookup::Pruned => continue,
            };
            let Place::Stored(pointer) = version.place else {
                return Ok(HealOutcome::Intact);
            };
            let wanted = Wanted {
                key,
                ts: version.ts,
                pointer,
            };
            if self.store.read(pointer.0, &wanted.frame()).is_ok() {
                return Ok(HealOutcome::Intact);
            }
            // The runs know the documents of large commits only then.
            if version.ts.0 > self.checkpoint_ts() {
                self.checkpoint()?;
                continue;
            }
            let fates = self.heal_batch(&[wanted], How::OnDemand)?;
            match fates.into_iter().next() {
                Some(Fate::Intact) => return Ok(HealOutcome::Intact),
                Some(Fate::Healed) => return Ok(HealOutcome::Healed),
                Some(Fate::Lost(error)) => return Ok(HealOutcome::Unhealable(error)),
                Some(Fate::Superseded) | None => {}
            }
        }
        Err(Error::new(
            ErrorKind::Busy,
            format!("document {id} of collection {collection:?} is written all the time"),
        ))
    }

    fn checkpoint_ts(&self) -> u64 {
        self.counters.checkpoint_ts.load(Ordering::Relaxed)
    }

    fn heal_all(&self, options: &HealOptions<'_>) -> Result<HealReport> {
        let Some(_one) = self.healing.all.try_lock() else {
            let what =
                "all of the database is being healed already; see its progress in heal_stats";
            return Err(Error::new(ErrorKind::Busy, what));
        };
        let started = self.vfs.now();
        let mut scrub = self.healing.scrub.lock();
        scrub.abandon();
        self.checkpoint()?;
        let targets = self.scrub_targets();
        let files = |(target, _): &&(Target, u64)| *target != Target::Log;
        let todo_bytes = targets.iter().filter(files).map(|(_, bytes)| bytes).sum();
        self.begin_scan(todo_bytes);
        let scan = Scan {
            inner: self,
            targets: Mutex::new(targets.iter().rev().map(|(target, _)| *target).collect()),
            todo_bytes,
            done_bytes: AtomicU64::new(0),
            read_bytes: AtomicU64::new(0),
            on_progress: options.on_progress,
            is_cancelled: AtomicBool::new(false),
            walks: Mutex::new(Vec::new()),
            failure: Mutex::new(None),
        };
        scan.run(options.threads.clamp(1, THREADS_MAX));
        let outcome = self.finish_heal_all(&scan, started);
        self.end_scan(outcome.is_ok());
        let report = outcome?;
        for walk in scan.walks.into_inner() {
            scrub.note_verified(walk.target, walk.at, started);
        }
        self.review_lost();
        Ok(report)
    }

    fn finish_heal_all(&self, scan: &Scan<'_>, started: Duration) -> Result<HealReport> {
        if let Some(error) = scan.failure.lock().take() {
            return Err(error);
        }
        if scan.is_cancelled.load(Ordering::Relaxed) {
            return Err(given_up());
        }
        let mut report = HealReport {
            bytes: scan.read_bytes.load(Ordering::Relaxed),
            ..HealReport::default()
        };
        let mut damaged = Damaged::new();
        for walk in scan.walks.lock().iter() {
            report.files += u64::from(walk.target != Target::Log);
            report.index_pages_damaged += walk.entries_damaged;
            let room = PLACES_MAX - report.places.len().min(PLACES_MAX);
            report.places.extend(walk.places.iter().take(room).cloned());
            if let (Target::Data(number), false) = (walk.target, walk.damage.is_empty()) {
                damaged.insert(number, walk.damage.clone());
            }
        }
        self.heal_damaged(&damaged, How::OnDemand, &mut |wanted, fate| {
            report.found += u64::from(matches!(fate, Fate::Healed | Fate::Lost(_)));
            report.healed += u64::from(matches!(fate, Fate::Healed));
            if let Fate::Lost(error) = fate {
                report.unhealable += 1;
                if report.unhealable_documents.len() < PLACES_MAX {
                    let collection = self.collections.by_id(wanted.key.collection);
                    report.unhealable_documents.push(UnhealableDocument {
                        collection: collection.map(|c| c.name.clone()).unwrap_or_default(),
                        id: wanted.key.id,
                        version: wanted.ts.0,
                        error: error.clone(),
                    });
                }
            }
            match scan.may_go_on() {
                true => Ok(()),
                false => Err(given_up()),
            }
        })?;
        report.time = self.vfs.now().saturating_sub(started);
        Ok(report)
    }
}

fn given_up() -> Error {
    Error::new(ErrorKind::Cancelled, "the scan was given up before its end")
}

/// A scan of everything by several threads.
struct Scan<'a> {
    inner: &'a Inner,
    /// What nobody has begun, the last first.
    targets: Mutex<Vec<Target>>,
    todo_bytes: u64,
    done_bytes: AtomicU64,
    read_bytes: AtomicU64,
    on_progress: Option<&'a (dyn Fn(HealProgress) -> bool + Sync)>,
    is_cancelled: AtomicBool,
    walks: Mutex<Vec<Walk>>,
    /// The first error of any thread.
    failure: Mutex<Option<Error>>,
}

impl Scan<'_> {
    fn run(&self, threads: usize) {
        std::thread::scope(|scope| {
            for n in 1..threads {
                let builder = std::thread::Builder::new().name(format!("docdb-heal-{n}"));
                // With fewer threads it takes longer.
                if builder.spawn_scoped(scope, || self.work()).is_err() {
                    break;
                }
            }
            self.work();
        });
    }

    fn work(&self) {
        loop {
            let Some(target) = self.targets.lock().pop() else {
                return;
            };
            let mut walk = Walk::new(target, 0);
            loop {
                if self.is_cancelled.load(Ordering::Relaxed) {
                    return;
                }
                match self.inner.walk_on(&mut walk, PART_BYTES) {
                    Ok(Part { bytes, is_end }) => {
                        self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
                        if target != Target::Log {
                            self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
                        }
                        if !self.may_go_on() {
                            return self.is_cancelled.store(true, Ordering::Relaxed);
                        }
                        if is_end {
                            break;
                        }
                    }
                    Err(error) => {
                        self.failure.lock().get_or_insert(error);
                        return self.is_cancelled.store(true, Ordering::Relaxed);
                    }
                }
            }
            self.walks.lock().push(walk);
        }
    }

    fn may_go_on(&self) -> bool {
        let done_bytes = self.done_bytes.load(Ordering::Relaxed);
        let progress = HealProgress {
            done_bytes: done_bytes.min(self.todo_bytes),
            todo_bytes: self.todo_bytes,
        };
        self.on_progress.is_none_or(|tell| tell(progress))
    }
}
