//! One lane of work: one request at a time, on documents that nobody else writes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use docdb_client::{Client, Database, ErrorKind, WriteOptions};

use super::databases::{self, Kind};
use super::document::Stamp;
use super::journal::Journal;
use super::oracle::{Attempt, Collection, Oracle, Place, Seen};
use super::shared::Field;
use crate::rng::Rng;

/// How many ids each lane writes over and over.
const IDS_PER_LANE: u64 = 40;

/// The distance between the first ids of two lanes.
const LANE_STRIDE: u64 = 1_000_000;

/// Most operations of a batch.
const BATCH_OPS_MAX: u64 = 16;

/// Documents under assigned ids that a lane keeps before it deletes them again.
const INSERTED_MAX: usize = 30;

/// A document that is larger than what goes through the log.
const BULK_FILL_BYTES: u32 = 1_200_000;

/// What a lane did, in operations that were answered as wanted.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub(super) creates: u64,
    pub(super) updates: u64,
    pub(super) upserts: u64,
    pub(super) deletes: u64,
    pub(super) inserts: u64,
    pub(super) batches: u64,
    pub(super) transactions: u64,
    /// Of money between accounts that all lanes of a database share.
    pub(super) moves: u64,
    /// Of a document that all lanes of a database share.
    pub(super) edits: u64,
    pub(super) reads: u64,
    pub(super) refusals: u64,
    /// Writes whose answer never came.
    pub(super) unknown: u64,
    /// Requests that were refused for now, and may be made again.
    pub(super) retryable: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Counts) {
        self.creates += other.creates;
        self.updates += other.updates;
        self.upserts += other.upserts;
        self.deletes += other.deletes;
        self.inserts += other.inserts;
        self.batches += other.batches;
        self.transactions += other.transactions;
        self.moves += other.moves;
        self.edits += other.edits;
        self.reads += other.reads;
        self.refusals += other.refusals;
        self.unknown += other.unknown;
        self.retryable += other.retryable;
    }

    /// Acknowledged commits.
    pub(super) fn commits(&self) -> u64 {
        let single = self.creates + self.updates + self.upserts + self.deletes + self.inserts;
        single + self.batches + self.transactions + self.moves + self.edits
    }
}

/// A lane with everything it knows.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) index: u64,
    pub(super) kind: Kind,
    pub(super) oracle: Oracle,
    /// The insert whose answer, and so whose id, never came.
    pub(super) pending_insert: Option<Stamp>,
    /// Its own in the document that all share.
    pub(super) field: Field,
    pub(super) counts: Counts,
    pub(super) violations: Vec<String>,
    pub(super) rng: Rng,
    next_sequence: u64,
    /// The last request that was not answered as wanted.
    last_error: Option<String>,
}

/// What the lanes of a round have in common.
#[derive(Debug, Clone)]
pub(super) struct Round {
    /// No further request is to be made.
    pub(super) stop: Arc<AtomicBool>,
    /// The server is about to be ended: from now on connections may break and answers be missing.
    pub(super) ending: Arc<AtomicBool>,
    pub(super) journal: Journal,
}

/// What is known of a database that was made just now.
fn new_oracle(kind: Kind) -> Oracle {
    match kind.tail {
        Some(_) => Oracle::writing_behind(),
        None => Oracle::default(),
    }
}

/// Whether a lane goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    GoOn,
    Stop,
}

/// What became of a write.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    Done(u64),
    Refused(ErrorKind, Next),
    Unknown,
}

impl Lane {
    pub(super) fn new(index: u64, seed: u64) -> Lane {
        let kind = databases::of_lane(index);
        Lane {
            index,
            kind,
            oracle: new_oracle(kind),
            pending_insert: None,
            field: Field::default(),
            counts: Counts::default(),
            violations: Vec::new(),
            rng: Rng::fork(seed, index + 1),
            next_sequence: 1,
            last_error: None,
        }
    }

    /// Its database is another, empty one of the same name.
    pub(super) fn begin_anew(&mut self) {
        self.oracle = new_oracle(self.kind);
        self.field = Field::default();
    }

    /// The lane that an id of the chosen ones belongs to.
    pub(super) fn of_chosen(id: u64) -> u64 {
        id / LANE_STRIDE
    }

    /// Works until it is told to stop, the connection breaks or something is wrong.
    pub(super) async fn work(mut self, client: Client, round: Round) -> Lane {
        let database = client.database(self.kind.name);
        while !round.stop.load(Ordering::Relaxed) && self.violations.is_empty() {
            if self.step(&database, &round.journal).await == Next::Stop {
                // Nobody is told to go away while the server is in good health.
                if !round.ending.load(Ordering::SeqCst) && self.violations.is_empty() {
                    let what =
                        "no answer, or a connection that broke, while the server was to serve";
                    let last = self.last_error.take().unwrap_or_default();
                    self.violations
                        .push(format!("lane {}: {what}: {last}", self.index));
                }
                break;
            }
        }
        self
    }

