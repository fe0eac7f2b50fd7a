//! Append-only record files whose checksums bind each record to its place.
