//! A lane: an open place to append, and the counters of those who use it.
//!
//! Threads do not share a tail: each prefers a lane of its own, try-locks it, and takes the next when it is busy. A lane is
//! locked while a header and a key are copied, never while foreign code runs. Its counters share its line, so that a write
//! touches one shared line of bookkeeping.

use super::log::Log;
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
    /// How often its threads threw dice: see [`Lane::throw`].
    throws: AtomicU64,
}

/// What chance decides. From [`Log::throw`](super::Log::throw).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Throw(pub(super) u64);

impl Throw {
    /// Whether this is the one case in `n`, a power of two.
    pub(crate) fn is_one_in(self, n: u64) -> bool {
        debug_assert!(n.is_power_of_two());
        self.0 >> (64 - n.trailing_zeros()) == 0
    }

    /// Where to look.
    pub(crate) fn number(self) -> u64 {
        // Mixed: of a multiple of anything, the lower bits go round in small circles.
        (self.0 ^ self.0 >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32
    }
}

impl Log {
    /// The lane whose counters the thread uses.
    #[inline]
    pub(super) fn own_lane(&self) -> &Lane {
        let lanes = &self.streams[0].lanes;
        &lanes[own_number(lanes)]
    }

    /// Throws the dice of the thread's lane.
    pub(crate) fn throw(&self) -> Throw {
        Throw(self.own_lane().throw())
    }

    /// Goes on where the lanes of `old` were.
    #[cfg(planted_lane_kept_across_clear)]
    pub(crate) fn keep_lanes(&self, old: &Log) {
        for (lane, old) in self.streams[0].lanes.iter().zip(&old.streams[0].lanes) {
            lane.lock().set(old.lock().stretch());
        }
    }
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
            throws: AtomicU64::new(0),
        }
    }

    /// A number for what is to happen in one of n cases: multiples of the golden ratio, which fall evenly into any number of
    /// equal parts, also where only every second or third of them is used. Never of a hash: all hashes may be one.
    pub(super) fn throw(&self) -> u64 {
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        // Relaxed: a thread of its own lane, as a rule.
        let throws = self.throws.fetch_add(1, Ordering::Relaxed);
        throws.wrapping_add(1).wrapping_mul(GOLDEN)
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

/// Which of `lanes`, a power of two of them, the thread prefers.
#[inline]
fn own_number(lanes: &[Lane]) -> usize {
    thread_hint() & (lanes.len() - 1)
}

/// Locks one of `lanes`: the thread's own if it is free.
#[inline]
pub(super) fn lock_any(lanes: &[Lane]) -> (usize, Locked<'_>) {
    let own = own_number(lanes);
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
            let lane = (own + step) & (lanes.len() - 1);
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
    fn throws_fall_evenly_whichever_are_used() {
        for step in [1, 2, 3, 4, 16] {
            let lane = Lane::new();
            let thrown = (0..64_000 * step).map(|_| lane.throw()).step_by(step);
            let mut counts = [0; 64];
            thrown.for_each(|throw| counts[(throw >> 58) as usize] += 1);
            assert!(
                counts.iter().all(|count| (900..1_100).contains(count)),
                "every {step}: {counts:?}"
            );
            let thrown = (0..64_000 * step)
                .map(|_| Throw(lane.throw()))
                .step_by(step);
            let mut numbers = [0; 64];
            let of_one_in_four = thrown.filter(|throw| throw.is_one_in(4));
            of_one_in_four.for_each(|throw| numbers[throw.number() as usize % 64] += 1);
            assert!(
                numbers.iter().all(|count| (150..350).contains(count)),
                "every {step}: {numbers:?}"
            );
        }
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
