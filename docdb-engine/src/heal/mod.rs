//! Healing: finding what is damaged, and restoring it from an intact copy.
//!
//! Damage is found by the scrub, by a read, by a compaction, and by `heal` and `heal_all`. A damaged
//! document has its bytes looked for in the [`sources`]: only exactly its version counts, which is the
//! number of the log record that wrote it, and only what verifies by a checksum. What is found is
//! [written anew](crate::upkeep) under the same version, as a compaction does, and only if the document
//! has not been superseded, deleted or dropped meanwhile: so nothing older and nothing deleted comes
//! back. What is nowhere to be found is `Corrupt` for that document alone.
//!
//! A reader that meets damage looks for a copy by itself, which it is given, and leaves the restoring
//! to maintenance. What is known to be lost is not looked for again by readers, nor for a while what a
//! reader has just looked for in vain; if so much is lost that not all of it is remembered, readers do
//! not look for anything.
//!
//! Locks: `scrub` before all others of the database; the others after all of them, and never
//! held during I/O.

mod damage;
mod demand;
mod pace;
mod report;
mod restore;
mod scrub;
mod sources;
mod stats;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use docdb_datafile::{DataFileError, FrameId};
use docdb_index::{Key, ReadMode};
use docdb_mvcc::CommitTs;
use parking_lot::Mutex;

use crate::db::Inner;
use crate::error::Result;
use crate::ops::Ready;
use crate::pointer::DocPtr;

pub use demand::{HealOptions, HealOutcome, HealProgress, HealReport, UnhealableDocument};
pub use pace::ScrubPace;
pub use report::{DamageFound, OnDamage};
use restore::How;
use scrub::Scrub;
use sources::Effort;
use stats::Counters;
pub use stats::HealStats;
use walk::Target;

/// Most documents that wait to be restored by maintenance. More are found again by the next read or
/// scrub.
const QUEUE_MAX: usize = 1024;
/// Most documents that are known to be damaged without an intact copy.
const LOST_MAX: usize = 65_536;
/// Most versions that readers have looked for in vain, and how long that counts.
const MISSED_MAX: usize = 4096;
const MISSED_FOR: Duration = Duration::from_secs(10);
/// Most damaged places that are known, so that they are counted once.
const PLACES_KNOWN_MAX: usize = 4096;
/// Most documents that are restored at a time: each time all of the log may be gone through.
const BATCH_DOCUMENTS: usize = 8192;
/// After a restoring that failed the next is tried when this has passed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A document's version whose bytes are damaged where the runs say that they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) key: Key,
    pub(crate) ts: CommitTs,
    pub(crate) pointer: DocPtr,
}

impl Wanted {
    pub(crate) fn frame(&self) -> FrameId {
        FrameId {
            collection: self.key.collection,
            id: self.key.id,
            version: self.ts.0,
        }
    }
}

/// What healing goes on from.
#[derive(Debug, Default)]
pub(crate) struct Healing {
    scrub: Mutex<Scrub>,
    /// When the scrub has something to do, in nanoseconds of the clock plus 1; 0 if never.
    scrub_due: AtomicU64,
    /// Documents that readers have found damaged, for maintenance to restore.
    queue: Mutex<BTreeMap<Key, Wanted>>,
    /// When `queue` is looked at, as `scrub_due`.
    queue_due: AtomicU64,
    /// Damaged documents of which no copy was found.
    lost: Mutex<BTreeMap<Key, Wanted>>,
    missed: Mutex<Missed>,
    /// Data files in which compactions have found damage.
    suspects: Mutex<BTreeSet<u32>>,
    /// What is damaged besides documents.
    places: Mutex<BTreeSet<(Target, u64)>>,
    /// Used if the options name no other.
    pace: ScrubPace,
    /// Held by a `heal_all`.
    all: Mutex<()>,
    counters: Counters,
}

fn due_of(nanos: &AtomicU64) -> Option<Duration> {
    match nanos.load(Ordering::Acquire) {
        0 => None,
        nanos => Some(Duration::from_nanos(nanos - 1)),
    }
}

fn set_due(nanos: &AtomicU64, at: Option<Duration>) {
    let at = at.map_or(0, |at| (at.as_nanos() as u64).saturating_add(1));
    nanos.store(at, Ordering::Release);
}

