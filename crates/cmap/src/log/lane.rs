//! A lane: an open place to append, and the counters of those who use it.
//!
//! Threads do not share a tail: each prefers a lane of its own, try-locks it, and when it is busy takes the next and prefers
//! that one from then on. A lane is locked while a header and a key are copied, or its counters changed, never while foreign
//! code runs. The counters share its line, so that a write touches one shared line of bookkeeping.
//!
//! A write that replaces nothing needs no lane once it is published. It counts where no other thread does, and takes no lock
//! for that: the first threads have counters of their own, by the numbers of their records.

use super::holes::{Hole, Holes};
use super::log::{Keeper, Log};
use crate::base::sync::{
    AtomicBool, AtomicI64, AtomicU32, AtomicU64, Backoff, Ordering, prefer_next, thread_hint,
};
use crate::memory::{ChunkId, Location, Pin, Pool, Shared, domain};

/// One lane. It belongs to the holder of `locked`; others may look at the counters.
#[repr(align(64))]
pub(super) struct Lane {
    locked: AtomicBool,
    /// Which lane of its stream it is.
    number: u16,
    chunk: AtomicU32,
    /// See [`Stretch::dead`].
    dead: AtomicU32,
    cursor: AtomicU64,
    end: AtomicU64,
    /// Of those who hold it.
    counters: Counters,
    /// How often its threads threw dice: see [`Lane::throw`].
    throws: AtomicU32,
    /// See `holes.rs`. None, as long as few die.
    pub(super) holes: Shared<Holes>,
}

/// What is noted of entries. One thread at a time changes them: the holder of a lane, or the one whose own they are.
struct Counters {
    /// Entries added less entries removed.
    entries: AtomicI64,
    /// Bytes of entries published less bytes of entries unlinked.
    bytes: AtomicI64,
    /// Bytes written and removed since the last maintenance.
    owed: AtomicU64,
}

/// The counters of one thread.
#[repr(align(64))]
pub(super) struct Own(Counters);

const _: () = assert!(cfg!(cmap_loom) || size_of::<Lane>() == 64);

/// How many bytes the log holds of what.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) entries: usize,
    /// Entries that were published and not unlinked.
    pub(crate) live: usize,
    /// Chunks and extents.
    pub(crate) mapped: usize,
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
    /// So many lanes, or fewer under a small limit.
    pub(crate) fn lanes(pool: &Pool, wanted: usize) -> usize {
        lanes_within(
            pool.config().max_bytes,
            Self::stretch_bytes_max(pool),
            wanted,
        )
    }

    pub(super) fn own_lane(&self) -> &Lane {
        let lanes = &self.streams[0].lanes;
        &lanes[own_number(lanes)]
    }

    /// Throws the dice of the thread's lane.
    pub(crate) fn throw(&self) -> Throw {
        Throw(self.own_lane().throw())
    }

    /// Those of the thread, if its record's number is among the first: no other thread that lives has it.
    #[inline(always)]
    fn own_counters(&self) -> Option<&Counters> {
        let own = self.own.get(domain().record_number()?)?;
        Some(&own.0)
    }

    fn all_counters(&self) -> impl Iterator<Item = &Counters> {
        let lanes = self.streams[0].lanes.iter().map(|lane| &lane.counters);
        lanes.chain(self.own.iter().map(|own| &own.0))
    }

    /// Adds to the thread's own counters, or else to those of the lane at hand. Returns what is owed there.
    #[inline(always)]
    fn note(&self, entries: i64, bytes: i64, owed: u64) -> u64 {
        match self.own_counters() {
            Some(own) => own.note(entries, bytes, owed),
            None => lock_any(&self.streams[0].lanes).note(entries, bytes, owed),
        }
    }

    /// Notes that an entry of `bytes` was published. Returns what is owed to maintenance where it is noted.
    #[inline]
    pub(crate) fn note_new(&self, bytes: usize) -> u64 {
        self.note(1, bytes as i64, bytes as u64)
    }

    /// The same where one of `new` bytes (0 = none) took the place of one of `old` bytes at `at`, which nobody new finds.
    #[inline]
    pub(crate) fn note_unlinked(
        &self,
        pool: &Pool,
        keeper: &impl Keeper,
        new: usize,
        (at, old): (Location, usize),
        pin: &Pin,
    ) -> u64 {
        let entries = i64::from(new != 0) - i64::from(!cfg!(planted_len_never_falls));
        let lane = lock_any(&self.streams[0].lanes);
        let owed = lane.note(entries, new as i64 - old as i64, (new + old) as u64);
        let is_counted = new == 0 || !cfg!(planted_overwrite_not_counted);
        let is_left = |hole: &_| is_counted && !lane.lose(pool, *hole);
        let [one, other] =
            Self::keep_hole(pool, &lane, (at, old), pin).map(|hole| hole.filter(is_left));
        drop(lane);
        if let Some((at, bytes)) = one {
            self.unlinked(pool, keeper, at, bytes);
        }
        if let Some((at, bytes)) = other {
            self.unlinked(pool, keeper, at, bytes);
        }
        owed
    }

    /// Puts back what [`Log::settle`] took.
    pub(crate) fn owe(&self, bytes: u64) {
        self.note(0, 0, bytes);
    }

    /// Takes over what is owed: in the thread's own counters, or its own lane, if that is at least a `quantum`; else in the lane
    /// that owes most.
    pub(crate) fn settle(&self, quantum: u64) -> u64 {
        // Relaxed, both: an estimate.
        let is_due = |own: &&Counters| own.owed.load(Ordering::Relaxed) >= quantum;
        if let Some(own) = self.own_counters().filter(is_due) {
            return own.settle();
        }
        let lanes = &self.streams[0].lanes;
        let owed = |lane: &&Lane| lane.counters.owed.load(Ordering::Relaxed);
        let own = &lanes[own_number(lanes)];
        let lane = match owed(&own) >= quantum {
            true => own,
            false => lanes.iter().max_by_key(owed).unwrap_or(own),
        };
        // One that is busy owes somewhat longer.
        lane.try_lock().map_or(0, |lane| lane.0.counters.settle())
    }

    /// Entries: exact when no write overlaps the call.
    pub(crate) fn entries(&self) -> usize {
        let entries = |counters: &Counters| counters.entries.load(Ordering::Relaxed);
        let sum: i64 = self.all_counters().map(entries).sum();
        usize::try_from(sum).unwrap_or(0)
    }

    pub(crate) fn sums(&self, pool: &Pool) -> Sums {
        let bytes = |counters: &Counters| counters.bytes.load(Ordering::Relaxed);
        let live: i64 = self.all_counters().map(bytes).sum();
        let chunks = self.chunk_count() * pool.config().chunk_bytes;
        Sums {
            entries: self.entries(),
            live: usize::try_from(live).unwrap_or(0),
            mapped: chunks + self.extent_bytes.load(Ordering::Relaxed),
        }
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
    /// Bytes of entries of the chunk that the lane's threads unlinked: they come off its count when the stretch is closed.
    pub(super) dead: u32,
}

