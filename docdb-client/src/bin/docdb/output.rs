//! Answers on stdout.

use std::io::{self, Write};

use docdb_client::Written;
use serde_json::Value;

use crate::Context;

/// Room for a burst of lines before they are written.
pub(crate) const OUTPUT_BYTES: usize = 64 << 10;

/// Writes one line, bytes as they are.
pub(crate) fn line(text: impl AsRef<[u8]>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_ref())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Writes an answer: this text, or with --json this value.
pub(crate) fn answer(context: &Context, text: impl AsRef<[u8]>, json: Value) -> io::Result<()> {
    if context.json {
        line(json.to_string())
    } else {
        line(text)
    }
}

/// Says that it is done.
pub(crate) fn ok(context: &Context) -> io::Result<()> {
    answer(context, "OK", serde_json::json!({ "ok": true }))
}

/// Says what was written.
pub(crate) fn written(context: &Context, written: Written) -> io::Result<()> {
    answer(
        context,
        format!("OK version={}", written.version),
        written_json(written),
    )
}

pub(crate) fn written_json(written: Written) -> Value {
    serde_json::json!({ "id": written.id, "version": written.version })
}

/// How progress looks: in bytes where the whole is known, else by what was done.
pub(crate) fn progress_style(by_bytes: bool) -> indicatif::ProgressStyle {
    let template = if by_bytes {
        "{wide_bar} {bytes}/{total_bytes} {msg} {eta}"
    } else {
        "{spinner} {msg}"
    };
    indicatif::ProgressStyle::with_template(template)
        .unwrap_or_else(|_| indicatif::ProgressStyle::default_bar())
}