impl Healing {
    /// When maintenance has something to do for it.
    pub(crate) fn due(&self) -> Option<Duration> {
        let dues = [due_of(&self.scrub_due), due_of(&self.queue_due)];
        dues.into_iter().flatten().min()
    }

    /// Whether readers are not to look for a copy.
    fn is_given_up(&self, wanted: &Wanted, now: Duration) -> bool {
        let lost = self.lost.lock();
        if lost.len() >= LOST_MAX || lost.get(&wanted.key) == Some(wanted) {
            return true;
        }
        drop(lost);
        self.missed.lock().has(wanted, now)
    }
}

/// Versions of which readers found no copy. Maintenance, which looks further, may not get to them: the
/// disk is full, or the database poisoned, or it is an old version that only a snapshot needs.
#[derive(Debug, Default)]
struct Missed {
    /// When the first of them was looked for.
    since: Duration,
    versions: BTreeMap<(Key, CommitTs), DocPtr>,
}

impl Missed {
    fn has(&mut self, wanted: &Wanted, now: Duration) -> bool {
        if now.saturating_sub(self.since) >= MISSED_FOR {
            self.versions.clear();
        }
        self.versions.get(&(wanted.key, wanted.ts)) == Some(&wanted.pointer)
    }

    fn note(&mut self, wanted: &Wanted, now: Duration) {
        if self.versions.len() >= MISSED_MAX {
            self.versions.clear();
        }
        if self.versions.is_empty() {
            self.since = now;
        }
        self.versions
            .insert((wanted.key, wanted.ts), wanted.pointer);
    }
}

/// Whether what lies there is lost, rather than out of reach for the moment.
pub(crate) fn is_damage(error: &DataFileError) -> bool {
    match error {
        DataFileError::Corrupt { .. } => true,
        DataFileError::Io(io) => io.is_device_error(),
        _ => false,
    }
}

impl Inner {
    /// The bytes of a version that a reader found damaged, from a copy; else what the reader found.
    #[cold]
    pub(crate) fn rescue(
        &self,
        wanted: Wanted,
        error: DataFileError,
        mode: ReadMode,
    ) -> Result<Ready<Arc<[u8]>>> {
        let healing = &self.healing;
        if !is_damage(&error) || healing.is_given_up(&wanted, self.vfs.now()) {
            return Err(error.into());
        }
        if mode == ReadMode::NoWait {
            return Ok(Ready::WouldBlock);
        }
        self.note_damaged(wanted);
        match self.copy_of(&wanted, Effort::OfReader)? {
            Some(body) => {
                healing.counters.rescued.fetch_add(1, Ordering::Relaxed);
                Ok(Ready::Now(body))
            }
            None => {
                healing.missed.lock().note(&wanted, self.vfs.now());
                Err(error.into())
            }
        }
    }

    /// Has maintenance restore a document.
    fn note_damaged(&self, wanted: Wanted) {
        let healing = &self.healing;
        {
            let mut queue = healing.queue.lock();
            if queue.get(&wanted.key) == Some(&wanted) || queue.len() >= QUEUE_MAX {
                return;
            }
            queue.insert(wanted.key, wanted);
        }
        set_due(&healing.queue_due, Some(self.vfs.now()));
        self.request_maintenance();
    }

    /// Restores what readers have found damaged; whether there was anything.
    pub(crate) fn heal_queued_if_due(&self) -> Result<bool> {
        let now = self.vfs.now();
        if due_of(&self.healing.queue_due).is_none_or(|due| due > now) {
            return Ok(false);
        }
        let batch: Vec<Wanted> = {
            let queue = self.healing.queue.lock();
            queue.values().copied().take(BATCH_DOCUMENTS).collect()
        };
        if let Err(error) = self.heal_batch(&batch, How::InBackground) {
            set_due(&self.healing.queue_due, Some(now + RETRY_AFTER));
            return Err(error);
        }
        let mut queue = self.healing.queue.lock();
        for wanted in &batch {
            if queue.get(&wanted.key) == Some(wanted) {
                queue.remove(&wanted.key);
            }
        }
        set_due(&self.healing.queue_due, (!queue.is_empty()).then_some(now));
        Ok(!batch.is_empty())
    }
}
