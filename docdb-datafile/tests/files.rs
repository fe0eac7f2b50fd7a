//! Data files on a simulated disk: round trips, damage, faults and crashes.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use docdb_datafile::format::{BLOCK_BYTES, BODY_BYTES_MAX, FRAME_HEADER_BYTES};
use docdb_datafile::{
    DataFile, DataFileError, DataFileWriter, DocStore, FileIdentity, FilePtr, FrameId,
    WRITE_BUFFER_BYTES, data_file_name,
};
use docdb_vfs::sim::{CrashPolicy, Fault, FaultKind, SectorSize, SimVfs};
use docdb_vfs::{RealVfs, Vfs};

const IDENTITY: FileIdentity = FileIdentity {
    number: 1,
    salt: 0x00c0_ffee,
};

fn path() -> PathBuf {
    Path::new("/").join(data_file_name(1))
}

fn id(id: u64, version: u64) -> FrameId {
    FrameId {
        collection: 1,
        id,
        version,
    }
}

fn body(len: usize, seed: u64) -> Vec<u8> {
    (0..len as u64)
        .map(|i| (i.wrapping_mul(31) ^ seed.wrapping_mul(97)) as u8)
        .collect()
}

type Written = Vec<(FilePtr, FrameId, Vec<u8>)>;

fn write(writer: &mut DataFileWriter, lens: &[usize], first: u64) -> Written {
    let frames = lens.iter().zip(first..).map(|(&len, n)| {
        let body = body(len, n);
        let id = id(n * 1000, n);
        (writer.append(&id, &body).expect("appended"), id, body)
    });
    frames.collect()
}

fn check(file: &DataFile, written: &Written) {
    for (ptr, id, body) in written {
        assert_eq!(*file.read(*ptr, id).expect("readable"), **body);
    }
}

fn is_corrupt<T: std::fmt::Debug>(result: Result<T, DataFileError>) -> bool {
    matches!(result, Err(DataFileError::Corrupt { path: p, .. }) if p == path())
}

#[test]
fn bodies_of_all_sizes_round_trip_and_stream() {
    let vfs = SimVfs::new(1);
    let mut writer = DataFileWriter::create(&vfs, &path(), IDENTITY).unwrap();
    let lens = [
        0,
        1,
        7,
        8,
        9,
        300,
        4096,
        70_000,
        WRITE_BUFFER_BYTES - 48,
        WRITE_BUFFER_BYTES,
        WRITE_BUFFER_BYTES + 1,
        3 << 20,
        5,
    ];
    let mut written = write(&mut writer, &lens, 1);
    let tombstone = writer.append_tombstone(&id(77, 99)).unwrap();
    let durable_len = writer.sync().unwrap();
    assert_eq!(durable_len % BLOCK_BYTES, 0);
    assert_eq!(writer.sync().unwrap(), durable_len, "nothing to do");
    let more = write(&mut writer, &[20, 30], 50);
    assert!(
        more[0].0.offset >= durable_len,
        "synced blocks are not written again"
    );

    let file = DataFile::open(&vfs, &path(), IDENTITY, durable_len).unwrap();
    check(&file, &written);
    assert!(
        is_corrupt(file.read(tombstone, &id(77, 99))),
        "a deletion is no body"
    );
    assert!(
        is_corrupt(file.read(more[0].0, &more[0].1)),
        "not durable yet"
    );
    file.extend(writer.sync().unwrap());
    check(&file, &more);

    written.extend(more);
    let frames: Vec<_> = file.frames().map(|frame| frame.unwrap()).collect();
    let tombstones: Vec<_> = frames.iter().filter(|frame| frame.tombstone).collect();
    assert_eq!((tombstones.len(), tombstones[0].ptr), (1, tombstone));
    let streamed = frames.iter().filter(|frame| !frame.tombstone);
    let streamed: Written = streamed.map(|f| (f.ptr, f.id, f.body.clone())).collect();
    assert!(streamed == written);
}

