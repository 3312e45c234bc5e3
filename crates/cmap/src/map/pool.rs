//! Pools of chunks, of one's own or the process's.

use super::error::Error;
use crate::base::os;
use crate::base::sync::Arc;
use crate::index::Geometry;
use crate::memory::{Config, Pool, Shared, Tag, domain};

/// Chunk sizes that can be chosen.
const CHUNK_BYTES: core::ops::RangeInclusive<usize> = 64 << 10..=64 << 20;
/// What locations can address.
const ADDRESS_SPACE_MAX: usize = 4 << 40;
/// Entries above this, or above a quarter of a chunk, get pages of their own.
const ENTRY_BYTES_MAX: usize = 64 << 10;
/// Least limit.
pub(super) const MAX_BYTES_MIN: usize = 16 << 20;

/// Settings of a [`ChunkPool`].
///
/// ```
/// use cmap::{CMap, ChunkPool, PoolConfig};
/// let pool = ChunkPool::new(PoolConfig { chunk_bytes: 256 << 10, ..PoolConfig::default() })?;
/// let (a, b) = (CMap::builder().pool(&pool).build()?, CMap::builder().pool(&pool).build()?);
/// a.insert(b"k", b"in a")?;
/// b.insert(b"k", b"in b")?;
/// assert!(pool.usage().in_use > 0);
/// # Ok::<(), cmap::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Bytes of a chunk: a power of two from 64 KiB to 64 MiB; 2 MiB by default. Larger suits larger entries: those above
    /// 64 KiB, or a quarter of a chunk, get pages of their own.
    pub chunk_bytes: usize,
    /// Hard limit for the maps of this pool together, in bytes, at least 16 MiB. None by default.
    pub max_bytes: Option<usize>,
    /// Free bytes to keep resident. By default one chunk, or 2 % of those in use if that is more.
    pub keep_free: Option<usize>,
    /// Whether larger maps use huge pages where the system grants them. `true` by default.
    pub huge_pages: bool,
    /// Bytes of address space to reserve, at most 4 TiB; no memory is used for them. By default four times the limit, or
    /// four times the machine's memory; less where the system refuses that much. Half of it is for chunks (a quarter with
    /// small pages, a quarter with huge ones; either serves when the other is used up), half for entries with pages of their own.
    pub address_space: Option<usize>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            chunk_bytes: 2 << 20,
            max_bytes: None,
            keep_free: None,
            huge_pages: true,
            address_space: None,
        }
    }
}

impl PoolConfig {
    fn check(&self) -> Result<(), Error> {
        let invalid = |field, reason| Err(Error::InvalidConfig { field, reason });
        if !self.chunk_bytes.is_power_of_two() || !CHUNK_BYTES.contains(&self.chunk_bytes) {
            return invalid(
                "chunk_bytes",
                "must be a power of two from 64 KiB to 64 MiB",
            );
        }
        if self.max_bytes.is_some_and(|max| max < MAX_BYTES_MIN) {
            return invalid("max_bytes", "must be at least 16 MiB");
        }
        if self.max_bytes.is_some_and(|max| max < 8 * self.chunk_bytes) {
            return invalid("max_bytes", "must be at least eight chunks");
        }
        if self
            .address_space
            .is_some_and(|len| len < 16 * self.chunk_bytes || len > ADDRESS_SPACE_MAX)
        {
            return invalid(
                "address_space",
                "must be at least 16 chunks and at most 4 TiB",
            );
        }
        Ok(())
    }

    pub(super) fn to_inner(&self) -> Config {
        let wanted = match self.max_bytes {
            Some(max) => max.saturating_mul(4),
            None => os::ram_bytes().saturating_mul(4),
        };
        let geometry = Geometry::DEFAULT;
        Config {
            chunk_bytes: self.chunk_bytes,
            block_bytes: [geometry.half.bytes(), geometry.top.bytes()],
            entry_bytes_max: ENTRY_BYTES_MAX.min(self.chunk_bytes / 4),
            max_bytes: self.max_bytes,
            keep_free: self.keep_free,
            huge_pages: self.huge_pages,
            address_space: self.address_space.unwrap_or(wanted.min(ADDRESS_SPACE_MAX)),
        }
    }
}

/// Bytes of a [`ChunkPool`], of all its maps together. From [`ChunkPool::usage`].
///
/// ```
/// use cmap::{CMap, ChunkPool, PoolConfig};
/// let pool = ChunkPool::new(PoolConfig { keep_free: Some(0), ..PoolConfig::default() })?;
/// let map = CMap::builder().pool(&pool).build()?;
/// map.insert(b"k", b"v")?;
/// let usage = pool.usage();
/// assert!(usage.in_use > 0 && usage.free == 0 && usage.reserved > usage.in_use);
/// # Ok::<(), cmap::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolUsage {
    /// Bytes that maps use: chunks, large entries, and directories.
    pub in_use: usize,
    /// Bytes kept free and resident.
    pub free: usize,
    /// Bytes of address space.
    pub reserved: usize,
}

