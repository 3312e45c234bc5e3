//! Maintenance: what writers and removers owe, and how memory goes back.
//!
//! A call that owes does at most one thing: give back a part of what no pin sees, one grace attempt, one merge, or one step
//! of compaction. Nothing here is proportional to the map, but for `shrink_to_fit` and dropping.

use core::hash::BuildHasher;
use std::time::Duration;

use super::compaction::Until;
use super::generation::{Generation, Retired};
use super::store::Store;
use super::write::Refusal;
use crate::base::sync::Ordering;
use crate::log::Victims;
use crate::memory::{Quiesced, Refused, domain};

/// Chunks of a replaced generation that one call gives back.
const CHUNKS_AT_ONCE: usize = 4;
/// Retired bytes after which a grace attempt is due: some thirty tables, or any chunk.
const LIMBO_BYTES: usize = 256 << 10;
/// Rounds of making room under a limit before a call is refused.
const RELIEF_ROUNDS: usize = 16;
/// Dead share, in 1/256, beyond which copying is stepped up.
const DEAD_SHARE_HIGH: usize = 64;
/// `shrink_to_fit` leaves at most this dead share, in 1/256: 3 %.
const DEAD_SHARE_SHRUNK: usize = 7;

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
    pub(crate) oldest_pin: Option<Duration>,
}

impl<S> Store<S> {
    /// Gives back what one grace attempt hands out, or a part of a replaced generation. `true` if anything was.
    pub(crate) fn reclaim(&self) -> bool {
        if self.take_leftover_apart() {
            return true;
        }
        let mut generation_taken = false;
        let hold = |retired: &Retired| {
            let is_generation = matches!(retired, Retired::Generation(_));
            let held = is_generation && generation_taken;
            generation_taken |= is_generation;
            held
        };
        let Some((ripe, proof)) = self.limbo.attempt(domain(), hold) else {
            return false;
        };
        let mut any = false;
        for retired in ripe.into_iter().flatten() {
            any = true;
            self.give(retired, &proof);
        }
        any
    }

    fn give(&self, retired: Retired, proof: &Quiesced) {
        match retired {
            Retired::Chunk(id) => {
                self.pool.give_chunk(id, proof);
                self.counts.chunks_freed.fetch_add(1, Ordering::Relaxed);
            }
            Retired::Extent(at, bytes) => self.pool.give_extent(at, bytes, proof),
            Retired::Table(table) => {
                let (at, class, _) = table.block(&self.pool);
                self.pool.give_block(at, class, proof);
            }
            Retired::Directory(directory) => {
                self.pool.uncharge_heap(directory.get().bytes());
                directory.free(proof);
            }
            Retired::Generation(generation) => {
                let mut leftover = self.leftover.lock();
                debug_assert!(leftover.is_none(), "one is taken apart at a time");
                *leftover = Some(generation);
            }
        }
    }

    /// Gives back a part of a generation that no pin sees. `true` if there was one.
    fn take_leftover_apart(&self) -> bool {
        let Some(mut leftover) = self.leftover.try_lock() else {
            return false;
        };
        let Some(generation) = leftover.as_ref() else {
            return false;
        };
        // It left limbo: no pin sees it.
        let proof = Quiesced::unseen();
        let pin = self.pin();
        let (places, is_done) =
            generation
                .get()
                .take_apart(&self.pool, &pin, CHUNKS_AT_ONCE, &proof);
        drop(pin);
        self.limbo.unpromise(places);
        if is_done {
            if let Some(generation) = leftover.take() {
                generation.free(&proof);
            }
        }
        true
    }

    fn limbo_threshold(&self) -> usize {
        // Small maps look often: a few retired tables are much of them.
        let chunk = self.pool.config().chunk_bytes;
        let pin = self.pin();
        let generation = self.generation.load(&pin);
        let mapped = generation.map_or(0, |generation| generation.log.chunk_count() * chunk);
        if mapped <= 2 * chunk {
            0
        } else {
            (mapped / 16).min(LIMBO_BYTES)
        }
    }

    /// Gives everything back, for the only owner.
    pub(super) fn dismantle(&mut self) {
        let pool = &self.pool;
        let own = crate::base::sync::Arc::strong_count(pool) == 1;
        let (garbage, proof) = self.limbo.drain();
        let garbage: Vec<Retired> = garbage.collect();
        let pin = self.pin();
        let current = self.generation.swap(None);
        let leftover = self.leftover.lock().take();
        for retired in garbage {
            match retired {
                Retired::Generation(generation) => {
                    self.free_generation(generation, own, &pin, &proof)
                }
                Retired::Directory(directory) if own => directory.free(&proof),
                _ if own => {}
                other => self.give(other, &proof),
            }
        }
        for generation in [current, leftover].into_iter().flatten() {
            self.free_generation(generation, own, &pin, &proof);
        }
    }

    /// `own`: the pool goes with the map, and its range is unmapped as a whole.
    fn free_generation(
        &self,
        generation: crate::memory::Unlinked<Generation>,
        own: bool,
        pin: &crate::memory::Pin,
        proof: &Quiesced,
    ) {
        while !own
            && !generation
                .get()
                .take_apart(&self.pool, pin, usize::MAX, proof)
                .1
        {}
        generation.free(proof);
    }
}

