//! A lane: an open place to append, and the counters of those who use it.
//!
//! Threads do not share a tail: each prefers a lane of its own, try-locks it, and takes the next when it is busy. A lane is
//! locked while a header and a key are copied, never while foreign code runs. Its counters share its line, so that a write
//! touches one shared line of bookkeeping.

use crate::base::sync::{AtomicI64, AtomicU32, AtomicU64, Backoff, Ordering, thread_hint};
use crate::memory::ChunkId;

/// One lane. All but the counters belong to the holder of `locked`.
#[repr(align(64))]
pub(super) struct Lane {
    locked: AtomicU32,
    chunk: AtomicU32,
    cursor: AtomicU64,
    end: AtomicU64,
    /// Entries added less entries removed, by the threads that prefer this lane.
    pub(super) entries: AtomicI64,
    /// Bytes of entries published less bytes of entries unlinked.
    pub(super) bytes: AtomicI64,
    /// Bytes written and removed since the last maintenance.
    pub(super) owed: AtomicU64,
}

/// The part of a chunk that a lane took: what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) chunk: ChunkId,
    /// Offsets in the pool's range.
    pub(super) cursor: usize,
    pub(super) end: usize,
}

impl Stretch {
    pub(super) fn room(&self) -> usize {
        self.end - self.cursor
    }
}

impl Lane {
    pub(super) fn new() -> Self {
        Self {
            locked: AtomicU32::new(0),
            chunk: AtomicU32::new(0),
            cursor: AtomicU64::new(0),
            end: AtomicU64::new(0),
            entries: AtomicI64::new(0),
            bytes: AtomicI64::new(0),
            owed: AtomicU64::new(0),
        }
    }

    pub(super) fn try_lock(&self) -> Option<Locked<'_>> {
        // Acquire: pairs with the Release in `Locked::drop`: the stretch is as the last holder left it, and so are the
        // headers before its cursor.
        let taken = self
            .locked
            .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed);
        taken.ok().map(|_| Locked(self))
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        let mut backoff = Backoff::new();
        loop {
            if let Some(locked) = self.try_lock() {
                return locked;
            }
            backoff.wait();
        }
    }
}

/// Locks one of `lanes`: the thread's own if it is free.
#[inline]
pub(super) fn lock_any(lanes: &[Lane]) -> (usize, Locked<'_>) {
    let own = thread_hint() % lanes.len();
    if let Some(locked) = lanes[own].try_lock() {
        return (own, locked);
    }
    lock_another(lanes, own)
}

#[cold]
fn lock_another(lanes: &[Lane], own: usize) -> (usize, Locked<'_>) {
    let mut backoff = Backoff::new();
    loop {
        for step in 0..lanes.len() {
            let lane = (own + step) % lanes.len();
            if let Some(locked) = lanes[lane].try_lock() {
                return (lane, locked);
            }
        }
        backoff.wait();
    }
}

/// A lane that this thread holds.
pub(super) struct Locked<'l>(&'l Lane);

impl Locked<'_> {
    /// What is left of the lane's stretch; `None` if it has none.
    // Relaxed, here and below: these fields are the holder's.
    pub(super) fn stretch(&self) -> Option<Stretch> {
        let chunk = self.0.chunk.load(Ordering::Relaxed);
        (chunk != 0).then(|| Stretch {
            chunk: ChunkId(chunk),
            cursor: self.0.cursor.load(Ordering::Relaxed) as usize,
            end: self.0.end.load(Ordering::Relaxed) as usize,
        })
    }

    pub(super) fn set(&self, stretch: Option<Stretch>) {
        let Some(stretch) = stretch else {
            self.0.chunk.store(0, Ordering::Relaxed);
            return;
        };
        debug_assert!(stretch.cursor <= stretch.end);
        self.0.chunk.store(stretch.chunk.0, Ordering::Relaxed);
        self.0
            .cursor
            .store(stretch.cursor as u64, Ordering::Relaxed);
        self.0.end.store(stretch.end as u64, Ordering::Relaxed);
    }

    pub(super) fn move_cursor(&self, cursor: usize) {
        self.0.cursor.store(cursor as u64, Ordering::Relaxed);
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `try_lock`.
        self.0.locked.store(0, Ordering::Release);
    }
}

#[cfg(all(test, not(any(cmap_loom, cmap_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn a_busy_lane_is_passed_over() {
        let lanes = [Lane::new(), Lane::new()];
        let (first, held) = lock_any(&lanes);
        let (second, other) = lock_any(&lanes);
        assert_ne!(first, second);
        drop(held);
        assert!(lanes[first].try_lock().is_some());
        drop(other);
    }

    #[test]
    fn a_stretch_is_what_the_last_holder_left() {
        let lane = Lane::new();
        assert_eq!(lane.lock().stretch(), None);
        let stretch = Stretch {
            chunk: ChunkId(3),
            cursor: 40,
            end: 80,
        };
        lane.lock().set(Some(stretch));
        lane.lock().move_cursor(60);
        assert_eq!(
            lane.lock().stretch(),
            Some(Stretch {
                cursor: 60,
                ..stretch
            })
        );
        lane.lock().set(None);
        assert_eq!(lane.lock().stretch(), None);
    }
}