/// A reserved range of addresses from which maps take their memory. Cloning it shares it.
///
/// Maps that are given no pool share one of the process, or have one of their own if they have a limit.
///
/// ```
/// use cmap::{CMap, ChunkPool, Error, PoolConfig};
/// let pool = ChunkPool::new(PoolConfig { max_bytes: Some(32 << 20), ..PoolConfig::default() })?;
/// let (a, b) = (CMap::builder().pool(&pool).build()?, CMap::builder().pool(&pool).build()?);
/// a.insert(b"large", &vec![1; 20 << 20])?;
/// assert!(matches!(b.insert(b"large", &vec![2; 20 << 20]), Err(Error::Full { .. }))); // one limit for both
/// # Ok::<(), cmap::Error>(())
/// ```
#[derive(Clone)]
pub struct ChunkPool(pub(super) Arc<Pool>);

impl core::fmt::Debug for ChunkPool {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("ChunkPool").field(&self.usage()).finish()
    }
}

impl ChunkPool {
    /// Reserves the pool's address range.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] names the setting that is out of range; [`Error::OutOfMemory`] says that the system
    /// refused even the smallest range.
    ///
    /// ```
    /// use cmap::{ChunkPool, PoolConfig};
    /// let pool = ChunkPool::new(PoolConfig { max_bytes: Some(64 << 20), ..PoolConfig::default() })?;
    /// assert_eq!(pool.usage().in_use, 0);
    /// assert!(ChunkPool::new(PoolConfig { chunk_bytes: 100_000, ..PoolConfig::default() }).is_err());
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn new(config: PoolConfig) -> Result<Self, Error> {
        config.check()?;
        Ok(Self(Arc::new(Pool::new(config.to_inner())?)))
    }

    /// Makes `bytes` more, rounded up to chunks, resident and free, and keeps them until maps use them. Later growth into
    /// them meets no page faults.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::OutOfMemory`], or [`Error::CapacityOverflow`] if no pool could hold that: nothing more is
    /// resident then. [`Error::Forked`] if the pool is one of this process's parent.
    ///
    /// ```
    /// use cmap::{ChunkPool, PoolConfig};
    /// let pool = ChunkPool::new(PoolConfig::default())?;
    /// pool.preallocate(3 << 20)?; // two chunks of 2 MiB
    /// assert_eq!(pool.usage().free, 4 << 20);
    /// assert_eq!(pool.trim(), 4 << 20);
    /// assert_eq!(pool.usage().free, 0);
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn preallocate(&self, bytes: usize) -> Result<(), Error> {
        if self.0.is_foreign() {
            return Err(Error::Forked);
        }
        if bytes > ADDRESS_SPACE_MAX {
            return Err(Error::CapacityOverflow);
        }
        if bytes > os::ram_bytes() {
            return Err(Error::OutOfMemory { bytes });
        }
        Ok(self.0.preallocate(bytes)?)
    }

    /// Gives free memory back to the system, preallocated memory too. Returns how many bytes of chunks went. Maps of the pool may
    /// be in use meanwhile. In a forked child, of a pool that was made before the fork, it does nothing.
    ///
    /// ```
    /// use cmap::{ChunkPool, PoolConfig};
    /// let pool = ChunkPool::new(PoolConfig::default())?;
    /// pool.preallocate(8 << 20)?; // for a busy hour that did not come
    /// assert_eq!((pool.trim(), pool.trim()), (8 << 20, 0));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn trim(&self) -> usize {
        if self.0.is_foreign() {
            0
        } else {
            self.0.trim()
        }
    }

    /// Bytes in use, free, and reserved, now. In a forked child, of a pool that was made before the fork, zeros.
    ///
    /// ```
    /// use cmap::{CMap, ChunkPool, PoolConfig};
    /// let pool = ChunkPool::new(PoolConfig::default())?;
    /// let map = CMap::builder().pool(&pool).build()?;
    /// map.insert(b"k", b"v")?;
    /// assert!(pool.usage().in_use > 0);
    /// drop(map);
    /// assert_eq!(pool.usage().in_use, 0);
    /// # Ok::<(), cmap::Error>(())
    /// ```
    #[must_use]
    pub fn usage(&self) -> PoolUsage {
        if self.0.is_foreign() {
            return PoolUsage::default();
        }
        let usage = self.0.usage();
        PoolUsage {
            in_use: usage.in_use,
            free: usage.free,
            reserved: usage.reserved,
        }
    }
}

/// The process's pool. After a fork the child gets one of its own. If the system refuses the range, the pool has none and
/// refuses everything, until a later map tries again. No lock is held: a child forked meanwhile could never take it.
pub(super) fn process_pool() -> Arc<Pool> {
    #[cfg(not(any(cmap_loom, cmap_shuttle)))]
    static POOL: Shared<Arc<Pool>> = Shared::empty();
    #[cfg(cmap_loom)]
    loom::lazy_static! { static ref POOL: Shared<Arc<Pool>> = Shared::empty(); }
    #[cfg(cmap_shuttle)]
    shuttle::lazy_static! { static ref POOL: Shared<Arc<Pool>> = Shared::empty(); }
    let pin = domain().pin(Tag::fresh(domain()));
    let usable = || {
        POOL.load(&pin)
            .filter(|pool| !pool.is_foreign() && !pool.is_none())
            .cloned()
    };
    if let Some(pool) = usable() {
        return pool;
    }
    let pool = Arc::new(Pool::new_or_none(PoolConfig::default().to_inner()));
    match POOL.set_if_empty(Box::new(pool.clone())) {
        Ok(()) => pool,
        // Another thread was faster, or the parent's is there: that one is never freed, a handful of bytes.
        Err(own) => usable().unwrap_or_else(|| {
            let _ = POOL.swap(Some(own));
            pool
        }),
    }
}
