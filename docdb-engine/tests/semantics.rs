//! What writes do and answer, whether documents lie in memory, in data files, or were replayed.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::modes::in_every_mode;
use common::{in_collection, kind, scan_all};
use docdb_engine::{ErrorKind, Precondition, WriteKind, WriteOp, limits};

const C: &str = "_default";

#[test]
fn create_read_update_upsert_delete() {
    in_every_mode(|bench| {
        assert_eq!(kind(bench.db().read(C, 1)), ErrorKind::NotFound);
        assert!(!bench.db().exists(C, 1).unwrap());
        assert_eq!(
            kind(bench.write(&[WriteOp::update(C, 1, b"0")])),
            ErrorKind::NotFound
        );
        assert_eq!(
            kind(bench.write(&[WriteOp::delete(C, 1)])),
            ErrorKind::NotFound
        );

        let created = bench.write(&[WriteOp::create(C, 1, b"{\"a\":1}")]).unwrap();
        assert_eq!(*created.ids, [1]);
        let read = bench.db().read(C, 1).unwrap();
        assert_eq!(
            (read.version, &*read.body),
            (created.version, &b"{\"a\":1}"[..])
        );
        let again = bench.write(&[WriteOp::create(C, 1, b"0")]).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        assert_eq!(
            (again.op_index(), again.version()),
            (Some(0), Some(created.version))
        );

        let updated = bench.write(&[WriteOp::update(C, 1, b"2")]).unwrap();
        assert!(updated.version > created.version);
        assert_eq!(bench.body(C, 1), "2");
        let upserted = bench.write(&[WriteOp::upsert(C, 1, b"3")]).unwrap();
        assert_eq!(bench.db().read(C, 1).unwrap().version, upserted.version);
        bench.write(&[WriteOp::upsert(C, 2, b"4")]).unwrap();
        assert_eq!(bench.db().count(C).unwrap(), 2);

        let deleted = bench.write(&[WriteOp::delete(C, 1)]).unwrap();
        assert!(deleted.version > upserted.version);
        assert_eq!(kind(bench.db().read(C, 1)), ErrorKind::NotFound);
        assert!(!bench.db().exists(C, 1).unwrap());
        assert_eq!(bench.db().count(C).unwrap(), 1);
        assert_eq!(
            kind(bench.write(&[WriteOp::delete(C, 1)])),
            ErrorKind::NotFound
        );
        let recreated = bench.write(&[WriteOp::create(C, 1, b"5")]).unwrap();
        assert_eq!(bench.db().read(C, 1).unwrap().version, recreated.version);
        assert_eq!(bench.body(C, 1), "5");
    });
}

#[test]
fn every_id_is_an_id() {
    in_every_mode(|bench| {
        for id in [0, 1, 255, 256, u64::MAX - 1, u64::MAX] {
            bench
                .write(&[WriteOp::create(C, id, id.to_string().as_bytes())])
                .unwrap();
        }
        let ids: Vec<_> = scan_all(bench.db(), &in_collection(C)).unwrap();
        let ids: Vec<_> = ids.into_iter().map(|(id, _, body)| (id, body)).collect();
        let wanted =
            [0, 1, 255, 256, u64::MAX - 1, u64::MAX].map(|id| (id, id.to_string().into_bytes()));
        assert_eq!(ids, wanted);
    });
}

