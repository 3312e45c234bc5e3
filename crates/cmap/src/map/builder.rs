//! Making a map with settings.

use core::hash::BuildHasher;

use super::cmap::CMap;
use super::error::Error;
use super::pool::{ChunkPool, MAX_BYTES_MIN, PoolConfig, process_pool};
use super::tender::Tender;
use crate::base::hash::RandomState;
use crate::base::os;
use crate::base::sync::Arc;
use crate::index::Geometry;
use crate::memory::{Config, Pool};
use crate::store::{Store, Tuning};

/// Who compacts.
///
/// ```
/// use cmap::{Budget, CMap, Maintenance};
/// let map = CMap::builder().maintenance(Maintenance::Manual).build()?;
/// map.insert(b"k", b"v")?;
/// map.compact(Budget::all()); // when nobody is waiting
/// # Ok::<(), cmap::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Maintenance {
    /// Writes and removes, each a little. The default.
    #[default]
    Inline,
    /// A thread of the map's own, which also touches fresh memory ahead of writers. It ends with the map.
    Thread,
    /// Nobody but [`CMap::compact`], [`CMap::shrink_to_fit`], and writes that meet a limit.
    Manual,
}

/// Settings of a map. From [`CMap::builder`].
///
/// ```
/// use cmap::CMap;
/// let map = CMap::builder().max_bytes(64 << 20).speed_over_memory(0.8).build()?;
/// map.insert(b"k", b"v")?;
/// # Ok::<(), cmap::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct Builder<S = RandomState> {
    hasher: S,
    max_bytes: Option<usize>,
    speed_over_memory: f64,
    max_dead_ratio: Option<f64>,
    pool: Option<ChunkPool>,
    expected: (usize, usize),
    maintenance: Maintenance,
    pub(super) tiny: Option<Geometry>,
}

/// Share of live bytes to aim for at either end of the knob.
const TARGET_LEANEST: f64 = 0.93;
const TARGET_SPAN: f64 = 0.23;

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            max_bytes: None,
            speed_over_memory: 0.35,
            max_dead_ratio: None,
            pool: None,
            expected: (0, 0),
            maintenance: Maintenance::Inline,
            tiny: None,
        }
    }
}

