//! The verb `shell`: commands typed one a line, or piped in.

mod command;
mod completer;
mod editor;
mod session;

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use docdb_types::limits::DOCUMENT_BYTES_MAX;
use tokio::runtime::Runtime;

use self::session::{Reply, Session};
use crate::Context;
use crate::failure::{Failure, Outcome};

/// Longest line that is read from a pipe, in bytes: a document and the command around it.
const LINE_BYTES_MAX: usize = DOCUMENT_BYTES_MAX + 1024;

/// Runs commands until `.exit` or the end of the input. On a terminal a failed command is told and
/// forgotten; from a pipe it makes the exit code 1.
pub(crate) fn run(runtime: &Runtime, context: Context, db: Option<&str>) -> Outcome {
    let mut session = Session::new(context.client);
    if let Some(db) = db {
        runtime.block_on(session.open(db))?;
    }
    if io::stdin().is_terminal() {
        editor::run(runtime, &mut session)?;
        return Ok(ExitCode::SUCCESS);
    }
    run_piped(runtime, &mut session, io::stdin().lock())
}

fn run_piped(runtime: &Runtime, session: &mut Session, mut input: impl BufRead) -> Outcome {
    let mut failed = false;
    while let Some(line) = read_line(&mut input)? {
        match answer(runtime, session, &line)? {
            Step::Done => {}
            Step::Failed => failed = true,
            Step::Exit => break,
        }
    }
    Ok(ExitCode::from(u8::from(failed)))
}

enum Step {
    Done,
    Failed,
    Exit,
}

/// Runs one line and prints its answer.
fn answer(runtime: &Runtime, session: &mut Session, line: &str) -> Result<Step, Failure> {
    let mut out = io::stdout().lock();
    let step = match runtime.block_on(session.run(line)) {
        Ok(Reply::Nothing) => return Ok(Step::Done),
        Ok(Reply::Exit) => {
            out.write_all(b"OK\n")?;
            Step::Exit
        }
        Ok(Reply::Ok { details, text }) => {
            let space = if details.is_empty() { "" } else { " " };
            writeln!(out, "OK{space}{details}")?;
            if !text.is_empty() {
                out.write_all(&text)?;
                out.write_all(b"\n")?;
            }
            Step::Done
        }
        Err(failure) => {
            writeln!(out, "{}", failure.line())?;
            Step::Failed
        }
    };
    out.flush()?;
    Ok(step)
}

/// The next line without its end, or `None` after the last one.
fn read_line(input: &mut impl BufRead) -> Result<Option<String>, Failure> {
    let mut line = Vec::new();
    let most = LINE_BYTES_MAX as u64 + 1;
    let read = io::Read::take(&mut *input, most).read_until(b'\n', &mut line);
    read.map_err(|error| Failure::file("stdin", &error))?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.len() > LINE_BYTES_MAX {
        let message = format!("stdin: a line has at most {LINE_BYTES_MAX} bytes");
        return Err(Failure::new(docdb_client::ErrorKind::TooLarge, message));
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    String::from_utf8(line).map(Some).map_err(|_| {
        Failure::new(
            docdb_client::ErrorKind::InvalidArgument,
            "stdin: a line is not UTF-8",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_their_end_and_nothing_else() {
        let mut input = &b".create 1  {} \r\n\n.exit"[..];
        assert_eq!(
            read_line(&mut input).unwrap().as_deref(),
            Some(".create 1  {} ")
        );
        assert_eq!(read_line(&mut input).unwrap().as_deref(), Some(""));
        assert_eq!(read_line(&mut input).unwrap().as_deref(), Some(".exit"));
        assert_eq!(read_line(&mut input).unwrap(), None);
        assert!(read_line(&mut &b"\xff\n"[..]).is_err());
    }
}
