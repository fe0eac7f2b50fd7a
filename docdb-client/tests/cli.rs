//! The `docdb` tool as a script sees it: arguments and stdin in, stdout, stderr and exit code out.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![cfg(feature = "cli")]

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use common::memory::MemoryServer;
use common::{FakeServer, Peer};
use docdb_ipc::{Request, Response, WireError};
use docdb_types::ErrorKind;

/// What the tool did.
#[derive(Debug, PartialEq)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

struct Tool {
    server: FakeServer,
}

impl Tool {
    fn new() -> Tool {
        Tool {
            server: FakeServer::start(MemoryServer::default()),
        }
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, b"")
    }

    fn run_with(&self, args: &[&str], stdin: &[u8]) -> Ran {
        let mut command = command(args);
        command.env("DOCDB_SOCKET", self.server.path());
        run(command, stdin)
    }

    /// Runs what must succeed and returns what it printed.
    fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}: {ran:?}");
        ran.out
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_docdb"));
    command.args(args).env_remove("DOCDB_SOCKET");
    command
}

fn run(mut command: Command, stdin: &[u8]) -> Ran {
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    // A tool that stops early closes its end.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().expect("not killed"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn edits() {
    let tool = Tool::new();
    assert_eq!(tool.run(&["patch", "d", "_default", "1", "[]"]).code, 3);
    tool.ok(&["put", "d", "_default", "1", "{}"]);
    let patch = r#"[{"op":"set","path":"/a","value":1.10}]"#;
    assert_eq!(
        tool.ok(&["patch", "d", "_default", "1", patch]),
        "OK version=2\n"
    );
    let asked = format!("{}\n", serde_json::Value::from(format!("patch{patch}")));
    assert_eq!(tool.ok(&["get", "d", "_default", "1"]), asked);
    let merged = tool.run_with(
        &["merge", "d", "_default", "1", "-", "--if-version", "2"],
        b"{\"a\":1}\n",
    );
    assert_eq!((merged.code, merged.out.as_str()), (0, "OK version=3\n"));
    assert_eq!(
        tool.ok(&["get", "d", "_default", "1"]),
        "\"merge{\\\"a\\\":1}\"\n"
    );
    let late = tool.run(&["merge", "d", "_default", "1", "{}", "--if-version", "2"]);
    assert_eq!(late.code, 3);
    assert!(late.err.starts_with("ERROR VersionMismatch: "), "{late:?}");
    assert_eq!(tool.run(&["merge", "d", "_default", "9", "{}"]).code, 3);
}

#[test]
fn apply_is_one_commit() {
    let tool = Tool::new();
    let lines = concat!(
        "{\"op\":\"create\",\"id\":1,\"doc\":{\"a\" : 1.10}}\n",
        "\n",
        "{\"op\":\"insert\",\"collection\":\"_default\",\"doc\":2}\n",
        "{\"op\":\"put\",\"id\":9,\"doc\":[],\"if_absent\":true}\n",
    );
    let ran = tool.run_with(&["apply", "d", "-"], lines.as_bytes());
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "OK version=1 operations=3\n"),
        "{ran:?}"
    );
    assert_eq!(tool.ok(&["get", "d", "_default", "1"]), "{\"a\" : 1.10}\n");
    assert_eq!(tool.ok(&["count", "d", "_default"]), "3\n");
    let lines = concat!(
        "{\"op\":\"delete\",\"id\":2}\n",
        "{\"op\":\"merge\",\"id\":9,\"patch\":{\"x\":1},\"if_version\":1}",
    );
    let ran = tool.run_with(&["--json", "apply", "d", "-"], lines.as_bytes());
    assert_eq!(ran.out, "{\"ids\":[2,9],\"version\":2}\n", "{ran:?}");

    // Nothing is written of what fails, and the line is named.
    let lines = concat!(
        "{\"op\":\"delete\",\"id\":1}\n",
        "\n",
        "{\"op\":\"patch\",\"id\":77,\"patch\":[]}\n",
        "{\"op\":\"delete\",\"id\":9}\n",
    );
    let ran = tool.run_with(&["apply", "d", "-"], lines.as_bytes());
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    assert!(ran.err.starts_with("ERROR NotFound: line 3: "), "{ran:?}");
    let ran = tool.run_with(
        &["apply", "d", "-"],
        b"{\"op\":\"delete\",\"id\":1}\n{\"op\":\"drop\"}",
    );
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.starts_with("ERROR InvalidArgument: line 2: "),
        "{ran:?}"
    );
    assert_eq!(tool.run_with(&["apply", "d", "-"], b"\n").code, 1);
    assert_eq!(tool.run(&["apply", "d", "/missing"]).code, 1);
    assert_eq!(tool.ok(&["count", "d", "_default"]), "2\n");
}

