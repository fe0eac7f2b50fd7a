//! The binary: its exit codes, its socket and its signals.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod common;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};

use common::process::{Process, command, start};
use common::{COLL, Client};
use docdb_ipc::{Request, Response, WriteOp};

fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

fn signal(process: &Process, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(&process.child);
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn a_signal_drains_and_what_was_acknowledged_is_there_again() {
    let temp = tempfile::tempdir().unwrap();
    let socket = temp.path().join("s");
    for (round, signal_sent) in [rustix::process::Signal::TERM, rustix::process::Signal::INT]
        .into_iter()
        .enumerate()
    {
        let mut process = start(&mut command(temp.path()));
        let mut client = Client::connect(&socket);
        if round == 0 {
            client.create_database("db");
        }
        for id in 0..10 {
            client.write("db", WriteOp::create(COLL, round as u64 * 10 + id, "1"));
        }
        signal(&process, signal_sent);
        assert_eq!(process.child.wait().unwrap().code(), Some(0));
        assert!(!socket.exists());
        assert!(client.receive().is_none());
    }
    let _process = start(&mut command(temp.path()));
    let mut client = Client::connect(&socket);
    let count = Request::Count {
        db: "db".into(),
        collection: COLL.into(),
    };
    assert_eq!(client.call(&count), Response::Count(20));
}

#[test]
fn a_killed_server_loses_nothing_and_leaves_nothing_in_the_way() {
    let temp = tempfile::tempdir().unwrap();
    let socket = temp.path().join("s");
    let mut process = start(&mut command(temp.path()));
    let mut client = Client::connect(&socket);
    client.create_database("db");
    for id in 0..50 {
        client.write("db", WriteOp::create(COLL, id, "1"));
    }
    process.child.kill().unwrap();
    process.child.wait().unwrap();
    assert!(socket.exists(), "a stale socket");
    let _process = start(&mut command(temp.path()));
    let mut client = Client::connect(&socket);
    let count = Request::Count {
        db: "db".into(),
        collection: COLL.into(),
    };
    assert_eq!(client.call(&count), Response::Count(50));
}

#[test]
fn a_second_server_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let process = start(&mut command(temp.path()));
    let pid = process.child.id().to_string();
    // The same data directory, another socket; through a symlink too.
    std::os::unix::fs::symlink(temp.path().join("data"), temp.path().join("link")).unwrap();
    for dir in ["data", "link"] {
        let mut second = Command::new(env!("CARGO_BIN_EXE_docdb-server"));
        second.arg("--socket").arg(temp.path().join("other"));
        second.arg("--data-dir").arg(temp.path().join(dir));
        let refused = output(&mut second);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(3), "{text}");
        assert!(text.contains("InUse") && text.contains(&pid), "{text}");
        assert!(!temp.path().join("other").exists());
    }
    // Another data directory, the same socket.
    let other = tempfile::tempdir().unwrap();
    let mut second = Command::new(env!("CARGO_BIN_EXE_docdb-server"));
    second
        .arg("--socket")
        .arg(temp.path().join("s"))
        .arg("--data-dir")
        .arg(other.path().join("d"));
    let refused = output(&mut second);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(!other.path().join("d").exists(), "nothing was made");
    // The first one is unharmed.
    assert_eq!(
        Client::connect(&temp.path().join("s")).call(&Request::Ping),
        Response::Pong
    );
}

#[test]
fn errors_have_exit_codes() {
    let temp = tempfile::tempdir().unwrap();
    // A data directory that cannot be made.
    let file = temp.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let mut unwritable = Command::new(env!("CARGO_BIN_EXE_docdb-server"));
    unwritable
        .arg("--data-dir")
        .arg(file.join("data"))
        .arg("--socket")
        .arg(temp.path().join("s"));
    let failed = output(&mut unwritable);
    let text = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{text}");
    assert!(text.contains("file"), "{text}");
    // A socket path that is another kind of file.
    let mut not_a_socket = Command::new(env!("CARGO_BIN_EXE_docdb-server"));
    not_a_socket
        .arg("--data-dir")
        .arg(temp.path().join("data"))
        .arg("--socket")
        .arg(&file);
    let failed = output(&mut not_a_socket);
    assert_eq!(failed.status.code(), Some(1));
    assert!(file.is_file());
    // Wrong usage.
    let usage = output(Command::new(env!("CARGO_BIN_EXE_docdb-server")).arg("--no-such-option"));
    assert_eq!(usage.status.code(), Some(2));
    // Corruption: both copies of the catalog.
    drop(start(&mut command(temp.path())));
    for name in ["CATALOG", "CATALOG.copy"] {
        std::fs::write(temp.path().join("data").join(name), "garbage").unwrap();
    }
    let failed = output(&mut command(temp.path()));
    let text = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(5), "{text}");
    assert!(text.contains("CATALOG"), "{text}");
}

