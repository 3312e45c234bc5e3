//! Holes: the space of dead entries, which a lane keeps for new ones of just their size.
//!
//! ```text
//!      first        ripe        stamped        end
//!        |  no pin    |  waits     |  is next    |          a ring; what leaves it anywhere else than here is on nobody's
//!        |  sees them |  for pins  |  to wait    |          list any more, and comes off its chunk's count
//! ```
//! The lane of whoever unlinks an entry keeps its space, and leaves its bytes on the chunk's count (*Counted*): as if it were
//! an append that is not published yet. When many have come together they get one stamp, and are *ripe* once no pin can see
//! them; then an append takes the space of just its size, and neither copies anything nor changes a count. Where all entries
//! are of one size, churn needs no compaction at all. What a lane has no use for comes off its chunk's count as ever.
//!
//! **Holes-unseen.** *A hole is filled only when no pin can see what was in it, no hold is in its chunk, and no walk.* A walk
//! takes all holes of its chunk away from the lanes before it looks at anything, and as long as its credit makes the count
//! odd, they keep no new ones there.
//!
//! **Lane's-list.** *Who looks at a lane's list of holes holds the lane's lock, and who is about to stamp has marked it.* So what
//! is in it needs no order of its own, and who takes an empty one that is not marked out of the lane may free it. Source of the idea: hole plugging, J. Ousterhout et al.;
//! segregated free lists.

use super::lane::{Locked, try_lock_own};
use super::log::{Appended, Keeper, Log};
use crate::base::interleave;
use crate::base::sync::{AtomicU64, Ordering};
use crate::memory::{
    ChunkId, GRANULE, LOCATION_BITS, Location, NoHeap, Pin, Pool, Quiesced, Tag, Unlinked, Who,
    domain, try_box, try_slice,
};

/// Holes that a lane keeps at most, in batches that are stamped at once; and their bytes at most, for each.
const BATCHES: u64 = 4;
const BYTES_EACH: u64 = 128;
/// Of all bytes that a lane may keep, what is larger than this part (1/n) is no hole: a few of them would fill the list.
const LARGE_SHARE: u64 = 32;
/// Holes that are given up at once.
const AT_ONCE: usize = 64;
/// How many of the oldest are asked for their size.
const LOOKS: u64 = 8;
/// So many more appends found holes of other sizes only than one of theirs: then a lane keeps none for so many removals.
const LUCK: u64 = 128;
const REST: u64 = 1 << 20;

/// A thread is about to stamp them.
const STAMPING: u64 = u64::MAX;

/// The holes of a lane.
pub(super) struct Holes {
    /// `| bytes in granules, 24 | location, 40 |`; 0: taken away by a walk. A power of two of them.
    ring: Box<[AtomicU64]>,
    // Places in the ring, which only grow.
    first: AtomicU64,
    ripe: AtomicU64,
    stamped: AtomicU64,
    end: AtomicU64,
    /// Of those that wait for pins; 0: none do; [`STAMPING`].
    stamp: AtomicU64,
    /// In all of them.
    bytes: AtomicU64,
    /// In those that came since the last stamp, whatever became of them.
    fresh_bytes: AtomicU64,
    /// Appends less holes kept: how many more are wanted.
    wanted: AtomicU64,
    /// Up to [`LUCK`]: one more for each append that found a hole of its size, one less for each that found others only.
    luck: AtomicU64,
    /// How many removals it is until holes are kept again.
    rest: AtomicU64,
}

pub(super) type Hole = (Location, usize);

