//! Bugs that can be planted on purpose, to prove that the crash tests would see them.
//!
//! Only with the feature `planted-bugs`, and only in builds with debug assertions: elsewhere every
//! question is answered with `false` at compile time.
//!
//! | bug | caught by |
//! |---|---|
//! | `AckBeforeSync` | `tests/common/explore.rs: crash_everywhere` |
//! | `SkipSync` | `crash_everywhere` |
//! | `SkipDirSync` | `crash_everywhere` |
//! | `IgnoredSyncError` | `crash_everywhere` |
//! | `TailNotRewritten` | `crash_everywhere` |
//! | `CutNotDurable` | `crash_everywhere` |
//! | `RetriedSync` | `tests/common/explore.rs: fail_everywhere` |
//! | `ChecksumWithoutPlace` | `tests/planted_bugs.rs: a_moved_group_is_not_read` |
//! | `ErrorWakesNobody` | `tests/planted_bugs.rs: a_failed_flush_wakes_tasks`; for threads `shuttle/tests/planted_bugs.rs` |
//! | `TokenNotPassed` | `shuttle/tests/planted_bugs.rs` |
//! | `ActBeforeJudging` | `tests/planted_bugs.rs: a_refused_log_is_left_alone` |
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
    /// A record is acknowledged before its group is synced.
    AckBeforeSync = 1,
    /// Groups are written and never synced.
    SkipSync,
    /// The directory is not synced after a segment got its name.
    SkipDirSync,
    /// The error of a group's sync is ignored.
    IgnoredSyncError,
    /// A recovery leaves the unproven tail where it is.
    TailNotRewritten,
    /// A sync that failed is tried again, and the second answer is believed.
    RetriedSync,
    /// The segment in which a recovery cuts the older chain gets its name without a sync of the
    /// directory.
    CutNotDurable,
    /// The checksum of a group says nothing about its log, its segment and its place.
    ChecksumWithoutPlace,
    /// A failed flush wakes nobody.
    ErrorWakesNobody,
    /// A flush that leaves work behind offers the token to nobody.
    TokenNotPassed,
    /// Leftovers are removed before it is clear that the log can be opened.
    ActBeforeJudging,
}

#[cfg(feature = "planted-bugs")]
impl Bug {
    /// Those that a crash at every operation shows, also to a user of the log.
    pub const SEEN_BY_CRASHES: [Bug; 6] = [
        Bug::AckBeforeSync,
        Bug::SkipSync,
        Bug::SkipDirSync,
        Bug::IgnoredSyncError,
        Bug::TailNotRewritten,
        Bug::CutNotDurable,
    ];

    /// All of them.
    pub const ALL: [Bug; 11] = [
        Bug::AckBeforeSync,
        Bug::SkipSync,
        Bug::SkipDirSync,
        Bug::IgnoredSyncError,
        Bug::TailNotRewritten,
        Bug::RetriedSync,
        Bug::CutNotDurable,
        Bug::ChecksumWithoutPlace,
        Bug::ErrorWakesNobody,
        Bug::TokenNotPassed,
        Bug::ActBeforeJudging,
    ];
}

#[cfg(all(feature = "planted-bugs", debug_assertions))]
static PLANTED: AtomicU32 = AtomicU32::new(0);

/// Plants one bug in all logs of this process, or none.
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
