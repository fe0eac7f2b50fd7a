#![doc = include_str!("../README.md")]

mod commit_ts;
mod registry;
mod rules;
mod visibility;

pub use commit_ts::CommitTs;
pub use registry::{LEASES_MAX, Snapshot, SnapshotRegistry};
pub use rules::{CommitRules, Current, Precondition, Refusal, WriteKind, first_committer_wins};
pub use visibility::Visibility;
