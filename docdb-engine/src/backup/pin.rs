//! Files of an open database that stay while they are copied.
//!
//! What the manifest names when a backup begins is treated as what a kept checkpoint names: it may
//! leave the manifest, and stays on the disk. A data file that is named only grows, and a run never
//! changes, so what is copied without any lock is what the manifest said.

use docdb_types::ErrorKind;

use crate::db::Inner;
use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::planted::{Bug, is_planted};

/// What a manifest names stays until this is dropped.
pub(super) struct Pinned<'a> {
    inner: &'a Inner,
    pub(super) manifest: Manifest,
}

impl Inner {
    /// Pins what the manifest names that holds everything committed before the call.
    ///
    /// # Errors
    /// Those of a checkpoint; `Busy` if the database is being backed up already.
    pub(super) fn pin_for_backup(&self) -> Result<Pinned<'_>> {
        self.checkpoint()?;
        let mut state = self.checkpointer.lock();
        self.check_writable()?;
        if state.backed_up.is_some() {
            let message = "the database is being backed up already; wait for the end of that";
            return Err(Error::new(ErrorKind::Busy, message));
        }
        let manifest = state.manifest.clone();
        state.backed_up = Some(manifest.clone());
        if is_planted(Bug::BackupUnpinned) {
            state.backed_up = Some(Manifest::default());
        }
        self.pin_files(&state);
        Ok(Pinned {
            inner: self,
            manifest,
        })
    }
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        let inner = self.inner;
        let mut state = inner.checkpointer.lock();
        let Some(gone) = state.backed_up.take() else {
            return;
        };
        // The directory may be another owner's, or it is not known which manifest stands: then the next
        // open removes what none names.
        if state.is_closed || inner.poisoned.get().is_some() {
            return;
        }
        inner.pin_files(&state);
        inner.remove_what_only_named(&state, &gone);
        inner.count_pinned(&state);
    }
}
