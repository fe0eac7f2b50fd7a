//! Verifies all of a database that is not open, and changes nothing.
//!
//! Everything that has a checksum is read, in large steps: the manifests, every page of the runs, every
//! frame of the data files, every group of the log, also of the segments and checkpoints that are only
//! kept. Then what they say of one another: order and number of entries, that every pointer leads to
//! the frame that it means, numbers of documents, live bytes, that the log goes on from the checkpoint
//! without a hole, that its records can be applied.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use docdb_vfs::Vfs;

use super::check_log::check_log;
use super::files::{self, Manifests, named_data_files};
use super::finding::{Finding, Findings, Observer, Progress};
use super::references::{FrameCheck, Gathered, REFERENCES_MAX, Reference};
use super::source::Source;
use super::winners::Winners;
use crate::error::Result;
use crate::manifest::{MANIFEST, Manifest};
use crate::open::lock_database;
use crate::pointer::DocPtr;

/// How a check is made. Start from [`CheckOptions::default`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckOptions {
    /// Is told how far it has got.
    pub progress: Progress,
    /// Threads that read data files, the caller's included; they end with the check.
    pub threads: usize,
    /// Whether every document in the data files is checked to be JSON, too. It was before it was
    /// written, and its checksum says that it is what was written, so only a fault of the program or
    /// of its memory can show.
    pub documents: bool,
    /// Most pointers that are kept in memory at a time, 40 bytes each, unless a single data file has
    /// more. With more of them the index is read as often as is needed.
    pub pointers_max: usize,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self {
            progress: Progress::default(),
            threads: 1,
            documents: false,
            pointers_max: REFERENCES_MAX,
        }
    }
}

/// What a check saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// Documents in the checkpoint, as its runs have them.
    pub documents: u64,
    /// Frames of data files that verify.
    pub frames: u64,
    /// Records of the log that verify.
    pub log_records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Things that are damaged.
    pub damages: u64,
    /// Things worth knowing.
    pub notes: u64,
}

/// Verifies the database in `dir`, which nobody may have open; changes nothing, and locks the directory
/// meanwhile. Damage is no error: `observer` is told of all of it, and the report counts it.
///
/// Memory: 40 bytes for each document of as many data files as have
/// [`pointers_max`](CheckOptions::pointers_max) together, or of one that has more; 40 bytes for each
/// document of large commits since the checkpoint; 12 bytes for each page of the runs.
///
/// # Errors
/// `InUse`; `UnsupportedVersion`; `Io`, also if there is no such directory.
pub fn check(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    options: &CheckOptions,
    observer: &dyn Observer,
) -> Result<CheckReport> {
    let before = options.progress.bytes();
    let source = Source::new(Arc::clone(vfs), options.progress.clone());
    let _lock = lock_database(&source, dir)?;
    let findings = Findings::new(observer);
    let names = source.list(dir)?;
    let manifests = Manifests::read(&source, dir, &names, &findings)?;
    files::expect(&source, dir, &manifests, &options.progress);
    let log = check_log(&source, dir, manifests.newest.as_ref(), &findings)?;
    let data_files = named_data_files(manifests.all(), &log.bulk_files);
    files::note_unnamed(dir, &names, &manifests, &data_files, &findings);
    let mut gathered = Gathered::new(options.pointers_max);
    let mut documents = 0;
    // The runs of the newest manifest are told of once.
    let mut told = BTreeSet::new();
    for (i, manifest) in manifests.all().enumerate() {
        let is_newest = i == 0 && manifests.newest.is_some();
        let found = check_index(&source, dir, manifest, &findings, &told, &mut |reference| {
            gathered.add(reference);
        })?;
        told.extend(manifest.runs.iter().map(|entry| entry.number));
        if let Some(live) = found {
            check_counts(dir, manifest, &live, is_newest, &findings);
            if is_newest {
                documents = live.documents.values().map(|(count, _)| count).sum();
            }
        }
    }
    for reference in &log.references {
        gathered.add(*reference);
    }
    let check = FrameCheck {
        vfs: &source,
        dir,
        findings: &findings,
        names: &log.names,
        threads: options.threads,
        documents: options.documents,
        frames: AtomicU64::new(0),
    };
    check.run(&data_files, gathered, |give| {
        for manifest in manifests.all() {
            each_reference(&source, dir, manifest, give)?;
        }
        log.references.iter().copied().for_each(give);
        Ok(())
    })?;
    for (path, offset) in source.take_unreadable() {
        let what = "the device could not read it";
        findings.tell(Finding::damage(&path, offset, what));
    }
    Ok(CheckReport {
        documents,
        frames: check.frames.into_inner(),
        log_records: log.records,
        bytes: options.progress.bytes() - before,
        damages: findings.damages(),
        notes: findings.notes(),
    })
}