#[test]
fn documents() {
    let tool = Tool::new();
    assert_eq!(tool.ok(&["ping"]), "OK\n");
    // The database comes with the first write.
    assert_eq!(tool.run(&["get", "d", "_default", "1"]).code, 3);
    assert_eq!(
        tool.ok(&["create", "d", "_default", "1", "{\"a\" : 1.10}"]),
        "OK version=1\n"
    );
    assert_eq!(tool.ok(&["get", "d", "_default", "1"]), "{\"a\" : 1.10}\n");
    assert_eq!(
        tool.ok(&["--json", "get", "d", "_default", "1"]),
        "{\"id\":1,\"version\":1,\"doc\":{\"a\" : 1.10}}\n"
    );
    let again = tool.run(&["create", "d", "_default", "1", "2"]);
    assert_eq!((again.code, again.out.as_str()), (3, ""));
    assert!(again.err.starts_with("ERROR AlreadyExists: "), "{again:?}");
    assert_eq!(
        tool.ok(&["update", "d", "_default", "1", "-7"]),
        "OK version=2\n"
    );
    assert_eq!(tool.run(&["update", "d", "_default", "2", "1"]).code, 3);
    assert_eq!(
        tool.ok(&["put", "d", "_default", "5", "[]", "--json"]),
        "{\"id\":5,\"version\":3}\n"
    );
    assert_eq!(tool.ok(&["insert", "d", "_default", "null"]), "6\n");
    assert_eq!(tool.ok(&["count", "d", "_default"]), "3\n");
    assert_eq!(
        tool.ok(&["--json", "count", "d", "_default"]),
        "{\"count\":3}\n"
    );
    assert_eq!(tool.ok(&["exists", "d", "_default", "5"]), "true\n");
    assert_eq!(tool.ok(&["del", "d", "_default", "5"]), "OK version=5\n");
    let gone = tool.run(&["exists", "d", "_default", "5"]);
    assert_eq!(
        gone,
        Ran {
            code: 3,
            out: "false\n".into(),
            err: String::new()
        }
    );
    assert_eq!(tool.run(&["del", "d", "_default", "5"]).code, 3);
    let bad = tool.run(&["put", "d", "_default", "1", "{"]);
    assert_eq!(bad.code, 1);
    assert!(bad.err.starts_with("ERROR InvalidJson: "), "{bad:?}");
    // A collection does not come by itself.
    let none = tool.run(&["put", "d", "c", "1", "{}"]);
    assert_eq!(none.code, 3);
    assert!(
        none.err.starts_with("ERROR CollectionNotFound: "),
        "{none:?}"
    );
}

#[test]
fn preconditions() {
    let tool = Tool::new();
    tool.ok(&["put", "d", "_default", "1", "1", "--if-absent"]);
    assert_eq!(
        tool.run(&["put", "d", "_default", "1", "2", "--if-absent"])
            .code,
        3
    );
    let stale = tool.run(&["put", "d", "_default", "1", "2", "--if-version", "9"]);
    assert_eq!(stale.code, 3);
    assert!(
        stale.err.starts_with("ERROR VersionMismatch: "),
        "{stale:?}"
    );
    tool.ok(&[
        "put",
        "d",
        "_default",
        "1",
        "2",
        "--if-version",
        "1",
        "--durability",
        "always",
    ]);
    assert_eq!(
        tool.run(&["del", "d", "_default", "1", "--if-version", "1"])
            .code,
        3
    );
    tool.ok(&["del", "d", "_default", "1", "--if-version", "2"]);
}

#[test]
fn stdin_loses_one_newline_and_get_is_exact() {
    let tool = Tool::new();
    let text = "{\r\n\t\"a\": \"x\"\n}\n";
    let ran = tool.run_with(
        &["put", "d", "_default", "1", "-"],
        format!("{text}\n").as_bytes(),
    );
    assert_eq!(ran.code, 0);
    assert_eq!(tool.ok(&["get", "d", "_default", "1"]), format!("{text}\n"));
    // On lines, breaks become spaces.
    let line = "{   \"a\": \"x\" } ";
    assert_eq!(tool.ok(&["scan", "d", "_default"]), format!("1\t{line}\n"));
    assert_eq!(
        tool.ok(&["export", "d", "_default"]),
        format!("{{\"id\":1,\"version\":1,\"doc\":{line}}}\n")
    );
}

