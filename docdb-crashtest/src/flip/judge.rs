//! What is still true of a damaged directory.

use std::path::Path;
use std::sync::Arc;

use docdb_engine::{Db, Error, ErrorKind, ScanRequest, WriteOp};
use docdb_vfs::sim::{CrashPolicy, SimVfs};
use docdb_wal::inspect::{Found, segment, segments};

use super::damage::{Case, Damage};
use super::directory::{DATA_DIR, Database, Directory, FileKind, kill, open};
use crate::oracle::{Care, State, look};

/// What became of a damaged directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// Everything is read as it was written.
    Exact,
    /// The end of the log, which nothing proves, is cut off and reported.
    Torn,
    /// So many documents answer `Corrupt`, all others are read as they were written.
    Unreadable,
    /// The database, or the pool, refuses to open, says which file, and has changed nothing.
    Refused,
}

impl Fate {
    pub(super) const ALL: [Fate; 4] = [Fate::Exact, Fate::Torn, Fate::Unreadable, Fate::Refused];

    pub(super) fn name(self) -> &'static str {
        match self {
            Fate::Exact => "exact",
            Fate::Torn => "torn tail",
            Fate::Unreadable => "documents unreadable",
            Fate::Refused => "refused",
        }
    }
}

/// How much is looked at beside what is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Depth {
    /// The databases that are not damaged, too.
    pub(super) neighbours: bool,
    /// What happens if one goes on: writes, a checkpoint, a compaction, another kill.
    pub(super) afterlife: bool,
}

/// Judges one case.
///
/// # Errors
///
/// The promise that is broken.
pub(super) fn judge(
    case: &Case,
    directory: &Directory,
    other: &Directory,
    depth: Depth,
) -> Result<Fate, String> {
    let vfs = directory.vfs.fork_crash(&CrashPolicy::KeepAll);
    case.apply(&vfs, directory, other)?;
    let changed = vfs.op_count();
    let pool = match open(&vfs) {
        Ok(pool) => pool,
        Err(error) => {
            let may_refuse = matches!(
                case.damage,
                Damage::FlipBoth(..) | Damage::DirectoryUnknown | Damage::Foreign
            );
            let of_catalog = FileKind::of(&case.path) == FileKind::Catalog;
            if !may_refuse && !of_catalog {
                return Err(format!("the pool does not open: {error}"));
            }
            if of_catalog && case.is_flip() && !matches!(case.damage, Damage::FlipBoth(..)) {
                return Err(format!(
                    "one good copy of the catalog is not enough: {error}"
                ));
            }
            check_refusal(case, &error)?;
            if vfs.op_count() != changed {
                return Err(format!(
                    "the pool refuses ({error}) and has changed the disk"
                ));
            }
            return Ok(Fate::Refused);
        }
    };
    if matches!(case.damage, Damage::DirectoryUnknown) {
        return Err("the pool opens although it does not know one of its directories".to_owned());
    }
    let damaged = directory.database_of(&case.path);
    let mut fate = Fate::Exact;
    for database in &directory.databases {
        let is_damaged = damaged.is_some_and(|damaged| damaged.name == database.name);
        if !is_damaged && damaged.is_some() && !depth.neighbours {
            continue;
        }
        let before = vfs.op_count();
        match pool.database(database.name) {
            Err(error) if is_damaged => {
                check_refusal(case, &error)?;
                if vfs.op_count() != before {
                    return Err(format!("it refuses ({error}) and has changed the disk"));
                }
                fate = Fate::Refused;
            }
            Err(error) => {
                return Err(format!("{} is not damaged: {error}", database.name));
            }
            Ok(db) if is_damaged => {
                let found = look_at(case, database, &db, &vfs, directory, other)?;
                if depth.afterlife {
                    afterlife(&db, &found, database, &vfs)?;
                }
                fate = found.fate;
            }
            Ok(db) => is_exact(&db, database)?,
        }
    }
    kill(&vfs, pool);
    Ok(fate)
}

fn is_exact(db: &Db, database: &Database) -> Result<(), String> {
    let seen = look(db, Care::EveryWay)
        .map_err(|what| format!("{} is not damaged: {what}", database.name))?;
    if seen.print != database.last().print() {
        return Err(format!(
            "{} is not damaged and not as it was",
            database.name
        ));
    }
    Ok(())
}

/// It must be the kind of error that damage is, and say where it is.
fn check_refusal(case: &Case, error: &Error) -> Result<(), String> {
    let kind = error.kind();
    if !matches!(kind, ErrorKind::Corrupt | ErrorKind::UnsupportedVersion) {
        return Err(format!("damage is answered with {kind:?}: {error}"));
    }
    names_the_file(case, &error.to_string())
}

