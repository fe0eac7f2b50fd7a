//! Patches and merges as writes, and deletions of ranges.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use common::hooked::Hooked;
use common::modes::in_every_mode;
use common::{in_collection, kind, scan_all};
use docdb_engine::{
    Db, DbOptions, Durability, ErrorKind, ManualDriver, Precondition, TxnOptions, WriteOp, limits,
};

const C: &str = "_default";

#[test]
fn patch_and_merge() {
    in_every_mode(|bench| {
        let set = br#"[{"op":"set","path":"/a","value":2}]"#;
        let merge = br#"{"b":null,"c":{"d":1}}"#;
        for write in [WriteOp::patch(C, 1, set), WriteOp::merge(C, 1, merge)] {
            assert_eq!(kind(bench.write(&[write])), ErrorKind::NotFound);
        }
        let first = bench.write(&[WriteOp::create(
            C,
            1,
            b"{ \"a\":1, \"b\":9007199254740993 }",
        )]);
        let first = first.unwrap().version;
        let second = bench.write(&[WriteOp::patch(C, 1, set)]).unwrap();
        assert_eq!((&*second.ids, second.version > first), (&[1][..], true));
        assert_eq!(bench.db().read(C, 1).unwrap().version, second.version);
        assert_eq!(bench.body(C, 1), "{ \"a\":2, \"b\":9007199254740993 }");
        bench.write(&[WriteOp::merge(C, 1, merge)]).unwrap();
        assert_eq!(bench.body(C, 1), "{ \"a\":2,\"c\":{\"d\":1} }");
        assert_eq!(bench.db().count(C).unwrap(), 1);
        bench.write(&[WriteOp::merge(C, 1, b"[1]")]).unwrap();
        assert_eq!(bench.body(C, 1), "[1]");
        bench.write(&[WriteOp::delete(C, 1)]).unwrap();
        assert_eq!(
            kind(bench.write(&[WriteOp::merge(C, 1, b"1")])),
            ErrorKind::NotFound
        );
        let missing = bench.write(&[WriteOp::merge("missing", 1, b"1")]);
        assert_eq!(kind(missing), ErrorKind::CollectionNotFound);
    });
}

