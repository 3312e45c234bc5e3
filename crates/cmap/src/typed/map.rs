//! The map of types.

use core::borrow::Borrow;
use core::hash::BuildHasher;
use core::marker::PhantomData;
use core::ops::ControlFlow;

use super::codec::{Codec, Plain};
use super::error::{DecodeError, Error};
use super::iter::{Iter, Keys};
use super::key::Key;
use crate::base::hash::RandomState;
use crate::map::{CMap, Changed, Inserted, Op};

/// Says of what types something is, without having any.
pub(super) type Types<K, V, C> = PhantomData<fn() -> (K, V, C)>;

/// A [`CMap`] from keys `K` to values `V`, which the codec `C` writes as bytes. See the [module](super).
///
/// Each call does what the byte map's call of that name does; what other threads may see is the same.
///
/// A map of other settings is made of a byte map:
/// ```
/// use cmap::{CMap, typed::{Map, Plain}};
/// let bytes = CMap::builder().max_bytes(1 << 30).hasher(std::hash::RandomState::new()).build()?;
/// let map: Map<String, String, Plain, _> = Map::from(bytes);
/// # Ok::<(), cmap::Error>(())
/// ```
/// Keys and values are of the map's types:
/// ```compile_fail,E0308
/// let map: cmap::typed::Map<u32, String> = cmap::typed::Map::new();
/// map.insert("seven", "value");
/// ```
/// ```compile_fail,E0599
/// # struct NoKey;
/// let map: cmap::typed::Map<NoKey, String> = cmap::typed::Map::new();
/// map.len();
/// map.get(&NoKey); // has no `Key`
/// ```
pub struct Map<K, V, C = Plain, S = RandomState> {
    bytes: CMap<S>,
    types: Types<K, V, C>,
}

impl<K, V> Map<K, V> {
    /// An empty map with default settings, of plain values. For other codecs: [`Map::default`], and [`Map::from`] a byte map.
    ///
    /// ```
    /// let map: cmap::typed::Map<u32, String> = cmap::typed::Map::new();
    /// assert!(map.is_empty());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<K, V, C> Default for Map<K, V, C> {
    fn default() -> Self {
        Self::from(CMap::new())
    }
}

impl<K, V, C, S> From<CMap<S>> for Map<K, V, C, S> {
    /// The entries of a byte map, taken for keys `K` and values `V`.
    fn from(bytes: CMap<S>) -> Self {
        Self {
            bytes,
            types: PhantomData,
        }
    }
}

impl<K, V, C, S: BuildHasher> core::fmt::Debug for Map<K, V, C, S> {
    /// Shows counts, never contents.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Map").field(&self.bytes).finish()
    }
}

/// # The byte map beneath
impl<K, V, C, S> Map<K, V, C, S> {
    /// The byte map: for its memory, its figures, batches, pins, cursors. What is written to it is read as the types of this
    /// map.
    ///
    /// ```
    /// let map: cmap::typed::Map<u16, u64> = cmap::typed::Map::new();
    /// map.insert(&1, &2)?;
    /// assert_eq!(map.byte_map().get(&[0, 1]), Some(vec![2, 0, 0, 0, 0, 0, 0, 0]));
    /// map.byte_map().shrink_to_fit();
    /// # Ok::<(), cmap::typed::Error>(())
    /// ```
    #[must_use]
    pub fn byte_map(&self) -> &CMap<S> {
        &self.bytes
    }

    /// The byte map, with its entries.
    ///
    /// ```
    /// let map: cmap::typed::Map<String, u64> = cmap::typed::Map::new();
    /// map.insert("k", &1)?;
    /// assert!(map.into_byte_map().contains_key(b"k"));
    /// # Ok::<(), cmap::typed::Error>(())
    /// ```
    #[must_use]
    pub fn into_byte_map(self) -> CMap<S> {
        self.bytes
    }
}

/// # Reading
/// # Errors
/// [`DecodeError`] where bytes are none of the map's types.
impl<K: Key, V, C: Codec<V>, S: BuildHasher> Map<K, V, C, S> {
    /// `key`'s value. See [`CMap::get`].
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes that are there are none of the map's types.
    ///
    /// ```
    /// let map: cmap::typed::Map<String, u64> = cmap::typed::Map::new();
    /// map.insert("k", &1)?;
    /// assert_eq!((map.get("k")?, map.get("absent")?), (Some(1), None));
    /// # Ok::<(), cmap::typed::Error>(())
    /// ```
    #[inline]
    pub fn get(&self, key: &K::Borrowed) -> Result<Option<V>, DecodeError> {
        let key = K::encode(key);
        self.bytes.get_with(key.as_ref(), C::decode).transpose()
    }

