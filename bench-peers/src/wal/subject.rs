//! What the logs have in common.

use std::time::{Duration, Instant};

use docdb_bench_peers::measure::{Clock, Failure, Latencies, Sample, payload, renumber};

/// Appends a record and returns when it is acknowledged.
pub(crate) type Append<'a> = Box<dyn FnMut(&[u8]) -> Result<(), Failure> + Send + 'a>;

/// A log that threads append to.
pub(crate) trait Subject: Sync {
    /// What the thread with this number appends with.
    fn appender(&self, thread: usize) -> Append<'_>;

    /// Adds what only this log can tell of a run.
    fn finish(&self, sample: Sample) -> Sample {
        sample
    }
}

/// Threads that each append one record after the other until it is acknowledged.
pub(crate) fn blocking(
    subject: &dyn Subject,
    threads: usize,
    bytes: usize,
    time: Duration,
) -> Result<Sample, Failure> {
    let mut all = Latencies::default();
    let mut failure = None;
    let clock = Clock::start();
    std::thread::scope(|scope| {
        let clock = &clock;
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    let mut append = subject.appender(thread);
                    let mut latencies = Latencies::default();
                    let mut record = payload(thread as u64, bytes);
                    while clock.elapsed() < time {
                        renumber(&mut record, latencies.count());
                        let start = Instant::now();
                        append(&record)?;
                        latencies.note(start);
                    }
                    Ok::<_, Failure>(latencies)
                })
            })
            .collect();
        for handle in handles {
            match handle.join() {
                Ok(Ok(latencies)) => all.merge(latencies),
                Ok(Err(error)) => failure = Some(error),
                Err(_) => failure = Some("an appending thread panicked".into()),
            }
        }
    });
    match failure {
        Some(error) => Err(error),
        None => {
            let sample = clock.stop(all.count()).with_latencies(all);
            Ok(subject.finish(sample))
        }
    }
}
