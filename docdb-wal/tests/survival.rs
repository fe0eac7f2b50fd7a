//! What each durability mode promises to survive, held at every operation of a workload: for the end
//! of the process and for power loss, the recovered log is a prefix of what was appended, and keeps
//! at least what the mode promises.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use docdb_wal::vfs::Vfs;
use docdb_wal::vfs::sim::{CrashPolicy, Fault, FaultKind, SectorSize, SimVfs};
use docdb_wal::{
    Body, Durability, FlushDriver, ManualDriver, Record, Recovery, RecoveryReport, ThreadDriver,
    Wal, WalOptions,
};

const INTERVAL: Duration = Duration::from_millis(10);

const MODES: [Durability; 5] = [
    Durability::Full,
    Durability::Always,
    Durability::Interval(INTERVAL),
    Durability::Os,
    Durability::Memory(INTERVAL),
];

fn dir() -> PathBuf {
    PathBuf::from("/log")
}

fn options(mode: Durability) -> WalOptions {
    let mut options = WalOptions::default();
    options.durability = mode;
    options.segment_bytes_min = 16 << 10;
    options.segment_bytes_max = 32 << 10;
    options
}

/// What must be found after which end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Promise {
    killed: u64,
    power_lost: u64,
}

fn payload(lsn: u64) -> Vec<u8> {
    let length = [5, 300, 900, 40][lsn as usize % 4];
    (0..length).map(|i| (lsn + i) as u8).collect()
}

/// Appends until an operation fails; `promise` is what has been promised by then.
fn work(vfs: &SimVfs, mode: Durability, promise: &mut Promise) -> docdb_wal::Result<()> {
    let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
    let wal = Wal::create(shared, &dir(), options(mode), Arc::new(ManualDriver))?;
    for round in 0..40_u64 {
        let lsn = wal.next_lsn().0;
        let payload = payload(lsn);
        let record = Record {
            stamp: lsn,
            kind: 1,
            head: &[],
            body: Body::Slice(&payload),
            payload_crc: crc32(&payload),
        };
        let strict = round % 13 == 7;
        let ticket = if strict {
            wal.append_record_as(&record, Durability::Full)?
        } else {
            wal.append_record(&record)?
        };
        ticket.wait()?;
        let synced = strict || matches!(mode, Durability::Full | Durability::Always);
        if !matches!(mode, Durability::Memory(_)) || synced {
            promise.killed = lsn;
        }
        if synced {
            promise.power_lost = lsn;
        }
        match round % 9 {
            3 | 5 => {
                // The timed modes do what is due.
                vfs.advance(INTERVAL);
                wal.timed_step()?;
                if matches!(mode, Durability::Interval(_)) {
                    promise.power_lost = lsn;
                }
                promise.killed = lsn;
            }
            6 => {
                // The idle marker.
                vfs.advance(Duration::from_millis(60));
                while wal.timed_step()?.is_some() {
                    vfs.advance(Duration::from_millis(60));
                }
                promise.killed = lsn;
            }
            8 => {
                wal.sync()?;
                *promise = Promise {
                    killed: lsn,
                    power_lost: lsn,
                };
            }
            _ => {}
        }
    }
    Ok(())
}

