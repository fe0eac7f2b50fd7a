//! Writes what is exported, on a thread of its own: whoever reads a pipe slowly holds up that thread,
//! and neither the connection nor the snapshot that is exported.

use std::io::{self, Write};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use docdb_client::{DEFAULT_COLLECTION, Snapshot};
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::timeout;

use crate::failure::Failure;
use crate::output::OUTPUT_BYTES;

/// Parts that wait to be written.
const PARTS_MAX: usize = 4;
/// How often a snapshot is used while there is nothing to do but to wait; it ends when it was not used
/// for a while, 60 s by default.
const USE_EVERY: Duration = Duration::from_secs(2);

pub(super) struct Pump {
    part: Vec<u8>,
    parts: Sender<Vec<u8>>,
    writing: JoinHandle<io::Result<()>>,
    /// Is kept alive meanwhile.
    snapshot: Option<Snapshot>,
}

impl Pump {
    pub(super) fn start(mut out: Box<dyn Write + Send>, snapshot: Option<Snapshot>) -> Pump {
        let (parts, mut waiting) = channel::<Vec<u8>>(PARTS_MAX);
        let writing = thread::spawn(move || {
            while let Some(part) = waiting.blocking_recv() {
                out.write_all(&part)?;
            }
            out.flush()
        });
        Pump {
            part: Vec::with_capacity(OUTPUT_BYTES),
            parts,
            writing,
            snapshot,
        }
    }

    /// Writes a line, sooner or later.
    pub(super) async fn line(&mut self, line: &[u8]) -> Result<(), Failure> {
        self.part.extend_from_slice(line);
        self.part.push(b'\n');
        if self.part.len() >= OUTPUT_BYTES {
            self.send().await?;
        }
        Ok(())
    }

    /// Waits until all is written; the error if something could not be.
    pub(super) async fn finish(mut self) -> Result<(), Failure> {
        // All was read, and it may be closed.
        self.snapshot = None;
        // If the thread has ended, it says why.
        let _ = self.send().await;
        drop(self.parts);
        match self.writing.join() {
            Ok(written) => Ok(written?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    async fn send(&mut self) -> Result<(), Failure> {
        let place = loop {
            match (
                timeout(USE_EVERY, self.parts.reserve()).await,
                &self.snapshot,
            ) {
                (Ok(place), _) => break place,
                (Err(_), Some(snapshot)) => {
                    snapshot.raw_collection(DEFAULT_COLLECTION).count().await?;
                }
                (Err(_), None) => {}
            }
        };
        let part = std::mem::replace(&mut self.part, Vec::with_capacity(OUTPUT_BYTES));
        match place {
            Ok(place) => {
                place.send(part);
                Ok(())
            }
            Err(_) => Err(Failure::OutputClosed),
        }
    }
}