#[test]
fn scan_ranges() {
    let tool = Tool::new();
    for id in 1..=5 {
        tool.ok(&[
            "put",
            "d",
            "_default",
            &id.to_string(),
            &(id * 10).to_string(),
        ]);
    }
    assert_eq!(
        tool.ok(&["scan", "d", "_default", "--from", "2", "--to", "3"]),
        "2\t20\n3\t30\n"
    );
    assert_eq!(
        tool.ok(&[
            "scan",
            "d",
            "_default",
            "--reverse",
            "--limit",
            "2",
            "--json"
        ]),
        "{\"id\":5,\"version\":5,\"doc\":50}\n{\"id\":4,\"version\":4,\"doc\":40}\n"
    );
    assert_eq!(tool.run(&["scan", "d", "_default", "--limit", "0"]).code, 1);
    assert_eq!(tool.run(&["scan", "none", "_default"]).code, 3);
}

#[test]
fn databases_and_collections() {
    let tool = Tool::new();
    assert_eq!(
        tool.ok(&["create-database", "d", "--durability", "os"]),
        "OK\n"
    );
    assert_eq!(tool.run(&["create-database", "d"]).code, 3);
    assert_eq!(tool.run(&["create-database", "../d"]).code, 1);
    tool.ok(&["create-collection", "e", "c"]);
    assert_eq!(tool.ok(&["databases"]), "d\ne\n");
    assert_eq!(
        tool.ok(&["databases", "--json"]),
        "[{\"durability\":\"os\",\"id\":1,\"name\":\"d\",\"open\":true},\
         {\"durability\":\"full\",\"id\":2,\"name\":\"e\",\"open\":true}]\n"
    );
    tool.ok(&["insert", "e", "c", "1"]);
    assert_eq!(tool.ok(&["collections", "e"]), "_default\t0\nc\t1\n");
    assert_eq!(
        tool.ok(&["--json", "collections", "e"]),
        "[{\"documents\":0,\"id\":1,\"name\":\"_default\"},\
         {\"documents\":1,\"id\":2,\"name\":\"c\"}]\n"
    );
    let full = tool.run(&["drop-collection", "e", "c"]);
    assert_eq!(full.code, 1);
    assert!(full.err.starts_with("ERROR NotEmpty: "), "{full:?}");
    tool.ok(&["drop-collection", "e", "c", "--force"]);
    assert_eq!(tool.ok(&["checkpoint", "e"]), "OK\n");
    let compacted = "OK files=0 documents_moved=0 data_bytes=0 before=0\n";
    assert_eq!(tool.ok(&["compact", "e"]), compacted);
    assert_eq!(tool.ok(&["stats", "--json"]), "{\"databases\":2}\n");
    assert_eq!(tool.ok(&["mem"]), "database\ntotal\n");
    assert_eq!(tool.ok(&["wal", "e", "--json"]), "null\n");
    assert_eq!(tool.ok(&["stats", "e"]), "{\n  \"transactions\": 1\n}\n");
    assert_eq!(
        tool.ok(&["drop-database", "e", "--json"]),
        "{\"ok\":true}\n"
    );
    assert_eq!(tool.run(&["drop-database", "e"]).code, 3);
}

