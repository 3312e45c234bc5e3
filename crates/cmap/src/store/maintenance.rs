//! Maintenance: what writers and removers owe, and how memory goes back.
//!
//! A call that owes does at most one thing: give back a part of what no pin sees, one grace attempt, one merge, or one step
//! of compaction, which is what of the last grant was not spent. Nothing here is proportional to the map, but for `shrink_to_fit` and dropping.

use core::hash::BuildHasher;
use std::time::Duration;

use super::compaction::{Search, Step, Until};
use super::generation::{Generation, Retired};
use super::store::Store;
use super::write::Refusal;
use crate::base::sync::{Arc, MutexGuard, Ordering, rest};
use crate::log::{Throw, Victims};
use crate::memory::{Pin, Quiesced, RIPE_BYTES, Refused, Unlinked, domain};

/// Chunks, or extents, or eight times as many tables, of a replaced generation that one call gives back.
const AT_ONCE: usize = 4;
/// Retired bytes after which a grace attempt is due: some thirty tables, or any chunk.
const LIMBO_BYTES: usize = 256 << 10;
/// What a call gives back at most, as a multiple of what it owes: some calls can give nothing back, for a pin.
const RECLAIM_OWED: usize = 4;
/// Rounds of making room under a limit before a call is refused.
const RELIEF_ROUNDS: usize = 16;
/// How often, and for how long, a call that would be refused lets others finish what they are at. A pin that has been met for
/// longer than all of that is a reader's, and is not waited for.
const RELIEF_WAITS: u32 = 20;
const RELIEF_WAIT: Duration = Duration::from_micros(100);
/// Dead share, in 1/256, beyond which copying is stepped up.
const DEAD_SHARE_HIGH: usize = 64;
/// `shrink_to_fit` leaves at most this dead share, in 1/256: 3 %.
const DEAD_SHARE_SHRUNK: usize = 7;

/// What making room came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relief {
    Gained,
    /// Nothing now, but another thread is at it, or something waits for a pin.
    Blocked,
    Nothing,
}

/// The figures behind `memory()` and `stats()`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) entries: usize,
    pub(crate) live: usize,
    pub(crate) dead: usize,
    pub(crate) open: usize,
    pub(crate) index: usize,
    pub(crate) pool: usize,
    pub(crate) retired: usize,
    pub(crate) held: usize,
    pub(crate) tables: usize,
    pub(crate) spilled: usize,
    pub(crate) chunks: usize,
    pub(crate) splits: u64,
    pub(crate) merges: u64,
    pub(crate) rebuilds: u64,
    pub(crate) compactions: u64,
    pub(crate) relocations: u64,
    pub(crate) bytes_moved: u64,
    pub(crate) chunks_freed: u64,
    pub(crate) refused: u64,
    pub(crate) oldest_pin: Option<Duration>,
}

impl<S> Store<S> {
    /// Gives back what one grace attempt hands out, or a part of a replaced generation. `true` if anything was.
    pub(crate) fn reclaim(&self) -> bool {
        self.reclaim_most(RIPE_BYTES)
    }

    /// As [`Store::reclaim`], where the attempt hands out `most` bytes.
    fn reclaim_most(&self, most: usize) -> bool {
        // One generation is taken apart at a time, by one thread; others go on with what is not one.
        let mut leftover = self.leftover.try_lock();
        if let Some(leftover) = leftover.as_mut().filter(|leftover| leftover.is_some()) {
            self.take_apart(leftover);
            return true;
        }
        let mut may_take = leftover.is_some() || cfg!(planted_two_take_apart);
        let hold = |retired: &Retired| {
            matches!(retired, Retired::Generation(_)) && !core::mem::take(&mut may_take)
        };
        let Some((mut ripe, proof)) = self.limbo.attempt(domain(), most, hold) else {
            return false;
        };
        let any = ripe[0].is_some();
        if cfg!(planted_two_take_apart) {
            leftover = leftover.or_else(|| Some(self.leftover.lock()));
        }
        if let Some(mut leftover) = leftover {
            let is_generation =
                |ripe: &mut (Retired, usize)| matches!(ripe.0, Retired::Generation(_));
            let mut places = ripe.iter_mut();
            let taken = places.find_map(|place| place.take_if(is_generation));
            if let Some((Retired::Generation(generation), bytes)) = taken {
                *leftover = Some(generation);
                self.has_leftover.store(true, Ordering::Relaxed);
                self.limbo.given(bytes);
            }
        }
        for (retired, bytes) in ripe.into_iter().flatten() {
            self.give(retired, &proof);
            self.limbo.given(bytes);
        }
        any
    }