    /// Shows `key`'s value to `f`, borrowed: without a copy if the codec can. See [`CMap::get_with`].
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes that are there are none of the map's types.
    ///
    /// ```
    /// let map: cmap::typed::Map<u32, String> = cmap::typed::Map::new();
    /// map.insert(&1, "value")?;
    /// assert_eq!(map.get_with(&1, |value: &str| value.len())?, Some(5)); // no `String` was made
    /// # Ok::<(), cmap::typed::Error>(())
    /// ```
    /// The value cannot leave the closure:
    /// ```compile_fail
    /// let map: cmap::typed::Map<u32, String> = cmap::typed::Map::new();
    /// let value = map.get_with(&1, |value| value); // a lifetime error, which has no code
    /// ```
    #[inline]
    pub fn get_with<R>(
        &self,
        key: &K::Borrowed,
        f: impl FnOnce(&C::Borrowed) -> R,
    ) -> Result<Option<R>, DecodeError> {
        let key = K::encode(key);
        let show = |bytes: &[u8]| C::show(bytes, f);
        self.bytes.get_with(key.as_ref(), show).transpose()
    }

    /// Whether `key` is in the map. Its value is not looked at.
    ///
    /// ```
    /// let map: cmap::typed::Map<i64, ()> = cmap::typed::Map::new();
    /// map.insert(&-1, &())?;
    /// assert!(map.contains_key(&-1) && !map.contains_key(&1));
    /// # Ok::<(), cmap::typed::Error>(())
    /// ```
    #[inline]
    pub fn contains_key(&self, key: &K::Borrowed) -> bool {
        self.bytes.contains_key(K::encode(key).as_ref())
    }

    /// How many entries there are. See [`CMap::len`].
    ///
    /// ```
    /// let map: cmap::typed::Map<u32, u64> = [(1, 10), (2, 20), (1, 30)].into_iter().collect();
    /// assert_eq!(map.len(), 2);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none. See [`CMap::len`].
    ///
    /// ```
    /// let map: cmap::typed::Map<String, u64> = cmap::typed::Map::new();
    /// assert!(map.is_empty());
    /// map.insert("", &0)?;
    /// assert!(!map.is_empty());
    /// # Ok::<(), cmap::typed::Error>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// # Writing
/// # Errors
/// [`Error::Map`] for the byte map's reasons, [`Error::Encode`] where the codec cannot write the value, [`Error::Decode`] where
/// the call must look at the value that is there and it is none of the map's type. Nothing has changed then.
impl<K: Key, V, C: Codec<V>, S: BuildHasher> Map<K, V, C, S> {
    /// Stores `value` under `key`, in place of what was there. See [`CMap::insert`].
    ///
    /// # Errors
    /// [Those of every write](Map#writing). Nothing has changed then.
    ///
    /// ```
    /// use cmap::{Inserted, typed::Map};
    /// let map: Map<String, String> = Map::new();
    /// assert_eq!(map.insert("k", "1")?, Inserted::New);
    /// assert_eq!(map.insert("k", "2")?, Inserted::Replaced);
    /// # Ok::<(), cmap::typed::Error>(())
    /// ```
    pub fn insert(&self, key: &K::Borrowed, value: &C::Borrowed) -> Result<Inserted, Error> {
        let (key, value) = (K::encode(key), C::encode(value)?);
        Ok(self.bytes.insert(key.as_ref(), value.as_ref())?)
    }

    /// As [`Map::insert`]; returns the value that was there. One that cannot be decoded stays. See [`CMap::insert_swap`].
    ///
    /// # Errors
    /// [Those of every write](Map#writing). Nothing has changed then.
    ///
    /// ```
    /// let map: cmap::typed::Map<u32, String> = cmap::typed::Map::new();
    /// assert_eq!(map.insert_swap(&1, "Ada")?, None);
    /// assert_eq!(map.insert_swap(&1, "Bob")?.as_deref(), Some("Ada"));
    /// # Ok::<(), cmap::typed::Error>(())
    /// ```
    pub fn insert_swap(&self, key: &K::Borrowed, value: &C::Borrowed) -> Result<Option<V>, Error> {
        let value = C::encode(value)?;
        let mut old = Ok(None);
        self.bytes.compute(K::encode(key).as_ref(), |bytes| {
            old = bytes.map(C::decode).transpose();
            match old {
                Ok(_) => Op::Put(value.as_ref()),
                Err(_) => Op::Keep,
            }
        })?;
        Ok(old?)
    }

