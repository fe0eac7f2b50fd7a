//! Bodies read in the order of a scan.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};

use docdb_datafile::{
    DataFile, DataFileError, DataFileWriter, DocStore, FileIdentity, FilePtr, FrameId, ReadAhead,
    ReadOrder, WINDOW_BYTES_MAX, data_file_name,
};
use docdb_vfs::sim::{Fault, FaultKind, SimVfs};

type Written = Vec<(FilePtr, FrameId, Vec<u8>)>;

fn path(number: u32) -> PathBuf {
    Path::new("/").join(data_file_name(number))
}

fn write(vfs: &SimVfs, number: u32, lens: &[usize]) -> (DocStore, Written) {
    let identity = FileIdentity { number, salt: 7 };
    let mut writer = DataFileWriter::create(vfs, &path(number), identity).unwrap();
    let mut written = Vec::new();
    for (id, len) in (1..).zip(lens) {
        let id = FrameId {
            collection: 1,
            id,
            version: id + 100,
        };
        let body = vec![id.id as u8; *len];
        written.push((writer.append(&id, &body).unwrap(), id, body));
    }
    let durable = writer.sync().unwrap();
    let store = DocStore::new();
    store.add(DataFile::open(vfs, &path(number), identity, durable).unwrap());
    (store, written)
}

fn next(
    ahead: &mut ReadAhead,
    store: &DocStore,
    ptr: FilePtr,
    id: &FrameId,
) -> Result<Vec<u8>, DataFileError> {
    let body = match ahead.held(ptr, id) {
        Some(held) => held,
        None => ahead.read(store, ptr, id),
    };
    body.map(|body| body.to_vec())
}

fn in_order(written: &Written, order: ReadOrder) -> Written {
    let mut written = written.clone();
    if order == ReadOrder::Descending {
        written.reverse();
    }
    written
}

const ORDERS: [ReadOrder; 2] = [ReadOrder::Ascending, ReadOrder::Descending];

fn lens() -> Vec<usize> {
    (0..3000)
        .map(|i| match i % 500 {
            7 => 0,
            8 => WINDOW_BYTES_MAX * 3,
            9 => WINDOW_BYTES_MAX - 48,
            i => 100 + i * 37 % 900,
        })
        .collect()
}

#[test]
fn neighbours_are_read_together_in_both_orders() {
    let vfs = SimVfs::new(1);
    let (store, written) = write(&vfs, 1, &lens());
    for order in ORDERS {
        vfs.set_reads_count(true);
        let before = vfs.op_count();
        let mut ahead = ReadAhead::new(order);
        for (ptr, id, body) in in_order(&written, order) {
            assert!(
                next(&mut ahead, &store, ptr, &id).unwrap() == body,
                "{ptr:?}"
            );
        }
        let reads = vfs.op_count() - before;
        assert!(reads < 150, "{reads} reads for {} frames", written.len());
    }
}

/// Places far apart, each of them in order: as a scan over several checkpoints reads.
#[test]
fn several_places_are_read_side_by_side() {
    let vfs = SimVfs::new(1);
    let (store, written) = write(&vfs, 1, &[300; 4000]);
    for order in ORDERS {
        let written = in_order(&written, order);
        let (first, second) = written.split_at(2000);
        vfs.set_reads_count(true);
        let before = vfs.op_count();
        let mut ahead = ReadAhead::new(order);
        for (ptr, id, body) in first.iter().zip(second).flat_map(|(a, b)| [a, b]) {
            assert!(next(&mut ahead, &store, *ptr, id).unwrap() == *body);
        }
        assert!(vfs.op_count() - before < 60);
    }
}

#[test]
fn what_is_scattered_is_read_alone() {
    let vfs = SimVfs::new(1);
    let (store, written) = write(&vfs, 1, &[300; 4000]);
    let mut ahead = ReadAhead::new(ReadOrder::Ascending);
    for i in 0..4000 {
        let (ptr, id, body) = &written[i * 1231 % 4000];
        assert!(next(&mut ahead, &store, *ptr, id).unwrap() == *body);
    }
}

