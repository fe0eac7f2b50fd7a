//! The offline subcommands of the binary: exit codes, output, and that they leave alone what they should.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use common::process;
use docdb_engine::WriteOp;
use docdb_pool::{Pool, PoolOptions};
use docdb_vfs::{RealVfs, Vfs};
use tempfile::TempDir;

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_docdb-server"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DOCDB_")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null()).output().unwrap()
}

fn exit(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn lines(bytes: &[u8]) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn pool(dir: &Path) -> Pool {
    let vfs: Arc<dyn Vfs> = Arc::new(RealVfs::new());
    Pool::open(vfs, dir, PoolOptions::default()).unwrap()
}

/// A data directory with two databases.
fn data() -> (TempDir, String) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data");
    let pool = pool(&dir);
    for name in ["one", "zwei ü"] {
        pool.create_database(name, None).unwrap();
        let db = pool.database(name).unwrap();
        for id in 0..50 {
            let body = format!("{{\"id\":\n{id}, \"in\": \"{name}\"}}");
            let op = WriteOp::create("_default", id, body.as_bytes());
            db.submit(&[op]).wait().unwrap();
        }
        db.submit(&[WriteOp::delete("_default", 7)]).wait().unwrap();
        db.checkpoint().unwrap();
    }
    pool.close();
    let dir = dir.to_str().unwrap().to_owned();
    (temp, dir)
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    all
}

fn flip(path: &Path, offset: usize) {
    let mut contents = std::fs::read(path).unwrap();
    contents[offset] ^= 1;
    std::fs::write(path, contents).unwrap();
}

fn first_data_file(dir: &str) -> PathBuf {
    Path::new(dir).join("db-0000000000000001/data-00000001.dat")
}

#[test]
fn what_is_whole() {
    let (temp, dir) = data();
    let before = files(Path::new(&dir));
    let checked = run(&["check", &dir]);
    assert_eq!(exit(&checked), 0, "{checked:?}");
    let text = String::from_utf8(checked.stdout).unwrap();
    assert!(
        text.contains("nothing is damaged. 2 databases, 98 documents"),
        "{text}"
    );
    let checked = run(&["--data-dir", &dir, "check", "--json", "--documents"]);
    assert_eq!(exit(&checked), 0);
    let [summary] = &lines(&checked.stdout)[..] else {
        panic!("{checked:?}");
    };
    assert_eq!(
        (&summary["databases"], &summary["damages"]),
        (&2.into(), &0.into())
    );

    let dumped = run(&["dump", &dir, "zwei ü"]);
    assert_eq!(exit(&dumped), 0, "{dumped:?}");
    let documents = lines(&dumped.stdout);
    assert_eq!(documents.len(), 49);
    assert_eq!(documents[3]["database"], "zwei ü");
    assert_eq!(documents[3]["collection"], "_default");
    assert_eq!(documents[3]["id"], 3);
    assert_eq!(documents[3]["doc"]["in"], "zwei ü");
    let out = temp.path().join("all.ndjson");
    let dumped = run(&["dump", &dir, "--out", out.to_str().unwrap()]);
    assert_eq!((exit(&dumped), dumped.stdout.len()), (0, 0));
    assert_eq!(lines(&std::fs::read(&out).unwrap()).len(), 98);

    let new = temp.path().join("new");
    let salvaged = run(&["salvage", &dir, new.to_str().unwrap()]);
    assert_eq!(exit(&salvaged), 0, "{salvaged:?}");
    assert_eq!(files(Path::new(&dir)), before, "something has changed");
    let dumped_new = run(&["dump", new.to_str().unwrap()]);
    assert_eq!(dumped_new.stdout, std::fs::read(&out).unwrap());
    let pool = pool(&new);
    let document = pool
        .database("zwei ü")
        .unwrap()
        .read("_default", 3)
        .unwrap();
    assert_eq!(document.version, documents[3]["version"].as_u64().unwrap());
    pool.close();
}

