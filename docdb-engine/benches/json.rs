//! The check that every document passes, beside what serde_json offers for the same question; and
//! edits of a document.

use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use docdb_engine::json;
use serde::de::IgnoredAny;
use serde_json::Value;

/// A document of about so many bytes, with all kinds of values.
fn document(bytes: usize, n: u64) -> String {
    let mut text = format!(
        "{{\"id\":{n},\"name\":\"Ada Lovelace\",\"email\":\"ada{n}@example.org\",\"active\":true,\
         \"score\":{}.25,\"tags\":[\"x\",\"yellow\",\"zebra\"],\"address\":{{\"city\":\"London\",\
         \"geo\":[51.5,-0.12]}},\"items\":[null",
        n * 37
    );
    while text.len() + 20 < bytes {
        let sku = text.len() as u64 * 7919 + n;
        let _ = write!(
            text,
            ",{{\"sku\":\"item-{sku}\",\"n\":{},\"price\":{}.95}}",
            sku % 90,
            sku % 700
        );
    }
    text.push_str("]}");
    text
}

fn check(c: &mut Criterion) {
    let prose = format!(
        "{{\"text\":\"{}\"}}",
        "Lorem ipsum dolor sit amet ".repeat(150)
    );
    for (name, documents) in [
        ("300 bytes", (0..64).map(|n| document(300, n)).collect()),
        ("4 KiB", (0..16).map(|n| document(4 << 10, n)).collect()),
        ("1 MiB", vec![document(1 << 20, 1)]),
        ("4 KiB of prose", vec![prose]),
    ] {
        let documents: Vec<String> = documents;
        let mut group = c.benchmark_group(format!("check {name}"));
        let bytes: usize = documents.iter().map(String::len).sum();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function("docdb", |b| {
            b.iter(|| {
                documents
                    .iter()
                    .all(|d| json::check(black_box(d.as_bytes())).is_ok())
            });
        });
        group.bench_function("serde_json IgnoredAny", |b| {
            let is_valid =
                |d: &String| serde_json::from_slice::<IgnoredAny>(black_box(d.as_bytes())).is_ok();
            b.iter(|| documents.iter().all(is_valid));
        });
        group.bench_function("serde_json Value", |b| {
            let is_valid =
                |d: &String| serde_json::from_slice::<Value>(black_box(d.as_bytes())).is_ok();
            b.iter(|| documents.iter().all(is_valid));
        });
        group.finish();
    }
}

fn edit(c: &mut Criterion) {
    let document = document(1 << 10, 1);
    let set = br#"[{"op":"set","path":"/score","value":12.5}]"#;
    let three = br#"[{"op":"set","path":"/score","value":12.5},
        {"op":"set","path":"/address/city","value":"Paris"},
        {"op":"insert","path":"/tags/-","value":"new"}]"#;
    let members = br#"{"score":12.5,"address":{"city":"Paris"},"tags":null}"#;
    let mut group = c.benchmark_group("edit of 1 KiB, both texts checked");
    group.throughput(Throughput::Elements(1));
    group.bench_function("patch, one operation", |b| {
        b.iter(|| json::patch(black_box(document.as_bytes()), set));
    });
    group.bench_function("patch, three operations", |b| {
        b.iter(|| json::patch(black_box(document.as_bytes()), three));
    });
    group.bench_function("merge of three members", |b| {
        b.iter(|| json::merge(black_box(document.as_bytes()), members));
    });
    group.finish();
}

criterion_group!(benches, check, edit);
criterion_main!(benches);