#[test]
fn what_a_document_refuses_changes_nothing() {
    in_every_mode(|bench| {
        bench
            .write(&[WriteOp::create(C, 1, b"{\"a\":1,\"d\":1,\"d\":2}")])
            .unwrap();
        bench.write(&[WriteOp::create(C, 2, b"[]")]).unwrap();
        for (id, patch, wanted) in [
            (1, &b"[]"[..], ErrorKind::InvalidPatch),
            (1, b"[", ErrorKind::InvalidJson),
            (
                1,
                br#"[{"op":"move","path":"/a"}]"#,
                ErrorKind::InvalidPatch,
            ),
            (
                1,
                br#"[{"op":"delete","path":"/d"}]"#,
                ErrorKind::InvalidPatch,
            ),
            (
                1,
                br#"[{"op":"delete","path":"/a"},{"op":"delete","path":"/a"}]"#,
                ErrorKind::InvalidPath,
            ),
            (
                1,
                br#"[{"op":"set","path":"","value":1}]"#,
                ErrorKind::InvalidPath,
            ),
            (
                2,
                br#"[{"op":"set","path":"/a","value":1}]"#,
                ErrorKind::NotAnObject,
            ),
        ] {
            let batch = [WriteOp::upsert(C, 3, b"1"), WriteOp::patch(C, id, patch)];
            let refused = bench.write(&batch).unwrap_err();
            assert_eq!(
                (refused.kind(), refused.op_index()),
                (wanted, Some(1)),
                "{refused}"
            );
            assert_eq!(bench.db().count(C).unwrap(), 2);
        }
        let batch = [
            WriteOp::upsert(C, 3, b"1"),
            WriteOp::merge(C, 1, b"{\"d\":3}"),
        ];
        assert_eq!(kind(bench.write(&batch)), ErrorKind::InvalidPatch);
        let refused = bench.write(&[WriteOp::patch(
            C,
            1,
            br#"[{"op":"delete","path":"/a"},{"op":"delete","path":"/b"}]"#,
        )]);
        let refused = refused.unwrap_err();
        assert_eq!((refused.op_index(), refused.patch_op()), (Some(0), Some(1)));
        let mut txn = bench.db().begin(&TxnOptions::default()).unwrap();
        let in_txn = txn.patch(
            C,
            1,
            br#"[{"op":"set","path":"/b","value":1},{"op":"set","path":"/b/c","value":1}]"#,
        );
        let in_txn = in_txn.unwrap_err();
        drop(txn);
        assert_eq!((in_txn.op_index(), in_txn.patch_op()), (None, Some(1)));
        let text = refused.to_string();
        assert!(
            text.contains("document 1") && text.contains("operation 1"),
            "{text}"
        );
        // The first operation that fails is what is told.
        let batch = [
            WriteOp::create(C, 1, b"{}"),
            WriteOp::patch(C, 1, br#"[{"op":"delete","path":"/x"}]"#),
        ];
        let refused = bench.write(&batch).unwrap_err();
        assert_eq!(
            (refused.kind(), refused.op_index()),
            (ErrorKind::AlreadyExists, Some(0))
        );
        let batch = [WriteOp::delete(C, 9), WriteOp::merge(C, 9, b"1")];
        let refused = bench.write(&batch).unwrap_err();
        assert_eq!(
            (refused.kind(), refused.op_index()),
            (ErrorKind::NotFound, Some(0))
        );
        assert_eq!(bench.db().count(C).unwrap(), 2);
    });
}

#[test]
fn preconditions_of_edits() {
    in_every_mode(|bench| {
        let merge = |precondition| WriteOp::merge(C, 1, b"{\"n\":1}").when(precondition);
        let v1 = bench
            .write(&[WriteOp::create(C, 1, b"{}")])
            .unwrap()
            .version;
        let v2 = bench
            .write(&[merge(Precondition::VersionIs(v1))])
            .unwrap()
            .version;
        for precondition in [
            Precondition::VersionIs(v1),
            Precondition::VersionIs(u64::MAX),
            Precondition::Absent,
        ] {
            let refused = bench.write(&[merge(precondition)]).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::VersionMismatch);
            assert_eq!((refused.op_index(), refused.version()), (Some(0), Some(v2)));
        }
        // The demand comes before what the patch says.
        let bad = WriteOp::patch(C, 1, br#"[{"op":"delete","path":"/x"}]"#);
        let refused = bench.write(&[bad.when(Precondition::VersionIs(v1))]);
        assert_eq!(kind(refused), ErrorKind::VersionMismatch);
        let batch = [
            merge(Precondition::None),
            merge(Precondition::VersionIs(v2)),
        ];
        let refused = bench.write(&batch).unwrap_err();
        assert_eq!(
            (refused.kind(), refused.op_index()),
            (ErrorKind::VersionMismatch, Some(1))
        );
    });
}

#[test]
fn edits_see_the_earlier_operations_of_their_batch() {
    let push = |n: u32| format!(r#"[{{"op":"insert","path":"/l/-","value":{n}}}]"#);
    let (one, two) = (push(1), push(2));
    in_every_mode(|bench| {
        let batch = [
            WriteOp::create(C, 1, b"{\"l\":[0]}"),
            WriteOp::patch(C, 1, one.as_bytes()),
            WriteOp::patch(C, 1, two.as_bytes()),
            WriteOp::merge(C, 1, b"{\"m\":1}"),
        ];
        bench.write(&batch).unwrap();
        assert_eq!(bench.body(C, 1), "{\"l\":[0,1,2],\"m\":1}");
        let batch = [
            WriteOp::patch(C, 1, one.as_bytes()),
            WriteOp::patch(C, 1, two.as_bytes()),
            WriteOp::delete(C, 1),
            WriteOp::create(C, 1, b"{\"l\":[]}"),
            WriteOp::patch(C, 1, two.as_bytes()),
        ];
        bench.write(&batch).unwrap();
        assert_eq!(bench.body(C, 1), "{\"l\":[2]}");
        let batch = [WriteOp::delete(C, 1), WriteOp::patch(C, 1, one.as_bytes())];
        let refused = bench.write(&batch).unwrap_err();
        assert_eq!(
            (refused.kind(), refused.op_index()),
            (ErrorKind::NotFound, Some(1))
        );

        // What is inserted has the next id.
        let batch = [
            WriteOp::insert(C, b"{\"l\":[7]}"),
            WriteOp::insert(C, b"{\"l\":[8]}"),
            WriteOp::patch(C, 3, one.as_bytes()),
            WriteOp::patch(C, 3, two.as_bytes()),
        ];
        assert_eq!(*bench.write(&batch).unwrap().ids, [2, 3, 3, 3]);
        assert_eq!(
            (bench.body(C, 2), bench.body(C, 3)),
            ("{\"l\":[7]}".into(), "{\"l\":[8,1,2]}".into())
        );
        let batch = [
            WriteOp::insert(C, b"{}"),
            WriteOp::patch(C, 5, one.as_bytes()),
        ];
        let refused = bench.write(&batch).unwrap_err();
        assert_eq!(
            (refused.kind(), refused.op_index()),
            (ErrorKind::NotFound, Some(1))
        );
    });
}

#[test]
fn edits_of_large_documents() {
    let large = format!("{{\"a\":\"{}\",\"n\":0}}", "x".repeat(100_000));
    in_every_mode(|bench| {
        bench
            .write(&[WriteOp::create(C, 1, large.as_bytes())])
            .unwrap();
        for n in 0..5 {
            let merge = format!("{{\"n\":{n}}}");
            bench
                .write(&[WriteOp::merge(C, 1, merge.as_bytes())])
                .unwrap();
            assert_eq!(
                bench.body(C, 1),
                large.replace("\"n\":0", &format!("\"n\":{n}"))
            );
        }
    });
    let vfs = common::disk();
    let db = common::create(&vfs).unwrap();
    let room = limits::DOCUMENT_BYTES_MAX - "{\"a\":\"\"}".len();
    let largest = format!("{{\"a\":\"{}\"}}", "x".repeat(room));
    db.submit(&[WriteOp::create(C, 1, largest.as_bytes())])
        .wait()
        .unwrap();
    let refused = db.submit(&[WriteOp::merge(C, 1, b"{\"b\":1}")]).wait();
    assert_eq!(kind(refused), ErrorKind::TooLarge);
    db.submit(&[WriteOp::merge(C, 1, b"{\"a\":null,\"b\":1}")])
        .wait()
        .unwrap();
    assert_eq!(&*db.read(C, 1).unwrap().body, b"{\"b\":1}");
}

fn in_memory_mode() -> DbOptions {
    let mut options = DbOptions::default();
    options.durability = Durability::Os;
    options
}

/// A document that no small commit holds, so that a file is synced between its reading and its commit.
fn large(member: &str) -> String {
    format!("{{\"a\":\"{}\",{member}}}", "x".repeat(5_000))
}

#[test]
fn an_edit_whose_document_is_written_meanwhile_is_made_anew() {
    let hooked = Hooked::new(&common::disk(), "data-");
    let driver = Arc::new(ManualDriver);
    let db = Db::create(hooked.vfs(), common::dir(), common::options(), driver).unwrap();
    let other = db.clone();
    for (meanwhile, wanted) in [
        (WriteOp::update(C, 1, b"{\"m\":1}"), Ok("{\"m\":1,\"n\":2}")),
        (WriteOp::update(C, 1, b"{\"n\":1}"), Ok("{\"n\":2}")),
        (WriteOp::delete(C, 1), Err(ErrorKind::NotFound)),
    ] {
        db.submit(&[WriteOp::upsert(C, 1, large("\"n\":1").as_bytes())])
            .wait()
            .unwrap();
        let other = other.clone();
        let (kind, body) = (meanwhile.kind, meanwhile.body.to_vec());
        hooked.hook(move || {
            other
                .submit(&[WriteOp::new(kind, C, 1, &body)])
                .wait()
                .unwrap();
        });
        let edited = db.submit(&[WriteOp::merge(C, 1, b"{\"n\":2}")]).wait();
        assert!(!hooked.is_hooked());
        match wanted {
            Ok(wanted) => {
                edited.unwrap();
                assert_eq!(&*db.read(C, 1).unwrap().body, wanted.as_bytes());
            }
            Err(wanted) => assert_eq!(edited.unwrap_err().kind(), wanted),
        }
    }
    // A demand that was met when the document was read is not met any more.
    let first = db
        .submit(&[WriteOp::upsert(C, 1, large("\"n\":1").as_bytes())])
        .wait();
    hooked.hook(move || {
        other
            .submit(&[WriteOp::update(C, 1, b"{}")])
            .wait()
            .unwrap();
    });
    let edit = WriteOp::merge(C, 1, b"{\"n\":2}");
    let edit = edit.when(Precondition::VersionIs(first.unwrap().version));
    assert_eq!(kind(db.submit(&[edit]).wait()), ErrorKind::VersionMismatch);
    assert_eq!(&*db.read(C, 1).unwrap().body, b"{}");
}

#[test]
fn an_edit_of_an_insert_whose_id_is_taken_meanwhile_is_made_anew() {
    let hooked = Hooked::new(&common::disk(), "data-");
    let driver = Arc::new(ManualDriver);
    let db = Db::create(hooked.vfs(), common::dir(), common::options(), driver).unwrap();
    let other = db.clone();
    hooked.hook(move || {
        other
            .submit(&[WriteOp::insert(C, b"{\"by\":\"other\"}")])
            .wait()
            .unwrap();
    });
    let inserted = large("\"n\":1");
    let batch = [
        WriteOp::insert(C, inserted.as_bytes()),
        WriteOp::insert(C, b"{\"by\":\"this\"}"),
        WriteOp::merge(C, 2, b"{\"m\":1}"),
    ];
    // Foreseen were 1 and 2; they became 2 and 3.
    assert_eq!(*db.submit(&batch).wait().unwrap().ids, [2, 3, 2]);
    assert!(!hooked.is_hooked());
    assert_eq!(&*db.read(C, 1).unwrap().body, b"{\"by\":\"other\"}");
    assert_eq!(
        *db.read(C, 2).unwrap().body,
        *large("\"n\":1,\"m\":1").as_bytes()
    );
    assert_eq!(&*db.read(C, 3).unwrap().body, b"{\"by\":\"this\"}");
}

/// Threads append to the list of one document, and count in it; updates and checkpoints go on beside.
#[test]
fn nothing_is_lost_of_a_document_that_everybody_edits() {
    const THREADS: u64 = 10;
    const ROUNDS: u64 = 150;
    let temp = tempfile::tempdir().unwrap();
    let db = Db::open_with(temp.path().join("db"), in_memory_mode()).unwrap();
    db.submit(&[
        WriteOp::create(C, 1, b"{\"l\":[]}"),
        WriteOp::create(C, 2, b"{\"l\":[]}"),
    ])
    .wait()
    .unwrap();
    let start = Barrier::new(THREADS as usize + 1);
    let running = AtomicUsize::new(THREADS as usize);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (db, start, running) = (&db, &start, &running);
            scope.spawn(move || {
                start.wait();
                for round in 0..ROUNDS {
                    let n = thread * ROUNDS + round;
                    let patch = format!(r#"[{{"op":"insert","path":"/l/-","value":{n}}}]"#);
                    let edit = |id| WriteOp::patch(C, id, patch.as_bytes());
                    // Both documents, in either order, or each by itself.
                    let tickets = match n % 3 {
                        0 => vec![db.submit(&[edit(1), edit(2)])],
                        1 => vec![db.submit(&[edit(2), edit(1)])],
                        _ => vec![db.submit(&[edit(1)]), db.submit(&[edit(2)])],
                    };
                    for ticket in tickets {
                        ticket.wait().unwrap();
                    }
                }
                running.fetch_sub(1, Ordering::Relaxed);
            });
        }
        start.wait();
        while running.load(Ordering::Relaxed) > 0 {
            db.checkpoint().unwrap();
        }
    });
    for id in [1, 2] {
        let body = db.read(C, id).unwrap().body;
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let list = value["l"].as_array().unwrap();
        let mut found: Vec<_> = list.iter().map(|n| n.as_u64().unwrap()).collect();
        for thread in 0..THREADS {
            let of_thread = found.iter().filter(|n| **n / ROUNDS == thread);
            assert!(of_thread.is_sorted(), "an edit overtook one before it");
        }
        found.sort_unstable();
        assert_eq!(found, (0..THREADS * ROUNDS).collect::<Vec<_>>());
    }
}