    async fn step(&mut self, database: &Database, journal: &Journal) -> Next {
        match self.rng.below(100) {
            0..8 => self.read_own(database).await,
            8..12 => self.refused(database).await,
            12..19 => self.insert(database, journal).await,
            19..30 => self.batch(database, journal).await,
            30..38 => self.transaction(database, journal).await,
            38..42 => self.move_money(database).await,
            42..46 => self.edit_shared(database).await,
            _ => self.single(database, journal).await,
        }
    }

    pub(super) fn stamp(&mut self) -> Stamp {
        let fill_bytes = match self.rng.below(1000) {
            0 => u64::from(BULK_FILL_BYTES),
            1..8 => self.rng.below(100_000),
            8..100 => self.rng.below(8_000),
            _ => self.rng.below(600),
        };
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        Stamp {
            lane: self.index,
            sequence,
            fill_bytes: fill_bytes as u32,
        }
    }

    pub(super) fn any_place(&mut self) -> Place {
        let id = self.index * LANE_STRIDE + self.rng.below(IDS_PER_LANE);
        Place {
            collection: Collection::Chosen,
            id,
        }
    }

    pub(super) fn is_there(&self, place: Place) -> bool {
        self.oracle
            .known
            .get(&place)
            .is_some_and(|known| known.stamp.is_some())
    }

    /// A document under an assigned id, if there are so many that one has to go.
    fn surplus(&mut self) -> Option<Place> {
        let from = Place {
            collection: Collection::Assigned,
            id: 0,
        };
        let there = self.oracle.known.range(from..);
        let mut there = there.filter(|(_, known)| known.stamp.is_some());
        let oldest = there.next().map(|(place, _)| *place);
        oldest.filter(|_| there.count() >= INSERTED_MAX)
    }

    async fn single(&mut self, database: &Database, journal: &Journal) -> Next {
        let place = self.surplus().unwrap_or_else(|| self.any_place());
        let there = self.is_there(place);
        let collection = database.raw_collection(place.collection.name());
        let is_surplus = place.collection == Collection::Assigned;
        let deletes = there && (is_surplus || self.rng.chance(20));
        let attempt = Attempt {
            place,
            stamp: (!deletes).then(|| self.stamp()),
        };
        let document = attempt.stamp.map(Stamp::document).unwrap_or_default();
        let upserts = self.rng.chance(25);
        journal.attempt(self.kind.name, self.index, &[attempt]);
        let result = match (deletes, upserts, there) {
            (true, ..) => collection.delete(place.id).await,
            (_, true, _) => collection.upsert(place.id, document).await,
            (_, _, true) => collection.update(place.id, document).await,
            (_, _, false) => collection.create(place.id, document).await,
        };
        let outcome = self.outcome(result.map(|written| written.version));
        if let Outcome::Done(_) = outcome {
            match (deletes, upserts, there) {
                (true, ..) => self.counts.deletes += 1,
                (_, true, _) => self.counts.upserts += 1,
                (_, _, true) => self.counts.updates += 1,
                (_, _, false) => self.counts.creates += 1,
            }
        }
        self.settle(outcome, vec![attempt], journal)
    }

    async fn batch(&mut self, database: &Database, journal: &Journal) -> Next {
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut batch = database.batch();
        for _ in 0..2 + self.rng.below(BATCH_OPS_MAX - 1) {
            let place = self.any_place();
            if attempts.iter().any(|a| a.place == place) {
                continue;
            }
            let there = self.is_there(place);
            let name = place.collection.name();
            let attempt = if there && self.rng.chance(25) {
                batch = batch.delete(name, place.id);
                Attempt { place, stamp: None }
            } else {
                let stamp = self.stamp();
                batch = match there {
                    true => batch.update_raw(name, place.id, stamp.document()),
                    false => batch.create_raw(name, place.id, stamp.document()),
                };
                Attempt {
                    place,
                    stamp: Some(stamp),
                }
            };
            attempts.push(attempt);
        }
        journal.attempt(self.kind.name, self.index, &attempts);
        let result = batch.commit().await;
        let outcome = match result {
            Ok(written) => {
                let version = written.first().map_or(0, |w| w.version);
                if written.len() != attempts.len() || written.iter().any(|w| w.version != version) {
                    self.violations
                        .push(format!("a batch of one commit answered {written:?}"));
                }
                self.counts.batches += 1;
                Outcome::Done(version)
            }
            Err(e) => self.outcome(Err(e)),
        };
        self.settle(outcome, attempts, journal)
    }

