//! Makes a new data directory of what verifies of one that is damaged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_engine::offline::{
    self, CheckOptions, DoubtfulDocument, Finding, Line, LostDocument, Observer, Progress,
    SalvageLog, SalvageOptions, SalvageReport, Severity,
};
use docdb_engine::{Durability, Error, ErrorKind};
use docdb_vfs::{OpenMode, Vfs, VfsFile};
use parking_lot::Mutex;

use super::directory::{Database, Directory};
use super::{DirectoryObserver, InDatabase, check};
use crate::catalog::{Catalog, CatalogStore, Entry, EntryState};
use crate::error::{self, Result};
use crate::layout;

/// Bytes of lines that are gathered before they are written.
const LINES_BYTES: usize = 1 << 20;

/// What became of a database.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SalvagedDatabase {
    /// Its name.
    pub name: String,
    /// What was found and done, or why nothing could be.
    pub outcome: std::result::Result<SalvageReport, Error>,
    /// The list of what is lost and damaged, if anything is.
    pub lost: Option<PathBuf>,
    /// The documents that are doubtful, if any are.
    pub doubtful: Option<PathBuf>,
}

/// What a salvage saw and did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SalvagedDirectory {
    /// One for each database.
    pub databases: Vec<SalvagedDatabase>,
    /// Whether all that was in the old directory is in the new one.
    pub is_whole: bool,
    /// Things that a check of the new directory found damaged: none, if this program is right.
    pub damages_in_new: u64,
}

/// Makes a new data directory in `into`, which must not exist or be empty, of what the databases of
/// `data_dir` still have. That is locked and not changed. Databases keep their ids and names; one that
/// the catalog does not know is named as its directory. Beside the databases, `lost-NAME.ndjson` lists
/// what of a database is lost, and `doubtful-NAME.ndjson` what cannot be proven. The new directory is
/// checked at the end.
///
/// # Errors
/// `InUse`; `AlreadyExists` if `into` is not empty; `InvalidArgument` if `data_dir` is no data
/// directory or `into` lies in it; `DiskFull`; `Io`.
pub fn salvage(
    vfs: &Arc<dyn Vfs>,
    data_dir: impl AsRef<Path>,
    into: impl AsRef<Path>,
    options: &SalvageOptions,
    observer: &dyn DirectoryObserver,
) -> Result<SalvagedDirectory> {
    let (data_dir, into) = (data_dir.as_ref(), into.as_ref());
    if into.starts_with(data_dir) {
        let message = format!("{} lies in {}", into.display(), data_dir.display());
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    let directory = Directory::open(vfs.as_ref(), data_dir)?;
    let found = if vfs.exists(into).map_err(error::from_io)? {
        vfs.list(into).map_err(error::from_io)?
    } else {
        Vec::new()
    };
    if !found.is_empty() {
        let message = format!("{} is not empty", into.display());
        return Err(Error::new(ErrorKind::AlreadyExists, message));
    }
    layout::create_dir_all(vfs.as_ref(), into).map_err(error::from_io)?;
    let lock = vfs.lock_dir(into).map_err(error::from_io)?;
    let mut is_whole = true;
    for finding in &directory.findings {
        // Without the catalog nobody knows which databases there were.
        is_whole &= finding.severity == Severity::Note || directory.catalog.is_some();
        is_whole &= !finding
            .what
            .contains("is missing, but the catalog names it");
        observer.finding(None, finding.clone());
    }
    let mut salvaged = Vec::new();
    for (done, database) in directory.databases.iter().enumerate() {
        let total = directory.databases.len() as u64;
        observer.begins(&database.name, done as u64, total);
        let one = salvage_one(vfs, database, into, options, observer)?;
        is_whole &= one.outcome.as_ref().is_ok_and(|report| report.is_whole);
        salvaged.push(one);
    }
    write_catalog(vfs, &directory, into, &salvaged)?;
    drop(lock);
    let mut check_options = CheckOptions::default();
    check_options.progress = Progress::default();
    let checked = check(vfs, into, &check_options, observer)?;
    Ok(SalvagedDirectory {
        databases: salvaged,
        is_whole,
        damages_in_new: checked.total.damages,
    })
}

fn salvage_one(
    vfs: &Arc<dyn Vfs>,
    database: &Database,
    into: &Path,
    options: &SalvageOptions,
    observer: &dyn DirectoryObserver,
) -> Result<SalvagedDatabase> {
    let list = |what: &str| {
        let path = into.join(format!("{what}-{}.ndjson", database.name));
        Lines::new(Arc::clone(vfs), path)
    };
    let lost = Mutex::new(list("lost"));
    let mut lists = Lists {
        lost: &lost,
        doubtful: list("doubtful"),
    };
    let inner = InDatabase {
        name: &database.name,
        observer,
    };
    let new_dir = into.join(layout::database_dir_name(database.id));
    let outcome = {
        let observed = Noting {
            inner: &inner,
            lost: &lost,
        };
        offline::salvage(vfs, &database.dir, &new_dir, options, &observed, &mut lists)
    };
    let doubtful = lists.doubtful.finish()?;
    let lost = lost.into_inner().finish()?;
    if let Err(error) = &outcome {
        if error.kind() == ErrorKind::DiskFull {
            return Err(error.clone());
        }
        super::cannot(&inner, &database.dir, "salvaged", error);
    }
    Ok(SalvagedDatabase {
        name: database.name.clone(),
        outcome,
        lost,
        doubtful,
    })
}

fn write_catalog(
    vfs: &Arc<dyn Vfs>,
    directory: &Directory,
    into: &Path,
    salvaged: &[SalvagedDatabase],
) -> Result<()> {
    let mut data_dir_id = [0; 16];
    vfs.fill_random(&mut data_dir_id);
    let mut catalog = Catalog::new(data_dir_id);
    for (database, salvaged) in directory.databases.iter().zip(salvaged) {
        catalog.next_id = catalog.next_id.max(database.id.saturating_add(1));
        if salvaged.outcome.is_err() {
            continue;
        }
        let default = || Durability::default().to_string();
        catalog.entries.push(Entry {
            id: database.id,
            state: EntryState::Active,
            name: database.name.clone(),
            durability: database.durability.clone().unwrap_or_else(default),
        });
    }
    if let Some(old) = &directory.catalog {
        catalog.next_id = catalog.next_id.max(old.next_id);
    }
    CatalogStore::create(Arc::clone(vfs), into, catalog).map_err(error::from_catalog)
}

/// A file of lines; there is none without a line.
struct Lines {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    file: Option<Arc<dyn VfsFile>>,
    written: u64,
    buffer: Vec<u8>,
    failed: Option<Error>,
}

impl Lines {
    fn new(vfs: Arc<dyn Vfs>, path: PathBuf) -> Lines {
        Lines {
            vfs,
            path,
            file: None,
            written: 0,
            buffer: Vec::new(),
            failed: None,
        }
    }

    fn add(&mut self, line: Line) -> Result<()> {
        self.buffer.extend_from_slice(&line.end());
        if self.buffer.len() >= LINES_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => {
                let file = self.vfs.open(&self.path, OpenMode::CreateNew);
                self.file.insert(file.map_err(error::from_io)?)
            }
        };
        let written = file.write_all_at(&self.buffer, self.written);
        written.map_err(error::from_io)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// The file, durable but for its name, if there is one.
    fn finish(mut self) -> Result<Option<PathBuf>> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if !self.buffer.is_empty() {
            self.write()?;
        }
        let Some(file) = self.file else {
            return Ok(None);
        };
        file.sync_data().map_err(error::from_io)?;
        Ok(Some(self.path))
    }
}