/// Damage concerns the frame that it is in and no other, wherever the windows end.
#[test]
fn a_damaged_frame_hurts_no_other() {
    let vfs = SimVfs::new(1);
    let (store, written) = write(&vfs, 1, &[300; 1000]);
    let original = vfs.read_file(&path(1)).unwrap();
    for damaged in [0, 1, 2, 500, 998, 999] {
        for within in [0, 20, 44, 48, 347] {
            let mut bytes = original.clone();
            bytes[written[damaged].0.offset as usize + within] ^= 1;
            vfs.write_file(&path(1), &bytes).unwrap();
            for order in ORDERS {
                let mut ahead = ReadAhead::new(order);
                for (ptr, id, body) in in_order(&written, order) {
                    match next(&mut ahead, &store, ptr, &id) {
                        Ok(read) => assert!(read == body && ptr != written[damaged].0),
                        Err(DataFileError::Corrupt {
                            path: p, offset, ..
                        }) => {
                            assert_eq!((p, offset), (path(1), ptr.offset));
                            assert_eq!(ptr, written[damaged].0);
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }
    }
}

/// A file that is shorter than it was: the frames before the cut are there.
#[test]
fn a_file_that_was_cut_gives_what_it_has() {
    let vfs = SimVfs::new(1);
    let (store, written) = write(&vfs, 1, &[300; 1000]);
    let cut = written[600].0.offset;
    let bytes = vfs.read_file(&path(1)).unwrap();
    vfs.write_file(&path(1), &bytes[..cut as usize]).unwrap();
    for order in ORDERS {
        let mut ahead = ReadAhead::new(order);
        for (ptr, id, body) in in_order(&written, order) {
            match next(&mut ahead, &store, ptr, &id) {
                Ok(read) => assert!(read == body && ptr.offset < cut),
                Err(error) => {
                    assert!(matches!(error, DataFileError::Corrupt { .. }) && ptr.offset >= cut);
                }
            }
        }
    }
}

/// A read that fails once costs nothing but the reading ahead.
#[test]
fn a_failed_read_ahead_falls_back_to_the_frame() {
    let vfs = SimVfs::new(1);
    let (store, written) = write(&vfs, 1, &[300; 100]);
    vfs.set_reads_count(true);
    let mut ahead = ReadAhead::new(ReadOrder::Ascending);
    let (ptr, id, _) = &written[0];
    next(&mut ahead, &store, *ptr, id).unwrap();
    vfs.set_fault(Fault {
        at_op: vfs.op_count(),
        kind: FaultKind::Os(5),
        sticky: false,
    });
    let (ptr, id, body) = &written[1];
    assert!(next(&mut ahead, &store, *ptr, id).unwrap() == *body);
    vfs.set_fault(Fault {
        at_op: vfs.op_count(),
        kind: FaultKind::Os(5),
        sticky: true,
    });
    let (ptr, id, _) = &written[2];
    let read = next(&mut ahead, &store, *ptr, id);
    assert!(matches!(read, Err(DataFileError::Io(_))));
}

#[test]
fn other_documents_and_places_are_refused() {
    let vfs = SimVfs::new(1);
    let (store, written) = write(&vfs, 1, &[300; 100]);
    let mut ahead = ReadAhead::new(ReadOrder::Ascending);
    for (ptr, id, _) in &written {
        next(&mut ahead, &store, *ptr, id).unwrap();
    }
    let (ptr, id, _) = &written[50];
    let other = FrameId { version: 1, ..*id };
    let beyond = FilePtr {
        offset: 1 << 40,
        ..*ptr
    };
    let overflow = FilePtr {
        offset: u64::MAX,
        ..*ptr
    };
    let header = FilePtr { offset: 0, ..*ptr };
    let long = FilePtr {
        len: u32::MAX,
        ..*ptr
    };
    let shorter = FilePtr { len: 299, ..*ptr };
    for (ptr, id) in [
        (*ptr, other),
        (beyond, *id),
        (overflow, *id),
        (header, *id),
        (long, *id),
        (shorter, *id),
    ] {
        let read = next(&mut ahead, &store, ptr, &id);
        assert!(
            matches!(read, Err(DataFileError::Corrupt { .. })),
            "{ptr:?}"
        );
    }
    let gone = FilePtr { file: 9, ..*ptr };
    let read = next(&mut ahead, &store, gone, id);
    assert!(matches!(read, Err(DataFileError::NoSuchFile { number: 9 })));
}
