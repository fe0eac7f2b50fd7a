//! One line of the table of targets, or a part of one.

use std::path::Path;

use docdb_bench_peers::measure::Failure;

use crate::document::Ids;
use crate::options::Options;
use crate::store::{DEVICE, Mode, SUBJECTS, subject};
use crate::task::{Task, Work};

/// What is compared.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
    pub lower_is_better: bool,
}

pub const RATE: Figure = higher("rate", "/s");
pub const READ_SHARE: Figure = higher("read_share", "x");
pub const OPEN: Figure = lower("open_ms", "ms");
pub const RESIDENT: Figure = lower("rss_mib", "MiB");
pub const P99_RATIO: Figure = lower("p99_ratio", "x");

const fn higher(name: &'static str, unit: &'static str) -> Figure {
    Figure {
        name,
        unit,
        lower_is_better: false,
    }
}

const fn lower(name: &'static str, unit: &'static str) -> Figure {
    Figure {
        name,
        unit,
        lower_is_better: true,
    }
}

/// Something that several subjects do.
#[derive(Debug, Clone)]
pub struct Case {
    pub row: &'static str,
    pub name: String,
    pub figure: Figure,
    /// With neither subject nor directory yet.
    task: Task,
    subjects: Vec<&'static str>,
}

impl Case {
    /// A case of all stores that have such a mode, on documents 1 to `documents`.
    pub fn new(
        row: &'static str,
        name: impl Into<String>,
        (work, mode, documents): (Work, Mode, u64),
        options: &Options,
    ) -> Case {
        let has_mode = |name: &&str| subject(name).is_ok_and(|it| (it.durability)(mode).is_some());
        let subjects = SUBJECTS.iter().map(|subject| subject.name);
        Case {
            row,
            name: name.into(),
            figure: RATE,
            subjects: subjects.filter(has_mode).collect(),
            task: Task {
                work,
                subject: String::new(),
                dir: Default::default(),
                mode,
                cache_bytes: None,
                ids: Ids::Dense,
                documents,
                seconds: options.seconds,
            },
        }
    }

    pub fn figure(self, figure: Figure) -> Case {
        Case { figure, ..self }
    }

    pub fn cache(mut self, bytes: u64) -> Case {
        self.task.cache_bytes = Some(bytes);
        self
    }

    pub fn ids(mut self, ids: Ids) -> Case {
        self.task.ids = ids;
        self
    }

    /// Only DocDB has it.
    pub fn ours(mut self) -> Case {
        self.subjects
            .retain(|name| ["docdb", DEVICE].contains(name));
        self
    }

    /// Beside the same work done bare.
    pub fn beside_device(mut self) -> Case {
        self.subjects.insert(0, DEVICE);
        self
    }

    pub fn task(&self, subject: &str, dir: &Path) -> Task {
        Task {
            subject: subject.to_owned(),
            dir: dir.to_owned(),
            ..self.task.clone()
        }
    }

    /// What the store calls the durability of this case; nothing where nothing is written.
    pub fn durability(&self, name: &str) -> Result<&'static str, Failure> {
        let mode = self.task.mode;
        Ok(match self.task.work {
            Work::Read { .. } | Work::Scan | Work::Resident | Work::Open { overwritten: 0 } => "-",
            _ if name != DEVICE => (subject(name)?.durability)(mode).unwrap_or("-"),
            _ => match mode {
                Mode::Synced => "fdatasync",
                Mode::Load => "fdatasync at the end",
                Mode::Os | Mode::Memory => "write(2)",
            },
        })
    }

    /// Those asked for, each time beginning with another one, after the device.
    pub fn subjects(&self, options: &Options, repeat: u32) -> Vec<&'static str> {
        let is_asked = |name: &&&str| options.has_subject(name);
        let (device, mut stores): (Vec<&str>, Vec<&str>) = {
            let asked = self.subjects.iter().filter(is_asked).copied();
            asked.partition(|name| *name == DEVICE)
        };
        let first = repeat as usize % stores.len().max(1);
        stores.rotate_left(first);
        [device, stores].concat()
    }
}
