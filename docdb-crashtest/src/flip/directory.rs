//! A small data directory with a file of every kind, and what must be read from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_engine::{DbOptions, Durability, ErrorKind, WriteKind};
use docdb_pool::{Pool, PoolOptions};
use docdb_vfs::Vfs;
use docdb_vfs::sim::{CrashPolicy, SimVfs};
use parking_lot::Mutex;

use crate::oracle::{Journal, Op, Session, State, Stop};

/// Where the pool lies on the simulated disk.
pub(super) const DATA_DIR: &str = "/data";

/// A database of the directory.
pub(super) struct Database {
    pub(super) name: &'static str,
    /// The name of its directory.
    pub(super) dir: String,
    /// What it held after each commit, with the commit's version, in order.
    pub(super) states: Vec<(u64, Arc<State>)>,
    /// Whether its log is needed to read what it holds.
    pub(super) needs_log: bool,
}

impl Database {
    /// What it holds.
    pub(super) fn last(&self) -> &Arc<State> {
        &self.states[self.states.len() - 1].1
    }
}

/// A file as it was at an earlier time.
pub(super) struct Older {
    pub(super) path: PathBuf,
    pub(super) contents: Vec<u8>,
}

/// A data directory of a pool that was killed.
pub(super) struct Directory {
    pub(super) vfs: SimVfs,
    pub(super) databases: Vec<Database>,
    /// Earlier contents of files that are still there.
    pub(super) older: Vec<Older>,
}

/// Everything small, so that few bytes hold everything.
pub(super) fn options() -> PoolOptions {
    let mut db = DbOptions::default();
    db.segment_bytes_min = 16 << 10;
    db.segment_bytes_max = 16 << 10;
    db.keep_segments = 1;
    db.keep_checkpoints = 2;
    db.index_shards = 2;
    db.runs_max = 2;
    db.data_file_bytes_max = 6 << 10;
    db.bulk_bytes_min = 3 << 10;
    db.compact_slice_bytes = 4 << 10;
    db.compaction_bytes_per_second = u64::MAX;
    // Only a build that compresses has such records.
    db.wal_compression = "lz4".parse().unwrap_or_default();
    PoolOptions::manual().db(db)
}

/// Opens the pool.
pub(super) fn open(vfs: &SimVfs) -> docdb_pool::Result<Pool> {
    let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
    Pool::open(shared, DATA_DIR, options())
}

/// Ends a pool as a kill does: nothing more reaches the disk.
pub(super) fn kill(vfs: &SimVfs, pool: Pool) {
    vfs.set_fault(docdb_vfs::sim::Fault {
        at_op: vfs.op_count(),
        kind: docdb_vfs::sim::FaultKind::PowerOff,
        sticky: true,
    });
    drop(pool);
}

/// A document of about so many bytes that depends on `n`.
pub(super) fn text(n: u64, bytes: usize) -> String {
    let mut body = format!("{{\"n\":{n},\"t\":\"");
    while body.len() + 2 < bytes {
        body.push(char::from(b'a' + ((n as usize + body.len()) % 26) as u8));
    }
    body + "\"}"
}

fn put(collection: &str, id: u64, body: impl Into<Vec<u8>>) -> Op {
    Op::new(WriteKind::Upsert, collection, id, body)
}

fn delete(collection: &str, id: u64) -> Op {
    Op::new(WriteKind::Delete, collection, id, "")
}

/// One database while it is written to.
struct Writer {
    name: &'static str,
    dir: String,
    journal: Arc<Mutex<Journal>>,
    versions: Vec<u64>,
}

type Made<T> = Result<T, String>;

impl Writer {
    fn create(pool: &Pool, name: &'static str) -> Made<Writer> {
        let id = pool.create_database(name, None).map_err(text_of)?;
        Ok(Writer {
            name,
            dir: format!("db-{id:016x}"),
            journal: Arc::new(Mutex::new(Journal::new(Durability::Full))),
            versions: vec![0],
        })
    }

