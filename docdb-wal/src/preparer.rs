//! The next segment, prepared in the background so that rotation is a pointer swap.

use std::path::Path;

use crate::error::Result;
use crate::format::align_up;
use crate::format::segment::{CAPACITY_BYTES_MAX, Origin, SegmentHeader};
use crate::options::WalOptions;
use crate::recovery::first_capacity;
use crate::reserve::{self, Reserve};
use crate::segment::{
    Preparing, Retired, SEGMENT_BYTES_LEAST, Segment, capacity_for, sync_name, usable_bytes,
};
use crate::writer::Home;

/// No more retired files than this are kept for reuse, whatever the options say.
const RETIRED_FILES_MAX: usize = 16;

/// At most one segment ahead of the one being written.
#[derive(Debug)]
pub(crate) struct Preparer {
    wal_id: u128,
    /// The number and capacity that the next segment gets.
    next_number: u64,
    next_capacity_bytes: u64,
    capacity_bytes_max: u64,
    preparing: Option<Preparing>,
    ready: Option<Segment>,
    /// Files for the next segments; at most `retired_max`.
    retired: Vec<Retired>,
    retired_max: usize,
    reserve: Reserve,
    /// A sync of the directory has failed.
    in_doubt: bool,
}

impl Preparer {
    pub(crate) fn new(
        wal_id: u128,
        current: &Segment,
        options: &WalOptions,
        reserve: Reserve,
    ) -> Preparer {
        let capacity_bytes_max = options.segment_bytes_most();
        Preparer {
            wal_id,
            next_number: current.number + 1,
            next_capacity_bytes: grown(current.capacity_bytes, capacity_bytes_max)
                .max(first_capacity(options, 0)),
            capacity_bytes_max,
            preparing: None,
            ready: None,
            retired: Vec::new(),
            reserve,
            in_doubt: false,
            retired_max: options.recycle_segments.min(RETIRED_FILES_MAX),
        }
    }

    /// Bytes that groups can use of the prepared segment; 0 if there is none.
    pub(crate) fn ready_bytes(&self) -> u64 {
        self.ready
            .as_ref()
            .map_or(0, |segment| usable_bytes(segment.capacity_bytes))
    }

    pub(crate) fn ready_segment(&self) -> Option<&Segment> {
        self.ready.as_ref()
    }

