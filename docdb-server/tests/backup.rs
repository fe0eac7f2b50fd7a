//! Backups over the socket while writers are at work, and data directories restored from them.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod common;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use common::process::{command, start};
use common::{COLL, Client, TestServer};
use docdb_ipc::{BackedUp, BackupRequest, Request, Response, Scan, WriteOp};
use docdb_types::ErrorKind;

const WRITERS: u64 = 6;

fn request(dir: &Path, databases: &[&str], bytes_per_second: Option<u64>) -> Request {
    Request::Backup(BackupRequest {
        dir: dir.to_str().unwrap().into(),
        databases: databases.iter().map(|name| (*name).into()).collect(),
        bytes_per_second,
    })
}

fn back_up(client: &mut Client, dir: &Path, databases: &[&str]) -> Vec<BackedUp> {
    match client.call(&request(dir, databases, None)) {
        Response::BackedUp(report) if report.failed.is_empty() => report.databases,
        other => panic!("{other:?}"),
    }
}

fn restore(backup: &Path, into: &Path) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_docdb-server"));
    command.arg("restore").arg(backup).arg(into);
    command.stdin(Stdio::null()).output().unwrap()
}

fn scan_all(client: &mut Client, db: &str) -> BTreeMap<u64, (u64, String)> {
    client.send(&Request::Scan(Scan::new(db, COLL, 4 << 20)));
    let mut found = BTreeMap::new();
    loop {
        match client.receive().unwrap().1 {
            Response::ScanItems(items) => {
                for item in items {
                    let body = String::from_utf8(item.body.to_vec()).unwrap();
                    found.insert(item.id, (item.version, body));
                }
            }
            Response::ScanEnd { .. } => return found,
            other => panic!("{other:?}"),
        }
    }
}

/// Every commit that was acknowledged before a backup was asked for is in it.
#[test]
fn what_was_acknowledged_before_is_in_it() {
    let temp = tempfile::tempdir().unwrap();
    let (socket, kept) = (temp.path().join("s"), temp.path().join("kept"));
    let process = start(&mut command(temp.path()));
    let mut client = Client::connect(&socket);
    client.create_database("db");
    client.create_database("quiet");
    client.write("quiet", WriteOp::create(COLL, 1, "[1]"));
    // What each document was last acknowledged to be, with the version.
    let acknowledged: Mutex<BTreeMap<u64, (u64, u64)>> = Mutex::default();
    let ends = AtomicBool::new(false);
    let mut before = BTreeMap::new();
    let mut taken = Vec::new();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (socket, acknowledged, ends) = (&socket, &acknowledged, &ends);
            scope.spawn(move || {
                let mut client = Client::connect(socket);
                let mut n = 0;
                while !ends.load(Ordering::Relaxed) {
                    // Each has its own documents, and overwrites them.
                    let id = writer + WRITERS * (n % 40);
                    let text = "x".repeat(500 + (n as usize * 37) % 3_000);
                    let body = format!("{{\"n\":{n},\"text\":\"{text}\"}}");
                    let (version, _) = client.write("db", WriteOp::upsert(COLL, id, body));
                    acknowledged.lock().unwrap().insert(id, (version, n));
                    n += 1;
                }
            });
        }
        for round in 0..4 {
            while acknowledged
                .lock()
                .unwrap()
                .values()
                .map(|(_, n)| n)
                .sum::<u64>()
                < 3_000 * (round + 1)
            {
                std::thread::yield_now();
            }
            before = acknowledged.lock().unwrap().clone();
            let databases: &[&str] = if round == 1 { &["db"] } else { &[] };
            taken = back_up(&mut client, &kept, databases);
            assert_eq!(taken.len(), if round == 1 { 1 } else { 2 });
        }
        ends.store(true, Ordering::Relaxed);
    });
    drop(process);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&kept), mode(&kept.join("BACKUP"))), (0o700, 0o600));

    let again = tempfile::tempdir().unwrap();
    let made = restore(&kept, &again.path().join("data"));
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let _process = start(&mut command(again.path()));
    let mut client = Client::connect(&again.path().join("s"));
    assert_eq!(client.read("quiet", COLL, 1), "[1]");
    let found = scan_all(&mut client, "db");
    assert_eq!(taken[0].documents, found.len() as u64);
    let last = acknowledged.into_inner().unwrap();
    for (id, (version, body)) in &found {
        assert!(*version <= taken[0].version);
        // Not more than was sent, and whole.
        let document: serde_json::Value = serde_json::from_str(body).unwrap();
        let n = document["n"].as_u64().unwrap();
        assert_eq!(*id, *id % WRITERS + WRITERS * (n % 40));
        assert!(n <= last[id].1);
    }
    for (id, (version, n)) in before {
        let (restored, body) = &found[&id];
        assert!(
            *restored >= version,
            "document {id}: {restored} and not {version}"
        );
        if *restored == version {
            assert!(body.starts_with(&format!("{{\"n\":{n},")), "document {id}");
        }
    }
    let (version, _) = client.write("db", WriteOp::create(COLL, 1_000_000, "1"));
    assert!(version > taken[0].version);
}

