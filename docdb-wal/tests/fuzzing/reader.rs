//! A log that is damaged or forged while it is open, read beside its writer.

use docdb_wal::{LogReader, Lsn, Result};

use super::afterlife::look;
use super::choices::Choices;
use super::damage::damage;
use super::forge::forge;
use super::life::Life;
use crate::common::Entry;

/// Reads until there is nothing more yet, or an error. An error must not turn into anything wrong
/// when the reader is asked again.
fn drain(reader: &mut LogReader, into: &mut Vec<Entry>) -> Result<()> {
    let mut outcome = Ok(());
    for _ in 0..3 {
        outcome = loop {
            match reader.next() {
                Ok(Some(record)) => into.push(Entry {
                    lsn: record.lsn.0,
                    stamp: record.stamp,
                    kind: record.kind,
                    payload: record.payload.to_vec(),
                }),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// What stands in `entries` from a record on.
fn from(entries: &[Entry], lsn: u64) -> &[Entry] {
    &entries[entries.partition_point(|e| e.lsn < lsn)..]
}

/// A reader of a damaged log gives what was appended, without a hole, and says that it is at the end
/// only if it has given everything durable. One of a forged log ends.
pub(crate) fn reader(data: &[u8]) {
    let mut choices = Choices::new(data);
    let forged = choices.flag();
    let mut life = Life::new(&mut choices);
    let lsn = |life: &Life, choices: &mut Choices<'_>| {
        let at = choices.below(life.entries.len() + 1);
        life.entries
            .get(at)
            .map_or_else(|| life.wal.next_lsn().0, |e| e.lsn)
    };
    let old_from = lsn(&life, &mut choices);
    let mut old = life.wal.read_from(Lsn(old_from));
    let mut old_read = Vec::new();
    if let Ok(old) = &mut old {
        for _ in 0..choices.below(8) {
            if let Ok(Some(record)) = old.next() {
                old_read.push(Entry {
                    lsn: record.lsn.0,
                    stamp: record.stamp,
                    kind: record.kind,
                    payload: record.payload.to_vec(),
                });
            }
        }
    }
    damage(&life.vfs, &life.copies, &mut choices);
    if forged {
        forge(&life.vfs, &mut choices);
    }
    look(&life.vfs);
    for round in 0..2 {
        let new_from = lsn(&life, &mut choices);
        let mut new_read = Vec::new();
        let new_end = life
            .wal
            .read_from(Lsn(new_from))
            .and_then(|mut reader| drain(&mut reader, &mut new_read));
        let old_end = match &mut old {
            Ok(old) => drain(old, &mut old_read),
            Err(error) => Err(error.clone()),
        };
        let _ = life.wal.oldest_lsn();
        if !forged {
            let durable_lsn = life.wal.durable_lsn().0;
            for (from_lsn, read, end) in [
                (old_from, &old_read, old_end),
                (new_from, &new_read, new_end),
            ] {
                let wanted = from(&life.entries, from_lsn);
                assert!(wanted.starts_with(read), "{read:?} from {from_lsn}");
                let durable = wanted.partition_point(|e| e.lsn <= durable_lsn);
                assert!(
                    end.is_err() || read.len() >= durable,
                    "{read:?} is said to be all from {from_lsn}"
                );
            }
        }
        // The writer knows nothing of the damage: it goes on where it is, or fails for good.
        if round == 0 {
            life.append_more(choices.below(9_000));
        }
    }
}