    /// Stores `value` under `key` if the key is absent. See [`CMap::insert_if_absent`].
    ///
    /// # Errors
    /// [Those of every write](Map#writing). Nothing has changed then.
    ///
    /// ```
    /// use cmap::{Changed, typed::Map};
    /// let map: Map<u64, u64> = Map::new();
    /// assert_eq!(map.insert_if_absent(&1, &1)?, Changed::Inserted);
    /// assert_eq!(map.insert_if_absent(&1, &2)?, Changed::Nothing);
    /// # Ok::<(), cmap::typed::Error>(())
    /// ```
    pub fn insert_if_absent(
        &self,
        key: &K::Borrowed,
        value: &C::Borrowed,
    ) -> Result<Changed, Error> {
        let (key, value) = (K::encode(key), C::encode(value)?);
        Ok(self.bytes.insert_if_absent(key.as_ref(), value.as_ref())?)
    }

    /// Stores `value` under `key` if the key is there. See [`CMap::replace`].
    ///
    /// # Errors
    /// [Those of every write](Map#writing). Nothing has changed then.
    ///
    /// ```
    /// use cmap::{Changed, typed::Map};
    /// let map: Map<u64, u64> = Map::new();
    /// assert_eq!(map.replace(&1, &1)?, Changed::Nothing);
    /// map.insert(&1, &1)?;
    /// assert_eq!(map.replace(&1, &2)?, Changed::Replaced);
    /// # Ok::<(), cmap::typed::Error>(())
    /// ```
    pub fn replace(&self, key: &K::Borrowed, value: &C::Borrowed) -> Result<Changed, Error> {
        let (key, value) = (K::encode(key), C::encode(value)?);
        Ok(self.bytes.replace(key.as_ref(), value.as_ref())?)
    }

    /// Shows `key`'s value, or `None`, to `f`, and does what `f` says, as one step. `f` may run several times. What it
    /// puts is written to a buffer first. See [`CMap::compute`].
    ///
    /// # Errors
    /// [Those of every write](Map#writing). Nothing has changed then.
    ///
    /// ```
    /// use cmap::{Changed, Op, typed::Map};
    /// let names: Map<u32, String> = Map::new();
    /// let add = |old: Option<&str>| Op::Put(old.map_or("Ada".into(), |old| format!("{old}, Bob")));
    /// assert_eq!(names.compute(&1, add)?, Changed::Inserted);
    /// assert_eq!(names.compute(&1, add)?, Changed::Replaced);
    /// assert_eq!(names.get(&1)?.as_deref(), Some("Ada, Bob"));
    /// # Ok::<(), cmap::typed::Error>(())
    /// ```
    pub fn compute(
        &self,
        key: &K::Borrowed,
        mut f: impl FnMut(Option<&C::Borrowed>) -> Op<V>,
    ) -> Result<Changed, Error>
    where
        V: Borrow<C::Borrowed>,
    {
        let mut failed = None;
        let mut step = |old: Option<&[u8]>| {
            let op = match old {
                None => f(None),
                Some(old) => C::show(old, |old| f(Some(old)))?,
            };
            Ok(match op {
                Op::Keep => Op::Keep,
                Op::Put(value) => Op::Put(C::encode(value.borrow())?.as_ref().to_vec()),
                Op::Remove => Op::Remove,
            })
        };
        let changed = self.bytes.compute(K::encode(key).as_ref(), |old| {
            step(old).unwrap_or_else(|error| {
                failed = Some(error);
                Op::Keep
            })
        })?;
        failed.map_or(Ok(changed), Err)
    }

    /// `key`'s value; if the key is absent, the one that `f` makes, which is stored first. Of several threads that find the
    /// key absent at once each may run its `f`, but all return the one value that was stored. See
    /// [`CMap::get_or_insert_with`].
    ///
    /// # Errors
    /// [Those of every write](Map#writing); [`Error::Decode`] also if the codec cannot read what it wrote. Nothing has changed
    /// then.
    ///
    /// ```
    /// let map: cmap::typed::Map<u32, String> = cmap::typed::Map::new();
    /// assert_eq!(map.get_or_insert_with(&1, || "made".into())?, "made");
    /// assert_eq!(map.get_or_insert_with(&1, || "made again".into())?, "made");
    /// # Ok::<(), cmap::typed::Error>(())
    /// ```
    pub fn get_or_insert_with(&self, key: &K::Borrowed, f: impl FnOnce() -> V) -> Result<V, Error>
    where
        V: Borrow<C::Borrowed>,
    {
        if let Some(value) = self.get(key)? {
            return Ok(value);
        }
        let made = f();
        let bytes = C::encode(made.borrow())?;
        let bytes = bytes.as_ref();
        // What is returned is what was stored, of a codec that rounds, too.
        let value = C::decode(bytes)?;
        let key = K::encode(key);
        let stored = self.bytes.get_or_insert_with(key.as_ref(), || bytes)?;
        if stored == bytes {
            Ok(value)
        } else {
            Ok(C::decode(&stored)?)
        }
    }

