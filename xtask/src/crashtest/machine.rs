//! Where a run took place, so that its report can be told from that of another machine.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// The machine, the disk and the code.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    pub(super) kernel: String,
    pub(super) processors: usize,
    /// The device that holds the data of real servers.
    pub(super) device: String,
    pub(super) filesystem: String,
    pub(super) docdb_version: &'static str,
    /// The commit that was tested, with `+` if files had been changed since.
    pub(super) commit: String,
    /// Seconds since 1970 in UTC at the beginning.
    pub(super) unix_seconds: u64,
}

impl Machine {
    pub(super) fn of(dir: &Path) -> Machine {
        let (device, filesystem) = mount_of(dir);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Machine {
            kernel: format!("{} {}", std::env::consts::OS, kernel.trim()),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            device,
            filesystem,
            docdb_version: env!("CARGO_PKG_VERSION"),
            commit: commit(),
            unix_seconds: now.map_or(0, |now| now.as_secs()),
        }
    }
}

/// Device and file system of the mount that holds a directory.
fn mount_of(dir: &Path) -> (String, String) {
    let unknown = || ("unknown".to_owned(), "unknown".to_owned());
    let Ok(dir) = dir.canonicalize() else {
        return unknown();
    };
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let held = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (device, at, kind) = (fields.next()?, fields.next()?, fields.next()?);
        dir.starts_with(at).then_some((at.len(), device, kind))
    });
    // A later mount on the same place hides the earlier one.
    match held.max_by_key(|(length, ..)| *length) {
        Some((_, device, kind)) => (device.to_owned(), kind.to_owned()),
        None => unknown(),
    }
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        command
            .args(arguments)
            .current_dir(crate::root::workspace_root());
        let output = command
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match git(&["rev-parse", "--short=12", "HEAD"]) {
        Some(commit) => {
            let is_changed = git(&["status", "--porcelain", "-uno"]).is_some_and(|s| !s.is_empty());
            format!("{commit}{}", if is_changed { "+" } else { "" })
        }
        None => "unknown".to_owned(),
    }
}

/// A moment as date and time in UTC.
pub(super) fn date(unix_seconds: u64) -> String {
    let (days, seconds) = (unix_seconds / 86_400, unix_seconds % 86_400);
    // Civil from days, with years that begin in March, so that leap days come last.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year + later;
    let (hour, minute) = (seconds / 3_600, seconds / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_795_264_499, "2026-11-21 12:34 UTC"),
        ] {
            assert_eq!(super::date(seconds), date);
        }
    }
}
