//! A counter that is rewritten while a reader holds a snapshot.

use std::time::Duration;

use docdb_mvcc::{CommitTs, SnapshotRegistry, Visibility};

fn main() {
    let registry = SnapshotRegistry::new();
    let mut versions: Vec<(CommitTs, u32)> = Vec::new();
    let mut visible = CommitTs::ZERO;
    let mut reader = None;

    for value in 0..6 {
        visible = visible.next();
        versions.insert(0, (visible, value));
        if value == 2 {
            reader = Some(registry.register(Duration::ZERO, || visible));
        }
        // Keep the newest version at or below `oldest`, and all above it.
        let oldest = registry.oldest(|| visible);
        let needed = versions.iter().take_while(|(ts, _)| *ts > oldest).count() + 1;
        versions.truncate(needed);
        println!("commit {visible}: {} versions kept", versions.len());
    }

    if let Some(snapshot) = reader {
        let seen = Visibility::at(snapshot.ts()).pick(versions.iter().copied());
        println!("the reader at {} still sees {seen:?}", snapshot.ts());
    }
}