impl<S: BuildHasher> Store<S> {
    /// What a write or remove at `hash` owes.
    #[cold]
    pub(super) fn maintain(&self, hash: u64, removed: bool) {
        let pin = self.pin();
        let Some(generation) = self.generation.load(&pin) else {
            return;
        };
        let owed = generation.log.settle() as usize;
        drop(pin);
        let fresh = self.limbo.fresh_bytes();
        let waiting = self.limbo.bytes();
        let is_due = self.limbo.has_more()
            || fresh > 0 && fresh >= self.limbo_threshold()
            || waiting > 0 && fresh == 0 && hash % 64 == 0;
        if (is_due || self.leftover_waits()) && self.reclaim() {
            return;
        }
        if !self.tuning.is_inline {
            return;
        }
        let pin = self.pin();
        let Some(generation) = self.generation.load(&pin) else {
            return;
        };
        if removed && hash % 4 == 0 {
            // No memory for it: later, then.
            let merged = self.with_context(&pin, |context| {
                generation.index.try_merge(context, hash, hash >> 7, false)
            });
            if merged == Ok(true) {
                return;
            }
            if hash % 16 == 0 {
                let _ =
                    self.with_context(&pin, |context| generation.index.move_table(context, hash));
            }
        }
        self.compact_owed(generation, &pin, owed, hash);
    }

    fn leftover_waits(&self) -> bool {
        self.leftover
            .try_lock()
            .is_some_and(|leftover| leftover.is_some())
    }

    fn compact_owed(
        &self,
        generation: &Generation,
        pin: &crate::memory::Pin,
        owed: usize,
        random: u64,
    ) {
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
        let live_max = self.live_max(share);
        let _ = self.compact_step(generation, pin, Victims::Sampled, budget, live_max, random);
    }

    /// The dead share that is tolerated, in 1/256: less as a limit comes near.
    fn dead_share_now(&self) -> usize {
        match self.pool.pressure() {
            0..192 => self.tuning.dead_share,
            192..224 => self.tuning.dead_share * 2 / 3,
            _ => self.tuning.dead_share / 3,
        }
    }

    /// Makes room under a limit: what no pin sees, then the emptiest chunks. `false` if there is nothing to gain.
    fn relieve(&self) -> bool {
        const CHUNKS: usize = 4;
        const TABLES: usize = 64;
        let in_use = |store: &Self| store.pool.usage().in_use;
        let before = in_use(self);
        while self.reclaim() {}
        if in_use(self) < before {
            return true;
        }
        let chunk = self.pool.config().chunk_bytes;
        let (mapped, used) = self.pool.block_usage();
        if mapped - used >= chunk {
            // Tables are too loosely packed: some of them at a time.
            let from = self.shrunk_to.load(Ordering::Relaxed);
            let to = self.shrink_tables(from, TABLES);
            self.shrunk_to.store(to.unwrap_or(0), Ordering::Relaxed);
            while self.reclaim() {}
        }
        let done = self.compact(Until::Bytes(CHUNKS * chunk), 0, false);
        in_use(self) < before || done.moved > 0 && done.freed > 0
    }

    /// Runs `f` until it is not refused for the limit any more, or no room can be made.
    pub(super) fn relieved<T>(
        &self,
        mut f: impl FnMut() -> Result<T, Refused>,
    ) -> Result<T, Refusal> {
        let mut rounds = 0;
        loop {
            match f() {
                Ok(done) => return Ok(done),
                Err(Refused::System { bytes }) => return Err(Refusal::OutOfMemory { bytes }),
                Err(Refused::Limit { needed, available }) => {
                    if rounds == RELIEF_ROUNDS || !self.relieve() {
                        let pinned = self.limbo.bytes();
                        return Err(Refusal::Full {
                            needed,
                            available,
                            pinned,
                        });
                    }
                    rounds += 1;
                }
            }
        }
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
        let chunk = self.pool.config().chunk_bytes;
        if dead * 256 <= mapped * self.dead_share_now()
            || dead < self.tuning.dead_chunks_min * chunk
        {
            return false;
        }
        let random = self
            .counts
            .relocations
            .load(Ordering::Relaxed)
            .wrapping_mul(0x9E37_79B9);
        let live_max = self.live_max(self.dead_share_now());
        matches!(
            self.compact_step(
                generation,
                &pin,
                Victims::Sampled,
                usize::MAX,
                live_max,
                random
            ),
            super::compaction::Step::Worked { .. }
        )
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
                generation.index.next_table(context, hash)
            });
            drop(pin);
            while self.limbo.bytes() > self.pool.config().chunk_bytes && self.reclaim() {}
            hash = next?;
        }
        Some(hash)
    }

    /// Makes room for `entries` of `bytes` in all.
    pub(crate) fn reserve(&self, entries: usize, bytes: usize) -> Result<(), Refusal> {
        self.relieved(|| {
            let pin = self.pin();
            if entries > 0 {
                let generation = self.generation_or_new(&pin)?;
                self.with_context(&pin, |context| generation.index.reserve(context, entries))?;
            }
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
            oldest_pin: self.limbo.oldest_pin_age(),
            splits: self.counts.splits.load(relaxed),
            merges: self.counts.merges.load(relaxed),
            rebuilds: self.counts.rebuilds.load(relaxed),
            spilled: 0,
            compactions: self.counts.compactions.load(relaxed),
            relocations: self.counts.relocations.load(relaxed),
            bytes_moved: self.counts.bytes_moved.load(relaxed),
            chunks_freed: self.counts.chunks_freed.load(relaxed),
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
            figures.dead = sums.mapped.saturating_sub(sums.live + figures.open);
            figures.index = generation.index.table_bytes() + generation.charged_heap();
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
