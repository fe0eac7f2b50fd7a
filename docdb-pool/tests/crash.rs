//! Creating, dropping and opening databases on a disk that loses power at every operation.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use common::{get, names, put};
use docdb_pool::engine::ErrorKind;
use docdb_pool::engine::vfs::Vfs;
use docdb_pool::engine::vfs::sim::{CrashPolicy, Fault, FaultKind, SectorSize, SimVfs};
use docdb_pool::{Pool, PoolOptions};

const DIR: &str = "/data";

/// What must be true of one name after a crash.
#[derive(Debug, Clone, PartialEq)]
enum Expect {
    /// The answered state: the database with that document, or none.
    Exactly(Option<String>),
    /// A change was under way: either state. A database under creation may exist without its
    /// document.
    Either(Option<String>, Option<String>),
}

type Model = BTreeMap<&'static str, Expect>;

/// The workload. `model` says at any time what was answered.
fn workload(vfs: &SimVfs, model: &mut Model) -> Result<(), docdb_pool::engine::Error> {
    let open = || Pool::open(Arc::new(vfs.clone()), DIR, PoolOptions::manual());
    let pool = open()?;
    create(&pool, model, "one", "a")?;
    create(&pool, model, "two", "b")?;
    drop_db(&pool, model, "one")?;
    create(&pool, model, "one", "c")?;
    pool.close();
    drop(pool);
    let pool = open()?;
    assert_eq!(get(&pool.database("two")?, 1)?, r#"{"is":"b"}"#);
    drop_db(&pool, model, "two")?;
    create(&pool, model, "three", "d")?;
    assert_eq!(get(&pool.database("one")?, 1)?, r#"{"is":"c"}"#);
    Ok(())
}

fn create(
    pool: &Pool,
    model: &mut Model,
    name: &'static str,
    is: &str,
) -> Result<(), docdb_pool::engine::Error> {
    let body = format!(r#"{{"is":"{is}"}}"#);
    model.insert(name, Expect::Either(None, Some(String::new())));
    pool.create_database(name, None)?;
    model.insert(
        name,
        Expect::Either(Some(String::new()), Some(body.clone())),
    );
    put(&pool.database(name)?, 1, &body)?;
    model.insert(name, Expect::Exactly(Some(body)));
    Ok(())
}

fn drop_db(
    pool: &Pool,
    model: &mut Model,
    name: &'static str,
) -> Result<(), docdb_pool::engine::Error> {
    let Some(Expect::Exactly(before)) = model.get(name).cloned() else {
        panic!("{name}")
    };
    model.insert(name, Expect::Either(before, None));
    pool.drop_database(name)?;
    model.insert(name, Expect::Exactly(None));
    Ok(())
}

/// Opens what a crash left and compares it with what was answered. Empty text: the database exists
/// without a document.
fn check(disk: &SimVfs, model: &Model, context: &str) {
    let pool = Pool::open(Arc::new(disk.clone()), DIR, PoolOptions::manual())
        .unwrap_or_else(|error| panic!("{context}: the pool does not open: {error}"));
    for (name, expect) in model {
        let found = match pool.database(name) {
            Ok(db) => match get(&db, 1) {
                Ok(body) => Some(body),
                Err(error) if error.kind() == ErrorKind::NotFound => Some(String::new()),
                Err(error) => panic!("{context}: {name}: {error}"),
            },
            Err(error) if error.kind() == ErrorKind::DatabaseNotFound => None,
            Err(error) => panic!("{context}: {name}: {error}"),
        };
        let fits = match expect {
            Expect::Exactly(state) => found == *state,
            Expect::Either(a, b) => found == *a || found == *b,
        };
        assert!(fits, "{context}: {name} is {found:?}, expected {expect:?}");
    }
    for name in names(&pool) {
        assert!(
            model.contains_key(name.as_str()),
            "{context}: {name} was never created"
        );
    }
    // Ids are never used twice: a database made now has an id above all that ever were.
    let highest = pool.list().iter().map(|info| info.id).max().unwrap_or(0);
    let id = pool.create_database("fresh", None).unwrap();
    assert!(id > highest, "{context}");
    pool.close();
    // Only databases of the catalog are left on the disk.
    let directories = disk.list(Path::new(DIR)).unwrap();
    let directories = directories
        .iter()
        .filter(|name| name.starts_with("db-"))
        .count();
    assert_eq!(directories, names(&pool).len(), "{context}");
}

#[test]
fn power_loss_at_every_operation() {
    let whole = SimVfs::new(1);
    let mut model = Model::new();
    workload(&whole, &mut model).unwrap();
    check(
        &whole.fork_crash(&CrashPolicy::KeepNone),
        &model,
        "at the end",
    );
    let operations = whole.op_count();
    assert!(operations > 50, "{operations}");

    for at_op in 0..operations {
        let vfs = SimVfs::new(1);
        vfs.set_fault(Fault {
            at_op,
            kind: FaultKind::PowerOff,
            sticky: true,
        });
        let mut model = Model::new();
        assert!(workload(&vfs, &mut model).is_err() || vfs.power_is_off());
        let policies = [
            CrashPolicy::KeepNone,
            CrashPolicy::KeepAll,
            CrashPolicy::Random {
                seed: at_op,
                sector: SectorSize::Bytes512,
            },
            CrashPolicy::Random {
                seed: at_op + 1_000_000,
                sector: SectorSize::Bytes4096,
            },
        ];
        for policy in policies {
            let context = format!("operation {at_op}, {policy:?}");
            check(&vfs.fork_crash(&policy), &model, &context);
        }
    }
}

/// A second crash while the first one is being recovered from changes nothing.
#[test]
fn power_loss_during_recovery() {
    let whole = SimVfs::new(2);
    workload(&whole, &mut Model::new()).unwrap();
    let operations = whole.op_count();
    for at_op in (0..operations).step_by(7) {
        let vfs = SimVfs::new(2);
        vfs.set_fault(Fault {
            at_op,
            kind: FaultKind::PowerOff,
            sticky: true,
        });
        let mut model = Model::new();
        let _ = workload(&vfs, &mut model);
        let policy = CrashPolicy::Random {
            seed: at_op,
            sector: SectorSize::Bytes512,
        };
        let crashed = vfs.fork_crash(&policy);
        for recovery_op in 0..12 {
            let disk = crashed.fork_crash(&CrashPolicy::Kill);
            let at = disk.op_count() + recovery_op;
            disk.set_fault(Fault {
                at_op: at,
                kind: FaultKind::PowerOff,
                sticky: true,
            });
            let _ = Pool::open(Arc::new(disk.clone()), DIR, PoolOptions::manual());
            let context = format!("operation {at_op}, recovery operation {recovery_op}");
            check(&disk.fork_crash(&policy), &model, &context);
        }
    }
}

/// Any single failure of the disk, with the process going on, loses nothing that was answered.
#[test]
fn failure_of_every_operation() {
    let whole = SimVfs::new(3);
    workload(&whole, &mut Model::new()).unwrap();
    for at_op in 0..whole.op_count() {
        for kind in [
            FaultKind::Os(5),
            FaultKind::Error(std::io::ErrorKind::StorageFull),
        ] {
            let vfs = SimVfs::new(3);
            vfs.set_fault(Fault {
                at_op,
                kind,
                sticky: false,
            });
            let mut model = Model::new();
            let _ = workload(&vfs, &mut model);
            let context = format!("operation {at_op} failed with {kind:?}");
            check(&vfs.fork_crash(&CrashPolicy::KeepNone), &model, &context);
        }
    }
}
