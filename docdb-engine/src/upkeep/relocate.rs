//! Giving documents a new place from copies of their bytes: a relocation as of a compaction, of a few.

use std::collections::BTreeSet;
use std::sync::Arc;

use docdb_index::{IndexError, Probe};

use super::compact::{Moved, Slice};
use crate::db::Inner;
use crate::error::Result;
use crate::heal::Wanted;
use crate::planted::{Bug, is_planted};

/// What became of a document that was to get a new place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relocated {
    /// It has it, durably.
    Done,
    /// It has a newer version, is deleted, or has a new place already.
    Superseded,
    /// The runs are damaged where they would tell.
    Unknown,
}

impl Inner {
    /// Writes these bytes as the documents' versions and has the runs point there, if these versions
    /// are still what the runs hold as newest, at these places. The caller has verified the bytes.
    ///
    /// # Errors
    /// `DiskFull`, `Io`, `Corrupt` of a run, `Poisoned`, `Closed`: nothing has a new place.
    pub(crate) fn relocate(&self, copies: &[(Wanted, Arc<[u8]>)]) -> Result<Vec<Relocated>> {
        // From the look at the runs to the end, so that no compaction moves the documents meanwhile.
        let mut work = self.upkeep.work.lock();
        let mut slice = {
            let state = self.checkpointer.lock();
            self.check_publishable()?;
            let collections = &state.manifest.collections;
            let collections: BTreeSet<u32> = collections.iter().map(|entry| entry.id).collect();
            Slice::new(self.index.runs(), collections)
        };
        let mut order: Vec<usize> = (0..copies.len()).collect();
        order.sort_unstable_by_key(|&at| copies[at].0.key);
        let mut outcomes = vec![Relocated::Superseded; copies.len()];
        let mut probe = Probe::new(slice.runs.clone());
        let mut moved = Vec::with_capacity(copies.len());
        let written = (|| {
            for at in order {
                let (wanted, body) = &copies[at];
                let newest = match probe.newest(wanted.key) {
                    Ok(newest) => newest,
                    Err(IndexError::Corrupt { .. } | IndexError::Unsupported { .. }) => {
                        outcomes[at] = Relocated::Unknown;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                let is_current = newest.is_some_and(|newest| {
                    newest.ts == wanted.ts && newest.pointer == Some(wanted.pointer)
                });
                let exists = slice.collections.contains(&wanted.key.collection);
                if !(exists && is_current || is_planted(Bug::HealedUnchecked)) {
                    continue;
                }
                let output = self.output(&mut work)?;
                let to = output.append(&wanted.frame(), body)?;
                self.pace_data(output)?;
                slice.copied_bytes += to.frame_bytes();
                moved.push((at, wanted.key));
                slice.moved.push(Moved {
                    key: wanted.key,
                    ts: wanted.ts,
                    from: wanted.pointer.0,
                    to,
                });
            }
            self.publish_slice(None, &slice, &mut work)
        })();
        let published = match written {
            Ok(published) => published,
            Err(error) => {
                if let Some(output) = work.output.take()
                    && self.poisoned.get().is_none()
                {
                    self.abandon_output(&output);
                }
                return Err(error);
            }
        };
        for (at, key) in moved {
            if published.keys.binary_search(&key).is_ok() {
                outcomes[at] = Relocated::Done;
                // Without its damaged frame the file may be compacted again.
                work.damaged.remove(&copies[at].0.pointer.0.file);
            }
        }
        drop(work);
        self.schedule_upkeep(&self.checkpointer.lock());
        Ok(outcomes)
    }
}
