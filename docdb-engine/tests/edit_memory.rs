//! What an edit of an enormous document takes in memory. Alone in its process, whose memory it looks at.

#![allow(clippy::unwrap_used, reason = "a test")]
#![cfg(target_os = "linux")]

use docdb_engine::json::{merge, patch};
use docdb_engine::limits::DOCUMENT_BYTES_MAX;

/// The most that the process has ever had resident, in bytes.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<usize>().unwrap() << 10
}

/// The elements of an array of digits are as many as a document can have: eight million.
#[test]
fn an_edit_takes_a_few_times_the_size_of_its_document() {
    let head = "{\"a\":[1";
    let elements = (DOCUMENT_BYTES_MAX - head.len() - 100) / 2;
    let array = format!("{head}{}]}}", ",1".repeat(elements));
    let before = peak_bytes();
    let change = br#"[{"op":"set","path":"/a/1000000","value":2},
        {"op":"delete","path":"/a/7"}, {"op":"insert","path":"/a/-","value":3}]"#;
    let changed = patch(array.as_bytes(), change).unwrap();
    assert_eq!(changed.len(), array.len());
    let taken = peak_bytes() - before;
    assert!(taken < 10 * DOCUMENT_BYTES_MAX, "an array took {taken}");
    drop((changed, array));

    let member = |n: usize| format!("\"{n:x}\":1");
    let members: Vec<_> = (0..1_400_000).map(member).collect();
    let object = format!("{{{}}}", members.join(","));
    drop(members);
    assert!(object.len() < DOCUMENT_BYTES_MAX);
    let before = peak_bytes();
    let merged = merge(
        object.as_bytes(),
        br#"{"1":2,"2":null,"3":4,"4":5,"5":6,"6":7,"x":1}"#,
    );
    let wanted = object.len() - member(2).len() - 1 + ",\"x\":1".len();
    assert_eq!(merged.unwrap().len(), wanted);
    let taken = peak_bytes() - before;
    assert!(taken < 10 * DOCUMENT_BYTES_MAX, "an object took {taken}");
}