/// Whether the text names the damaged file. What is missing or of another time shows in files beside it,
/// and then the directory will do.
fn names_the_file(case: &Case, text: &str) -> Result<(), String> {
    let name = case.path.file_name().and_then(|name| name.to_str());
    let dir = case.path.parent().and_then(Path::to_str);
    let is_named = name.is_some_and(|name| text.contains(name));
    let in_log = case.path.parent().is_some_and(|dir| dir.ends_with("wal"));
    let is_beside = !case.is_flip() || in_log;
    if is_named || is_beside && dir.is_some_and(|dir| text.contains(dir)) {
        return Ok(());
    }
    Err(format!("the error names another file: {text}"))
}

/// What an open database shows.
struct Shown {
    fate: Fate,
    state: Arc<State>,
}

fn look_at(
    case: &Case,
    database: &Database,
    db: &Db,
    vfs: &SimVfs,
    directory: &Directory,
    other: &Directory,
) -> Result<Shown, String> {
    let last = database.last();
    let what = match look(db, Care::EveryWay) {
        Ok(seen) if seen.print == last.print() => {
            return Ok(Shown {
                fate: Fate::Exact,
                state: Arc::clone(last),
            });
        }
        Ok(seen) => {
            let fits = |(_, state): &&(u64, Arc<State>)| state.print() == seen.print;
            let Some((version, state)) = database.states.iter().rev().find(fits) else {
                return Err("it shows a state that it never was in".to_owned());
            };
            may_end_at(*version, case, database, db, directory, other)?;
            return Ok(Shown {
                fate: Fate::Torn,
                state: Arc::clone(state),
            });
        }
        Err(what) => what,
    };
    if !what.contains("Corrupt: ") {
        return Err(format!("it disagrees with itself: {what}"));
    }
    names_the_file(case, &what)?;
    if FileKind::of(&case.path) == FileKind::Segment {
        return Err(format!("what comes from the log is unreadable: {what}"));
    }
    let unreadable = one_by_one(db, last)?;
    if unreadable == 0 {
        return Err(format!("every document can be read, but not all: {what}"));
    }
    let in_one_frame = case.is_flip() && FileKind::of(&case.path) == FileKind::Data;
    if in_one_frame && unreadable > 1 {
        return Err(format!(
            "one byte of a data file costs {unreadable} documents: {what}"
        ));
    }
    let _ = vfs;
    Ok(Shown {
        fate: Fate::Unreadable,
        state: Arc::clone(last),
    })
}

/// Whether a log may be found to end with this commit: only if nothing in what is left proves that
/// more was durable.
fn may_end_at(
    version: u64,
    case: &Case,
    database: &Database,
    db: &Db,
    directory: &Directory,
    other: &Directory,
) -> Result<(), String> {
    let in_log = case.path.parent().is_some_and(|dir| dir.ends_with("wal"));
    if !in_log || !database.needs_log {
        return Err(format!("it ends with version {version}, an older state"));
    }
    let report = db.recovery_report();
    if case.is_flip() {
        let last_but_one = database.states.iter().rev().nth(1).map_or(0, |(v, _)| *v);
        if version < last_but_one {
            return Err(format!(
                "one byte of the log costs all commits after {version}, and {last_but_one} is proven"
            ));
        }
        if report.wal.cut.is_none() {
            return Err(format!(
                "it ends with version {version}, and no tail was cut"
            ));
        }
    }
    // As it was before the open.
    let vfs = directory.vfs.fork_crash(&CrashPolicy::KeepAll);
    case.apply(&vfs, directory, other)?;
    let wal = Path::new(DATA_DIR).join(&database.dir).join("wal");
    let proven = proven(&vfs, &wal).max(report.checkpoint_version);
    if version < proven {
        return Err(format!(
            "it ends with version {version}, and the log proves that {proven} was durable"
        ));
    }
    Ok(())
}

/// The highest commit that anything valid in the files of a log says was durable.
fn proven(vfs: &SimVfs, wal: &Path) -> u64 {
    let mut proven = 0;
    for path in segments(vfs, wal).unwrap_or_default() {
        let mut found = |found: Found| {
            proven = match found {
                Found::Segment(segment) => proven.max(segment.durable_lsn.0),
                Found::Group(group) if group.fault.is_none() => proven.max(group.durable_lsn.0),
                _ => proven,
            };
        };
        // A file that is no segment any more proves nothing.
        let _ = segment(vfs, &path, &mut found, &mut |_| {});
    }
    proven
}

