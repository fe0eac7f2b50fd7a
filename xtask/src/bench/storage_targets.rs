//! What the figures of `cargo xtask bench storage` are measured against.

use super::storage_report::{Case, Report};

/// One target and what was measured.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) row: &'static str,
    pub(super) case: String,
    pub(super) target: &'static str,
    pub(super) measured: f64,
    pub(super) is_met: bool,
}

/// Which cases a target is for, and how what it bounds is found.
struct Target {
    row: &'static str,
    /// A part of the case's name.
    case: &'static str,
    text: &'static str,
    bound: Bound,
    measure: fn(&Report, &Case) -> Option<f64>,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

use Bound::{AtLeast, AtMost};

const fn target(
    (row, case): (&'static str, &'static str),
    text: &'static str,
    bound: Bound,
    measure: fn(&Report, &Case) -> Option<f64>,
) -> Target {
    Target {
        row,
        case,
        text,
        bound,
        measure,
    }
}

const TARGETS: &[Target] = &[
    target(
        ("T2", "threads: 1"),
        "latency at most 1.1x the device's",
        AtMost(1.1),
        |_, case| case.ratio("micros_p50", "docdb", "device"),
    ),
    target(
        ("T2", "threads: 64"),
        "at least 3x the best peer",
        AtLeast(3.0),
        |_, case| case.ours_to_best(),
    ),
    target(("T3", ""), "150,000/s", AtLeast(150e3), |_, case| {
        case.ours("rate")
    }),
    target(("T4", ""), "1 million/s", AtLeast(1e6), |_, case| {
        case.ours("rate")
    }),
    target(
        ("T5", ""),
        "at least 0.7x the bare write(2)",
        AtLeast(0.7),
        |_, case| case.ratio("rate", "docdb", "device"),
    ),
    target(("T7", ""), "at least LMDB's", AtLeast(1.0), |_, case| {
        case.ratio("rate", "docdb", "lmdb")
    }),
    target(
        ("T8", "cache off"),
        "at least 0.8x a bare pread",
        AtLeast(0.8),
        |_, case| case.ratio("rate", "docdb", "device"),
    ),
    target(
        ("T8", "cache of 256 MiB"),
        "at least 1.5x LMDB",
        AtLeast(1.5),
        |_, case| case.ratio("rate", "docdb", "lmdb"),
    ),
    target(
        ("T9", ""),
        "at least the fastest peer",
        AtLeast(1.0),
        |_, case| case.ours_to_best(),
    ),
    target(
        ("T10", "10 million after a clean close"),
        "at most 20 ms",
        AtMost(20.0),
        |_, case| case.ours("open_ms"),
    ),
    target(
        ("T10", "10 million after a clean close"),
        "at most 2x that of 10 thousand",
        AtMost(2.0),
        |report, case| {
            let small = report.case("open 10 thousand after a clean close")?;
            Some(case.ours("open_ms")? / small.ours("open_ms")?)
        },
    ),
    target(
        ("T10", "10 million after kill -9"),
        "at most 250 ms",
        AtMost(250.0),
        |_, case| case.ours("open_ms"),
    ),
    target(
        ("T10", "after kill -9"),
        "nothing lost",
        AtMost(0.0),
        |_, case| case.ours("lost"),
    ),
    target(
        ("T11", "of 100 thousand"),
        "1.5x the fastest peer",
        AtLeast(1.5),
        |_, case| case.ours_to_best(),
    ),
    target(
        ("T11", "of 100 thousand"),
        "data files and runs at most 1.5x live bytes, settled",
        AtMost(1.5),
        |_, case| case.ours("disk_settled"),
    ),
    target(
        ("T11", "of 100 thousand"),
        "data files and runs at most 2.5x live bytes, running",
        AtMost(2.5),
        |_, case| case.ours("disk_running"),
    ),
    target(
        ("T11", "of 100 thousand"),
        "log at most 256 MiB",
        AtMost(256.0),
        |_, case| case.ours("log_mib_running"),
    ),
    target(
        ("T11", "of 1 million"),
        "everything at most 2x live bytes, settled",
        AtMost(2.0),
        |_, case| case.ours("disk_settled_all"),
    ),
    target(
        ("T12", ""),
        "at most 80 MiB, 1.25x the budget",
        AtMost(80.0),
        |_, case| case.ours("rss_mib"),
    ),
    target(
        ("T13", ""),
        "at most 3x of without",
        AtMost(3.0),
        |_, case| case.ours("p99_ratio"),
    ),
    target(
        ("T14", "reads per processor left"),
        "at least 0.9x of without writers",
        AtLeast(0.9),
        |_, case| case.ours("read_share"),
    ),
];

/// Every target of which something was measured.
pub(super) fn judge(report: &Report) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for case in report.cases() {
        for target in TARGETS {
            if case.row() != target.row || !names(case.name(), target.case) {
                continue;
            }
            if let Some(measured) = (target.measure)(report, case) {
                verdicts.push(Verdict {
                    row: target.row,
                    case: case.name().to_owned(),
                    target: target.text,
                    measured,
                    is_met: match target.bound {
                        AtLeast(bound) => measured >= bound,
                        AtMost(bound) => measured <= bound,
                    },
                });
            }
        }
    }
    verdicts
}

/// Whether the part is in the case's name, and no digit goes on where it ends: threads: 1 is not in
/// threads: 16.
fn names(case: &str, part: &str) -> bool {
    case.find(part).is_some_and(|at| {
        let rest = &case[at + part.len()..];
        part.is_empty() || !rest.starts_with(|next: char| next.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn parts_of_names_end_where_they_end() {
        assert!(names("threads: 1", "threads: 1") && !names("threads: 16", "threads: 1"));
        assert!(names("after kill -9, and read one", "after kill -9"));
        assert!(names("1 million overwrites", "") && !names("x", "y"));
    }
}