#[test]
fn what_is_damaged() {
    let (temp, dir) = data();
    let path = first_data_file(&dir);
    // Inside the first document.
    flip(&path, 4096 + 50);
    let before = files(Path::new(&dir));
    let checked = run(&["check", &dir, "--json"]);
    assert_eq!(exit(&checked), 5);
    let found = lines(&checked.stdout);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(found[0]["severity"], "damage");
    assert_eq!(found[0]["database"], "one");
    assert_eq!(found[0]["file"], path.to_str().unwrap());
    assert_eq!(found[0]["offset"], 4096);
    assert_eq!(found[0]["id"], 0);
    let text = String::from_utf8(run(&["check", &dir]).stdout).unwrap();
    assert!(
        text.contains("at offset 4096") && text.contains("1 thing is damaged"),
        "{text}"
    );

    let dumped = run(&["dump", &dir]);
    assert_eq!((exit(&dumped), lines(&dumped.stdout).len()), (5, 97));
    let told = String::from_utf8(dumped.stderr).unwrap();
    assert!(told.contains("data-00000001.dat at offset 4096"), "{told}");

    // The log that is kept has the document.
    let new = temp.path().join("new");
    let new = new.to_str().unwrap();
    let salvaged = run(&["salvage", &dir, new, "--json"]);
    assert_eq!(exit(&salvaged), 0, "{salvaged:?}");
    let told = lines(&salvaged.stdout);
    assert!(
        told.iter().any(|line| line["from_copies"] == 1),
        "{told:#?}"
    );

    // Without the log it is lost.
    for (path, contents) in &before {
        if path.to_str().unwrap().contains("0001/wal") && contents.len() > 4096 {
            let mut empty = contents.clone();
            empty[4096..].fill(0);
            std::fs::write(path, empty).unwrap();
        }
    }
    let newer = temp.path().join("newer");
    let newer = newer.to_str().unwrap();
    let salvaged = run(&["salvage", &dir, newer]);
    assert_eq!(exit(&salvaged), 5, "{salvaged:?}");
    let lost = std::fs::read(Path::new(newer).join("lost-one.ndjson")).unwrap();
    let lost: Vec<_> = lines(&lost)
        .into_iter()
        .filter(|line| line["id"] == 0)
        .collect();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(!Path::new(newer).join("lost-zwei ü.ndjson").exists());
    assert_eq!(lines(&run(&["dump", newer]).stdout).len(), 97);
    assert_eq!(exit(&run(&["check", newer])), 0);
}

#[test]
fn without_a_catalog() {
    let (temp, dir) = data();
    for name in ["CATALOG", "CATALOG.copy"] {
        flip(&Path::new(&dir).join(name), 100);
    }
    let checked = run(&["check", &dir]);
    assert_eq!(exit(&checked), 5);
    assert!(
        String::from_utf8(checked.stdout)
            .unwrap()
            .contains("CATALOG.copy")
    );
    let new = temp.path().join("new");
    let salvaged = run(&["salvage", &dir, new.to_str().unwrap()]);
    assert_eq!(exit(&salvaged), 5);
    let documents = lines(&run(&["dump", new.to_str().unwrap()]).stdout);
    assert_eq!(documents.len(), 98);
    assert_eq!(documents[0]["database"], "db-0000000000000001");
    // One copy is enough, and told of.
    let (_temp, dir) = data();
    flip(&Path::new(&dir).join("CATALOG"), 100);
    assert_eq!(exit(&run(&["check", &dir])), 5);
    assert_eq!(lines(&run(&["dump", &dir]).stdout)[0]["database"], "one");
}

#[test]
fn databases_that_the_catalog_does_not_know_or_that_are_gone() {
    let (_temp, dir) = data();
    let one = Path::new(&dir).join("db-0000000000000001");
    std::fs::rename(&one, Path::new(&dir).join("db-0000000000000009")).unwrap();
    let checked = run(&["check", &dir, "--json"]);
    assert_eq!(exit(&checked), 5);
    let found = lines(&checked.stdout);
    let tells = |end: &str| {
        found
            .iter()
            .any(|l| l["file"].as_str().is_some_and(|f| f.ends_with(end)))
    };
    assert!(
        tells("db-0000000000000001") && tells("db-0000000000000009"),
        "{found:#?}"
    );
}

