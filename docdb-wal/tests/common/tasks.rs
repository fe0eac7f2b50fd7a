//! The least of an async runtime: enough to await tickets.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs one future to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::park();
    }
}

/// Runs all futures to their end on this thread; each is polled only when it was woken.
pub(crate) fn join_all<F: Future + Unpin>(futures: Vec<F>) -> Vec<F::Output> {
    struct Slot {
        index: usize,
        woken: std::sync::mpsc::Sender<usize>,
    }
    impl Wake for Slot {
        fn wake(self: Arc<Self>) {
            let _ = self.woken.send(self.index);
        }
    }
    let (woken, queue) = std::sync::mpsc::channel();
    let mut left = futures.len();
    let mut slots: Vec<(Option<F>, Option<F::Output>, Waker)> = futures
        .into_iter()
        .enumerate()
        .map(|(index, future)| {
            let woken = woken.clone();
            let _ = woken.send(index);
            let waker = Waker::from(Arc::new(Slot { index, woken }));
            (Some(future), None, waker)
        })
        .collect();
    while left > 0 {
        let Ok(index) = queue.recv() else { break };
        let (future, output, waker) = &mut slots[index];
        if let Some(running) = future
            && let Poll::Ready(done) = Pin::new(running).poll(&mut Context::from_waker(waker))
        {
            *output = Some(done);
            *future = None;
            left -= 1;
        }
    }
    slots
        .into_iter()
        .filter_map(|(_, output, _)| output)
        .collect()
}

/// A waker that counts.
#[derive(Default)]
pub(crate) struct CountWakes(pub(crate) AtomicUsize);

impl CountWakes {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
