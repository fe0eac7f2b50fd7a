//! Commit timestamps, snapshots, visibility and conflict rules, without I/O.