/// Inserts take the ids that batches have foreseen.
#[test]
fn an_edit_of_an_insert_finds_what_was_inserted() {
    let temp = tempfile::tempdir().unwrap();
    let db = Db::open_with(temp.path().join("db"), in_memory_mode()).unwrap();
    let running = AtomicUsize::new(2);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    db.submit(&[WriteOp::insert(C, b"{\"by\":\"other\"}")])
                        .wait()
                        .unwrap();
                }
                running.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let mut edited = 0;
        while running.load(Ordering::Relaxed) > 0 || edited == 0 {
            let next = db.count(C).unwrap() + 1;
            let batch = [
                WriteOp::insert(C, b"{\"by\":\"this\"}"),
                WriteOp::merge(C, next, b"{\"edited\":true}"),
            ];
            match db.submit(&batch).wait() {
                Ok(committed) => {
                    edited += 1;
                    let body = db.read(C, next).unwrap().body;
                    if *committed.ids == [next, next] {
                        assert_eq!(&*body, b"{\"by\":\"this\",\"edited\":true}");
                    } else {
                        // Somebody inserted `next` before, and that was edited.
                        assert_eq!(&*body, b"{\"by\":\"other\",\"edited\":true}");
                    }
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
            }
        }
    });
}

#[test]
fn ranges_are_deleted() {
    in_every_mode(|bench| {
        for id in [0, 1, 2, 5, 8, u64::MAX] {
            bench.write(&[WriteOp::create(C, id, b"1")]).unwrap();
        }
        let ids = |bench: &common::modes::Bench| -> Vec<u64> {
            let all = scan_all(bench.db(), &in_collection(C)).unwrap();
            all.iter().map(|(id, ..)| *id).collect()
        };
        let version = bench.db().visible_version();
        assert_eq!(
            kind(bench.db().delete_range(C, None, None, Some(0))),
            ErrorKind::InvalidArgument
        );
        assert_eq!(
            kind(bench.db().delete_range("missing", None, None, None)),
            ErrorKind::CollectionNotFound
        );
        for (from, to) in [(3, 4), (9, u64::MAX - 1), (8, 2)] {
            let nothing = bench
                .db()
                .delete_range(C, Some(from), Some(to), None)
                .unwrap();
            assert_eq!(
                (nothing.deleted, nothing.version, nothing.next),
                (0, None, None)
            );
        }
        assert_eq!(bench.db().visible_version(), version);
        let some = bench
            .db()
            .delete_range(C, Some(1), Some(8), Some(2))
            .unwrap();
        assert_eq!((some.deleted, some.next), (2, Some(5)));
        assert!(some.version > Some(version));
        bench.turn();
        assert_eq!(ids(bench), [0, 5, 8, u64::MAX]);
        let rest = bench
            .db()
            .delete_range(C, some.next, Some(8), Some(2))
            .unwrap();
        assert_eq!((rest.deleted, rest.next), (2, None));
        bench.turn();
        assert_eq!(ids(bench), [0, u64::MAX]);
        let all = bench.db().delete_range(C, None, None, None).unwrap();
        assert_eq!((all.deleted, all.next), (2, None));
        bench.turn();
        assert_eq!((ids(bench), bench.db().count(C).unwrap()), (vec![], 0));
    });
}