    async fn insert(&mut self, database: &Database, journal: &Journal) -> Next {
        let stamp = self.stamp();
        journal.insert(self.kind.name, self.index, stamp);
        let collection = database.raw_collection(Collection::Assigned.name());
        match collection.insert(stamp.document()).await {
            Ok(written) => {
                self.counts.inserts += 1;
                let place = Place {
                    collection: Collection::Assigned,
                    id: written.id,
                };
                if self.oracle.known.contains_key(&place) {
                    self.violations
                        .push(format!("{place}: the id was assigned a second time"));
                }
                let attempt = Attempt {
                    place,
                    stamp: Some(stamp),
                };
                self.settle(Outcome::Done(written.version), vec![attempt], journal)
            }
            Err(e) => match self.outcome(Err(e)) {
                Outcome::Unknown => {
                    self.pending_insert = Some(stamp);
                    self.counts.unknown += 1;
                    Next::Stop
                }
                outcome => self.settle(outcome, Vec::new(), journal),
            },
        }
    }

    /// What was acknowledged must be seen by every read that is sent afterwards.
    async fn read_own(&mut self, database: &Database) -> Next {
        let place = self.any_place();
        let collection = database.raw_collection(place.collection.name());
        match collection.get_if_exists(place.id).await {
            Ok(found) => {
                self.counts.reads += 1;
                let known = self.oracle.known.get(&place);
                let wanted = known.and_then(|k| Some((k.stamp?.document(), k.version)));
                let found = found.map(|f| (f.value, f.version));
                if found != wanted {
                    let versions = (wanted.map(|w| w.1), found.map(|f| f.1));
                    self.violations.push(format!("{place}: a read saw not what was acknowledged: (wanted, found) are {versions:?}"));
                }
                Next::GoOn
            }
            Err(e) => match self.outcome(Err(e)) {
                Outcome::Refused(_, next) => next,
                _ => Next::Stop,
            },
        }
    }

    /// A request that must be refused, and change nothing.
    async fn refused(&mut self, database: &Database) -> Next {
        let place = self.any_place();
        let there = self.is_there(place);
        let collection = database.raw_collection(place.collection.name());
        let document = self.stamp().document();
        let (result, wanted) = match (there, self.rng.chance(50)) {
            (true, true) => (
                collection.create(place.id, document).await,
                ErrorKind::AlreadyExists,
            ),
            (true, false) => {
                let version = self
                    .oracle
                    .known
                    .get(&place)
                    .map_or(0, |known| known.version);
                let other = WriteOptions::new().if_version(version + 1);
                let result = collection.with(other).update(place.id, document).await;
                (result, ErrorKind::VersionMismatch)
            }
            (false, true) => (
                collection.update(place.id, document).await,
                ErrorKind::NotFound,
            ),
            (false, false) => (collection.delete(place.id).await, ErrorKind::NotFound),
        };
        match result {
            Err(e) if e.kind() == wanted => {
                self.counts.refusals += 1;
                Next::GoOn
            }
            Ok(written) => {
                self.violations.push(format!(
                    "{place}: {wanted} was due, but the answer is {written:?}"
                ));
                Next::Stop
            }
            Err(e) => match self.outcome(Err(e)) {
                Outcome::Refused(_, next) => next,
                // A write that must be refused changes nothing, answered or not.
                _ => Next::Stop,
            },
        }
    }

    /// Looks for the insert whose answer never came; found, it is judged like any other write.
    pub(super) fn resolve_insert(&mut self, seen: &HashMap<Place, Seen>) {
        let Some(stamp) = self.pending_insert.take() else {
            return;
        };
        let found = seen.iter().find(|(place, seen)| {
            place.collection == Collection::Assigned && seen.stamp == Some(stamp)
        });
        if let Some((place, _)) = found {
            self.oracle.pending = vec![Attempt {
                place: *place,
                stamp: Some(stamp),
            }];
        }
    }

    pub(super) fn outcome(&mut self, result: Result<u64, docdb_client::Error>) -> Outcome {
        let error = match result {
            Ok(version) => return Outcome::Done(version),
            Err(error) => error,
        };
        self.last_error = Some(error.to_string());
        match error.kind() {
            ErrorKind::OutcomeUnknown => Outcome::Unknown,
            ErrorKind::Closed => Outcome::Refused(ErrorKind::Closed, Next::Stop),
            kind if error.is_connect() => Outcome::Refused(kind, Next::Stop),
            kind if error.is_retryable() => {
                self.counts.retryable += 1;
                Outcome::Refused(kind, Next::GoOn)
            }
            kind => {
                self.violations
                    .push(format!("lane {}: not expected: {error}", self.index));
                Outcome::Refused(kind, Next::Stop)
            }
        }
    }

    pub(super) fn settle(
        &mut self,
        outcome: Outcome,
        attempts: Vec<Attempt>,
        journal: &Journal,
    ) -> Next {
        match outcome {
            Outcome::Done(version) => {
                journal.acknowledged(self.kind.name, self.index, &attempts, version);
                if let Err(violation) = self.oracle.acknowledge(&attempts, version) {
                    self.violations
                        .push(format!("lane {}: {violation}", self.index));
                }
                Next::GoOn
            }
            Outcome::Refused(kind, next) => {
                journal.refused(self.kind.name, self.index, kind);
                next
            }
            Outcome::Unknown => {
                self.oracle.pending = attempts;
                self.counts.unknown += 1;
                Next::Stop
            }
        }
    }
}