#[test]
fn preconditions() {
    in_every_mode(|bench| {
        let v1 = bench.write(&[WriteOp::create(C, 1, b"1")]).unwrap().version;
        let v2 = bench.write(&[WriteOp::update(C, 1, b"2").when(Precondition::VersionIs(v1))]);
        let v2 = v2.unwrap().version;
        for write in [
            WriteOp::update(C, 1, b"9").when(Precondition::VersionIs(v1)),
            WriteOp::upsert(C, 1, b"9").when(Precondition::VersionIs(v1)),
            WriteOp::delete(C, 1).when(Precondition::VersionIs(v1)),
            WriteOp::update(C, 1, b"9").when(Precondition::Absent),
            WriteOp::upsert(C, 1, b"9").when(Precondition::Absent),
            WriteOp::delete(C, 1).when(Precondition::Absent),
            WriteOp::update(C, 1, b"9").when(Precondition::VersionIs(u64::MAX)),
        ] {
            let refused = bench.write(&[write]).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::VersionMismatch, "{write:?}");
            assert_eq!((refused.op_index(), refused.version()), (Some(0), Some(v2)));
        }
        for write in [
            WriteOp::create(C, 2, b"9").when(Precondition::VersionIs(v1)),
            WriteOp::upsert(C, 2, b"9").when(Precondition::VersionIs(v1)),
            WriteOp::insert(C, b"9").when(Precondition::VersionIs(v1)),
        ] {
            let refused = bench.write(&[write]).unwrap_err();
            assert_eq!(
                (refused.kind(), refused.version()),
                (ErrorKind::VersionMismatch, None)
            );
        }
        assert_eq!(bench.body(C, 1), "2");
        bench
            .write(&[WriteOp::delete(C, 1).when(Precondition::VersionIs(v2))])
            .unwrap();
        let gone = bench.write(&[WriteOp::update(C, 1, b"9").when(Precondition::VersionIs(v2))]);
        assert_eq!(kind(gone), ErrorKind::NotFound);
        bench
            .write(&[WriteOp::upsert(C, 1, b"3").when(Precondition::Absent)])
            .unwrap();
        bench
            .write(&[WriteOp::create(C, 2, b"4").when(Precondition::Absent)])
            .unwrap();
        bench
            .write(&[WriteOp::insert(C, b"5").when(Precondition::Absent)])
            .unwrap();
        assert_eq!(bench.db().count(C).unwrap(), 3);
    });
}

#[test]
fn inserts_go_on_above_every_id_that_was_ever_used() {
    in_every_mode(|bench| {
        let first = bench.write(&[WriteOp::insert(C, b"1")]).unwrap();
        assert_eq!(*first.ids, [1]);
        bench.write(&[WriteOp::create(C, 10, b"1")]).unwrap();
        bench.write(&[WriteOp::delete(C, 10)]).unwrap();
        assert_eq!(*bench.write(&[WriteOp::insert(C, b"1")]).unwrap().ids, [11]);
        let batch = [
            WriteOp::insert(C, b"1"),
            WriteOp::upsert(C, 20, b"1"),
            WriteOp::insert(C, b"1"),
            WriteOp::delete(C, 21),
            WriteOp::insert(C, b"1"),
            WriteOp::upsert(C, 5, b"1"),
            WriteOp::insert(C, b"1"),
        ];
        assert_eq!(
            *bench.write(&batch).unwrap().ids,
            [12, 20, 21, 21, 22, 5, 23]
        );
        // What was refused uses no id.
        let refused = [WriteOp::insert(C, b"1"), WriteOp::create(C, 1, b"1")];
        assert_eq!(kind(bench.write(&refused)), ErrorKind::AlreadyExists);
        bench.write(&[WriteOp::delete(C, 23)]).unwrap();
        assert_eq!(*bench.write(&[WriteOp::insert(C, b"1")]).unwrap().ids, [24]);

        bench.create_collection("own").unwrap();
        assert_eq!(
            *bench.write(&[WriteOp::insert("own", b"1")]).unwrap().ids,
            [1]
        );
        bench.create_collection("zero").unwrap();
        bench.write(&[WriteOp::create("zero", 0, b"1")]).unwrap();
        assert_eq!(
            *bench.write(&[WriteOp::insert("zero", b"1")]).unwrap().ids,
            [1]
        );

        bench
            .write(&[WriteOp::create("own", u64::MAX - 1, b"1")])
            .unwrap();
        let two = [WriteOp::insert("own", b"1"), WriteOp::insert("own", b"1")];
        let full = bench.write(&two).unwrap_err();
        assert_eq!(
            (full.kind(), full.op_index()),
            (ErrorKind::LimitExceeded, Some(1))
        );
        assert_eq!(*bench.write(&two[..1]).unwrap().ids, [u64::MAX]);
        bench.write(&[WriteOp::delete("own", u64::MAX)]).unwrap();
        assert_eq!(kind(bench.write(&two[..1])), ErrorKind::LimitExceeded);
    });
}

