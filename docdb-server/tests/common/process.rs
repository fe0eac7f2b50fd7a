//! The server's binary.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) stderr: BufReader<ChildStderr>,
    pub(crate) ready: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_docdb-server"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DOCDB_")) {
        command.env_remove(name);
    }
    command
        .arg("--data-dir")
        .arg(dir.join("data"))
        .arg("--socket")
        .arg(dir.join("s"));
    command
}

/// Starts a server and waits until it is ready.
pub(crate) fn start(command: &mut Command) -> Process {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut ready = String::new();
    while !ready.contains("READY") {
        ready.clear();
        assert!(
            stderr.read_line(&mut ready).unwrap() > 0,
            "the server ended before it was ready"
        );
    }
    Process {
        child,
        stderr,
        ready,
    }
}
