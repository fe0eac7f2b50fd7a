#![doc = include_str!("../README.md")]

mod commit_ts;
mod hold;
mod horizon;
mod registry;
mod rules;
mod visibility;

pub use commit_ts::CommitTs;
pub use hold::{Hold, HoldLimit};
pub use horizon::{HELD_MAX, Horizon};
pub use registry::{LEASES_MAX, Snapshot, SnapshotRegistry};
pub use rules::{CommitRules, Current, Precondition, Refusal, WriteKind, first_committer_wins};
pub use visibility::Visibility;
