//! Many keys in one call.

use core::hash::BuildHasher;

use super::cmap::CMap;
use super::error::Error;
use crate::store::GROUP;

/// Why [`CMap::insert_many`] stopped.
///
/// ```
/// use cmap::{BatchError, CMap, Error};
/// let map = CMap::new();
/// let long = vec![0; 70_000];
/// let stopped = map.insert_many([(&b"a"[..], "1"), (&long, "2"), (b"c", "3")]);
/// let source = Error::KeyTooLong { len: 70_000, max: 65_535 };
/// assert_eq!(stopped, Err(BatchError { done: 1, source }));
/// assert_eq!((map.contains_key(b"a"), map.contains_key(b"c")), (true, false));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("after {done} entries: {source}")]
pub struct BatchError {
    /// How many entries are in the map: the first ones.
    pub done: usize,
    /// Why the next is not.
    pub source: Error,
}

/// # Batches
/// The same as single calls, one after another, but faster where the map is larger than the processor's caches: the memory
/// that one key waits for is asked for while others wait. A batch is not atomic: each key has an instant of its own.
impl<S: BuildHasher> CMap<S> {
    /// Shows the value of each key to `f`, with its place in `keys`; in their order, absent ones as `None`. Returns how many
    /// were there. Nothing is locked while `f` runs: it may call the map, and may panic. It is called when some 16 keys were looked
    /// up, so what it is shown may have been replaced a moment ago.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"a", b"1")?;
    /// map.insert(b"c", b"3")?;
    /// let mut seen = Vec::new();
    /// let hits = map.get_many(&["a", "b", "c"], |n, value| seen.push((n, value.map(<[u8]>::to_vec))));
    /// assert_eq!(hits, 2);
    /// assert_eq!(seen, [(0, Some(b"1".to_vec())), (1, None), (2, Some(b"3".to_vec()))]);
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        mut f: impl FnMut(usize, Option<&[u8]>),
    ) -> usize {
        let mut hits = 0;
        for (group, keys) in keys.chunks(GROUP).enumerate() {
            // A pin for a group only: a long batch must not hold up memory.
            let pin = self.store().pin();
            let show = |n, value: Option<&[u8]>| f(group * GROUP + n, value);
            hits += self.store().get_group(keys, &pin, show);
        }
        hits
    }

    /// Stores entries, in their order. Returns how many: all of them.
    ///
    /// # Errors
    /// As [`CMap::insert`], of the first entry that could not be stored: those before it are in the map, those after it are
    /// not, but up to 16 of them may have been taken from the iterator.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// let words = ["one", "two", "three"];
    /// assert_eq!(map.insert_many(words.iter().zip(["1", "2", "3"]))?, 3);
    /// assert_eq!(map.get(b"two"), Some(b"2".to_vec()));
    /// # Ok::<(), cmap::BatchError>(())
    /// ```
    pub fn insert_many<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<usize, BatchError> {
        let mut entries = entries.into_iter();
        let mut done = 0;
        loop {
            let mut group = [const { None }; GROUP];
            let mut count = 0;
            for (place, entry) in group.iter_mut().zip(entries.by_ref()) {
                *place = Some(entry);
                count += 1;
            }
            let check = |key: &[u8], value: &[u8]| self.check(key, value.len());
            match self.store().write_group(&group[..count], check) {
                Ok(()) => done += count,
                Err((more, source)) => {
                    return Err(BatchError {
                        done: done + more,
                        source,
                    });
                }
            }
            if count < GROUP {
                return Ok(done);
            }
        }
    }

    /// Removes keys. Returns how many were there; a key given twice counts once. Needs no memory.
    ///
    /// # Panics
    /// In a forked child, if the map was made before the fork.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"a", b"1")?;
    /// map.insert(b"b", b"2")?;
    /// assert_eq!(map.remove_many(&["a", "b", "absent"]), 2);
    /// assert!(map.is_empty());
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn remove_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> usize {
        self.assert_own();
        let groups = keys.chunks(GROUP);
        groups.map(|keys| self.store().remove_group(keys)).sum()
    }

    /// The hash of a key in this map, for [`CMap::prefetch`]; of bytes of any length. It stays the same as long as the map.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// assert_eq!(map.hash_key(b"k"), map.hash_key(b"k"));
    /// ```
    #[inline]
    pub fn hash_key(&self, key: &[u8]) -> u64 {
        self.store().hash(key)
    }

    /// Asks the processor for the part of the index where a key of this hash is looked up. A hint, for callers who know
    /// early which keys they will need; it changes nothing.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"soon", b"v")?;
    /// map.prefetch(map.hash_key(b"soon"));
    /// // other work
    /// assert!(map.contains_key(b"soon"));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        self.store().prefetch(hash);
    }
}
