//! Iterating, and the traits of std's collections.

use core::borrow::Borrow;
use core::hash::BuildHasher;
use core::iter::FusedIterator;
use core::marker::PhantomData;

use super::codec::{Codec, Plain};
use super::error::{DecodeError, Error};
use super::key::Key;
use super::map::{Map, Types};
use crate::base::hash::RandomState;
use crate::map;

/// All entries, owned. From [`Map::iter`].
///
/// ```
/// use cmap::typed::{DecodeError, Map};
/// let ages: Map<String, u64> = [("ada".to_string(), 36), ("bob".to_string(), 41)].into_iter().collect();
/// let mut sum = 0;
/// for entry in &ages {
///     let (_name, age) = entry?;
///     sum += age;
/// }
/// assert_eq!(sum, 77);
/// # Ok::<(), DecodeError>(())
/// ```
#[must_use = "an iterator does nothing until it is asked"]
pub struct Iter<'m, K, V, C = Plain, S = RandomState> {
    bytes: map::Iter<'m, S>,
    types: Types<K, V, C>,
}

impl<K, V, C, S> core::fmt::Debug for Iter<'_, K, V, C, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Iter(..)")
    }
}

impl<'m, K: Key, V, C: Codec<V>, S: BuildHasher> Iter<'m, K, V, C, S> {
    pub(super) fn new(bytes: map::Iter<'m, S>) -> Self {
        Self {
            bytes,
            types: PhantomData,
        }
    }
}

impl<K: Key, V, C: Codec<V>, S: BuildHasher> Iterator for Iter<'_, K, V, C, S> {
    type Item = Result<(K, V), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = self.bytes.next()?;
        Some(K::decode(&key).and_then(|key| Ok((key, C::decode(&value)?))))
    }
}

impl<K: Key, V, C: Codec<V>, S: BuildHasher> FusedIterator for Iter<'_, K, V, C, S> {}

/// All keys, owned. From [`Map::keys`].
///
/// ```
/// use cmap::typed::{DecodeError, Map};
/// let ages: Map<String, u64> = [("ada".to_string(), 36), ("bob".to_string(), 41)].into_iter().collect();
/// let lengths = ages.keys().map(|name| Ok(name?.len())).collect::<Result<Vec<_>, DecodeError>>()?;
/// assert_eq!(lengths, [3, 3]);
/// # Ok::<(), DecodeError>(())
/// ```
#[must_use = "an iterator does nothing until it is asked"]
pub struct Keys<'m, K, S = RandomState> {
    bytes: map::Keys<'m, S>,
    key: PhantomData<fn() -> K>,
}

impl<K, S> core::fmt::Debug for Keys<'_, K, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Keys(..)")
    }
}

impl<'m, K: Key, S: BuildHasher> Keys<'m, K, S> {
    pub(super) fn new(bytes: map::Keys<'m, S>) -> Self {
        Self {
            bytes,
            key: PhantomData,
        }
    }
}

impl<K: Key, S: BuildHasher> Iterator for Keys<'_, K, S> {
    type Item = Result<K, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(K::decode(&self.bytes.next()?))
    }
}

impl<K: Key, S: BuildHasher> FusedIterator for Keys<'_, K, S> {}

impl<'m, K: Key, V, C: Codec<V>, S: BuildHasher> IntoIterator for &'m Map<K, V, C, S> {
    type Item = Result<(K, V), DecodeError>;
    type IntoIter = Iter<'m, K, V, C, S>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K, V, C, S> Extend<(K, V)> for &Map<K, V, C, S>
where
    K: Key + Borrow<K::Borrowed>,
    V: Borrow<C::Borrowed>,
    C: Codec<V>,
    S: BuildHasher,
{
    /// Stores the entries, in their order.
    ///
    /// # Panics
    /// With the error's text, where [`Map::insert`] returns one.
    ///
    /// ```
    /// // A shared map: other threads may read and write meanwhile.
    /// let squares: cmap::typed::Map<u64, u64> = cmap::typed::Map::new();
    /// (&squares).extend((0..10).map(|n| (n, n * n)));
    /// assert_eq!(squares.len(), 10);
    /// ```
    fn extend<T: IntoIterator<Item = (K, V)>>(&mut self, entries: T) {
        for (key, value) in entries {
            let inserted: Result<_, Error> = self.insert(key.borrow(), value.borrow());
            if let Err(error) = inserted {
                panic!("{error}");
            }
        }
    }
}

impl<K, V, C, S> Extend<(K, V)> for Map<K, V, C, S>
where
    K: Key + Borrow<K::Borrowed>,
    V: Borrow<C::Borrowed>,
    C: Codec<V>,
    S: BuildHasher,
{
    /// Stores the entries, in their order.
    ///
    /// # Panics
    /// With the error's text, where [`Map::insert`] returns one.
    ///
    /// ```
    /// let mut squares: cmap::typed::Map<u64, u64> = cmap::typed::Map::new();
    /// squares.extend((0..10).map(|n| (n, n * n)));
    /// assert_eq!(squares.get(&9)?, Some(81));
    /// # Ok::<(), cmap::typed::DecodeError>(())
    /// ```
    fn extend<T: IntoIterator<Item = (K, V)>>(&mut self, entries: T) {
        let mut shared = &*self;
        shared.extend(entries);
    }
}

impl<K, V, C> FromIterator<(K, V)> for Map<K, V, C>
where
    K: Key + Borrow<K::Borrowed>,
    V: Borrow<C::Borrowed>,
    C: Codec<V>,
{
    /// A map with default settings of these entries; of those with equal keys, the last.
    ///
    /// # Panics
    /// With the error's text, where [`Map::insert`] returns one.
    ///
    /// ```
    /// let squares: cmap::typed::Map<u64, u64> = (0..10).map(|n| (n, n * n)).collect();
    /// assert_eq!(squares.len(), 10);
    /// ```
    fn from_iter<T: IntoIterator<Item = (K, V)>>(entries: T) -> Self {
        let mut map = Self::default();
        map.extend(entries);
        map
    }
}