struct Lists<'a> {
    lost: &'a Mutex<Lines>,
    doubtful: Lines,
}

impl SalvageLog for Lists<'_> {
    fn lost(&mut self, document: &LostDocument<'_>) -> Result<()> {
        let line = Line::default()
            .text("collection", document.collection)
            .number("id", document.id)
            .number("version", document.version)
            .text("why", document.why)
            .text("file", &document.file.to_string_lossy())
            .number("offset", document.offset)
            .maybe("older_version", document.older_version);
        self.lost.lock().add(line)
    }

    fn doubtful(&mut self, document: &DoubtfulDocument<'_>) -> Result<()> {
        let line = Line::default()
            .text("collection", document.collection)
            .number("id", document.id)
            .number("version", document.version);
        let line = match document.body {
            Some(body) => line.document("doc", body),
            None => line.truth("deleted", true),
        };
        self.doubtful.add(
            line.text("why", document.why)
                .text("file", &document.file.to_string_lossy())
                .number("offset", document.offset)
                .truth("included", document.is_included),
        )
    }
}

/// Lists damage beside what is lost.
struct Noting<'a> {
    inner: &'a InDatabase<'a>,
    lost: &'a Mutex<Lines>,
}

impl Observer for Noting<'_> {
    fn finding(&self, finding: Finding) {
        if finding.severity == Severity::Damage {
            let line = Line::default()
                .text("damage", &finding.what)
                .text("file", &finding.file.to_string_lossy())
                .maybe("offset", finding.offset);
            let mut lost = self.lost.lock();
            if let Err(error) = lost.add(line) {
                lost.failed.get_or_insert(error);
            }
        }
        self.inner.finding(finding);
    }
}