// Relaxed, both: under the lane's lock.
fn get(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

fn set(word: &AtomicU64, to: u64) {
    word.store(to, Ordering::Relaxed);
}

fn hole(word: u64) -> Option<Hole> {
    let bytes = (word >> LOCATION_BITS) as usize * GRANULE;
    Location::of_word(word).map(|at| (at, bytes))
}

impl Holes {
    fn places_of(batch: u64) -> usize {
        (BATCHES * batch).next_power_of_two() as usize
    }

    /// On the heap, charged.
    fn heap_bytes_of(batch: u64) -> usize {
        size_of::<Self>() + Self::places_of(batch) * size_of::<AtomicU64>()
    }

    fn try_new(batch: u64) -> Result<Self, NoHeap> {
        let zero = || AtomicU64::new(0);
        Ok(Self {
            ring: try_slice(Self::places_of(batch), |_| zero())?,
            first: zero(),
            ripe: zero(),
            stamped: zero(),
            end: zero(),
            stamp: zero(),
            bytes: zero(),
            fresh_bytes: zero(),
            wanted: zero(),
            luck: AtomicU64::new(LUCK),
            rest: zero(),
        })
    }

    #[inline]
    fn word(&self, place: u64) -> &AtomicU64 {
        &self.ring[place as usize & (self.ring.len() - 1)]
    }

    #[inline]
    fn places(&self) -> u64 {
        self.ring.len() as u64
    }

    /// Keeps a hole, if as many were appended: where much dies and little is new, holes would keep chunks for nothing. Returns
    /// those that it does not keep (any more): that one, or the oldest, or both.
    #[inline]
    fn keep(&self, (at, bytes): Hole) -> [Option<Hole>; 2] {
        let rest = get(&self.rest);
        if rest > 0 {
            set(&self.rest, rest - 1);
            return [Some((at, bytes)), self.pop_first()];
        }
        let (wanted, most) = (get(&self.wanted), self.places() * BYTES_EACH);
        if bytes as u64 > most / LARGE_SHARE {
            return [Some((at, bytes)), None];
        }
        let has_room = || {
            let is_place_free = get(&self.end) - get(&self.first) < self.places();
            is_place_free && get(&self.bytes) + bytes as u64 <= most
        };
        let mut oldest = None;
        if wanted == 0 || !has_room() {
            oldest = self.pop_first();
            if wanted == 0 || !has_room() {
                return [Some((at, bytes)), oldest];
            }
        }
        set(&self.wanted, wanted - 1);
        let end = get(&self.end);
        let granules = (bytes / GRANULE) as u64;
        let word = granules << LOCATION_BITS | at.bits();
        set(self.word(end), word);
        set(&self.end, end + 1);
        set(&self.bytes, get(&self.bytes) + bytes as u64);
        set(&self.fresh_bytes, get(&self.fresh_bytes) + bytes as u64);
        [oldest, None]
    }

    /// The oldest, ripe or not.
    fn pop_first(&self) -> Option<Hole> {
        let first = get(&self.first);
        if first == get(&self.end) {
            return None;
        }
        set(&self.first, first + 1);
        let gone = hole(get(self.word(first)));
        self.lose(gone.map_or(0, |(_, bytes)| bytes));
        gone
    }

    fn lose(&self, bytes: usize) {
        set(&self.bytes, get(&self.bytes) - bytes as u64);
    }

    /// Takes a ripe hole of just so many bytes, if it is free.
    ///
    /// Where sizes are too many, few appends find one, and those that do put what is new among what is old: no chunk dies by
    /// itself any more, as chunks do where the oldest entries go first. So the lane keeps none for a while.
    #[inline]
    fn take(&self, bytes: usize, is_free: impl Fn(Location) -> bool) -> Option<Location> {
        if get(&self.rest) > 0 {
            return None;
        }
        set(&self.wanted, (get(&self.wanted) + 1).min(self.places()));
        let (first, ripe) = (get(&self.first), get(&self.ripe));
        let mut is_other_size = false;
        for place in first..ripe.min(first + LOOKS) {
            match hole(get(self.word(place))) {
                // The first ones, as a rule: a walk has taken them away.
                None if place == get(&self.first) => set(&self.first, place + 1),
                Some((at, space)) if space == bytes && is_free(at) => {
                    let first = get(&self.first);
                    set(self.word(place), get(self.word(first)));
                    set(&self.first, first + 1);
                    self.lose(bytes);
                    set(&self.luck, (get(&self.luck) + 1).min(LUCK));
                    return Some(at);
                }
                found => is_other_size |= found.is_some_and(|(_, space)| space != bytes),
            }
        }
        if is_other_size {
            self.be_unlucky();
        }
        None
    }

    fn be_unlucky(&self) {
        let luck = get(&self.luck) - 1;
        if luck > 0 {
            set(&self.luck, luck);
        } else {
            set(&self.luck, LUCK);
            set(&self.rest, REST);
        }
    }

    /// The one that is taken next, if it has the size.
    #[inline]
    fn next(&self) -> Option<Location> {
        let first = get(&self.first);
        let is_ripe = first < get(&self.ripe);
        is_ripe.then(|| Location::of_word(get(self.word(first))))?
    }

    /// Takes away those of `chunk`. Returns how many bytes they are.
    fn take_away(&self, chunk: ChunkId, chunk_of: impl Fn(Location) -> ChunkId) -> u64 {
        let mut sum = 0;
        for place in get(&self.first)..get(&self.end) {
            let word = self.word(place);
            if let Some((_, bytes)) = hole(get(word)).filter(|(at, _)| chunk_of(*at) == chunk) {
                set(word, 0);
                sum += bytes;
            }
        }
        self.lose(sum);
        sum as u64
    }

    fn any(&self) -> bool {
        get(&self.first) < get(&self.end)
    }

    /// What came since the last time is about to be stamped, by the caller. `false`: it is not time for that.
    fn begin_stamp(&self) -> bool {
        let is_due = get(&self.stamp) == 0 && self.is_due();
        if is_due {
            set(&self.stamped, get(&self.end));
            set(&self.fresh_bytes, 0);
            set(&self.stamp, STAMPING);
        }
        is_due
    }

    /// No pin sees any more what was unlinked before `stamp`.
    fn ripen(&self, stamp: u64) {
        if get(&self.stamp) == stamp {
            set(&self.ripe, get(&self.stamped));
            set(&self.stamp, 0);
        }
    }

    /// Whether it is time to stamp what came since the last time.
    fn is_due(&self) -> bool {
        let batch = self.places() / BATCHES;
        let fresh = get(&self.end) - get(&self.stamped).min(get(&self.end));
        let ripe = get(&self.ripe) - get(&self.first).min(get(&self.ripe));
        let is_much = fresh >= batch || get(&self.fresh_bytes) >= batch * BYTES_EACH;
        is_much && ripe < batch
    }
}

impl Log {
    /// As [`Log::reserve`], where the lane has a hole of that size.
    #[inline(always)]
    pub(super) fn reserve_in_hole(
        pool: &Pool,
        lane: &Locked<'_>,
        bytes: usize,
        pin: &Pin,
        write: impl FnOnce(usize),
    ) -> Option<Appended> {
        let holes = lane.holes(pin)?;
        let pins = |at| &pool.descriptor(pool.chunk_of(at)).pins;
        // Acquire: pairs with the Release in `Hold::drop`: what the holds read comes before what is written here. Who took one
        // of the entry that was here did so under a pin that has ended.
        let is_free = |at| pins(at).load(Ordering::Acquire) == 0 || cfg!(planted_hole_held);
        let taken = holes.take(bytes, is_free);
        if let Some(next) = holes.next() {
            pool.arena().prefetch_entry(next);
        }
        let at = taken?;
        pool.arena().gone(at.offset(), bytes);
        write(at.offset());
        Some(Appended::in_lane(at, bytes, lane))
    }

    /// Has the lane keep the space of an entry that was just unlinked. Returns what it does not keep (any more).
    #[inline]
    pub(super) fn keep_hole(
        pool: &Pool,
        lane: &Locked<'_>,
        (at, bytes): Hole,
        pin: &Pin,
    ) -> [Option<Hole>; 2] {
        let Some(holes) = lane.holes(pin).filter(|_| !pool.is_extent(at)) else {
            return [Some((at, bytes)), None];
        };
        // Relaxed: a walk that began has had this lane locked since, or will have.
        let live = pool
            .descriptor(pool.chunk_of(at))
            .live
            .load(Ordering::Relaxed);
        let is_walked = live % GRANULE as u64 != 0;
        if is_walked && !cfg!(planted_hole_kept_in_walk) {
            return [Some((at, bytes)), None];
        }
        holes.keep((at, bytes))
    }

    /// Takes the holes of `chunk`, whose walk has its credit, away from all lanes.
    pub(super) fn take_holes_away(
        &self,
        pool: &Pool,
        keeper: &impl Keeper,
        chunk: ChunkId,
        pin: &Pin,
    ) {
        if cfg!(planted_hole_in_walk) {
            return;
        }
        for lane in &self.streams[0].lanes {
            // Locked even if it has none now: what it writes into one that it has taken must be there.
            let lane = lane.lock();
            let holes = lane.holes(pin);
            let bytes = holes.map_or(0, |holes| holes.take_away(chunk, |at| pool.chunk_of(at)));
            drop(lane);
            interleave::point();
            self.lower(pool, keeper, chunk, bytes);
        }
    }

    /// Has all lanes give up all holes; with `lists`, what they keep them in as well.
    pub(crate) fn give_holes_up(&self, pool: &Pool, keeper: &impl Keeper, lists: bool, pin: &Pin) {
        for lane in &self.streams[0].lanes {
            // What comes meanwhile may stay.
            let places = lane.lock().holes(pin).map_or(0, Holes::places) as usize;
            for _ in 0..places.div_ceil(AT_ONCE) {
                let locked = lane.lock();
                let pop = |_| locked.holes(pin)?.pop_first();
                let some: [_; AT_ONCE] = core::array::from_fn(pop);
                drop(locked);
                for (at, bytes) in some.into_iter().flatten() {
                    self.lower(pool, keeper, pool.chunk_of(at), bytes as u64);
                }
            }
            let list = (lists && places > 0).then(|| lane.lock().take_list(pin));
            if let Some(list) = list.flatten() {
                let bytes = Holes::heap_bytes_of(list.get().places() / BATCHES);
                // Lane's-list: the lock is ours no more, and nobody else finds it.
                list.free(&Quiesced::unseen());
                self.hole_heap.fetch_sub(bytes, Ordering::Relaxed);
                pool.uncharge_heap(bytes);
            }
        }
    }

    /// Whether the thread's lane keeps no holes, as far as can be told.
    pub(crate) fn lacks_holes(&self, pin: &Pin) -> bool {
        try_lock_own(&self.streams[0].lanes).is_some_and(|lane| lane.holes(pin).is_none())
    }

    /// Bytes of the lists, on the heap and charged.
    pub(crate) fn hole_heap_bytes(&self) -> usize {
        self.hole_heap.load(Ordering::Relaxed)
    }

    /// How many a lane may stamp at once, a power of two or none, where all lanes together keep so many bytes at most.
    pub(crate) fn hole_batch(&self, bytes: usize) -> u64 {
        let batch = bytes as u64 / self.streams[0].lanes.len() as u64 / (BATCHES * BYTES_EACH);
        batch.checked_ilog2().map_or(0, |bits| 1 << bits)
    }

    /// Has the thread's lane keep holes from now on, if there is memory for that.
    pub(crate) fn start_holes(&self, pool: &Pool, batch: u64) {
        let bytes = Holes::heap_bytes_of(batch);
        if pool.charge_heap(bytes, Who::Writer).is_err() {
            return;
        }
        // Relaxed, here and below: a figure.
        self.hole_heap.fetch_add(bytes, Ordering::Relaxed);
        let is_set = Holes::try_new(batch).ok().is_some_and(|holes| {
            let holes = try_box(holes).ok();
            holes.is_some_and(|holes| self.own_lane().holes.set_if_empty(holes).is_ok())
        });
        if !is_set {
            self.hole_heap.fetch_sub(bytes, Ordering::Relaxed);
            pool.uncharge_heap(bytes);
        }
    }

    /// Stamps what came to the thread's lane since the last time, or, if it may look at all pins, finds that what was stamped is
    /// ripe.
    pub(crate) fn ripen(&self, tag: Tag, may_look: bool, pin: &Pin) {
        let lanes = &self.streams[0].lanes;
        let Some(lane) = try_lock_own(lanes) else {
            return;
        };
        let Some(holes) = lane.holes(pin) else {
            return;
        };
        let (number, is_due) = (lane.number(), holes.begin_stamp());
        let stamp = get(&holes.stamp);
        drop(lane);
        if is_due {
            // What was unlinked comes before it, through the lane's lock.
            let stamp = domain().stamp();
            let lane = lanes[number].lock();
            if let Some(holes) = lane.holes(pin) {
                set(&holes.stamp, stamp);
            }
        } else if may_look
            && !matches!(stamp, 0 | STAMPING)
            && (domain().oldest_pin(tag) > stamp || cfg!(planted_hole_unripe))
        {
            let lane = lanes[number].lock();
            if let Some(holes) = lane.holes(pin) {
                holes.ripen(stamp);
            }
        }
    }
}

impl Locked<'_> {
    /// The list of the lane's holes; none, as long as few die.
    #[inline]
    fn holes<'a>(&'a self, pin: &'a Pin) -> Option<&'a Holes> {
        self.lane().holes.load(pin)
    }

    /// Takes an empty list out, unless a thread is about to come back to it.
    fn take_list(&self, pin: &Pin) -> Option<Unlinked<Holes>> {
        let holes = self.holes(pin)?;
        let is_marked = get(&holes.stamp) == STAMPING && !cfg!(planted_list_unmarked);
        let may = !holes.any() && !is_marked;
        may.then(|| self.lane().holes.swap(None)).flatten()
    }
}

