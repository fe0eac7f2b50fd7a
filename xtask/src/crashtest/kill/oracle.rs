//! What must be there: one lane's record of what it was told, and the judgement of what is found.
//!
//! A lane is the only writer of its documents and waits for each answer, so it knows every state its
//! documents may be in: the acknowledged one, or, after a kill, that of the one commit whose answer
//! never came.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Instant;

use super::document::Stamp;

/// The collections of each database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Collection {
    /// The lanes choose the ids.
    Chosen,
    /// The server assigns the ids.
    Assigned,
}

impl Collection {
    pub(super) const ALL: [Collection; 2] = [Collection::Chosen, Collection::Assigned];

    pub(super) fn name(self) -> &'static str {
        match self {
            Collection::Chosen => "chosen",
            Collection::Assigned => "assigned",
        }
    }
}

/// Where a document is, within a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) collection: Collection,
    pub(super) id: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.collection.name(), self.id)
    }
}

/// What an answer or a read said about one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// `None`: deleted.
    pub(super) stamp: Option<Stamp>,
    /// The version of the write or the deletion; 0 for a deletion that was never answered, because
    /// no read shows its version.
    pub(super) version: u64,
}

/// What a judgement found.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    /// There was an unanswered commit, and it happened.
    pub(super) pending_done: bool,
    pub(super) violations: Vec<String>,
}

/// A document as a read or a scan shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// `None`: its bytes are not those of any document that was ever sent.
    pub(super) stamp: Option<Stamp>,
    pub(super) version: u64,
}

/// One document of a commit whose outcome is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) place: Place,
    /// `None`: it deletes.
    pub(super) stamp: Option<Stamp>,
}

/// One lane's documents. Those that were never written, or whose first write is not known to have
/// happened, are not in the map.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    pub(super) known: BTreeMap<Place, Known>,
    /// The commit whose answer never came, all of it or nothing.
    pub(super) pending: Vec<Attempt>,
    /// No version at or below this one may be given to a new commit.
    pub(super) version_floor: u64,
    /// Acknowledged since the last judgement, oldest first, if a kill may take some of it back.
    pub(super) recent: Vec<Commit>,
    /// Whether that is so.
    writes_behind: bool,
}

/// An acknowledged commit that a kill may take back.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) version: u64,
    pub(super) acknowledged: Instant,
    /// What was known of its documents before.
    pub(super) before: Vec<(Place, Option<Known>)>,
}

impl Oracle {
    /// One of a database whose last commits a kill may take back.
    pub(super) fn writing_behind() -> Oracle {
        Oracle {
            writes_behind: true,
            ..Oracle::default()
        }
    }

    /// Whether what was found is not what is known.
    pub(super) fn differs(known: Option<&Known>, seen: Option<&Seen>) -> bool {
        let known = known.and_then(|known| Some((known.stamp?, known.version)));
        match (known, seen) {
            (None, None) => false,
            (Some((stamp, version)), Some(seen)) => {
                seen.stamp != Some(stamp) || seen.version != version
            }
            _ => true,
        }
    }

    /// The same of one document.
    pub(super) fn is_wrong(&self, place: &Place, seen: Option<&Seen>) -> bool {
        Oracle::differs(self.known.get(place), seen)
    }

    /// The places of the commit whose answer never came, if what was found can be its work; else none.
    pub(super) fn places_of_pending(&self, seen: &HashMap<Place, Seen>) -> Vec<Place> {
        let happened = |op: &Attempt| self.has_happened(*op, seen.get(&op.place));
        if self.pending.iter().all(happened) {
            return self.pending.iter().map(|op| op.place).collect();
        }
        Vec::new()
    }

    /// Forgets the last commit. Its version stays given.
    pub(super) fn undo_last(&mut self) {
        for (place, before) in self.recent.pop().into_iter().flat_map(|c| c.before) {
            match before {
                Some(known) => self.known.insert(place, known),
                None => self.known.remove(&place),
            };
        }
    }