    fn give(&self, retired: Retired, proof: &Quiesced) {
        match retired {
            Retired::Chunk(id) => {
                let is_free = self.holder.give_chunk(id, proof);
                let freed = u64::from(is_free);
                self.counts.chunks_freed.fetch_add(freed, Ordering::Relaxed);
            }
            Retired::Extent(at, bytes) => self.holder.give_extent(at, bytes, proof),
            Retired::Table(table) => {
                let (at, class, _) = table.block(&self.pool);
                self.pool.give_block(at, class, proof);
            }
            Retired::Directory(directory) => {
                self.pool.uncharge_heap(directory.get().bytes());
                if !cfg!(planted_directory_not_freed) {
                    directory.free(proof);
                }
            }
            Retired::Generation(generation) => {
                let pin = self.pin();
                while !generation
                    .get()
                    .take_apart(&self.holder, &pin, usize::MAX, proof)
                    .1
                {}
                generation.free(proof);
            }
        }
    }

    /// Gives back a part of a generation that no pin sees.
    fn take_apart(&self, leftover: &mut Option<Unlinked<Generation>>) {
        // It left limbo: no pin sees it.
        let proof = Quiesced::unseen();
        let Some(generation) = leftover.as_ref() else {
            return;
        };
        let pin = self.pin();
        let (places, is_done) = generation
            .get()
            .take_apart(&self.holder, &pin, AT_ONCE, &proof);
        drop(pin);
        self.limbo.unpromise(places);
        if let Some(generation) = leftover.take_if(|_| is_done) {
            self.has_leftover.store(false, Ordering::Relaxed);
            generation.free(&proof);
        }
    }

    /// At most an eighth of a small map's tables waits: a few are much of them.
    fn limbo_threshold(&self) -> usize {
        let chunk = self.pool.config().chunk_bytes;
        let pin = self.pin();
        let Some(generation) = self.generation.load(&pin) else {
            return 0;
        };
        let mapped = generation.log.chunk_count() * chunk;
        let share = match mapped > 2 * chunk {
            true => mapped / 16,
            false => generation.index.table_bytes() / 8,
        };
        share.min(LIMBO_BYTES)
    }

    /// Gives everything back, for the only owner.
    pub(super) fn dismantle(&mut self) {
        let pool = &self.pool;
        // Ours, the holder's, and nobody's who holds a value.
        let own = Arc::strong_count(pool) == 2 && Arc::strong_count(&self.holder) == 1;
        let (garbage, proof) = self.limbo.drain();
        let garbage: Vec<Retired> = garbage.collect();
        let current = self.generation.swap(None);
        let leftover = self.leftover.lock().take();
        for retired in garbage {
            match retired {
                Retired::Generation(generation) if own => generation.free(&proof),
                Retired::Directory(directory) if own => directory.free(&proof),
                _ if own => {}
                other => self.give(other, &proof),
            }
        }
        for generation in [current, leftover].into_iter().flatten() {
            if own {
                // The pool goes with the map: its range is unmapped as a whole.
                generation.free(&proof);
            } else {
                self.give(Retired::Generation(generation), &proof);
            }
        }
    }
}

impl<S: BuildHasher> Store<S> {
    /// What a write or remove at `hash` owes.
    #[cold]
    pub(super) fn maintain(&self, hash: u64, removed: bool, has_unlinked: bool) {
        let pin = self.pin();
        let Some(generation) = self.generation.load(&pin) else {
            return;
        };
        let owed = generation.log.settle(self.tuning.quantum) as usize;
        let throw = generation.log.throw();
        self.tend_holes(generation, &pin, has_unlinked, throw);
        drop(pin);
        let fresh = self.limbo.fresh_bytes();
        let waiting = self.limbo.bytes();
        let is_due = self.limbo.has_more()
            || fresh > 0 && fresh >= self.limbo_threshold()
            || waiting > 0 && fresh == 0 && throw.is_one_in(64);
        // Large values are given back no slower than they are replaced.
        let most = RIPE_BYTES.max(owed.saturating_mul(RECLAIM_OWED));
        if (is_due || self.leftover_waits()) && self.reclaim_most(most) {
            return;
        }
        let pin = self.pin();
        let Some(generation) = self.generation.load(&pin) else {
            return;
        };
        if removed && throw.is_one_in(4) {
            // No memory for it: later, then.
            let merged = self.with_context(&pin, |context| {
                generation
                    .index
                    .try_merge(context, hash, throw.number(), false)
            });
            if merged == Ok(true) {
                return;
            }
            if throw.is_one_in(16) {
                let is_trimmed =
                    self.with_context(&pin, |context| generation.index.trim_spill(context));
                if is_trimmed {
                    return;
                }
                let _ =
                    self.with_context(&pin, |context| generation.index.move_table(context, hash));
            }
        }
        if self.tuning.is_inline {
            self.compact_owed(generation, &pin, owed, throw);
        }
    }

