//! A file system on which something happens just before files of one kind are synced.

use std::sync::Arc;

use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::SimVfs;
use parking_lot::Mutex;

use super::watched::{Synced, Watched};

type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// The next sync of a file whose name begins so calls what is hooked, once.
#[derive(Clone)]
pub(crate) struct Hooked {
    watched: Watched,
    hook: Hook,
}

impl Hooked {
    pub(crate) fn new(vfs: &SimVfs, prefix: &'static str) -> Hooked {
        let hook: Hook = Arc::default();
        let in_watch = Arc::clone(&hook);
        let watched = Watched::new(vfs, move |synced| {
            if matches!(synced, Synced::File(name) if name.starts_with(prefix)) {
                // Not held while it is called: it may come by here again.
                let hook = in_watch.lock().take();
                if let Some(hook) = hook {
                    hook();
                }
            }
            true
        });
        Hooked { watched, hook }
    }

    pub(crate) fn vfs(&self) -> Arc<dyn Vfs> {
        Arc::new(self.watched.clone())
    }

    pub(crate) fn hook(&self, what: impl FnOnce() + Send + 'static) {
        *self.hook.lock() = Some(Box::new(what));
    }

    pub(crate) fn is_hooked(&self) -> bool {
        self.hook.lock().is_some()
    }
}