    /// A commit was acknowledged. An error says what the answer cannot be.
    pub(super) fn acknowledge(&mut self, ops: &[Attempt], version: u64) -> Result<(), String> {
        if version <= self.version_floor {
            let floor = self.version_floor;
            return Err(format!(
                "version {version} was given although {floor} was given before"
            ));
        }
        self.version_floor = version;
        if self.writes_behind {
            let before = |op: &Attempt| (op.place, self.known.get(&op.place).copied());
            self.recent.push(Commit {
                version,
                acknowledged: Instant::now(),
                before: ops.iter().map(before).collect(),
            });
        }
        for op in ops {
            self.known.insert(
                op.place,
                Known {
                    stamp: op.stamp,
                    version,
                },
            );
        }
        Ok(())
    }

    /// Judges what is there now, and takes it as acknowledged from here on: what recovery has shown
    /// once must survive the next crash.
    pub(super) fn judge(&mut self, seen: &HashMap<Place, Seen>) -> Judgement {
        let mut violations = Vec::new();
        self.recent.clear();
        let pending = std::mem::take(&mut self.pending);
        let happened: Vec<bool> = pending
            .iter()
            .map(|op| self.has_happened(*op, seen.get(&op.place)))
            .collect();
        let commit_happened = happened.contains(&true);
        if commit_happened && happened.contains(&false) {
            let (done, all) = (happened.iter().filter(|h| **h).count(), happened.len());
            violations.push(format!(
                "{done} of {all} operations of one atomic commit are there"
            ));
        }
        let mut versions: Vec<u64> = pending
            .iter()
            .filter(|op| commit_happened && op.stamp.is_some())
            .filter_map(|op| Some(seen.get(&op.place)?.version))
            .collect();
        versions.dedup();
        if versions.len() > 1 {
            violations.push(format!("one atomic commit has the versions {versions:?}"));
        }
        if commit_happened {
            for op in &pending {
                let version = seen.get(&op.place).map_or(0, |s| s.version);
                if op.stamp.is_some() && version <= self.version_floor {
                    violations.push(format!("{}: version {version} is used again", op.place));
                }
                self.known.insert(
                    op.place,
                    Known {
                        stamp: op.stamp,
                        version,
                    },
                );
            }
            self.version_floor = versions
                .last()
                .copied()
                .unwrap_or(0)
                .max(self.version_floor);
        }
        for (place, known) in &self.known {
            violations.extend(judge_one(*place, known, seen.get(place)));
        }
        for (place, seen) in seen {
            if !self.known.contains_key(place) {
                violations.push(format!("{place}: never written, but found {}", shown(seen)));
            }
        }
        // An assigned id is not written again. Should it come back, it counts as never written.
        self.known
            .retain(|place, known| place.collection == Collection::Chosen || known.stamp.is_some());
        Judgement {
            pending_done: commit_happened,
            violations,
        }
    }

    fn has_happened(&self, op: Attempt, seen: Option<&Seen>) -> bool {
        match (op.stamp, seen) {
            (Some(stamp), Some(seen)) => seen.stamp == Some(stamp),
            (Some(_), None) => false,
            // Only what is there is deleted: without it, the deletion cannot have come after it.
            (None, seen) => {
                let known = self.known.get(&op.place);
                seen.is_none() && known.is_some_and(|known| known.stamp.is_some())
            }
        }
    }
}

fn judge_one(place: Place, known: &Known, seen: Option<&Seen>) -> Option<String> {
    match (known.stamp, seen) {
        (None, None) => None,
        (None, Some(seen)) => Some(format!(
            "{place}: deleted at version {}, but found {}",
            known.version,
            shown(seen)
        )),
        (Some(stamp), None) => Some(format!(
            "{place}: write {} was acknowledged as version {}, but there is no document",
            stamp.sequence, known.version
        )),
        (Some(stamp), Some(seen)) if seen.stamp != Some(stamp) || seen.version != known.version => {
            Some(format!(
                "{place}: write {} was acknowledged as version {}, but found {}",
                stamp.sequence,
                known.version,
                shown(seen)
            ))
        }
        _ => None,
    }
}

