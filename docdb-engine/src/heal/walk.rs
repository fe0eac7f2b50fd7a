//! Going through a data file, a run or the log once, part by part.

use std::path::Path;
use std::sync::atomic::Ordering;

use docdb_datafile::Damage;
use docdb_index::format::PAGE_BYTES;
use docdb_types::ErrorKind;
use docdb_wal::{LogReader, Lsn, WalError};

use super::damage;
use crate::db::Inner;
use crate::error::{Error, Result};

/// Most places that are told one by one.
pub(super) const PLACES_MAX: usize = 100;
/// What a record of the log takes beside its payload, about.
const RECORD_BYTES: u64 = 32;

/// What is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// The data file with that number.
    Data(u32),
    /// The run with that number.
    Run(u64),
    /// The segments of the log that there are.
    Log,
}

/// A way through a target.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) target: Target,
    /// Where the next part begins: an offset, a page, or a record's number.
    pub(super) at: u64,
    /// The damaged stretches of a data file so far.
    pub(super) damage: Vec<Damage>,
    /// What is damaged besides documents.
    pub(super) places: Vec<Error>,
    /// Pages of index entries that are damaged.
    pub(super) entries_damaged: u64,
    /// Whether the file's name has been looked for.
    is_looked_for: bool,
    log: Option<LogReader>,
    /// The last record that is read.
    log_end: u64,
}

/// What a part of it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) bytes: u64,
    pub(super) is_end: bool,
}

/// There is nothing, or nothing any more.
const NOTHING: Part = Part {
    bytes: 0,
    is_end: true,
};

impl Walk {
    /// From `at` on, which is 0 or where an earlier walk ended.
    pub(super) fn new(target: Target, at: u64) -> Walk {
        Walk {
            target,
            at,
            damage: Vec::new(),
            places: Vec::new(),
            entries_damaged: 0,
            is_looked_for: false,
            log: None,
            log_end: 0,
        }
    }

    fn place(&mut self, error: Error) {
        if self.places.len() < PLACES_MAX {
            self.places.push(error);
        }
    }
}

impl Inner {
    /// Verifies about `bytes_max` bytes more.
    ///
    /// # Errors
    /// `Io`: what cannot be read at all. What does not verify is noted.
    pub(super) fn walk_on(&self, walk: &mut Walk, bytes_max: u64) -> Result<Part> {
        self.check_open()?;
        let part = match walk.target {
            Target::Data(number) => self.walk_data(walk, number, bytes_max),
            Target::Run(number) => self.walk_run(walk, number, bytes_max),
            Target::Log => self.walk_log(walk, bytes_max),
        }?;
        let counters = &self.healing.counters;
        counters
            .scanned_bytes
            .fetch_add(part.bytes, Ordering::Relaxed);
        if walk.target != Target::Log {
            counters
                .scan_done_bytes
                .fetch_add(part.bytes, Ordering::Relaxed);
        }
        Ok(part)
    }

    fn walk_data(&self, walk: &mut Walk, number: u32, bytes_max: u64) -> Result<Part> {
        let Some(file) = self.store.get(number) else {
            return Ok(NOTHING);
        };
        if self.has_lost_name(walk, file.path(), || self.store.get(number).is_some()) {
            self.upkeep.evacuate_file(number, self.vfs.now());
            self.request_maintenance();
        }
        let scrubbed = file.scrub(walk.at, bytes_max)?;
        let bytes = scrubbed.offset.saturating_sub(walk.at);
        walk.at = scrubbed.offset;
        let header_bytes = docdb_datafile::format::FILE_HEADER_BYTES as u64;
        for stretch in scrubbed.damage {
            if stretch.from < header_bytes {
                let error = damaged_at(file.path(), 0, stretch.what);
                if self.note_place(walk.target, 0, &self.healing.counters.headers_damaged) {
                    self.tell_damage(&error, true);
                }
                walk.place(error);
                self.upkeep.evacuate_file(number, self.vfs.now());
                self.request_maintenance();
            }
            if stretch.to > header_bytes {
                damage::add(&mut walk.damage, vec![stretch]);
            }
        }
        Ok(Part {
            bytes,
            is_end: scrubbed.is_end,
        })
    }