#[test]
fn a_directory_in_use_is_refused() {
    let (temp, dir) = data();
    let _server = process::start(&mut process::command(temp.path()));
    let new = temp.path().join("new");
    for args in [
        &["check", &dir][..],
        &["dump", &dir],
        &["compact", &dir],
        &["salvage", &dir, new.to_str().unwrap()],
    ] {
        let output = run(args);
        assert_eq!(exit(&output), 3, "{args:?}: {output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("pid"), "{told}");
    }
    assert!(!new.exists());
}

#[test]
fn wrong_directories_and_arguments() {
    let (temp, dir) = data();
    let empty = temp.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let file = temp.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let foreign = temp.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("x"), "x").unwrap();
    let gone = temp.path().join("gone");
    for path in [&empty, &file, &foreign, &gone] {
        for verb in ["check", "dump", "compact"] {
            let output = run(&[verb, path.to_str().unwrap()]);
            assert_eq!(exit(&output), 1, "{verb} {}: {output:?}", path.display());
        }
    }
    assert!(!gone.exists() && std::fs::read_dir(&empty).unwrap().next().is_none());
    // Through a symbolic link it is the same directory.
    let link = temp.path().join("link");
    std::os::unix::fs::symlink(&dir, &link).unwrap();
    let link = link.to_str().unwrap();
    assert_eq!(exit(&run(&["check", link])), 0);
    for into in [format!("{dir}/new"), format!("{link}/new")] {
        assert_eq!(exit(&run(&["salvage", &dir, &into])), 1, "{into}");
        assert!(!Path::new(&into).exists());
    }
    // Not empty.
    assert_eq!(exit(&run(&["salvage", &dir, foreign.to_str().unwrap()])), 1);
    assert_eq!(exit(&run(&["dump", &dir, "no such database"])), 1);
    for args in [
        &["salvage"][..],
        &["check", &dir, "more"],
        &["check", "--no-such"],
    ] {
        assert_eq!(exit(&run(args)), 2, "{args:?}");
    }
}

#[test]
fn compacting_gives_space_back() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data");
    let pool = pool(&dir);
    pool.create_database("db", None).unwrap();
    let db = pool.database("db").unwrap();
    let large = format!("\"{}\"", "x".repeat(100_000));
    for id in 0..20 {
        let op = WriteOp::create("_default", id, large.as_bytes());
        db.submit(&[op]).wait().unwrap();
    }
    db.checkpoint().unwrap();
    for id in 1..20 {
        db.submit(&[WriteOp::delete("_default", id)])
            .wait()
            .unwrap();
    }
    drop(db);
    pool.close();
    let dir = dir.to_str().unwrap();
    let compacted = run(&["compact", dir, "--json"]);
    assert_eq!(exit(&compacted), 0, "{compacted:?}");
    let [line] = &lines(&compacted.stdout)[..] else {
        panic!("{compacted:?}");
    };
    assert_eq!(line["database"], "db");
    assert!(line["bytes_before"].as_u64() > Some(2_000_000), "{line}");
    assert!(line["bytes_after"].as_u64() < Some(200_000), "{line}");
    assert_eq!(lines(&run(&["dump", dir]).stdout).len(), 1);
    assert_eq!(exit(&run(&["check", dir])), 0);
}

#[test]
fn a_backup_is_not_taken_for_a_damaged_data_directory() {
    let (temp, dir) = data();
    let backup = temp.path().join("backup");
    std::fs::create_dir(&backup).unwrap();
    std::fs::write(backup.join("BACKUP"), b"what a backup holds").unwrap();
    std::fs::create_dir(backup.join("db-0000000000000001")).unwrap();
    let new = temp.path().join("new");
    for args in [
        vec!["check", backup.to_str().unwrap()],
        vec!["dump", backup.to_str().unwrap()],
        vec!["salvage", backup.to_str().unwrap(), new.to_str().unwrap()],
    ] {
        let output = run(&args);
        assert_eq!(exit(&output), 1, "{args:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("docdb-server restore"), "{text}");
    }
    assert!(!new.exists());
    // A file of that name does no harm in a data directory.
    std::fs::write(Path::new(&dir).join("BACKUP"), b"").unwrap();
    assert_eq!(exit(&run(&["check", &dir])), 0);
}

/// What a check says of the files of a database without a manifest is true: they are not removed.
#[test]
fn without_a_manifest_no_file_is_called_a_leftover() {
    let (temp, dir) = data();
    std::fs::remove_file(Path::new(&dir).join("db-0000000000000001/MANIFEST")).unwrap();
    let checked = run(&["check", &dir]);
    assert_eq!(exit(&checked), 5);
    let text = String::from_utf8(checked.stdout).unwrap();
    assert!(!text.contains("leftover"), "{text}");
    assert!(text.contains("a salvage looks into it"), "{text}");
    let new = temp.path().join("new");
    let salvaged = run(&["salvage", &dir, new.to_str().unwrap(), "--include-doubtful"]);
    // The log goes back to the first commit, so nothing is lost.
    assert_eq!(exit(&salvaged), 0);
    let pool = pool(&new);
    let db = pool.database("one").unwrap();
    assert!(db.read("_default", 3).is_ok());
}