#[test]
fn operations_of_a_batch_see_the_earlier_ones() {
    in_every_mode(|bench| {
        let batch = [
            WriteOp::create(C, 1, b"1"),
            WriteOp::update(C, 1, b"2"),
            WriteOp::delete(C, 1),
            WriteOp::create(C, 2, b"3"),
            WriteOp::upsert(C, 2, b"4"),
        ];
        let version = bench.write(&batch).unwrap().version;
        assert!(!bench.db().exists(C, 1).unwrap());
        assert_eq!(bench.db().read(C, 2).unwrap().version, version);
        assert_eq!(bench.body(C, 2), "4");
        assert_eq!(bench.db().count(C).unwrap(), 1);

        // Deleted and created again, over one that is stored.
        let batch = [
            WriteOp::delete(C, 2),
            WriteOp::create(C, 2, b"5").when(Precondition::Absent),
            WriteOp::delete(C, 2),
            WriteOp::create(C, 2, b"6"),
        ];
        bench.write(&batch).unwrap();
        assert_eq!(
            (bench.body(C, 2), bench.db().count(C).unwrap()),
            ("6".into(), 1)
        );

        // An assigned id exists for what follows.
        let refused = bench
            .write(&[WriteOp::insert(C, b"7"), WriteOp::create(C, 3, b"8")])
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!((refused.op_index(), refused.version()), (Some(1), None));
        let written = bench.write(&[WriteOp::insert(C, b"7"), WriteOp::update(C, 3, b"8")]);
        assert_eq!(*written.unwrap().ids, [3, 3]);
        assert_eq!(bench.body(C, 3), "8");

        for named in [u64::MAX, 0, version] {
            let batch = [
                WriteOp::upsert(C, 9, b"1"),
                WriteOp::update(C, 9, b"2").when(Precondition::VersionIs(named)),
            ];
            let refused = bench.write(&batch).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::VersionMismatch);
            assert_eq!((refused.op_index(), refused.version()), (Some(1), None));
        }
        let batch = [
            WriteOp::create(C, 9, b"1"),
            WriteOp::delete(C, 9),
            WriteOp::update(C, 9, b"2"),
        ];
        let refused = bench.write(&batch).unwrap_err();
        assert_eq!(
            (refused.kind(), refused.op_index()),
            (ErrorKind::NotFound, Some(2))
        );
    });
}

#[test]
fn a_batch_is_all_or_nothing() {
    in_every_mode(|bench| {
        bench.create_collection("other").unwrap();
        bench
            .write(&[
                WriteOp::create(C, 1, b"1"),
                WriteOp::create("other", 1, b"1"),
            ])
            .unwrap();
        for (position, last) in [
            (3, WriteOp::create(C, 1, b"2")),
            (3, WriteOp::update("other", 77, b"2")),
            (3, WriteOp::update("missing", 1, b"2")),
            (3, WriteOp::update(C, 1, b"{")),
        ] {
            let batch = [
                WriteOp::update(C, 1, b"9"),
                WriteOp::delete("other", 1),
                WriteOp::insert("other", b"9"),
                last,
            ];
            let refused = bench.write(&batch).unwrap_err();
            assert_eq!(refused.op_index(), Some(position), "{refused:?}");
            assert_eq!(
                (bench.body(C, 1), bench.body("other", 1)),
                ("1".into(), "1".into())
            );
            let counts: Vec<_> = bench.db().collections().unwrap();
            assert_eq!(
                counts.iter().map(|c| c.documents).collect::<Vec<_>>(),
                [1, 1]
            );
        }
        assert_eq!(
            *bench.write(&[WriteOp::insert("other", b"0")]).unwrap().ids,
            [2]
        );
    });
}

#[test]
fn versions_only_grow() {
    in_every_mode(|bench| {
        let mut last = 0;
        for id in 0..12 {
            let version = bench
                .write(&[WriteOp::create(C, id, b"0")])
                .unwrap()
                .version;
            assert!(version > last);
            last = version;
            assert!(bench.db().visible_version() >= version);
        }
        assert!(bench.create_collection("c").unwrap().version > last);
    });
}