#[test]
fn pointers_that_lead_elsewhere_are_refused() {
    let vfs = SimVfs::new(1);
    let mut writer = DataFileWriter::create(&vfs, &path(), IDENTITY).unwrap();
    let written = write(&mut writer, &[300, 300], 1);
    let durable_len = writer.sync().unwrap();
    let file = DataFile::open(&vfs, &path(), IDENTITY, durable_len).unwrap();
    let (ptr, id, _) = &written[0];
    for wrong in [
        FilePtr { file: 2, ..*ptr },
        FilePtr { len: 299, ..*ptr },
        FilePtr { len: 301, ..*ptr },
        FilePtr {
            len: u32::MAX,
            ..*ptr
        },
        FilePtr {
            offset: ptr.offset + 8,
            ..*ptr
        },
        FilePtr { offset: 0, ..*ptr },
        FilePtr {
            offset: u64::MAX,
            ..*ptr
        },
        written[1].0,
    ] {
        assert!(is_corrupt(file.read(wrong, id)), "{wrong:?}");
        assert!(
            !matches!(file.read_nowait(wrong, id), Ok(Some(_))),
            "{wrong:?}"
        );
    }
    for wrong in [
        FrameId {
            collection: 2,
            ..*id
        },
        FrameId { id: 1, ..*id },
        FrameId { version: 9, ..*id },
    ] {
        assert!(is_corrupt(file.read(*ptr, &wrong)), "{wrong:?}");
    }
}

#[test]
fn opening_checks_identity_and_length() {
    let vfs = SimVfs::new(1);
    let mut writer = DataFileWriter::create(&vfs, &path(), IDENTITY).unwrap();
    write(&mut writer, &[300], 1);
    let durable_len = writer.sync().unwrap();
    let open = |identity, len| DataFile::open(&vfs, &path(), identity, len);
    assert!(open(IDENTITY, durable_len).is_ok());
    assert!(is_corrupt(open(
        FileIdentity {
            number: 2,
            ..IDENTITY
        },
        durable_len
    )));
    assert!(is_corrupt(open(
        FileIdentity {
            salt: 2,
            ..IDENTITY
        },
        durable_len
    )));
    assert!(is_corrupt(open(IDENTITY, durable_len + BLOCK_BYTES)));
    assert!(is_corrupt(open(IDENTITY, durable_len - 1)));
    assert!(is_corrupt(open(IDENTITY, 0)));
    let missing = DataFile::open(&vfs, Path::new("/nothing"), IDENTITY, durable_len);
    assert!(matches!(missing, Err(DataFileError::Io(error)) if error.is_not_found()));
    let twice = DataFileWriter::create(&vfs, &path(), IDENTITY);
    assert!(
        matches!(twice, Err(DataFileError::Io(error)) if error.kind() == ErrorKind::AlreadyExists)
    );
}

/// Every byte of a small file, flipped: reads either fail or return what was written, and a stream
/// yields nothing that was not written and loses nothing without an error.
#[test]
fn every_flipped_byte_is_seen_or_harmless() {
    let vfs = SimVfs::new(1);
    let mut writer = DataFileWriter::create(&vfs, &path(), IDENTITY).unwrap();
    let written = write(&mut writer, &[0, 13, 100, 700], 1);
    let durable_len = writer.sync().unwrap();
    let original = vfs.read_file(&path()).unwrap();
    for offset in 0..original.len() {
        let mut damaged = original.clone();
        damaged[offset] ^= 0x10;
        vfs.write_file(&path(), &damaged).unwrap();
        let file = match DataFile::open(&vfs, &path(), IDENTITY, durable_len) {
            Ok(file) => file,
            Err(error) => {
                assert!(offset < 4096 && is_corrupt::<()>(Err(error)), "{offset}");
                continue;
            }
        };
        assert!(
            offset >= 4096,
            "damage in the file header is seen at opening"
        );
        for (ptr, id, body) in &written {
            let within = ptr.offset..ptr.offset + FRAME_HEADER_BYTES as u64 + u64::from(ptr.len);
            match file.read(*ptr, id) {
                Ok(read) => assert!(*read == **body && !within.contains(&(offset as u64))),
                error => assert!(is_corrupt(error) && within.contains(&(offset as u64))),
            }
        }
        let (good, bad): (Vec<_>, Vec<_>) = file.frames().partition(|frame| frame.is_ok());
        assert_eq!(bad.len(), 1, "damage at {offset}");
        assert!(good.len() >= written.len() - 1);
        for frame in good.into_iter().flatten() {
            assert!(written.contains(&(frame.ptr, frame.id, frame.body)));
        }
    }
}