impl Stretch {
    pub(super) fn room(&self) -> usize {
        self.end - self.cursor
    }
}

impl Counters {
    fn new() -> Self {
        Self {
            entries: AtomicI64::new(0),
            bytes: AtomicI64::new(0),
            owed: AtomicU64::new(0),
        }
    }

    /// Adds to them. Returns what is owed now.
    #[inline]
    fn note(&self, entries: i64, bytes: i64, owed: u64) -> u64 {
        // Relaxed, here and below: one thread changes them, after another by way of a lane's lock or a record's.
        let entries = self.entries.load(Ordering::Relaxed) + entries;
        self.entries.store(entries, Ordering::Relaxed);
        let bytes = self.bytes.load(Ordering::Relaxed) + bytes;
        self.bytes.store(bytes, Ordering::Relaxed);
        let owed = self.owed.load(Ordering::Relaxed) + owed;
        self.owed.store(owed, Ordering::Relaxed);
        owed
    }

    /// Takes what is owed.
    fn settle(&self) -> u64 {
        let owed = self.owed.load(Ordering::Relaxed);
        self.owed.store(0, Ordering::Relaxed);
        owed
    }
}

impl Own {
    pub(super) fn new(_: usize) -> Self {
        Self(Counters::new())
    }
}

impl Lane {
    pub(super) fn new(number: usize) -> Self {
        Self {
            locked: AtomicBool::new(false),
            number: number as u16,
            chunk: AtomicU32::new(0),
            dead: AtomicU32::new(0),
            cursor: AtomicU64::new(0),
            end: AtomicU64::new(0),
            counters: Counters::new(),
            throws: AtomicU32::new(0),
            holes: Shared::empty(),
        }
    }

    /// A number for what is to happen in one of n cases: multiples of the golden ratio, which fall evenly into any number of
    /// equal parts, also where only every second or third of them is used. Never of a hash: all hashes may be one.
    pub(super) fn throw(&self) -> u64 {
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        // Relaxed: a thread of its own lane, as a rule.
        let throws = self.throws.fetch_add(1, Ordering::Relaxed);
        u64::from(throws.wrapping_add(1)).wrapping_mul(GOLDEN)
    }

