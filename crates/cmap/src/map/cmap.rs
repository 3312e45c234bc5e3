//! The map.

use core::hash::BuildHasher;
use std::time::Duration;

use super::builder::Builder;
use super::error::Error;
use super::figures::{Memory, Stats};
use super::pinned::Pinned;
use super::pool::process_pool;
use super::tender::Tender;
use crate::base::hash::RandomState;
use crate::base::os;
use crate::base::sync::Arc;
use crate::log::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::store::{Done, Expect, Store, Until, Wrote};

const FORKED: &str =
    "this map was made before the process was forked; in the child it can only be read";

/// What [`CMap::insert`] did.
///
/// ```
/// use cmap::{CMap, Inserted};
/// let seen = CMap::new();
/// let fresh = |word: &str| seen.insert(word.as_bytes(), b"") == Ok(Inserted::New);
/// assert_eq!(["a", "b", "a"].map(fresh), [true, true, false]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inserted {
    /// The key was not in the map.
    New,
    /// The key was in the map; its old value is gone.
    Replaced,
}

/// What a conditional write did.
///
/// ```
/// use cmap::{CMap, Changed};
/// let map = CMap::new();
/// assert_eq!(map.replace(b"k", b"1")?, Changed::Nothing); // it was absent
/// assert_eq!(map.insert_if_absent(b"k", b"1")?, Changed::Inserted);
/// assert_eq!(map.compare_and_swap(b"k", Some(b"1"), Some(b"2"))?, Changed::Replaced);
/// assert_eq!(map.compare_and_swap(b"k", Some(b"2"), None)?, Changed::Removed);
/// # Ok::<(), cmap::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Changed {
    /// The key was absent and is now there.
    Inserted,
    /// The key's value was replaced.
    Replaced,
    /// The key was removed.
    Removed,
    /// Nothing: the condition did not hold.
    Nothing,
}

/// How much [`CMap::compact`] may do.
///
/// ```
/// use cmap::{Budget, CMap};
/// use std::time::Duration;
/// let map = CMap::new();
/// let whenever_idle = Budget::time(Duration::from_millis(2));
/// map.compact(whenever_idle);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Budget(Until);

impl Budget {
    /// Copies about `bytes` at most: it stops after the step (at most 32 entries or 32 KiB) that exceeds it.
    ///
    /// ```
    /// use cmap::{Budget, CMap};
    /// let map = CMap::new();
    /// while !map.compact(Budget::bytes(1 << 20)).done {
    ///     // something else, meanwhile
    /// }
    /// ```
    #[must_use]
    pub fn bytes(bytes: usize) -> Self {
        Self(Until::Bytes(bytes))
    }

    /// Works for about `time`: it stops after the step (at most 32 entries or 32 KiB) that exceeds it. What no reader sees any
    /// more is given back first, whatever that takes.
    ///
    /// ```
    /// use cmap::{Budget, CMap};
    /// use std::time::Duration;
    /// let map = CMap::new();
    /// map.compact(Budget::time(Duration::from_millis(5)));
    /// ```
    #[must_use]
    pub fn time(time: Duration) -> Self {
        Self(Until::Time(time))
    }

    /// Does all there is to do.
    ///
    /// ```
    /// use cmap::{Budget, CMap};
    /// assert!(CMap::new().compact(Budget::all()).done);
    /// ```
    #[must_use]
    pub fn all() -> Self {
        Self(Until::Nothing)
    }
}

/// What [`CMap::compact`] did.
///
/// ```
/// use cmap::{Budget, CMap, Maintenance};
/// let map = CMap::builder().maintenance(Maintenance::Manual).build()?;
/// for n in 0..100_000u32 {
///     map.insert(&n.to_be_bytes(), &[7; 100])?;
/// }
/// map.retain(|key, _| key[3] % 4 == 0); // three in four are dead
/// let compacted = map.compact(Budget::all());
/// assert!(compacted.done && compacted.moved > 0 && compacted.freed > 0);
/// # Ok::<(), cmap::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Compacted {
    /// Entries moved.
    pub moved: usize,
    /// Bytes of chunks given back to the pool meanwhile.
    pub freed: usize,
    /// Whether nothing is left to do: the dead share is at the map's target, or no chunk is worth the copying.
    pub done: bool,
}

