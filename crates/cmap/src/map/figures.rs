//! What a map says of itself.

use std::time::Duration;

/// Bytes of a map, by what they are used for. From [`CMap::memory`](crate::CMap::memory).
///
/// Exact when no other call runs; estimates otherwise. [`Memory::total`] is what the map has mapped; of that, pages never
/// touched (of a chunk just opened, of a table in a small map) are not resident.
///
/// ```
/// let map = cmap::CMap::new();
/// map.insert(b"key", b"value")?;
/// assert_eq!(map.memory().live, 12); // 3 bytes of header, 3 of key, 5 of value, rounded up to 4
/// # Ok::<(), cmap::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Memory {
    /// Entries that can be read: header, key and value, rounded up to 4 bytes each.
    pub live: usize,
    /// Entries that cannot be read any more, and the ends of closed stretches, in chunks that were not compacted yet; the
    /// unused ends of large entries' last pages; and lists of dead entries whose space new ones may take.
    pub dead: usize,
    /// Chunks' room for further entries.
    pub padding: usize,
    /// Tables, directories, and the generation's own structure.
    pub index: usize,
    /// What a pool of the map's own keeps free, blocks for tables included. 0 where the pool is shared.
    pub pool: usize,
    /// What was unlinked and waits for readers' pins.
    pub retired: usize,
    /// What nothing but [`ValueRef`](crate::ValueRef)s keeps from going back.
    pub held: usize,
}

impl Memory {
    /// The sum of all fields.
    ///
    /// ```
    /// let map: cmap::CMap = (0..1_000u32).map(|n| (n.to_be_bytes(), [7; 100])).collect();
    /// let memory = map.memory();
    /// assert_eq!(memory.live, 1_000 * 108); // of each entry 3 bytes of header and 1 of rounding
    /// assert!(memory.total() > memory.live + memory.index);
    /// ```
    #[must_use]
    pub fn total(&self) -> usize {
        self.live + self.dead + self.padding + self.index + self.pool + self.retired + self.held
    }
}

/// What happened in a map since it was made. From [`CMap::stats`](crate::CMap::stats).
///
/// ```
/// let map = cmap::CMap::new();
/// for n in 0..10_000u32 {
///     map.insert(&n.to_be_bytes(), b"value")?;
/// }
/// assert!(map.stats().splits > 0 && map.stats().tables > 1);
/// # Ok::<(), cmap::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Entries now.
    pub entries: usize,
    /// Tables of the index now.
    pub tables: usize,
    /// Tables that were split in two.
    pub splits: u64,
    /// Pairs of tables that were merged.
    pub merges: u64,
    /// Tables that were rebuilt: grown, shrunk, moved, or renewed at their size.
    pub rebuilds: u64,
    /// Entries in spill tables now: keys whose hashes are too much alike. More than a few mean a hasher that does not
    /// spread, or keys that were chosen by an attacker.
    pub spilled: usize,
    /// Chunks that compaction chose to empty.
    pub compactions: u64,
    /// Entries that compaction moved.
    pub relocations: u64,
    /// Bytes that compaction moved.
    pub bytes_moved: u64,
    /// Chunks of the log now: open, sealed, or being emptied.
    pub chunks_in_use: usize,
    /// Chunks that were emptied and given back to the pool.
    pub chunks_freed: u64,
    /// Calls that were refused for lack of memory: with [`Error::Full`](crate::Error::Full) or
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub refused: u64,
    /// Bytes that wait for readers' pins.
    pub retired_bytes: usize,
    /// For how long at least the oldest pin in the way has been held; counted from when memory first waited for it.
    pub oldest_pin: Option<Duration>,
}
