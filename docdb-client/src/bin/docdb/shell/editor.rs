//! The shell on a terminal: line editing, completion, and a history that outlives it.

use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use docdb_client::ErrorKind;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use tokio::runtime::Runtime;

use super::completer::CommandCompleter;
use super::session::Session;
use super::{Step, answer};
use crate::failure::Failure;
use crate::output;

/// Lines that the history file keeps.
const HISTORY_LINES_MAX: usize = 1_000;

pub(super) fn run(runtime: &Runtime, session: &mut Session) -> Result<(), Failure> {
    let failed = |error: ReadlineError| Failure::new(ErrorKind::Io, error.to_string());
    let config = Config::builder()
        .max_history_size(HISTORY_LINES_MAX)
        .map_err(failed)?
        .auto_add_history(true)
        .build();
    let mut editor: Editor<CommandCompleter, FileHistory> =
        Editor::with_config(config).map_err(failed)?;
    editor.set_helper(Some(CommandCompleter));
    let history = history_file();
    if let Some(path) = &history {
        // There is none the first time.
        let _ = editor.load_history(path);
    }
    let version = env!("CARGO_PKG_VERSION");
    output::line(format!("DocDB {version}. .help lists the commands."))?;
    let result = loop {
        match editor.readline(&session.prompt()) {
            Ok(line) => match answer(runtime, session, &line) {
                Ok(Step::Exit) => break Ok(()),
                Ok(Step::Done | Step::Failed) => {}
                Err(failure) => break Err(failure),
            },
            // Ctrl-C gives up the line, Ctrl-D the shell.
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break Ok(()),
            Err(error) => break Err(failed(error)),
        }
    };
    if let Some(path) = &history
        && let Err(error) = editor.save_history(path)
    {
        // There is nobody to tell that stderr is gone.
        let _ = writeln!(
            std::io::stderr(),
            "the history was not saved: {}: {error}",
            path.display()
        );
    }
    result
}

/// `docdb/history` in the user's state directory. It holds documents, so only the user may read it.
fn history_file() -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .and_then(absolute);
    let home = || {
        std::env::home_dir()
            .and_then(absolute)
            .map(|home| home.join(".local/state"))
    };
    let dir = state.or_else(home)?.join("docdb");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .ok()?;
    Some(dir.join("history"))
}
