//! Which version a snapshot sees.

use crate::CommitTs;

/// What a reader at one commit number sees: of each document the newest version at or below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visibility {
    at: CommitTs,
}

impl Visibility {
    /// What a reader at `at` sees.
    pub fn at(at: CommitTs) -> Self {
        Self { at }
    }

    /// Whether a version written by commit `ts` existed at this point (it may be superseded).
    pub fn includes(self, ts: CommitTs) -> bool {
        ts <= self.at
    }

    /// The version that is seen, from one document's versions ordered newest first.
    pub fn pick<T>(
        self,
        newest_first: impl IntoIterator<Item = (CommitTs, T)>,
    ) -> Option<(CommitTs, T)> {
        newest_first.into_iter().find(|(ts, _)| self.includes(*ts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_at_or_below_is_seen() {
        let versions = [(CommitTs(9), "c"), (CommitTs(5), "b"), (CommitTs(2), "a")];
        let seen = |at| Visibility::at(CommitTs(at)).pick(versions).map(|(_, v)| v);
        assert_eq!(seen(1), None);
        assert_eq!(seen(2), Some("a"));
        assert_eq!(seen(4), Some("a"));
        assert_eq!(seen(5), Some("b"));
        assert_eq!(seen(8), Some("b"));
        assert_eq!(seen(u64::MAX), Some("c"));
        assert_eq!(Visibility::at(CommitTs(1)).pick::<()>([]), None);
    }
}
