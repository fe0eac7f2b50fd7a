//! Random numbers, so that one seed gives one run.

pub(crate) use docdb_crashtest::Rng;

/// A seed for a run that was given none.
pub(crate) fn seed_of_now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = now.map_or(0, |d| d.as_nanos() as u64);
    Rng::new(nanos ^ u64::from(std::process::id())).next() >> 24
}