    /// Removes `key`. Returns whether it was there. Its value is not looked at. See [`CMap::remove`].
    ///
    /// # Panics
    /// In a forked child, if the map was made before the fork.
    ///
    /// ```
    /// let map: cmap::typed::Map<String, u64> = cmap::typed::Map::new();
    /// map.insert("k", &1)?;
    /// assert!(map.remove("k") && !map.remove("k"));
    /// # Ok::<(), cmap::typed::Error>(())
    /// ```
    pub fn remove(&self, key: &K::Borrowed) -> bool {
        self.bytes.remove(K::encode(key).as_ref())
    }

    /// Removes `key` and returns the value that was there. A value that cannot be decoded stays. See [`CMap::take`].
    ///
    /// # Errors
    /// [`DecodeError`].
    ///
    /// # Panics
    /// In a forked child, if the map was made before the fork.
    ///
    /// ```
    /// let map: cmap::typed::Map<String, u64> = cmap::typed::Map::new();
    /// map.insert("k", &1)?;
    /// assert_eq!((map.take("k")?, map.take("k")?), (Some(1), None));
    /// # Ok::<(), cmap::typed::Error>(())
    /// ```
    pub fn take(&self, key: &K::Borrowed) -> Result<Option<V>, DecodeError> {
        let mut taken = None;
        let is_removed = self.bytes.remove_if(K::encode(key).as_ref(), |value| {
            let value = C::decode(value);
            let is_one = value.is_ok();
            taken = Some(value);
            is_one
        });
        // Another caller may have taken what we looked at.
        taken
            .filter(|taken| is_removed || taken.is_err())
            .transpose()
    }

    /// Removes `key` if it is there and `f` says so of its value; returns whether it did. A value that cannot be decoded stays. `f`
    /// may run several times. See [`CMap::remove_if`].
    ///
    /// # Errors
    /// [`DecodeError`].
    ///
    /// # Panics
    /// In a forked child, if the map was made before the fork.
    ///
    /// ```
    /// let map: cmap::typed::Map<String, u64> = cmap::typed::Map::new();
    /// map.insert("k", &1)?;
    /// assert!(!map.remove_if("k", |&n| n > 1)?);
    /// assert!(map.remove_if("k", |&n| n == 1)?);
    /// # Ok::<(), cmap::typed::Error>(())
    /// ```
    pub fn remove_if(
        &self,
        key: &K::Borrowed,
        mut f: impl FnMut(&C::Borrowed) -> bool,
    ) -> Result<bool, DecodeError> {
        let mut failed = None;
        let is_removed = self.bytes.remove_if(K::encode(key).as_ref(), |value| {
            C::show(value, &mut f).unwrap_or_else(|error| {
                failed = Some(error);
                false
            })
        });
        failed.map_or(Ok(is_removed), Err)
    }

