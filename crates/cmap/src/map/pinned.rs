//! Borrowing values.

use core::hash::BuildHasher;
use core::marker::PhantomData;

use crate::base::hash::RandomState;
use crate::memory::Pin;
use crate::store::{GROUP, Store};

/// A view of a map whose values can be borrowed. From [`CMap::pin`](crate::CMap::pin).
///
/// It holds no lock: other threads, and this one, go on reading and writing, and each `get` sees the map as it is then.
/// What it has shown stays as it was until it is dropped or [`repin`](Pinned::repin)ned. Until then, memory that was
/// unlinked after it was made cannot be used again: keep it for a batch, not for minutes.
///
/// ```
/// let map = cmap::CMap::new();
/// map.insert(b"k", b"old")?;
/// let pinned = map.pin();
/// let old = pinned.get(b"k");
/// map.insert(b"k", b"new")?;
/// assert_eq!((old, pinned.get(b"k")), (Some(&b"old"[..]), Some(&b"new"[..])));
/// # Ok::<(), cmap::Error>(())
/// ```
/// ```compile_fail,E0597
/// let map = cmap::CMap::new();
/// let value = {
///     let pinned = map.pin();
///     pinned.get(b"key") // outlives its pin
/// };
/// ```
/// ```compile_fail,E0597
/// let pinned = {
///     let map = cmap::CMap::new();
///     map.pin() // outlives its map
/// };
/// ```
/// ```compile_fail,E0277
/// let map = cmap::CMap::new();
/// let pinned = map.pin();
/// std::thread::scope(|s| { s.spawn(move || pinned.get(b"key").is_some()); }); // is not sent to another thread
/// ```
/// ```compile_fail,E0502
/// let map = cmap::CMap::new();
/// let mut pinned = map.pin();
/// let value = pinned.get(b"key");
/// pinned.repin();
/// drop(value); // was borrowed before
/// ```
/// ```compile_fail,E0277
/// let map = cmap::CMap::new();
/// let pinned = map.pin();
/// std::thread::scope(|s| { s.spawn(|| pinned.contains_key(b"key")); }); // nor shared with one
/// ```
/// A hasher that belongs to one thread makes no map:
/// ```compile_fail,E0599
/// # use std::{cell::Cell, hash::{BuildHasher, DefaultHasher}};
/// struct Counting(Cell<u64>);
/// impl BuildHasher for Counting {
///     type Hasher = DefaultHasher;
///     fn build_hasher(&self) -> DefaultHasher { self.0.set(self.0.get() + 1); DefaultHasher::new() }
/// }
/// let map = cmap::CMap::builder().hasher(Counting(Cell::new(0))).build();
/// ```
pub struct Pinned<'m, S = RandomState> {
    store: &'m Store<S>,
    pin: Pin,
    _not_sync: PhantomData<*const ()>,
}

impl<S> core::fmt::Debug for Pinned<'_, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Pinned(..)")
    }
}

impl<'m, S: BuildHasher> Pinned<'m, S> {
    pub(super) fn new(store: &'m Store<S>) -> Self {
        Self {
            pin: store.pin(),
            store,
            _not_sync: PhantomData,
        }
    }

    /// See `internal::age`.
    #[cfg(not(any(cmap_loom, cmap_shuttle)))]
    pub(super) fn age(&self, value: &[u8], since: u64) -> Option<usize> {
        self.store.pool().age(value, &self.pin, since)
    }

    /// The value of `key` now, borrowed.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"k", b"old")?;
    /// let pinned = map.pin();
    /// let value = pinned.get(b"k");
    /// map.insert(b"k", b"new")?;
    /// assert_eq!(value, Some(&b"old"[..])); // as it was
    /// assert_eq!(pinned.get(b"k"), Some(&b"new"[..])); // as it is
    /// # Ok::<(), cmap::Error>(())
    /// ```
    #[inline]
    pub fn get<'p>(&'p self, key: &[u8]) -> Option<&'p [u8]> {
        self.store.get(key, &self.pin)
    }

    /// Shows the value of each key to `f`, with its place in `keys`, borrowed; as [`CMap::get_many`](crate::CMap::get_many).
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"a", b"1")?;
    /// let pinned = map.pin();
    /// let mut values = [None; 2];
    /// assert_eq!(pinned.get_many(&["a", "b"], |n, value| values[n] = value), 1);
    /// assert_eq!(values, [Some(&b"1"[..]), None]);
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn get_many<'p, K: AsRef<[u8]>>(
        &'p self,
        keys: &[K],
        mut f: impl FnMut(usize, Option<&'p [u8]>),
    ) -> usize {
        let groups = keys.chunks(GROUP).enumerate();
        let hits = groups.map(|(group, keys)| {
            let show = |n, value| f(group * GROUP + n, value);
            self.store.get_group(keys, &self.pin, show)
        });
        hits.sum()
    }

    /// Whether `key` is in the map now.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// let pinned = map.pin();
    /// map.insert(b"k", b"v")?;
    /// assert!(pinned.contains_key(b"k"));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    #[inline]
    pub fn contains_key(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// The length in bytes of `key`'s value now.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"k", b"value")?;
    /// assert_eq!(map.pin().value_len(b"k"), Some(5));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    #[inline]
    pub fn value_len(&self, key: &[u8]) -> Option<usize> {
        self.get(key).map(<[u8]>::len)
    }

    /// Ends this pin and begins another: memory that waited for the former is free to go. Between batches of a long job.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"k", b"v")?;
    /// let mut pinned = map.pin();
    /// for batch in [["k", "a"], ["b", "c"]] {
    ///     let found: Vec<&[u8]> = batch.iter().filter_map(|key| pinned.get(key.as_bytes())).collect();
    ///     assert!(found.len() < 2);
    ///     pinned.repin();
    /// }
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn repin(&mut self) {
        self.pin = self.store.pin();
    }
}
