//! Iterators over owned entries, and the traits of std's collections.

use core::cell::Cell;
use core::hash::BuildHasher;
use core::iter::FusedIterator;
use std::collections::VecDeque;

use super::cmap::CMap;
use crate::base::hash::RandomState;
use crate::store::Seen;

/// A batch ends at the first boundary of a bucket beyond so many bytes.
const BATCH_BYTES: usize = 64 << 10;

/// Copies of what a scan shows, a batch at a time.
struct Batches<'m, T, S> {
    map: &'m CMap<S>,
    next: Option<u64>,
    ready: VecDeque<T>,
}

impl<'m, T, S: BuildHasher> Batches<'m, T, S> {
    fn new(map: &'m CMap<S>) -> Self {
        Self {
            map,
            next: Some(0),
            ready: VecDeque::new(),
        }
    }

    /// The next one; `copy` makes it.
    fn next(&mut self, copy: impl Fn(&[u8], &[u8]) -> T) -> Option<T> {
        while self.ready.is_empty() {
            let from = self.next?;
            let (bytes, ready) = (Cell::new(0), &mut self.ready);
            let show = &mut |seen: &Seen<'_, S>| {
                let (key, value) = seen.pair();
                bytes.set(bytes.get() + key.len() + value.len());
                ready.push_back(copy(key, value));
            };
            let enough = || bytes.get() >= BATCH_BYTES;
            self.next = self.map.scan_some(from..=u64::MAX, show, enough);
        }
        self.ready.pop_front()
    }
}

/// Copies of all entries. From [`CMap::iter`].
///
/// ```
/// let map: cmap::CMap = [("a", "1"), ("b", "22")].into_iter().collect();
/// let longest: Option<(Vec<u8>, Vec<u8>)> = map.iter().max_by_key(|(_, value)| value.len());
/// assert_eq!(longest, Some((b"b".to_vec(), b"22".to_vec())));
/// ```
/// ```compile_fail,E0597
/// let iter = {
///     let map = cmap::CMap::new();
///     map.iter() // outlives its map
/// };
/// ```
#[must_use = "an iterator does nothing until it is asked"]
pub struct Iter<'m, S = RandomState>(Batches<'m, (Vec<u8>, Vec<u8>), S>);

/// Copies of all keys. From [`CMap::keys`].
///
/// ```
/// let map: cmap::CMap = [("b", "1"), ("a", "2")].into_iter().collect();
/// let mut keys: Vec<Vec<u8>> = map.keys().collect();
/// keys.sort(); // they come in no useful order
/// assert_eq!(keys, [b"a", b"b"]);
/// ```
#[must_use = "an iterator does nothing until it is asked"]
pub struct Keys<'m, S = RandomState>(Batches<'m, Vec<u8>, S>);

/// Takes entries out of a map. From [`CMap::drain`]. What it has not yielded when it is dropped stays in the map.
///
/// ```
/// let queue: cmap::CMap = [("1", "a"), ("2", "b"), ("3", "c")].into_iter().collect();
/// assert_eq!(queue.drain().take(2).count(), 2);
/// assert_eq!(queue.len(), 1);
/// ```
/// ```compile_fail,E0597
/// let drain = {
///     let map = cmap::CMap::new();
///     map.drain() // outlives its map
/// };
/// ```
#[must_use = "nothing is taken out until it is asked"]
pub struct Drain<'m, S = RandomState>(Keys<'m, S>);

impl<S: BuildHasher> Iterator for Iter<'_, S> {
    type Item = (Vec<u8>, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(|key, value| (key.to_vec(), value.to_vec()))
    }
}

impl<S: BuildHasher> Iterator for Keys<'_, S> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(|key, _| key.to_vec())
    }
}

impl<S: BuildHasher> Iterator for Drain<'_, S> {
    type Item = (Vec<u8>, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let key = self.0.next()?;
            // Another may have been faster: then the entry is theirs.
            if let Some(value) = self.0.0.map.take(&key) {
                return Some((key, value));
            }
        }
    }
}

impl<S: BuildHasher> FusedIterator for Iter<'_, S> {}
impl<S: BuildHasher> FusedIterator for Keys<'_, S> {}
impl<S: BuildHasher> FusedIterator for Drain<'_, S> {}

impl<S> core::fmt::Debug for Iter<'_, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Iter(..)")
    }
}

