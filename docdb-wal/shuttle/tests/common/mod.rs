//! A log on a simulated disk at whose operations the scheduler may switch threads.

#![allow(dead_code, reason = "every test file uses its own part of this")]
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

#[path = "../../../tests/common/hook.rs"]
pub(crate) mod hook;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use docdb_wal::vfs::Vfs;
use docdb_wal::vfs::sim::{CrashPolicy, SimVfs};
use docdb_wal::{FlushDriver, Recovery, Wal, WalOptions};
use hook::HookVfs;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::thread::{self, Thread};

/// The same interleavings in every run. `DOCDB_WAL_SHUTTLE_SEED` and `DOCDB_WAL_SHUTTLE_TIMES` (a
/// factor) look at others, and at more.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Tries out interleavings of `work`. Threads that wait for each other for good are a failure; it
/// prints a schedule that [`shuttle::replay`] runs again.
pub(crate) fn explore(iterations: usize, work: fn()) {
    let seed = number("DOCDB_WAL_SHUTTLE_SEED", 0x5eed);
    let iterations = iterations * number("DOCDB_WAL_SHUTTLE_TIMES", 1) as usize;
    let mut config = shuttle::Config::new();
    config.stack_size = 256 << 10;
    let random = RandomScheduler::new_from_seed(seed, iterations);
    shuttle::Runner::new(random, config.clone()).run(work);
    // Rare orders: few switches, at places chosen with equal weight.
    let few = PctScheduler::new_from_seed(seed, 3, iterations / 2);
    shuttle::Runner::new(few, config).run(work);
}

pub(crate) fn dir() -> &'static Path {
    Path::new("/wal")
}

pub(crate) fn options() -> WalOptions {
    let mut options = WalOptions::default();
    options.segment_bytes_min = 16 << 10;
    options.segment_bytes_max = 32 << 10;
    options
}

pub(crate) fn create(options: WalOptions, driver: Arc<dyn FlushDriver>) -> (SimVfs, Wal) {
    let sim = SimVfs::new(7);
    sim.create_dir(dir()).unwrap();
    sim.sync_dir(Path::new("/")).unwrap();
    let vfs = HookVfs::new(sim.clone(), |_, _| thread::yield_now());
    let wal = Wal::create(Arc::new(vfs), dir(), options, driver).unwrap();
    (sim, wal)
}

/// The last record that a power loss at this moment would leave.
pub(crate) fn last_after_power_loss(sim: &SimVfs) -> u64 {
    let image = Arc::new(sim.fork_crash(&CrashPolicy::KeepNone));
    let judged = Recovery::judge(image, dir(), options(), &mut |_| Ok(()));
    judged.unwrap().last_lsn().0
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs one future to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
