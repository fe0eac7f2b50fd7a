//! The subcommands that work on a data directory without a server.

mod args;
mod output;
mod progress;

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use docdb_engine::offline::{CheckOptions, DumpedDocument, Line, Progress, SalvageOptions};
use docdb_engine::{DbOptions, Error, ErrorKind};
use docdb_pool::{PoolOptions, offline};
use docdb_vfs::{RealVfs, Vfs};

pub use args::{CheckArgs, CompactArgs, DumpArgs, SalvageArgs};

use crate::config::{Command, Config};
use output::{Report, human_bytes};
use progress::Watch;

/// Nothing is wrong.
const OK: u8 = 0;
/// Something is damaged, lost or doubtful.
const CORRUPT: u8 = 5;

/// Most threads of a check.
const THREADS_MAX: usize = 4;

/// Runs a subcommand; the exit code.
///
/// # Errors
/// Those of [`docdb_pool::offline`]; `InvalidArgument` for `serve` and `restore`, which are none of these.
pub fn run(command: &Command, config: &Config) -> Result<u8, Error> {
    match command {
        Command::Check(args) => check(args, config),
        Command::Salvage(args) => salvage(args, config),
        Command::Dump(args) => dump(args, config),
        Command::Compact(args) => compact(args, config),
        Command::Serve | Command::Restore(_) => Err(Error::new(
            ErrorKind::InvalidArgument,
            "serve and restore are none of these subcommands",
        )),
    }
}

fn disk() -> Arc<dyn Vfs> {
    Arc::new(RealVfs::new())
}

fn output_failed(error: &io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot write the output: {error}"))
}

fn code(is_good: bool) -> u8 {
    if is_good { OK } else { CORRUPT }
}

fn check(args: &CheckArgs, config: &Config) -> Result<u8, Error> {
    let dir = args.data_dir.as_deref().unwrap_or(&config.data_dir);
    let mut options = CheckOptions::default();
    options.documents = args.documents;
    options.threads = std::thread::available_parallelism().map_or(1, usize::from);
    options.threads = options.threads.min(THREADS_MAX);
    let progress = options.progress.clone();
    let report = Report::new(args.json, io::stdout());
    let watch = Watch::begin("checking", progress);
    let checked = offline::check(&disk(), dir, &options, &report)?;
    let took = watch.end();
    let total = checked.total;
    let line = Line::default()
        .number("databases", checked.databases)
        .number("documents", total.documents)
        .number("frames", total.frames)
        .number("log_records", total.log_records)
        .number("bytes", total.bytes)
        .number("damages", total.damages)
        .number("notes", total.notes)
        .number("millis", took.as_millis() as u64);
    let verdict = match total.damages {
        0 => "nothing is damaged".to_owned(),
        1 => "1 thing is damaged".to_owned(),
        n => format!("{n} things are damaged"),
    };
    let text = format!(
        "{}: {verdict}. {} databases, {} documents and {} log records, {} read in {:.1} s",
        dir.display(),
        checked.databases,
        total.documents,
        total.log_records,
        human_bytes(total.bytes),
        took.as_secs_f64(),
    );
    report.end(line, &text)?;
    Ok(code(total.damages == 0))
}