/// A concurrent map of byte keys to byte values. See the [crate's page](crate).
///
/// Share it by reference or in an `Arc`. Keys have 0 to 65 535 bytes, values 0 to 4 GiB − 1.
///
/// ```
/// use std::{sync::Arc, thread};
/// let map = Arc::new(cmap::CMap::new());
/// let other = map.clone();
/// thread::spawn(move || other.insert(b"from", b"a thread")).join().unwrap()?;
/// assert_eq!(map.get(b"from"), Some(b"a thread".to_vec()));
/// # Ok::<(), cmap::Error>(())
/// ```
/// A value that [`CMap::get_with`] shows cannot be kept, and what is not `Send` stays out of other threads' closures:
/// ```compile_fail,E0521
/// let map = cmap::CMap::new();
/// let mut kept = None;
/// map.get_with(b"key", |value| kept = Some(value));
/// ```
/// ```compile_fail,E0277
/// let (map, count) = (cmap::CMap::new(), std::rc::Rc::new(0));
/// std::thread::scope(|s| { s.spawn(|| map.get_with(b"key", |value| value.len() + *count)); });
/// ```
pub struct CMap<S = RandomState> {
    // Ends first: it works on the store.
    tender: Option<Tender>,
    store: Arc<Store<S>>,
}

impl Default for CMap {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: BuildHasher> core::fmt::Debug for CMap<S> {
    /// Shows counts, never contents.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CMap")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl CMap {
    /// An empty map with default settings. It uses no memory of its own until the first write, and cannot fail.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// assert!(map.is_empty() && map.memory().live == 0);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::with_defaults(RandomState::default())
    }

    /// Settings for a map.
    ///
    /// ```
    /// use cmap::CMap;
    /// let map = CMap::builder().max_bytes(64 << 20).build()?;
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }
}

/// Whether a value may be so long.
pub(super) fn check_value(len: usize) -> Result<(), Error> {
    if len > VALUE_BYTES_MAX {
        let max = VALUE_BYTES_MAX;
        return Err(Error::ValueTooLong { len, max });
    }
    Ok(())
}

impl<S> CMap<S> {
    /// A map with the settings of [`CMap::new`].
    pub(super) fn with_defaults(hasher: S) -> Self {
        let pool = process_pool();
        let tuning = Builder::new().default_tuning(&pool);
        Self::of(Arc::new(Store::new(hasher, pool, tuning)), None)
    }

    pub(super) fn of(store: Arc<Store<S>>, tender: Option<Tender>) -> Self {
        Self { tender, store }
    }

    pub(super) fn store(&self) -> &Store<S> {
        &self.store
    }

    pub(super) fn assert_own(&self) {
        assert!(!self.store.is_foreign(), "{FORKED}");
    }
}

