//! What a write may do to the document that it finds.

use std::fmt;

use crate::CommitTs;

/// What a write demands of the document's current version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// The document exists and this is its version.
    VersionIs(CommitTs),
    /// The document does not exist.
    Absent,
}

/// The kinds of writes, as far as they differ in what they expect to find. A patch and a merge are
/// updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteKind {
    /// The document must not exist.
    Create,
    /// The document must exist.
    Update,
    /// Either way.
    Upsert,
    /// The document must exist.
    Delete,
    /// As create, with an id that the engine assigned.
    Insert,
    /// As update, with a document that a list of changes makes of the one that is there.
    Patch,
    /// As update, with a document that a merge patch makes of the one that is there.
    Merge,
}

impl WriteKind {
    /// Whether what is written comes of what is there.
    pub fn is_edit(self) -> bool {
        matches!(self, WriteKind::Patch | WriteKind::Merge)
    }
}

/// What a write finds: the newest installed state of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Current {
    /// It does not exist, or its newest version is a deletion.
    Absent,
    /// It exists in this version.
    Present(CommitTs),
}

/// Why a write is refused. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The write wanted to create what exists.
    AlreadyExists {
        /// The version that exists.
        version: CommitTs,
    },
    /// The write wanted to change what does not exist.
    NotFound,
    /// The precondition does not hold.
    VersionMismatch {
        /// The version that exists, if any.
        found: Option<CommitTs>,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::AlreadyExists { version } => {
                write!(f, "the document exists already, in version {version}")
            }
            Refusal::NotFound => f.write_str("the document does not exist"),
            Refusal::VersionMismatch {
                found: Some(version),
            } => {
                write!(f, "the document's version is {version}")
            }
            Refusal::VersionMismatch { found: None } => {
                f.write_str("the document does not exist, so it has no version to match")
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// The rules by which a write without a transaction is accepted or refused.
///
/// The write's own demand comes first, then its precondition:
///
/// | write | document | precondition | answer |
/// |---|---|---|---|
/// | create, insert | exists | any | AlreadyExists |
/// | create, insert | absent | none, absent | accepted |
/// | create, insert | absent | version is N | VersionMismatch, found none |
/// | update, patch, merge, delete | absent | any | NotFound |
/// | update, patch, merge, delete | exists | none, its version | accepted |
/// | update, patch, merge, delete | exists | absent, another version | VersionMismatch |
/// | upsert | absent | none, absent | accepted |
/// | upsert | absent | version is N | VersionMismatch, found none |
/// | upsert | exists | none, its version | accepted |
/// | upsert | exists | absent, another version | VersionMismatch |
#[derive(Debug, Clone, Copy)]
pub struct CommitRules;

impl CommitRules {
    /// Whether a write of this kind, with this precondition, may act on what it finds.
    pub fn check(
        kind: WriteKind,
        precondition: Precondition,
        current: Current,
    ) -> Result<(), Refusal> {
        match (kind, current) {
            (WriteKind::Create | WriteKind::Insert, Current::Present(version)) => {
                return Err(Refusal::AlreadyExists { version });
            }
            (
                WriteKind::Update | WriteKind::Patch | WriteKind::Merge | WriteKind::Delete,
                Current::Absent,
            ) => return Err(Refusal::NotFound),
            _ => {}
        }
        match (precondition, current) {
            (Precondition::None, _) | (Precondition::Absent, Current::Absent) => Ok(()),
            (Precondition::VersionIs(wanted), Current::Present(found)) if wanted == found => Ok(()),
            (_, Current::Present(found)) => Err(Refusal::VersionMismatch { found: Some(found) }),
            (Precondition::VersionIs(_), Current::Absent) => {
                Err(Refusal::VersionMismatch { found: None })
            }
        }
    }
}

/// Whether a transaction that reads at `read_ts` may still write a document whose newest version,
/// visible or not, deletions included, was written at `newest_ts` ([`CommitTs::ZERO`] if never):
/// the first to commit wins. The error is the version it lost to.
pub fn first_committer_wins(read_ts: CommitTs, newest_ts: CommitTs) -> Result<(), CommitTs> {
    if newest_ts > read_ts {
        Err(newest_ts)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Current = Current::Present(CommitTs(7));
    const EXISTS: Result<(), Refusal> = Err(Refusal::AlreadyExists {
        version: CommitTs(7),
    });
    const OTHER: Result<(), Refusal> = Err(Refusal::VersionMismatch {
        found: Some(CommitTs(7)),
    });
    const NONE: Result<(), Refusal> = Err(Refusal::VersionMismatch { found: None });
    const MISSING: Result<(), Refusal> = Err(Refusal::NotFound);

    /// Columns: no precondition, absent, version is 7, version is 8; first on version 7, then on
    /// nothing.
    #[test]
    fn the_whole_table() {
        let creating = (
            [EXISTS, EXISTS, EXISTS, EXISTS],
            [Ok(()), Ok(()), NONE, NONE],
        );
        let changing = (
            [Ok(()), OTHER, Ok(()), OTHER],
            [MISSING, MISSING, MISSING, MISSING],
        );
        let either = ([Ok(()), OTHER, Ok(()), OTHER], [Ok(()), Ok(()), NONE, NONE]);
        let preconditions = [
            Precondition::None,
            Precondition::Absent,
            Precondition::VersionIs(CommitTs(7)),
            Precondition::VersionIs(CommitTs(8)),
        ];
        for (kind, (present, absent)) in [
            (WriteKind::Create, creating),
            (WriteKind::Insert, creating),
            (WriteKind::Update, changing),
            (WriteKind::Patch, changing),
            (WriteKind::Merge, changing),
            (WriteKind::Delete, changing),
            (WriteKind::Upsert, either),
        ] {
            for (i, precondition) in preconditions.into_iter().enumerate() {
                let check = |current| CommitRules::check(kind, precondition, current);
                assert_eq!(check(HERE), present[i], "{kind:?} {precondition:?} present");
                assert_eq!(
                    check(Current::Absent),
                    absent[i],
                    "{kind:?} {precondition:?} absent"
                );
            }
        }
    }

    #[test]
    fn the_first_committer_wins() {
        assert_eq!(first_committer_wins(CommitTs(5), CommitTs::ZERO), Ok(()));
        assert_eq!(first_committer_wins(CommitTs(5), CommitTs(5)), Ok(()));
        assert_eq!(
            first_committer_wins(CommitTs(5), CommitTs(6)),
            Err(CommitTs(6))
        );
    }
}
