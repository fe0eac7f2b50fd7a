//! Commits that come between: made while another step of the database is at an operation of the disk.

use std::path::Path;
use std::sync::Arc;

use docdb_engine::vfs::IoOp;
use parking_lot::Mutex;

use crate::oracle::{Op, Session, Stop};

/// An operation at which something comes between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// So many operations on data files later.
    OfDataFile(u32),
    /// So many operations on index runs later.
    OfRun(u32),
}

#[derive(Debug)]
struct Armed {
    moment: Moment,
    session: Session,
    ops: Vec<Op>,
    checkpoint: bool,
}

#[derive(Debug, Default)]
struct Inner {
    /// The database that is open.
    open: Option<Session>,
    armed: Option<Armed>,
    stop: Option<Stop>,
    calls: u64,
}

/// What comes between, if anything, and what readers would see; shared between a life and the disk's
/// hook.
#[derive(Debug, Clone, Default)]
pub struct Between(Arc<Mutex<Inner>>);

impl Between {
    pub(super) fn watch(&self, open: Option<Session>) {
        // Dropped outside the lock: the last handle may close files.
        let before = std::mem::replace(&mut self.0.lock().open, open);
        drop(before);
    }
    pub(super) fn arm(&self, moment: Moment, session: Session, ops: Vec<Op>, checkpoint: bool) {
        self.0.lock().armed = Some(Armed {
            moment,
            session,
            ops,
            checkpoint,
        });
    }

    /// Whatever did not come to pass will not any more.
    ///
    /// # Errors
    /// What went wrong in between.
    pub(super) fn disarm(&self) -> Result<(), Stop> {
        let mut inner = self.0.lock();
        inner.armed = None;
        inner.stop.take().map_or(Ok(()), Err)
    }

    /// How often something has come between.
    pub fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    /// To be called before every operation of the disk, holding nothing.
    pub fn before(&self, op: IoOp, path: &Path) {
        let open = self.0.lock().open.clone();
        if let Some(open) = open {
            let visible = open.db.visible_version();
            open.journal.lock().seen(visible);
        }
        let Some(armed) = self.take_if_due(op, path) else {
            return;
        };
        let Armed { session, ops, .. } = armed;
        let done = session.commit(&ops).and_then(|_| {
            if armed.checkpoint {
                session.checkpoint()?;
            }
            Ok(())
        });
        let mut inner = self.0.lock();
        inner.calls += 1;
        inner.stop = done.err();
    }

    fn take_if_due(&self, op: IoOp, path: &Path) -> Option<Armed> {
        let mut inner = self.0.lock();
        let armed = inner.armed.as_mut()?;
        if !matches!(op, IoOp::Open | IoOp::Write | IoOp::Sync) {
            return None;
        }
        let name = path.file_name()?.to_str()?;
        let (prefix, left) = match &mut armed.moment {
            Moment::OfDataFile(left) => ("data-", left),
            Moment::OfRun(left) => ("run-", left),
        };
        if !name.starts_with(prefix) {
            return None;
        }
        if *left > 0 {
            *left -= 1;
            return None;
        }
        inner.armed.take()
    }
}
