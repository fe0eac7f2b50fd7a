//! The catalog: which databases a data directory holds.

pub(crate) mod format;
mod store;

pub(crate) use format::{Catalog, Entry, EntryState};
pub(crate) use store::{CatalogError, CatalogStore, look_at_copies};
