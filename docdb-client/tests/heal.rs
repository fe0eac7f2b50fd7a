//! Healing over a real server: the client, the tool and the shell.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![cfg(feature = "cli")]

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::real::RealServer;
use docdb_client::{ErrorKind, HealOutcome, blocking::Client};

const C: &str = "_default";

fn document(id: u64) -> String {
    format!(
        "{{\"id\":{id},\"text\":\"{}\"}}",
        format!("{id:x}").repeat(300)
    )
}

/// The data files below a directory.
fn data_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(data_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "dat") {
            found.push(path);
        }
    }
    found
}

/// Inverts a bit of what follows `needle`, in every data file that has it.
fn damage(server: &RealServer, needle: &[u8]) {
    let mut count = 0;
    for path in data_files(&server.data_dir()) {
        let bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(needle.len()).position(|w| w == needle);
        if let Some(at) = at {
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            let at = at + needle.len() / 2;
            std::os::unix::fs::FileExt::write_all_at(&file, &[bytes[at] ^ 4], at as u64).unwrap();
            count += 1;
        }
    }
    assert!(count > 0, "no data file has it");
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn tool(server: &RealServer, args: &[&str], stdin: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_docdb"))
        .args(args)
        .env("DOCDB_SOCKET", server.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(stdin.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A large one, of which the log holds nothing, is written at once: it is the damage that cannot be
/// healed.
fn large() -> String {
    format!("\"{}\"", "large".repeat(300_000))
}

#[test]
fn damage_is_healed_over_the_socket() {
    let server = RealServer::start();
    let client = Client::connect(server.path()).unwrap();
    client.create_database("d", None).unwrap();
    let database = client.database("d");
    let documents = database.raw_collection(C);
    for id in 0..20 {
        documents.create(id, document(id)).unwrap();
    }
    database.checkpoint().unwrap();

    assert_eq!(database.heal(C, 3).unwrap(), HealOutcome::Intact);
    assert_eq!(
        database.heal(C, 99).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    for id in [3, 4, 5, 6, 7] {
        damage(&server, document(id).as_bytes());
    }
    assert_eq!(database.heal(C, 3).unwrap(), HealOutcome::Healed);
    assert_eq!(&*documents.get(4).unwrap().value, document(4).as_bytes());
    let ran = tool(&server, &["heal", "d", C, "5"], "");
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "OK healed\n"),
        "{}",
        ran.err
    );
    let ran = tool(&server, &["--json", "heal", "d", C, "5"], "");
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "{\"outcome\":\"intact\"}\n")
    );
    let ran = tool(&server, &["heal", "d", C, "99"], "");
    assert_eq!(ran.code, 3, "{}", ran.err);
    let ran = tool(
        &server,
        &["shell", "d"],
        ".heal 6\n.heal-stats\n.heal-all\n",
    );
    assert!(ran.out.contains("OK healed"), "{}", ran.out);
    assert!(ran.out.contains("healed_on_demand"), "{}", ran.out);
    assert!(ran.out.contains("unhealable=0"), "{}", ran.out);
    for id in 0..20 {
        assert_eq!(&*documents.get(id).unwrap().value, document(id).as_bytes());
    }
    let stats = database.heal_stats().unwrap();
    assert_eq!(stats["healed"], 5, "{stats}");
    assert_eq!(stats["unhealable"], 0);
    assert!(stats["last_healed_seconds_ago"].is_number());
    assert_eq!(database.stats().unwrap()["healing"]["healed"], 5);
    let ran = tool(&server, &["heal-all", "d"], "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("OK files="), "{}", ran.out);

    // Without a copy.
    documents.create(100, large()).unwrap();
    database.checkpoint().unwrap();
    damage(&server, &large().as_bytes()[..100_000]);
    let HealOutcome::Unhealable { what } = database.heal(C, 100).unwrap() else {
        panic!("there is no copy");
    };
    assert!(what.contains(".dat") && what.contains("offset"), "{what}");
    let ran = tool(&server, &["heal", "d", C, "100"], "");
    assert_eq!(ran.code, 5);
    assert!(ran.err.starts_with("ERROR Corrupt: "), "{}", ran.err);
    let ran = tool(&server, &["--json", "heal-all", "d"], "");
    assert_eq!(ran.code, 5, "{}", ran.err);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["unhealable"], 1, "{report}");
    assert_eq!(report["unhealable_documents"][0]["id"], 100);
    let ran = tool(&server, &["heal-stats", "d"], "");
    assert!(ran.out.contains("unhealable_now\t1\n"), "{}", ran.out);
    let ran = tool(&server, &["shell", "d"], ".heal 100\n.heal-all\n");
    assert_eq!((ran.out + &ran.err).matches("ERROR Corrupt").count(), 2);
    assert_eq!(&*documents.get(7).unwrap().value, document(7).as_bytes());
}
