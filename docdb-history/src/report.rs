//! What a checker found.

use std::collections::BTreeMap;
use std::fmt;

/// Most findings of a kind that are kept with their witness; all are counted.
pub const WITNESSES_MAX: usize = 10;

/// What can be wrong with a history. The names of cycles are Adya's; *ww*, *wr* and *rw* are
/// "overwrote", "was read by" and "did not see the write of".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Anomaly {
    /// A transaction read what nobody wrote.
    Invented,
    /// An element is twice in a list, or was appended twice (then the workload is wrong).
    Duplicate,
    /// Two reads of a list cannot both be prefixes of one order.
    IncompatibleOrder,
    /// A transaction contradicts itself: its reads differ, or its own writes are not seen.
    Internal,
    /// Dirty write: a cycle of ww.
    G0,
    /// Aborted read.
    G1a,
    /// Intermediate read: part of what a transaction wrote to a key was seen.
    G1b,
    /// Circular information flow: a cycle of ww and wr.
    G1c,
    /// A cycle with one rw, such as read skew.
    GSingle,
    /// Two transactions read one version and both replaced it.
    LostUpdate,
    /// A cycle with several rw, no two of them adjacent: readers disagree about the order of
    /// writers.
    LongFork,
    /// Two transactions of which neither saw the other's write.
    WriteSkew,
    /// Any other cycle with adjacent rw.
    G2Item,
    /// An acknowledged append is not in a list that was read later, and never was in one.
    LostAppend,
    /// A transaction began after a commit was acknowledged and did not see it.
    StaleRead,
    /// A cycle that needs the order of one process's transactions.
    SessionCycle,
    /// A cycle that needs the order in time of transactions that did not overlap.
    RealTimeCycle,
    /// A document is not what it was at the transaction's snapshot.
    WrongRead,
    /// A scan is not what it was at the transaction's snapshot.
    WrongScan,
    /// What a serializable transaction read changed before it committed.
    ReadSetChanged,
    /// Two transactions that overlapped wrote the same document and both committed.
    FirstCommitterLost,
    /// Two commits have one version.
    DuplicateCommit,
    /// A commit's version contradicts its snapshot, or the order in time.
    CommitOrder,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Anomaly,
    /// Whether the levels of its transactions allow it.
    pub allowed: bool,
    /// Its transactions, by index; of a cycle, in order.
    pub txns: Vec<usize>,
    /// It in words.
    pub witness: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed = if self.allowed { " (allowed)" } else { "" };
        write!(f, "{:?}{allowed}: {}", self.kind, self.witness)
    }
}

/// How much was looked at, so that a check of nothing is not taken for a good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Transactions that count as committed.
    pub committed: u64,
    /// Transactions that wrote nothing.
    pub aborted: u64,
    /// Transactions whose outcome is unknown, and of which nothing was seen.
    pub open: u64,
    /// Transactions whose outcome was unknown until something of theirs was seen.
    pub settled: u64,
    /// Reads and scans that were checked.
    pub reads: u64,
    /// Writes of committed transactions.
    pub writes: u64,
    /// Edges between transactions (lists only).
    pub edges: u64,
    /// Reads that could not be judged: they contradict the others and were too many to keep, or an
    /// open transaction may explain them.
    pub unjudged: u64,
}

/// The verdict on a history.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// How much was looked at.
    pub stats: Stats,
    findings: Vec<Finding>,
    counts: BTreeMap<(Anomaly, bool), u64>,
}

impl Report {
    /// Whether nothing was found that is not allowed.
    pub fn is_ok(&self) -> bool {
        self.counts.keys().all(|(_, allowed)| *allowed)
    }

    /// What was found, [`WITNESSES_MAX`] of each kind at most.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What was found and is not allowed.
    pub fn violations(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| !f.allowed)
    }

    /// How many of a kind are not allowed.
    pub fn forbidden(&self, kind: Anomaly) -> u64 {
        self.counts.get(&(kind, false)).copied().unwrap_or(0)
    }

    /// How many of a kind were found and are allowed.
    pub fn allowed(&self, kind: Anomaly) -> u64 {
        self.counts.get(&(kind, true)).copied().unwrap_or(0)
    }

    /// Whether no write skew was seen, allowed or not. If that is so after a run of a
    /// [`SkewWorkload`](crate::SkewWorkload) at the snapshot level, its transactions did not overlap,
    /// and the same run at the serializable level proves nothing.
    pub fn is_blind(&self) -> bool {
        self.allowed(Anomaly::WriteSkew) + self.forbidden(Anomaly::WriteSkew) == 0
    }

    pub(crate) fn add(
        &mut self,
        kind: Anomaly,
        allowed: bool,
        witness: impl FnOnce() -> (Vec<usize>, String),
    ) {
        let count = self.counts.entry((kind, allowed)).or_default();
        *count += 1;
        if *count <= WITNESSES_MAX as u64 {
            let (txns, witness) = witness();
            self.findings.push(Finding {
                kind,
                allowed,
                txns,
                witness,
            });
        }
    }

    pub(crate) fn forbid(&mut self, kind: Anomaly, witness: impl FnOnce() -> (Vec<usize>, String)) {
        self.add(kind, false, witness);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.stats;
        write!(
            f,
            "{} committed, {} aborted, {} open, {} settled; {} reads, {} writes, {} edges",
            s.committed, s.aborted, s.open, s.settled, s.reads, s.writes, s.edges
        )?;
        if s.unjudged > 0 {
            write!(f, ", {} reads not judged", s.unjudged)?;
        }
        for ((kind, allowed), count) in &self.counts {
            let allowed = if *allowed { ", allowed" } else { "" };
            write!(f, "\n{kind:?}: {count}{allowed}")?;
        }
        for finding in &self.findings {
            write!(f, "\n- {finding}")?;
        }
        Ok(())
    }
}
