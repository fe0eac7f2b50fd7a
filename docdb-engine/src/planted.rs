//! Bugs that can be planted on purpose, to prove that the tests would see them.
//!
//! Only with the feature `planted-bugs`, and only in builds with debug assertions: elsewhere every
//! question is answered with `false` at compile time.
#![cfg_attr(
    not(feature = "planted-bugs"),
    expect(unreachable_pub, reason = "public only with the feature")
)]

#[cfg(all(feature = "planted-bugs", debug_assertions))]
use std::sync::atomic::{AtomicU32, Ordering};

/// A bug that a test can plant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Bug {
    /// A manifest is published before the log is durable up to its checkpoint.
    ManifestBeforeLog = 1,
    /// An open builds on names that a killed process did not live to sync.
    NamesNotPinned,
    /// A commit is visible before it is durable.
    VisibleBeforeDurable,
    /// A commit is visible before all of it is installed.
    VisibleBeforeInstalled,
    /// A merge leaves out deletions that hide older versions in runs that are not merged.
    DeletionDroppedEarly,
    /// A compaction publishes a document's new place though a checkpoint has superseded it meanwhile.
    RelocatedUnchecked,
    /// A compacted data file is removed before the manifest that does without it is durable.
    UnlinkedBeforeManifest,
    /// A transaction commits over what others have committed to the same documents.
    FirstCommitterIgnored,
    /// What a serializable transaction has read is not looked at when it commits.
    ReadSetUnchecked,
    /// What was committed while a read set was looked at is not looked at.
    LateCommitsUnchecked,
    /// A snapshot misses the last commit that was acknowledged.
    BegunBehind,
    /// A snapshot sees commits that are not durable.
    BegunAhead,
    /// Versions are dropped though an open snapshot sees them.
    CollectedThoughHeld,
    /// A patch is committed though its document has been written since it was read.
    PatchedUnchecked,
    /// The files of a kept checkpoint that is let go are removed before its name is gone for good.
    KeptFilesGoneEarly,
    /// Compactions keep to their rate however much is dead.
    UpkeepRestsAlways,
    /// Writers go on as fast as they can while checkpoints do not keep up.
    WritersNotSlowed,
    /// A scan leaves out documents that do not verify.
    ScanSkipsDamage,
    /// A document that does not verify is answered as if there were none.
    DamageIsAbsence,
    /// The rename of a manifest, or the sync of its name, fails and nobody hears of it.
    ManifestErrorIgnored,
    /// The sync of a large commit's new file's name fails and nobody hears of it.
    FileNameErrorIgnored,
}

#[cfg(feature = "planted-bugs")]
impl Bug {
    /// All of them.
    pub const ALL: [Bug; 21] = [
        Bug::ManifestBeforeLog,
        Bug::NamesNotPinned,
        Bug::VisibleBeforeDurable,
        Bug::VisibleBeforeInstalled,
        Bug::DeletionDroppedEarly,
        Bug::RelocatedUnchecked,
        Bug::UnlinkedBeforeManifest,
        Bug::FirstCommitterIgnored,
        Bug::ReadSetUnchecked,
        Bug::LateCommitsUnchecked,
        Bug::BegunBehind,
        Bug::BegunAhead,
        Bug::CollectedThoughHeld,
        Bug::PatchedUnchecked,
        Bug::KeptFilesGoneEarly,
        Bug::UpkeepRestsAlways,
        Bug::WritersNotSlowed,
        Bug::ScanSkipsDamage,
        Bug::DamageIsAbsence,
        Bug::ManifestErrorIgnored,
        Bug::FileNameErrorIgnored,
    ];
}

#[cfg(all(feature = "planted-bugs", debug_assertions))]
static PLANTED: AtomicU32 = AtomicU32::new(0);

/// Plants one bug in all databases of this process, or none.
#[cfg(all(feature = "planted-bugs", debug_assertions))]
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as u32), Ordering::SeqCst);
}

#[cfg(all(feature = "planted-bugs", debug_assertions))]
pub(crate) fn is_planted(bug: Bug) -> bool {
    PLANTED.load(Ordering::SeqCst) == bug as u32
}

#[cfg(not(all(feature = "planted-bugs", debug_assertions)))]
#[inline(always)]
pub(crate) const fn is_planted(_bug: Bug) -> bool {
    false
}