#[test]
fn collections() {
    in_every_mode(|bench| {
        let first = bench.create_collection("c").unwrap();
        assert_eq!(kind(bench.create_collection("c")), ErrorKind::AlreadyExists);
        assert_eq!(kind(bench.create_collection(C)), ErrorKind::AlreadyExists);
        assert_eq!(
            kind(bench.drop_collection("d", true)),
            ErrorKind::CollectionNotFound
        );
        for force in [false, true] {
            assert_eq!(
                kind(bench.drop_collection(C, force)),
                ErrorKind::InvalidArgument
            );
        }
        bench
            .write(&[WriteOp::create("c", 1, b"1"), WriteOp::create("c", 7, b"7")])
            .unwrap();
        assert_eq!(kind(bench.drop_collection("c", false)), ErrorKind::NotEmpty);
        assert_eq!(bench.db().count("c").unwrap(), 2);
        bench.drop_collection("c", true).unwrap();

        assert_eq!(kind(bench.db().read("c", 1)), ErrorKind::CollectionNotFound);
        assert_eq!(
            kind(bench.db().exists("c", 1)),
            ErrorKind::CollectionNotFound
        );
        assert_eq!(kind(bench.db().count("c")), ErrorKind::CollectionNotFound);
        assert_eq!(
            kind(bench.db().scan(&in_collection("c"))),
            ErrorKind::CollectionNotFound
        );
        let refused = bench.write(&[WriteOp::upsert(C, 1, b"1"), WriteOp::upsert("c", 1, b"1")]);
        let refused = refused.unwrap_err();
        assert_eq!(
            (refused.kind(), refused.op_index()),
            (ErrorKind::CollectionNotFound, Some(1))
        );
        assert_eq!(
            kind(bench.drop_collection("c", true)),
            ErrorKind::CollectionNotFound
        );

        // The same name is another collection.
        let second = bench.create_collection("c").unwrap();
        assert!(second.ids[0] > first.ids[0]);
        assert_eq!(bench.db().count("c").unwrap(), 0);
        assert_eq!(kind(bench.db().read("c", 1)), ErrorKind::NotFound);
        assert!(
            scan_all(bench.db(), &in_collection("c"))
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            *bench.write(&[WriteOp::insert("c", b"1")]).unwrap().ids,
            [1]
        );
        bench.write(&[WriteOp::delete("c", 1)]).unwrap();
        bench.drop_collection("c", false).unwrap();
        let third = bench.create_collection("c").unwrap();
        assert!(third.ids[0] > second.ids[0]);
        let listed: Vec<_> = bench.db().collections().unwrap();
        assert_eq!(
            listed
                .iter()
                .map(|c| (&*c.name, u64::from(c.id)))
                .collect::<Vec<_>>(),
            [(C, 0), ("c", third.ids[0])]
        );
    });
}

#[test]
fn a_forced_drop_takes_what_is_stored() {
    in_every_mode(|bench| {
        for round in 0..6_u64 {
            bench.create_collection("c").unwrap();
            for id in 0..5 {
                bench
                    .write(&[WriteOp::create("c", id * 100, round.to_string().as_bytes())])
                    .unwrap();
            }
            assert_eq!(bench.db().count("c").unwrap(), 5);
            let found = scan_all(bench.db(), &in_collection("c")).unwrap();
            assert!(
                found
                    .iter()
                    .all(|(_, _, body)| *body == round.to_string().into_bytes())
            );
            assert_eq!(found.len(), 5);
            bench.drop_collection("c", true).unwrap();
        }
    });
}

#[test]
fn names_are_checked() {
    in_every_mode(|bench| {
        for bad in [
            "",
            ".",
            "..",
            "a.b",
            "a/b",
            "a\\b",
            "a\0",
            "a\n",
            &"x".repeat(65),
        ] {
            assert_eq!(
                kind(bench.create_collection(bad)),
                ErrorKind::InvalidName,
                "{bad:?}"
            );
        }
        for good in ["a", "ü", "with space", &"x".repeat(64)] {
            bench.create_collection(good).unwrap();
            bench.write(&[WriteOp::create(good, 1, b"1")]).unwrap();
        }
        // Compared as bytes: another spelling of the same letter is another name.
        bench.create_collection("u\u{308}").unwrap();
        assert_eq!(bench.db().collections().unwrap().len(), 6);
    });
}

#[test]
fn documents_come_back_byte_for_byte() {
    let large = format!("[\"{}\"]", "x".repeat(200_000));
    let documents: Vec<&[u8]> = vec![
        b"0",
        b"-0",
        b"1.10",
        b"9007199254740993",
        b"1e300",
        b" { \"b\" : 1 ,\n\t\"a\":[ ] } ",
        b"{\"a\":1,\"a\":2}",
        b"\"\\u00e9\\/\\n\"",
        "\"\u{1F600}\"".as_bytes(),
        b"\"\\ud83d\\ude00\"",
        b"null",
        b"true",
        b"false",
        b"[]",
        b"{}",
        b"\"\"",
        large.as_bytes(),
    ];
    in_every_mode(|bench| {
        for (id, document) in documents.iter().enumerate() {
            bench
                .write(&[WriteOp::create(C, id as u64, document)])
                .unwrap();
        }
        for (id, document) in documents.iter().enumerate() {
            assert_eq!(&*bench.db().read(C, id as u64).unwrap().body, *document);
        }
        let scanned = scan_all(bench.db(), &in_collection(C)).unwrap();
        assert!(
            scanned
                .iter()
                .map(|(_, _, body)| &**body)
                .eq(documents.iter().copied())
        );
    });
}