    fn session(&self, pool: &Pool) -> Made<Session> {
        let handle = pool.database(self.name).map_err(text_of)?;
        Ok(Session {
            db: (*handle).clone(),
            journal: Arc::clone(&self.journal),
        })
    }

    fn note(&mut self, answer: Result<Result<u64, ErrorKind>, Stop>) -> Made<()> {
        match answer {
            Ok(Ok(version)) => {
                self.versions.push(version);
                Ok(())
            }
            Ok(Err(kind)) => Err(format!("{}: a commit was refused: {kind:?}", self.name)),
            Err(stop) => Err(format!("{}: {stop}", self.name)),
        }
    }

    fn commit(&mut self, pool: &Pool, ops: &[Op]) -> Made<()> {
        let answer = self.session(pool)?.commit(ops);
        self.note(answer)
    }

    fn create_collection(&mut self, pool: &Pool, name: &str) -> Made<()> {
        let answer = self.session(pool)?.create_collection(name);
        self.note(answer)
    }

    fn drop_collection(&mut self, pool: &Pool, name: &str) -> Made<()> {
        let answer = self.session(pool)?.drop_collection(name, true);
        self.note(answer)
    }

    fn checkpoint(&self, pool: &Pool) -> Made<()> {
        let session = self.session(pool)?;
        session
            .checkpoint()
            .map_err(|stop| format!("{}: {stop}", self.name))?;
        crate::oracle::settle(&session.db).map_err(text_of)
    }

    fn finished(&self, needs_log: bool) -> Database {
        let journal = self.journal.lock();
        let states = self.versions.iter().enumerate();
        Database {
            name: self.name,
            dir: self.dir.clone(),
            states: states
                .filter_map(|(n, version)| Some((*version, Arc::clone(journal.state(n)?))))
                .collect(),
            needs_log,
        }
    }
}

fn text_of(error: docdb_engine::Error) -> String {
    format!("{:?}: {error}", error.kind())
}

/// Notes what the files hold now.
fn keep_copies(vfs: &SimVfs, copies: &mut Vec<Older>) {
    for path in vfs.files() {
        if let Ok(contents) = vfs.read_file(&path) {
            copies.push(Older { path, contents });
        }
    }
}

