//! Reads the input on a thread of its own and shows how far it has come.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::thread;

use bytes::Bytes;
use indicatif::ProgressBar;
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::output::progress_style;

/// One read from the input.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that are read ahead of what is sent.
const CHUNKS_AHEAD: usize = 4;

pub(crate) struct Input {
    name: String,
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    progress: ProgressBar,
    counts_bytes: bool,
}

impl Input {
    /// Opens a file, or stdin for `-`. Progress is shown on a terminal unless it is `quiet`.
    pub(crate) fn open(file: &Path, quiet: bool) -> Result<Input, Failure> {
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let shown = !quiet && io::stderr().is_terminal();
        let is_stdin = file == Path::new("-");
        let name = if is_stdin {
            "stdin".to_owned()
        } else {
            file.display().to_string()
        };
        let progress = if is_stdin {
            // The thread may wait for stdin for ever; the program ends without it.
            thread::spawn(move || read(io::stdin().lock(), &sender));
            if shown {
                ProgressBar::new_spinner()
            } else {
                ProgressBar::hidden()
            }
        } else {
            let open = || -> io::Result<(File, u64)> {
                let file = File::open(file)?;
                let metadata = file.metadata()?;
                if metadata.is_dir() {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                Ok((file, metadata.len()))
            };
            let (file, bytes) = open().map_err(|error| Failure::file(&name, &error))?;
            thread::spawn(move || read(file, &sender));
            if shown {
                ProgressBar::new(bytes)
            } else {
                ProgressBar::hidden()
            }
        };
        if shown {
            progress.set_style(progress_style(!is_stdin));
        }
        Ok(Input {
            name,
            chunks,
            progress,
            counts_bytes: !is_stdin,
        })
    }

    /// The next bytes; `None` at the end.
    pub(crate) async fn next_chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        match self.chunks.recv().await {
            None => Ok(None),
            Some(Ok(chunk)) => {
                if self.counts_bytes {
                    self.progress.inc(chunk.len() as u64);
                }
                Ok(Some(chunk))
            }
            Some(Err(error)) => Err(Failure::file(&self.name, &error)),
        }
    }

    /// Shows how many documents were imported.
    pub(super) fn show(&self, imported: u64) {
        self.progress.set_message(format!("{imported} documents"));
        if !self.counts_bytes {
            self.progress.tick();
        }
    }

    /// Takes the progress bar away.
    pub(crate) fn finish(&self) {
        self.progress.finish_and_clear();
    }
}

fn read(mut input: impl Read, chunks: &mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let result = match input.read(&mut chunk) {
            Ok(0) => return,
            Ok(length) => {
                chunk.truncate(length);
                Ok(Bytes::from(chunk))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let ends = result.is_err();
        // Nobody receives any more once the import has failed.
        if chunks.blocking_send(result).is_err() || ends {
            return;
        }
    }
}
