//! A disk in memory that remembers what was synced and can lose power at any operation.
//!
//! A file has contents that are durable and a list of operations since; a directory likewise. Reads
//! see everything. [`VfsFile::sync_data`](crate::VfsFile::sync_data) makes a file's operations
//! durable and [`Vfs::sync_dir`](crate::Vfs::sync_dir) those of a directory's entries: a file whose
//! entry was never synced is gone after a loss of power, whatever was done to its contents.
//! [`SimVfs::fork_crash`] shows what a [`CrashPolicy`] leaves of it, on a new disk, as often as one
//! likes; [`Fault`]s make chosen operations fail.
//!
//! The same seed and the same calls give the same run, byte for byte.

mod crash;
mod disk;
mod fault;
mod file;
mod hash;
mod namespace;
mod pages;
mod rng;
mod tamper;
mod vfs;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

pub use crash::{CrashPolicy, SectorSize};
pub use fault::{Fault, FaultKind};

use disk::{Disk, Node};
use hash::Hash64;
use pages::PAGE_BYTES;

/// A simulated disk, with a clock and a source of random bytes.
///
/// A clone is the same disk. Only the root directory exists at first; relative paths start there
/// too, and there are no symbolic links.
#[derive(Clone)]
pub struct SimVfs {
    /// Innermost of all locks: nothing else is locked and nobody is called while it is held.
    disk: Arc<Mutex<Disk>>,
}

impl SimVfs {
    /// An empty disk whose random numbers follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self::from_disk(Disk::new(seed))
    }

    fn from_disk(disk: Disk) -> Self {
        Self {
            disk: Arc::new(Mutex::new(disk)),
        }
    }

    /// What a crash at this moment would leave, as a disk of its own; this one goes on untouched.
    /// The new disk has power, no faults, no locks and an operation count of 0; what survived a
    /// loss of power is durable on it. Copies share memory until they are written to.
    pub fn fork_crash(&self, policy: &CrashPolicy) -> SimVfs {
        Self::from_disk(self.disk.lock().after_crash(policy))
    }

    /// Crashes this disk: its handles are dead, its locks free, its faults cleared and its power
    /// on again. The operation count and the trace go on.
    pub fn crash(&self, policy: &CrashPolicy) {
        let mut disk = self.disk.lock();
        let mut after = disk.after_crash(policy);
        after.generation = disk.generation + 1;
        after.plan.op_count = disk.plan.op_count;
        after.trace = disk.trace;
        *disk = after;
    }

    /// How many units [`CrashPolicy::DropOne`] and [`CrashPolicy::KeepOne`] can single out now: the
    /// sectors of unsynced writes, the unsynced changes of length (a write past the end is one as
    /// well), and the unsynced changes of directory entries.
    pub fn unsynced_units(&self) -> usize {
        self.disk.lock().unit_count()
    }

    /// Sets the sectors that [`SimVfs::unsynced_units`] counts by; 4096 bytes at first.
    pub fn set_unit_sector(&self, sector: SectorSize) {
        self.disk.lock().unit_sector = sector;
    }

    /// Plans a failure, in addition to those already planned.
    pub fn set_fault(&self, fault: Fault) {
        self.disk.lock().plan.faults.push(fault);
    }

    /// Forgets the planned failures. Power that is off stays off.
    pub fn clear_faults(&self) {
        self.disk.lock().plan.faults.clear();
    }

    /// Whether a [`FaultKind::PowerOff`] has struck.
    pub fn power_is_off(&self) -> bool {
        self.disk.lock().plan.power_is_off
    }

    /// Operations begun so far: creating a file or directory, write, change of length, allocation,
    /// sync of a file or directory, rename and removal; failed ones too.
    pub fn op_count(&self) -> u64 {
        self.disk.lock().plan.op_count
    }

    /// Whether operations that change nothing (open, read, length, list, exists, lock) count too,
    /// and so can be met by a [`Fault`]. They do not at first.
    pub fn set_reads_count(&self, count: bool) {
        self.disk.lock().plan.reads_count = count;
    }

    /// Limits the space of the disk, in bytes of whole 4 KiB pages, or lifts the limit. What is
    /// there already stays. Past it, writes and allocations fail with kind `StorageFull`.
    pub fn set_capacity_bytes(&self, capacity: Option<u64>) {
        self.disk.lock().capacity_bytes = capacity;
    }

    /// Space that files take up, in bytes of whole 4 KiB pages.
    pub fn used_bytes(&self) -> u64 {
        self.disk.lock().used_pages() * PAGE_BYTES
    }

    /// Puts the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut disk = self.disk.lock();
        disk.clock = disk.clock.saturating_add(by);
    }

    /// A hash over all counted operations in order, with their data: equal for equal runs.
    pub fn trace_hash(&self) -> u64 {
        self.disk.lock().trace.value()
    }

    /// A hash over the durable directories and contents: equal for equal disks, whatever led to
    /// them.
    pub fn image_hash(&self) -> u64 {
        let mut hash = Hash64::new();
        self.disk.lock().walk(
            |dir| &dir.durable,
            |path, _, node| {
                hash.bytes(path.as_bytes());
                match node {
                    Node::File(file) => file.durable.hash_into(&mut hash),
                    Node::Dir(_) => hash.number(u64::MAX),
                }
            },
        );
        hash.value()
    }
}

impl fmt::Debug for SimVfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let disk = self.disk.lock();
        f.debug_struct("SimVfs")
            .field("op_count", &disk.plan.op_count)
            .field("power_is_off", &disk.plan.power_is_off)
            .finish_non_exhaustive()
    }
}
