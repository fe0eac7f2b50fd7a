//! Starts a process for each run and prints what it measured.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use docdb_bench_peers::measure::Failure;
use serde_json::{Map, Value};

use crate::TASK;
use crate::case::Case;
use crate::options::Options;
use crate::task::Task;

pub struct Runner<'a> {
    pub options: &'a Options,
    program: PathBuf,
}

impl Runner<'_> {
    pub fn new(options: &Options) -> Result<Runner<'_>, Failure> {
        fs::create_dir_all(&options.dir)?;
        Ok(Runner {
            options,
            program: std::env::current_exe()?,
        })
    }

    /// Runs a case on a subject in this directory and prints the figures, or that it failed: one
    /// store that fails does not end the run of the others.
    pub fn run(&self, case: &Case, subject: &str, dir: &Path, repeat: u32) -> Result<(), Failure> {
        eprintln!(
            "repeat {} of {}: {} {}: {subject}",
            repeat + 1,
            self.options.repeats,
            case.row,
            case.name
        );
        let outcome = self.measure(&case.task(subject, dir));
        let mut line = outcome.unwrap_or_else(|error| {
            eprintln!("  failed: {error}");
            Map::from_iter([("error".to_owned(), error.to_string().into())])
        });
        let mut tell = |name: &str, value: Value| line.insert(name.to_owned(), value);
        tell("row", case.row.into());
        tell("case", case.name.as_str().into());
        tell("subject", subject.into());
        tell("durability", case.durability(subject)?.into());
        tell("figure", case.figure.name.into());
        tell("unit", case.figure.unit.into());
        tell("lower_is_better", case.figure.lower_is_better.into());
        tell("repeat", repeat.into());
        println!("{}", Value::from(line));
        Ok(())
    }

    /// What a process measured.
    pub fn measure(&self, task: &Task) -> Result<Map<String, Value>, Failure> {
        let output = self.command(task)?.output()?;
        if !output.status.success() {
            return Err(format!("its process ended with {}", output.status).into());
        }
        // Some stores print, too.
        let text = String::from_utf8(output.stdout)?;
        let last = text.lines().last().ok_or("its process printed nothing")?;
        Ok(serde_json::from_str(last)?)
    }

    /// Starts a process that says when it has done how much, and then kills it.
    pub fn kill(&self, task: &Task) -> Result<u64, Failure> {
        let mut child = self.command(task)?.spawn()?;
        let output = child.stdout.take().ok_or("its process has no output")?;
        let done = BufReader::new(output)
            .lines()
            .find_map(|line| line.map(|line| line.parse().ok()).transpose());
        child.kill()?;
        child.wait()?;
        Ok(done.ok_or("its process ended before it was killed")??)
    }

    fn command(&self, task: &Task) -> Result<Command, Failure> {
        let mut command = Command::new(&self.program);
        command.arg(TASK).arg(serde_json::to_string(task)?);
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        Ok(command)
    }

    /// An empty directory for this subject.
    pub fn fresh(&self, subject: &str) -> Result<PathBuf, Failure> {
        let dir = self.options.dir.join(subject);
        self.remove(subject)?;
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    pub fn remove(&self, subject: &str) -> Result<(), Failure> {
        let dir = self.options.dir.join(subject);
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
        Ok(())
    }
}
