//! What an import costs a real server.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::process::Command;

use common::real::RealServer;

/// The documents of an import are written once, to a data file: the log gets what points to them.
#[test]
fn an_import_does_not_go_through_the_log() {
    let server = RealServer::start();
    let docdb = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_docdb"));
        command.arg("--socket").arg(server.path()).args(args);
        let ran = command.output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    };
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("documents.ndjson");
    let text = "x".repeat(280);
    let lines: String = (0..21_000)
        .map(|n| format!("{{\"n\":{n},\"text\":\"{text}\"}}\n"))
        .collect();
    std::fs::write(&file, &lines).unwrap();
    docdb(&["import", "shop", "things", file.to_str().unwrap()]);
    assert_eq!(docdb(&["count", "shop", "things"]), "21000\n");
    let wal: serde_json::Value = serde_json::from_str(&docdb(&["--json", "wal", "shop"])).unwrap();
    let logged = wal["record_bytes"].as_u64().unwrap() as usize;
    assert!(
        logged > 0 && logged < lines.len() / 4,
        "{logged} bytes of {}: {wal}",
        lines.len()
    );
}