#[test]
fn a_stretch_of_zeros_is_reported_once_and_the_rest_is_found() {
    let vfs = SimVfs::new(1);
    let mut writer = DataFileWriter::create(&vfs, &path(), IDENTITY).unwrap();
    let written = write(&mut writer, &[100; 200], 1);
    let durable_len = writer.sync().unwrap();
    let mut damaged = vfs.read_file(&path()).unwrap();
    damaged[8192..12288].fill(0);
    vfs.write_file(&path(), &damaged).unwrap();
    let file = DataFile::open(&vfs, &path(), IDENTITY, durable_len).unwrap();
    let (good, bad): (Vec<_>, Vec<_>) = file.frames().partition(|frame| frame.is_ok());
    let touched = written
        .iter()
        .filter(|(ptr, ..)| ptr.offset < 12288 && ptr.offset + ptr.frame_bytes() > 8192);
    let touched = touched.count();
    assert!(touched > 20);
    assert_eq!(good.len(), written.len() - touched);
    // The frame that the stretch cuts into, then the stretch.
    assert_eq!(bad.len(), 2);
}

#[test]
fn a_body_above_the_limit_is_refused_and_the_writer_goes_on() {
    let vfs = SimVfs::new(1);
    let mut writer = DataFileWriter::create(&vfs, &path(), IDENTITY).unwrap();
    let large = vec![0; BODY_BYTES_MAX as usize + 1];
    let refused = writer.append(&id(1, 1), &large);
    assert!(matches!(refused, Err(DataFileError::TooLarge { .. })));
    let written = write(&mut writer, &[10], 1);
    let durable_len = writer.sync().unwrap();
    check(
        &DataFile::open(&vfs, &path(), IDENTITY, durable_len).unwrap(),
        &written,
    );
}

/// Every operation of a run failed once: the writer reports it, refuses to go on, and what was
/// durable before can be read and appended to.
#[test]
fn a_failed_operation_latches() {
    let run = |vfs: &SimVfs| {
        let mut durable = (0, Vec::new());
        let mut result = DataFileWriter::create(vfs, &path(), IDENTITY).map(|writer| {
            let mut writer = writer;
            for round in 0..3 {
                let lens = [
                    WRITE_BUFFER_BYTES / 2,
                    WRITE_BUFFER_BYTES,
                    WRITE_BUFFER_BYTES * 2,
                ];
                let mut frames = durable.1.clone();
                for (n, len) in (round * 10..).zip(lens) {
                    let body = body(len, n);
                    match writer.append(&id(n, n), &body) {
                        Ok(ptr) => frames.push((ptr, id(n, n), body)),
                        Err(error) => return (writer, Some(error)),
                    }
                }
                match writer.sync() {
                    Ok(len) => durable = (len, frames),
                    Err(error) => return (writer, Some(error)),
                }
            }
            (writer, None)
        });
        if let Ok((writer, Some(_))) = &mut result {
            assert!(matches!(
                writer.append(&id(1, 1), b"x"),
                Err(DataFileError::WriterFailed { .. })
            ));
            assert!(matches!(
                writer.sync(),
                Err(DataFileError::WriterFailed { .. })
            ));
        }
        (durable, result.map(|(_, error)| error))
    };
    let clean = SimVfs::new(1);
    let (_, result) = run(&clean);
    assert!(matches!(result, Ok(None)));
    let ops = clean.op_count();
    assert!(ops > 8, "{ops}");
    for at_op in 0..ops {
        for kind in [
            FaultKind::Error(ErrorKind::StorageFull),
            FaultKind::Os(5),
            FaultKind::Short,
        ] {
            let vfs = SimVfs::new(1);
            vfs.set_fault(Fault {
                at_op,
                kind,
                sticky: false,
            });
            let ((durable_len, frames), result) = run(&vfs);
            match result {
                Ok(None) => assert_eq!(kind, FaultKind::Short, "only a short sync does nothing"),
                Ok(Some(error)) | Err(error) => assert!(matches!(error, DataFileError::Io(_))),
            }
            if durable_len > 0 {
                let mut writer =
                    DataFileWriter::append_to(&vfs, &path(), IDENTITY, durable_len).unwrap();
                let more = write(&mut writer, &[100], 90);
                let file = DataFile::open(&vfs, &path(), IDENTITY, writer.sync().unwrap()).unwrap();
                check(&file, &frames);
                check(&file, &more);
                assert_eq!(
                    file.frames().filter(|frame| frame.is_ok()).count(),
                    frames.len() + 1
                );
            }
        }
    }
}

