//! What a store is made to do, and what is measured of it.

use docdb_bench_peers::measure::{Failure, Sample};

use crate::task::{Task, Work};

mod device;
mod disturbed;
mod load;
mod mixed;
mod open;
mod overwrite;
mod read;
mod resident;
mod threads;
mod write;

pub use load::BATCH as LOAD_BATCH;

/// Does it, in this process.
pub fn run(task: &Task) -> Result<Sample, Failure> {
    if task.is_device() {
        return device::run(task);
    }
    match task.work {
        Work::Write { threads, batch } => write::blocking(task, threads, batch),
        Work::Await { in_flight } => write::awaited(task, in_flight),
        Work::Load { batch } => load::load(task, batch),
        Work::Read { threads } => read::random(task, threads),
        Work::Scan => read::scan(task),
        Work::Open { overwritten } => open::open(task, overwritten),
        Work::Overwritten {
            writes,
            seconds_max,
        } => open::overwrite_and_wait(task, writes, seconds_max),
        Work::Overwrite {
            writes,
            seconds_max,
        } => overwrite::overwrite(task, writes, seconds_max),
        Work::Resident => resident::resident(task),
        Work::Disturbed { threads } => disturbed::disturbed(task, threads),
        Work::Mixed { readers, writers } => mixed::mixed(task, readers, writers),
    }
}
