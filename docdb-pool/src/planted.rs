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
    /// The rename of a copy of the catalog, or the sync of its name, fails and nobody hears of it.
    CatalogErrorIgnored = 1,
    /// Only the first copy of the catalog is ever looked at.
    SecondCopyIgnored,
}

#[cfg(feature = "planted-bugs")]
impl Bug {
    /// All of them.
    pub const ALL: [Bug; 2] = [Bug::CatalogErrorIgnored, Bug::SecondCopyIgnored];
}

#[cfg(all(feature = "planted-bugs", debug_assertions))]
static PLANTED: AtomicU32 = AtomicU32::new(0);

/// Plants one bug in all pools of this process, or none.
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