#[test]
fn import_and_export_round_trip() {
    let tool = Tool::new();
    let lines: String = (1..=2_500).map(|n| format!("{{\"n\": {n}}}\n")).collect();
    let ran = tool.run_with(&["import", "d", "c", "-"], lines.as_bytes());
    assert_eq!(
        ran,
        Ran {
            code: 0,
            out: "2500 documents imported\n".into(),
            err: "".into()
        }
    );
    // Ids follow the order of the file.
    assert_eq!(tool.ok(&["get", "d", "c", "2500"]), "{\"n\": 2500}\n");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out.ndjson");
    let file = file.to_str().unwrap();
    tool.ok(&["del", "d", "c", "7"]);
    assert_eq!(
        tool.ok(&["export", "d", "c", file, "--json"]),
        "{\"exported\":2499}\n"
    );
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        1,
        "nothing partial is left"
    );
    assert_eq!(
        tool.ok(&["import", "e", "c", file, "--json"]),
        "{\"imported\":2499}\n"
    );
    let without_versions = |tool: &Tool, db| tool.ok(&["scan", db, "c"]);
    assert_eq!(without_versions(&tool, "e"), without_versions(&tool, "d"));
    // The documents are there already.
    let again = tool.run(&["import", "e", "c", file]);
    assert_eq!(again.code, 3);
    assert!(
        again.err.starts_with("ERROR AlreadyExists: line "),
        "{again:?}"
    );
    tool.ok(&["import", "e", "c", file, "--upsert"]);
    assert_eq!(tool.run(&["export", "e", "none", file]).code, 3);
    assert_eq!(tool.run(&["import", "e", "c", "/nonexistent"]).code, 1);
}

#[test]
fn import_of_an_array_with_ids() {
    let tool = Tool::new();
    let array = b" [ {\"key\":3,\"id\":\"x\"},\n{\"key\":1} ]\n";
    let ran = tool.run_with(&["import", "d", "c", "-", "--id-field", "key"], array);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        tool.ok(&["scan", "d", "c"]),
        "1\t{\"key\":1}\n3\t{\"key\":3,\"id\":\"x\"}\n"
    );
}

#[test]
fn import_errors_name_the_line_and_what_was_written() {
    let tool = Tool::new();
    let good: String = (1..=10_500).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let import = |db: &str, tail: &str, more: &[&str]| {
        let args = [&["import", db, "c", "-"], more].concat();
        tool.run_with(&args, format!("{good}{tail}").as_bytes())
    };
    // Refused by the server: the batch it is in is not written.
    let ran = import("a", "{\"n\":}\n{}\n", &[]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(
        ran.err.starts_with("ERROR InvalidJson: line 10501: "),
        "{ran:?}"
    );
    assert!(ran.err.ends_with("(10000 documents imported)\n"), "{ran:?}");
    assert_eq!(tool.ok(&["count", "a", "c"]), "10000\n");
    // Refused here: what stands before it is written.
    let ran = import("b", "{\"n\":\"x\"}\n", &["--id-field", "n", "--json"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (1, "{\"imported\":10500,\"line\":10501}\n")
    );
    assert!(
        ran.err.starts_with("ERROR InvalidArgument: line 10501: "),
        "{ran:?}"
    );
    let ran = import("c", "{\"n\":\n\n", &[]);
    assert!(
        ran.err.starts_with("ERROR InvalidJson: line 10501: "),
        "{ran:?}"
    );
    assert_eq!(tool.ok(&["count", "c", "c"]), "10500\n");
}

#[test]
fn usage_and_connection() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("none");
    let nowhere = nowhere.to_str().unwrap();
    let ran = run(command(&["ping", "--socket", nowhere]), b"");
    assert_eq!(ran.code, 4);
    assert!(
        ran.err.starts_with("ERROR Closed: cannot connect to "),
        "{ran:?}"
    );

    let tool = Tool::new();
    let url = format!("docdb+unix://{}", tool.server.path().display());
    assert_eq!(
        run(command(&["--url", &url, "--socket", nowhere, "ping"]), b"").code,
        0
    );
    let ran = run(command(&["--url", "docdb+tcp://localhost:1", "ping"]), b"");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("not available"), "{ran:?}");
    for args in [
        &["nonsense"][..],
        &["get", "d", "c", "x"],
        &["get", "d"],
        &[],
    ] {
        assert_eq!(tool.run(args).code, 2, "{args:?}");
    }
    assert_eq!(tool.run(&["--help"]).code, 0);
    assert_eq!(tool.run(&["--version"]).code, 0);
}

#[test]
fn corruption_is_exit_code_5() {
    let server = FakeServer::start(|peer: &mut Peer, id, _: Request| {
        let error = WireError::new(ErrorKind::Corrupt, "document 1 does not verify");
        peer.reply(id, Response::Error(error));
    });
    let tool = Tool { server };
    let ran = tool.run(&["get", "d", "c", "1"]);
    assert_eq!(ran.code, 5);
    assert_eq!(ran.err, "ERROR Corrupt: document 1 does not verify\n");
}

