//! What healing asks and answers.

use crate::Text;

/// Most damaged documents, and most other damaged places, that a [`HealReport`] names.
pub const HEAL_NAMED_MAX: usize = 1024;

/// What became of a document that was to be healed. Numbers are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum HealOutcome {
    /// It is as it was written.
    Intact = 0,
    /// It was damaged, and is restored.
    Healed = 1,
    /// It is damaged, and there is no intact copy of it.
    Unhealable = 2,
}

impl HealOutcome {
    /// The outcome's stable number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The outcome with that number.
    pub fn from_code(code: u8) -> Option<HealOutcome> {
        match code {
            0 => Some(HealOutcome::Intact),
            1 => Some(HealOutcome::Healed),
            2 => Some(HealOutcome::Unhealable),
            _ => None,
        }
    }
}

/// What the healing of all of a database found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealReport {
    /// Files that were verified.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Documents that were damaged.
    pub found: u64,
    /// Those of them that are restored.
    pub healed: u64,
    /// Those of them of which there is no intact copy.
    pub unhealable: u64,
    /// Damaged pages of index entries, which cannot be restored.
    pub index_pages_damaged: u64,
    /// The first documents of which there is no intact copy, at most [`HEAL_NAMED_MAX`].
    pub unhealable_documents: Vec<UnhealableDocument>,
    /// What else is damaged, at most [`HEAL_NAMED_MAX`] places, for people.
    pub places: Vec<Text>,
}

impl HealReport {
    /// Whether something is damaged that could not be restored.
    pub fn is_damaged(&self) -> bool {
        self.unhealable > 0 || self.index_pages_damaged > 0
    }
}

/// A damaged document without an intact copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnhealableDocument {
    /// Its collection.
    pub collection: Text,
    /// Its id.
    pub id: u64,
    /// Its version.
    pub version: u64,
    /// Where it is damaged, for people.
    pub what: Text,
}
