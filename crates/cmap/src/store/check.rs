//! The invariants that hold at rest, checked. For tests.

use core::hash::BuildHasher;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::generation::Generation;
use super::store::Store;
use super::walks::Seat;
use crate::base::sync::{Ordering, rest};
use crate::log::HOLD;
use crate::memory::{ChunkId, Location, Pin};

/// What a check found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Entries in the index.
    pub entries: usize,
    /// Chunks that the pool has dealt out, if it is the map's own.
    pub chunks_in_use: usize,
    /// Chunks that the log or the tables account for. The same, if the pool is the map's own.
    pub chunks_reachable: usize,
    /// Tables, spill tables included.
    pub tables: usize,
    /// Entries in spill tables.
    pub spilled: usize,
}

impl<S: BuildHasher> Store<S> {
    /// Checks every invariant that holds when no other call runs and no pin is held.
    pub(crate) fn check(&self) -> Result<Checked, String> {
        {
            let pin = self.pin();
            if let Some(generation) = self.generation.load(&pin) {
                for held in generation.walks.all().filter_map(Seat::try_lock) {
                    self.finish(generation, held);
                }
                generation.log.give_holes_up(&self.pool, self, false, &pin);
            }
        }
        // A deep pin on any map holds up every map: give it a while to end.
        const WAITS: u32 = 5_000;
        let is_empty = (0..WAITS).any(|_| {
            while self.reclaim() {}
            let is_empty = self.limbo.bytes() == 0;
            if !is_empty {
                rest(Duration::from_millis(1));
            }
            is_empty
        });
        let waiting = if is_empty { 0 } else { self.limbo.bytes() };
        if waiting != 0 {
            return Err(format!(
                "Pinned-stays: {waiting} bytes wait although no pin is held"
            ));
        }
        let pin = self.pin();
        let mut checked = Checked::default();
        if let Some(generation) = self.generation.load(&pin) {
            self.check_generation(generation, &pin, &mut checked)?;
        }
        checked.chunks_in_use = checked.chunks_reachable;
        if self.tuning.owns_pool {
            checked.chunks_in_use = self.pool.chunks_in_use();
            checked.chunks_reachable += self.pool.block_usage().0 / self.pool.config().chunk_bytes;
            checked.chunks_reachable += self.holder.chunks();
            self.check_pool(&checked)?;
        }
        Ok(checked)
    }

    fn check_generation(
        &self,
        generation: &Generation,
        pin: &Pin,
        checked: &mut Checked,
    ) -> Result<(), String> {
        let (index, log) = (&generation.index, &generation.log);
        let mut reachable: HashMap<ChunkId, u64> = HashMap::new();
        let (mut live, mut extents) = (0, 0);
        let mut keys = HashSet::new();
        let mut first_error = None;
        let mut see = |at: Location| {
            let entry = self.entry(at, pin);
            live += entry.bytes;
            if self.pool.is_extent(at) {
                extents += self.pool.extent_bytes(entry.bytes);
            } else {
                *reachable.entry(self.pool.chunk_of(at)).or_default() += entry.bytes as u64;
            }
            if !keys.insert(entry.key) {
                first_error = Some(format!(
                    "One-slot: a key of {} bytes has two slots",
                    entry.key.len()
                ));
            }
        };
        let mut filters = Ok(());
        index.for_each_main_table(pin, |table| {
            index.for_each_location(&self.pool, pin, table, &mut see);
            if filters.is_ok() {
                filters = index.check_filters(&self.pool, pin, table);
            }
        });
        index.spilled(&self.pool, pin).for_each(&mut see);
        filters?;
        if let Some(error) = first_error {
            return Err(error);
        }
        checked.entries = keys.len();
        checked.tables = index.table_count();
        checked.spilled = index.spill_count(&self.pool, pin);
        checked.chunks_reachable = log.chunk_count();
        if !index.is_spill_filter_exact(checked.spilled) {
            let spilled = checked.spilled;
            return Err(format!("filters: that of {spilled} spilled entries"));
        }
        if log.entries() != keys.len() {
            return Err(format!(
                "len: {} counted, {} in the index",
                log.entries(),
                keys.len()
            ));
        }
        let sums = log.sums(&self.pool);
        if sums.live != live {
            return Err(format!(
                "live bytes: {} counted, {live} in the index",
                sums.live
            ));
        }
        if log.extent_bytes() != extents {
            return Err(format!(
                "extents: {} bytes counted, {extents} in the index",
                log.extent_bytes()
            ));
        }
        let mut open: HashMap<ChunkId, u64> = HashMap::new();
        log.for_each_open(&self.pool, |chunk, bytes, dead| {
            *open.entry(chunk).or_default() += bytes as u64 + u64::from(dead) + HOLD
        });
        for place in 0..log.chunk_count() {
            let Some(chunk) = log.chunk_at(place) else {
                continue;
            };
            let counted = self.pool.descriptor(chunk).live.load(Ordering::Relaxed);
            let open = open.get(&chunk).copied().unwrap_or(0);
            let expected = reachable.remove(&chunk).unwrap_or(0);
            if counted != expected + open {
                return Err(format!(
                    "Counted: {chunk:?} counts {counted} bytes; {expected} are reachable and {open} open"
                ));
            }
        }
        if let Some((chunk, bytes)) = reachable.into_iter().next() {
            return Err(format!(
                "Counted: {bytes} reachable bytes lie in {chunk:?}, which the log does not have"
            ));
        }
        Ok(())
    }

    fn check_pool(&self, checked: &Checked) -> Result<(), String> {
        if checked.chunks_in_use != checked.chunks_reachable {
            return Err(format!(
                "chunks: {} in use, {} reachable",
                checked.chunks_in_use, checked.chunks_reachable
            ));
        }
        let figures = self.figures();
        let total = figures.live
            + figures.dead
            + figures.open
            + figures.index
            + figures.pool
            + figures.retired
            + figures.held;
        let usage = self.pool.usage();
        if total != usage.in_use + usage.free {
            return Err(format!(
                "memory: the parts add up to {total}, the pool has {} in use and {} free; {figures:?}",
                usage.in_use, usage.free
            ));
        }
        Ok(())
    }
}
