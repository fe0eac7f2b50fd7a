//! Looking up many keys in ascending order.

use std::sync::Arc;

use super::{ReadMode, Run, RunEntry};
use crate::{Key, Pointer, Result};

/// Looks keys up in several runs. Asked in ascending order, it reads and verifies each block at most
/// once.
pub struct Probe<P> {
    runs: Vec<Seeker<P>>,
}

struct Seeker<P> {
    run: Arc<Run<P>>,
    /// The last block that was read and verified, and its entries.
    at: Option<usize>,
    entries: Vec<RunEntry<P>>,
}

impl<P: Pointer> Probe<P> {
    /// A probe of these runs, newest first.
    pub fn new(runs: Vec<Arc<Run<P>>>) -> Self {
        let runs = runs.into_iter().map(|run| Seeker {
            run,
            at: None,
            entries: Vec::new(),
        });
        Self {
            runs: runs.collect(),
        }
    }

    /// What the runs hold of a document: the highest version, and between equal versions the newer
    /// run's place. It may be a deletion. After an error the probe goes on working.
    pub fn newest(&mut self, key: Key) -> Result<Option<RunEntry<P>>> {
        let mut best: Option<RunEntry<P>> = None;
        for seeker in &mut self.runs {
            let max_ts = seeker.run.meta().max_ts;
            if best.is_some_and(|best| max_ts <= best.ts) {
                continue;
            }
            if let Some(entry) = seeker.seek(key)?
                && best.is_none_or(|best| entry.ts > best.ts)
            {
                best = Some(entry);
            }
        }
        Ok(best)
    }
}

impl<P: Pointer> Seeker<P> {
    fn seek(&mut self, key: Key) -> Result<Option<RunEntry<P>>> {
        let keys = self.run.meta().keys;
        if keys.is_none_or(|(first, last)| key < first || key > last) {
            return Ok(None);
        }
        let Some(block) = self.run.block_of(key) else {
            return Ok(None);
        };
        if self.at != Some(block) {
            self.load(block)?;
        }
        let found = self.entries.binary_search_by_key(&key, |entry| entry.key);
        Ok(found.ok().map(|i| self.entries[i]))
    }

    fn load(&mut self, block: usize) -> Result<()> {
        self.at = None;
        let page = self.run.read_block(block, ReadMode::Blocking)?;
        let checked = self.run.check_block(block, &page)?;
        self.entries.clear();
        for i in 0..checked.entries() {
            self.entries.push(self.run.entry(block, &checked, i)?);
        }
        self.at = Some(block);
        Ok(())
    }
}
