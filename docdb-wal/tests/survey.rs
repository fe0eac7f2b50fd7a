//! A survey beside the recovery, over every damage: what it hands out in order is what a recovery would
//! replay, it tells of damage exactly where the recovery refuses, and goes on behind it.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::PathBuf;

use common::{Entry, append_and_wait, create, dir, disk, judge, open, options, segments};
use docdb_wal::vfs::sim::{CrashPolicy, SimVfs};
use docdb_wal::{LogFinding, Lsn, SurveyReport, Surveyed, Surveyor, WalError, WalOptions, survey};

#[derive(Default)]
struct Seen {
    in_order: Vec<Entry>,
    others: Vec<u64>,
    /// In which segment each record stands.
    places: Vec<(u64, PathBuf)>,
    findings: Vec<LogFinding>,
}

impl Surveyor for Seen {
    fn record(&mut self, surveyed: Surveyed<'_>) {
        let record = surveyed.record;
        self.places
            .push((record.lsn.0, surveyed.path.to_path_buf()));
        if surveyed.in_order {
            self.in_order.push(Entry {
                lsn: record.lsn.0,
                stamp: record.stamp,
                kind: record.kind,
                payload: record.payload.to_vec(),
            });
        } else {
            self.others.push(record.lsn.0);
        }
    }

    fn found(&mut self, finding: LogFinding) {
        self.findings.push(finding);
    }
}

fn surveyed(vfs: &SimVfs, options: &WalOptions) -> Result<(Seen, SurveyReport), WalError> {
    let operations = vfs.op_count();
    let mut seen = Seen::default();
    let report = survey(vfs, dir(), options, &mut seen);
    assert_eq!(vfs.op_count(), operations, "the survey changed something");
    Ok((seen, report?))
}

/// Several segments with recoveries between them, closed or killed.
fn log(close: bool) -> SimVfs {
    let mut vfs = disk();
    create(&vfs).unwrap().close().unwrap();
    let mut n = 0;
    for round in 0..3 {
        let wal = open(&vfs).unwrap().wal;
        for length in [100, 5_000, 9_000, 20, 30] {
            append_and_wait(&wal, n, length).unwrap();
            n += 1;
        }
        if round == 1 || (round == 2 && close) {
            wal.close().unwrap();
        }
        drop(wal);
        vfs = vfs.fork_crash(&CrashPolicy::KeepAll);
    }
    vfs
}

#[test]
fn it_agrees_with_the_recovery_on_every_flipped_byte() {
    for close in [false, true] {
        let vfs = log(close);
        assert!(segments(&vfs).len() >= 3);
        for start in [None, Some(Lsn(1)), Some(Lsn(7))] {
            let mut options = options();
            options.start_lsn = start;
            let (seen, report) = surveyed(&vfs, &options).unwrap();
            assert!(
                seen.findings.iter().all(|f| !f.is_damage),
                "{:?}",
                seen.findings
            );
            assert_eq!(seen.in_order, judge(&vfs, options.clone()).unwrap().0);
            assert!(report.is_whole);
            for path in segments(&vfs) {
                let length = vfs.read_file(&path).unwrap().len() as u64;
                let mut offset = 0;
                while offset < length {
                    vfs.flip_bit(&path, offset, 2).unwrap();
                    let what = format!("{} at {offset}", path.display());
                    compare(&vfs, &options, &seen.in_order, &what);
                    vfs.flip_bit(&path, offset, 2).unwrap();
                    offset += if offset % 4096 < 200 { 7 } else { 131 };
                }
            }
        }
    }
}

fn compare(vfs: &SimVfs, options: &WalOptions, whole: &[Entry], what: &str) {
    let judged = judge(vfs, options.clone());
    let outcome = surveyed(vfs, options);
    let (seen, report) = match (&judged, outcome) {
        (Err(WalError::UnsupportedVersion { .. }), Err(WalError::UnsupportedVersion { .. })) => {
            return;
        }
        (_, outcome) => outcome.unwrap(),
    };
    let what = format!(
        "{what}: {:?} {report:?} {:?}",
        judged.as_ref().err(),
        seen.findings
    );
    match judged {
        Ok((entries, _)) => {
            assert_eq!(seen.in_order, entries, "{what}");
            assert!(report.is_whole, "{what}");
            // What a recovery does not need it does not judge.
            let is_needed = options.start_lsn.is_none();
            let damaged = seen.findings.iter().any(|finding| finding.is_damage);
            assert!(!damaged || !is_needed, "{what}");
        }
        Err(_) => {
            assert!(
                seen.findings.iter().any(|finding| finding.is_damage),
                "{what}"
            );
            // A prefix, and what follows the damage besides: one record is in a group.
            assert!(whole.starts_with(&seen.in_order), "{what}");
            let first = whole[0].lsn;
            let others = seen.others.iter().filter(|lsn| **lsn >= first).count();
            assert!(seen.in_order.len() + others + 1 >= whole.len(), "{what}");
        }
    }
}

#[test]
fn what_follows_a_hole_is_handed_out() {
    let vfs = log(true);
    let (whole, _) = surveyed(&vfs, &options()).unwrap();
    let victim = &whole.in_order[4];
    for path in segments(&vfs) {
        let contents = vfs.read_file(&path).unwrap();
        let mut windows = contents.windows(victim.payload.len());
        if let Some(at) = windows.position(|window| window == victim.payload) {
            vfs.flip_bit(&path, at as u64, 0).unwrap();
        }
    }
    let (seen, report) = surveyed(&vfs, &options()).unwrap();
    assert_eq!(seen.in_order, whole.in_order[..4]);
    let behind: Vec<u64> = whole.in_order[5..].iter().map(|entry| entry.lsn).collect();
    assert_eq!(seen.others, behind);
    assert!(!report.is_whole);
    assert_eq!(report.last_lsn, whole.in_order[3].lsn);
    assert_eq!(Some(&report.highest_lsn), behind.last());
}

/// A segment that is not there, or whose header is not, is no end of the log: what stands behind it is
/// handed out, and what stood in it is not passed over in silence.
#[test]
fn a_lost_segment_is_never_the_end_of_the_log() {
    for close in [false, true] {
        let vfs = log(close);
        let (whole, _) = surveyed(&vfs, &options()).unwrap();
        let all: Vec<u64> = whole.in_order.iter().map(|entry| entry.lsn).collect();
        let paths = segments(&vfs);
        for (i, path) in paths.iter().enumerate() {
            for is_removed in [true, false] {
                let is_newest = i + 1 == paths.len();
                if is_removed && is_newest {
                    // Nothing in the directory says that there was one.
                    continue;
                }
                let vfs = vfs.fork_crash(&CrashPolicy::KeepAll);
                if is_removed {
                    vfs.remove(path).unwrap();
                } else {
                    vfs.write_file(path, &[0; 100]).unwrap();
                }
                let what = format!("{} removed: {is_removed}", path.display());
                let (seen, report) = surveyed(&vfs, &options()).unwrap();
                let mut found: Vec<u64> = seen.in_order.iter().map(|entry| entry.lsn).collect();
                assert!(all.starts_with(&found), "{what}");
                if found.len() < all.len() {
                    assert!(!report.is_whole, "{what}: {report:?} {:?}", seen.findings);
                }
                found.extend(&seen.others);
                let elsewhere = whole.places.iter().filter(|(_, at)| at != path);
                for (lsn, _) in elsewhere {
                    assert!(found.contains(lsn), "{what}: {lsn} {:?}", seen.findings);
                }
            }
        }
    }
}
