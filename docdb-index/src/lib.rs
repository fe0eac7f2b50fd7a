#![doc = include_str!("../README.md")]

mod below;
mod cache;
mod delta;
mod error;
mod index;
mod key;
mod layers;
mod run;
mod scan;
mod since;
mod version;

pub use below::{Below, InMemory};
pub use cache::{ByteCache, CACHE_ENTRY_BYTES, CacheStats};
pub use delta::{DEFAULT_SHARDS, Delta, DeltaChunk, DeltaGet, SortedNewest};
pub use error::{IndexError, Result};
pub use index::{Index, IndexOptions, IndexStats, Lookup, Seen};
pub use key::{Direction, Key};
pub use run::{
    BlockCache, Merge, MergeStats, Probe, ReadMode, Run, RunChunk, RunEntry, RunFound, RunIdentity,
    RunMeta, RunScrubbed, RunSurvey, RunWriter, Winners, format, merge_runs, parse_run_file_name,
    run_file_name,
};
pub use scan::Scan;
pub use since::Searched;
pub use version::{Place, Pointer, Resident, Version};
