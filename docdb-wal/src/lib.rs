//! A write-ahead log with group commit: concurrent writers share one fsync.
