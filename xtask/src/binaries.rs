//! The real binaries, built by Cargo.

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Builds packages in release mode and says where one of their binaries is. Cargo's progress and
/// errors go to stderr as usual.
pub(crate) fn build_release(packages: &[&str], binary: &str) -> Result<PathBuf, Box<dyn Error>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--release",
        "--message-format=json-render-diagnostics",
    ]);
    for package in packages {
        command.args(["-p", package]);
    }
    let output = command
        .current_dir(crate::root::workspace_root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("cargo build of {} failed", packages.join(", ")).into());
    }
    let found = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == binary)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    found.ok_or_else(|| format!("cargo built no binary named {binary}").into())
}

/// The server to run: the given one, or the one of this workspace, built now.
pub(crate) fn server(given: Option<PathBuf>) -> Result<PathBuf, Box<dyn Error>> {
    match given {
        Some(path) if path.is_file() => Ok(std::path::absolute(path)?),
        Some(path) => Err(format!("{}: no such file", path.display()).into()),
        None => build_release(&["docdb-server", "docdb-client"], "docdb-server"),
    }
}
