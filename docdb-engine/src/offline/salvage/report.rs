//! What a salvage is told, and what it tells.

use std::path::Path;

use crate::error::Result;
use crate::offline::Progress;

/// How a salvage is made. Start from [`SalvageOptions::default`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SalvageOptions {
    /// Puts the newest version of what is doubtful into the new database, too.
    pub include_doubtful: bool,
    /// Is told how far it has got.
    pub progress: Progress,
    /// Most documents of which what data files hold is kept in memory at a time, some 100 bytes each.
    /// If more are doubtful, the data files are read as often as is needed.
    pub doubtful_max: usize,
}

impl Default for SalvageOptions {
    fn default() -> Self {
        Self {
            include_doubtful: false,
            progress: Progress::default(),
            doubtful_max: 1 << 20,
        }
    }
}

/// A document that is lost.
#[derive(Debug, Clone)]
pub struct LostDocument<'a> {
    /// The collection's name.
    pub collection: &'a str,
    /// The id.
    pub id: u64,
    /// The version.
    pub version: u64,
    /// The file in which it stood.
    pub file: &'a Path,
    /// Where it stood.
    pub offset: u64,
    /// What does not verify.
    pub why: &'a str,
    /// The newest earlier version of which the bytes are still there.
    pub older_version: Option<u64>,
}

/// A document of which nobody can say whether that is what the database had.
#[derive(Debug, Clone)]
pub struct DoubtfulDocument<'a> {
    /// The collection's name.
    pub collection: &'a str,
    /// The id.
    pub id: u64,
    /// The version; 0 if it is not known.
    pub version: u64,
    /// The document; `None`: it was deleted.
    pub body: Option<&'a [u8]>,
    /// Why it is doubtful.
    pub why: &'a str,
    /// The file in which it stands.
    pub file: &'a Path,
    /// Where it stands.
    pub offset: u64,
    /// Whether the new database has it, or does without the document.
    pub is_included: bool,
}

/// Who is told what becomes of documents that are not simply there.
pub trait SalvageLog {
    /// Cannot be had.
    ///
    /// # Errors
    /// End the salvage.
    fn lost(&mut self, document: &LostDocument<'_>) -> Result<()>;

    /// Is not proven.
    ///
    /// # Errors
    /// End the salvage.
    fn doubtful(&mut self, document: &DoubtfulDocument<'_>) -> Result<()>;
}

/// What a salvage saw and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SalvageReport {
    /// The new database is as the old one was after this commit, but for what is lost or was included.
    pub version: u64,
    /// Documents in the new database.
    pub documents: u64,
    /// Those of them that were taken from a copy, as theirs did not verify.
    pub from_copies: u64,
    /// Documents that are lost.
    pub lost: u64,
    /// Documents that are doubtful.
    pub doubtful: u64,
    /// Things that are damaged.
    pub damages: u64,
    /// Whether everything is there: nothing is lost or doubtful, named or not.
    pub is_whole: bool,
}
