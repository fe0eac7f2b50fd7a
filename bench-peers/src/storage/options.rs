//! What is asked for.

use std::path::PathBuf;

use docdb_bench_peers::measure::Failure;

use crate::store::{DEVICE, subject};

const USAGE: &str = "options: --dir DIR [--scale smoke|small|full] [--repeats N] [--seconds S] \
                     [--rows T7,T8] [--subjects docdb,redb]";

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    pub name: &'static str,
    /// What the table of targets calls so.
    pub ten_million: u64,
    pub million: u64,
    pub hundred_thousand: u64,
    pub ten_thousand: u64,
    /// Overwrites before a process is killed.
    pub before_kill: u64,
    /// What has a number of writes for its end ends after this time all the same.
    pub seconds_max: f64,
    pub repeats: u32,
    pub seconds: f64,
}

const SCALES: [Scale; 3] = [
    Scale {
        name: "smoke",
        ten_million: 5_000,
        million: 3_000,
        hundred_thousand: 1_000,
        ten_thousand: 1_000,
        before_kill: 200,
        seconds_max: 0.2,
        repeats: 1,
        seconds: 0.03,
    },
    Scale {
        name: "small",
        ten_million: 500_000,
        million: 100_000,
        hundred_thousand: 10_000,
        ten_thousand: 10_000,
        before_kill: 10_000,
        seconds_max: 5.0,
        repeats: 3,
        seconds: 0.5,
    },
    Scale {
        name: "full",
        ten_million: 10_000_000,
        million: 1_000_000,
        hundred_thousand: 100_000,
        ten_thousand: 10_000,
        before_kill: 100_000,
        seconds_max: 60.0,
        repeats: 3,
        seconds: 2.0,
    },
];

#[derive(Debug)]
pub struct Options {
    pub dir: PathBuf,
    pub scale: Scale,
    pub repeats: u32,
    pub seconds: f64,
    rows: Vec<String>,
    subjects: Vec<String>,
}

impl Options {
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, Failure> {
        let [_, mut scale, _] = SCALES;
        let (mut dir, mut repeats, mut seconds) = (PathBuf::new(), None, None);
        let (mut rows, mut subjects) = (Vec::new(), Vec::new());
        let list = |text: String| text.split(',').map(|part| part.trim().to_owned()).collect();
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or(USAGE)?;
            match name.as_str() {
                "--dir" => dir = value.into(),
                "--scale" => {
                    let found = SCALES.into_iter().find(|scale| scale.name == value);
                    scale = found.ok_or(USAGE)?;
                }
                "--repeats" => repeats = Some(value.parse()?),
                "--seconds" => seconds = Some(value.parse()?),
                "--rows" => rows = list(value),
                "--subjects" => subjects = list(value),
                _ => return Err(USAGE.into()),
            }
        }
        if dir.as_os_str().is_empty() {
            return Err(USAGE.into());
        }
        for name in subjects.iter().filter(|name| *name != DEVICE) {
            subject(name)?;
        }
        Ok(Options {
            dir,
            scale,
            repeats: repeats.unwrap_or(scale.repeats),
            seconds: seconds.unwrap_or(scale.seconds),
            rows,
            subjects,
        })
    }

    pub fn has_row(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|chosen| chosen == row)
    }

    /// The device is always there: it is what the others are compared with.
    pub fn has_subject(&self, name: &str) -> bool {
        name == DEVICE || self.subjects.is_empty() || self.subjects.iter().any(|it| it == name)
    }
}