/// # Reading
/// No look-up takes a lock, retries, or waits for anyone. A [scan](#scans) may lock a bucket for an instant if its words keep
/// changing. No read can fail. What a look-up answers was true at one instant during the call; a moment later others may have
/// changed it.
impl<S: BuildHasher> CMap<S> {
    /// A copy of `key`'s value.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"k", b"v")?;
    /// assert_eq!(map.get(b"k"), Some(b"v".to_vec()));
    /// assert_eq!(map.get(b"absent"), None);
    /// # Ok::<(), cmap::Error>(())
    /// ```
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.get_with(key, <[u8]>::to_vec)
    }

    /// Shows `key`'s value to `f`, without a copy. Nothing is locked meanwhile: `f` may call the map, the same key
    /// included, and may panic. Others may replace or remove the value; what `f` sees stays as it is.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"k", b"value")?;
    /// assert_eq!(map.get_with(b"k", |value| value[0]), Some(b'v'));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    /// The value cannot leave the closure:
    /// ```compile_fail
    /// let map = cmap::CMap::new();
    /// let value = map.get_with(b"k", |value| value); // a lifetime error, which has no code
    /// ```
    #[inline(always)]
    pub fn get_with<R>(&self, key: &[u8], f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.store.get_with(key, f)
    }

    /// Appends `key`'s value to `out` and returns its length. `out` is untouched if the key is absent.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"k", b"value")?;
    /// let mut out = b"> ".to_vec();
    /// assert_eq!(map.get_into(b"k", &mut out), Some(5));
    /// assert_eq!(out, b"> value");
    /// # Ok::<(), cmap::Error>(())
    /// ```
    #[inline]
    pub fn get_into(&self, key: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        self.get_with(key, |value| {
            out.extend_from_slice(value);
            value.len()
        })
    }

    /// Whether `key` is in the map.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"k", b"")?;
    /// assert!(map.contains_key(b"k") && !map.contains_key(b""));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    #[inline]
    pub fn contains_key(&self, key: &[u8]) -> bool {
        self.get_with(key, |_| ()).is_some()
    }

    /// The length in bytes of `key`'s value.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"k", b"value")?;
    /// assert_eq!((map.value_len(b"k"), map.value_len(b"absent")), (Some(5), None));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    #[inline]
    pub fn value_len(&self, key: &[u8]) -> Option<usize> {
        self.get_with(key, <[u8]>::len)
    }

    /// How many entries there are: exact when no write overlaps the call, else off by at most those that do.
    ///
    /// ```
    /// let map: cmap::CMap = [("a", "1"), ("b", "2")].into_iter().collect();
    /// assert_eq!(map.len(), 2);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether there are none. See [`CMap::len`].
    ///
    /// ```
    /// assert!(cmap::CMap::new().is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A view whose values can be borrowed.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"a", b"1")?;
    /// map.insert(b"b", b"2")?;
    /// let pinned = map.pin();
    /// let (a, b) = (pinned.get(b"a"), pinned.get(b"b"));
    /// assert_eq!((a, b), (Some(&b"1"[..]), Some(&b"2"[..])));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    #[inline]
    pub fn pin(&self) -> Pinned<'_, S> {
        Pinned::new(&self.store)
    }
}

/// # Writing
/// A write takes effect at one instant during the call: others see the old value or the new one, whole, and from then on the
/// new one. One that returns an error has changed nothing.
///
/// # Errors
/// - [`Error::KeyTooLong`] above 65 535 bytes, [`Error::ValueTooLong`] above 4 GiB − 1.
/// - [`Error::Full`] where a limit is set and the entry does not fit, though dead space was compacted.
/// - [`Error::OutOfMemory`] if the system, or the pool's range of addresses, has no more.
/// - [`Error::Forked`] in a forked child, if the map was made before the fork.
impl<S: BuildHasher> CMap<S> {
    /// Stores `value` under `key`, in place of what was there.
    ///
    /// # Errors
    /// [Those of every write](CMap#writing).
    ///
    /// ```
    /// use cmap::{CMap, Inserted};
    /// let map = CMap::new();
    /// assert_eq!(map.insert(b"k", b"1")?, Inserted::New);
    /// assert_eq!(map.insert(b"k", b"2")?, Inserted::Replaced);
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn insert(&self, key: &[u8], value: &[u8]) -> Result<Inserted, Error> {
        self.check(key, value.len())?;
        Ok(
            match self.store.write(key, value, Expect::Anything, |_| ())? {
                Wrote::Replaced => Inserted::Replaced,
                Wrote::New | Wrote::Nothing => Inserted::New,
            },
        )
    }

