//! The verb `scan`.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use docdb_client::ErrorKind;

use crate::Context;
use crate::failure::{Failure, Outcome};
use crate::json_text::{export_line, on_one_line};
use crate::output::OUTPUT_BYTES;

/// Which documents, and in which order.
pub(super) struct Range {
    pub(super) from: Option<u64>,
    pub(super) to: Option<u64>,
    pub(super) limit: Option<u64>,
    pub(super) reverse: bool,
}

pub(super) async fn scan(context: &Context, db: &str, collection: &str, range: Range) -> Outcome {
    if range.limit == Some(0) {
        return Err(Failure::new(
            ErrorKind::InvalidArgument,
            "--limit must be at least 1",
        ));
    }
    let ids = range.from.unwrap_or(0)..=range.to.unwrap_or(u64::MAX);
    let mut scan = context
        .client
        .database(db)
        .raw_collection(collection)
        .scan(ids);
    if let Some(limit) = range.limit {
        scan = scan.limit(limit);
    }
    if range.reverse {
        scan = scan.reverse();
    }
    let mut out = BufWriter::with_capacity(OUTPUT_BYTES, io::stdout().lock());
    let mut line = Vec::new();
    while let Some(document) = scan.next().await? {
        line.clear();
        if context.json {
            export_line(
                &mut line,
                None,
                document.id,
                document.version,
                &document.value,
            );
        } else {
            line.extend_from_slice(format!("{}\t", document.id).as_bytes());
            line.extend_from_slice(&on_one_line(&document.value));
        }
        line.push(b'\n');
        out.write_all(&line)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
