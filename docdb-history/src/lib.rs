#![doc = include_str!("../README.md")]

mod documents;
mod lists;
mod model;
mod ndjson;
mod recorder;
mod report;
mod rng;
mod run;
mod session;
mod workload;

pub use documents::{DocumentRules, check_documents};
pub use lists::{ListHistory, ListRules, TXNS_MAX, check_lists};
pub use model::{Direction, History, Level, Op, Outcome, ScanRange, Seen, Txn, digest};
pub use ndjson::{LINE_BYTES_MAX, ReadError, read_ndjson, write_ndjson};
pub use recorder::{Clock, Log, Recorder};
pub use report::{Anomaly, Finding, Report, Stats, WITNESSES_MAX};
pub use rng::Rng;
pub use run::{PROGRESS_EVERY, Progress, RunError, RunOptions, run_interleaved, run_threads};
pub use session::{Failure, Session, TxnSource};
pub use workload::{
    DocumentShape, DocumentWorkload, ListShape, ListWorkload, Plan, SkewShape, SkewWorkload, Step,
    Workload,
};