    fn walk_run(&self, walk: &mut Walk, number: u64, bytes_max: u64) -> Result<Part> {
        let runs = self.index.runs();
        let Some(run) = runs.iter().find(|run| run.identity().number == number) else {
            return Ok(NOTHING);
        };
        let is_used = || {
            self.index
                .runs()
                .iter()
                .any(|r| r.identity() == run.identity())
        };
        if self.has_lost_name(walk, run.path(), is_used) {
            self.upkeep.rewrite_run(number, self.vfs.now());
            self.request_maintenance();
        }
        let pages = (bytes_max / PAGE_BYTES as u64).max(1);
        let scrubbed = run.scrub(walk.at, pages)?;
        let bytes = (scrubbed.page - walk.at) * PAGE_BYTES as u64;
        walk.at = scrubbed.page;
        let counters = &self.healing.counters;
        for offset in scrubbed.entries_damaged {
            walk.entries_damaged += 1;
            let error = damaged_at(run.path(), offset, "a page of index entries");
            if self.note_place(walk.target, offset, &counters.index_pages_damaged) {
                self.tell_damage(&error, false);
            }
            walk.place(error);
        }
        for offset in scrubbed.others_damaged {
            let error = damaged_at(run.path(), offset, "a page without index entries");
            if self.note_place(walk.target, offset, &counters.headers_damaged) {
                self.tell_damage(&error, true);
            }
            walk.place(error);
            self.upkeep.rewrite_run(number, self.vfs.now());
            self.request_maintenance();
        }
        Ok(Part {
            bytes,
            is_end: scrubbed.is_end,
        })
    }

    /// Whether somebody has removed the file: it can be read, but not opened again.
    fn has_lost_name(&self, walk: &mut Walk, path: &Path, is_used: impl Fn() -> bool) -> bool {
        if std::mem::replace(&mut walk.is_looked_for, true) {
            return false;
        }
        // What is replaced is taken out of use before its name is taken away. If it cannot be told
        // whether the name is there, the next scrub looks again.
        if self.vfs.exists(path).unwrap_or(true) || !is_used() {
            return false;
        }
        let path = path.display();
        let error = Error::new(ErrorKind::Corrupt, format!("{path} has been removed"));
        // Beside the header, which may be damaged as well.
        if self.note_place(
            walk.target,
            u64::MAX,
            &self.healing.counters.headers_damaged,
        ) {
            self.tell_damage(&error, true);
        }
        walk.place(error);
        true
    }

    fn walk_log(&self, walk: &mut Walk, bytes_max: u64) -> Result<Part> {
        let mut bytes = 0;
        let outcome = loop {
            let reader = match &mut walk.log {
                Some(reader) => reader,
                none => {
                    walk.log_end = self.wal.durable_lsn().0;
                    let opened = self.wal.oldest_lsn().and_then(|oldest| {
                        walk.at = walk.at.max(oldest.0);
                        self.wal.read_from(Lsn(walk.at))
                    });
                    match opened {
                        Ok(reader) => none.insert(reader),
                        Err(error) => break Err(error),
                    }
                }
            };
            match reader.next() {
                Ok(Some(record)) => {
                    bytes += record.stored_bytes as u64 + RECORD_BYTES;
                    walk.at = record.lsn.0 + 1;
                    if walk.at > walk.log_end {
                        break Ok(true);
                    }
                    if bytes >= bytes_max {
                        break Ok(false);
                    }
                }
                Ok(None) => break Ok(true),
                Err(error) => break Err(error),
            }
        };
        let is_end = match outcome {
            Ok(is_end) => is_end,
            // Retired meanwhile.
            Err(WalError::NotRetained { .. }) => true,
            Err(error) if is_log_damage(&error) => {
                let error = Error::from(error);
                if self.note_place(Target::Log, walk.at, &self.healing.counters.log_damaged) {
                    self.tell_damage(&error, false);
                }
                walk.place(error);
                walk.at = walk.log_end + 1;
                // What only the damaged log held is in memory, and then in data files: once a
                // checkpoint lies in another segment, no open reads what is damaged.
                self.checkpoint()?;
                true
            }
            Err(error) => {
                walk.log = None;
                return Err(error.into());
            }
        };
        if is_end {
            walk.log = None;
        }
        Ok(Part { bytes, is_end })
    }
}

/// Whether that part of the log is lost, rather than out of reach for the moment.
fn is_log_damage(error: &WalError) -> bool {
    match error {
        WalError::Corrupt { .. } | WalError::UnsupportedVersion { .. } => true,
        WalError::Io(io) => io.is_device_error() || io.is_not_found(),
        _ => false,
    }
}

fn damaged_at(path: &Path, offset: u64, what: &str) -> Error {
    let path = path.display();
    Error::new(
        ErrorKind::Corrupt,
        format!("{path} is damaged at offset {offset}: {what}"),
    )
}