    /// As [`CMap::insert`]; returns a copy of the value that was there.
    ///
    /// # Errors
    /// [Those of every write](CMap#writing).
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// assert_eq!(map.insert_swap(b"k", b"1")?, None);
    /// assert_eq!(map.insert_swap(b"k", b"2")?, Some(b"1".to_vec()));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn insert_swap(&self, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.check(key, value.len())?;
        let mut old = None;
        self.store.write(key, value, Expect::Anything, |value| {
            old = Some(value.to_vec())
        })?;
        Ok(old)
    }

    /// Stores `value` under `key` if the key is absent. Of several threads that try at once, exactly one does.
    ///
    /// # Errors
    /// [Those of every write](CMap#writing).
    ///
    /// ```
    /// use cmap::{CMap, Changed};
    /// let map = CMap::new();
    /// assert_eq!(map.insert_if_absent(b"k", b"1")?, Changed::Inserted);
    /// assert_eq!(map.insert_if_absent(b"k", b"2")?, Changed::Nothing);
    /// assert_eq!(map.get(b"k"), Some(b"1".to_vec()));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn insert_if_absent(&self, key: &[u8], value: &[u8]) -> Result<Changed, Error> {
        self.check(key, value.len())?;
        Ok(
            match self.store.write(key, value, Expect::Absent, |_| ())? {
                Wrote::New => Changed::Inserted,
                Wrote::Replaced | Wrote::Nothing => Changed::Nothing,
            },
        )
    }

    pub(super) fn check(&self, key: &[u8], value_len: usize) -> Result<(), Error> {
        if key.len() > KEY_BYTES_MAX {
            return Err(Error::KeyTooLong {
                len: key.len(),
                max: KEY_BYTES_MAX,
            });
        }
        check_value(value_len)?;
        if self.store.is_foreign() {
            return Err(Error::Forked);
        }
        Ok(())
    }

    /// Removes `key`. Returns whether it was there. Needs no memory, so it works at the limit.
    ///
    /// # Panics
    /// In a forked child, if the map was made before the fork.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"k", b"v")?;
    /// assert!(map.remove(b"k"));
    /// assert!(!map.remove(b"k"));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn remove(&self, key: &[u8]) -> bool {
        self.assert_own();
        self.store.remove(key, |_| ()).is_some()
    }

    /// As [`CMap::remove`]; returns a copy of the value that was there.
    ///
    /// # Panics
    /// In a forked child, if the map was made before the fork.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"k", b"v")?;
    /// assert_eq!(map.take(b"k"), Some(b"v".to_vec()));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.assert_own();
        self.store.remove(key, <[u8]>::to_vec)
    }

    /// Removes everything, at one instant and at once; the memory goes back bit by bit, with later calls.
    /// [`CMap::shrink_to_fit`] gives it back now. What pins and [`ValueRef`](crate::ValueRef)s show stays until they end. A write
    /// that overlaps the call comes before it, and is removed, or after it, and stays.
    ///
    /// # Panics
    /// In a forked child, if the map was made before the fork.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"k", b"v")?;
    /// map.clear();
    /// assert!(map.is_empty());
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn clear(&self) {
        self.assert_own();
        self.store.clear();
    }
}

/// # Memory
impl<S: BuildHasher> CMap<S> {
    /// Makes room for `entries` more entries of `bytes` (keys and values) in all, so that inserting them splits few tables
    /// and meets fewer page faults. The memory is resident from then on.
    ///
    /// # Errors
    /// [`Error::CapacityOverflow`] if no map could hold that; [`Error::OutOfMemory`], [`Error::Full`], [`Error::Forked`].
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.reserve(10_000, 1 << 20)?;
    /// assert!(map.reserve(usize::MAX, 0).is_err());
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn reserve(&self, entries: usize, bytes: usize) -> Result<(), Error> {
        const LOG_BYTES_MAX: usize = 4 << 40;
        const INDEX_BYTES: usize = 16;
        const HEADER_BYTES: usize = 6;
        if self.store.is_foreign() {
            return Err(Error::Forked);
        }
        let all = entries
            .checked_add(self.len())
            .ok_or(Error::CapacityOverflow)?;
        let index = all
            .checked_mul(INDEX_BYTES)
            .ok_or(Error::CapacityOverflow)?;
        let headers = entries
            .checked_mul(HEADER_BYTES)
            .ok_or(Error::CapacityOverflow)?;
        let log = if bytes == 0 {
            0
        } else {
            bytes.checked_add(headers).ok_or(Error::CapacityOverflow)?
        };
        if log > LOG_BYTES_MAX || index > LOG_BYTES_MAX {
            return Err(Error::CapacityOverflow);
        }
        if log + index > os::ram_bytes() {
            return Err(Error::OutOfMemory { bytes: log + index });
        }
        Ok(self
            .store
            .reserve(if entries == 0 { 0 } else { all }, log)?)
    }