fn shown(seen: &Seen) -> String {
    match seen.stamp {
        Some(stamp) => {
            format!(
                "write {} of lane {} at version {}",
                stamp.sequence, stamp.lane, seen.version
            )
        }
        None => format!("bytes that nobody wrote at version {}", seen.version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(sequence: u64) -> Option<Stamp> {
        Some(Stamp {
            lane: 1,
            sequence,
            fill_bytes: 10,
        })
    }

    fn chosen(id: u64) -> Place {
        Place {
            collection: Collection::Chosen,
            id,
        }
    }

    fn op(id: u64, sequence: u64) -> Attempt {
        Attempt {
            place: chosen(id),
            stamp: stamp(sequence),
        }
    }

    fn deletion(id: u64) -> Attempt {
        Attempt {
            place: chosen(id),
            stamp: None,
        }
    }

    fn at(id: u64, sequence: u64, version: u64) -> (Place, Seen) {
        (
            chosen(id),
            Seen {
                stamp: stamp(sequence),
                version,
            },
        )
    }

    /// Documents 1 and 2 written, 3 written and deleted, and a batch on the way that rewrites 1,
    /// creates 4 and deletes 2.
    fn oracle() -> Oracle {
        let mut oracle = Oracle::default();
        oracle
            .acknowledge(&[op(1, 1), op(2, 2)], 5)
            .expect("a new version");
        oracle.acknowledge(&[op(3, 3)], 6).expect("a new version");
        oracle
            .acknowledge(&[deletion(3)], 9)
            .expect("a new version");
        oracle.pending = vec![op(1, 4), op(4, 5), deletion(2)];
        oracle
    }

    #[test]
    fn both_outcomes_of_an_unanswered_commit_pass() {
        let before = HashMap::from([at(1, 1, 5), at(2, 2, 5)]);
        let after = HashMap::from([at(1, 4, 12), at(4, 5, 12)]);
        assert_eq!(oracle().judge(&before).violations, [""; 0]);
        assert_eq!(oracle().judge(&after).violations, [""; 0]);
        assert!(!oracle().judge(&before).pending_done && oracle().judge(&after).pending_done);
        // What was shown once is acknowledged.
        let mut twice = oracle();
        assert_eq!(twice.judge(&after).violations, [""; 0]);
        assert_eq!(twice.judge(&after).violations, [""; 0]);
        assert_eq!(twice.judge(&before).violations.len(), 3);
    }

    #[test]
    fn every_kind_of_loss_is_seen() {
        for (what, seen) in [
            ("lost", vec![at(1, 1, 5)]),
            ("older content", vec![at(1, 1, 5), at(2, 1, 5)]),
            ("other version", vec![at(1, 1, 4), at(2, 2, 5)]),
            ("revived", vec![at(1, 1, 5), at(2, 2, 5), at(3, 3, 6)]),
            ("half of the batch", vec![at(1, 4, 12)]),
            (
                "half of the batch",
                vec![at(1, 1, 5), at(2, 2, 5), at(4, 5, 12)],
            ),
            ("two versions", vec![at(1, 4, 12), at(4, 5, 13)]),
            ("version used again", vec![at(1, 4, 9), at(4, 5, 9)]),
            ("invented", vec![at(1, 1, 5), at(2, 2, 5), at(8, 8, 20)]),
            (
                "rotten",
                vec![
                    at(1, 1, 5),
                    (
                        chosen(2),
                        Seen {
                            stamp: None,
                            version: 5,
                        },
                    ),
                ],
            ),
        ] {
            assert_ne!(
                oracle().judge(&seen.into_iter().collect()).violations,
                [""; 0],
                "{what}"
            );
        }
    }

    #[test]
    fn versions_must_rise() {
        assert!(oracle().acknowledge(&[op(1, 9)], 9).is_err());
        assert!(oracle().acknowledge(&[op(1, 9)], 10).is_ok());
    }
}