    /// Removes everything. See [`CMap::clear`].
    ///
    /// # Panics
    /// In a forked child, if the map was made before the fork.
    ///
    /// ```
    /// let map: cmap::typed::Map<u8, u8> = cmap::typed::Map::new();
    /// map.insert(&1, &1)?;
    /// map.clear();
    /// assert!(map.is_empty());
    /// # Ok::<(), cmap::typed::Error>(())
    /// ```
    pub fn clear(&self) {
        self.bytes.clear();
    }
}

/// # Counters
impl<K: Key, S: BuildHasher> Map<K, u64, Plain, S> {
    /// Adds `delta` to the counter under `key`, and returns what it was; an absent one is 0. No increment is lost. See
    /// [`CMap::fetch_add`].
    ///
    /// # Errors
    /// [`Error::Map`], also where a value that is no `u64` got into the byte map beneath:
    /// [`NotACounter`](crate::Error::NotACounter).
    ///
    /// ```
    /// let visits: cmap::typed::Map<String, u64> = cmap::typed::Map::new();
    /// assert_eq!(visits.fetch_add("ada", 1)?, 0);
    /// assert_eq!(visits.fetch_add("ada", 2)?, 1);
    /// assert_eq!(visits.get("ada")?, Some(3));
    /// # Ok::<(), cmap::typed::Error>(())
    /// ```
    /// Values of other types, or in other bytes, are no counters:
    /// ```compile_fail,E0599
    /// let names: cmap::typed::Map<u32, String> = cmap::typed::Map::new();
    /// names.fetch_add(&1, 1);
    /// ```
    /// ```compile_fail,E0599
    /// let signed: cmap::typed::Map<u32, i64> = cmap::typed::Map::new();
    /// signed.fetch_add(&1, 1);
    /// ```
    pub fn fetch_add(&self, key: &K::Borrowed, delta: u64) -> Result<u64, Error> {
        Ok(self.bytes.fetch_add(K::encode(key).as_ref(), delta)?)
    }
}

/// # Scanning
/// What is shown of a map that changes meanwhile is what [`CMap::scan`] says.
///
/// # Errors
/// [`DecodeError`] where bytes are none of the map's types.
impl<K: Key, V, C: Codec<V>, S: BuildHasher> Map<K, V, C, S> {
    /// Shows every entry to `f`, borrowed, up to the first that cannot be decoded. See [`CMap::for_each`].
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes that are there are none of the map's types.
    ///
    /// ```
    /// let map: cmap::typed::Map<String, u64> = cmap::typed::Map::new();
    /// map.insert("a", &1)?;
    /// map.insert("b", &2)?;
    /// let mut sum = 0;
    /// map.for_each(|_key: &str, value| sum += value)?;
    /// assert_eq!(sum, 3);
    /// # Ok::<(), cmap::typed::Error>(())
    /// ```
    pub fn for_each(
        &self,
        mut f: impl FnMut(&K::Borrowed, &C::Borrowed),
    ) -> Result<(), DecodeError> {
        let flow = self.bytes.try_for_each(|key, value| {
            match K::show(key, |key| C::show(value, |value| f(key, value))) {
                Ok(Ok(())) => ControlFlow::Continue(()),
                Ok(Err(error)) | Err(error) => ControlFlow::Break(error),
            }
        });
        match flow {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// All entries, owned; one that cannot be decoded is an error, and the next ones follow. See [`CMap::iter`].
    ///
    /// ```
    /// let map: cmap::typed::Map<String, u64> = [("a".to_string(), 1), ("b".to_string(), 2)].into_iter().collect();
    /// let mut entries = map.iter().collect::<Result<Vec<_>, _>>()?;
    /// entries.sort();
    /// assert_eq!(entries, [("a".to_string(), 1), ("b".to_string(), 2)]);
    /// # Ok::<(), cmap::typed::DecodeError>(())
    /// ```
    pub fn iter(&self) -> Iter<'_, K, V, C, S> {
        Iter::new(self.bytes.iter())
    }

    /// All keys, owned; one that cannot be decoded is an error, and the next ones follow. See [`CMap::keys`].
    ///
    /// ```
    /// let map: cmap::typed::Map<u32, String> = [(1, "a".to_string()), (2, "b".to_string())].into_iter().collect();
    /// let mut keys = map.keys().collect::<Result<Vec<_>, _>>()?;
    /// keys.sort();
    /// assert_eq!(keys, [1, 2]);
    /// # Ok::<(), cmap::typed::DecodeError>(())
    /// ```
    pub fn keys(&self) -> Keys<'_, K, S> {
        Keys::new(self.bytes.keys())
    }

    /// Removes the entries that `f` says `false` of, and returns how many those were. What cannot be decoded stays, and the
    /// first such error is returned when all others have been judged. See [`CMap::retain`].
    ///
    /// # Errors
    /// [`DecodeError`] of the first entry whose bytes are none of the map's types; the rest is done all the same.
    ///
    /// # Panics
    /// In a forked child, if the map was made before the fork.
    ///
    /// ```
    /// let map: cmap::typed::Map<u64, u64> = (0..10).map(|n| (n, n * n)).collect();
    /// assert_eq!(map.retain(|_, square| square % 2 == 0)?, 5);
    /// assert_eq!(map.len(), 5);
    /// # Ok::<(), cmap::typed::DecodeError>(())
    /// ```
    pub fn retain(
        &self,
        mut f: impl FnMut(&K::Borrowed, &C::Borrowed) -> bool,
    ) -> Result<usize, DecodeError> {
        let mut failed = None;
        let removed = self.bytes.retain(|key, value| {
            let judged = K::show(key, |key| C::show(value, |value| f(key, value)));
            judged.and_then(|judged| judged).unwrap_or_else(|error| {
                failed.get_or_insert(error);
                true
            })
        });
        failed.map_or(Ok(removed), Err)
    }
}
