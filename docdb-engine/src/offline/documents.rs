//! The documents of a [`State`] in the order of their keys: what the runs hold, and what the log has
//! changed of it.

use std::collections::{BTreeSet, btree_map};
use std::iter::Peekable;
use std::path::Path;

use docdb_index::Key;
use docdb_vfs::Vfs;

use super::finding::Findings;
use super::state::{Change, State, Where};
use super::winners::{Ranges, Winner, Winners};
use crate::error::Result;
use crate::pointer::DocPtr;

/// The newest version of a document, as far as is known.
#[derive(Debug, Clone)]
pub(crate) struct Newest {
    pub(crate) key: Key,
    pub(crate) version: u64,
    pub(crate) body: Where,
    /// Whether no newer one can be in a part of the index that does not verify.
    pub(crate) is_certain: bool,
}

/// Goes through them; deletions included.
pub(crate) struct Documents<'a> {
    state: &'a State,
    winners: Winners<'a>,
    winner: Option<Winner>,
    delta: Peekable<btree_map::Iter<'a, Key, Change>>,
}

impl<'a> Documents<'a> {
    pub(crate) fn new(
        vfs: &dyn Vfs,
        dir: &Path,
        state: &'a State,
        findings: Option<&'a Findings<'a>>,
    ) -> Result<Self> {
        let mut winners = Winners::new(vfs, dir, &state.manifest, findings, &BTreeSet::new())?;
        Ok(Self {
            winner: winners.next()?,
            winners,
            delta: state.delta.iter().peekable(),
            state,
        })
    }

    /// The next one of a collection that exists; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Newest>> {
        loop {
            let stored = self.winner.map(|winner| winner.entry.key);
            let logged = self.delta.peek().map(|(key, _)| **key);
            let Some(key) = stored.into_iter().chain(logged).min() else {
                return Ok(None);
            };
            let winner = self.winner.filter(|_| stored == Some(key));
            if winner.is_some() {
                self.winner = self.winners.next()?;
            }
            let change = self.delta.next_if(|(at, _)| **at == key);
            if !self.state.collections.contains_key(&key.collection) {
                continue;
            }
            if let Some((_, change)) = change {
                return Ok(Some(Newest {
                    key,
                    version: change.version,
                    body: change.body.clone(),
                    is_certain: true,
                }));
            }
            if let Some(Winner { entry, is_certain }) = winner {
                let body = match entry.pointer {
                    Some(DocPtr(pointer)) => Where::Stored(pointer),
                    None => Where::Deleted,
                };
                return Ok(Some(Newest {
                    key,
                    version: entry.ts.0,
                    body,
                    is_certain,
                }));
            }
        }
    }

    /// The keys of which something may be missing.
    pub(crate) fn into_uncertain(self) -> Ranges {
        self.winners.into_uncertain()
    }
}
