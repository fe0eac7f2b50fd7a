//! The end of views whose time is over, whether their client says anything or not.

use std::future::Future;
use std::task::{Context, Poll};

use docdb_ipc::{RequestId, Response, ViewRequest, WireError};
use docdb_types::ErrorKind;
use tokio::time::{Instant, sleep_until};

use super::{Place, View, Views, body_bytes};
use crate::limits::EXPIRED_KEPT_MAX;

impl Views {
    /// Ends what is over by now, and has the task woken when more is.
    pub(in crate::connection) fn poll_expired(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Some(timer) = &mut self.timer {
            let Poll::Ready(()) = timer.as_mut().poll(cx) else {
                break;
            };
            let now = Instant::now();
            self.timer = None;
            let here =
                |view: &View| matches!(view.place, Place::Transaction(_) | Place::Snapshot(_));
            let views = self.views.iter().filter(|(_, view)| here(view));
            let (over, left): (Vec<_>, Vec<_>) = views
                .map(|(id, view)| (*id, view.end))
                .partition(|(_, end)| *end <= now);
            for (id, _) in over {
                self.expire(id);
                progress = true;
            }
            if let Some(next) = left.into_iter().map(|(_, end)| end).min() {
                self.arm(next);
            }
        }
        progress
    }

    /// Keeps nothing of a view but that it expired.
    fn expire(&mut self, id: RequestId) {
        let Some(view) = self.views.get_mut(&id) else {
            return;
        };
        view.place = Place::Expired;
        let is_transaction = view.is_transaction;
        self.uncount(is_transaction);
        self.ready.push_back(id);
        self.expired.push_back(id);
        if self.expired.len() > EXPIRED_KEPT_MAX
            && let Some(oldest) = self.expired.pop_front()
            && let Some(view) = self.views.get(&oldest)
            && matches!(view.place, Place::Expired)
        {
            self.end(oldest);
        }
    }

    /// Answers what was asked of a view that has expired. To roll it back or close it is granted.
    pub(super) fn pass_expired(&mut self, id: RequestId) {
        while let Some(view) = self.views.get_mut(&id)
            && let Some(queued) = view.queue.pop_front()
        {
            self.queued -= 1;
            self.queued_bytes -= body_bytes(&queued.request);
            let error = || Response::Error(expired(id, view.is_transaction));
            let (answer, ends) = match (&queued.request, view.is_transaction) {
                (ViewRequest::Rollback { .. }, true)
                | (ViewRequest::CloseSnapshot { .. }, false) => (Response::Ok, true),
                (ViewRequest::Commit { .. }, true) => (error(), true),
                _ => (error(), false),
            };
            self.answered.push((queued.id, answer));
            if ends {
                self.end(id);
            }
        }
    }

    /// Has the timer ring at that time or before.
    pub(super) fn arm(&mut self, end: Instant) {
        if self
            .timer
            .as_ref()
            .is_none_or(|timer| end < timer.deadline())
        {
            self.timer = Some(Box::pin(sleep_until(end)));
        }
    }
}

pub(super) fn expired(id: RequestId, is_transaction: bool) -> WireError {
    if is_transaction {
        let message = format!(
            "the deadline of transaction {id} has passed; nothing was written, begin a new one"
        );
        WireError::new(ErrorKind::TransactionExpired, message)
    } else {
        let message = format!("snapshot {id} was not used for too long; take a new one");
        WireError::new(ErrorKind::SnapshotTooOld, message)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::time::Duration;

    use docdb_pool::{Pool, PoolOptions};
    use docdb_vfs::RealVfs;

    use super::*;
    use crate::view;

    const ID: RequestId = RequestId(7);

    /// A snapshot that nobody uses keeps neither itself nor its database.
    #[tokio::test]
    async fn a_snapshot_that_is_not_used_is_dropped() {
        let temp = tempfile::tempdir().unwrap();
        let vfs = Arc::new(RealVfs::new());
        let pool = Pool::open(vfs, temp.path().join("data"), PoolOptions::default()).unwrap();
        pool.create_database("db", None).unwrap();
        let mut views = Views::new(Duration::from_millis(1));
        let request = ViewRequest::OpenSnapshot { db: "db".into() };
        views.open(ID, false, 1).unwrap();
        assert_eq!(
            views.open(RequestId(8), false, 1).unwrap_err().kind(),
            ErrorKind::LimitExceeded
        );
        let open = view::open(pool.database("db").unwrap(), &request).unwrap();
        assert!(views.opened(ID, open));
        assert!(!pool.close_database("db").unwrap());

        poll_fn(|cx| match views.poll_expired(cx) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        assert!(pool.close_database("db").unwrap());
        assert_eq!(views.gone(ID).unwrap().kind(), ErrorKind::SnapshotTooOld);
        assert!(views.timer.is_none());
        views.open(RequestId(8), false, 1).unwrap();
        // To close it is granted, once.
        let close = || ViewRequest::CloseSnapshot { view: ID };
        views.push(ID, RequestId(9), close()).unwrap();
        assert!(views.next_turn().is_none());
        assert_eq!(views.take_answers(), [(RequestId(9), Response::Ok)]);
        assert!(views.push(ID, RequestId(10), close()).is_err());
    }

    /// What is remembered of expired ones has a limit.
    #[tokio::test]
    async fn the_oldest_are_forgotten() {
        let mut views = Views::new(Duration::ZERO);
        for id in 1..=EXPIRED_KEPT_MAX as u64 + 2 {
            views.open(RequestId(id), true, 1).unwrap();
            views.expire(RequestId(id));
        }
        let kind = |id| views.gone(RequestId(id)).unwrap().kind();
        assert_eq!(kind(2), ErrorKind::TransactionNotFound);
        assert_eq!(kind(3), ErrorKind::TransactionExpired);
        assert_eq!(views.views.len(), EXPIRED_KEPT_MAX);
    }
}
