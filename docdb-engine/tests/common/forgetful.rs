//! A file system on which some syncs are forgotten: the bug of a line that was left out.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::SimVfs;

use super::watched::{Synced, Watched};

/// Which syncs are forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forgotten {
    /// Of files whose name begins so.
    Files(&'static str),
    /// Of the directory with this path.
    Directory(&'static str),
}

impl Forgotten {
    fn is(self, synced: Synced<'_>) -> bool {
        match (self, synced) {
            (Forgotten::Files(prefix), Synced::File(name)) => name.starts_with(prefix),
            (Forgotten::Directory(forgotten), Synced::Directory(path)) => {
                path == Path::new(forgotten)
            }
            _ => false,
        }
    }
}

thread_local! {
    static FORGOTTEN: Cell<Option<Forgotten>> = const { Cell::new(None) };
}

/// Has databases that this thread creates or opens forget some syncs, or none.
pub(crate) fn forget(what: Option<Forgotten>) {
    FORGOTTEN.set(what);
}

pub(crate) fn wrapped(vfs: &SimVfs) -> Arc<dyn Vfs> {
    match FORGOTTEN.get() {
        None => Arc::new(vfs.clone()),
        Some(what) => Arc::new(Watched::new(vfs, move |synced| !what.is(synced))),
    }
}
