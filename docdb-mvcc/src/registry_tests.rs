use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_snapshot_holds_its_number_until_its_last_clone_is_dropped() {
    let registry = SnapshotRegistry::new();
    assert_eq!(registry.oldest(|| CommitTs(3)), CommitTs(3));
    let a = registry.register(SECOND, || CommitTs(3));
    let b = a.clone();
    let later = registry.register(SECOND * 2, || CommitTs(9));
    assert_eq!(
        (registry.open_count(), registry.oldest_age(SECOND * 5)),
        (3, Some(SECOND * 4))
    );
    drop(a);
    assert_eq!(registry.oldest(|| CommitTs(9)), CommitTs(3));
    assert_eq!(registry.timestamps(), [CommitTs(3), CommitTs(9)]);
    drop(b);
    assert_eq!(registry.oldest(|| CommitTs(9)), CommitTs(9));
    drop(later);
    assert_eq!(
        (registry.open_count(), registry.oldest_age(SECOND)),
        (0, None)
    );
    assert_eq!(registry.oldest(|| CommitTs(12)), CommitTs(12));
}

#[test]
fn a_lease_outlives_its_snapshot_and_expires_when_unused() {
    let registry = SnapshotRegistry::new();
    let snapshot = registry.register(SECOND, || CommitTs(4));
    registry.lease(&snapshot, SECOND);
    drop(snapshot);
    assert_eq!(registry.oldest(|| CommitTs(8)), CommitTs(4));
    assert_eq!(registry.timestamps(), [CommitTs(4)]);
    assert!(registry.resume(CommitTs(5), SECOND).is_none());

    let idle = SECOND * 10;
    let hard = SECOND * 100;
    let again = registry.resume(CommitTs(4), SECOND * 9).expect("leased");
    assert_eq!(again.ts(), CommitTs(4));
    drop(again);
    assert_eq!(registry.expire(SECOND * 12, idle, hard), 0, "used at 9");
    assert_eq!(registry.expire(SECOND * 19, idle, hard), 1);
    assert_eq!(registry.oldest(|| CommitTs(8)), CommitTs(8));
    assert!(registry.resume(CommitTs(4), SECOND * 19).is_none());
}

#[test]
fn use_does_not_extend_a_lease_past_its_hard_age() {
    let registry = SnapshotRegistry::new();
    let snapshot = registry.register(Duration::ZERO, || CommitTs(4));
    for second in 0..10 {
        registry.lease(&snapshot, SECOND * second);
    }
    assert_eq!(registry.expire(SECOND * 9, SECOND * 5, SECOND * 10), 0);
    assert_eq!(registry.expire(SECOND * 10, SECOND * 5, SECOND * 10), 1);
    // The snapshot itself still holds the number.
    assert!(registry.resume(CommitTs(4), SECOND * 10).is_some());
}

#[test]
fn leases_are_bounded_and_the_least_recently_used_goes_first() {
    let registry = SnapshotRegistry::new();
    for number in 0..LEASES_MAX as u64 {
        let snapshot = registry.register(SECOND, || CommitTs(number));
        registry.lease(&snapshot, SECOND);
    }
    drop(registry.resume(CommitTs(0), SECOND * 2).expect("leased"));
    let snapshot = registry.register(SECOND * 3, || CommitTs(5000));
    registry.lease(&snapshot, SECOND * 3);
    assert_eq!(registry.lease_count(), LEASES_MAX);
    assert!(
        registry.resume(CommitTs(0), SECOND * 3).is_some(),
        "used lately"
    );
    assert!(
        registry.resume(CommitTs(1), SECOND * 3).is_none(),
        "the idlest"
    );
    assert_eq!(registry.expire_oldest(), Some(CommitTs(0)));
}

/// One writer raises the watermark and prunes below `oldest`; readers register and check that what
/// they hold was not pruned, now and while they hold it.
#[test]
fn a_writer_never_prunes_what_a_snapshot_sees() {
    let registry = SnapshotRegistry::new();
    let visible = AtomicU64::new(0);
    let pruned_below = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let snapshot = registry
                        .register(Duration::ZERO, || CommitTs(visible.load(Ordering::SeqCst)));
                    for _ in 0..10 {
                        let pruned = pruned_below.load(Ordering::SeqCst);
                        assert!(pruned <= snapshot.ts().0, "{pruned} > {}", snapshot.ts());
                        thread::yield_now();
                    }
                }
            });
        }
        for _ in 0..20_000 {
            visible.fetch_add(1, Ordering::SeqCst);
            let oldest = registry.oldest(|| CommitTs(visible.load(Ordering::SeqCst)));
            pruned_below.store(oldest.0, Ordering::SeqCst);
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(registry.open_count(), 0);
}

/// What the invariant rests on, without the luck that threads need.
#[test]
fn the_watermark_is_read_under_the_lock() {
    let registry = SnapshotRegistry::new();
    let visible = || {
        assert!(registry.shared.try_lock().is_none());
        CommitTs(1)
    };
    let snapshot = registry.register(SECOND, visible);
    assert_eq!(registry.oldest(visible), snapshot.ts());
}

#[test]
fn the_oldest_is_looked_for_among_snapshots_and_leases() {
    let registry = SnapshotRegistry::new();
    let old = registry.register(SECOND, || CommitTs(4));
    registry.lease(&old, SECOND);
    drop(old);
    let new = registry.register(SECOND * 2, || CommitTs(9));
    assert_eq!(registry.oldest(|| CommitTs(9)), CommitTs(4));
    registry.lease(&new, SECOND * 2);
    let again = registry.resume(CommitTs(4), SECOND * 2);
    assert_eq!(registry.expire_oldest(), Some(CommitTs(4)));
    assert_eq!(registry.oldest(|| CommitTs(9)), CommitTs(4), "open again");
    drop(again);
    assert_eq!(registry.oldest(|| CommitTs(9)), CommitTs(9));
    assert_eq!(registry.timestamps(), [CommitTs(9)]);
}