#[test]
fn a_reader_that_stops_early_is_no_error() {
    let tool = Tool::new();
    let lines: String = (1..=3_000).map(|n| format!("\"{n:0100}\"\n")).collect();
    assert_eq!(
        tool.run_with(&["import", "d", "c", "-"], lines.as_bytes())
            .code,
        0
    );
    let mut scan = command(&["scan", "d", "c"])
        .env("DOCDB_SOCKET", tool.server.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(scan.stdout.take());
    let output = scan.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn shell_from_a_pipe() {
    let tool = Tool::new();
    let script = "\
.pwd
.open d
.create 1 { \"a\" : [1.10] }
.read 1
.pretty on
.read 1

.create-collection c
.use c
.pwd
.create 7 null
.update 7 true
.collections
.drop-collection c --force
.pwd
.ls
.delete 1
.close
.exit
.never
";
    let expected = "\
OK
OK d
OK id=1 version=1
OK version=1
{ \"a\" : [1.10] }
OK pretty=on
OK version=1
{
  \"a\": [
    1.10
  ]
}
OK c
OK c
OK d/c
OK id=7 version=2
OK id=7 version=3
OK collections=2
_default\t1
c\t1
OK c
OK d/_default
OK databases=1
d
OK id=1 version=4
OK
OK
";
    let ran = tool.run_with(&["shell"], script.as_bytes());
    assert_eq!(
        ran,
        Ran {
            code: 0,
            out: expected.into(),
            err: String::new()
        }
    );
}

#[test]
fn transactions_of_the_shell() {
    let server = common::real::RealServer::start();
    let script = "\
.commit
.begin
.open d
.rollback
.create 1 1
.begin
.begin
.close
.update 1 2
.create 2 {\"a\":1}
.read 1
.collections
.rollback
.read 1
.begin serializable
.create-collection c
.delete 1
.insert
.commit
.read 1
.begin
.exit
";
    let mut command = command(&["shell"]);
    command.env("DOCDB_SOCKET", server.path());
    let ran = run(command, script.as_bytes());
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
    let lines: Vec<&str> = ran.out.lines().collect();
    let version = |line: &str| line.starts_with("OK") && line.contains("version=");
    let error = |line: &str, words: &str| line.starts_with("ERROR") && line.contains(words);
    let mut at = lines.iter().copied();
    let mut next = || at.next().unwrap();
    assert!(error(next(), "no database is open"));
    assert!(error(next(), "no database is open"));
    assert_eq!(next(), "OK d");
    assert!(error(next(), "no transaction is open"));
    assert!(version(next()));
    assert!(version(next()));
    assert!(error(next(), "a transaction is open"));
    assert!(error(next(), "a transaction is open"));
    assert_eq!(next(), "OK id=1 version=0");
    assert_eq!(next(), "OK id=2 version=0");
    assert_eq!((next(), next()), ("OK version=0", "2"));
    assert_eq!((next(), next()), ("OK collections=1", "_default\t2"));
    assert_eq!(next(), "OK");
    assert!(version(next()));
    assert_eq!(next(), "1");
    assert!(version(next()));
    assert_eq!(next(), "OK c");
    assert_eq!(next(), "OK id=1 version=0");
    assert!(error(next(), "unknown command"));
    assert!(version(next()));
    assert!(error(next(), "does not exist"));
    assert!(version(next()));
    assert_eq!(next(), "OK");
    assert_eq!(at.next(), None);
}

#[test]
fn a_failed_command_of_a_piped_shell_is_exit_code_1() {
    let tool = Tool::new();
    let ran = tool.run_with(
        &["shell", "d"],
        b".read 9\n.nonsense\n.use c\n.create 1 {}\n.history",
    );
    assert_eq!(ran.code, 1);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines[0].starts_with("ERROR NotFound: "), "{ran:?}");
    assert!(
        lines[1].starts_with("ERROR InvalidArgument: unknown command"),
        "{ran:?}"
    );
    assert!(
        lines[2].starts_with("ERROR CollectionNotFound: "),
        "{ran:?}"
    );
    assert_eq!(lines[3], "OK id=1 version=1");
    assert_eq!(lines[4], "OK commands=5");
    assert_eq!(lines[9], ".history");
    let closed = tool.run_with(&["shell"], b".read 1\n");
    assert!(
        closed
            .out
            .starts_with("ERROR InvalidArgument: no database is open"),
        "{closed:?}"
    );
}
