//! One part with one bug, in a process of its own.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use docdb_crashtest::Job;
use serde_json::Value;

use super::builds::Builds;

/// On top of its time: to start, to come to an end, to clean up. Whoever takes longer hangs.
const GRACE: Duration = Duration::from_secs(30);

/// After so long a process that was asked to end is made to.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// Longest text that is kept of a violation.
const WHAT_CHARS_MAX: usize = 160;

/// What a part saw of a bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Caught {
        after: Duration,
        what: String,
    },
    Nothing,
    /// The part could not do its work.
    Failed(String),
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Seen::Caught { after, what } => {
                write!(f, "caught in {:.1} s ({what})", after.as_secs_f64())
            }
            Seen::Nothing => f.write_str("not seen"),
            Seen::Failed(what) => write!(f, "could not run ({what})"),
        }
    }
}

/// Runs the part, with a bug or without, until it sees a broken promise or its time is over. A part that
/// hangs or breaks down has seen the bug as well: without it, it does neither.
pub(super) fn run(
    builds: &Builds,
    job: &Job<'_>,
    part: &str,
    bug: Option<&str>,
    dir: &Path,
    time: Duration,
) -> Result<Seen, String> {
    let io = |e: std::io::Error| format!("{}: {e}", dir.display());
    fs::create_dir_all(dir).map_err(io)?;
    let json = dir.join("report.json");
    let log = File::create(dir.join("log")).map_err(io)?;
    let mut command = Command::new(&builds.xtask);
    command
        .args(["crashtest", "--only", part])
        .args(bug.iter().flat_map(|bug| ["--plant", bug]))
        .args(["--seconds", &time.as_secs().to_string()])
        .args(["--seed", &job.seed.to_string(), "--threads", "1"])
        .arg("--server")
        .arg(&builds.server)
        .arg("--dir")
        .arg(dir)
        .arg("--json")
        .arg(&json)
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(io)?)
        .stderr(log)
        // Out of reach of a Ctrl-C in the terminal: it is ended from here.
        .process_group(0);
    let began = Instant::now();
    let child = command.spawn();
    let mut child = child.map_err(|e| format!("{}: {e}", builds.xtask.display()))?;
    let status = wait(&mut child, job, time + GRACE);
    let after = began.elapsed();
    let caught = |what: String| Seen::Caught { after, what };
    let seen = match (status, report(&json)) {
        (None, _) if super::is_stopped(job) => Seen::Failed("ended early".to_owned()),
        (None, _) => caught("it hung".to_owned()),
        (Some(_), Some(report)) => judge(&report, after),
        (Some(status), None) => match refusal(status) {
            true => Seen::Failed(last_line(&dir.join("log"))),
            false => caught(format!("it broke down: {}", last_line(&dir.join("log")))),
        },
    };
    super::clear(dir);
    Ok(seen)
}

/// Whether the process ended with a word about what is wrong with its surroundings.
fn refusal(status: ExitStatus) -> bool {
    matches!(status.code(), Some(1 | 2))
}

/// Waits for the end; nothing if it had to be made to end.
fn wait(child: &mut Child, job: &Job<'_>, most: Duration) -> Option<ExitStatus> {
    let began = Instant::now();
    while began.elapsed() < most && !super::is_stopped(job) {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => std::thread::sleep(Duration::from_millis(10)),
            Err(_) => break,
        }
    }
    // As Ctrl-C does, so that it ends its servers.
    let pid = rustix::process::Pid::from_child(child);
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
    let asked = Instant::now();
    while asked.elapsed() < END_TIMEOUT {
        if let Ok(Some(_)) = child.try_wait() {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn report(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn judge(report: &Value, after: Duration) -> Seen {
    let part = &report["parts"][0];
    if let Some(what) = part["outcome"]["violations"][0]["what"].as_str() {
        let what = what.replace('\n', " ");
        return Seen::Caught {
            after,
            what: cut(&what),
        };
    }
    match part["error"].as_str() {
        Some(error) => Seen::Failed(cut(error)),
        None => Seen::Nothing,
    }
}

fn last_line(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text
        .lines()
        .rfind(|line| line.contains("panicked") || line.contains("error"));
    cut(line.or(text.lines().last()).unwrap_or_default())
}

fn cut(text: &str) -> String {
    text.chars().take(WHAT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{Seen, judge};

    #[test]
    fn only_a_violation_is_a_catch() {
        let after = Duration::from_secs(1);
        let report = |violations, error| json!({"parts": [{"error": error, "outcome": {"violations": violations}}]});
        let seen = judge(&report(json!([{"what": "lost"}]), json!(null)), after);
        assert!(matches!(seen, Seen::Caught { .. }), "{seen}");
        assert_eq!(judge(&report(json!([]), json!(null)), after), Seen::Nothing);
        let failed = judge(&report(json!([]), json!("no disk")), after);
        assert_eq!(failed, Seen::Failed("no disk".to_owned()));
        assert_eq!(judge(&json!({}), after), Seen::Nothing);
    }
}
