//! Restoring documents from their copies.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use docdb_datafile::DataFileError;

use super::{LOST_MAX, Wanted, is_damage};
use crate::db::Inner;
use crate::error::{Error, Result};
use crate::heal::sources::Effort;
use crate::upkeep::Relocated;

/// Copies are written when so many bytes of them are in memory.
const COPIES_BYTES_MAX: usize = 8 << 20;

/// What became of a document that was looked at.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    /// It verifies.
    Intact,
    /// It was damaged, and is durable anew.
    Healed,
    /// It has a newer version, or is deleted, or has another place.
    Superseded,
    /// It is damaged, and there is no copy: what the read says.
    Lost(Error),
}

/// Who wants documents restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    OnDemand,
    InBackground,
}

/// Copies that are not written yet.
#[derive(Default)]
struct Copies {
    at: Vec<usize>,
    found: Vec<(Wanted, Arc<[u8]>)>,
    bytes: usize,
}

impl Inner {
    /// Reads these documents from the disk, and restores those that are damaged and have a copy. What
    /// is told to be healed is durable.
    ///
    /// # Errors
    /// `Io`, `DiskFull`, `Poisoned`, `Closed`: some may be healed all the same.
    pub(super) fn heal_batch(&self, wanted: &[Wanted], how: How) -> Result<Vec<Fate>> {
        let mut fates = Vec::with_capacity(wanted.len());
        let mut damaged = Vec::new();
        let mut errors = Vec::new();
        for (at, one) in wanted.iter().enumerate() {
            self.check_open()?;
            fates.push(match self.store.read(one.pointer.0, &one.frame()) {
                Ok(_) => Fate::Intact,
                Err(DataFileError::NoSuchFile { .. }) => Fate::Superseded,
                // Out of reach for the moment.
                Err(error @ DataFileError::Io(_)) if !is_damage(&error) => {
                    return Err(error.into());
                }
                Err(error) => {
                    damaged.push(at);
                    errors.push(Error::from(error));
                    Fate::Lost(errors[errors.len() - 1].clone())
                }
            });
        }
        let sought: Vec<Wanted> = damaged.iter().map(|&at| wanted[at]).collect();
        let mut copies = Copies::default();
        self.copies_of(&sought, Effort::All, &mut |i, body| {
            copies.bytes += body.len();
            copies.at.push(damaged[i]);
            copies.found.push((sought[i], body));
            match copies.bytes >= COPIES_BYTES_MAX {
                true => self.write_copies(&mut copies, &mut fates, how),
                false => Ok(()),
            }
        })?;
        self.write_copies(&mut copies, &mut fates, how)?;
        // Only what is current is lost.
        let left = damaged
            .iter()
            .filter(|at| matches!(fates[**at], Fate::Lost(_)));
        let left: Vec<usize> = left.copied().collect();
        for at in left {
            // Where the runs are damaged, too, nobody knows.
            if matches!(self.is_current(&wanted[at]), Ok(false)) {
                fates[at] = Fate::Superseded;
            }
        }
        for at in self.note_fates(wanted, &fates) {
            if let Fate::Lost(error) = &fates[at] {
                self.tell_document(&wanted[at], error, false);
            }
        }
        for (at, error) in damaged.into_iter().zip(&errors) {
            if matches!(fates[at], Fate::Healed) {
                self.tell_document(&wanted[at], error, true);
            }
        }
        Ok(fates)
    }

    fn write_copies(&self, copies: &mut Copies, fates: &mut [Fate], how: How) -> Result<()> {
        let copies = std::mem::take(copies);
        if copies.found.is_empty() {
            return Ok(());
        }
        let outcomes = self.relocate(&copies.found)?;
        let mut healed = 0;
        for (at, outcome) in copies.at.into_iter().zip(outcomes) {
            fates[at] = match outcome {
                Relocated::Done => {
                    healed += 1;
                    Fate::Healed
                }
                Relocated::Superseded => Fate::Superseded,
                // What the read said.
                Relocated::Unknown => continue,
            };
        }
        let counters = &self.healing.counters;
        let counter = match how {
            How::OnDemand => &counters.healed_on_demand,
            How::InBackground => &counters.healed_in_background,
        };
        counter.fetch_add(healed, Ordering::Relaxed);
        if healed > 0 {
            super::set_due(&counters.last_healed, Some(self.vfs.now()));
        }
        Ok(())
    }

    /// Counts what was found. Returns the positions of those that are newly lost, as far as these are
    /// remembered.
    fn note_fates(&self, wanted: &[Wanted], fates: &[Fate]) -> Vec<usize> {
        let mut new = Vec::new();
        let (mut found, mut unhealable) = (0, 0);
        let mut lost = self.healing.lost.lock();
        for (at, (one, fate)) in wanted.iter().zip(fates).enumerate() {
            match fate {
                Fate::Lost(_) if lost.get(&one.key) == Some(one) => {}
                Fate::Lost(_) => {
                    found += 1;
                    unhealable += 1;
                    if lost.len() < LOST_MAX || lost.contains_key(&one.key) {
                        lost.insert(one.key, *one);
                        new.push(at);
                    }
                }
                fate => {
                    let was_lost = lost.remove(&one.key).as_ref() == Some(one);
                    found += u64::from(matches!(fate, Fate::Healed) && !was_lost);
                }
            }
        }
        drop(lost);
        let counters = &self.healing.counters;
        counters.found.fetch_add(found, Ordering::Relaxed);
        counters.unhealable.fetch_add(unhealable, Ordering::Relaxed);
        if found > 0 {
            super::set_due(&counters.last_found, Some(self.vfs.now()));
        }
        new
    }

    /// Forgets of what is lost what has been superseded, deleted or dropped.
    pub(super) fn review_lost(&self) {
        let lost: Vec<Wanted> = self.healing.lost.lock().values().copied().collect();
        for one in lost {
            if matches!(self.is_current(&one), Ok(false)) {
                self.healing.lost.lock().remove(&one.key);
            }
        }
    }
}