    /// Whether a sync of the log's directory has failed: then no name that was given in it since, by
    /// whomever, can be known to be durable ever again.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.in_doubt || self.reserve.is_in_doubt()
    }

    /// Whether the file of a retired segment of this capacity is worth keeping.
    pub(crate) fn wants_retired(&self, capacity_bytes: u64) -> bool {
        let largest = grown(self.capacity_bytes_max, self.capacity_bytes_max);
        self.retired.len() < self.retired_max
            && capacity_bytes >= self.next_capacity_bytes
            && capacity_bytes <= largest.max(self.next_capacity_bytes)
    }

    pub(crate) fn keep_retired(&mut self, retired: Retired) {
        self.retired.push(retired);
    }

    /// How many files of retired segments are kept, and their bytes.
    pub(crate) fn retired(&self) -> (u64, u64) {
        let bytes = self.retired.iter().map(|file| file.capacity_bytes).sum();
        (self.retired.len() as u64, bytes)
    }

    /// Bytes of the files that it has, but for those set aside for a recovery.
    pub(crate) fn file_bytes(&self) -> u64 {
        let preparing = self.preparing.as_ref().map_or(0, Preparing::capacity_bytes);
        let ready = self.ready.as_ref().map_or(0, |ready| ready.capacity_bytes);
        preparing + ready + self.retired().1
    }

    /// The capacity of the segment behind the current one, which may be still to come.
    pub(crate) fn next_bytes(&self) -> u64 {
        let begun = self.preparing.as_ref().map(Preparing::capacity_bytes);
        let ready = self.ready.as_ref().map(|ready| ready.capacity_bytes);
        ready.or(begun).unwrap_or(self.next_capacity_bytes)
    }

    /// By how much the log's files grow if a segment with room for `bytes` of groups is begun now.
    pub(crate) fn growth_bytes(&self, bytes: u64) -> u64 {
        let capacity_bytes = self.next_capacity_bytes.max(capacity_for(bytes));
        let is_there = self.ready_bytes() >= bytes && self.ready.is_some();
        let fits = |begun: &Preparing| begun.capacity_bytes() >= capacity_bytes;
        if is_there || self.preparing.as_ref().is_some_and(fits) {
            return 0;
        }
        let reserve = reserve::wanted_bytes(capacity_bytes).saturating_sub(self.reserve.bytes());
        let reused = self.retired.last().map_or(0, |file| file.capacity_bytes);
        // One that is too small makes place.
        (capacity_bytes + reserve).saturating_sub(reused)
    }

    /// Gives up a file that is kept for reuse; `None` if there is none.
    pub(crate) fn drop_retired(&mut self, home: &Home) -> Option<u64> {
        let retired = self.retired.pop()?;
        // Recovery removes such files too.
        let _ = home.vfs.remove_file(&retired.temporary);
        Some(retired.capacity_bytes)
    }

    /// The largest capacity of segments, but for those that one record needs larger.
    pub(crate) fn capacity_bytes_max(&self) -> u64 {
        grown(self.capacity_bytes_max, self.capacity_bytes_max)
    }

    /// Bytes set aside for a recovery.
    pub(crate) fn reserved_bytes(&self) -> u64 {
        self.reserve.bytes()
    }

    /// A retired file that is large enough, made into the next segment but for its header. Those that
    /// have become too small are removed, as is one of another length than it had; an error of that is
    /// of no consequence, since recovery removes such files too.
    fn reuse(&mut self, home: &Home, header: SegmentHeader) -> Result<Option<Preparing>> {
        let vfs = home.vfs.as_ref();
        let remove = |path: &Path| {
            let _ = vfs.remove_file(path);
        };
        while let Some(retired) = self.retired.pop() {
            let temporary = retired.temporary.clone();
            if retired.capacity_bytes >= header.capacity_bytes {
                match Preparing::reuse(vfs, &home.dir, retired, header) {
                    Ok(Some(preparing)) => return Ok(Some(preparing)),
                    Ok(None) => {}
                    Err(error) => {
                        remove(&temporary);
                        return Err(error);
                    }
                }
            }
            remove(&temporary);
        }
        Ok(None)
    }

    /// Writes the next part of the segment. Returns whether there is more to do.
    ///
    /// A failure loses nothing: the file is abandoned, and the next call starts over with a new one.
    pub(crate) fn step(&mut self, home: &Home, durable: (u64, u64)) -> Result<bool> {
        if self.ready.is_some() {
            return Ok(false);
        }
        self.build(home, durable, Preparing::step)
    }

    /// Takes the preparation further by `step`, which says whether the file is complete.
    fn build(
        &mut self,
        home: &Home,
        durable: (u64, u64),
        step: impl FnOnce(&mut Preparing) -> Result<bool>,
    ) -> Result<bool> {
        let vfs = home.vfs.as_ref();
        let mut preparing = match self.preparing.take() {
            Some(preparing) => preparing,
            None => {
                let header = SegmentHeader {
                    wal_id: self.wal_id,
                    segment: self.next_number,
                    capacity_bytes: self.next_capacity_bytes,
                    durable_lsn: durable.0,
                    durable_group: durable.1,
                    origin: Origin::Successor,
                    recycled: false,
                };
                let preparing = match self.reuse(home, header)? {
                    Some(preparing) => preparing,
                    None => Preparing::start(vfs, &home.dir, header)?,
                };
                // A segment that cannot be recovered on a full disk is not written to.
                let bytes = reserve::wanted_bytes(preparing.capacity_bytes());
                if let Err(error) = self.reserve.grow(vfs, &home.dir, bytes) {
                    preparing.abandon(vfs);
                    return Err(error);
                }
                preparing
            }
        };
        match step(&mut preparing) {
            Ok(true) => {
                let segment = preparing.rename(vfs)?;
                // Its name means the new file from here on, whether or not the sync succeeds.
                self.ready = None;
                if let Err(error) = sync_name(vfs, &home.dir) {
                    self.in_doubt = true;
                    return Err(error);
                }
                self.ready = Some(segment);
                Ok(false)
            }
            Ok(false) => {
                self.preparing = Some(preparing);
                Ok(true)
            }
            Err(error) => {
                preparing.abandon(vfs);
                Err(error)
            }
        }
    }

    /// Sees to it that a segment with room for `bytes` of groups is ready, at once: somebody waits for
    /// it, so what is not written yet is only reserved. One that is too small
    /// stays until the larger one takes its name, so that a full disk takes no room away; the caller
    /// has made sure that nobody counts on it.
    pub(crate) fn ensure(&mut self, home: &Home, durable: (u64, u64), bytes: u64) -> Result<()> {
        if self.ready_bytes() >= bytes {
            return Ok(());
        }
        let planned = self.next_capacity_bytes;
        if usable_bytes(planned) < bytes {
            if let Some(preparing) = self.preparing.take() {
                preparing.abandon(home.vfs.as_ref());
            }
            self.next_capacity_bytes = capacity_for(bytes);
        }
        let outcome = self
            .build(home, durable, Preparing::finish_reserved)
            .map(|_| ());
        if outcome.is_err() {
            // One large record that found no space does not make the next small one need as much.
            self.next_capacity_bytes = planned;
        }
        outcome
    }

    /// Gives up so much of what is set aside while `use_it` runs, then sets it aside again as far as
    /// there is space.
    pub(crate) fn lend<T>(
        &mut self,
        home: &Home,
        bytes: u64,
        use_it: impl FnOnce() -> T,
    ) -> Result<T> {
        let vfs = home.vfs.as_ref();
        let wanted = self.reserve.bytes();
        let left = wanted.saturating_sub(bytes);
        self.reserve.shrink(vfs, &home.dir, left)?;
        let outcome = use_it();
        self.reserve.grow_if_possible(vfs, &home.dir, wanted)?;
        Ok(outcome)
    }

    /// Removes what is prepared or kept for reuse, and keeps no more set aside than the next opening
    /// needs, which begins a segment of `opening_bytes`. For a log that is at its end: an error is of
    /// no consequence.
    pub(crate) fn give_back(&mut self, home: &Home, opening_bytes: u64) {
        let vfs = home.vfs.as_ref();
        if let Some(preparing) = self.preparing.take() {
            preparing.abandon(vfs);
        }
        if let Some(ready) = self.ready.take() {
            let _ = vfs.remove_file(&ready.path);
        }
        for retired in self.retired.drain(..) {
            let _ = vfs.remove_file(&retired.temporary);
        }
        let wanted = reserve::wanted_bytes(opening_bytes);
        let _ = self.reserve.shrink(vfs, &home.dir, wanted);
    }

    /// Hands the prepared segment over to become the current one.
    pub(crate) fn take(&mut self) -> Option<Segment> {
        let segment = self.ready.take()?;
        self.next_number = segment.number + 1;
        self.next_capacity_bytes = grown(segment.capacity_bytes, self.capacity_bytes_max);
        Some(segment)
    }
}

fn grown(capacity_bytes: u64, max: u64) -> u64 {
    align_up((capacity_bytes * 2).min(max)).clamp(SEGMENT_BYTES_LEAST, CAPACITY_BYTES_MAX)
}
