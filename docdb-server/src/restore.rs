//! The verb `restore`: a data directory made of a backup.

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use docdb_engine::backup::Progress;
use docdb_vfs::{RealVfs, Vfs};

use crate::server::ServerError;

/// Bytes between two lines about how far it has come.
const BYTES_PER_LINE: u64 = 1 << 30;

/// Make a data directory of a backup; the backup is verified first, and is not changed.
///
/// The databases keep their names, ids and durability modes. Versions continue far above those in the
/// backup.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct RestoreArgs {
    /// The directory of the backup.
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    /// The data directory to make; it must not exist, or be empty.
    #[arg(value_name = "DATA_DIR")]
    into: PathBuf,
    /// Restore this database; can be given several times. Without, all that are in the backup.
    #[arg(long = "database", value_name = "NAME")]
    databases: Vec<String>,
}

/// Restores, and says on stdout what it has made.
///
/// # Errors
/// As [`docdb_pool::restore`]; nothing is left behind then.
pub fn restore(args: &RestoreArgs) -> Result<(), ServerError> {
    let vfs: Arc<dyn Vfs> = Arc::new(RealVfs::new());
    let shows = io::stderr().is_terminal();
    let mut told = 0;
    let mut listener = |progress: &Progress| {
        if shows && progress.bytes_done / BYTES_PER_LINE != told {
            told = progress.bytes_done / BYTES_PER_LINE;
            let (done, total) = (progress.bytes_done >> 20, progress.bytes_total >> 20);
            // There is nobody to tell that stderr is gone.
            let _ = writeln!(io::stderr(), "{done} of {total} MiB");
        }
        ControlFlow::Continue(())
    };
    let databases = &args.databases;
    let restored = docdb_pool::restore(&vfs, &args.backup, &args.into, databases, &mut listener)?;
    let mut out = io::stdout().lock();
    for (database, made) in &restored {
        // It is restored, whoever reads of it.
        let _ = writeln!(
            out,
            "restored {:?}: documents={} version={} bytes={}",
            database.name, made.documents, made.version, made.bytes
        );
    }
    let _ = writeln!(
        out,
        "OK databases={} data_dir={}",
        restored.len(),
        args.into.display()
    );
    Ok(())
}
