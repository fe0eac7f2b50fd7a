//! Threads that do the same.

use docdb_bench_peers::measure::Failure;

/// Runs the work on so many threads, beside `meanwhile` on this one, and gives what each of them gave.
pub fn run<T: Send>(
    threads: usize,
    work: impl Fn(usize) -> Result<T, Failure> + Sync,
    meanwhile: impl FnOnce() -> Result<(), Failure>,
) -> Result<Vec<T>, Failure> {
    std::thread::scope(|scope| {
        let work = &work;
        let handles: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || work(thread)))
            .collect();
        let meanwhile = meanwhile();
        let mut all = Vec::with_capacity(threads);
        let mut failure = meanwhile.err();
        for handle in handles {
            match handle.join() {
                Ok(Ok(one)) => all.push(one),
                Ok(Err(error)) => failure = Some(error),
                Err(_) => failure = Some("a thread panicked".into()),
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(all),
        }
    })
}
