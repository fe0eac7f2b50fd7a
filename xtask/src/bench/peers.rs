//! The programs of the crate in `bench-peers/`, which do the work beside the peers. The workspace does
//! not contain it, so that nothing of DocDB ever compiles what it is compared with.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Builds one part of the crate, with a target directory of its own below the usual one, and gives
/// its program.
pub(super) fn build(part: &str) -> Result<PathBuf, Box<dyn Error>> {
    let binary = format!("docdb-bench-{part}");
    let root = crate::root::workspace_root();
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let target = target.join("bench-peers");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--features", part])
        .args(["--bin", &binary, "--manifest-path"])
        .arg(root.join("bench-peers/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .current_dir(&root)
        .stdin(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("cargo build of {binary} failed").into());
    }
    Ok(Path::new(&target).join("release").join(binary))
}

/// Runs a program and gives the lines of JSON that it prints, telling of each as it comes.
pub(super) fn lines(
    mut command: Command,
    mut tell: impl FnMut(&Value),
) -> Result<Vec<Value>, Box<dyn Error>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("the benchmark has no output")?;
    let mut lines = Vec::new();
    for line in BufReader::new(output).lines() {
        let value: Value = serde_json::from_str(&line?)?;
        tell(&value);
        lines.push(value);
    }
    let status = child.wait()?;
    match status.success() {
        true => Ok(lines),
        false => Err(format!("the benchmark ended with {status}").into()),
    }
}

/// How many tasks wanted a processor in the last minute; `None` where the system does not say.
pub(super) fn load() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}
