//! A generation: everything that `clear` replaces; and what a map retires.

use super::store::Tuning;
use crate::base::sync::{AtomicUsize, Mutex, Ordering};
use crate::index::{Directory, Index, TableRef};
use crate::log::{Log, Walk};
use crate::memory::{ChunkId, Location, Pin, Pool, Quiesced, Refused, Unlinked, Who};

/// See the file's head.
pub(crate) struct Generation {
    pub(crate) index: Index,
    pub(crate) log: Log,
    /// The walk that compaction is at.
    pub(super) walk: Mutex<Option<Walk>>,
    /// Heap bytes charged for it, without directories.
    pub(super) heap_bytes: usize,
    /// How far its taking apart has come.
    apart: AtomicUsize,
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
        let log = Log::new(tuning.lanes, tuning.small_chunks)?;
        let heap_bytes = size_of::<Self>() + log.heap_bytes();
        let index = Index::new(tuning.geometry, pool, Who::Writer)?;
        let charged = heap_bytes + index.directory_bytes();
        let this = Self {
            index,
            log,
            walk: Mutex::new(None),
            heap_bytes,
            apart: AtomicUsize::new(0),
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
        self.heap_bytes + self.index.directory_bytes()
    }

    /// Everything that it holds, for figures.
    pub(super) fn mapped(&self, pool: &Pool) -> usize {
        self.log.sums(pool).mapped + self.index.table_bytes() + self.charged_heap()
    }

    /// Gives back up to `most` chunks, or tables and extents, of a generation that no pin sees any more.
    /// Returns how many places in limbo that frees, and whether nothing is left.
    pub(super) fn take_apart(
        &self,
        pool: &Pool,
        pin: &Pin,
        most: usize,
        proof: &Quiesced,
    ) -> (usize, bool) {
        // Relaxed: one thread at a time, under the caller's mutex.
        let mut places = 0;
        while let Some(chunk) = self
            .log
            .chunk_at(self.apart.load(Ordering::Relaxed))
            .filter(|_| places < most)
        {
            pool.give_chunk(chunk, proof);
            self.apart.fetch_add(1, Ordering::Relaxed);
            places += 1;
        }
        if places > 0 {
            return (places, false);
        }
        let has_extents = self.log.extent_bytes() > 0;
        self.index.for_each_table(pool, pin, |table| {
            if has_extents {
                self.index.for_each_location(pool, pin, table, |at| {
                    if pool.is_extent(at) {
                        let bytes = Log::entry(pool, at, pin).bytes;
                        pool.give_extent(at, bytes, proof);
                        places += 1;
                    }
                });
            }
        });
        self.index.for_each_table(pool, pin, |table| {
            let (at, class, _) = table.block(pool);
            pool.give_block(at, class, proof);
            places += 1;
        });
        pool.uncharge_heap(self.charged_heap());
        (places + self.index.directory_count(pin), true)
    }
}
