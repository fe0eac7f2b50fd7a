//! A history of clients of a real server, which is killed in between.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use docdb_history::{
    Failure, History, Progress, RunError, RunOptions, Session, TxnSource, Workload, run_threads,
};
use tokio::runtime::Runtime;

use super::kind::{Judged, Kind};
use super::remote;
use crate::server::{Server, ServerSetup};

/// Transactions of a history, so that the server is killed twice.
const TXNS: u64 = 2 * super::TXNS + 1_200;

/// A server that is killed and started again while clients use it.
struct Killed<'a> {
    runtime: &'a Runtime,
    setup: &'a ServerSetup,
    server: Mutex<Option<Server>>,
    kills: AtomicU64,
    /// What the server did that it must not.
    broken: Mutex<Option<String>>,
}

/// Runs and judges one history. Says how often the server was killed.
pub(super) fn run(
    runtime: &Runtime,
    setup: &ServerSetup,
    kind: Kind,
    seed: u64,
) -> Result<(Judged, u64), String> {
    let started = runtime.block_on(async {
        let (server, _) = setup.start().await?;
        let client = setup.connect().await?;
        client.create_database(remote::DB, None).await?;
        Ok::<_, Box<dyn std::error::Error>>(server)
    });
    let killed = Killed {
        runtime,
        setup,
        server: Mutex::new(Some(started.map_err(|e| e.to_string())?)),
        kills: AtomicU64::new(0),
        broken: Mutex::default(),
    };
    let workload = kind.workload();
    let mut judged = match kind {
        Kind::Documents(_) => kind.judge_documents(killed.run(&*workload, seed)),
        _ => kind.judge_lists(killed.run(&*workload, seed)),
    };
    let broken = killed.broken.into_inner();
    if let Some(what) = broken.unwrap_or_else(PoisonError::into_inner) {
        judged.violation = Some(what);
    }
    Ok((judged, killed.kills.into_inner()))
}

impl Killed<'_> {
    fn socket(&self) -> PathBuf {
        self.setup.socket.clone()
    }

    fn run<H: History>(&self, workload: &dyn Workload, seed: u64) -> Result<H, RunError> {
        let upkeep = remote::connect(&self.socket()).ok();
        let turn = AtomicU64::new(0);
        let tell = |_: Progress| {
            if turn.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
                // The server may be about to be killed by whoever comes next.
                let done = upkeep
                    .as_ref()
                    .map(|db| db.checkpoint().and_then(|()| db.compact()));
                drop(done);
            } else if let Err(what) = self.restart() {
                let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
                broken.get_or_insert(what);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        let options = RunOptions {
            seed,
            txns: TXNS,
            ..RunOptions::default()
        };
        run_threads(self, workload, options, &tell)
    }

    fn restart(&self) -> Result<(), String> {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = server.take() {
            server.kill().map_err(|e| e.to_string())?;
        }
        let started = self.runtime.block_on(self.setup.start());
        *server = Some(started.map_err(|e| e.to_string())?.0);
        self.kills.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl TxnSource for Killed<'_> {
    fn session(&self, _process: u32) -> Result<Box<dyn Session + '_>, Failure> {
        remote::session(&self.socket())
    }
}
