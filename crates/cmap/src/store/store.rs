//! The store of one map: reading, and the ways by which everything reaches the generation.

use core::cell::Cell;
use core::hash::BuildHasher;

use super::generation::{FIRST_PLACES, Generation, Retired};
use crate::base::hash;
use crate::base::interleave;
use crate::base::sync::{Arc, AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering};
use crate::base::trace::LimitReached;
use crate::index::{Context, Directory, Geometry, Glance, IndexKeeper, TableRef};
use crate::log::{Entry, Keeper, Log};
use crate::memory::{
    ChunkId, Holder, Limbo, Location, Pin, Pool, Refused, Shared, Tag, Unlinked, domain, try_box,
};

/// What a map's builder settled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    pub(crate) geometry: Geometry,
    pub(crate) lanes: usize,
    pub(crate) seats: usize,
    /// Holes that a lane stamps at once at most; 0: it keeps none.
    pub(crate) hole_batch: u64,
    /// Chunks of small pages before huge ones are taken.
    pub(crate) small_chunks: usize,
    /// Dead share of the log, in 1/256, above which compaction works.
    pub(crate) dead_share: usize,
    /// Dead chunks' worth below which it never does.
    pub(crate) dead_chunks_min: usize,
    /// Bytes written and removed by a lane's threads between two looks at what is owed.
    pub(crate) quantum: u64,
    /// Chunks for each walk but the first.
    pub(crate) chunks_a_walk: usize,
    /// Values up to this are copied where they are kept beyond pins.
    pub(crate) copy_bytes_max: usize,
    /// Whether writers compact.
    pub(crate) is_inline: bool,
    /// Whether the pool belongs to this map alone.
    pub(crate) owns_pool: bool,
}

/// See the file's head.
pub(crate) struct Store<S> {
    pub(super) generation: Shared<Generation>,
    pub(super) hasher: S,
    pub(super) pool: Arc<Pool>,
    /// By whom everything goes back to the pool that may be held beyond pins.
    pub(super) holder: Arc<Holder>,
    pub(super) tag: Tag,
    /// The process's fork count at birth: see [`Store::is_foreign`].
    born: u32,
    pub(super) tuning: Tuning,
    pub(super) limbo: Limbo<Retired>,
    /// A generation that no pin sees, being given back bit by bit.
    pub(super) leftover: Mutex<Option<Unlinked<Generation>>>,
    /// Whether there is one, for those who need not lock.
    pub(super) has_leftover: AtomicBool,
    /// Dead bytes below which compaction under a limit gains nothing.
    pub(super) futile: AtomicUsize,
    /// Up to which hash tables were last packed together under a limit.
    pub(super) shrunk_to: AtomicU64,
    pub(super) counts: Counts,
    pub(super) limit_reached: LimitReached,
}

/// A glance did not answer.
pub(super) struct Unsure;

/// How often what happened, for `stats`.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) compactions: AtomicU64,
    pub(super) relocations: AtomicU64,
    pub(super) bytes_moved: AtomicU64,
    pub(super) chunks_freed: AtomicU64,
    pub(super) refused: AtomicU64,
    /// Of generations that are gone.
    pub(super) splits: AtomicU64,
    pub(super) merges: AtomicU64,
    pub(super) rebuilds: AtomicU64,
    pub(super) spills: AtomicU64,
}