fn salvage(args: &SalvageArgs, config: &Config) -> Result<u8, Error> {
    let (from, into) = match &args.directories[..] {
        [from, into] => (from.as_path(), into.as_path()),
        [into] => (config.data_dir.as_path(), into.as_path()),
        _ => {
            let message = "name the data directory and the new directory";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
    };
    if lies_in(into, from) {
        let message = format!("{} lies in {}", into.display(), from.display());
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    let mut options = SalvageOptions::default();
    options.include_doubtful = args.include_doubtful;
    let progress = options.progress.clone();
    let report = Report::new(args.json, io::stdout());
    let watch = Watch::begin("salvaging", progress);
    let salvaged = offline::salvage(&disk(), from, into, &options, &report)?;
    watch.end();
    for database in &salvaged.databases {
        let path = |path: &Option<std::path::PathBuf>| {
            let path = path.as_ref();
            path.map_or(String::new(), |path| path.display().to_string())
        };
        let (lost, doubtful) = (path(&database.lost), path(&database.doubtful));
        let line = Line::default().text("database", &database.name);
        let (line, text) = match &database.outcome {
            Ok(done) => {
                let line = line
                    .number("version", done.version)
                    .number("documents", done.documents)
                    .number("from_copies", done.from_copies)
                    .number("lost", done.lost)
                    .number("doubtful", done.doubtful)
                    .number("damages", done.damages)
                    .truth("whole", done.is_whole)
                    .text("lost_list", &lost)
                    .text("doubtful_list", &doubtful);
                let mut text = format!(
                    "{}: {} documents as of version {}, {} of them from copies; {} lost, {} doubtful",
                    database.name,
                    done.documents,
                    done.version,
                    done.from_copies,
                    done.lost,
                    done.doubtful,
                );
                for list in [&lost, &doubtful] {
                    if !list.is_empty() {
                        text.push_str("; see ");
                        text.push_str(list);
                    }
                }
                (line, text)
            }
            Err(error) => {
                let text = format!("{}: not salvaged: {error}", database.name);
                (line.text("error", &error.to_string()), text)
            }
        };
        report.line(line, &text)?;
    }
    let checked = match salvaged.damages_in_new {
        0 => "a check of it finds nothing damaged".to_owned(),
        n => format!("a check of it finds {n} things damaged"),
    };
    let whole = if salvaged.is_whole {
        "everything is there"
    } else {
        "something is lost or doubtful"
    };
    let line = Line::default()
        .number("databases", salvaged.databases.len() as u64)
        .truth("whole", salvaged.is_whole)
        .number("damages_in_new", salvaged.damages_in_new);
    report.end(line, &format!("{}: {whole}; {checked}", into.display()))?;
    Ok(code(salvaged.is_whole && salvaged.damages_in_new == 0))
}

/// Whether a path, which need not exist, lies in a directory, also through symbolic links.
fn lies_in(path: &Path, dir: &Path) -> bool {
    let Ok(dir) = dir.canonicalize() else {
        return false;
    };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let existing = absolute.ancestors().find_map(|at| at.canonicalize().ok());
    existing.is_some_and(|at| at.starts_with(dir))
}

fn dump(args: &DumpArgs, config: &Config) -> Result<u8, Error> {
    let (dir, databases) = directory_of(&args.target, config);
    let file;
    let stdout;
    let sink: &mut dyn Write = match &args.out {
        Some(path) => {
            file = std::fs::File::create(path).map_err(|error| {
                let message = format!("cannot create {}: {error}", path.display());
                Error::new(ErrorKind::Io, message)
            })?;
            &mut BufWriter::with_capacity(1 << 20, file)
        }
        None => {
            stdout = io::stdout().lock();
            &mut BufWriter::with_capacity(1 << 16, stdout)
        }
    };
    let progress = Progress::default();
    let report = Report::new(false, io::stderr());
    let watch = Watch::begin("dumping", progress.clone());
    let mut give = |database: &str, document: DumpedDocument<'_>| {
        let line = Line::default()
            .text("database", database)
            .text("collection", document.collection)
            .number("id", document.id)
            .number("version", document.version)
            .document("doc", document.body);
        sink.write_all(&line.end())
            .map_err(|error| output_failed(&error))
    };
    let dumped = offline::dump(&disk(), dir, databases, &progress, &report, &mut give)?;
    sink.flush().map_err(|error| output_failed(&error))?;
    watch.end();
    if dumped.damages > 0 {
        let text = format!(
            "{} documents dumped; {} things are damaged, so some may be missing",
            dumped.documents, dumped.damages
        );
        report.end(Line::default(), &text)?;
    }
    Ok(code(dumped.damages == 0))
}

fn compact(args: &CompactArgs, config: &Config) -> Result<u8, Error> {
    let (dir, databases) = directory_of(&args.target, config);
    let mut db = DbOptions::default();
    db.keep_checkpoints = config.keep_checkpoints as usize;
    db.wal_bytes_max = config.wal_bytes_max;
    let options = PoolOptions::default().db(db);
    let report = Report::new(args.json, io::stdout());
    let mut failed = None;
    offline::compact(&disk(), dir, databases, options, &mut |name, done| {
        let line = Line::default()
            .text("database", name)
            .number("bytes_before", done.bytes_before)
            .number("bytes_after", done.bytes_after)
            .number("files", done.files)
            .number("documents_moved", done.documents_moved)
            .number("millis", done.time.as_millis() as u64);
        let text = format!(
            "{name}: data files of {} before, {} after; {} documents moved in {:.1} s",
            human_bytes(done.bytes_before),
            human_bytes(done.bytes_after),
            done.documents_moved,
            done.time.as_secs_f64(),
        );
        if let Err(error) = report.line(line, &text) {
            failed = Some(error);
        }
    })?;
    failed.map_or(Ok(OK), Err)
}

/// The data directory, and the databases named behind it.
fn directory_of<'a>(target: &'a [String], config: &'a Config) -> (&'a Path, &'a [String]) {
    match target {
        [dir, databases @ ..] => (Path::new(dir), databases),
        [] => (&config.data_dir, &[]),
    }
}
