//! Long work on a worker thread that its client can give up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use docdb_ipc::{BackupRequest, RequestId, Text};

use super::Connection;
use crate::execute::Outcome;
use crate::{backup, heal};

/// The work under way, and how it is told to end. It ends with the connection.
///
/// A client may use the number of a request that is under way for another one; both are told then.
#[derive(Debug, Default)]
pub(super) struct Cancellables(Vec<(RequestId, Arc<AtomicBool>)>);

impl Cancellables {
    fn begin(&mut self, id: RequestId) -> Arc<AtomicBool> {
        let is_cancelled = Arc::new(AtomicBool::new(false));
        self.0.push((id, Arc::clone(&is_cancelled)));
        is_cancelled
    }

    /// The work has ended.
    pub(super) fn ended(&mut self, id: RequestId) {
        self.0.retain(|(work, _)| *work != id);
    }

    /// Tells it to end; false if there is no such work. Its answer comes all the same.
    pub(super) fn cancel(&self, id: RequestId) -> bool {
        let mut found = false;
        for (_, is_cancelled) in self.0.iter().filter(|(work, _)| *work == id) {
            is_cancelled.store(true, Ordering::Relaxed);
            found = true;
        }
        found
    }

    pub(super) fn cancel_all(&self) {
        for (_, is_cancelled) in &self.0 {
            is_cancelled.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Cancellables {
    fn drop(&mut self) {
        self.cancel_all();
    }
}

impl Connection {
    pub(super) fn backup(&mut self, id: RequestId, request: BackupRequest) {
        let is_cancelled = self.cancellables.begin(id);
        self.job(id, move |state| backup::run(state, &request, &is_cancelled));
    }

    pub(super) fn heal_all(&mut self, id: RequestId, db: Text) {
        let is_cancelled = self.cancellables.begin(id);
        self.job(id, move |state| {
            Outcome::Response(heal::heal_all(state, &db, &is_cancelled))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_is_told_to_end_and_nothing_else() {
        let mut cancellables = Cancellables::default();
        let (one, two) = (RequestId(1), RequestId(2));
        let (first, second) = (cancellables.begin(one), cancellables.begin(two));
        assert!(cancellables.cancel(one));
        let told = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        assert_eq!((told(&first), told(&second)), (true, false));
        cancellables.ended(two);
        assert!(!cancellables.cancel(two));
        assert!(!told(&second));
        let third = cancellables.begin(two);
        drop(cancellables);
        assert!(told(&third));
    }
}