#[cfg(all(test, not(any(cmap_loom, cmap_shuttle))))]
mod tests {
    use super::*;

    fn at(n: usize) -> Location {
        Location::at(n * GRANULE)
    }

    fn ripened(holes: &Holes) {
        set(&holes.ripe, get(&holes.end));
        set(&holes.stamped, get(&holes.end));
    }

    /// A list of eight places, for so many appends.
    fn list(appends: usize) -> Holes {
        let holes = Holes::try_new(2).expect("memory");
        (0..appends).for_each(|_| assert_eq!(holes.take(4, |_| true), None));
        holes
    }

    #[test]
    fn a_hole_is_taken_once_it_is_ripe_by_its_size_and_only_once() {
        let holes = list(2);
        assert_eq!(holes.keep((at(1), 8)), [None; 2]);
        assert_eq!(holes.keep((at(3), 12)), [None; 2]);
        assert_eq!(holes.take(8, |_| true), None, "not ripe");
        ripened(&holes);
        assert_eq!(holes.take(16, |_| true), None);
        assert_eq!(holes.take(12, |_| false), None, "held");
        assert_eq!(holes.take(12, |_| true), Some(at(3)));
        assert_eq!(holes.take(12, |_| true), None);
        assert_eq!(holes.next(), Some(at(1)));
        assert_eq!(holes.take(8, |_| true), Some(at(1)));
        assert_eq!((holes.next(), get(&holes.bytes)), (None, 0));
    }

