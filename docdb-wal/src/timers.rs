//! What a log has to do by the clock.

use std::time::Duration;

use crate::durability::Durability;

/// A log without appends for this long writes its idle marker.
const IDLE_AFTER: Duration = Duration::from_millis(50);

/// Since when something waits to be done. The driver is asked when the first of these begins, or when
/// one is due before the time that the last timed step told it to come back at.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Timers {
    /// When the driver will come by itself.
    driver_comes: Option<Duration>,
    /// Since when the open group holds records that nobody waits for.
    open_since: Option<Duration>,
    /// Since when bytes are written and not synced.
    unsynced_since: Option<Duration>,
    /// When records were last written or appended, unless a marker has been written since.
    active_at: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    Write,
    Sync,
    Marker,
}

impl Timers {
    /// Whether the driver must be asked to come, and when: it would come too late by itself.
    pub(crate) fn wants_driver(&self, mode: Durability) -> Option<Duration> {
        let (due, _) = self.next(mode)?;
        self.driver_comes.is_none_or(|at| due < at).then_some(due)
    }

    /// The driver will come at that time, or not by itself.
    pub(crate) fn set_driver_comes(&mut self, at: Option<Duration>) {
        self.driver_comes = at;
    }

    /// A record that nobody waits for was appended to an empty group.
    pub(crate) fn appended(&mut self, now: Duration) {
        self.open_since.get_or_insert(now);
        self.active_at = Some(now);
    }

    /// Records were written.
    pub(crate) fn flushed(&mut self, now: Duration, unsynced: bool, open_is_empty: bool) {
        self.open_since = if open_is_empty { None } else { Some(now) };
        self.unsynced_since = if unsynced {
            self.unsynced_since.or(Some(now))
        } else {
            None
        };
        self.active_at = Some(now);
    }

    /// The idle marker was written, or cannot be.
    pub(crate) fn marked(&mut self) {
        *self = Timers {
            driver_comes: self.driver_comes,
            ..Timers::default()
        };
    }

    /// What is to be done next, and when.
    pub(crate) fn next(&self, mode: Durability) -> Option<(Duration, Task)> {
        let timed = match mode {
            Durability::Interval(interval) => self
                .unsynced_since
                .map(|since| (since.saturating_add(interval), Task::Sync)),
            Durability::Memory(interval) => self
                .open_since
                .map(|since| (since.saturating_add(interval), Task::Write)),
            _ => None,
        };
        let marker = self.active_at.map(|at| (at + IDLE_AFTER, Task::Marker));
        match (timed, marker) {
            (Some(timed), _) => Some(timed),
            (None, marker) => marker,
        }
    }

    /// Whether a timed mode has fallen so far behind that appends must wait.
    pub(crate) fn is_behind(&self, mode: Durability, now: impl FnOnce() -> Duration) -> bool {
        let (since, interval) = match mode {
            Durability::Interval(interval) => (self.unsynced_since, interval),
            Durability::Memory(interval) => (self.open_since, interval),
            _ => return false,
        };
        since.is_some_and(|since| now() > since.saturating_add(interval.saturating_mul(2)))
    }
}
