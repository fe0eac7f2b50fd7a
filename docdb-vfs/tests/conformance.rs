//! One suite for every implementation of the traits: what holds on the real disk holds on the
//! simulated one.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::io::{ErrorKind, IoSlice};
use std::path::{Path, PathBuf};

use docdb_vfs::sim::SimVfs;
use docdb_vfs::{IoOp, OpenMode, RealVfs, Result, Vfs, VfsFile};

fn on_real(check: fn(&dyn Vfs, &Path)) {
    let dir = tempfile::tempdir().unwrap();
    check(&RealVfs::new(), dir.path());
}

fn on_sim(check: fn(&dyn Vfs, &Path)) {
    let vfs = SimVfs::new(1);
    vfs.create_dir(Path::new("/t")).unwrap();
    check(&vfs, Path::new("/t"));
    // Reads that are counted take another way through the simulation.
    let vfs = SimVfs::new(2);
    vfs.set_reads_count(true);
    vfs.create_dir(Path::new("/t")).unwrap();
    check(&vfs, Path::new("/t"));
}

macro_rules! suite {
    ($($check:ident)*) => {
        mod real {
            $(#[test] fn $check() { super::on_real(super::$check) })*
        }
        mod simulated {
            $(#[test] fn $check() { super::on_sim(super::$check) })*
        }
    };
}

suite! {
    opens_by_mode
    reads_stop_at_the_end
    reads_without_waiting_agree_with_reads
    holes_read_as_zeros
    writes_many_buffers
    lengths_change
    allocation_extends_and_keeps
    read_only_handles_refuse_changes
    lists_sorted
    renames_and_replaces
    refuses_senseless_renames
    removes
    a_removed_file_lives_while_open
    syncs
    locks_exclude
    refuses_offsets_past_every_file
    errors_name_the_place
    threads_share_a_handle
    time_does_not_go_back
    random_bytes_differ
}

fn create(vfs: &dyn Vfs, path: &Path, contents: &[u8]) {
    vfs.open(path, OpenMode::CreateNew)
        .unwrap()
        .write_all_at(contents, 0)
        .unwrap();
}

fn contents(file: &dyn VfsFile) -> Vec<u8> {
    let mut buf = vec![0xee; file.len().unwrap() as usize];
    file.read_exact_at(&mut buf, 0).unwrap();
    buf
}

fn contents_of(vfs: &dyn Vfs, path: &Path) -> Vec<u8> {
    contents(&*vfs.open(path, OpenMode::Read).unwrap())
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|e| e.kind())
}

fn opens_by_mode(vfs: &dyn Vfs, root: &Path) {
    let path = root.join("f");
    assert!(!vfs.exists(&path).unwrap());
    assert_eq!(
        kind(vfs.open(&path, OpenMode::Read)),
        Some(ErrorKind::NotFound)
    );
    assert_eq!(
        kind(vfs.open(&path, OpenMode::ReadWrite)),
        Some(ErrorKind::NotFound)
    );
    create(vfs, &path, b"abc");
    assert!(vfs.exists(&path).unwrap());
    assert_eq!(
        kind(vfs.open(&path, OpenMode::CreateNew)),
        Some(ErrorKind::AlreadyExists)
    );
    vfs.open(&path, OpenMode::ReadWrite)
        .unwrap()
        .write_all_at(b"X", 1)
        .unwrap();
    assert_eq!(contents_of(vfs, &path), b"aXc");

    let dir = root.join("d");
    vfs.create_dir(&dir).unwrap();
    assert!(vfs.exists(&dir).unwrap());
    assert_eq!(kind(vfs.create_dir(&dir)), Some(ErrorKind::AlreadyExists));
    assert_eq!(
        kind(vfs.open(&dir, OpenMode::Read)),
        Some(ErrorKind::IsADirectory)
    );
    assert_eq!(
        kind(vfs.open(&dir, OpenMode::ReadWrite)),
        Some(ErrorKind::IsADirectory)
    );
    assert_eq!(
        kind(vfs.open(&dir, OpenMode::CreateNew)),
        Some(ErrorKind::AlreadyExists)
    );
    assert_eq!(
        kind(vfs.create_dir(&root.join("no/d"))),
        Some(ErrorKind::NotFound)
    );
    let below_file = path.join("g");
    assert_eq!(
        kind(vfs.open(&below_file, OpenMode::CreateNew)),
        Some(ErrorKind::NotADirectory)
    );
    assert_eq!(
        kind(vfs.exists(&below_file)),
        Some(ErrorKind::NotADirectory)
    );
}

fn reads_stop_at_the_end(vfs: &dyn Vfs, root: &Path) {
    let file = vfs.open(&root.join("f"), OpenMode::CreateNew).unwrap();
    assert!(file.is_empty().unwrap());
    let data: Vec<u8> = (0..10_000_u32).map(|i| (i % 251) as u8).collect();
    file.write_all_at(&data, 0).unwrap();
    assert_eq!(file.len().unwrap(), 10_000);
    let mut buf = [0xee; 100];
    assert_eq!(file.read_at(&mut buf, 4050).unwrap(), 100);
    assert_eq!(buf, data[4050..4150]);
    buf.fill(0xee);
    assert_eq!(file.read_at(&mut buf, 9950).unwrap(), 50);
    assert_eq!(buf[..50], data[9950..]);
    assert_eq!(file.read_at(&mut buf, 10_000).unwrap(), 0);
    assert_eq!(file.read_at(&mut buf, 1 << 40).unwrap(), 0);
    assert_eq!(file.read_at(&mut [], 5).unwrap(), 0);
    file.read_exact_at(&mut buf, 9900).unwrap();
    assert_eq!(
        kind(file.read_exact_at(&mut buf, 9901)),
        Some(ErrorKind::UnexpectedEof)
    );
}

fn reads_without_waiting_agree_with_reads(vfs: &dyn Vfs, root: &Path) {
    let file = vfs.open(&root.join("f"), OpenMode::CreateNew).unwrap();
    file.write_all_at(&[7; 5000], 0).unwrap();
    for (offset, expected) in [(0, 100), (4950, 50), (5000, 0), (9000, 0)] {
        let mut buf = [0; 100];
        if let Some(n) = file.read_at_nowait(&mut buf, offset).unwrap() {
            assert_eq!(n, expected);
            assert!(buf[..n].iter().all(|b| *b == 7));
        }
    }
}

fn holes_read_as_zeros(vfs: &dyn Vfs, root: &Path) {
    let file = vfs.open(&root.join("f"), OpenMode::CreateNew).unwrap();
    file.write_all_at(b"", 1000).unwrap();
    assert_eq!(file.len().unwrap(), 0);
    file.write_all_at(b"end", 20_000).unwrap();
    let bytes = contents(&*file);
    assert_eq!(bytes.len(), 20_003);
    assert!(bytes[..20_000].iter().all(|b| *b == 0));
    assert_eq!(&bytes[20_000..], b"end");
}

fn writes_many_buffers(vfs: &dyn Vfs, root: &Path) {
    let file = vfs.open(&root.join("f"), OpenMode::CreateNew).unwrap();
    // More buffers than one system call takes, empty ones among them and at both ends.
    let parts: Vec<Vec<u8>> = (0..3000_usize)
        .map(|i| vec![(i % 256) as u8; (i * 7) % 23])
        .collect();
    let bufs: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    file.write_vectored_all_at(&bufs, 3).unwrap();
    let mut expected = vec![0; 3];
    expected.extend(parts.concat());
    assert_eq!(contents(&*file), expected);
    file.write_vectored_all_at(&[], 1).unwrap();
    file.write_vectored_all_at(&[IoSlice::new(b""), IoSlice::new(b"")], 1 << 30)
        .unwrap();
    assert_eq!(contents(&*file), expected);
}

fn lengths_change(vfs: &dyn Vfs, root: &Path) {
    let file = vfs.open(&root.join("f"), OpenMode::CreateNew).unwrap();
    file.write_all_at(&[5; 9000], 0).unwrap();
    file.set_len(4100).unwrap();
    assert_eq!(file.len().unwrap(), 4100);
    file.set_len(9000).unwrap();
    let bytes = contents(&*file);
    assert!(bytes[..4100].iter().all(|b| *b == 5));
    assert!(
        bytes[4100..].iter().all(|b| *b == 0),
        "what was cut does not come back"
    );
    file.set_len(0).unwrap();
    assert!(file.is_empty().unwrap());
}

fn allocation_extends_and_keeps(vfs: &dyn Vfs, root: &Path) {
    let file = vfs.open(&root.join("f"), OpenMode::CreateNew).unwrap();
    file.write_all_at(b"head", 0).unwrap();
    file.allocate(0).unwrap();
    assert_eq!(file.len().unwrap(), 4);
    file.allocate(100_000).unwrap();
    assert_eq!(file.len().unwrap(), 100_000);
    file.allocate(10).unwrap();
    assert_eq!(file.len().unwrap(), 100_000);
    let bytes = contents(&*file);
    assert_eq!(&bytes[..4], b"head");
    assert!(bytes[4..].iter().all(|b| *b == 0));
}

fn read_only_handles_refuse_changes(vfs: &dyn Vfs, root: &Path) {
    let path = root.join("f");
    create(vfs, &path, b"abc");
    let file = vfs.open(&path, OpenMode::Read).unwrap();
    assert!(file.write_all_at(b"x", 0).is_err());
    assert!(
        file.write_vectored_all_at(&[IoSlice::new(b"x")], 0)
            .is_err()
    );
    assert!(file.set_len(1).is_err());
    assert!(file.allocate(10).is_err());
    assert_eq!(contents(&*file), b"abc");
}

fn lists_sorted(vfs: &dyn Vfs, root: &Path) {
    for name in ["b", "a", "B", "10", "9", "é"] {
        create(vfs, &root.join(name), b"");
    }
    vfs.create_dir(&root.join("aa")).unwrap();
    create(vfs, &root.join("aa/inner"), b"");
    assert_eq!(
        vfs.list(root).unwrap(),
        ["10", "9", "B", "a", "aa", "b", "é"]
    );
    assert_eq!(vfs.list(&root.join("aa")).unwrap(), ["inner"]);
    assert_eq!(kind(vfs.list(&root.join("no"))), Some(ErrorKind::NotFound));
    assert_eq!(
        kind(vfs.list(&root.join("a"))),
        Some(ErrorKind::NotADirectory)
    );
}

fn renames_and_replaces(vfs: &dyn Vfs, root: &Path) {
    let (a, b) = (root.join("a"), root.join("b"));
    create(vfs, &a, b"new");
    create(vfs, &b, b"old");
    let replaced = vfs.open(&b, OpenMode::Read).unwrap();
    let renamed = vfs.open(&a, OpenMode::ReadWrite).unwrap();
    vfs.rename(&a, &b).unwrap();
    assert_eq!(vfs.list(root).unwrap(), ["b"]);
    assert_eq!(contents_of(vfs, &b), b"new");
    assert_eq!(
        contents(&*replaced),
        b"old",
        "handles follow the file, not the name"
    );
    renamed.write_all_at(b"N", 0).unwrap();
    assert_eq!(contents_of(vfs, &b), b"New");
    vfs.rename(&b, &b).unwrap();
    assert_eq!(contents_of(vfs, &b), b"New");

    let dir = root.join("d");
    vfs.create_dir(&dir).unwrap();
    vfs.rename(&b, &dir.join("c")).unwrap();
    let moved = root.join("e");
    vfs.create_dir(&moved).unwrap();
    vfs.rename(&dir, &moved).unwrap();
    assert_eq!(vfs.list(root).unwrap(), ["e"]);
    assert_eq!(contents_of(vfs, &moved.join("c")), b"New");
}

fn refuses_senseless_renames(vfs: &dyn Vfs, root: &Path) {
    let (file, dir) = (root.join("f"), root.join("d"));
    create(vfs, &file, b"");
    vfs.create_dir(&dir).unwrap();
    create(vfs, &dir.join("g"), b"");
    let empty = root.join("e");
    vfs.create_dir(&empty).unwrap();
    assert_eq!(
        kind(vfs.rename(&root.join("no"), &file)),
        Some(ErrorKind::NotFound)
    );
    assert_eq!(
        kind(vfs.rename(&file, &root.join("no/f"))),
        Some(ErrorKind::NotFound)
    );
    assert_eq!(kind(vfs.rename(&file, &dir)), Some(ErrorKind::IsADirectory));
    assert_eq!(
        kind(vfs.rename(&empty, &file)),
        Some(ErrorKind::NotADirectory)
    );
    assert_eq!(
        kind(vfs.rename(&empty, &dir)),
        Some(ErrorKind::DirectoryNotEmpty)
    );
    assert_eq!(
        kind(vfs.rename(&dir, &dir.join("x"))),
        Some(ErrorKind::InvalidInput)
    );
    assert_eq!(vfs.list(root).unwrap(), ["d", "e", "f"]);
}

fn removes(vfs: &dyn Vfs, root: &Path) {
    let (file, dir) = (root.join("f"), root.join("d"));
    create(vfs, &file, b"");
    vfs.create_dir(&dir).unwrap();
    create(vfs, &dir.join("g"), b"");
    assert!(vfs.remove_file(&dir).is_err());
    assert_eq!(kind(vfs.remove_dir(&file)), Some(ErrorKind::NotADirectory));
    assert_eq!(
        kind(vfs.remove_dir(&dir)),
        Some(ErrorKind::DirectoryNotEmpty)
    );
    vfs.remove_file(&dir.join("g")).unwrap();
    vfs.remove_dir(&dir).unwrap();
    vfs.remove_file(&file).unwrap();
    assert_eq!(kind(vfs.remove_file(&file)), Some(ErrorKind::NotFound));
    assert_eq!(kind(vfs.remove_dir(&dir)), Some(ErrorKind::NotFound));
    assert!(vfs.list(root).unwrap().is_empty());
}

fn a_removed_file_lives_while_open(vfs: &dyn Vfs, root: &Path) {
    let path = root.join("f");
    create(vfs, &path, b"old");
    let file = vfs.open(&path, OpenMode::ReadWrite).unwrap();
    vfs.remove_file(&path).unwrap();
    vfs.sync_dir(root).unwrap();
    create(vfs, &path, b"new");
    file.write_all_at(b"!", 3).unwrap();
    file.sync_data().unwrap();
    assert_eq!(contents(&*file), b"old!");
    assert_eq!(contents_of(vfs, &path), b"new");
}

fn syncs(vfs: &dyn Vfs, root: &Path) {
    let path = root.join("f");
    create(vfs, &path, b"abc");
    vfs.open(&path, OpenMode::ReadWrite)
        .unwrap()
        .sync_data()
        .unwrap();
    vfs.sync_dir(root).unwrap();
    assert_eq!(contents_of(vfs, &path), b"abc");
    assert_eq!(
        kind(vfs.sync_dir(&root.join("no"))),
        Some(ErrorKind::NotFound)
    );
    assert_eq!(kind(vfs.sync_dir(&path)), Some(ErrorKind::NotADirectory));
}

fn locks_exclude(vfs: &dyn Vfs, root: &Path) {
    let dir = root.join("d");
    let other = root.join("e");
    vfs.create_dir(&dir).unwrap();
    vfs.create_dir(&other).unwrap();
    create(vfs, &root.join("f"), b"");
    let lock = vfs.lock_dir(&dir).unwrap();
    assert_eq!(kind(vfs.lock_dir(&dir)), Some(ErrorKind::WouldBlock));
    let detour: PathBuf = root.join("e/../d");
    assert_eq!(kind(vfs.lock_dir(&detour)), Some(ErrorKind::WouldBlock));
    let moved = root.join("m");
    vfs.rename(&dir, &moved).unwrap();
    assert_eq!(kind(vfs.lock_dir(&moved)), Some(ErrorKind::WouldBlock));
    let another = vfs.lock_dir(&other).unwrap();
    drop(lock);
    let again = vfs.lock_dir(&moved).unwrap();
    assert_eq!(kind(vfs.lock_dir(&other)), Some(ErrorKind::WouldBlock));
    drop((again, another));
    assert_eq!(
        kind(vfs.lock_dir(&root.join("no"))),
        Some(ErrorKind::NotFound)
    );
    assert_eq!(
        kind(vfs.lock_dir(&root.join("f"))),
        Some(ErrorKind::NotADirectory)
    );
}

fn refuses_offsets_past_every_file(vfs: &dyn Vfs, root: &Path) {
    let file = vfs.open(&root.join("f"), OpenMode::CreateNew).unwrap();
    file.write_all_at(b"abc", 0).unwrap();
    for offset in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1] {
        assert!(file.write_all_at(b"xy", offset).is_err());
        assert!(
            file.write_vectored_all_at(&[IoSlice::new(b"xy")], offset)
                .is_err()
        );
        assert!(file.read_exact_at(&mut [0; 2], offset).is_err());
        assert!(file.read_at_nowait(&mut [0; 2], offset).is_err());
    }
    assert!(file.set_len(u64::MAX).is_err());
    assert!(file.allocate(u64::MAX).is_err());
    assert_eq!(contents(&*file), b"abc");
}