    #[test]
    fn as_many_are_kept_as_were_appended_and_then_none() {
        let holes = list(2);
        for n in 0..2 {
            assert_eq!(holes.keep((at(1 + 2 * n), 8)), [None; 2]);
        }
        for n in 0..2 {
            let both = [Some((at(99), 8)), Some((at(1 + 2 * n), 8))];
            assert_eq!(holes.keep((at(99), 8)), both);
        }
        assert_eq!(holes.keep((at(99), 8)), [Some((at(99), 8)), None]);
        assert_eq!(get(&holes.bytes), 0);
    }

    #[test]
    fn the_oldest_makes_room_in_a_full_list() {
        let holes = list(100);
        for n in 0..8 {
            assert_eq!(holes.keep((at(1 + 2 * n), 8)), [None; 2]);
        }
        assert_eq!(get(&holes.wanted), 0, "no more than it has places");
        assert_eq!(holes.take(4, |_| true), None);
        assert_eq!(holes.keep((at(99), 8)), [Some((at(1), 8)), None]);
    }

    #[test]
    fn bytes_count_as_well_and_large_ones_are_not_kept() {
        let holes = Holes::try_new(64).expect("memory");
        assert_eq!((holes.places(), 256 * BYTES_EACH), (256, 32 << 10));
        (0..256).for_each(|_| assert_eq!(holes.take(4, |_| true), None));
        assert_eq!(holes.keep((at(1), 1028)), [Some((at(1), 1028)), None]);
        for n in 0..64 {
            assert_eq!(holes.is_due(), n >= 16, "a quarter of all bytes");
            assert_eq!(holes.keep((at(1 + 128 * n), 512)), [None; 2]);
        }
        assert_eq!(holes.keep((at(9999), 512)), [Some((at(1), 512)), None]);
        assert_eq!(get(&holes.bytes), 32 << 10);
    }

    #[test]
    fn what_a_walk_takes_away_is_nobodys() {
        let holes = list(4);
        for n in [1, 11, 3, 13] {
            assert_eq!(holes.keep((at(n), 8)), [None; 2]);
        }
        ripened(&holes);
        let chunk_of = |at: Location| ChunkId(1 + u32::from(at.offset() > 40));
        assert_eq!(holes.take_away(ChunkId(1), chunk_of), 16);
        assert_eq!(holes.take_away(ChunkId(1), chunk_of), 0);
        assert_eq!(holes.take(8, |_| true), Some(at(11)));
        assert_eq!(holes.take(8, |_| true), Some(at(13)));
        assert_eq!((holes.take(8, |_| true), get(&holes.bytes)), (None, 0));
    }
}
