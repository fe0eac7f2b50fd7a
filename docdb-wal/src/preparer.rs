//! The next segment, prepared in the background so that rotation is a pointer swap.

use crate::error::Result;
use crate::format::align_up;
use crate::format::segment::{CAPACITY_BYTES_MAX, Origin, SegmentHeader};
use crate::segment::{
    Preparing, SEGMENT_BYTES_LEAST, Segment, capacity_for, sync_name, usable_bytes,
};
use crate::writer::Home;

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
}

impl Preparer {
    pub(crate) fn new(wal_id: u128, current: &Segment, capacity_bytes_max: u64) -> Preparer {
        Preparer {
            wal_id,
            next_number: current.number + 1,
            next_capacity_bytes: grown(current.capacity_bytes, capacity_bytes_max),
            capacity_bytes_max,
            preparing: None,
            ready: None,
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
                };
                Preparing::start(vfs, &home.dir, header)?
            }
        };
        match step(&mut preparing) {
            Ok(true) => {
                let segment = preparing.rename(vfs)?;
                // Its name means the new file from here on, whether or not the sync succeeds.
                self.ready = None;
                sync_name(vfs, &home.dir)?;
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