    /// Has what the lane at hand keeps of dead entries ripen; has it begin with that, once enough is dead.
    fn tend_holes(&self, generation: &Generation, pin: &Pin, has_unlinked: bool, throw: Throw) {
        /// Bytes dead, for each hole of a batch.
        const DEAD_EACH: usize = 256;
        /// All lanes keep at most this part, in 1/256, of the log, and half of what may be dead; or what may be dead in any map.
        const SHARE: usize = 16;
        /// Fewer at once than this part (1/n) of a full batch are not worth their stamp.
        const LEAST: u64 = 4;
        let log = &generation.log;
        if !log.lacks_holes(pin) {
            return log.ripen(self.tag, throw.is_one_in(8), pin);
        }
        let most = self.tuning.hole_batch;
        if !has_unlinked || most == 0 || !throw.is_one_in(16) || self.pool.pressure() >= 192 {
            return;
        }
        let (mapped, dead) = self.dead_bytes(generation);
        let share = SHARE.min(self.tuning.dead_share / 2);
        let least_dead = self.tuning.dead_chunks_min * self.pool.config().chunk_bytes;
        let kept = (mapped / 256 * share).max(least_dead);
        let batch = log.hole_batch(kept).min(most);
        // In a small map, whose lines all threads have at hand, a new line is better than one that they look at.
        let is_small = mapped - dead < least_dead / 4;
        let enough = batch as usize * DEAD_EACH;
        if batch * LEAST < most || is_small || dead < enough {
            return;
        }
        if dead - enough >= log.open_bytes(&self.pool) {
            log.start_holes(&self.pool, batch);
        }
    }

    fn leftover_waits(&self) -> bool {
        let is_some = |leftover: MutexGuard<'_, Option<_>>| leftover.is_some();
        self.has_leftover.load(Ordering::Relaxed) && self.leftover.try_lock().is_some_and(is_some)
    }

    fn compact_owed(&self, generation: &Generation, pin: &Pin, owed: usize, throw: Throw) {
        let (mapped, dead) = self.dead_bytes(generation);
        let share = self.dead_share_now();
        let chunk = self.pool.config().chunk_bytes;
        let needless = dead * 256 <= mapped * share || dead < self.tuning.dead_chunks_min * chunk;
        if needless {
            return;
        }
        let high = mapped * DEAD_SHARE_HIGH / 256;
        // 1.5 times what is owed; beyond a quarter dead more, up to 4.5 times at three eighths.
        let extra = dead.saturating_sub(high) * 24 / mapped.max(1);
        let budget = owed * 3 / 2 + owed * extra.min(3);
        let search = Search {
            victims: Victims::Sampled,
            live_max: self.live_max(share),
            random: throw.number(),
        };
        let step = self.compact_own(generation, pin, search, budget);
        if step == Step::Busy {
            // Another thread is at it: what is owed stays owed.
            generation.log.owe(owed as u64);
        }
    }

    /// The dead share that is tolerated, in 1/256: less as a limit comes near.
    fn dead_share_now(&self) -> usize {
        match self.pool.pressure() {
            0..192 => self.tuning.dead_share,
            192..224 => self.tuning.dead_share * 2 / 3,
            _ => self.tuning.dead_share / 3,
        }
    }

