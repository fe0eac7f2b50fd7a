//! Async client for DocDB and the docdb command-line tool.