#[test]
fn what_is_not_strict_json_is_refused() {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    in_every_mode(|bench| {
        let (good, bad) = (
            deep(limits::JSON_DEPTH_MAX),
            deep(limits::JSON_DEPTH_MAX + 1),
        );
        bench
            .write(&[WriteOp::create(C, 1, good.as_bytes())])
            .unwrap();
        for bad in [
            &b""[..],
            b" ",
            b"{",
            b"nul",
            b"01",
            b"1 2",
            b"[1,]",
            b"{\"a\":1,}",
            b"'a'",
            b"NaN",
            b"1e400",
            b"\"\\ud800\"",
            b"\"\xff\"",
            b"\"\x01\"",
            b"\xef\xbb\xbf{}",
            bad.as_bytes(),
        ] {
            for kind in [
                WriteKind::Create,
                WriteKind::Update,
                WriteKind::Upsert,
                WriteKind::Insert,
            ] {
                let batch = [WriteOp::upsert(C, 2, b"1"), WriteOp::new(kind, C, 1, bad)];
                let refused = bench.db().submit(&batch).wait().unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::InvalidJson, "{bad:?}");
                assert_eq!(refused.op_index(), Some(1));
            }
        }
        // A delete has no document.
        bench
            .write(&[WriteOp::new(WriteKind::Delete, C, 1, b"{")])
            .unwrap();
        assert_eq!(bench.db().count(C).unwrap(), 0);
    });
}

/// A string of exactly so many bytes.
fn of_bytes(bytes: usize) -> Vec<u8> {
    let mut document = vec![b'x'; bytes];
    document[0] = b'"';
    document[bytes - 1] = b'"';
    document
}

#[test]
fn limits_are_exact() {
    let vfs = common::disk();
    let db = common::create(&vfs).unwrap();
    let largest = of_bytes(limits::DOCUMENT_BYTES_MAX);
    db.submit(&[WriteOp::create(C, 1, &largest)])
        .wait()
        .unwrap();
    let refused = db
        .submit(&[WriteOp::create(
            C,
            2,
            &of_bytes(limits::DOCUMENT_BYTES_MAX + 1),
        )])
        .wait()
        .unwrap_err();
    assert_eq!(
        (refused.kind(), refused.op_index()),
        (ErrorKind::TooLarge, Some(0))
    );
    let two = [
        WriteOp::upsert(C, 2, &largest),
        WriteOp::upsert(C, 3, &largest),
    ];
    db.submit(&two).wait().unwrap();
    let three = [two[0], two[1], WriteOp::upsert(C, 4, b"1")];
    let refused = db.submit(&three).wait().unwrap_err();
    assert_eq!(
        (refused.kind(), refused.op_index()),
        (ErrorKind::TooLarge, None)
    );

    let ops: Vec<_> = (0..=limits::COMMIT_OPS_MAX as u64)
        .map(|id| WriteOp::upsert(C, 10 + id, b"1"))
        .collect();
    assert_eq!(kind(db.submit(&ops).wait()), ErrorKind::TooLarge);
    let written = db.submit(&ops[1..]).wait().unwrap();
    assert_eq!(written.ids.len(), limits::COMMIT_OPS_MAX);
    assert_eq!(kind(db.submit(&[]).wait()), ErrorKind::InvalidArgument);

    db.close().unwrap();
    let db = common::open(&vfs).unwrap();
    assert_eq!(db.count(C).unwrap(), limits::COMMIT_OPS_MAX as u64 + 3);
    assert!(*db.read(C, 3).unwrap().body == *largest);
    assert_eq!(kind(db.read(C, 4)), ErrorKind::NotFound);
}