impl<S> Builder<S> {
    /// Limits the map's memory to `bytes`, at least 16 MiB: chunks, large entries, tables and directories, free chunks of
    /// its own pool included. Resident memory stays below that plus 1 MiB and a hundredth of the index. Those are for
    /// bookkeeping on the heap: up to 80 bytes for a table or an entry above 64 KiB, some 180 for a chunk. (Of such entries
    /// the 1 MiB covers ten thousand; each more may add its 80 bytes.)
    ///
    /// The map's chunks are between a 128th and a 64th of the limit, and at most 2 MiB.
    ///
    /// A write that does not fit compacts first, and then returns [`Error::Full`]. Unless [`Builder::pool`] is given, the
    /// map gets a pool of its own. With one, the limit is the pool's: set it there.
    ///
    /// ```
    /// use cmap::{CMap, Error};
    /// let map = CMap::builder().max_bytes(16 << 20).build()?;
    /// let full = (0..100_u8).find_map(|n| map.insert(&[n], &[n; 1 << 20]).err());
    /// assert!(matches!(full, Some(Error::Full { needed, available, .. }) if needed > available));
    /// assert!(map.memory().total() <= 16 << 20);
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// The knob between memory (0.0) and speed (1.0); 0.35 by default. go-cmap's `P`.
    ///
    /// It sets the share of live bytes that compaction aims for, from 93 % down to 70 %, and from which size on a map uses
    /// huge pages (below 0.1 never).
    ///
    /// ```
    /// use cmap::{CMap, Error};
    /// let lean = CMap::builder().speed_over_memory(0.0).build()?;
    /// assert!(matches!(
    ///     CMap::builder().speed_over_memory(f64::NAN).build(),
    ///     Err(Error::InvalidConfig { field: "speed_over_memory", .. })
    /// ));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn speed_over_memory(mut self, p: f64) -> Self {
        self.speed_over_memory = p;
        self
    }

    /// The share of dead bytes above which compaction works, from 0.02 to 0.5, whatever the knob says.
    ///
    /// ```
    /// let map = cmap::CMap::builder().max_dead_ratio(0.3).build()?;
    /// assert!(cmap::CMap::builder().max_dead_ratio(0.0).build().is_err());
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn max_dead_ratio(mut self, ratio: f64) -> Self {
        self.max_dead_ratio = Some(ratio);
        self
    }

    /// Another hasher. It must avalanche: the index uses all parts of a hash. It may panic or answer wrongly, which makes
    /// look-ups miss and does no other harm.
    ///
    /// [`std::hash::RandomState`] (SipHash-1-3) protects against keys chosen by an attacker.
    ///
    /// A hasher may read maps. It must not write to the map that it serves: it runs while the map replaces a table, and a
    /// write that has to wait for that would wait for itself. It panics instead.
    ///
    /// ```
    /// use cmap::CMap;
    /// let map = CMap::builder().hasher(std::hash::RandomState::new()).build()?; // for keys that strangers choose
    /// map.insert(b"k", b"v")?;
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn hasher<T>(self, hasher: T) -> Builder<T> {
        Builder {
            hasher,
            max_bytes: self.max_bytes,
            speed_over_memory: self.speed_over_memory,
            max_dead_ratio: self.max_dead_ratio,
            pool: self.pool,
            expected: self.expected,
            maintenance: self.maintenance,
            tiny: self.tiny,
        }
    }

    /// Takes the map's memory from `pool`, which other maps may share. See [`PoolConfig`].
    ///
    /// ```
    /// use cmap::{CMap, ChunkPool, PoolConfig};
    /// let pool = ChunkPool::new(PoolConfig { max_bytes: Some(256 << 20), ..PoolConfig::default() })?;
    /// let users = CMap::builder().pool(&pool).build()?;
    /// let pages = CMap::builder().pool(&pool).build()?; // both together keep to the limit
    /// # users.insert(b"k", b"v")?;
    /// # pages.insert(b"k", b"v")?;
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn pool(mut self, pool: &ChunkPool) -> Self {
        self.pool = Some(pool.clone());
        self
    }

    /// Makes room for so many entries of so many bytes (keys and values) in all, as [`CMap::reserve`] does.
    ///
    /// ```
    /// let map = cmap::CMap::builder().expected(10_000, 1 << 20).build()?;
    /// assert!(map.stats().tables > 1); // the index is there already
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn expected(mut self, entries: usize, bytes: usize) -> Self {
        self.expected = (entries, bytes);
        self
    }

    /// Who compacts: see [`Maintenance`].
    ///
    /// ```
    /// use cmap::{CMap, Maintenance};
    /// let map = CMap::builder().maintenance(Maintenance::Thread).build()?; // a thread of its own, not the writers
    /// map.insert(b"k", b"v")?;
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn maintenance(mut self, maintenance: Maintenance) -> Self {
        self.maintenance = maintenance;
        self
    }

    pub(super) fn default_tuning(&self, pool: &Pool) -> Tuning {
        self.tuning(pool, false)
    }

    fn check(&self) -> Result<(), Error> {
        let invalid = |field, reason| Err(Error::InvalidConfig { field, reason });
        if !(0.0..=1.0).contains(&self.speed_over_memory) {
            return invalid("speed_over_memory", "must be from 0.0 to 1.0");
        }
        if self
            .max_dead_ratio
            .is_some_and(|ratio| !(0.02..=0.5).contains(&ratio))
        {
            return invalid("max_dead_ratio", "must be from 0.02 to 0.5");
        }
        let has_small_chunks = self.tiny.is_some();
        if self
            .max_bytes
            .is_some_and(|max| max < MAX_BYTES_MIN && !has_small_chunks)
        {
            return invalid("max_bytes", "must be at least 16 MiB");
        }
        if self.max_bytes.is_some() && self.pool.is_some() {
            return invalid("max_bytes", "must be set on the pool where one is given");
        }
        if self.pool.as_ref().is_some_and(|pool| pool.0.is_foreign()) {
            return Err(Error::Forked);
        }
        Ok(())
    }

    /// The pool, and whether it belongs to the map alone.
    fn make_pool(&self) -> Result<(Arc<Pool>, bool), Error> {
        if let Some(pool) = &self.pool {
            return Ok((pool.0.clone(), false));
        }
        if let Some(geometry) = self.tiny {
            return Ok((
                Arc::new(Pool::new(tiny_pool(geometry, self.max_bytes))?),
                true,
            ));
        }
        let Some(max) = self.max_bytes else {
            return Ok((process_pool(), false));
        };
        // Small chunks under a small limit: its reserve of two is then a small part of it.
        let chunk_bytes = (max / 128 + 1).next_power_of_two().clamp(64 << 10, 2 << 20);
        let huge_pages = chunk_bytes == 2 << 20;
        let config = PoolConfig {
            chunk_bytes,
            max_bytes: Some(max),
            huge_pages,
            ..PoolConfig::default()
        };
        Ok((Arc::new(Pool::new(config.to_inner())?), true))
    }

    fn tuning(&self, pool: &Pool, owns_pool: bool) -> Tuning {
        let live = TARGET_LEANEST - TARGET_SPAN * self.speed_over_memory;
        let dead = self.max_dead_ratio.unwrap_or(1.0 - live);
        let cores = os::cores();
        // Small pages for the first 32 MiB: huge ones would be a large part of a small map.
        let small = (32 << 20) / pool.config().chunk_bytes;
        let small_chunks = match self.speed_over_memory {
            p if p < 0.1 => usize::MAX,
            p if p > 0.75 => small / 8,
            _ => small,
        };
        let is_tiny = self.tiny.is_some();
        Tuning {
            geometry: self.tiny.unwrap_or(Geometry::DEFAULT),
            lanes: if is_tiny { 4 } else { 4 * cores },
            seats: if is_tiny { 4 } else { 2 * cores },
            hole_batch: match pool.config().chunk_bytes {
                _ if is_tiny => 8,
                // A stamp is paid for by many.
                small if small < 1 << 20 => 0,
                _ => 1024,
            },
            small_chunks,
            dead_share: ((dead * 256.0) as usize).max(1),
            dead_chunks_min: if is_tiny { 0 } else { 2 },
            quantum: if is_tiny { 64 } else { 1024 },
            chunks_a_walk: 16,
            copy_bytes_max: if is_tiny { 64 } else { 4096 },
            is_inline: self.maintenance == Maintenance::Inline,
            owns_pool,
        }
    }
}