/// One at a time; it blocks neither its connection nor others, and is given up when it is cancelled,
/// when nobody waits for it any more, and when the server stops.
#[test]
fn a_long_backup_can_be_given_up() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    client.write(
        "db",
        WriteOp::create(COLL, 1, format!("\"{}\"", "x".repeat(100_000))),
    );
    let kept = server.temp.path().join("kept");
    let backup_of = |client: &mut Client| {
        let stats = match client.call(&Request::Stats { db: None }) {
            Response::Stats(json) => serde_json::from_slice::<serde_json::Value>(&json).unwrap(),
            other => panic!("{other:?}"),
        };
        stats["backup"].clone()
    };
    let begin = |client: &mut Client| {
        let slow = client.send(&request(&kept, &[], Some(1)));
        while backup_of(client)["bytes_done"].as_u64().unwrap_or(0) == 0 {
            std::thread::yield_now();
        }
        slow
    };
    assert_eq!(backup_of(&mut client), serde_json::Value::Null);
    let slow = begin(&mut client);
    assert_eq!(backup_of(&mut client)["dir"], kept.to_str().unwrap());
    assert_eq!(client.call(&Request::Ping), Response::Pong);
    let mut other = server.connect();
    assert_eq!(other.error(&request(&kept, &[], None)), ErrorKind::Busy);
    client.send_about(slow, &Request::Cancel);
    match client.receive().unwrap() {
        (id, Response::Error(error)) => {
            assert_eq!((id, error.kind()), (slow, ErrorKind::Cancelled));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(back_up(&mut other, &kept, &[]).len(), 1);
    client.write("db", WriteOp::create(COLL, 2, "2"));
    begin(&mut client);
    drop(client);
    let done = loop {
        match other.call(&request(&kept, &[], None)) {
            Response::BackedUp(report) => break report.databases,
            Response::Error(error) => assert_eq!(error.kind(), ErrorKind::Busy),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(done[0].documents, 2);
    other.write("db", WriteOp::create(COLL, 3, "3"));
    begin(&mut other);
    let temp = server.end();
    let made = restore(&temp.path().join("kept"), &temp.path().join("again"));
    assert_eq!(made.status.code(), Some(0), "{made:?}");
}

#[test]
fn wrong_places_are_refused() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    let below = |name: &str| server.temp.path().join(name);
    let refused: [(PathBuf, &[&str], ErrorKind); 4] = [
        ("kept".into(), &[], ErrorKind::InvalidArgument),
        (below("data/kept"), &[], ErrorKind::InvalidArgument),
        (below("no/kept"), &[], ErrorKind::InvalidArgument),
        (below("kept"), &["nobody"], ErrorKind::DatabaseNotFound),
    ];
    for (dir, databases, kind) in refused {
        assert_eq!(
            client.error(&request(&dir, databases, None)),
            kind,
            "{}",
            dir.display()
        );
    }
    assert!(!below("kept").exists());
}

#[test]
fn restore_says_what_is_wrong() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    client.write("db", WriteOp::create(COLL, 1, "1"));
    let kept = server.temp.path().join("kept");
    back_up(&mut client, &kept, &[]);
    let into = server.temp.path().join("again");
    let failed = |code: i32, says: &str| {
        let made = restore(&kept, &into);
        let text = String::from_utf8(made.stderr).unwrap();
        assert_eq!(made.status.code(), Some(code), "{text}");
        assert!(text.contains(says), "{text}");
    };
    let database = kept.join("db-0000000000000001");
    let data = std::fs::read_dir(&database).unwrap();
    let mut data = data.map(|entry| entry.unwrap().path());
    let data = data
        .find(|path| path.to_str().unwrap().contains("/data-"))
        .unwrap();
    let whole = std::fs::read(&data).unwrap();
    let mut bytes = whole.clone();
    bytes[5_000] ^= 1;
    std::fs::write(&data, &bytes).unwrap();
    failed(
        5,
        &format!("{} is damaged between offset 0 and", data.display()),
    );
    std::fs::remove_file(&data).unwrap();
    failed(5, &format!("{} is missing", data.display()));
    assert!(!into.exists());
    std::fs::write(&data, &whole).unwrap();
    std::fs::create_dir(&into).unwrap();
    std::fs::write(into.join("letter"), "dear").unwrap();
    failed(1, "is not empty");
    assert_eq!(std::fs::read_dir(&into).unwrap().count(), 1);
    let usage = std::process::Command::new(env!("CARGO_BIN_EXE_docdb-server"))
        .arg("restore")
        .output()
        .unwrap();
    assert_eq!(usage.status.code(), Some(2));
}
