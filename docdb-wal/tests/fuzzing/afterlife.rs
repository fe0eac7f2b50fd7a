//! What follows for a log that was not refused, whoever wrote it.

use docdb_wal::inspect::{self, Found};
use docdb_wal::vfs::sim::{CrashPolicy, SimVfs};
use docdb_wal::{ManualDriver, WalOptions};
use std::sync::Arc;

use crate::common::{self, Entry, append_and_wait, judge, open_with, segments};

/// No log counts this far, and one that is near the limit has no room left to go on.
const NUMBER_USUAL_MAX: u64 = 1 << 61;

/// Looks at every segment as people do. Returns the highest number that was found.
pub(crate) fn look(vfs: &SimVfs) -> u64 {
    let mut highest = 0;
    for path in inspect::segments(vfs, common::dir()).unwrap() {
        let mut numbers = Vec::new();
        let outcome = inspect::segment(
            vfs,
            &path,
            &mut |found| match found {
                Found::Segment(segment) => {
                    numbers.extend([segment.number, segment.durable_lsn.0, segment.durable_group]);
                    if let Some(cut) = segment.cut {
                        numbers.extend([cut.segment, cut.last_lsn.0, cut.last_group]);
                    }
                }
                Found::Group(group) => {
                    numbers.extend([group.number, group.first_lsn.0, group.durable_lsn.0]);
                }
                _ => {}
            },
            &mut |_| {},
        );
        // Either everything in the file was shown, or the error says what is wrong with it.
        if let Err(error) = outcome {
            assert!(!error.to_string().is_empty());
        }
        highest = highest.max(numbers.into_iter().max().unwrap_or(0));
    }
    highest
}

/// Judges the log; if it is not refused, opens it, writes to it, and demands all of that back.
/// Returns what was shown.
pub(crate) fn live_on(vfs: &SimVfs, options: &WalOptions) -> Option<Vec<Entry>> {
    let highest = look(vfs);
    let operations = vfs.op_count();
    let outcome = judge(vfs, options.clone());
    assert_eq!(vfs.op_count(), operations, "judging changed something");
    let (shown, verdict) = match outcome {
        Ok(opened) => opened,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return None;
        }
    };
    let (wal, report) = verdict.act(Arc::new(ManualDriver)).unwrap();
    assert_eq!(report.records, shown.len() as u64);
    if highest > NUMBER_USUAL_MAX {
        return Some(shown);
    }
    let mut entries = shown.clone();
    entries.push(append_and_wait(&wal, 1_000_000, 30).unwrap());
    wal.sync().unwrap();
    drop(wal);
    let image = vfs.fork_crash(&CrashPolicy::KeepNone);
    let opened = open_with(&image, options.clone()).unwrap();
    assert_eq!(opened.entries, entries, "what was shown or synced is gone");
    entries.push(append_and_wait(&opened.wal, 1_000_001, 30).unwrap());
    opened.wal.close().unwrap();
    drop(opened.wal);
    let again = judge(&image, options.clone()).unwrap();
    assert_eq!(again.0, entries, "what was closed is gone");
    assert!(again.1.report().clean);
    assert!(!segments(&image).is_empty());
    Some(shown)
}