/// What the runs hold that is live.
#[derive(Default)]
struct Live {
    /// Of each collection how many documents, and the highest id.
    documents: BTreeMap<u32, (u64, u64)>,
    /// Of each data file the bytes.
    bytes: BTreeMap<u32, u64>,
}

/// Verifies the runs of a manifest; what is live, if they are whole.
fn check_index(
    vfs: &dyn Vfs,
    dir: &Path,
    manifest: &Manifest,
    findings: &Findings<'_>,
    told: &BTreeSet<u64>,
    refer: &mut dyn FnMut(Reference),
) -> Result<Option<Live>> {
    let collections: BTreeSet<u32> = manifest.collections.iter().map(|c| c.id).collect();
    let mut winners = Winners::new(vfs, dir, manifest, Some(findings), told)?;
    let mut live = Live::default();
    while let Some(winner) = winners.next()? {
        let entry = winner.entry;
        if entry.ts.0 > manifest.checkpoint_ts {
            let what = format!(
                "the index has version {} of document {}, which is above the checkpoint's",
                entry.ts, entry.key
            );
            findings.tell(Finding::damage(&dir.join(MANIFEST), None, what));
        }
        let Some(DocPtr(pointer)) = entry.pointer else {
            continue;
        };
        if !collections.contains(&entry.key.collection) || !winner.is_certain {
            continue;
        }
        let counts = live.documents.entry(entry.key.collection).or_default();
        *counts = (counts.0 + 1, entry.key.id);
        *live.bytes.entry(pointer.file).or_default() += pointer.frame_bytes();
        refer(Reference {
            pointer,
            key: entry.key,
            version: entry.ts.0,
        });
    }
    Ok(winners.into_uncertain().is_empty().then_some(live))
}

fn each_reference(
    vfs: &dyn Vfs,
    dir: &Path,
    manifest: &Manifest,
    give: &mut dyn FnMut(Reference),
) -> Result<()> {
    let collections: BTreeSet<u32> = manifest.collections.iter().map(|c| c.id).collect();
    let mut winners = Winners::new(vfs, dir, manifest, None, &BTreeSet::new())?;
    while let Some(winner) = winners.next()? {
        let entry = winner.entry;
        if let Some(DocPtr(pointer)) = entry.pointer
            && winner.is_certain
            && collections.contains(&entry.key.collection)
        {
            give(Reference {
                pointer,
                key: entry.key,
                version: entry.ts.0,
            });
        }
    }
    Ok(())
}

fn check_counts(
    dir: &Path,
    manifest: &Manifest,
    live: &Live,
    is_newest: bool,
    findings: &Findings<'_>,
) {
    let path = if is_newest {
        dir.join(MANIFEST)
    } else {
        dir.join(crate::manifest::kept::name(manifest.checkpoint_ts))
    };
    for collection in &manifest.collections {
        let (found, highest) = live
            .documents
            .get(&collection.id)
            .copied()
            .unwrap_or((0, 0));
        if found != collection.documents {
            let what = format!(
                "collection {:?} has {found} documents in the index, and {} by the manifest",
                collection.name, collection.documents
            );
            findings.tell(Finding::damage(&path, None, what));
        }
        if found > 0 && collection.highest_id.is_none_or(|id| id < highest) {
            let what = format!(
                "collection {:?} has document {highest}, but the manifest says that no id as high \
                 was used",
                collection.name
            );
            findings.tell(Finding::damage(&path, None, what));
        }
    }
    for entry in &manifest.data_files {
        let found = live.bytes.get(&entry.number).copied().unwrap_or(0);
        let what = format!(
            "{found} bytes of data file {} are referenced, and {} by the manifest",
            entry.number, entry.live_bytes
        );
        match found.cmp(&entry.live_bytes) {
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => findings.tell(Finding::damage(&path, None, what)),
            // After a run was found damaged the count may be too high, which costs only space.
            std::cmp::Ordering::Less => findings.tell(Finding::note(&path, None, what)),
        }
    }
}
