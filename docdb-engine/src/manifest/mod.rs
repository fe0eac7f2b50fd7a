//! What a checkpoint has made permanent: one file, replaced as a whole.

pub(crate) mod format;
pub(crate) mod kept;
mod store;

pub(crate) use format::{CollectionEntry, DataFileEntry, MANIFEST_BYTES_MAX, Manifest, RunEntry};
pub(crate) use store::{
    MANIFEST, MANIFEST_TEMPORARY, ReplaceError, decode as decode_manifest, read, replace,
};
