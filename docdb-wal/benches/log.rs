//! What the log costs the processor: the device is left out, or everything is in the page cache.
//! `cargo bench -p docdb-wal --bench log`.

mod sink;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use docdb_wal::vfs::{RealVfs, Vfs};
use docdb_wal::{Durability, ManualDriver, Recovery, Wal, WalOptions};
use sink::Sink;

const KIND: u16 = 1;
const RECORD_BYTES: usize = 300;

fn options(durability: Durability) -> WalOptions {
    let mut options = WalOptions::default();
    options.durability = durability;
    options.segment_bytes_min = 64 << 20;
    options
}

/// A log that writes to nowhere.
fn log_into_sink(durability: Durability) -> Wal {
    let driver = Arc::new(ManualDriver);
    Wal::create(Arc::new(Sink), Path::new("/"), options(durability), driver)
        .expect("a sink refuses nothing")
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(1));
    let record = [b'x'; RECORD_BYTES];
    let wal = log_into_sink(Durability::MEMORY);
    let mut until_written = 0;
    group.bench_function("memory", |bencher| {
        bencher.iter(|| {
            let ticket = wal.append(KIND, black_box(&record));
            ticket.and_then(|ticket| ticket.wait()).expect("appended");
            until_written += 1;
            if until_written == 1024 {
                until_written = 0;
                wal.sync().expect("written to a sink");
            }
        });
    });
    let wal = log_into_sink(Durability::Full);
    group.bench_function("full, alone in its group", |bencher| {
        bencher.iter(|| {
            let ticket = wal.append(KIND, black_box(&record));
            ticket.and_then(|ticket| ticket.wait()).expect("appended");
        });
    });
    group.finish();
}

/// Records laid out and their group's header made, then handed to a file system that does nothing.
fn group_encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("group");
    let record = [b'x'; RECORD_BYTES];
    for records in [1_u64, 64, 1024] {
        let wal = log_into_sink(Durability::Full);
        group.throughput(Throughput::Elements(records));
        group.bench_function(format!("{records} records"), |bencher| {
            bencher.iter(|| {
                for _ in 0..records {
                    drop(wal.append(KIND, black_box(&record)).expect("appended"));
                }
                wal.flush_step().expect("written to a sink");
            });
        });
    }
    group.finish();
}

/// The checksum that an append takes of its payload before any lock.
fn record_crc(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record crc");
    for bytes in [64, RECORD_BYTES, 4096] {
        let payload = vec![b'x'; bytes];
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("{bytes} bytes"), |bencher| {
            bencher.iter(|| crc32fast::hash(black_box(&payload)));
        });
    }
    group.finish();
}

/// Judging a log of 10,000 records that lies in the page cache.
fn recovery(criterion: &mut Criterion) {
    const RECORDS: u64 = 10_000;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let vfs: Arc<dyn Vfs> = Arc::new(RealVfs::new());
    let driver = Arc::new(ManualDriver);
    let mut small = WalOptions::default();
    small.durability = Durability::Os;
    let wal = Wal::create(Arc::clone(&vfs), dir.path(), small, driver).expect("a new log");
    for _ in 0..RECORDS {
        drop(wal.append(KIND, &[b'x'; RECORD_BYTES]).expect("appended"));
    }
    wal.close().expect("closed");
    let mut group = criterion.benchmark_group("recovery");
    group.throughput(Throughput::Bytes(RECORDS * RECORD_BYTES as u64));
    group.bench_function("10,000 records", |bencher| {
        bencher.iter_batched(
            || Arc::clone(&vfs),
            |vfs| {
                let mut bytes = 0;
                let verdict =
                    Recovery::judge(vfs, dir.path(), WalOptions::default(), &mut |record| {
                        bytes += record.payload.len();
                        Ok(())
                    })
                    .expect("a log that was closed");
                assert_eq!(bytes as u64, RECORDS * RECORD_BYTES as u64);
                verdict
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, append, group_encode, record_crc, recovery);
criterion_main!(benches);