    pub(super) fn try_lock(&self) -> Option<Locked<'_>> {
        // Acquire: pairs with the Release in `Locked::drop`: the stretch is as the last holder left it, and so are the
        // headers before its cursor.
        let taken = self
            .locked
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
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

/// As many as `wanted`, at least four, as long as what they and half as many of the compactor hold open is at most a sixteenth of
/// the limit.
fn lanes_within(limit: Option<usize>, stretch_bytes: usize, wanted: usize) -> usize {
    const SHARE: usize = 16;
    let most = limit.map_or(usize::MAX, |limit| limit / SHARE / (stretch_bytes * 3 / 2));
    wanted.min(1 << most.max(4).ilog2())
}

/// Which of `lanes`, a power of two of them, the thread prefers.
#[inline]
fn own_number(lanes: &[Lane]) -> usize {
    thread_hint() & (lanes.len() - 1)
}

/// Locks the thread's own lane of `lanes`, if it is free.
#[inline(always)]
pub(super) fn try_lock_own(lanes: &[Lane]) -> Option<Locked<'_>> {
    lanes[own_number(lanes)].try_lock()
}

/// Locks one of `lanes`: the thread's own if it is free.
#[inline]
pub(super) fn lock_any(lanes: &[Lane]) -> Locked<'_> {
    match try_lock_own(lanes) {
        Some(locked) => locked,
        None => lock_another(lanes),
    }
}

#[cold]
fn lock_another(lanes: &[Lane]) -> Locked<'_> {
    let own = own_number(lanes);
    let mut backoff = Backoff::new();
    loop {
        for step in 0..lanes.len() {
            if let Some(locked) = lanes[(own + step) & (lanes.len() - 1)].try_lock() {
                return locked;
            }
            prefer_next();
        }
        backoff.wait();
    }
}

/// A lane that this thread holds.
pub(super) struct Locked<'l>(&'l Lane);

impl Locked<'_> {
    #[inline]
    pub(super) fn lane(&self) -> &Lane {
        self.0
    }

    pub(super) fn number(&self) -> usize {
        usize::from(self.0.number)
    }

    /// What is left of the lane's stretch; `None` if it has none.
    // Relaxed, here and below: these fields are the holder's.
    pub(super) fn stretch(&self) -> Option<Stretch> {
        let chunk = self.0.chunk.load(Ordering::Relaxed);
        (chunk != 0).then(|| Stretch {
            chunk: ChunkId(chunk),
            cursor: self.0.cursor.load(Ordering::Relaxed) as usize,
            end: self.0.end.load(Ordering::Relaxed) as usize,
            dead: self.0.dead.load(Ordering::Relaxed),
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
        self.0.dead.store(stretch.dead, Ordering::Relaxed);
    }

    /// Notes that an entry was unlinked, if it is in the chunk of the lane's stretch. That holds the chunk anyway, so its count,
    /// which others lower as well, need not be touched before the stretch is closed.
    #[inline]
    pub(super) fn lose(&self, pool: &Pool, (at, bytes): Hole) -> bool {
        // No extent is in a chunk of that number, and no entry in chunk 0.
        let is_own = pool.chunk_of(at).0 == self.0.chunk.load(Ordering::Relaxed);
        if is_own {
            let dead = self.0.dead.load(Ordering::Relaxed) + bytes as u32;
            self.0.dead.store(dead, Ordering::Relaxed);
        }
        is_own
    }

    /// Adds to the counters. Returns what is owed now.
    #[inline]
    fn note(&self, entries: i64, bytes: i64, owed: u64) -> u64 {
        self.0.counters.note(entries, bytes, owed)
    }

    pub(super) fn move_cursor(&self, cursor: usize) {
        self.0.cursor.store(cursor as u64, Ordering::Relaxed);
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `try_lock`.
        self.0.locked.store(false, Ordering::Release);
    }
}

#[cfg(all(test, not(any(cmap_loom, cmap_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn a_busy_lane_is_passed_over_and_the_next_one_preferred() {
        let lanes = [Lane::new(0), Lane::new(1)];
        let held = lock_any(&lanes);
        let other = lock_any(&lanes);
        assert_ne!(held.number(), other.number());
        assert!(try_lock_own(&lanes).is_none());
        let number = other.number();
        drop(other);
        assert_eq!(try_lock_own(&lanes).map(|own| own.number()), Some(number));
    }

    #[test]
    fn lanes_hold_little_of_a_limit_open() {
        assert_eq!(lanes_within(None, 64 << 10, 256), 256);
        assert_eq!(lanes_within(Some(1 << 30), 64 << 10, 256), 256);
        assert_eq!(lanes_within(Some(16 << 20), 32 << 10, 256), 16);
        assert_eq!(lanes_within(Some(16 << 20), 32 << 10, 8), 8);
        assert_eq!(lanes_within(Some(64 << 10), 32 << 10, 8), 4);
    }

    #[test]
    fn throws_fall_evenly_whichever_are_used() {
        for step in [1, 2, 3, 4, 16] {
            let lane = Lane::new(0);
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
        let lane = Lane::new(0);
        assert_eq!(lane.lock().stretch(), None);
        let stretch = Stretch {
            chunk: ChunkId(3),
            cursor: 40,
            end: 80,
            dead: 8,
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