    /// Makes room under a limit: what no pin sees, then loosely packed tables, then the emptiest chunks.
    fn relieve(&self) -> Relief {
        const CHUNKS: usize = 4;
        const TABLES: usize = 64;
        let in_use = || self.pool.usage().in_use;
        let before = in_use();
        while self.reclaim() {}
        let chunk = self.pool.config().chunk_bytes;
        // Some tables at a time, once around at most.
        let mut from = self.shrunk_to.load(Ordering::Relaxed);
        let mut is_around = false;
        while in_use() >= before && !is_around {
            let (mapped, used) = self.pool.block_usage();
            if mapped - used < chunk {
                break;
            }
            let next = self.shrink_tables(from, TABLES).unwrap_or(0);
            is_around = next <= from;
            from = next;
            self.shrunk_to.store(from, Ordering::Relaxed);
            while self.reclaim() {}
        }
        if in_use() < before {
            return Relief::Gained;
        }
        let pin = self.pin();
        let dead = self.generation.load(&pin).map_or(0, |generation| {
            generation.log.give_holes_up(&self.pool, self, true, &pin);
            let open = generation.log.open_bytes(&self.pool);
            self.dead_bytes(generation).1.saturating_sub(open)
        });
        drop(pin);
        while self.reclaim() {}
        if in_use() < before {
            return Relief::Gained;
        }
        let is_apart = || self.leftover.try_lock().is_some_and(|left| left.is_none());
        let mut is_blocked = self.limbo.bytes() > 0 || !is_apart();
        // Where it gained nothing the last time, it waits for more to be dead than there was, or is by now.
        let more = dead + chunk / 4;
        let futile = self.futile.fetch_min(more, Ordering::Relaxed).min(more);
        if dead >= chunk.max(futile) {
            let done = self.compact(Until::Bytes(CHUNKS * chunk), 0, false);
            is_blocked |= done.is_busy || self.limbo.bytes() > 0;
            // Copies of a few nearly full chunks may not free a whole one yet.
            if in_use() < before || done.freed > done.bytes {
                self.futile.store(0, Ordering::Relaxed);
                return Relief::Gained;
            }
            if !is_blocked {
                self.futile.store(more, Ordering::Relaxed);
            }
        }
        if is_blocked {
            Relief::Blocked
        } else {
            Relief::Nothing
        }
    }

    /// Runs `f` until it is not refused for the limit any more, or no room can be made.
    pub(super) fn relieved<T>(
        &self,
        mut f: impl FnMut() -> Result<T, Refused>,
    ) -> Result<T, Refusal> {
        let (mut rounds, mut waits) = (0, 0);
        loop {
            let (needed, available) = match f() {
                Ok(done) => return Ok(done),
                Err(Refused::System { bytes }) => {
                    self.counts.refused.fetch_add(1, Ordering::Relaxed);
                    return Err(Refusal::OutOfMemory { bytes });
                }
                Err(Refused::Limit { needed, available }) => (needed, available),
            };
            match self.relieve() {
                Relief::Gained if rounds < RELIEF_ROUNDS => rounds += 1,
                // Another thread is in the middle of something: it gets the processor, but no pin is waited for.
                Relief::Blocked
                    if waits < RELIEF_WAITS && self.is_young(self.limbo.oldest_pin_age()) =>
                {
                    rest(RELIEF_WAIT);
                    waits += 1;
                }
                _ => {
                    let pinned = self.limbo.bytes() + self.holder.bytes();
                    let refused = 1 + self.counts.refused.fetch_add(1, Ordering::Relaxed);
                    self.limit_reached.tell(needed, available, pinned, refused);
                    return Err(Refusal::Full {
                        needed,
                        available,
                        pinned,
                    });
                }
            }
        }
    }

    fn is_young(&self, pin_age: Option<Duration>) -> bool {
        pin_age.is_none_or(|age| age < RELIEF_WAITS * RELIEF_WAIT)
    }

    /// One step of what the maintenance thread does. `true` if there may be more.
    pub(crate) fn tend(&self) -> bool {
        if self.reclaim() {
            return true;
        }
        let pin = self.pin();
        let Some(generation) = self.generation.load(&pin) else {
            return false;
        };
        let (mapped, dead) = self.dead_bytes(generation);
        let share = self.dead_share_now();
        if dead * 256 > mapped * share
            && dead >= self.tuning.dead_chunks_min * self.pool.config().chunk_bytes
        {
            let search = Search {
                victims: Victims::Sampled,
                live_max: self.live_max(share),
                random: generation.log.throw().number(),
            };
            let step = self.compact_step(generation, &pin, search, usize::MAX);
            if matches!(step, Step::Worked { .. }) {
                return true;
            }
        }
        let is_sparse = generation.index.looks_sparse(generation.log.entries());
        drop(pin);
        if is_sparse {
            let from = self.shrunk_to.load(Ordering::Relaxed);
            let to = self.shrink_tables(from, 16);
            self.shrunk_to.store(to.unwrap_or(0), Ordering::Relaxed);
            return to.is_some();
        }
        false
    }

