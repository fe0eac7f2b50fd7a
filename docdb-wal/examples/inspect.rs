//! Prints a segment, or all segments of a log, for people:
//! `cargo run --example inspect -- [--records] FILE_OR_DIRECTORY`.
//!
//! Changes nothing, and takes no lock: of a log that is being written it shows what is there.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use docdb_wal::Replayed;
use docdb_wal::inspect::{self, Found};
use docdb_wal::vfs::RealVfs;

fn main() -> ExitCode {
    let mut records = false;
    let mut target = None;
    for argument in std::env::args_os().skip(1) {
        match argument.to_str() {
            Some("--records") => records = true,
            _ => target = Some(PathBuf::from(argument)),
        }
    }
    let Some(target) = target else {
        eprintln!("usage: inspect [--records] FILE_OR_DIRECTORY");
        return ExitCode::from(2);
    };
    match print(&target, records) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints it; `false` if a file could not be read as a segment.
fn print(target: &Path, records: bool) -> Result<bool, Box<dyn std::error::Error>> {
    let vfs = RealVfs::new();
    let paths = if target.is_dir() {
        inspect::segments(&vfs, target)?
    } else {
        vec![target.to_path_buf()]
    };
    let mut good = true;
    for path in paths {
        println!("{}", path.display());
        let outcome = inspect::segment(
            &vfs,
            &path,
            &mut |found| print_found(&found),
            &mut |record| {
                if records {
                    println!(
                        "      record {}: kind {}, stamp {}, {} bytes{}: {}",
                        record.lsn,
                        record.kind,
                        record.stamp,
                        record.payload.len(),
                        compression_of(&record),
                        start_of(record.payload),
                    );
                }
            },
        );
        if let Err(error) = outcome {
            println!("  unreadable: {error}");
            good = false;
        }
    }
    io::stdout().flush()?;
    Ok(good)
}

fn compression_of(record: &Replayed<'_>) -> String {
    if record.stored_bytes == record.payload.len() {
        return String::new();
    }
    format!(", compressed to {}", record.stored_bytes)
}

fn print_found(found: &Found) {
    match found {
        Found::Segment(segment) => {
            let origin = match segment.cut {
                Some(cut) => format!(
                    "recovered, cuts segment {} at {} behind record {}, group {}",
                    cut.segment, cut.offset, cut.last_lsn, cut.last_group
                ),
                None if segment.first => "the log begins here".to_owned(),
                None => "follows the segment before".to_owned(),
            };
            println!(
                "  segment {} of log {:032x}: {} bytes ({} in the file){}, {origin}; durable then: \
                 record {}, group {}",
                segment.number,
                segment.wal_id,
                segment.capacity_bytes,
                segment.file_bytes,
                if segment.recycled { ", recycled" } else { "" },
                segment.durable_lsn,
                segment.durable_group,
            );
        }
        Found::Group(group) => {
            let content = match group.records {
                0 => format!("no records, next is {}", group.first_lsn),
                count => format!(
                    "{count} records from {}, {} bytes",
                    group.first_lsn, group.records_bytes
                ),
            };
            let marks: String = group.marks.iter().map(|mark| format!(", {mark}")).collect();
            let fault = group
                .fault
                .map_or(String::new(), |fault| format!("; does not count: {fault}"));
            println!(
                "    {:>10} group {}: {content}{marks}; durable then: record {}, group {}{fault}",
                group.offset, group.number, group.durable_lsn, group.durable_group,
            );
        }
        Found::Unreadable { lsn, why } => {
            println!("               record {lsn} is unreadable: {why}");
        }
        Found::Other { offset, end } => {
            println!("    {offset:>10} no group up to {end}");
        }
        _ => {}
    }
}

/// The first bytes of a payload, those that are no printable ASCII escaped.
fn start_of(payload: &[u8]) -> String {
    let start = &payload[..payload.len().min(60)];
    let more = if start.len() < payload.len() {
        "..."
    } else {
        ""
    };
    format!("\"{}\"{more}", start.escape_ascii())
}
