//! From damaged stretches of data files to the documents that lie there.
//!
//! A frame that does not verify cannot say whose it is; the runs can. So if a file is damaged, the
//! entries of all runs are looked through once.

use std::collections::BTreeMap;

use docdb_datafile::Damage;
use docdb_index::format::PAGE_BYTES;
use docdb_index::{IndexError, Probe, ReadMode};

use super::restore::{Fate, How};
use super::{BATCH_DOCUMENTS, Wanted};
use crate::db::Inner;
use crate::error::Result;

/// Most stretches of one file that are told apart; what comes after them is one stretch.
const STRETCHES_MAX: usize = 4096;

/// The damage of data files, by number.
pub(super) type Damaged = BTreeMap<u32, Vec<Damage>>;

/// Adds stretches that lie behind those that are known.
pub(super) fn add(stretches: &mut Vec<Damage>, more: Vec<Damage>) {
    for damage in more {
        let is_full = stretches.len() >= STRETCHES_MAX;
        match stretches.last_mut() {
            Some(last) if last.to == damage.from || is_full => last.to = damage.to,
            _ => stretches.push(damage),
        }
    }
}

impl Inner {
    /// Heals what lies in damaged stretches, and tells what became of each document. An error of
    /// `on_fate` ends it. Returns about how many bytes of runs it has read.
    pub(super) fn heal_damaged(
        &self,
        damaged: &Damaged,
        how: How,
        on_fate: &mut dyn FnMut(&Wanted, &Fate) -> Result<()>,
    ) -> Result<u64> {
        if damaged.is_empty() {
            return Ok(0);
        }
        // The documents of large commits are in the runs only then.
        self.checkpoint()?;
        let mut batch = Vec::new();
        let mut heal = |batch: &mut Vec<Wanted>| -> Result<()> {
            let fates = self.heal_batch(batch, how)?;
            for (wanted, fate) in batch.iter().zip(&fates) {
                on_fate(wanted, fate)?;
            }
            batch.clear();
            Ok(())
        };
        let runs = self.index.runs();
        let mut read_bytes = 0;
        for run in &runs {
            let mut probe = Probe::new(runs.clone());
            let mut block = 0;
            loop {
                self.check_open()?;
                let entries = match run.block_entries(block) {
                    Ok(Some(entries)) => entries,
                    Ok(None) => break,
                    // Which documents it names is not known. It is counted by whoever scans the run.
                    Err(IndexError::Corrupt { .. } | IndexError::Unsupported { .. }) => Vec::new(),
                    Err(IndexError::Io(io)) if io.is_device_error() => Vec::new(),
                    Err(error) => return Err(error.into()),
                };
                block += 1;
                read_bytes += PAGE_BYTES as u64;
                for entry in entries {
                    let Some(pointer) = entry.pointer else {
                        continue;
                    };
                    let stretches = damaged.get(&pointer.0.file).map_or(&[][..], Vec::as_slice);
                    let (offset, bytes) = (pointer.0.offset, pointer.0.frame_bytes());
                    if !stretches.iter().any(|d| d.touches(offset, bytes)) {
                        continue;
                    }
                    let newest = probe.newest(entry.key).ok().flatten();
                    if newest.is_some_and(|newest| newest.pointer == Some(pointer)) {
                        batch.push(Wanted {
                            key: entry.key,
                            ts: entry.ts,
                            pointer,
                        });
                    }
                    if batch.len() == BATCH_DOCUMENTS {
                        heal(&mut batch)?;
                    }
                }
            }
        }
        heal(&mut batch)?;
        Ok(read_bytes)
    }

    /// Whether that is still what the runs hold of the document, and its collection exists.
    pub(super) fn is_current(&self, wanted: &Wanted) -> Result<bool> {
        if self.collections.by_id(wanted.key.collection).is_none() {
            return Ok(false);
        }
        let newest = self.index.look(wanted.key, ReadMode::Blocking)?.newest;
        Ok(newest.is_some_and(|newest| newest.ts == wanted.ts))
    }
}
