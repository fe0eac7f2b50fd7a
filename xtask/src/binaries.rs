//! The real binaries, built by Cargo.

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What Cargo is to build.
#[derive(Debug)]
pub(crate) struct Build<'a> {
    pub(crate) profile: &'a str,
    pub(crate) packages: &'a [&'a str],
    pub(crate) features: &'a [&'a str],
}

/// Builds, and says where these binaries are. Cargo's progress and errors go to stderr as usual.
pub(crate) fn build(build: &Build<'_>, binaries: &[&str]) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--message-format=json-render-diagnostics"]);
    command.args(["--profile", build.profile]);
    for package in build.packages {
        command.args(["-p", package]);
    }
    if !build.features.is_empty() {
        command.args(["--features", &build.features.join(",")]);
    }
    let output = command
        .current_dir(crate::root::workspace_root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("cargo build of {} failed", build.packages.join(", ")).into());
    }
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let messages: Vec<Value> = lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    let find = |binary: &&str| {
        let mut own = messages.iter().filter(|m| m["target"]["name"] == *binary);
        let found = own.find_map(|m| m["executable"].as_str().map(PathBuf::from));
        found.ok_or_else(|| format!("cargo built no binary named {binary}").into())
    };
    binaries.iter().map(find).collect()
}

/// Builds packages in release mode and says where one of their binaries is.
pub(crate) fn build_release(packages: &[&str], binary: &str) -> Result<PathBuf, Box<dyn Error>> {
    let release = Build {
        profile: "release",
        packages,
        features: &[],
    };
    let mut found = build(&release, &[binary])?;
    found.pop().ok_or_else(|| "cargo built nothing".into())
}

/// The server to run: the given one, or the one of this workspace, built now.
pub(crate) fn server(given: Option<PathBuf>) -> Result<PathBuf, Box<dyn Error>> {
    match given {
        Some(path) if path.is_file() => Ok(std::path::absolute(path)?),
        Some(path) => Err(format!("{}: no such file", path.display()).into()),
        None => build_release(&["docdb-server", "docdb-client"], "docdb-server"),
    }
}
