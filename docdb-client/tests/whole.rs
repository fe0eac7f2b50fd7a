//! Whole databases: exported and imported by the tool, and backed up, with a real server.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![cfg(feature = "cli")]

mod common;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use common::FakeServer;
use common::real::RealServer;
use docdb_client::{BackupOptions, ErrorKind, blocking};
use docdb_ipc::{BackupReport, CollectionInfo, Request, Response, ScanItem, ViewRequest};

fn run(socket: &Path, args: &[&str], stdin: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_docdb"));
    command.arg("--socket").arg(socket).args(args);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.stderr(Stdio::piped()).spawn().unwrap();
    // A tool that stops early closes its end.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

fn ok(socket: &Path, args: &[&str]) -> String {
    let ran = run(socket, args, b"");
    assert!(ran.status.success(), "{args:?}: {ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}

/// The exit code and stderr of what must fail.
fn failed(socket: &Path, args: &[&str], stdin: &str) -> (i32, String) {
    let ran = run(socket, args, stdin.as_bytes());
    (
        ran.status.code().unwrap(),
        String::from_utf8(ran.stderr).unwrap(),
    )
}

const STRANGE: [&str; 5] = ["we ird\"ü", "日本", "a:b,{c}", "'", "  "];

type Contents = Vec<(String, Vec<(u64, Vec<u8>)>)>;

/// All documents with their ids, by collection; versions are not kept.
fn contents(client: &blocking::Client, db: &str) -> Contents {
    let database = client.database(db);
    let of = |name: &str| {
        let scan = database.raw_collection(name).scan(..);
        scan.map(|document| document.map(|d| (d.id, d.value.to_vec())))
            .collect::<docdb_client::Result<Vec<_>>>()
            .unwrap()
    };
    let names = database.collections().unwrap();
    names
        .into_iter()
        .map(|info| (info.name.clone(), of(&info.name)))
        .collect()
}

/// Ids and bytes of all documents come back, and collections without any.
#[test]
fn a_database_is_exported_and_imported() {
    let server = RealServer::start();
    let socket = server.path();
    let client = blocking::Client::connect(socket).unwrap();
    client.create_database("from", None).unwrap();
    let database = client.database("from");
    for name in STRANGE {
        database.create_collection(name).unwrap();
    }
    let bodies = [
        "{\"a\" : 1.10,\"a\":9007199254740993 }",
        "\"\\u00e9 é \\n\"",
        "[ ]",
        "null",
        "{\"id\":5,\"version\":9,\"doc\":{}}",
    ];
    for (n, name) in STRANGE.iter().skip(1).chain(&["_default"]).enumerate() {
        let collection = database.raw_collection(name);
        for (at, body) in bodies.iter().enumerate() {
            let id = if at == 0 {
                u64::MAX
            } else {
                (at * 7 + n) as u64
            };
            collection.create(id, body.as_bytes().to_vec()).unwrap();
        }
    }
    let large = format!("\"{}\"", "x".repeat((16 << 20) - 2));
    database
        .raw_collection("_default")
        .create(1, large.into_bytes())
        .unwrap();

    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("all.ndjson");
    let file = file.to_str().unwrap();
    let said = ok(socket, &["--json", "export-db", "from", file]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&said["exported"], &said["collections"]),
        (&26.into(), &6.into())
    );
    let text = std::fs::read_to_string(file).unwrap();
    assert_eq!(text, ok(socket, &["export-db", "from"]));
    assert_eq!(
        text.lines()
            .take_while(|line| !line.contains("\"id\""))
            .count(),
        6
    );
    assert_eq!(
        ok(socket, &["import-db", "to", file]),
        "26 documents of 6 collections imported\n"
    );
    assert_eq!(contents(&client, "to"), contents(&client, "from"));
    // A document that exists stops it, with its line, unless it is to be replaced.
    let (code, error) = failed(socket, &["import-db", "to", file], "");
    assert_eq!(code, 3);
    assert!(
        error.starts_with("ERROR AlreadyExists: line 7: "),
        "{error:.200}"
    );
    let copy = client.database("to").raw_collection("_default");
    copy.upsert(11, b"\"other\"".to_vec()).unwrap();
    copy.upsert(12, b"\"more\"".to_vec()).unwrap();
    ok(socket, &["import-db", "to", file, "--upsert"]);
    let mut expected = contents(&client, "from");
    let default = expected
        .iter_mut()
        .find(|(name, _)| name == "_default")
        .unwrap();
    default.1.push((12, b"\"more\"".to_vec()));
    default.1.sort();
    assert_eq!(contents(&client, "to"), expected);
    // What is exported is one state, and a file is replaced as a whole or not at all.
    let (code, _) = failed(socket, &["export-db", "nobody", file], "");
    assert_eq!((code, std::fs::read_to_string(file).unwrap()), (3, text));
}

#[test]
fn wrong_lines_are_named() {
    let server = RealServer::start();
    let socket = server.path();
    let import = |text: &str| failed(socket, &["import-db", "db", "-"], text);
    let good =
        "{\"collection\":\"c\"}\n{\"collection\":\"c\",\"id\":1,\"version\":3,\"doc\":[1]}\n";
    for (line, code, says) in [
        (
            "{\"id\":2,\"version\":3,\"doc\":1}",
            1,
            "InvalidArgument: line 3: not a line of export-db",
        ),
        ("{\"collection\":\"a.b\"}", 1, "InvalidName: line 3: "),
        (
            "{\"collection\":\"c\",\"id\":2,\"doc\":nul}",
            1,
            "InvalidJson: line 3: ",
        ),
        (
            "{\"collection\":\"c\",\"id\":1,\"doc\":1}",
            3,
            "AlreadyExists: line 3: ",
        ),
        (
            "{\"collection\":\"c\",\"id\":-1,\"doc\":1}",
            1,
            "InvalidArgument: line 3: ",
        ),
    ] {
        let (exit, error) = import(&format!("{good}{line}\n"));
        assert_eq!(exit, code, "{line}: {error}");
        assert!(
            error.starts_with(&format!("ERROR {says}")),
            "{line}: {error}"
        );
        ok(socket, &["drop-database", "db"]);
    }
    let (_, error) = import(&format!(
        "{good}{{\"collection\":\"c\",\"id\":2,\"doc\":nul}}\n"
    ));
    assert!(error.contains("documents imported)"), "{error}");
    // A file that is not there creates nothing.
    assert_eq!(
        failed(socket, &["import-db", "other", "/no/such/file"], "").0,
        1
    );
    assert!(!ok(socket, &["databases"]).contains("other"));
}

#[test]
fn a_backup_by_library_and_tool() {
    let server = RealServer::start();
    let socket = server.path();
    let client = blocking::Client::connect(socket).unwrap();
    for name in ["a", "b"] {
        client.create_database(name, None).unwrap();
        client
            .database(name)
            .raw_collection("_default")
            .create(1, b"1".to_vec())
            .unwrap();
    }
    let temp = tempfile::tempdir().unwrap();
    let kept = temp.path().join("kept");
    let kept = kept.to_str().unwrap();
    let done = client.backup(kept, &BackupOptions::new()).unwrap();
    assert_eq!(done.failed, []);
    let names: Vec<&str> = done
        .databases
        .iter()
        .map(|done| done.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
    let only = BackupOptions::new()
        .databases(["b"])
        .bytes_per_second(100 << 20);
    let done = client.backup(kept, &only).unwrap();
    assert_eq!(
        (done.databases.len(), done.databases[0].files_reused),
        (1, 2)
    );
    let said = ok(socket, &["backup", kept, "a"]);
    assert!(said.starts_with("a\tversion=1 documents=1 "), "{said}");
    assert!(
        said.ends_with(&format!("OK databases=1 dir={kept}\n")),
        "{said}"
    );
    let said = ok(socket, &["--json", "backup", kept]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["databases"][1]["name"], "b");
    assert_eq!(said["databases"][1]["files_reused"], 2);
    assert_eq!(failed(socket, &["backup", kept, "nobody"], "").0, 3);
    assert_eq!(failed(socket, &["backup", "/no/such/place"], "").0, 1);
}

/// A database that cannot be backed up is told of with its exit code, and the others are backed up. What
/// has rotted is copied anew.
#[test]
fn a_backup_tells_of_a_damaged_database() {
    let server = RealServer::start();
    let socket = server.path();
    for db in ["a", "b"] {
        ok(socket, &["put", db, "_default", "1", "1"]);
    }
    let temp = tempfile::tempdir().unwrap();
    let kept = temp.path().join("kept");
    let kept = kept.to_str().unwrap();
    ok(socket, &["backup", kept]);
    let of_a = server
        .data_dir()
        .join("db-0000000000000001/data-00000001.dat");
    let mut bytes = std::fs::read(&of_a).unwrap();
    for byte in &mut bytes {
        *byte ^= 1;
    }
    std::fs::write(&of_a, &bytes).unwrap();
    // So that the copy of it is not reused.
    let files = std::fs::read_dir(format!("{kept}/db-0000000000000001")).unwrap();
    for file in files {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let files = std::fs::read_dir(format!("{kept}/db-0000000000000002")).unwrap();
    for file in files.map(|file| file.unwrap().path()) {
        if file.to_str().unwrap().contains("/data-") {
            std::fs::write(file, "rotten").unwrap();
        }
    }
    let ran = run(socket, &["backup", kept], b"");
    assert_eq!(ran.status.code(), Some(5));
    let (said, error) = (
        String::from_utf8(ran.stdout).unwrap(),
        String::from_utf8(ran.stderr).unwrap(),
    );
    assert!(said.starts_with("b\tversion=1 documents=1 "), "{said}");
    assert!(said.ends_with(" renewed=1\n"), "{said}");
    assert!(
        error.starts_with("ERROR Corrupt: database \"a\": "),
        "{error}"
    );
    assert!(
        error.contains("the backup has it as it was at version 1"),
        "{error}"
    );
    let ran = run(socket, &["--json", "backup", kept], b"");
    assert_eq!(ran.status.code(), Some(5));
    let said: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(said["databases"].as_array().unwrap().len(), 1);
    assert_eq!(said["failed"][0]["name"], "a");
    assert_eq!(said["failed"][0]["kind"], "Corrupt");
    assert_eq!(said["failed"][0]["kept_version"], 1);
}

#[test]
fn a_relative_path_of_a_backup_may_lead_up() {
    let server = RealServer::start();
    let temp = tempfile::tempdir().unwrap();
    let below = temp.path().join("below");
    std::fs::create_dir(&below).unwrap();
    for _ in 0..2 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_docdb"));
        command.arg("--socket").arg(server.path());
        let ran = command.args(["backup", "../kept"]).current_dir(&below);
        let ran = ran.output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
    }
    assert!(temp.path().join("kept/BACKUP").exists());
}

/// Whoever reads an export slowly does not lose the snapshot: it is used while there is nothing to do.
#[test]
fn an_export_that_is_read_slowly_keeps_its_snapshot() {
    const COLLECTIONS: u64 = 16;
    let (used, is_used) = mpsc::channel();
    let server = FakeServer::start(move |peer: &mut common::Peer, id, request| {
        let Request::View(request) = request else {
            panic!("{request:?}");
        };
        let answer = match request {
            ViewRequest::OpenSnapshot { .. } => Response::Opened { version: 9 },
            ViewRequest::ListCollections { .. } => {
                let info = |id| CollectionInfo {
                    name: format!("c{id}").as_str().into(),
                    id,
                    documents: 1,
                };
                Response::Collections((0..COLLECTIONS).map(info).collect())
            }
            ViewRequest::Scan { .. } => {
                let body = format!("\"{}\"", "x".repeat(128 << 10)).into();
                let item = ScanItem {
                    id: 1,
                    version: 9,
                    body,
                };
                peer.reply(id, Response::ScanItems(vec![item]));
                Response::ScanEnd {
                    cursor: None,
                    items: 1,
                }
            }
            ViewRequest::Count { .. } => {
                // The test may be over.
                let _ = used.send(());
                Response::Count(0)
            }
            ViewRequest::CloseSnapshot { .. } => Response::Ok,
            other => panic!("{other:?}"),
        };
        peer.reply(id, answer);
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_docdb"));
    command.arg("--socket").arg(server.path());
    let command = command.args(["export-db", "db"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    for _ in 0..2 {
        is_used.recv_timeout(Duration::from_secs(60)).unwrap();
    }
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(text.lines().count() as u64, 2 * COLLECTIONS);
}

/// Several batches are under way, and each has documents that exist.
#[test]
fn the_first_wrong_line_of_many_is_named() {
    let server = RealServer::start();
    let socket = server.path();
    let body = "x".repeat(1_000);
    let mut text = String::new();
    for id in 0..12_000 {
        text += &format!("{{\"collection\":\"c\",\"id\":{id},\"doc\":\"{body}\"}}\n");
    }
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("all.ndjson");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    ok(socket, &["import-db", "db", file]);
    let (code, error) = failed(socket, &["import-db", "db", file], "");
    assert_eq!(code, 3);
    assert!(
        error.starts_with("ERROR AlreadyExists: line 1: "),
        "{error:.200}"
    );
}

/// The request timeout is not that of a backup.
#[test]
fn a_backup_may_take_long() {
    let server = FakeServer::start(|peer: &mut common::Peer, id, request| {
        if let Request::Backup(asked) = request {
            assert_eq!(asked.dir.as_str(), "/kept");
            std::thread::sleep(std::time::Duration::from_millis(300));
            peer.reply(id, Response::BackedUp(BackupReport::default()));
        }
    });
    let builder = docdb_client::Client::builder(server.path())
        .request_timeout(Some(std::time::Duration::from_millis(20)));
    let client = blocking::Client::connect_with(builder).unwrap();
    let report = client.backup("/kept", &BackupOptions::new()).unwrap();
    assert_eq!(report, BackupReport::default());
    assert_eq!(client.databases().unwrap_err().kind(), ErrorKind::Timeout);
}
