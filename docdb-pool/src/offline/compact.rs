//! Compacts the databases of a data directory.

use std::path::Path;
use std::sync::Arc;

use docdb_engine::CompactionReport;
use docdb_vfs::Vfs;

use super::directory::Directory;
use crate::error::Result;
use crate::{Pool, PoolOptions};

/// Opens the databases with these names, or all if there are none, one after the other, compacts each
/// and closes it; `done` hears of each. This is the one offline tool that changes what it is given.
///
/// # Errors
/// `InUse`; `InvalidArgument` if it is no data directory; `DatabaseNotFound`; those of opening a
/// database and of [`Db::compact`](docdb_engine::Db::compact): the databases before it are done.
pub fn compact(
    vfs: &Arc<dyn Vfs>,
    data_dir: impl AsRef<Path>,
    databases: &[String],
    options: PoolOptions,
    done: &mut dyn FnMut(&str, &CompactionReport),
) -> Result<()> {
    let data_dir = data_dir.as_ref();
    // A pool makes a directory that does not exist; this must not.
    let names: Vec<String> = {
        let directory = Directory::open(vfs.as_ref(), data_dir)?;
        let named = directory.named(databases)?;
        named.iter().map(|database| database.name.clone()).collect()
    };
    let pool = Pool::open(Arc::clone(vfs), data_dir, options)?;
    for name in &names {
        let report = pool.database(name)?.compact()?;
        pool.close_database(name)?;
        done(name, &report);
    }
    pool.close();
    Ok(())
}