fn crc32(bytes: &[u8]) -> u32 {
    // The test has no dependency for this: the record that `append` would make carries the same.
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

/// Opens the log on `vfs` and gives its last record, having checked that it is a prefix.
fn open(vfs: &SimVfs, mode: Durability, context: &str) -> Option<(Wal, RecoveryReport, Vec<u64>)> {
    let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
    let exists = vfs.exists(Path::new(&dir())).unwrap()
        && vfs
            .list(&dir())
            .unwrap()
            .iter()
            .any(|name| name.ends_with(".wal"));
    if !exists {
        return None;
    }
    let mut found = Vec::new();
    let verdict = Recovery::judge(shared, &dir(), options(mode), &mut |record| {
        // The numbers jump where an earlier end was not clean; within a run they are dense.
        if record.payload != payload(record.lsn.0) {
            return Err(format!("record {} is not what was appended", record.lsn));
        }
        found.push(record.lsn.0);
        Ok(())
    });
    let verdict = verdict.unwrap_or_else(|error| panic!("{context}: {error}"));
    let (wal, report) = verdict.act(Arc::new(ManualDriver)).unwrap();
    Some((wal, report, found))
}

fn check(disk: &SimVfs, mode: Durability, promised: u64, context: &str) {
    let Some((wal, _, found)) = open(disk, mode, context) else {
        assert_eq!(promised, 0, "{context}: the log is gone");
        return;
    };
    let prefix: Vec<u64> = (1..=found.len() as u64).collect();
    assert_eq!(found, prefix, "{context}: not a prefix");
    assert!(
        found.len() as u64 >= promised,
        "{context}: {} of {promised}",
        found.len()
    );
    // What was shown stays, and the log goes on: also after losing power at once.
    let lsn = wal.next_lsn().0;
    let last = wal.append(1, &payload(lsn)).unwrap();
    wal.sync().unwrap();
    assert!(last.is_durable());
    drop((last, wal));
    let again = disk.fork_crash(&CrashPolicy::KeepNone);
    let (_, _, after) = open(&again, mode, context).unwrap();
    assert_eq!(
        after[..found.len()],
        found[..],
        "{context}: what was shown is gone"
    );
    assert_eq!(
        after[found.len()..],
        [lsn],
        "{context}: the write after recovery is gone"
    );
}

fn power_losses(seed: u64) -> Vec<CrashPolicy> {
    let mut policies = vec![CrashPolicy::KeepNone, CrashPolicy::KeepAll];
    for i in 0..4 {
        let sector = if i % 2 == 0 {
            SectorSize::Bytes512
        } else {
            SectorSize::Bytes4096
        };
        policies.push(CrashPolicy::Random {
            seed: seed * 31 + i,
            sector,
        });
    }
    policies
}

#[test]
fn every_mode_keeps_its_promise_at_every_operation() {
    for mode in MODES {
        let mut states = HashSet::new();
        for at_op in 0.. {
            let vfs = SimVfs::new(at_op);
            vfs.create_dir(&dir()).unwrap();
            vfs.sync_dir(Path::new("/")).unwrap();
            let start = vfs.op_count();
            vfs.set_fault(Fault {
                at_op: start + at_op,
                kind: FaultKind::PowerOff,
                sticky: true,
            });
            let mut promise = Promise::default();
            let ended = work(&vfs, mode, &mut promise).is_ok();
            let context = |policy: &CrashPolicy| format!("{mode}, operation {at_op}, {policy:?}");
            let disk = vfs.fork_crash(&CrashPolicy::Kill);
            let seen = disk.fork_crash(&CrashPolicy::KeepAll).image_hash();
            // What is in flight on this disk is not in the hash of the medium.
            if states.insert((disk.image_hash(), Some(seen), promise)) {
                check(&disk, mode, promise.killed, &context(&CrashPolicy::Kill));
            }
            for policy in power_losses(at_op) {
                let disk = vfs.fork_crash(&policy);
                if states.insert((disk.image_hash(), None, promise)) {
                    check(&disk, mode, promise.power_lost, &context(&policy));
                }
            }
            if ended {
                assert!(
                    at_op > 30,
                    "{mode}: the workload did {at_op} operations only"
                );
                break;
            }
        }
        println!("{mode}: {} distinct states", states.len());
        assert!(states.len() > 100, "{mode}: {} states", states.len());
    }
}

#[test]
fn a_timed_mode_without_its_timer_keeps_less() {
    // The promises above are not kept by accident: without the timed steps a power loss takes more.
    let vfs = SimVfs::new(1);
    vfs.create_dir(&dir()).unwrap();
    vfs.sync_dir(Path::new("/")).unwrap();
    let mode = Durability::Interval(INTERVAL);
    let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
    let wal = Wal::create(shared, &dir(), options(mode), Arc::new(ManualDriver)).unwrap();
    for lsn in 1..=5 {
        wal.append(1, &payload(lsn)).unwrap().wait().unwrap();
    }
    assert_eq!((wal.acknowledged_lsn().0, wal.durable_lsn().0), (5, 0));
    let lost = vfs.fork_crash(&CrashPolicy::KeepNone);
    assert_eq!(open(&lost, mode, "").unwrap().2, Vec::<u64>::new());
    let killed = vfs.fork_crash(&CrashPolicy::Kill);
    assert_eq!(open(&killed, mode, "").unwrap().2, [1, 2, 3, 4, 5]);
    vfs.advance(INTERVAL);
    wal.timed_step().unwrap();
    assert_eq!(wal.durable_lsn().0, 5);
    let kept = vfs.fork_crash(&CrashPolicy::KeepNone);
    assert_eq!(open(&kept, mode, "").unwrap().2, [1, 2, 3, 4, 5]);
}

#[test]
fn memory_is_written_when_its_time_comes() {
    let vfs = SimVfs::new(1);
    vfs.create_dir(&dir()).unwrap();
    let mode = Durability::Memory(INTERVAL);
    let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
    let wal = Wal::create(shared, &dir(), options(mode), Arc::new(ManualDriver)).unwrap();
    let before = vfs.op_count();
    for lsn in 1..=5 {
        wal.append(1, &payload(lsn)).unwrap().wait().unwrap();
    }
    assert_eq!(vfs.op_count(), before, "an append in memory does no I/O");
    let due = wal.timed_step().unwrap().unwrap();
    assert_eq!(due, vfs.now() + INTERVAL);
    vfs.advance(INTERVAL);
    wal.timed_step().unwrap();
    let killed = vfs.fork_crash(&CrashPolicy::Kill);
    assert_eq!(open(&killed, mode, "").unwrap().2, [1, 2, 3, 4, 5]);
}

/// A driver that only counts how often it was asked.
#[derive(Debug, Default)]
struct Asked(AtomicUsize);

impl FlushDriver for Asked {
    fn request(&self, _wal: &Wal) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_driver_that_sleeps_until_the_idle_marker_is_asked_for_what_is_due_before() {
    for mode in [Durability::Interval(INTERVAL), Durability::Memory(INTERVAL)] {
        let vfs = SimVfs::new(1);
        vfs.create_dir(&dir()).unwrap();
        let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
        let asked = Arc::new(Asked::default());
        let mut options = options(mode);
        // Large enough that no segment is to be prepared.
        options.segment_bytes_min = 64 << 10;
        let wal = Wal::create(shared, &dir(), options, asked.clone()).unwrap();
        for lsn in 1..=3 {
            let before = asked.0.load(Ordering::SeqCst);
            wal.append(1, &payload(lsn)).unwrap().wait().unwrap();
            assert!(asked.0.load(Ordering::SeqCst) > before, "{mode}: {lsn}");
            assert!(!wal.flush_step().unwrap());
            assert_eq!(wal.timed_step().unwrap(), Some(vfs.now() + INTERVAL));
            vfs.advance(INTERVAL);
            // The next thing to do is the marker, which is further away than an interval.
            let marker = wal.timed_step().unwrap().unwrap();
            assert!(marker > vfs.now() + INTERVAL, "{mode}");
        }
    }
}

#[test]
fn a_dropped_ticket_that_asked_for_more_keeps_what_the_mode_promises() {
    let vfs = SimVfs::new(1);
    vfs.create_dir(&dir()).unwrap();
    let mode = Durability::Memory(INTERVAL);
    let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
    let wal = Wal::create(shared, &dir(), options(mode), Arc::new(ManualDriver)).unwrap();
    let payload = payload(1);
    let record = Record {
        stamp: 1,
        kind: 1,
        head: &[],
        body: Body::Slice(&payload),
        payload_crc: crc32(&payload),
    };
    drop(wal.append_record_as(&record, Durability::Os).unwrap());
    vfs.advance(INTERVAL);
    wal.timed_step().unwrap();
    let killed = vfs.fork_crash(&CrashPolicy::Kill);
    assert_eq!(open(&killed, mode, "").unwrap().2, [1]);
}

#[test]
fn an_idle_log_writes_one_marker_and_then_nothing() {
    for mode in MODES {
        let vfs = SimVfs::new(1);
        vfs.create_dir(&dir()).unwrap();
        let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
        let mut options = options(mode);
        options.segment_bytes_min = 64 << 10;
        let wal = Wal::create(shared, &dir(), options.clone(), Arc::new(ManualDriver)).unwrap();
        wal.append(1, &payload(1)).unwrap().wait().unwrap();
        let mut steps = 0;
        while wal.timed_step().unwrap().is_some() {
            vfs.advance(Duration::from_millis(10));
            steps += 1;
            assert!(steps < 50, "{mode}: the log does not come to rest");
        }
        assert_eq!(wal.durable_lsn().0, 1, "{mode}");
        let quiet = vfs.op_count();
        vfs.advance(Duration::from_secs(3600));
        assert_eq!(wal.timed_step().unwrap(), None, "{mode}");
        assert_eq!(vfs.op_count(), quiet, "{mode}: an idle log does no I/O");
        // The marker proves the record: damage to it is seen as damage, not as a torn tail.
        let path = dir().join("00000000000000000001.wal");
        vfs.flip_bit(&path, 4096 + 80 + 40, 0).unwrap();
        let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
        let judged = Recovery::judge(shared, &dir(), options, &mut |_| Ok(()));
        assert!(
            matches!(judged, Err(docdb_wal::WalError::Corrupt { .. })),
            "{mode}"
        );
    }
}

/// A segment that was made for a large commit has no room for a marker behind it.
#[test]
fn an_idle_log_proves_a_commit_that_fills_its_segment() {
    for mode in MODES {
        let vfs = SimVfs::new(1);
        vfs.create_dir(&dir()).unwrap();
        let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
        let mut options = options(mode);
        options.segment_bytes_min = 16 << 10;
        let wal = Wal::create(shared, &dir(), options.clone(), Arc::new(ManualDriver)).unwrap();
        let large = vec![b'x'; 100_000];
        wal.append(1, &large).unwrap().wait().unwrap();
        let mut steps = 0;
        loop {
            while wal.prepare_step().unwrap() {}
            if wal.timed_step().unwrap().is_none() {
                break;
            }
            vfs.advance(Duration::from_millis(10));
            steps += 1;
            assert!(steps < 50, "{mode}: the log does not come to rest");
        }
        while wal.prepare_step().unwrap() {}
        let quiet = vfs.op_count();
        vfs.advance(Duration::from_secs(3600));
        assert_eq!(wal.timed_step().unwrap(), None, "{mode}");
        assert_eq!(vfs.op_count(), quiet, "{mode}: an idle log does no I/O");
        let names = vfs.list(&dir()).unwrap();
        let paths = names.iter().map(|name| dir().join(name));
        let holds = |path: &PathBuf| {
            let contents = vfs.read_file(path).unwrap();
            contents
                .windows(1_000)
                .position(|part| part == &large[..1_000])
        };
        let (path, at) = paths
            .filter_map(|path| holds(&path).map(|at| (path, at)))
            .next()
            .unwrap();
        let damaged = vfs.fork_crash(&CrashPolicy::KeepAll);
        damaged.flip_bit(&path, at as u64 + 50_000, 0).unwrap();
        let judged = Recovery::judge(Arc::new(damaged), &dir(), options.clone(), &mut |_| Ok(()));
        assert!(
            matches!(judged, Err(docdb_wal::WalError::Corrupt { .. })),
            "{mode}: a durable commit is taken for a torn tail"
        );
        // The log goes on as ever.
        wal.append(1, &payload(2)).unwrap().wait().unwrap();
        wal.sync().unwrap();
        let mut found = Vec::new();
        let crashed = Arc::new(vfs.fork_crash(&CrashPolicy::KeepAll));
        let _verdict = Recovery::judge(crashed, &dir(), options, &mut |record| {
            found.push(record.lsn.0);
            Ok(())
        })
        .unwrap();
        assert_eq!(found, [1, 2], "{mode}");
    }
}

#[test]
fn an_interval_without_end_is_one_that_never_ends() {
    for mode in [
        Durability::Interval(Duration::MAX),
        Durability::Memory(Duration::MAX),
    ] {
        let vfs = SimVfs::new(1);
        vfs.create_dir(&dir()).unwrap();
        let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
        let driver = Arc::new(ThreadDriver::start().unwrap());
        let wal = Wal::create(shared, &dir(), options(mode), driver).unwrap();
        for lsn in 1..=3 {
            wal.append(1, &payload(lsn)).unwrap().wait().unwrap();
            vfs.advance(Duration::from_secs(3600));
            let _ = wal.timed_step().unwrap();
        }
        wal.sync().unwrap();
        wal.close().unwrap();
        assert_eq!(open(&vfs, mode, "").unwrap().2, [1, 2, 3]);
    }
}
