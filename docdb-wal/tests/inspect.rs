//! What people see of a segment file.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod common;

use common::{append_and_wait, create, disk, open, segments};
use docdb_wal::Lsn;
use docdb_wal::inspect::{self, Found, GroupView};
use docdb_wal::vfs::sim::SimVfs;
use std::path::Path;

fn look(vfs: &SimVfs, path: &Path) -> (Vec<Found>, Vec<u64>) {
    let (mut found, mut lsns) = (Vec::new(), Vec::new());
    inspect::segment(vfs, path, &mut |item| found.push(item), &mut |record| {
        lsns.push(record.lsn.0);
    })
    .unwrap();
    (found, lsns)
}

fn groups(found: &[Found]) -> Vec<&GroupView> {
    found
        .iter()
        .filter_map(|item| match item {
            Found::Group(group) => Some(group),
            _ => None,
        })
        .collect()
}

#[test]
fn a_log_is_shown_as_it_is() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    append_and_wait(&wal, 0, 10).unwrap();
    append_and_wait(&wal, 1, 7_000).unwrap();
    append_and_wait(&wal, 2, 10).unwrap();
    drop(wal);
    let wal = open(&vfs).unwrap().wal;
    wal.close().unwrap();
    let files = segments(&vfs);
    assert_eq!(inspect::segments(&vfs, common::dir()).unwrap(), files);

    let (found, lsns) = look(&vfs, &files[0]);
    match &found[0] {
        Found::Segment(segment) => {
            assert!(segment.first && !segment.recycled && segment.cut.is_none());
            assert_eq!((segment.number, segment.wal_id), (1, common::WAL_ID));
        }
        item => panic!("{item:?}"),
    }
    assert_eq!(lsns, [1]);
    let seen = groups(&found);
    assert_eq!(seen.last().unwrap().marks, ["seal"]);
    assert!(seen.iter().all(|group| group.fault.is_none()));
    assert!(!found.iter().any(|item| matches!(item, Found::Other { .. })));

    let (found, _) = look(&vfs, files.last().unwrap());
    match &found[0] {
        Found::Segment(segment) => {
            let cut = segment.cut.unwrap();
            assert_eq!((cut.segment, cut.last_lsn), (2, Lsn(2)));
        }
        item => panic!("{item:?}"),
    }
    let marks: Vec<_> = groups(&found)
        .iter()
        .flat_map(|g| g.marks.clone())
        .collect();
    assert_eq!(marks, ["jump", "close"]);
}

#[test]
fn damage_is_shown_and_what_stands_behind_it() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    append_and_wait(&wal, 0, 300).unwrap();
    append_and_wait(&wal, 1, 300).unwrap();
    drop(wal);
    let path = &segments(&vfs)[0];
    vfs.flip_bit(path, 4096 + 200, 0).unwrap();
    let (found, lsns) = look(&vfs, path);
    let seen = groups(&found);
    assert_eq!(seen[0].fault, Some("its records do not verify"));
    assert_eq!((seen[1].number, lsns), (2, vec![2]));
    vfs.flip_bit(path, 4096 + 30, 0).unwrap();
    let (found, _) = look(&vfs, path);
    assert_eq!(
        found[1],
        Found::Other {
            offset: 4096,
            end: 8192
        }
    );
    assert_eq!(groups(&found)[0].number, 2);
    // Whatever the bytes are, looking at them does no harm.
    let whole = vfs.read_file(path).unwrap();
    for offset in (0..whole.len() as u64).step_by(7) {
        vfs.flip_bit(path, offset, (offset % 8) as u8).unwrap();
        let _ = inspect::segment(&vfs, path, &mut |_| {}, &mut |_| {});
        vfs.flip_bit(path, offset, (offset % 8) as u8).unwrap();
    }
}