/// Holds every single answer against the state: right, or `Corrupt`. Returns how many documents cannot
/// be read.
///
/// # Errors
///
/// The answer that is neither.
pub(crate) fn one_by_one(db: &Db, state: &State) -> Result<usize, String> {
    let mut unreadable = 0;
    for (name, collection) in state.collections() {
        let documents = &collection.documents;
        let count = db.count(name).map_err(|e| format!("{name}: count: {e}"))?;
        if count != documents.len() as u64 {
            return Err(format!(
                "{name}: {count} are counted, not {}",
                documents.len()
            ));
        }
        let last = documents.last_key_value().map_or(0, |(id, _)| *id);
        for id in 0..=last + 1 {
            match (db.read(name, id), documents.get(&id)) {
                (Ok(read), Some((version, body)))
                    if read.version == *version && *read.body == **body => {}
                (Err(error), Some(_)) if error.kind() == ErrorKind::Corrupt => unreadable += 1,
                (Err(error), None)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {}
                (Ok(_), _) => return Err(format!("{name}/{id}: a wrong document is read")),
                (Err(error), _) => {
                    let kind = error.kind();
                    return Err(format!("{name}/{id}: {kind:?}: {error}"));
                }
            }
        }
        for reverse in [false, true] {
            scan_one_by_one(db, name, collection, reverse)?;
        }
    }
    Ok(unreadable)
}

fn scan_one_by_one(
    db: &Db,
    name: &str,
    collection: &crate::oracle::Collection,
    reverse: bool,
) -> Result<(), String> {
    let documents = &collection.documents;
    let mut wanted: Vec<_> = documents.iter().collect();
    if reverse {
        wanted.reverse();
    }
    let mut wanted = wanted.into_iter();
    let request = ScanRequest {
        collection: name.to_owned(),
        reverse,
        ..ScanRequest::default()
    };
    let mut scan = db
        .scan(&request)
        .map_err(|e| format!("{name}: scan: {e}"))?;
    loop {
        match scan.next_chunk(3, 1 << 10) {
            Ok(chunk) if chunk.is_empty() => break,
            Ok(chunk) => {
                for item in chunk {
                    match wanted.next() {
                        Some((id, (version, body)))
                            if item.id == *id
                                && item.version == *version
                                && *item.body == **body => {}
                        _ => {
                            return Err(format!(
                                "{name}/{}: a scan gives what is not next",
                                item.id
                            ));
                        }
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(()),
            Err(error) => return Err(format!("{name}: scan: {:?}: {error}", error.kind())),
        }
    }
    match wanted.next() {
        None => Ok(()),
        Some((id, _)) => Err(format!("{name}/{id}: a scan leaves it out and succeeds")),
    }
}

/// Goes on with a damaged database: the first write works, and a checkpoint, a compaction and a kill do
/// not spread the damage.
fn afterlife(db: &Db, shown: &Shown, database: &Database, vfs: &SimVfs) -> Result<(), String> {
    let id = 40;
    let body = b"\"after\"";
    let written = db.submit(&[WriteOp::upsert("_default", id, body)]).wait();
    let written = match written {
        Ok(written) => written,
        // Whether the document is there already stands where it cannot be read.
        Err(error) if shown.fate == Fate::Unreadable && error.kind() == ErrorKind::Corrupt => {
            return Ok(());
        }
        Err(error) => return Err(format!("the first write: {:?}: {error}", error.kind())),
    };
    if written.version <= database.states.last().map_or(0, |(version, _)| *version)
        && shown.fate != Fate::Torn
    {
        return Err(format!("version {} is given out again", written.version));
    }
    let op = crate::oracle::Op::new(docdb_engine::WriteKind::Upsert, "_default", id, *body);
    let expected = shown.state.apply(&[op], written.version);
    let (expected, _) = expected.map_err(|(kind, _)| format!("the model refuses: {kind:?}"))?;
    let is_as_expected = |db: &Db, when: &str| {
        let seen = look(db, Care::EveryWay);
        match seen {
            Ok(seen) if seen.print == expected.print() => Ok(()),
            Ok(_) => Err(format!("{when}: it is not as it was before")),
            Err(_) if shown.fate == Fate::Unreadable => one_by_one(db, &expected)
                .map(drop)
                .map_err(|what| format!("{when}: {what}")),
            Err(what) => Err(format!("{when}: {what}")),
        }
    };
    is_as_expected(db, "written to")?;
    for (what, outcome) in [
        ("checkpoint", db.checkpoint().map(drop)),
        ("maintenance", crate::oracle::settle(db)),
        ("compaction", db.compact().map(drop)),
    ] {
        match outcome {
            Ok(()) => {}
            Err(error) if shown.fate == Fate::Unreadable && error.kind() == ErrorKind::Corrupt => {}
            Err(error) => return Err(format!("{what}: {:?}: {error}", error.kind())),
        }
        is_as_expected(db, what)?;
    }
    let image = vfs.fork_crash(&CrashPolicy::KeepNone);
    let pool = open(&image).map_err(|e| format!("after a power loss the pool: {e}"))?;
    match pool.database(database.name) {
        Ok(db) => is_as_expected(&db, "after a power loss")?,
        Err(error) => return Err(format!("it does not open after a power loss: {error}")),
    }
    kill(&image, pool);
    Ok(())
}
