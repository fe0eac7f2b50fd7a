//! The newest version of each document over the runs of a manifest, whatever is wrong with these.
//!
//! Where a block of a run does not verify, nobody knows what it held: a newer version of a document
//! that an older run has, or its deletion. So a winner is *certain* only if no run can hold anything
//! newer of it in what is missing.

use std::collections::BTreeSet;
use std::path::Path;

use docdb_index::{IndexError, Key, RunEntry, RunFound, RunIdentity, RunSurvey, run_file_name};
use docdb_vfs::Vfs;

use super::finding::{Finding, Findings};
use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::pointer::DocPtr;

/// Most ranges of keys that are kept apart; the last one then covers all behind it.
const UNCERTAIN_MAX: usize = 100_000;

pub(crate) type Entry = RunEntry<DocPtr>;

/// A document's newest version in the runs that can be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Winner {
    pub(crate) entry: Entry,
    /// Whether no newer one can be in what does not verify.
    pub(crate) is_certain: bool,
}

/// Goes through runs in the order of keys, in memory bounded by their number.
pub(crate) struct Winners<'a> {
    sources: Vec<Source>,
    /// Who is told of damage; nobody at a second reading.
    findings: Option<&'a Findings<'a>>,
    /// Ranges of keys of which something is missing, ascending for each run.
    uncertain: Ranges,
}

struct Source {
    /// `None`: the file is missing.
    survey: Option<RunSurvey<DocPtr>>,
    tells: bool,
    head: Option<Entry>,
    /// Something is missing before the head.
    has_gap: bool,
    last: Option<Key>,
}

impl<'a> Winners<'a> {
    /// Those of the runs that the manifest of the database in `dir` names. Of the runs in `told`
    /// nothing is told.
    ///
    /// # Errors
    /// `UnsupportedVersion`; `Io`. Damage is told to `findings`.
    pub(crate) fn new(
        vfs: &dyn Vfs,
        dir: &Path,
        manifest: &Manifest,
        findings: Option<&'a Findings<'a>>,
        told: &BTreeSet<u64>,
    ) -> Result<Self> {
        let mut sources = Vec::with_capacity(manifest.runs.len());
        for entry in &manifest.runs {
            let path = dir.join(run_file_name(entry.number));
            let identity = RunIdentity {
                number: entry.number,
                salt: entry.salt,
            };
            let tells = !told.contains(&entry.number);
            let survey = match RunSurvey::open(vfs, &path, identity) {
                Ok(survey) => Some(survey),
                Err(IndexError::Io(error)) if error.is_not_found() => {
                    if let Some(findings) = findings.filter(|_| tells) {
                        let what = "the file is missing, but the manifest names it";
                        findings.tell(Finding::damage(&path, None, what));
                    }
                    None
                }
                Err(error) => return Err(error.into()),
            };
            sources.push(Source {
                survey,
                tells,
                head: None,
                has_gap: false,
                last: None,
            });
        }
        let mut winners = Self {
            sources,
            findings,
            uncertain: Ranges::default(),
        };
        for i in 0..winners.sources.len() {
            winners.advance(i)?;
        }
        Ok(winners)
    }

    fn advance(&mut self, i: usize) -> Result<()> {
        let source = &mut self.sources[i];
        source.has_gap = false;
        if let Some(head) = source.head.take() {
            source.last = Some(head.key);
        }
        let Some(survey) = &mut source.survey else {
            source.has_gap = true;
            self.uncertain.add(Key::MIN, Key::MAX);
            return Ok(());
        };
        loop {
            let found = survey.next().map_err(Error::from)?;
            let end = match found {
                Some(RunFound::Damaged { offset, what }) => {
                    if let Some(findings) = self.findings.filter(|_| source.tells) {
                        findings.tell(Finding::damage(survey.path(), offset, what));
                    }
                    continue;
                }
                Some(RunFound::Gap) => {
                    source.has_gap = true;
                    continue;
                }
                Some(RunFound::Entry(entry)) => {
                    source.head = Some(entry);
                    entry.key.previous().unwrap_or(Key::MIN)
                }
                None => Key::MAX,
                Some(_) => continue,
            };
            if source.has_gap {
                let start = source.last.map_or(Some(Key::MIN), Key::next);
                if let Some(start) = start.filter(|start| *start <= end) {
                    self.uncertain.add(start, end);
                }
            }
            return Ok(());
        }
    }

    /// The next document's; `None` at the end.
    ///
    /// # Errors
    /// As [`Winners::new`].
    pub(crate) fn next(&mut self) -> Result<Option<Winner>> {
        let heads = self.sources.iter().filter_map(|source| source.head);
        let Some(key) = heads.map(|entry| entry.key).min() else {
            return Ok(None);
        };
        let mut winner: Option<Entry> = None;
        for source in &self.sources {
            // Newest run first, so that only a higher version replaces what was found.
            if let Some(entry) = source.head.filter(|entry| entry.key == key)
                && winner.is_none_or(|winner| entry.ts > winner.ts)
            {
                winner = Some(entry);
            }
        }
        let Some(entry) = winner else {
            return Ok(None);
        };
        let is_certain = self.sources.iter().all(|source| {
            let covers = source.has_gap && source.head.is_none_or(|head| key < head.key);
            let newest = source.survey.as_ref().and_then(RunSurvey::max_ts);
            !covers || newest.is_some_and(|newest| newest < entry.ts)
        });
        for i in 0..self.sources.len() {
            if self.sources[i].head.is_some_and(|head| head.key == key) {
                self.advance(i)?;
            }
        }
        Ok(Some(Winner { entry, is_certain }))
    }

    /// The keys of which something may be missing in what was read so far.
    pub(crate) fn into_uncertain(self) -> Ranges {
        self.uncertain
    }
}

/// Ranges of keys, bounded in number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ranges(Vec<(Key, Key)>);

impl Ranges {
    pub(crate) fn add(&mut self, from: Key, to: Key) {
        let is_full = self.0.len() >= UNCERTAIN_MAX;
        match self.0.last_mut() {
            Some(last) if is_full => {
                last.0 = last.0.min(from);
                last.1 = last.1.max(to);
            }
            _ => self.0.push((from, to)),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts them in order and makes one of those that meet, so that they can be searched.
    pub(crate) fn sorted(mut self) -> Ranges {
        self.0.sort_unstable();
        let mut merged: Vec<(Key, Key)> = Vec::with_capacity(self.0.len());
        for (from, to) in self.0 {
            match merged.last_mut() {
                Some(last) if last.1.next().is_none_or(|next| from <= next) => {
                    last.1 = last.1.max(to);
                }
                _ => merged.push((from, to)),
            }
        }
        Ranges(merged)
    }

    /// Whether a key is in one of them; they are sorted.
    pub(crate) fn contain(&self, key: Key) -> bool {
        let after = self.0.partition_point(|(from, _)| *from <= key);
        after > 0 && key <= self.0[after - 1].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_merged_and_searched() {
        let key = |id| Key::new(1, id);
        let mut ranges = Ranges::default();
        for (from, to) in [(10, 12), (3, 4), (5, 6), (11, 20)] {
            ranges.add(key(from), key(to));
        }
        let ranges = ranges.sorted();
        assert_eq!(ranges.0, [(key(3), key(6)), (key(10), key(20))]);
        for id in 0..30 {
            let inside = (3..=6).contains(&id) || (10..=20).contains(&id);
            assert_eq!(ranges.contain(key(id)), inside, "{id}");
        }
    }
}
