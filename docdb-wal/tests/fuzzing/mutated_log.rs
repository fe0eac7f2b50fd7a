//! A log that was damaged or forged, and then recovered.

use docdb_wal::Lsn;

use super::afterlife::live_on;
use super::check::is_part_of;
use super::choices::Choices;
use super::damage::damage;
use super::forge::forge;
use super::life::{Life, policy};
use crate::common::Entry;

/// A log that was damaged is refused, or shows a part without a hole of what was appended; to who
/// knows where it begins and what was durable, all of that. One that was forged is refused or
/// opened. What is opened goes on as a log.
pub(crate) fn mutated_log(data: &[u8]) {
    let mut choices = Choices::new(data);
    let forged = choices.flag();
    let close = choices.flag();
    let life = Life::new(&mut choices);
    if close {
        life.wal.close().unwrap();
    }
    let durable_lsn = life.wal.durable_lsn().0;
    let Life {
        vfs,
        options,
        wal,
        entries,
        histories,
        copies,
        retired_lsn,
        ..
    } = life;
    drop(wal);
    let image = vfs.fork_crash(&policy(&mut choices));
    damage(&image, &copies, &mut choices);
    if forged {
        forge(&image, &mut choices);
        live_on(&image, &options);
        return;
    }

    let is_known = |found: &[Entry]| {
        is_part_of(found, &entries) || histories.iter().any(|before| is_part_of(found, before))
    };
    let needed: Vec<&Entry> = entries
        .iter()
        .filter(|e| (retired_lsn..=durable_lsn).contains(&e.lsn))
        .collect();
    let mut knowing = options.clone();
    knowing.start_lsn = Some(Lsn(needed.first().map_or(durable_lsn + 1, |e| e.lsn)));
    knowing.proven_lsn = Lsn(durable_lsn);
    let copy = image.fork_crash(&docdb_wal::vfs::sim::CrashPolicy::KeepAll);
    if let Some(found) = live_on(&copy, &knowing) {
        assert!(is_known(&found), "{found:?} was never appended");
        let shown = needed.iter().zip(&found).filter(|(a, b)| **a == *b).count();
        assert_eq!(shown, needed.len(), "durable records are missing");
    }
    if let Some(found) = live_on(&image, &options) {
        assert!(is_known(&found), "{found:?} was never appended");
    }
}