#[test]
fn a_range_in_which_somebody_else_deletes_is_looked_at_again() {
    let vfs = common::disk();
    let db = common::create(&vfs).unwrap();
    for id in 1..=3 {
        db.submit(&[WriteOp::create(C, id, b"1")]).wait().unwrap();
    }
    // Installed, and not visible yet.
    let pending = db.submit(&[WriteOp::delete(C, 2)]);
    let done = db.delete_range(C, None, None, None).unwrap();
    assert_eq!((done.deleted, db.count(C).unwrap()), (2, 0));
    pending.wait().unwrap();
}

#[test]
fn a_refused_edit_tells_nothing_that_a_power_loss_could_take_back() {
    let vfs = common::disk();
    let db = common::create(&vfs).unwrap();
    db.submit(&[WriteOp::create(C, 1, b"{}")]).wait().unwrap();
    let pending = db.submit(&[WriteOp::update(C, 1, b"[]")]);
    let patch = br#"[{"op":"set","path":"/a","value":1}]"#;
    let refused = db.submit(&[WriteOp::patch(C, 1, patch)]);
    assert!(!refused.is_settled());
    pending.wait().unwrap();
    assert!(refused.is_settled());
    assert_eq!(kind(refused.wait()), ErrorKind::NotAnObject);
}

#[test]
fn a_deletion_is_one_commit_of_bounded_size() {
    let vfs = common::disk();
    let db = common::create(&vfs).unwrap();
    let most = limits::COMMIT_OPS_MAX as u64;
    for start in [0, most] {
        let ops: Vec<_> = (start..start + most)
            .map(|id| WriteOp::upsert(C, id, b"1"))
            .collect();
        db.submit(&ops).wait().unwrap();
    }
    let first = db.delete_range(C, Some(10), None, Some(u64::MAX)).unwrap();
    assert_eq!((first.deleted, first.next), (most, Some(most + 10)));
    assert_eq!(db.count(C).unwrap(), most);
    let second = db.delete_range(C, first.next, None, None).unwrap();
    assert_eq!((second.deleted, second.next), (most - 10, None));
    assert_eq!(db.count(C).unwrap(), 10);
}