/// Whatever a loss of power leaves of unsynced appends, what was synced before stays readable, and
/// appending goes on from there.
#[test]
fn synced_frames_survive_a_crash_during_later_appends() {
    let vfs = SimVfs::new(3);
    let mut writer = DataFileWriter::create(&vfs, &path(), IDENTITY).unwrap();
    let first = write(&mut writer, &[300; 20], 1);
    let first_len = writer.sync().unwrap();
    vfs.sync_dir(Path::new("/")).unwrap();
    drop(writer);

    let mut writer = DataFileWriter::append_to(&vfs, &path(), IDENTITY, first_len).unwrap();
    let second = write(&mut writer, &[2 << 20, 300, 1 << 20], 100);
    for seed in 0..30 {
        let sector = if seed % 2 == 0 {
            SectorSize::Bytes512
        } else {
            SectorSize::Bytes4096
        };
        let after = vfs.fork_crash(&CrashPolicy::Torn { seed, sector });
        let file = DataFile::open(&after, &path(), IDENTITY, first_len).unwrap();
        check(&file, &first);
        assert!(file.frames().all(|frame| frame.is_ok()));
        let mut writer = DataFileWriter::append_to(&after, &path(), IDENTITY, first_len).unwrap();
        let third = write(&mut writer, &[500], 200);
        let len = writer.sync().unwrap();
        let again = after.fork_crash(&CrashPolicy::KeepNone);
        let file = DataFile::open(&again, &path(), IDENTITY, len).unwrap();
        check(&file, &first);
        check(&file, &third);
    }
    let len = writer.sync().unwrap();
    let after = vfs.fork_crash(&CrashPolicy::KeepNone);
    let file = DataFile::open(&after, &path(), IDENTITY, len).unwrap();
    check(&file, &first);
    check(&file, &second);
}

#[test]
fn a_store_counts_live_bytes_and_readers_outlive_removal() {
    let dir = std::env::temp_dir().join(format!("docdb-datafile-store-{}", std::process::id()));
    let vfs = RealVfs::new();
    vfs.create_dir(&dir).unwrap();
    let path = dir.join(data_file_name(1));
    let mut writer = DataFileWriter::create(&vfs, &path, IDENTITY).unwrap();
    let written = write(&mut writer, &[300, 40], 1);
    let durable_len = writer.sync().unwrap();

    let store = DocStore::new();
    assert!(
        store
            .add(DataFile::open(&vfs, &path, IDENTITY, durable_len).unwrap())
            .is_none()
    );
    let (ptr, id, body) = &written[0];
    assert_eq!(store.files()[0].live_bytes, Some(0));
    let live = ptr.frame_bytes() + written[1].0.frame_bytes();
    store.set_live(1, Some(live));
    store.set_live(9, Some(1));
    let stats = store.files();
    assert_eq!(
        (stats.len(), stats[0].bytes, stats[0].live_bytes),
        (1, durable_len, Some(live))
    );
    store.set_live(1, None);
    assert_eq!(store.files()[0].live_bytes, None);

    assert_eq!(*store.read(*ptr, id).unwrap(), **body);
    // It was just written, so it is in the page cache; a file system without such reads says None.
    assert!(
        store
            .read_nowait(*ptr, id)
            .unwrap()
            .is_none_or(|read| *read == **body)
    );
    let held = store.get(1).unwrap();
    assert!(store.remove(1).is_some());
    vfs.remove_file(&path).unwrap();
    assert_eq!(*held.read(*ptr, id).unwrap(), **body);
    assert!(matches!(
        store.read(*ptr, id),
        Err(DataFileError::NoSuchFile { number: 1 })
    ));
    vfs.remove_dir(&dir).unwrap();
}

