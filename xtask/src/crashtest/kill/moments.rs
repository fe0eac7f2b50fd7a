//! Moments at which a server is killed: chosen by what it is doing, not only by the clock.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use docdb_client::{Client, ErrorKind};

use super::databases;
use crate::rng::Rng;

/// How long a moment is waited for before the server is killed anyway.
const WAIT_MAX: Duration = Duration::from_millis(400);

/// How a round ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum End {
    /// SIGKILL at any moment of the load.
    Any,
    /// SIGKILL while a checkpoint is under way.
    InCheckpoint,
    /// SIGKILL while a compaction is under way.
    InCompaction,
    /// SIGKILL when a log gets a new segment.
    InRotation,
    /// SIGKILL a few milliseconds after SIGTERM.
    InDrain,
    /// SIGKILL, and again during the starts that follow, up to three times.
    InRecovery,
    /// SIGKILL when every client has its answer: nothing may be open.
    AtRest,
    /// SIGTERM: everything must be there.
    Terminate,
}

impl End {
    pub(super) fn choose(rng: &mut Rng) -> End {
        match rng.below(100) {
            0..5 => End::Terminate,
            5..12 => End::AtRest,
            12..27 => End::InRecovery,
            27..37 => End::InDrain,
            37..52 => End::InRotation,
            52..62 => End::InCompaction,
            62..77 => End::InCheckpoint,
            _ => End::Any,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            End::Any => "at any moment",
            End::InCheckpoint => "in a checkpoint",
            End::InCompaction => "in a compaction",
            End::InRotation => "at a new log segment",
            End::InDrain => "in the drain after SIGTERM",
            End::InRecovery => "in a recovery",
            End::AtRest => "at rest",
            End::Terminate => "SIGTERM",
        }
    }
}

/// Calls of one kind that somebody makes again and again, and which of them is under way.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// The number of the call that is under way; 0 if there is none.
    under_way: AtomicU64,
}

impl Calls {
    /// Checkpoints, and compactions if they are wanted, one after another on all databases.
    pub(super) async fn keep_calling(
        self: Arc<Calls>,
        client: Client,
        end: End,
        stop: Arc<AtomicBool>,
    ) {
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            for kind in databases::ALL {
                let database = client.database(kind.name);
                number += 1;
                self.under_way.store(number, Ordering::SeqCst);
                let result = match end {
                    End::InCompaction if number % 2 == 0 => database.compact().await.map(drop),
                    End::InCompaction => {
                        // What it leaves dead is what a compaction has to do.
                        self.under_way.store(0, Ordering::SeqCst);
                        database.checkpoint().await
                    }
                    _ => database.checkpoint().await,
                };
                self.under_way.store(0, Ordering::SeqCst);
                match result {
                    Err(e) if e.kind() == ErrorKind::Closed || e.is_connect() => return,
                    _ => {}
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until a call is under way, and a little longer. Says whether it still is.
    pub(super) fn wait_inside(&self, rng: &mut Rng) -> bool {
        let began = Instant::now();
        while began.elapsed() < WAIT_MAX {
            let number = self.under_way.load(Ordering::SeqCst);
            if number != 0 {
                pause(rng.below(6_000));
                if self.under_way.load(Ordering::SeqCst) == number {
                    return true;
                }
            }
            pause(100);
        }
        false
    }
}

/// Waits until a database's log has another file than before. Says whether that happened.
pub(super) fn wait_for_rotation(data_dir: &Path, rng: &mut Rng) -> bool {
    let before = log_files(data_dir);
    let began = Instant::now();
    while began.elapsed() < WAIT_MAX {
        if log_files(data_dir) != before {
            pause(rng.below(500));
            return true;
        }
        pause(100);
    }
    false
}

/// The names of all files of all logs.
fn log_files(data_dir: &Path) -> BTreeSet<OsString> {
    let mut names = BTreeSet::new();
    for database in fs::read_dir(data_dir).into_iter().flatten().flatten() {
        let log = fs::read_dir(database.path().join("wal"));
        for file in log.into_iter().flatten().flatten() {
            names.insert(file.path().into_os_string());
        }
    }
    names
}

/// Microseconds of rest of this thread: the runtime's clock knows only milliseconds.
pub(super) fn pause(micros: u64) {
    std::thread::sleep(Duration::from_micros(micros));
}