fn errors_name_the_place(vfs: &dyn Vfs, root: &Path) {
    let path = root.join("f");
    let error = vfs.open(&path, OpenMode::Read).unwrap_err();
    assert_eq!((error.op(), error.path()), (IoOp::Open, &*path));
    assert!(error.is_not_found());
    let file = vfs.open(&path, OpenMode::CreateNew).unwrap();
    file.write_all_at(b"abc", 0).unwrap();
    let error = file.read_exact_at(&mut [0; 4], 1).unwrap_err();
    assert_eq!((error.op(), error.path()), (IoOp::Read, &*path));
    assert_eq!(error.offset(), Some(3), "where the data ended");
    let error = vfs.rename(&root.join("no"), &path).unwrap_err();
    assert_eq!(
        (error.op(), error.path()),
        (IoOp::Rename, &*root.join("no"))
    );
}

fn threads_share_a_handle(vfs: &dyn Vfs, root: &Path) {
    let file = vfs.open(&root.join("f"), OpenMode::CreateNew).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let file = &file;
            scope.spawn(move || {
                for i in 0..50_u64 {
                    let offset = (i * 4 + u64::from(thread)) * 100;
                    file.write_all_at(&[thread + 1; 100], offset).unwrap();
                    let mut back = [0; 100];
                    file.read_exact_at(&mut back, offset).unwrap();
                    assert_eq!(back, [thread + 1; 100]);
                }
                file.sync_data().unwrap();
            });
        }
    });
    let bytes = contents(&*file);
    assert_eq!(bytes.len(), 20_000);
    assert!(
        bytes
            .iter()
            .enumerate()
            .all(|(i, b)| usize::from(*b) == (i / 100) % 4 + 1)
    );
}

fn time_does_not_go_back(vfs: &dyn Vfs, _root: &Path) {
    let mut before = vfs.now();
    for _ in 0..100 {
        let now = vfs.now();
        assert!(now >= before);
        before = now;
    }
}

fn random_bytes_differ(vfs: &dyn Vfs, _root: &Path) {
    let mut drawn: Vec<[u8; 37]> = (0..50)
        .map(|_| {
            let mut buf = [0; 37];
            vfs.fill_random(&mut buf);
            buf
        })
        .collect();
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), 50);
    vfs.fill_random(&mut []);
}
