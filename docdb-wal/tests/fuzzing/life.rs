//! A life of a log on a simulated disk, as its input chooses.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use docdb_wal::vfs::sim::{CrashPolicy, SectorSize, SimVfs};
use docdb_wal::{Durability, Lsn, ManualDriver, Wal, WalOptions};

use super::check::is_part_of;
use super::choices::Choices;
use crate::common::{Entry, append, dir, disk, open_with, options, segments};

const STEPS_MAX: usize = 24;
const COPIES_MAX: usize = 12;

pub(crate) struct Life {
    pub(crate) vfs: SimVfs,
    pub(crate) options: WalOptions,
    pub(crate) wal: Wal,
    /// What was appended and not lost in a crash, what was retired included.
    pub(crate) entries: Vec<Entry>,
    /// The same as it stood before each crash, which a file of those days may still show.
    pub(crate) histories: Vec<Vec<Entry>>,
    /// Files as they were at some time.
    pub(crate) copies: Vec<(PathBuf, Vec<u8>)>,
    /// Records below this need not be there any more.
    pub(crate) retired_lsn: u64,
    appended_ever: u64,
}

impl Life {
    pub(crate) fn new(choices: &mut Choices<'_>) -> Life {
        let vfs = disk();
        let mut options = options();
        options.segment_bytes_max = choices.one_of(&[16 << 10, 64 << 10]);
        options.recycle_segments = choices.below(3);
        options.durability = choices.one_of(&[
            Durability::Full,
            Durability::Always,
            Durability::Interval(Duration::from_millis(50)),
            Durability::Os,
            Durability::Memory(Duration::from_millis(50)),
        ]);
        #[cfg(feature = "lz4")]
        if choices.flag() {
            options.compression = docdb_wal::Compression::Lz4;
        }
        let shared = Arc::new(vfs.clone());
        let wal = Wal::create(shared, dir(), options.clone(), Arc::new(ManualDriver)).unwrap();
        let mut life = Life {
            vfs,
            options,
            wal,
            entries: Vec::new(),
            histories: Vec::new(),
            copies: Vec::new(),
            retired_lsn: 0,
            appended_ever: 0,
        };
        for _ in 0..choices.below(STEPS_MAX) {
            life.step(choices);
        }
        life
    }

    pub(crate) fn append(&mut self, bytes: usize, wait: bool) {
        let (ticket, entry) = append(&self.wal, self.appended_ever, bytes).unwrap();
        self.appended_ever += 1;
        self.entries.push(entry);
        if wait {
            ticket.wait().unwrap();
        }
    }

    /// Appends to a log that may have been damaged meanwhile, and syncs: it may fail.
    pub(crate) fn append_more(&mut self, bytes: usize) {
        if let Ok((_, entry)) = append(&self.wal, self.appended_ever, bytes) {
            self.entries.push(entry);
            let _ = self.wal.sync();
        }
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.below(16) {
            0..=3 => self.append(choices.below(256), true),
            4..=5 => self.append(choices.below(256), false),
            6..=7 => {
                let wait = choices.flag();
                self.append(choices.below(12_000), wait);
            }
            8 => self.append(60_000 + choices.below(20_000), true),
            9 => self.wal.sync().unwrap(),
            10 => while self.wal.prepare_step().unwrap() {},
            11 => {
                self.vfs.advance(Duration::from_millis(60));
                self.wal.timed_step().unwrap();
            }
            12 => {
                self.wal.close().unwrap();
                self.reopen(true);
            }
            13 => {
                self.vfs.crash(&policy(choices));
                self.reopen(false);
            }
            14 => {
                let keep = choices.below(self.entries.len() + 1);
                let durable_lsn = self.wal.durable_lsn().0;
                if let Some(entry) = self.entries.get(keep)
                    && entry.lsn <= durable_lsn
                {
                    self.retired_lsn = self.retired_lsn.max(entry.lsn);
                    self.wal.retire_below(Lsn(entry.lsn)).unwrap();
                }
            }
            _ => self.copy_files(),
        }
    }

    fn copy_files(&mut self) {
        for path in segments(&self.vfs) {
            if self.copies.len() < COPIES_MAX {
                let bytes = self.vfs.read_file(&path).unwrap();
                self.copies.push((path, bytes));
            }
        }
    }

    fn reopen(&mut self, clean: bool) {
        let opened = open_with(&self.vfs, self.options.clone()).unwrap();
        assert_eq!(opened.report.clean, clean);
        assert!(is_part_of(&opened.entries, &self.entries));
        if !clean {
            self.histories.push(self.entries.clone());
        }
        self.entries.retain(|e| e.lsn <= opened.report.last_lsn);
        self.wal = opened.wal;
    }
}

/// What a crash spares.
pub(crate) fn policy(choices: &mut Choices<'_>) -> CrashPolicy {
    let seed = u64::from(choices.byte());
    match seed % 5 {
        0 => CrashPolicy::Kill,
        1 => CrashPolicy::KeepNone,
        2 => CrashPolicy::KeepAll,
        3 => CrashPolicy::Random {
            seed,
            sector: SectorSize::Bytes4096,
        },
        _ => CrashPolicy::Torn {
            seed,
            sector: SectorSize::Bytes512,
        },
    }
}