#[test]
fn version_ready_line_and_permissions() {
    let version = output(Command::new(env!("CARGO_BIN_EXE_docdb-server")).arg("-V"));
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        format!("docdb-server {}\n", env!("CARGO_PKG_VERSION"))
    );
    let temp = tempfile::tempdir().unwrap();
    let mut configured = command(temp.path());
    configured
        .args(["serve", "--log-format", "json"])
        .env("DOCDB_SOCKET_MODE", "0660");
    let process = start(&mut configured);
    let ready: serde_json::Value = serde_json::from_str(&process.ready).unwrap();
    assert_eq!(ready["message"], "READY");
    assert_eq!(ready["pid"], process.child.id());
    assert_eq!(ready["socket"], temp.path().join("s").display().to_string());
    let mode = |name: &str| {
        std::fs::metadata(temp.path().join(name))
            .unwrap()
            .permissions()
            .mode()
    };
    assert_eq!(mode("s") & 0o777, 0o660);
    assert_eq!(mode("data") & 0o777, 0o700);
    assert_eq!(mode("data/CATALOG") & 0o777, 0o600);
}

/// Out of descriptors the server stops accepting, serves whom it has, and goes on when some are free.
#[test]
fn out_of_descriptors() {
    let temp = tempfile::tempdir().unwrap();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 48 && exec \"$@\"", "sh"]);
    let server = command(temp.path());
    limited.arg(server.get_program()).args(server.get_args());
    let _process = start(&mut limited);
    let socket = temp.path().join("s");
    let mut first = Client::connect(&socket);
    let waiting: Vec<UnixStream> = (0..60)
        .map(|_| UnixStream::connect(&socket).unwrap())
        .collect();
    assert_eq!(first.call(&Request::Ping), Response::Pong);
    drop(waiting);
    // Not accepted before those that waited and are gone.
    assert_eq!(
        Client::connect(&socket).call(&Request::Ping),
        Response::Pong
    );
}

/// A second signal ends the process at once, although a connection would hold up the drain.
#[test]
fn a_second_signal_ends_at_once() {
    let temp = tempfile::tempdir().unwrap();
    let mut process = start(&mut command(temp.path()));
    let mut client = Client::connect(&temp.path().join("s"));
    client.create_database("db");
    let body = format!("\"{}\"", "x".repeat(4 << 20));
    client.write("db", WriteOp::create(COLL, 1, body));
    // Answers that the client does not read hold the drain up.
    for _ in 0..4 {
        client.send(&common::read_request("db", COLL, 1));
    }
    signal(&process, rustix::process::Signal::TERM);
    let mut line = String::new();
    while !line.contains("stopping") {
        line.clear();
        assert!(process.stderr.read_line(&mut line).unwrap() > 0);
    }
    signal(&process, rustix::process::Signal::TERM);
    assert_eq!(process.child.wait().unwrap().code(), Some(1));
}

/// Whoever read the log is gone: the server goes on, and still stops when it is told to.
#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let temp = tempfile::tempdir().unwrap();
    let mut child = command(temp.path()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("READY") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0);
    }
    drop(stderr);
    let mut process = Unread(child);
    let mut client = Client::connect(&temp.path().join("s"));
    client.create_database("db");
    client.write("db", WriteOp::create(COLL, 1, "1"));
    let pid = rustix::process::Pid::from_child(&process.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    for _ in 0..200 {
        if let Some(status) = process.0.try_wait().unwrap() {
            assert_eq!(status.code(), Some(0));
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the server did not stop");
}

/// A server without a reader of its log; killed if the test leaves it behind.
struct Unread(std::process::Child);

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