impl<S> Store<S> {
    pub(crate) fn new(hasher: S, pool: Arc<Pool>, tuning: Tuning) -> Self {
        let domain = domain();
        let tag = Tag::fresh(domain);
        // Makes its key now: in a forked child a thread that was at it would be waited for.
        hash::second(b"");
        Self {
            generation: Shared::empty(),
            hasher,
            holder: Arc::new(Holder::new(pool.clone())),
            pool,
            tag,
            born: domain.forks(),
            tuning,
            limbo: Limbo::new(tag),
            leftover: Mutex::new(None),
            has_leftover: AtomicBool::new(false),
            futile: AtomicUsize::new(0),
            shrunk_to: AtomicU64::new(0),
            counts: Counts::default(),
            limit_reached: LimitReached::new(),
        }
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    pub(crate) fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// Whether the map was made by a process of which this one is a forked child. Such a map can be read, no more.
    #[inline]
    pub(crate) fn is_foreign(&self) -> bool {
        self.born != domain().forks()
    }

    #[inline]
    pub(crate) fn pin(&self) -> Pin {
        domain().pin(self.tag)
    }

    #[inline]
    pub(crate) fn entry<'p>(&'p self, at: Location, pin: &'p Pin) -> Entry<'p> {
        Log::entry(&self.pool, at, pin)
    }

    /// The generation; made if there is none.
    pub(super) fn generation_or_new<'p>(&self, pin: &'p Pin) -> Result<&'p Generation, Refused> {
        if let Some(generation) = self.generation.load(pin) {
            return Ok(generation);
        }
        self.limbo.promise(FIRST_PLACES)?;
        let made = Generation::new(&self.pool, &self.tuning).and_then(|generation| {
            try_box(generation).map_err(|generation| {
                generation.give_tables(&self.pool);
                self.pool.uncharge_heap(generation.charged_heap());
                Refused::System {
                    bytes: size_of::<Generation>(),
                }
            })
        });
        let made = made.inspect_err(|_| self.limbo.unpromise(FIRST_PLACES))?;
        interleave::point();
        if cfg!(planted_generation_overwritten) {
            let _ = self.generation.swap(Some(made));
        } else if let Err(made) = self.generation.set_if_empty(made) {
            // Another thread was faster.
            made.give_tables(&self.pool);
            self.pool.uncharge_heap(made.charged_heap());
            self.limbo.unpromise(FIRST_PLACES);
        }
        // A `clear` may have come between.
        self.generation
            .load(pin)
            .map_or_else(|| self.generation_or_new(pin), Ok)
    }

    /// Takes the generation away: the map is empty from here on.
    pub(crate) fn clear(&self) {
        let Some(old) = self.generation.swap(None) else {
            return;
        };
        interleave::point();
        let generation = old.get();
        #[cfg(planted_lane_kept_across_clear)]
        if let Ok(next) = self.generation_or_new(&self.pin()) {
            next.log.keep_lanes(&generation.log);
        }
        let counters = generation.index.counters();
        for (sum, part) in [
            (&self.counts.splits, &counters.splits),
            (&self.counts.merges, &counters.merges),
            (&self.counts.rebuilds, &counters.rebuilds),
            (&self.counts.spills, &counters.spills),
        ] {
            sum.fetch_add(part.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        if cfg!(planted_clear_leaks) {
            return;
        }
        let bytes = generation.mapped(&self.pool);
        self.limbo.retire(Retired::Generation(old), bytes);
        self.reclaim();
    }
}

impl<S: BuildHasher> Store<S> {
    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        hash::of_key(&self.hasher, key)
    }

    pub(super) fn hash_at(&self, at: Location, pin: &Pin) -> u64 {
        self.hash(self.entry(at, pin).key)
    }

    /// Runs `f` with what the index needs.
    pub(super) fn with_context<R>(&self, pin: &Pin, f: impl FnOnce(&Context<'_, Self>) -> R) -> R {
        let rehash = |at| self.hash_at(at, pin);
        let second = |at| hash::second(self.entry(at, pin).key);
        f(&Context {
            pool: &self.pool,
            pin,
            keeper: self,
            rehash: &rehash,
            second: &second,
        })
    }

    /// The value of a key, as the pin sees it.
    #[inline]
    pub(crate) fn get<'p>(&'p self, key: &[u8], pin: &'p Pin) -> Option<&'p [u8]> {
        self.get_hashed(self.hash(key), key, pin)
    }

    /// As [`Store::get`], where the hash is known.
    #[inline(always)]
    pub(super) fn get_hashed<'p>(
        &'p self,
        hash: u64,
        key: &[u8],
        pin: &'p Pin,
    ) -> Option<&'p [u8]> {
        match self.glance(hash, key, pin) {
            Ok(value) => value,
            Err(Unsure) => self.get_slow(hash, key, pin),
        }
    }

    /// Shows the value of a key to `f`.
    ///
    /// The way that most reads take keeps everything in registers, so it hands nothing on: what it cannot answer is done
    /// again from the start. Always inlined: a call, and the registers saved for it, were a tenth of the instructions.
    #[inline(always)]
    pub(crate) fn get_with<R>(&self, key: &[u8], f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        if let Some(pin) = domain().pin_quick(&self.tag) {
            match self.glance(self.hash(key), key, &pin) {
                Ok(None) => return None,
                Ok(Some(value)) => return Some(f(value)),
                Err(Unsure) => {}
            }
        }
        self.get_with_slow(key, f)
    }

    #[cold]
    #[inline(never)]
    fn get_with_slow<R>(&self, key: &[u8], f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let pin = self.pin();
        self.get_slow(self.hash(key), key, &pin).map(f)
    }

    #[inline(always)]
    fn glance<'p>(
        &'p self,
        hash: u64,
        key: &[u8],
        pin: &'p Pin,
    ) -> Result<Option<&'p [u8]>, Unsure> {
        let Some(generation) = self.generation.load(pin) else {
            return Ok(None);
        };
        let home = generation.index.home(&self.pool, pin, hash).ok_or(Unsure)?;
        self.settle(home.look(&self.pool, pin), key, pin)
    }

    /// What a glance comes to, once the key is compared.
    #[inline(always)]
    pub(super) fn settle<'p>(
        &'p self,
        glance: Glance,
        key: &[u8],
        pin: &'p Pin,
    ) -> Result<Option<&'p [u8]>, Unsure> {
        match glance {
            Glance::Absent => Ok(None),
            Glance::Likely(at) => match Log::value_if_ordinary(&self.pool, at, key, pin) {
                None => Err(Unsure),
                value => Ok(value),
            },
            Glance::Beyond | Glance::Unsure => Err(Unsure),
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn get_slow<'p>(&'p self, hash: u64, key: &[u8], pin: &'p Pin) -> Option<&'p [u8]> {
        let generation = self.generation.load(pin)?;
        let value_of = |at| Log::value_of(&self.pool, at, key, pin);
        let second = || hash::second(key);
        generation
            .index
            .find(&self.pool, pin, hash, second, value_of)
    }

    /// Looks a key up: lines of slots looked at, keys compared, whether it is there.
    pub(crate) fn probe(&self, key: &[u8]) -> (usize, usize, bool) {
        let pin = self.pin();
        let Some(generation) = self.generation.load(&pin) else {
            return (0, 0, false);
        };
        let (lines, compares) = (Cell::new(0), Cell::new(0));
        let ask = |at| {
            compares.set(compares.get() + 1);
            Log::value_of(&self.pool, at, key, &pin)
        };
        let (hash, second) = (self.hash(key), || hash::second(key));
        let (index, look) = (&generation.index, || lines.set(lines.get() + 1));
        let found = index.find_watched(&self.pool, &pin, hash, second, ask, look);
        (lines.get(), compares.get(), found.is_some())
    }

    pub(crate) fn len(&self) -> usize {
        let pin = self.pin();
        self.generation
            .load(&pin)
            .map_or(0, |generation| generation.log.entries())
    }
}

