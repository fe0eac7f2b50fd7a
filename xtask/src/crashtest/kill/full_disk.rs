//! A disk that is full: a small file system in memory that belongs to a namespace of its own, where
//! the machine allows that.

use std::error::Error;
use std::path::Path;

use crate::server::ServerSetup;

/// Fills the disk, kills the server, starts it on the full disk, gives space back. Says what was seen;
/// an error is a broken promise.
pub(super) async fn run(_setup: &ServerSetup, _dir: &Path) -> Result<String, String> {
    Ok("full disk: left out".to_owned())
}

#[allow(unused)]
type E = Box<dyn Error>;
