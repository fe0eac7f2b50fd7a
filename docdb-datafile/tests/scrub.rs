//! Verifying a file part by part.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::sync::Arc;

use docdb_datafile::{DataFile, DataFileError, DataFileWriter, FileIdentity, FilePtr, FrameId};
use docdb_vfs::Vfs;
use docdb_vfs::sim::{Fault, FaultKind, SimVfs};

const PATH: &str = "/data-00000001.dat";

fn identity() -> FileIdentity {
    FileIdentity { number: 1, salt: 7 }
}

/// A file with frames of many sizes.
fn written(vfs: &SimVfs) -> (DataFile, Vec<FilePtr>) {
    let path = Path::new(PATH);
    let mut writer = DataFileWriter::create(vfs, path, identity()).unwrap();
    let mut places = Vec::new();
    for id in 0..200_u64 {
        let frame = FrameId {
            collection: 1,
            id,
            version: id + 1,
        };
        places.push(
            writer
                .append(&frame, &vec![id as u8; (id * 37 % 3_000) as usize])
                .unwrap(),
        );
        if id % 50 == 49 {
            writer.sync().unwrap();
        }
    }
    let durable_len = writer.sync().unwrap();
    (
        DataFile::open(vfs, path, identity(), durable_len).unwrap(),
        places,
    )
}

/// All stretches, of parts of so many bytes.
fn scrub(file: &DataFile, part: u64) -> Vec<(u64, u64)> {
    let (mut at, mut damage) = (0, Vec::new());
    loop {
        let scrubbed = file.scrub(at, part).unwrap();
        assert!(scrubbed.offset > at || scrubbed.is_end);
        at = scrubbed.offset;
        damage.extend(scrubbed.damage.iter().map(|d| (d.from, d.to)));
        if scrubbed.is_end {
            return damage;
        }
    }
}

#[test]
fn whatever_the_parts_all_is_verified_and_only_what_is_damaged_is_told() {
    let vfs = SimVfs::new(1);
    let (file, places) = written(&vfs);
    for part in [1, 4096, 10_000, 1 << 20] {
        assert_eq!(scrub(&file, part), []);
    }
    for n in [0, 17, 99, 199] {
        let place = places[n];
        for at in [0, 20, 47, 48 + u64::from(place.len) / 2] {
            if at >= 48 + u64::from(place.len) {
                continue;
            }
            let path = Path::new(PATH);
            vfs.flip_bit(path, place.offset + at, 3).unwrap();
            for part in [1, 4096, 1 << 20] {
                let damage = scrub(&file, part);
                assert_eq!(damage.len(), 1, "{damage:?}");
                let end = place.offset + place.frame_bytes();
                assert_eq!(damage[0], (place.offset, end), "{n} {at} {part}");
            }
            vfs.flip_bit(path, place.offset + at, 3).unwrap();
        }
    }
    // The header.
    vfs.flip_bit(Path::new(PATH), 40, 1).unwrap();
    assert_eq!(scrub(&file, 4096), [(0, 4096)]);
}

#[test]
fn a_file_that_was_cut_is_damaged_from_where_it_is_noticed() {
    let vfs = SimVfs::new(1);
    let (file, places) = written(&vfs);
    let bytes = vfs.read_file(Path::new(PATH)).unwrap();
    vfs.write_file(Path::new(PATH), &bytes[..20_000]).unwrap();
    let damage = scrub(&file, 4096);
    let end = places[199].offset + places[199].frame_bytes();
    let is_covered = |at| damage.iter().any(|(from, to)| *from <= at && at < *to);
    assert!(is_covered(20_000) && is_covered(end - 1), "{damage:?}");
}

#[test]
fn what_the_device_cannot_read_is_damaged_and_other_failures_are_errors() {
    let vfs: Arc<SimVfs> = Arc::new(SimVfs::new(1));
    let (file, places) = written(&vfs);
    vfs.set_reads_count(true);
    let fail = |kind| {
        vfs.set_fault(Fault {
            at_op: vfs.op_count() + 2,
            kind,
            sticky: false,
        });
    };
    fail(FaultKind::Os(5));
    let scrubbed = file.scrub(0, 8192).unwrap();
    assert_eq!(scrubbed.damage.len(), 1);
    assert!(scrubbed.damage[0].touches(places[0].offset, 1));
    assert_eq!(scrubbed.offset, 8192);
    vfs.clear_faults();
    fail(FaultKind::Os(12));
    assert!(matches!(file.scrub(0, 8192), Err(DataFileError::Io(_))));
    assert!(vfs.exists(Path::new(PATH)).unwrap());
}