#[test]
fn a_read_error_is_not_damage_and_ends_the_stream() {
    let vfs = SimVfs::new(1);
    let mut writer = DataFileWriter::create(&vfs, &path(), IDENTITY).unwrap();
    let written = write(&mut writer, &[400_000; 8], 1);
    let durable_len = writer.sync().unwrap();
    let file = DataFile::open(&vfs, &path(), IDENTITY, durable_len).unwrap();
    vfs.set_reads_count(true);
    // The second stretch that is read ahead.
    vfs.set_fault(Fault {
        at_op: vfs.op_count() + 1,
        kind: FaultKind::Os(5),
        sticky: true,
    });
    let frames: Vec<_> = file.frames().collect();
    let (last, good) = frames.split_last().unwrap();
    assert!(matches!(last, Err(DataFileError::Io(error)) if error.raw_os_error() == Some(5)));
    assert!(!good.is_empty() && good.iter().all(|frame| frame.is_ok()));
    let read = file.read(written[0].0, &written[0].1);
    assert!(matches!(read, Err(DataFileError::Io(_))));
}

/// What another sync made durable does not count for whoever knows only of the one before.
#[test]
fn nothing_beyond_the_durable_length_is_read_or_kept() {
    let vfs = SimVfs::new(1);
    let mut writer = DataFileWriter::create(&vfs, &path(), IDENTITY).unwrap();
    let first = write(&mut writer, &[300], 1);
    let first_len = writer.sync().unwrap();
    let second = write(&mut writer, &[300], 50);
    let second_len = writer.sync().unwrap();

    let file = DataFile::open(&vfs, &path(), IDENTITY, first_len).unwrap();
    check(&file, &first);
    let (ptr, id, _) = &second[0];
    assert!(is_corrupt(file.read(*ptr, id)));
    assert!(is_corrupt(file.read_nowait(*ptr, id)));
    assert_eq!(file.frames().count(), 1);
    file.extend(second_len);
    file.extend(first_len);
    check(&file, &second);

    DataFileWriter::append_to(&vfs, &path(), IDENTITY, first_len).unwrap();
    assert_eq!(vfs.read_file(&path()).unwrap().len() as u64, first_len);
}

#[test]
fn frames_go_on_where_an_iteration_stood() {
    let vfs = SimVfs::new(1);
    let mut writer = DataFileWriter::create(&vfs, &path(), IDENTITY).unwrap();
    let mut written = write(&mut writer, &[300, 40, 0, 5_000], 1);
    writer.sync().unwrap();
    written.extend(write(&mut writer, &[7, 2_000_000, 9], 50));
    let len = writer.sync().unwrap();
    let file = DataFile::open(&vfs, &path(), IDENTITY, len).unwrap();
    let (mut offset, mut found) = (0, Vec::new());
    loop {
        let mut frames = file.frames_from(offset);
        let Some(frame) = frames.next() else { break };
        found.push(frame.unwrap().ptr);
        offset = frames.offset();
    }
    let expected: Vec<_> = written.iter().map(|(ptr, ..)| *ptr).collect();
    assert_eq!(found, expected);
    assert!(file.frames_from(len).next().is_none());
}
