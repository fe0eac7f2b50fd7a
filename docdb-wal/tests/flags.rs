//! A record that means something which this build does not know is refused, wherever it stands.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod common;

use common::{append_and_wait, create, disk, forge, judge, options, segments};
use docdb_wal::{Lsn, WalError, inspect};

const FIRST_GROUP: usize = 4096;
const SECOND_GROUP: usize = 8192;

fn assert_refused(outcome: Result<(), WalError>, file: &std::path::Path, offset: usize) {
    match outcome.unwrap_err() {
        WalError::UnsupportedVersion { path, what } => {
            assert_eq!(path, file);
            let place = format!("at offset {}", offset + forge::GROUP_HEADER_BYTES);
            assert!(what.contains(&place), "{what}");
            assert!(what.contains("0x8"), "{what}");
        }
        error => panic!("{error}"),
    }
}

#[test]
fn an_unknown_flag_is_refused_and_no_torn_tail() {
    // The second group is the last one: nothing proves that it was durable.
    for offset in [FIRST_GROUP, SECOND_GROUP] {
        let vfs = disk();
        let wal = create(&vfs).unwrap();
        append_and_wait(&wal, 1, 300).unwrap();
        append_and_wait(&wal, 2, 300).unwrap();
        let file = &segments(&vfs)[0];
        forge::record(&vfs, file, offset, 8, |_| {});

        let mut reader = wal.read_from(Lsn(1)).unwrap();
        let outcome = loop {
            match reader.next() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the record was passed over"),
                Err(error) => break Err(error),
            }
        };
        assert_refused(outcome, file, offset);
        drop((reader, wal));

        let before = vfs.op_count();
        assert_refused(judge(&vfs, options()).map(drop), file, offset);
        assert_eq!(vfs.op_count(), before, "judging changed something");
        let mut later = options();
        later.start_lsn = Some(Lsn(3));
        assert_refused(judge(&vfs, later).map(drop), file, offset);
        let looked = inspect::segment(&vfs, file, &mut |_| {}, &mut |_| {});
        assert_refused(looked, file, offset);
    }
}

#[test]
fn a_flag_in_bytes_that_do_not_verify_is_damage() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    append_and_wait(&wal, 1, 300).unwrap();
    wal.close().unwrap();
    let file = &segments(&vfs)[0];
    let flags = FIRST_GROUP + forge::GROUP_HEADER_BYTES + 30;
    vfs.flip_bit(file, flags as u64, 3).unwrap();
    let error = judge(&vfs, options()).map(drop).unwrap_err();
    assert!(matches!(error, WalError::Corrupt { .. }), "{error}");
}
