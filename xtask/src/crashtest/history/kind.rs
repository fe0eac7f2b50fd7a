//! What a history consists of, and who judges it.

use docdb_crashtest::histories;
use docdb_history::{
    Anomaly, DocumentRules, History, ListHistory, ListRules, Report, RunError, Txn, Workload,
    check_documents, check_lists, write_ndjson,
};

/// Transactions on lists or on documents, with a share of serializable ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Lists(u32),
    Documents(u32),
    /// Invites write skew, which only the serializable level forbids.
    Skew(u32),
    /// Large batches, which no checker needs to judge.
    Batches,
}

/// What came of a history.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) ended: u64,
    pub(super) committed: u64,
    pub(super) aborted: u64,
    pub(super) open: u64,
    pub(super) reads: u64,
    pub(super) writes: u64,
    pub(super) skew: u64,
    pub(super) violation: Option<String>,
    /// The history as text, if it failed.
    pub(super) history: Option<Vec<u8>>,
}

impl Judged {
    pub(super) fn add(&mut self, other: &Judged) {
        self.committed += other.committed;
        self.aborted += other.aborted;
        self.open += other.open;
        self.reads += other.reads;
        self.writes += other.writes;
        self.skew += other.skew;
    }
}

impl Kind {
    /// The kind of a history, by its number.
    pub(super) fn of(number: u64) -> Kind {
        let percent = [50, 100, 0][(number / 3 % 3) as usize];
        match number % 3 {
            0 => Kind::Lists(percent),
            1 => Kind::Documents(percent),
            _ => Kind::Skew(percent),
        }
    }

    pub(super) fn name(self) -> String {
        let (what, percent) = match self {
            Kind::Batches => return "large batches beside a reader".to_owned(),
            Kind::Lists(percent) => ("lists", percent),
            Kind::Documents(percent) => ("documents", percent),
            Kind::Skew(percent) => ("pairs that invite write skew", percent),
        };
        format!("{what}, {percent} % serializable")
    }

    /// Runs it on a simulated disk that loses power.
    pub(super) fn simulated(self, seed: u64) -> Judged {
        match self {
            Kind::Documents(_) => self.judge_documents(histories::run(seed, &*self.workload())),
            _ => self.judge_lists(histories::run(seed, &*self.workload())),
        }
    }

    pub(super) fn workload(self) -> Box<dyn Workload> {
        match self {
            Kind::Lists(percent) => Box::new(histories::lists(percent)),
            Kind::Documents(percent) => Box::new(histories::documents(percent)),
            Kind::Skew(percent) => Box::new(histories::skew(percent)),
            Kind::Batches => Box::new(histories::documents(0)),
        }
    }

    pub(super) fn judge_lists(self, history: Result<ListHistory, RunError>) -> Judged {
        judge(history, |history| {
            check_lists(history, ListRules::default())
        })
    }

    pub(super) fn judge_documents(self, history: Result<Vec<Txn>, RunError>) -> Judged {
        judge(history, |history| {
            check_documents(history, DocumentRules::default())
        })
    }
}

fn judge<H: History>(history: Result<H, RunError>, check: impl FnOnce(&H) -> Report) -> Judged {
    let history = match history {
        Ok(history) => history,
        Err(error) => {
            return Judged {
                violation: Some(format!("what must not happen did: {error}")),
                ..Judged::default()
            };
        }
    };
    let report = check(&history);
    let stats = report.stats;
    let mut judged = Judged {
        ended: history.count() as u64,
        committed: stats.committed,
        aborted: stats.aborted,
        open: stats.open,
        reads: stats.reads,
        writes: stats.writes,
        skew: report.allowed(Anomaly::WriteSkew),
        ..Judged::default()
    };
    if !report.is_ok() {
        judged.violation = Some(report.to_string());
        let mut text = Vec::new();
        judged.history = write_ndjson(&history, &mut text).is_ok().then_some(text);
    }
    judged
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn the_same_seed_gives_the_same_history_and_it_is_right() {
        for number in 0..3 {
            let [first, second] = [1, 1].map(|seed| Kind::of(number).simulated(seed));
            assert_eq!(first.violation, None, "{number}");
            assert!(first.committed > 100, "{number}: {}", first.committed);
            assert_eq!(first.committed, second.committed);
            assert_eq!(first.reads, second.reads);
        }
    }
}