#[test]
fn memory_that_is_used_up_is_refused_or_freed() {
    let vfs = common::disk();
    let mut options = common::options();
    options.memory_bytes_max = 64 << 10;
    options.bulk_bytes_min = usize::MAX;
    let db = common::create_with(&vfs, options).unwrap();
    let refused = db
        .submit(&[WriteOp::create(C, 1, &of_bytes(65 << 10))])
        .wait();
    assert_eq!(kind(refused), ErrorKind::MemoryLimit);
    assert_eq!(db.count(C).unwrap(), 0);
    // A writer takes the checkpoint that it needs.
    for id in 0..40 {
        db.submit(&[WriteOp::create(C, id, &of_bytes(10_000))])
            .wait()
            .unwrap();
    }
    assert_eq!(db.count(C).unwrap(), 40);
    assert!(db.stats().checkpoints >= 4);
    assert!(db.stats().delta_bytes <= 64 << 10);

    // What only cursors keep gives way to writers.
    for round in 0..40 {
        let mut scan = db
            .scan(&docdb_engine::ScanRequest {
                limit: Some(1),
                ..in_collection(C)
            })
            .unwrap();
        scan.next_chunk(1, 1).unwrap();
        assert!(scan.cursor().is_some());
        drop(scan);
        db.submit(&[WriteOp::update(C, round, &of_bytes(10_000))])
            .wait()
            .unwrap();
    }
    // Dropped scans: an open one is never cut off, so then there is nothing left to free.
    let open = db.scan(&in_collection(C)).unwrap();
    let outcome = (0..40).find_map(|id| {
        db.submit(&[WriteOp::update(C, id, &of_bytes(10_000))])
            .wait()
            .err()
    });
    assert_eq!(outcome.unwrap().kind(), ErrorKind::MemoryLimit);
    drop(open);
    db.submit(&[WriteOp::update(C, 0, &of_bytes(10_000))])
        .wait()
        .unwrap();
}

#[test]
fn everything_is_refused_after_a_close() {
    let vfs = common::disk();
    let db = common::create(&vfs).unwrap();
    db.submit(&[WriteOp::create(C, 1, b"1")]).wait().unwrap();
    let mut scan = db.scan(&in_collection(C)).unwrap();
    let other = db.clone();
    let pending = db.submit(&[WriteOp::create(C, 2, b"1")]);
    assert_eq!(kind(common::open(&vfs)), ErrorKind::InUse);
    db.close().unwrap();
    db.close().unwrap();
    pending.wait().unwrap();
    assert_eq!(kind(other.read(C, 1)), ErrorKind::Closed);
    assert_eq!(kind(other.exists(C, 1)), ErrorKind::Closed);
    assert_eq!(kind(other.count(C)), ErrorKind::Closed);
    assert_eq!(kind(other.collections()), ErrorKind::Closed);
    assert_eq!(kind(other.scan(&in_collection(C))), ErrorKind::Closed);
    assert_eq!(kind(scan.next_chunk(1, 1)), ErrorKind::Closed);
    assert_eq!(
        kind(other.submit(&[WriteOp::create(C, 3, b"1")]).wait()),
        ErrorKind::Closed
    );
    assert_eq!(kind(other.create_collection("c").wait()), ErrorKind::Closed);
    assert_eq!(
        kind(other.drop_collection("c", true).wait()),
        ErrorKind::Closed
    );
    assert_eq!(kind(other.checkpoint()), ErrorKind::Closed);
    assert_eq!(kind(other.maintenance_step()), ErrorKind::Closed);
    assert_eq!(other.maintenance_due(), None);
    let reopened = common::open(&vfs).unwrap();
    assert_eq!(reopened.count(C).unwrap(), 2);
}

#[test]
fn a_database_in_a_directory_that_is_not_there_is_refused_by_its_name() {
    let temp = tempfile::tempdir().unwrap();
    let error = docdb_engine::Db::open(temp.path().join("missing/db")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(
        error.message().contains("missing does not exist"),
        "{error}"
    );
}

#[test]
fn a_replay_that_fills_the_budget_is_followed_by_a_checkpoint() {
    let vfs = common::disk();
    let db = common::create(&vfs).unwrap();
    for id in 0..40 {
        db.submit(&[WriteOp::create(C, id, &of_bytes(2_000))])
            .wait()
            .unwrap();
    }
    drop(db);
    let mut options = common::options();
    options.memory_bytes_max = 64 << 10;
    let db = common::open_with(&vfs, options).unwrap();
    assert!(db.stats().delta_bytes > 64 << 10);
    assert_eq!(db.maintenance_due(), Some(std::time::Duration::ZERO));
    assert!(db.maintenance_step().unwrap());
    assert!(db.stats().delta_bytes < 64 << 10);
    assert_eq!(db.count(C).unwrap(), 40);
}
