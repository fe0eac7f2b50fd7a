//! What LZ4 costs and saves for records of 16 KiB: real JSON, and bytes that do not compress.
//! `cargo bench -p docdb-wal --features lz4 --bench compression`.

mod sink;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use docdb_wal::vfs::{RealVfs, Vfs};
use docdb_wal::{Body, Compression, Durability, ManualDriver, Recovery, Wal, WalOptions};
use sink::Sink;

const RECORD_BYTES: usize = 16 << 10;
const MODES: [Compression; 2] = [Compression::None, Compression::Lz4];

/// Lines of one file, 16 KiB at a time.
fn json() -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data-sets/earthquakes.ndjson");
    let lines = std::fs::read(path).expect("the repository's data set");
    lines
        .chunks_exact(RECORD_BYTES)
        .take(64)
        .map(<[u8]>::to_vec)
        .collect()
}

fn noise() -> Vec<Vec<u8>> {
    let mut state = 1_u64;
    let byte = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (state >> 56) as u8
    };
    let bytes: Vec<u8> = std::iter::repeat_with(byte)
        .take(64 * RECORD_BYTES)
        .collect();
    bytes.chunks(RECORD_BYTES).map(<[u8]>::to_vec).collect()
}

fn options(compression: Compression) -> WalOptions {
    let mut options = WalOptions::default();
    options.segment_bytes_min = 64 << 20;
    options.compression = compression;
    options
}

/// One record after the other, each written to nowhere in a group of its own.
fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append 16 KiB");
    group.throughput(Throughput::Bytes(RECORD_BYTES as u64));
    for (name, records) in [("json", json()), ("noise", noise())] {
        for compression in MODES {
            let driver = Arc::new(ManualDriver);
            let wal = Wal::create(Arc::new(Sink), Path::new("/"), options(compression), driver)
                .expect("a sink refuses nothing");
            let mut records = records.iter().cycle();
            group.bench_function(format!("{name}, {compression}"), |bencher| {
                bencher.iter(|| {
                    let record = records.next().expect("there are some");
                    let ticket = wal.append(1, black_box(record));
                    ticket.and_then(|ticket| ticket.wait()).expect("appended");
                });
            });
            let flush = wal.stats().flush;
            println!(
                "append 16 KiB/{name}, {compression}: {} bytes in the log for each record",
                flush.records_bytes / flush.records
            );
        }
    }
    group.finish();
}

/// The compressor alone.
fn pack(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pack 16 KiB");
    group.throughput(Throughput::Bytes(RECORD_BYTES as u64));
    let driver = Arc::new(ManualDriver);
    let options = options(Compression::Lz4);
    let wal = Wal::create(Arc::new(Sink), Path::new("/"), options, driver).expect("a sink");
    for (name, records) in [("json", json()), ("noise", noise())] {
        let mut records = records.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| wal.pack(Body::Slice(records.next().expect("there are some"))));
        });
    }
    group.finish();
}

/// Judging a log of 4,096 records that lies in the page cache.
fn recovery(criterion: &mut Criterion) {
    const RECORDS: usize = 4_096;
    let mut group = criterion.benchmark_group("recovery, 4,096 records of 16 KiB of json");
    group.throughput(Throughput::Bytes((RECORDS * RECORD_BYTES) as u64));
    for compression in MODES {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let vfs: Arc<dyn Vfs> = Arc::new(RealVfs::new());
        let mut options = options(compression);
        options.durability = Durability::MEMORY;
        let driver = Arc::new(ManualDriver);
        let wal = Wal::create(Arc::clone(&vfs), dir.path(), options, driver).expect("a new log");
        for record in json().iter().cycle().take(RECORDS) {
            drop(wal.append(1, record).expect("appended"));
        }
        wal.close().expect("closed");
        group.bench_function(compression.to_string(), |bencher| {
            bencher.iter_batched(
                || Arc::clone(&vfs),
                |vfs| {
                    let mut bytes = 0;
                    let options = WalOptions::default();
                    let verdict = Recovery::judge(vfs, dir.path(), options, &mut |record| {
                        bytes += record.payload.len();
                        Ok(())
                    })
                    .expect("a log that was closed");
                    assert_eq!(bytes, RECORDS * RECORD_BYTES);
                    verdict
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, append, pack, recovery);
criterion_main!(benches);
