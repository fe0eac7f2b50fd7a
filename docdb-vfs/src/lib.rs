//! The seam between DocDB and the world below it.
//!
//! Every effect on files and directories, every reading of the clock and every random number that
//! the storage crates use passes through the traits [`Vfs`] and [`VfsFile`]. Two implementations
//! exist: [`RealVfs`], the disk of this machine, and [`SimVfs`](sim::SimVfs), a disk in memory that
//! remembers what was synced and can lose power at any operation.
//!
//! Architecture invariant: no crate from docdb-wal up to docdb-pool touches `std::fs`.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod error;
mod real;
pub mod sim;
mod traits;

pub use error::{IoError, IoOp, Result};
pub use real::RealVfs;
pub use traits::{DirLock, OpenMode, Vfs, VfsFile};
