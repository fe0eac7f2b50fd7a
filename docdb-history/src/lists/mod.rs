//! The black-box checker: what lists that grow tell about the transactions that read them.

mod cycles;
mod elements;
mod graph;
mod orders;
mod recency;
mod store;
mod tarjan;
mod witness;
mod words;

pub use store::{ListHistory, TXNS_MAX};

use crate::model::Outcome;
use crate::report::Report;
use graph::Dependencies;
use orders::Orders;
use store::Kind;

/// What is demanded beside the levels of the transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListRules {
    /// Who begins after a commit was acknowledged sees it.
    pub real_time: bool,
    /// A process sees what it did and saw before. Part of `real_time`.
    pub session: bool,
}

impl Default for ListRules {
    /// Both.
    fn default() -> Self {
        Self {
            real_time: true,
            session: true,
        }
    }
}

/// Checks the lists of a history, knowing nothing of how they are stored.
///
/// The order of the versions of a list is taken from the longest list that was read; the first
/// violation of a kind is the one to look at, as others may follow from it.
pub fn check_lists(history: &ListHistory, rules: ListRules) -> Report {
    let mut report = Report::default();
    let orders = Orders::new(history);
    for (row, alive) in history.txns.iter().zip(&orders.alive) {
        match row.outcome {
            Outcome::Aborted => report.stats.aborted += 1,
            Outcome::Unknown if !alive => report.stats.open += 1,
            _ => report.stats.committed += 1,
        }
    }
    report.stats.settled = orders.settled;
    report.stats.unjudged = history.left_out;
    let appends = history.ops.iter().zip(&orders.txn_of);
    report.stats.writes = appends
        .filter(|(op, txn)| op.kind() == Kind::Append && orders.alive[**txn as usize])
        .count() as u64;

    elements::check(&orders, &mut report);
    recency::check(&orders, rules.real_time, &mut report);
    let graph = Dependencies::new(&orders, rules.session, rules.real_time);
    report.stats.edges = graph.edge_count();
    cycles::check(&orders, &graph, &mut report);
    report
}