impl<S: BuildHasher + Send + Sync + 'static> Builder<S> {
    /// Makes the map. Its hasher goes to every thread that uses the map, so it must be one that can:
    /// ```compile_fail,E0599
    /// #[derive(Clone, Default)]
    /// struct Counted(std::rc::Rc<std::cell::Cell<u64>>);
    /// impl std::hash::BuildHasher for Counted {
    ///     type Hasher = std::hash::DefaultHasher;
    ///     fn build_hasher(&self) -> Self::Hasher { self.0.set(self.0.get() + 1); Self::Hasher::new() }
    /// }
    /// let map = cmap::CMap::builder().hasher(Counted::default()).build();
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] names the setting that is out of range; [`Error::OutOfMemory`], [`Error::Full`] and
    /// [`Error::CapacityOverflow`] come from [`Builder::expected`], from a pool whose range the system refused, or from a
    /// thread that it refused; [`Error::Forked`] says that the pool is one of this process's parent.
    ///
    /// ```
    /// use cmap::{CMap, Error};
    /// let refused = CMap::builder().max_bytes(1 << 20).build();
    /// assert!(matches!(refused, Err(Error::InvalidConfig { field: "max_bytes", .. })));
    /// ```
    pub fn build(self) -> Result<CMap<S>, Error> {
        self.check()?;
        let (pool, owns_pool) = self.make_pool()?;
        let tuning = self.tuning(&pool, owns_pool);
        let (entries, bytes) = self.expected;
        let store = Arc::new(Store::new(self.hasher, pool, tuning));
        let tender = match self.maintenance {
            Maintenance::Thread => Some(Tender::spawn(&store)?),
            Maintenance::Inline | Maintenance::Manual => None,
        };
        let map = CMap::of(store, tender);
        map.reserve(entries, bytes)?;
        Ok(map)
    }
}

/// A pool in which everything rare is frequent, for tests.
fn tiny_pool(geometry: Geometry, max_bytes: Option<usize>) -> Config {
    Config {
        chunk_bytes: os::page_size().max(4096),
        block_bytes: [geometry.half.bytes(), geometry.top.bytes()],
        entry_bytes_max: 512,
        max_bytes,
        keep_free: None,
        huge_pages: false,
        // Model checkers lay out every chunk's descriptor beforehand.
        address_space: if cfg!(any(cmap_loom, cmap_shuttle)) {
            1 << 20
        } else {
            256 << 20
        },
    }
}
