//! The number of a commit.

use std::fmt;

/// The number of a commit: strictly increasing per database, from 1, never reused. A document's
/// version is the number of the commit that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CommitTs(pub u64);

impl CommitTs {
    /// Before the first commit.
    pub const ZERO: CommitTs = CommitTs(0);
    /// At or after every commit.
    pub const MAX: CommitTs = CommitTs(u64::MAX);

    /// The number that follows. It stays at [`CommitTs::MAX`] there; whoever assigns numbers must
    /// refuse before that, as a number may not repeat.
    #[must_use]
    pub fn next(self) -> CommitTs {
        CommitTs(self.0.saturating_add(1))
    }
}

impl fmt::Display for CommitTs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl From<u64> for CommitTs {
    fn from(number: u64) -> Self {
        CommitTs(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_next() {
        assert!(CommitTs::ZERO < CommitTs(1));
        assert_eq!(CommitTs(41).next(), CommitTs(42));
        assert_eq!(CommitTs::MAX.next(), CommitTs::MAX);
        assert_eq!(format!("{:>4}", CommitTs(7)), "   7");
    }
}
