//! The binaries that can have bugs planted.

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::binaries::{self, Build};

/// What runs the parts, and the server that they kill.
#[derive(Debug)]
pub(super) struct Builds {
    pub(super) xtask: PathBuf,
    pub(super) server: PathBuf,
}

impl Builds {
    /// Builds both, apart from every other build. Cargo says how far it has got.
    pub(super) fn make() -> Result<Builds, Box<dyn Error>> {
        let build = Build {
            profile: "planted",
            packages: &["xtask", "docdb-server"],
            features: &["xtask/planted-bugs", "docdb-server/planted-bugs"],
        };
        let found = binaries::build(&build, &["xtask", "docdb-server"])?;
        let [xtask, server] = <[PathBuf; 2]>::try_from(found).map_err(|_| "cargo built nothing")?;
        Ok(Builds { xtask, server })
    }

    /// The names of all bugs that can be planted in them.
    pub(super) fn bugs(&self) -> Result<Vec<String>, String> {
        let mut command = Command::new(&self.xtask);
        command
            .args(["crashtest", "--list-bugs"])
            .stdin(Stdio::null());
        let output = command.output();
        let output = output.map_err(|e| format!("{}: {e}", self.xtask.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let bugs: Vec<String> = text.lines().map(str::to_owned).collect();
        if !output.status.success() || bugs.is_empty() {
            return Err(format!("{} knows of no bugs", self.xtask.display()));
        }
        Ok(bugs)
    }
}