impl<S> core::fmt::Debug for Keys<'_, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Keys(..)")
    }
}

impl<S> core::fmt::Debug for Drain<'_, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Drain(..)")
    }
}

/// # Iterators
/// They keep [the promise of scans](#scans), and hold neither a lock nor a pin between two calls of `next`: a few entries at a
/// time are copied.
impl<S: BuildHasher> CMap<S> {
    /// Copies of all entries, in no useful order. [`CMap::for_each`] shows them without copying.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"a", b"1")?;
    /// for (key, value) in &map {
    ///     map.insert(&key, &[&value[..], b"!"].concat())?;
    /// }
    /// assert_eq!(map.iter().collect::<Vec<_>>(), [(b"a".to_vec(), b"1!".to_vec())]);
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn iter(&self) -> Iter<'_, S> {
        Iter(Batches::new(self))
    }

    /// Copies of all keys, in no useful order.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"a", b"1")?;
    /// assert_eq!(map.keys().collect::<Vec<_>>(), [b"a"]);
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn keys(&self) -> Keys<'_, S> {
        Keys(Batches::new(self))
    }

    /// Takes all entries out, one with each `next`, which is when an entry leaves the map. If several threads drain, or
    /// others remove, each entry goes to exactly one of them. Dropped early, it leaves the rest in the map. A value that is
    /// replaced before its turn is yielded as it is then. To empty a map at one instant there is [`CMap::clear`].
    ///
    /// # Panics
    /// `next` does in a forked child, if the map was made before the fork.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"a", b"1")?;
    /// map.insert(b"b", b"2")?;
    /// let first = map.drain().next().expect("there are two");
    /// assert!(!map.contains_key(&first.0));
    /// assert_eq!(map.len(), 1);
    /// assert_eq!(map.drain().count(), 1);
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn drain(&self) -> Drain<'_, S> {
        Drain(self.keys())
    }
}

impl<'m, S: BuildHasher> IntoIterator for &'m CMap<S> {
    type Item = (Vec<u8>, Vec<u8>);
    type IntoIter = Iter<'m, S>;

    fn into_iter(self) -> Iter<'m, S> {
        self.iter()
    }
}

impl<K: AsRef<[u8]>, V: AsRef<[u8]>, S: BuildHasher> Extend<(K, V)> for &CMap<S> {
    /// Inserts each pair, in place of what was there.
    ///
    /// # Panics
    /// Where [`CMap::insert`] would return an error, with the error's text; the pairs before that are in.
    ///
    /// ```
    /// // A shared map: other threads may read and write meanwhile.
    /// let map = cmap::CMap::new();
    /// (&map).extend([("a", "1"), ("b", "2")]);
    /// assert_eq!(map.len(), 2);
    /// ```
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        for (key, value) in pairs {
            if let Err(error) = self.insert(key.as_ref(), value.as_ref()) {
                panic!("{error}");
            }
        }
    }
}

impl<K: AsRef<[u8]>, V: AsRef<[u8]>, S: BuildHasher> Extend<(K, V)> for CMap<S> {
    /// Inserts each pair, in place of what was there.
    ///
    /// # Panics
    /// Where [`CMap::insert`] would return an error, with the error's text; the pairs before that are in.
    ///
    /// ```
    /// let mut map: cmap::CMap = [("a", "1")].into_iter().collect();
    /// map.extend([("a", "2"), ("b", "2")]);
    /// assert_eq!((map.len(), map.get(b"a")), (2, Some(b"2".to_vec())));
    /// ```
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        (&*self).extend(pairs);
    }
}

impl<K: AsRef<[u8]>, V: AsRef<[u8]>, S: BuildHasher + Default> FromIterator<(K, V)> for CMap<S> {
    /// A map with default settings that has these pairs; of equal keys the last.
    ///
    /// ```
    /// use cmap::CMap;
    /// let map: CMap = [("a", "1"), ("b", "2"), ("a", "3")].into_iter().collect();
    /// assert_eq!(map.len(), 2);
    /// assert_eq!(map.get(b"a"), Some(b"3".to_vec()));
    /// ```
    ///
    /// # Panics
    /// Where [`CMap::insert`] would return an error, with the error's text.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let map = Self::with_defaults(S::default());
        (&map).extend(pairs);
        map
    }
}
