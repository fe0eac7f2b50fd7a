//! The background work of a database that was opened for itself, outside a pool.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use docdb_types::ErrorKind;
use docdb_wal::{FlushDriver, ThreadDriver};
use parking_lot::{Condvar, Mutex};

use crate::checkpoint::RETRY_AFTER;
use crate::db::{Db, Inner};
use crate::error::{Error, Result};
use crate::options::Maintainer;

/// A thread that flushes what is awaited and a thread for maintenance.
#[derive(Debug)]
pub(crate) struct OwnThreads {
    flush: Arc<ThreadDriver>,
    wishes: Arc<Wishes>,
    maintenance: Mutex<Option<JoinHandle<()>>>,
    served: Mutex<Weak<Inner>>,
}

#[derive(Debug, Default)]
struct Wishes {
    state: Mutex<Wish>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Wish {
    wanted: bool,
    stop: bool,
}

impl Maintainer for Wishes {
    fn request(&self) {
        let mut state = self.state.lock();
        if !state.wanted {
            state.wanted = true;
            self.changed.notify_one();
        }
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl OwnThreads {
    pub(crate) fn start() -> Result<OwnThreads> {
        let flush = ThreadDriver::start().map_err(no_thread)?;
        Ok(OwnThreads {
            flush: Arc::new(flush),
            wishes: Arc::default(),
            maintenance: Mutex::new(None),
            served: Mutex::new(Weak::new()),
        })
    }

    pub(crate) fn flush_driver(&self) -> Arc<dyn FlushDriver> {
        Arc::clone(&self.flush) as _
    }

    pub(crate) fn maintainer(&self) -> Arc<dyn Maintainer> {
        Arc::clone(&self.wishes) as _
    }

    /// Starts maintaining `db`. Without the thread, memory pressure still makes writers take
    /// checkpoints, so a refusal to start one is not an error.
    pub(crate) fn serve(&self, db: &Db) {
        let inner = Arc::downgrade(&db.inner);
        *self.served.lock() = Weak::clone(&inner);
        let wishes = Arc::clone(&self.wishes);
        let thread = std::thread::Builder::new()
            .name("docdb-maintenance".to_owned())
            .spawn(move || maintain(&inner, &wishes));
        *self.maintenance.lock() = thread.ok();
    }

    /// Ends the maintenance thread.
    pub(crate) fn stop(&self) {
        self.wishes.state.lock().stop = true;
        self.wishes.changed.notify_all();
        if let Some(thread) = self.maintenance.lock().take() {
            let _ = thread.join();
        }
    }
}

impl Drop for OwnThreads {
    /// The last handle is gone: the database is closed as [`Db::close`] does it.
    fn drop(&mut self) {
        self.stop();
        if let Some(inner) = self.served.lock().upgrade() {
            let _ = inner.close();
        }
    }
}

fn no_thread(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot start a thread: {error}")).with_source(error)
}

fn maintain(inner: &Weak<Inner>, wishes: &Wishes) {
    let mut wait = None;
    loop {
        {
            let mut state = wishes.state.lock();
            if !state.wanted && !state.stop {
                match wait {
                    None => wishes.changed.wait(&mut state),
                    Some(wait) => {
                        wishes.changed.wait_for(&mut state, wait);
                    }
                }
            }
            if state.stop {
                return;
            }
            state.wanted = false;
        }
        let Some(inner) = inner.upgrade() else { return };
        let db = Db {
            inner,
            threads: None,
        };
        wait = match db.maintenance_step() {
            Ok(_) => db.maintenance_due().map(|due| {
                due.saturating_sub(db.inner.vfs.now())
                    .max(Duration::from_millis(1))
            }),
            Err(error) if error.kind() == ErrorKind::Closed => return,
            Err(_) => Some(RETRY_AFTER),
        };
    }
}
