//! How far an offline subcommand has got, on stderr: one line that is written over on a terminal, a new
//! one from time to time elsewhere.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use docdb_engine::offline::Progress;

use super::output::human_bytes;

const EVERY_ON_TERMINAL: Duration = Duration::from_millis(250);
const EVERY_ELSEWHERE: Duration = Duration::from_secs(10);

/// Tells of progress until it is ended or dropped.
pub(super) struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    began: Instant,
}

impl Watch {
    pub(super) fn begin(what: &'static str, progress: Progress) -> Watch {
        let (stop, stopped) = mpsc::channel();
        let is_terminal = io::stderr().is_terminal();
        let every = if is_terminal {
            EVERY_ON_TERMINAL
        } else {
            EVERY_ELSEWHERE
        };
        let tell = move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let (done, total) = (progress.bytes(), progress.bytes_total());
                let text = format!(
                    "{what}: {} of about {}",
                    human_bytes(done),
                    human_bytes(total.max(done))
                );
                // There is nobody to tell that stderr is gone.
                let _ = if is_terminal {
                    write!(io::stderr(), "\r{text}\x1b[K")
                } else {
                    writeln!(io::stderr(), "{text}")
                };
            }
            if is_terminal {
                let _ = write!(io::stderr(), "\r\x1b[K");
            }
        };
        // Without a thread there is no progress to see, and all else is done.
        let thread = std::thread::Builder::new().spawn(tell).ok();
        Watch {
            stop: Some(stop),
            thread,
            began: Instant::now(),
        }
    }

    /// Ends it; how long it took.
    pub(super) fn end(self) -> Duration {
        self.began.elapsed()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}