impl<S> Keeper for Store<S> {
    fn promise(&self) -> Result<(), Refused> {
        Ok(self.limbo.promise(1)?)
    }

    fn unpromise(&self) {
        self.limbo.unpromise(1);
    }

    fn retire_chunk(&self, id: ChunkId) {
        #[cfg(not(any(cmap_loom, cmap_shuttle)))]
        self.pool.descriptor(id).note_retired(domain().now());
        self.limbo
            .retire(Retired::Chunk(id), self.pool.config().chunk_bytes);
    }

    fn retire_extent(&self, at: Location, bytes: usize) {
        self.limbo
            .retire(Retired::Extent(at, bytes), self.pool.extent_bytes(bytes));
    }
}

impl<S> IndexKeeper for Store<S> {
    fn promise(&self) -> Result<(), Refused> {
        Keeper::promise(self)
    }

    fn unpromise(&self) {
        Keeper::unpromise(self);
    }

    fn retire_table(&self, table: TableRef) {
        let (_, _, bytes) = table.block(&self.pool);
        self.limbo.retire(Retired::Table(table), bytes);
    }

    fn retire_directory(&self, directory: Unlinked<Directory>) {
        let bytes = directory.get().bytes();
        self.limbo.retire(Retired::Directory(directory), bytes);
    }
}

impl<S> Drop for Store<S> {
    fn drop(&mut self) {
        debug_assert!(!self.is_foreign(), "a forked child keeps its parent's maps");
        self.dismantle();
    }
}