    /// Moves living entries out of mostly dead chunks, down to the map's target, as far as `budget` allows. The map does
    /// this by itself, a little with every write and remove; call it to choose the moment.
    ///
    /// # Panics
    /// In a forked child, if the map was made before the fork.
    ///
    /// ```
    /// use cmap::{Budget, CMap};
    /// let map = CMap::new();
    /// let done = map.compact(Budget::bytes(1 << 20));
    /// assert!(done.done); // there was nothing to do
    /// ```
    pub fn compact(&self, budget: Budget) -> Compacted {
        self.assert_own();
        let Done {
            moved,
            freed,
            is_all,
            ..
        } = self
            .store
            .compact(budget.0, self.store.tuning().dead_share, false);
        Compacted {
            moved,
            freed,
            done: is_all,
        }
    }

    /// Compacts until at most 3 % of the log is dead, whatever the knob says, merges tables, and gives free memory of a
    /// pool of the map's own back to the system. Takes time in proportion to the map, and holds up nobody.
    ///
    /// # Panics
    /// In a forked child, if the map was made before the fork.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"k", &[0; 10_000])?;
    /// map.remove(b"k");
    /// map.shrink_to_fit();
    /// assert_eq!(map.memory().live, 0);
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn shrink_to_fit(&self) {
        self.assert_own();
        self.store.shrink_to_fit();
    }

    /// What the map's memory is used for, in bytes: see [`Memory`]. The cost does not grow with the map, spilled keys apart.
    /// In a forked child, of a map that was made before the fork, zeros.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"key", b"value")?;
    /// let memory = map.memory();
    /// assert!(memory.live > 0 && memory.live < memory.total());
    /// # Ok::<(), cmap::Error>(())
    /// ```
    #[must_use]
    pub fn memory(&self) -> Memory {
        if self.store.is_foreign() {
            return Memory::default();
        }
        let figures = self.store.figures();
        Memory {
            live: figures.live,
            dead: figures.dead,
            padding: figures.open,
            index: figures.index,
            pool: figures.pool,
            retired: figures.retired,
            held: figures.held,
        }
    }

    /// What happened in the map since it was made: see [`Stats`]. The cost is that of [`CMap::memory`]. In a forked child, of a
    /// map that was made before the fork, zeros.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"key", b"value")?;
    /// assert_eq!((map.stats().entries, map.stats().oldest_pin), (1, None));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        if self.store.is_foreign() {
            return Stats::default();
        }
        let figures = self.store.figures();
        Stats {
            entries: figures.entries,
            tables: figures.tables,
            splits: figures.splits,
            merges: figures.merges,
            rebuilds: figures.rebuilds,
            spilled: figures.spilled,
            compactions: figures.compactions,
            relocations: figures.relocations,
            bytes_moved: figures.bytes_moved,
            chunks_in_use: figures.chunks,
            chunks_freed: figures.chunks_freed,
            refused: figures.refused,
            retired_bytes: figures.retired,
            oldest_pin: figures.oldest_pin,
        }
    }
}

impl<S> Drop for CMap<S> {
    fn drop(&mut self) {
        if self.store.is_foreign() {
            // A forked child has no such thread to wait for, the memory is its parent's copy, and locks may be held by threads
            // that are not here. One owner more, and nothing is dropped.
            core::mem::forget(self.tender.take());
            core::mem::forget(self.store.clone());
        }
    }
}
