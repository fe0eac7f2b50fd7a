//! What transactions of many clients promise one another, judged from the outside: they run over the
//! socket while the server takes checkpoints and compacts, and is killed now and then, and two
//! checkers that know nothing of it look at what the clients saw.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;
#[path = "common/remote.rs"]
mod remote;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Mutex;

use common::process::{Process, command, start};
use docdb_client::blocking::Client;
use docdb_history::{
    DocumentRules, DocumentShape, DocumentWorkload, Failure, History, ListHistory, ListRules,
    ListShape, ListWorkload, Progress, RunOptions, Session, Txn, TxnSource, Workload,
    check_documents, check_lists, run_threads,
};
use remote::{DB, connect};
use tempfile::TempDir;

/// A server that is killed and started again.
struct Server {
    dir: TempDir,
    process: Mutex<Process>,
}

impl Server {
    fn start() -> Server {
        let dir = tempfile::tempdir().unwrap();
        let process = start(&mut command(dir.path()));
        let server = Server {
            dir,
            process: Mutex::new(process),
        };
        let client = Client::connect(server.socket()).unwrap();
        client.create_database(DB, None).unwrap();
        server
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    fn restart(&self) {
        let mut process = self.process.lock().unwrap();
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        *process = start(&mut command(self.dir.path()));
    }

    /// Runs a workload, with a checkpoint and a compaction, or a kill, after each thousand
    /// transactions.
    fn run<H: History>(&self, workload: &dyn Workload, txns: u64) -> H {
        let maintained = connect(&self.socket()).unwrap();
        let turn = Mutex::new(0_u32);
        let tell = |_: Progress| {
            let mut turn = turn.lock().unwrap();
            *turn += 1;
            if turn.is_multiple_of(2) {
                self.restart();
            } else {
                // The server may be about to be killed by whoever comes next.
                let _ = maintained.checkpoint().and_then(|()| maintained.compact());
            }
            ControlFlow::Continue(())
        };
        let options = RunOptions {
            txns,
            ..RunOptions::default()
        };
        let history = run_threads(self, workload, options, &tell).unwrap();
        assert!(*turn.lock().unwrap() >= 2, "it was never killed");
        history
    }
}

impl TxnSource for Server {
    fn session(&self, _process: u32) -> Result<Box<dyn Session + '_>, Failure> {
        remote::session(&self.socket())
    }
}

#[test]
fn lists_of_clients_show_no_anomaly() {
    let workload = ListWorkload::new(ListShape {
        serializable_percent: 50,
        ..ListShape::default()
    });
    let history: ListHistory = Server::start().run(&workload, 6_000);
    let report = check_lists(&history, ListRules::default());
    assert!(report.is_ok(), "{report}");
    assert!(report.stats.committed > 1_000, "{report}");
}

#[test]
fn documents_of_clients_are_those_of_their_snapshot() {
    let workload = DocumentWorkload::new(DocumentShape {
        serializable_percent: 50,
        ..DocumentShape::default()
    });
    let history: Vec<Txn> = Server::start().run(&workload, 6_000);
    let report = check_documents(&history, DocumentRules::default());
    assert!(report.is_ok(), "{report}");
    assert!(report.stats.committed > 1_000, "{report}");
}
