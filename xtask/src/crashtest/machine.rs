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
        command.args(arguments).current_dir(crate::root::workspace_root());
        let output = command.output().ok().filter(|output| output.status.success())?;
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
