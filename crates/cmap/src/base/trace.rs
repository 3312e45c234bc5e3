//! What happens in a map, as events of `tracing` (feature `tracing`); without the feature, nothing.
//!
//! Foreign code runs in these functions: whoever calls one holds no lock, though perhaps a pin.

#[cfg(not(feature = "tracing"))]
pub(crate) use silent::*;
#[cfg(feature = "tracing")]
pub(crate) use told::*;

#[cfg(not(feature = "tracing"))]
mod silent {
    #[inline(always)]
    pub(crate) fn tables(_what: &'static str, _depth: u32) {}

    #[inline(always)]
    pub(crate) fn compacted(_count: impl FnOnce() -> [u64; 3]) {}

    /// When the limit was last told of.
    pub(crate) struct LimitReached;

    impl LimitReached {
        pub(crate) fn new() -> Self {
            Self
        }

        #[inline(always)]
        pub(crate) fn tell(
            &self,
            _needed: usize,
            _available: usize,
            _pinned: usize,
            _refused: u64,
        ) {
        }
    }
}

#[cfg(feature = "tracing")]
mod told {
    use crate::base::sync::{Instant, Mutex};
    use core::time::Duration;

    /// A table was `what`: split, merged, or rebuilt; `depth` bits of the hash lead to what it became.
    pub(crate) fn tables(what: &'static str, depth: u32) {
        tracing::trace!(target: "cmap", what, depth, "table replaced");
    }

    /// The walk through a chunk has ended; counted since the map was made.
    pub(crate) fn compacted(count: impl FnOnce() -> [u64; 3]) {
        if tracing::enabled!(target: "cmap", tracing::Level::DEBUG) {
            let [compactions, relocations, bytes_moved] = count();
            tracing::debug!(target: "cmap", compactions, relocations, bytes_moved, "chunk compacted");
        }
    }

    /// When the limit was last told of.
    pub(crate) struct LimitReached(Mutex<Option<Instant>>);

    impl LimitReached {
        pub(crate) fn new() -> Self {
            Self(Mutex::new(None))
        }

        /// A call was refused. At most once a second: a program at its limit may be refused a million times.
        pub(crate) fn tell(&self, needed: usize, available: usize, pinned: usize, refused: u64) {
            const REST: Duration = Duration::from_secs(1);
            let Some(mut last) = self.0.try_lock() else {
                return;
            };
            if last.is_some_and(|last| last.elapsed() < REST) {
                return;
            }
            *last = Some(Instant::now());
            drop(last);
            tracing::warn!(target: "cmap", needed, available, pinned, refused, "limit reached");
        }
    }
}