    /// Compacts, merges, moves tables together, and gives everything back.
    pub(crate) fn shrink_to_fit(&self) {
        self.shrink_tables(0, usize::MAX);
        let _ = self.compact(Until::Nothing, DEAD_SHARE_SHRUNK, true);
        // Once more, now that the first round's blocks are free.
        self.shrink_tables(0, usize::MAX);
        let pin = self.pin();
        if let Some(generation) = self.generation.load(&pin) {
            generation.log.close_lanes(&self.pool, self, false);
            self.with_context(
                &pin,
                |context| while generation.index.trim_spill(context) {},
            );
        }
        drop(pin);
        while self.reclaim() {}
        if self.tuning.owns_pool {
            self.pool.trim();
        }
    }

    /// Merges, shrinks and moves `most` tables from the one of `from` on. Returns where to go on.
    fn shrink_tables(&self, from: u64, most: usize) -> Option<u64> {
        let mut hash = from;
        for _ in 0..most {
            let pin = self.pin();
            let generation = self.generation.load(&pin)?;
            let next = self.with_context(&pin, |context| {
                // No memory for it: later, then.
                while generation.index.try_merge(context, hash, hash, true) == Ok(true) {}
                let _ = generation.index.move_table(context, hash);
                generation.index.table_and_next(hash, context.pin).1
            });
            drop(pin);
            while self.limbo.bytes() > self.pool.config().chunk_bytes && self.reclaim() {}
            hash = next?;
        }
        Some(hash)
    }

    /// Makes room for `entries` of `bytes` in all.
    pub(crate) fn reserve(&self, entries: usize, bytes: usize) -> Result<(), Refusal> {
        const TABLES: usize = 16;
        let mut hash = Some(0).filter(|_| entries > 0);
        while let Some(from) = hash {
            hash = self.relieved(|| {
                let pin = self.pin();
                let generation = self.generation_or_new(&pin)?;
                self.with_context(&pin, |context| {
                    generation.index.reserve(context, entries, from, TABLES)
                })
            })?;
            while self.limbo.bytes() > LIMBO_BYTES && self.reclaim() {}
        }
        self.relieved(|| {
            let pin = self.pin();
            let generation = self.generation.load(&pin);
            let sums = generation.map(|generation| generation.log.sums(&self.pool));
            let room = sums.map_or(0, |sums| sums.mapped.saturating_sub(sums.live));
            if bytes > room {
                self.pool.preallocate(bytes - room)
            } else {
                Ok(())
            }
        })
    }

    pub(crate) fn figures(&self) -> Figures {
        let pin = self.pin();
        let relaxed = Ordering::Relaxed;
        let mut figures = Figures {
            retired: self.limbo.bytes(),
            held: self.holder.bytes(),
            oldest_pin: self.limbo.oldest_pin_age(),
            splits: self.counts.splits.load(relaxed),
            merges: self.counts.merges.load(relaxed),
            rebuilds: self.counts.rebuilds.load(relaxed),
            spilled: 0,
            compactions: self.counts.compactions.load(relaxed),
            relocations: self.counts.relocations.load(relaxed),
            bytes_moved: self.counts.bytes_moved.load(relaxed),
            chunks_freed: self.counts.chunks_freed.load(relaxed),
            refused: self.counts.refused.load(relaxed),
            ..Figures::default()
        };
        if let Some(leftover) = self.leftover.lock().as_ref() {
            figures.retired += leftover.get().mapped(&self.pool);
        }
        if self.tuning.owns_pool {
            let usage = self.pool.usage();
            let (chunks, used) = self.pool.block_usage();
            figures.pool = usage.free + (chunks - used);
        }
        if let Some(generation) = self.generation.load(&pin) {
            let sums = generation.log.sums(&self.pool);
            let counters = generation.index.counters();
            figures.entries = sums.entries;
            figures.live = sums.live;
            figures.open = generation.log.open_bytes(&self.pool);
            let lists = generation.log.hole_heap_bytes();
            figures.dead = sums.mapped.saturating_sub(sums.live + figures.open) + lists;
            figures.index = generation.index.table_bytes() + generation.index_heap();
            figures.tables = generation.index.table_count();
            figures.spilled = generation.index.spill_count(&self.pool, &pin);
            figures.chunks = generation.log.chunk_count();
            figures.splits += counters.splits.load(relaxed);
            figures.merges += counters.merges.load(relaxed);
            figures.rebuilds += counters.rebuilds.load(relaxed);
        }
        figures
    }
}
