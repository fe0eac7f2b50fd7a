//! Earlier checkpoints that are kept.
//!
//! Just before a checkpoint replaces the manifest, a copy of it gets a name with its version. What it
//! names stays: a file that leaves the manifest is removed only if no kept manifest names it. When
//! there are too many, the oldest goes: first its name, durably, then the files that only it named. So
//! a kept manifest never names a file that is gone; a crash leaves files that no manifest names, or a
//! copy of the manifest that stands, and the next open removes them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::Ordering;

use docdb_datafile::data_file_name;
use docdb_index::run_file_name;
use docdb_vfs::{OpenMode, Vfs};

use super::Checkpointer;
use crate::db::Inner;
use crate::error::Result;
use crate::manifest::{Manifest, ReplaceError, kept};
use crate::planted::{Bug, is_planted};

impl Inner {
    /// How many earlier checkpoints are kept.
    fn kept_max(&self) -> usize {
        self.options.keep_checkpoints.saturating_sub(1)
    }

    /// Keeps a copy of the manifest that is about to be replaced by a new checkpoint's.
    pub(super) fn keep_manifest(&self, state: &Checkpointer) -> Result<Option<Manifest>> {
        let manifest = &state.manifest;
        // Nothing was in the database at version 0.
        if self.kept_max() == 0 || manifest.checkpoint_ts == 0 {
            return Ok(None);
        }
        let _turn = self.turn_to_sync_dir()?;
        match kept::write(self.vfs.as_ref(), &self.dir, manifest) {
            Ok(()) => {
                // Before the manifest does without them.
                let mut pinned = self.upkeep.pinned_files();
                pinned.extend(manifest.data_files.iter().map(|entry| entry.number));
                Ok(Some(manifest.clone()))
            }
            Err(ReplaceError::Abandoned(error)) => Err(error),
            Err(ReplaceError::Final(error)) => Err(self.poison(error)),
        }
    }

    /// Lets the oldest kept checkpoints go if there are too many, and what only they named.
    pub(super) fn let_go(&self, state: &mut Checkpointer) -> Result<()> {
        let vfs = self.vfs.as_ref();
        while state.kept.len() > self.kept_max() {
            let name = self.dir.join(kept::name(state.kept[0].checkpoint_ts));
            if vfs.exists(&name)? {
                vfs.remove_file(&name)?;
            }
            // What it names is gone after its name only.
            if !is_planted(Bug::KeptFilesGoneEarly) {
                self.sync_dir()?;
            }
            let gone = state.kept.remove(0);
            self.pin_files(state);
            self.remove_what_only_named(state, &gone);
        }
        self.count_pinned(state);
        Ok(())
    }

    /// Removes the files that only this manifest named, which does not count any more; its data files
    /// are pinned for it no more.
    pub(crate) fn remove_what_only_named(&self, state: &Checkpointer, gone: &Manifest) {
        let vfs = self.vfs.as_ref();
        for entry in &gone.runs {
            if !state.names_run(entry.number) {
                let _ = vfs.remove_file(&self.dir.join(run_file_name(entry.number)));
            }
        }
        for entry in &gone.data_files {
            let number = entry.number;
            // A snapshot may still need it; then its end removes it.
            if !state.names_data_file(number) && !self.upkeep.is_kept_for_snapshots(number) {
                let _ = vfs.remove_file(&self.dir.join(data_file_name(number)));
            }
        }
    }

    /// Has no data file removed that a kept checkpoint names, or a backup.
    pub(crate) fn pin_files(&self, state: &Checkpointer) {
        let entries = state.earlier().flat_map(|earlier| &earlier.data_files);
        *self.upkeep.pinned_files() = entries.map(|entry| entry.number).collect();
    }

    /// Counts what only kept checkpoints, and a backup, name.
    pub(crate) fn count_pinned(&self, state: &Checkpointer) {
        let (mut files, mut runs) = (BTreeSet::new(), BTreeSet::new());
        let mut bytes = 0;
        for kept in state.earlier() {
            for entry in &kept.data_files {
                let is_pinned = !state.manifest.names_data_file(entry.number);
                if is_pinned && files.insert(entry.number) {
                    bytes += self.bytes_of(&data_file_name(entry.number));
                }
            }
            for entry in &kept.runs {
                if !state.manifest.names_run(entry.number) && runs.insert(entry.number) {
                    bytes += self.bytes_of(&run_file_name(entry.number));
                }
            }
        }
        let counters = &self.counters;
        counters.pinned_bytes.store(bytes, Ordering::Relaxed);
        let checkpoints = 1 + state.kept.len() as u64;
        counters
            .checkpoints_kept
            .store(checkpoints, Ordering::Relaxed);
    }

    /// A figure only: 0 if it cannot be had.
    fn bytes_of(&self, name: &str) -> u64 {
        let file = self.vfs.open(&self.dir.join(name), OpenMode::Read);
        file.and_then(|file| file.len()).unwrap_or(0)
    }
}

impl Checkpointer {
    /// Those beside the manifest whose files stay.
    fn earlier(&self) -> impl Iterator<Item = &Manifest> {
        self.kept.iter().chain(&self.backed_up)
    }

    /// Whether the manifest or one whose files stay names this run.
    pub(crate) fn names_run(&self, number: u64) -> bool {
        let mut all = std::iter::once(&self.manifest).chain(self.earlier());
        all.any(|manifest| manifest.names_run(number))
    }

    /// Whether the manifest or one whose files stay names this data file.
    pub(crate) fn names_data_file(&self, number: u32) -> bool {
        let mut all = std::iter::once(&self.manifest).chain(self.earlier());
        all.any(|manifest| manifest.names_data_file(number))
    }
}

/// The kept manifests in a directory with these names that are of use beside `current`, oldest first:
/// at most `kept_max`, whole, earlier than it, and with every file there.
pub(crate) fn find(
    vfs: &dyn Vfs,
    dir: &Path,
    names: &[String],
    current: &Manifest,
    kept_max: usize,
) -> Result<Vec<Manifest>> {
    let mut versions: Vec<u64> = names.iter().filter_map(|name| kept::parse(name)).collect();
    versions.retain(|version| *version < current.checkpoint_ts);
    versions.sort_unstable();
    let has = |name: String| names.binary_search(&name).is_ok();
    let mut found = Vec::new();
    for version in versions.into_iter().rev() {
        if found.len() == kept_max {
            break;
        }
        // A damaged one is of no use, and no reason not to open.
        let Ok(manifest) = kept::read(vfs, dir, version) else {
            continue;
        };
        let mut files = manifest.data_files.iter();
        let mut runs = manifest.runs.iter();
        if files.all(|e| has(data_file_name(e.number)))
            && runs.all(|e| has(run_file_name(e.number)))
        {
            found.push(manifest);
        }
    }
    found.reverse();
    Ok(found)
}
