//! The maintenance thread of a map that asked for one.

use core::hash::BuildHasher;
use std::time::Duration;

use super::error::Error;
use crate::base::sync::{
    Arc, AtomicBool, Ordering,
    thread::{self, JoinHandle},
};
use crate::store::Store;

/// How long it rests when there is nothing to do.
const REST: Duration = Duration::from_millis(5);
const STACK_BYTES: usize = 128 << 10;

/// A running thread; dropping it ends it, within one step of compaction.
pub(super) struct Tender {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tender {
    pub(super) fn spawn<S: BuildHasher + Send + Sync + 'static>(
        store: &Arc<Store<S>>,
    ) -> Result<Self, Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, store) = (stop.clone(), store.clone());
        let thread = thread::Builder::new()
            .name("cmap-maintenance".into())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                // Relaxed: unparking synchronises.
                while !stopped.load(Ordering::Relaxed) {
                    store.pool().touch_ahead();
                    // A hasher that panics must not end the thread: later, then.
                    let tended =
                        std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| store.tend()));
                    if !tended.unwrap_or(false) {
                        thread::park_timeout(REST);
                    }
                }
            })
            .map_err(|_| Error::OutOfMemory { bytes: STACK_BYTES })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Tender {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // Foreign code that the thread runs may have the last hold of the map. In a forked child the thread does not exist:
            // the map is forgotten before this runs.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}