impl Directory {
    /// Makes it. `seed` decides about the random numbers that bind the files to one another, and so
    /// the bytes of the documents.
    ///
    /// # Errors
    ///
    /// What went wrong while nothing was made to.
    pub(super) fn make(seed: u64) -> Made<Directory> {
        let vfs = SimVfs::new(seed);
        let mut copies = Vec::new();
        let pool = open(&vfs).map_err(text_of)?;
        let mut closed = Writer::create(&pool, "closed")?;
        let mut gone = Writer::create(&pool, "gone")?;
        gone.commit(&pool, &[put("_default", 1, "1")])?;
        let mut killed = Writer::create(&pool, "killed")?;
        pool.drop_database("gone").map_err(text_of)?;
        keep_copies(&vfs, &mut copies);

        closed.create_collection(&pool, "a")?;
        closed.commit(
            &pool,
            &[
                put("_default", 1, "1"),
                put("_default", 2, text(seed, 180)),
                put("a", 3, text(seed + 1, 700)),
            ],
        )?;
        closed.create_collection(&pool, "dropped")?;
        closed.commit(&pool, &[put("dropped", 1, "true")])?;
        closed.checkpoint(&pool)?;
        keep_copies(&vfs, &mut copies);
        killed.create_collection(&pool, "a")?;
        killed.commit(
            &pool,
            &[put("_default", 1, "1"), put("a", 3, text(seed, 300))],
        )?;
        killed.checkpoint(&pool)?;
        killed.commit(
            &pool,
            &[put("a", 4, text(seed + 2, 200)), delete("_default", 1)],
        )?;
        keep_copies(&vfs, &mut copies);

        // A kill, so that logs are recovered.
        let after = vfs.fork_crash(&CrashPolicy::Kill);
        kill(&vfs, pool);
        let vfs = after;
        let pool = open(&vfs).map_err(text_of)?;
        closed.drop_collection(&pool, "dropped")?;
        closed.commit(&pool, &[delete("_default", 1), put("a", 7, "[7]")])?;
        closed.checkpoint(&pool)?;
        keep_copies(&vfs, &mut copies);
        // Past the log, into a data file at once.
        closed.commit(
            &pool,
            &[put("a", 8, text(seed + 3, 3_300)), put("_default", 5, "5")],
        )?;
        closed.commit(&pool, &[delete("a", 7), put("_default", 9, "{}")])?;
        killed.commit(&pool, &[put("a", 5, text(seed + 4, 5_000))])?;
        killed.commit(&pool, &[put("_default", 2, "[]")])?;
        killed.checkpoint(&pool)?;
        keep_copies(&vfs, &mut copies);
        killed.commit(&pool, &[put("a", 6, text(seed + 5, 2_700))])?;
        killed.commit(
            &pool,
            &[delete("a", 4), put("_default", 3, text(seed + 6, 900))],
        )?;
        if !pool.close_database("closed").map_err(text_of)? {
            return Err("the database \"closed\" does not close".to_owned());
        }
        keep_copies(&vfs, &mut copies);
        killed.commit(&pool, &[put("_default", 4, "\"last but one\"")])?;
        killed.commit(&pool, &[put("a", 9, "\"last\"")])?;
        let image = vfs.fork_crash(&CrashPolicy::KeepAll);
        kill(&vfs, pool);

        let databases = vec![closed.finished(false), killed.finished(true)];
        leave_leftovers(&image, &databases)?;
        let mut older: Vec<Older> = Vec::new();
        for copy in copies {
            let now = image.read_file(&copy.path);
            let is_known =
                |older: &Older| older.path == copy.path && older.contents == copy.contents;
            if now.is_ok_and(|now| now != copy.contents) && !older.iter().any(is_known) {
                older.push(copy);
            }
        }
        Ok(Directory {
            vfs: image,
            databases,
            older,
        })
    }

    /// The database in whose directory the file lies.
    pub(super) fn database_of(&self, path: &Path) -> Option<&Database> {
        let below = path.strip_prefix(DATA_DIR).ok()?;
        let dir = below.iter().next()?.to_str()?;
        self.databases.iter().find(|database| database.dir == dir)
    }
}

/// What interrupted steps leave behind, which an open removes.
fn leave_leftovers(vfs: &SimVfs, databases: &[Database]) -> Made<()> {
    let data_dir = Path::new(DATA_DIR);
    let dir = data_dir.join(&databases[0].dir);
    for (from, to, share) in [
        (data_dir.join("CATALOG"), data_dir.join("CATALOG.tmp"), 2),
        (dir.join("MANIFEST"), dir.join("MANIFEST.tmp"), 3),
    ] {
        let contents = vfs.read_file(&from).map_err(|e| e.to_string())?;
        let part = &contents[..contents.len() / share];
        vfs.write_file(&to, part).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum FileKind {
    Catalog,
    Manifest,
    KeptManifest,
    Data,
    Run,
    Segment,
    Leftover,
}

impl FileKind {
    pub(super) fn of(path: &Path) -> FileKind {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        match name {
            _ if name.ends_with(".tmp") || name == "LOCK" => FileKind::Leftover,
            _ if name.starts_with("CATALOG") => FileKind::Catalog,
            "MANIFEST" => FileKind::Manifest,
            _ if name.starts_with("MANIFEST-") => FileKind::KeptManifest,
            _ if name.ends_with(".dat") => FileKind::Data,
            _ if name.ends_with(".idx") => FileKind::Run,
            _ => FileKind::Segment,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            FileKind::Catalog => "catalog",
            FileKind::Manifest => "manifest",
            FileKind::KeptManifest => "kept manifest",
            FileKind::Data => "data file",
            FileKind::Run => "run",
            FileKind::Segment => "log segment",
            FileKind::Leftover => "leftover",
        }
    }
}
