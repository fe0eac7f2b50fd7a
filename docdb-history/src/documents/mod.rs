//! The white-box checker: every read and scan against a model that replays the commits in order.

mod commits;
mod reads;
mod settle;
mod versions;

use crate::model::{Op, Outcome, Txn};
use crate::report::Report;
use settle::Settled;
use versions::Versions;

/// What is demanded beside the levels of the transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentRules {
    /// Who begins after a commit was acknowledged reads at that commit or later.
    pub real_time: bool,
}

impl Default for DocumentRules {
    fn default() -> Self {
        Self { real_time: true }
    }
}

/// Checks the document operations of a history by the versions that the transactions say they read
/// at and committed.
///
/// The reads of a transaction without a snapshot are not judged, nor is the first committer rule
/// for it: so a write outside of any transaction can be recorded.
pub fn check_documents(txns: &[Txn], rules: DocumentRules) -> Report {
    let mut report = Report::default();
    let settled = Settled::new(txns, &mut report);
    let versions = Versions::new(txns, &settled);
    report.stats.writes = versions.count();
    commits::check(txns, &settled, &versions, rules, &mut report);
    reads::check(txns, &settled, &versions, &mut report);
    report
}

/// A transaction in words.
fn words(txns: &[Txn], index: usize) -> String {
    let txn = &txns[index];
    format!(
        "T{index} (process {}, {}..{})",
        txn.process, txn.begin, txn.end
    )
}

fn writes_documents(txn: &Txn) -> bool {
    txn.ops
        .iter()
        .any(|op| matches!(op, Op::Put(..) | Op::Delete(..)))
}

fn may_have_committed(txn: &Txn) -> bool {
    txn.outcome != Outcome::Aborted
}
