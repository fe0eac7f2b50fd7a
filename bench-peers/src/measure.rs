//! What one run measured.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

/// What went wrong, on whatever thread.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The latencies of one thread or task, in nanoseconds.
#[derive(Debug, Default, Clone)]
pub struct Latencies(Vec<u32>);

impl Latencies {
    /// Notes an operation that began at `began` and ends now.
    pub fn note(&mut self, began: Instant) {
        let nanos = began.elapsed().as_nanos();
        self.0.push(u32::try_from(nanos).unwrap_or(u32::MAX));
    }

    /// Notes that each of `operations` took its part of the time since `began`.
    pub fn note_burst(&mut self, began: Instant, operations: u64) {
        let nanos = began.elapsed().as_nanos() / u128::from(operations.max(1));
        self.0.push(u32::try_from(nanos).unwrap_or(u32::MAX));
    }

    pub fn merge(&mut self, other: Latencies) {
        self.0.extend(other.0);
    }

    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// The latency that this share of them does not exceed, in microseconds.
    pub fn micros(&mut self, share: f64) -> Option<f64> {
        self.0.sort_unstable();
        let at = (self.0.len().saturating_sub(1) as f64 * share) as usize;
        self.0.get(at).map(|nanos| f64::from(*nanos) / 1e3)
    }
}

/// The clock of the wall and that of the processor time of this process, user and system together.
#[derive(Debug)]
pub struct Clock {
    began: Instant,
    processor_began: Duration,
}

impl Clock {
    pub fn start() -> Clock {
        Clock {
            began: Instant::now(),
            processor_began: processor_time(),
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The figures of `operations` done since the start.
    pub fn stop(self, operations: u64) -> Sample {
        let processor = processor_time().saturating_sub(self.processor_began);
        let seconds = self.began.elapsed().as_secs_f64();
        let mut sample = Sample(Map::new());
        sample.set("operations", operations);
        sample.set("seconds", seconds);
        sample.set("rate", operations as f64 / seconds);
        sample.set(
            "cpu_micros",
            processor.as_secs_f64() * 1e6 / operations.max(1) as f64,
        );
        sample
    }
}

/// The processor time of this process so far, user and system together.
pub fn processor_time() -> Duration {
    time_of(rustix::time::ClockId::ProcessCPUTime)
}

/// The processor time of this thread so far, user and system together.
pub fn thread_time() -> Duration {
    time_of(rustix::time::ClockId::ThreadCPUTime)
}

fn time_of(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// The figures of one run, by name.
#[derive(Debug, Default)]
pub struct Sample(Map<String, Value>);

impl Sample {
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Adds the figures of another sample.
    pub fn with(mut self, other: Sample) -> Sample {
        self.0.extend(other.0);
        self
    }

    pub fn with_latencies(mut self, mut latencies: Latencies) -> Sample {
        self.set("micros_p50", json!(latencies.micros(0.5)));
        self.set("micros_p99", json!(latencies.micros(0.99)));
        self
    }

    pub fn with_bytes(mut self, bytes: u64) -> Sample {
        if let Some(seconds) = self.0.get("seconds").and_then(Value::as_f64) {
            self.set("bytes_per_second", bytes as f64 / seconds);
        }
        self
    }

    pub fn figure(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.as_f64()
    }

    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }
}

/// A record's payload: the same bytes, but for the number in front.
pub fn payload(number: u64, bytes: usize) -> Vec<u8> {
    let mut payload: Vec<u8> = (0..bytes).map(|i| b'a' + (i % 26) as u8).collect();
    renumber(&mut payload, number);
    payload
}

/// Makes the payload that of another record.
pub fn renumber(payload: &mut [u8], number: u64) {
    if let Some(front) = payload.get_mut(..8) {
        front.copy_from_slice(&number.to_le_bytes());
    }
}
