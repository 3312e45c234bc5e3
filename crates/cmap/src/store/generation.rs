//! A generation: everything that `clear` replaces; and what a map retires.

use super::store::Tuning;
use super::walks::Walks;
use crate::base::sync::Mutex;
use crate::index::{Directory, Index, TableRef};
use crate::log::Log;
use crate::memory::{ChunkId, Holder, Location, Pin, Pool, Quiesced, Refused, Unlinked, Who};

/// See the file's head.
pub(crate) struct Generation {
    pub(crate) index: Index,
    pub(crate) log: Log,
    pub(super) walks: Walks,
    /// Heap bytes charged for it, without directories.
    pub(super) heap_bytes: usize,
    /// How far its taking apart has come.
    apart: Mutex<Apart>,
}

/// What waits for pins.
pub(crate) enum Retired {
    Chunk(ChunkId),
    Extent(Location, usize),
    Table(TableRef),
    Directory(Unlinked<Directory>),
    Generation(Unlinked<Generation>),
}

/// Places that a new generation has promised: itself, its first table, its first directory.
pub(super) const FIRST_PLACES: usize = 3;

impl Generation {
    /// An empty generation, charged. Its [`FIRST_PLACES`] are promised by the caller.
    pub(super) fn new(pool: &Pool, tuning: &Tuning) -> Result<Self, Refused> {
        let lanes = Log::lanes(pool, tuning.lanes);
        let log = Log::new(lanes, tuning.small_chunks)?;
        let walks = Walks::new(tuning.seats)?;
        let heap_bytes = size_of::<Self>() + log.heap_bytes() + walks.heap_bytes();
        let index = Index::new(tuning.geometry, pool, Who::Writer)?;
        let charged = heap_bytes + index.directory_bytes();
        let this = Self {
            index,
            log,
            walks,
            heap_bytes,
            apart: Mutex::new(Apart::NOTHING),
        };
        if let Err(refused) = pool.charge_heap(charged, Who::Writer) {
            this.give_tables(pool);
            return Err(refused);
        }
        Ok(this)
    }

    /// Gives back the tables of a generation that nobody has seen.
    pub(super) fn give_tables(&self, pool: &Pool) {
        let domain = crate::memory::domain();
        let pin = domain.pin(crate::memory::Tag::fresh(domain));
        self.index.for_each_table(pool, &pin, |table| {
            let (at, class, _) = table.block(pool);
            pool.give_block(at, class, &Quiesced::unseen());
        });
    }

    /// Charged bytes that are neither chunks nor extents nor tables.
    pub(super) fn charged_heap(&self) -> usize {
        self.index_heap() + self.log.hole_heap_bytes()
    }

    /// The same without what lists dead entries.
    pub(super) fn index_heap(&self) -> usize {
        self.heap_bytes + self.index.directory_bytes()
    }

    /// Everything that it still holds, for figures.
    pub(super) fn mapped(&self, pool: &Pool) -> usize {
        let all = self.log.sums(pool).mapped + self.index.table_bytes() + self.charged_heap();
        all.saturating_sub(self.apart.lock().bytes)
    }

    /// Gives back up to `most` chunks, or `most` extents, or eight times as many tables, of a generation that no pin sees any
    /// more. Returns how many places in limbo that frees, and whether nothing is left.
    pub(super) fn take_apart(
        &self,
        holder: &Holder,
        pin: &Pin,
        most: usize,
        proof: &Quiesced,
    ) -> (usize, bool) {
        let pool = &**holder.pool();
        let mut apart = self.apart.lock();
        let mut places = 0;
        while let Some(chunk) = self.log.chunk_at(apart.chunks).filter(|_| places < most) {
            holder.give_chunk(chunk, proof);
            apart.chunks += 1;
            apart.bytes += pool.config().chunk_bytes;
            places += 1;
        }
        if places > 0 {
            return (places, false);
        }
        let has_extents = self.log.extent_bytes() > 0;
        let mut tables = 0;
        while let Some(hash) = apart.hash.filter(|_| tables < most.saturating_mul(8)) {
            let (table, next) = self.index.table_and_next(hash, pin);
            let is_extent = |at| pool.is_extent(at);
            let from = if has_extents { apart.slot } else { usize::MAX };
            let mut found = self.index.first_location(pool, pin, table, from, is_extent);
            while let Some((slot, at)) = found {
                let bytes = Log::entry(pool, at, pin).bytes;
                holder.give_extent(at, bytes, proof);
                apart.bytes += pool.extent_bytes(bytes);
                apart.slot = slot + 1;
                places += 1;
                if places >= most {
                    return (places, false);
                }
                found = self
                    .index
                    .first_location(pool, pin, table, apart.slot, is_extent);
            }
            let (at, class, bytes) = table.block(pool);
            pool.give_block(at, class, proof);
            (apart.hash, apart.slot) = (next, 0);
            apart.bytes += bytes;
            places += 1;
            tables += 1;
        }
        if apart.hash.is_some() {
            return (places, false);
        }
        let spilled_extents = self
            .index
            .spilled(pool, pin)
            .filter(|&at| has_extents && pool.is_extent(at));
        for at in spilled_extents {
            holder.give_extent(at, Log::entry(pool, at, pin).bytes, proof);
            places += 1;
        }
        self.index.for_each_spill_table(pool, pin, |table| {
            let (at, class, _) = table.block(pool);
            pool.give_block(at, class, proof);
            places += 1;
        });
        pool.uncharge_heap(self.charged_heap());
        (places + self.index.directory_count(pin), true)
    }
}

/// How far the taking apart of a generation has come.
#[derive(Debug)]
struct Apart {
    chunks: usize,
    /// The first hash whose table is still there, and its first slot that was not looked at.
    hash: Option<u64>,
    slot: usize,
    bytes: usize,
}

impl Apart {
    const NOTHING: Self = Self {
        chunks: 0,
        hash: Some(0),
        slot: 0,
        bytes: 0,
    };
}
