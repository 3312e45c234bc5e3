//! Atomic read-modify-write.

use core::hash::BuildHasher;

use super::cmap::{CMap, Changed, Inserted, check_value};
use super::error::Error;
use crate::store::{Expect, Owed, Seen, Wrote};

/// What [`CMap::compute`] is to do with the key that it showed. A value of `Put` is anything that can be seen as bytes.
///
/// ```
/// use cmap::{CMap, Changed, Op};
/// let map = CMap::new();
/// assert_eq!(map.compute(b"k", |_| Op::Put("value"))?, Changed::Inserted);
/// assert_eq!(map.compute(b"k", |_| Op::<&str>::Keep)?, Changed::Nothing);
/// assert_eq!(map.compute(b"k", |_| Op::<&str>::Remove)?, Changed::Removed);
/// # Ok::<(), cmap::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op<V> {
    /// Leave it as it is.
    Keep,
    /// Store this value.
    Put(V),
    /// Remove the key, if it is there.
    Remove,
}

/// What the store's loop asks for: an answer, and what it costs; or another try.
type Tried<T> = Option<(Result<T, Error>, Owed)>;

fn answer<T>(answer: Result<T, Error>) -> Tried<T> {
    Some((answer, Owed::NOTHING))
}

fn stored<T>(owed: Option<Owed>, answer: T) -> Tried<T> {
    owed.map(|owed| (Ok(answer), owed))
}

/// # Atomic read-modify-write
/// Each of these reads a key and writes it as one step: between the value that was read and the one that is stored, nobody
/// else's write to that key comes. Operations on one key are linearizable, whichever they are; two keys are never changed
/// together.
///
/// **Closures** run while nothing is locked, on a value that stays as it is: they may call the map, the same key included,
/// may take their time, and may panic; after a panic the map is as it was. A closure of `FnOnce` runs at most once. One of
/// `FnMut` runs again if the value was replaced or removed before its result could be stored, and its former result is
/// dropped: of several threads at one key, one always gets through. It also runs again after memory was made free under a
/// limit. One that itself writes the key that it was shown is thereby run again, on what it wrote.
///
/// # Errors
/// [Those of every write](CMap#writing). An error changes nothing.
impl<S: BuildHasher> CMap<S> {
    /// Stores `value` under `key` if the key is there: [`Changed::Replaced`], else [`Changed::Nothing`].
    ///
    /// # Errors
    /// [Those of every write](CMap#writing).
    ///
    /// ```
    /// use cmap::{CMap, Changed};
    /// let map = CMap::new();
    /// assert_eq!(map.replace(b"k", b"1")?, Changed::Nothing);
    /// map.insert(b"k", b"1")?;
    /// assert_eq!(map.replace(b"k", b"2")?, Changed::Replaced);
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn replace(&self, key: &[u8], value: &[u8]) -> Result<Changed, Error> {
        self.check(key, value.len())?;
        let wrote = self.store().write(key, value, Expect::Present, |_| ())?;
        Ok(match wrote {
            Wrote::Replaced => Changed::Replaced,
            Wrote::New | Wrote::Nothing => Changed::Nothing,
        })
    }

    /// Puts `new` in place of `expected`, where `None` means an absent key: inserts, replaces, or removes. If the key does
    /// not hold exactly the bytes expected, nothing changes: [`Changed::Nothing`]. Expecting absence and wanting it is
    /// nothing, too.
    ///
    /// # Errors
    /// [Those of every write](CMap#writing).
    ///
    /// ```
    /// use cmap::{CMap, Changed};
    /// let map = CMap::new();
    /// assert_eq!(map.compare_and_swap(b"k", None, Some(b"1"))?, Changed::Inserted);
    /// assert_eq!(map.compare_and_swap(b"k", Some(b"0"), Some(b"2"))?, Changed::Nothing);
    /// assert_eq!(map.compare_and_swap(b"k", Some(b"1"), Some(b"2"))?, Changed::Replaced);
    /// assert_eq!(map.compare_and_swap(b"k", Some(b"2"), None)?, Changed::Removed);
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn compare_and_swap(
        &self,
        key: &[u8],
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<Changed, Error> {
        self.check(key, new.map_or(0, <[u8]>::len))?;
        self.compute(key, |old| match new {
            _ if old != expected => Op::Keep,
            Some(new) => Op::Put(new),
            None => Op::Remove,
        })
    }

    /// Shows `key`'s value, or `None`, to `f`, and does what `f` says: keeps, stores, or removes. `f` may run several times:
    /// see [above](#atomic-read-modify-write). Returns what was done by what it said last.
    ///
    /// # Errors
    /// [Those of every write](CMap#writing).
    ///
    /// ```
    /// use cmap::{CMap, Changed, Op};
    /// let map = CMap::new();
    /// let longer = |old: Option<&[u8]>| match old {
    ///     None => Op::Put(b"*".to_vec()),
    ///     Some(old) if old.len() < 2 => Op::Put([old, b"*"].concat()),
    ///     Some(_) => Op::Remove,
    /// };
    /// assert_eq!(map.compute(b"k", longer)?, Changed::Inserted);
    /// assert_eq!(map.compute(b"k", longer)?, Changed::Replaced);
    /// assert_eq!(map.get(b"k"), Some(b"**".to_vec()));
    /// assert_eq!(map.compute(b"k", longer)?, Changed::Removed);
    /// # Ok::<(), cmap::Error>(())
    /// ```
    ///
    /// What is shown cannot leave the closure, but as a copy:
    /// ```compile_fail,E0521
    /// let map = cmap::CMap::new();
    /// let mut shown = None;
    /// map.compute(b"k", |old| { shown = old; cmap::Op::<&[u8]>::Keep });
    /// ```
    pub fn compute<V: AsRef<[u8]>>(
        &self,
        key: &[u8],
        mut f: impl FnMut(Option<&[u8]>) -> Op<V>,
    ) -> Result<Changed, Error> {
        self.check(key, 0)?;
        self.store().modify(key, |seen| {
            Ok(match (f(seen.value()), seen.value()) {
                (Op::Keep, _) | (Op::Remove, None) => answer(Ok(Changed::Nothing)),
                (Op::Remove, Some(_)) => stored(seen.remove(), Changed::Removed),
                (Op::Put(value), old) => {
                    let value = value.as_ref();
                    if let Err(too_long) = check_value(value.len()) {
                        return Ok(answer(Err(too_long)));
                    }
                    let changed = old.map_or(Changed::Inserted, |_| Changed::Replaced);
                    stored(seen.put(&[value])?, changed)
                }
            })
        })?
    }

    /// A copy of `key`'s value; if the key is absent, of the one that `f` makes, which is stored first. Of several threads
    /// that find the key absent at once each may run its `f`, once, but all return the one value that was stored.
    ///
    /// # Errors
    /// [Those of every write](CMap#writing).
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// assert_eq!(map.get_or_insert_with(b"k", || "made")?, b"made");
    /// assert_eq!(map.get_or_insert_with(b"k", || "made again")?, b"made");
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn get_or_insert_with<V: AsRef<[u8]>>(
        &self,
        key: &[u8],
        f: impl FnOnce() -> V,
    ) -> Result<Vec<u8>, Error> {
        self.check(key, 0)?;
        let (mut f, mut made) = (Some(f), None);
        self.store().modify(key, |seen| {
            if let Some(value) = seen.value() {
                return Ok(answer(Ok(value.to_vec())));
            }
            if let Some(f) = f.take() {
                made = Some(f());
            }
            let value = made.as_ref().map_or(&[][..], AsRef::as_ref);
            if let Err(too_long) = check_value(value.len()) {
                return Ok(answer(Err(too_long)));
            }
            Ok(seen.put(&[value])?.map(|owed| (Ok(value.to_vec()), owed)))
        })?
    }

    /// Stores under `key` a value of `len` bytes that `f` writes in place, in the map's own memory: it is shown zeros. Others
    /// see the value when `f` is done, whole. If `f` panics, the map is as it was.
    ///
    /// # Errors
    /// [Those of every write](CMap#writing).
    ///
    /// ```
    /// use cmap::{CMap, Inserted};
    /// let map = CMap::new();
    /// let inserted = map.insert_with(b"k", 4, |value| value[1..3].copy_from_slice(b"ab"))?;
    /// assert_eq!(inserted, Inserted::New);
    /// assert_eq!(map.get(b"k"), Some(b"\0ab\0".to_vec()));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn insert_with(
        &self,
        key: &[u8],
        len: usize,
        f: impl FnOnce(&mut [u8]),
    ) -> Result<Inserted, Error> {
        self.check(key, len)?;
        Ok(if self.store().write_with(key, len, f)? {
            Inserted::Replaced
        } else {
            Inserted::New
        })
    }

    /// Adds `delta` to the counter under `key`: 8 bytes, little-endian. Returns what it was. An absent key counts as 0;
    /// beyond `u64::MAX` it wraps. No increment is lost, however many threads add.
    ///
    /// Each call writes a new entry in place of the old one; what is dead goes back as with every overwrite, so a counter
    /// that is raised for ever does not make the map grow.
    ///
    /// # Errors
    /// [`Error::NotACounter`] if the value does not have 8 bytes; and [those of every write](CMap#writing).
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// assert_eq!(map.fetch_add(b"visits", 1)?, 0);
    /// assert_eq!(map.fetch_add(b"visits", 2)?, 1);
    /// assert_eq!(map.get(b"visits"), Some(3u64.to_le_bytes().to_vec()));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn fetch_add(&self, key: &[u8], delta: u64) -> Result<u64, Error> {
        self.check(key, 0)?;
        self.store().modify(key, |seen| {
            let before = match seen.value().map(<[u8; 8]>::try_from) {
                None => 0,
                Some(Ok(bytes)) => u64::from_le_bytes(bytes),
                Some(Err(_)) => {
                    let len = seen.value().map_or(0, <[u8]>::len);
                    return Ok(answer(Err(Error::NotACounter { len })));
                }
            };
            let after = before.wrapping_add(delta).to_le_bytes();
            Ok(stored(seen.put(&[&after])?, before))
        })?
    }

    /// Appends `suffix` to `key`'s value; an absent key counts as an empty one. Returns the new length in bytes. It copies
    /// the whole value. Of several threads that append at once, each suffix is in once, in some order.
    ///
    /// # Errors
    /// [Those of every write](CMap#writing); [`Error::ValueTooLong`] if the two together are too long.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// assert_eq!(map.append(b"k", b"ab")?, 2);
    /// assert_eq!(map.append(b"k", b"c")?, 3);
    /// assert_eq!(map.get(b"k"), Some(b"abc".to_vec()));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn append(&self, key: &[u8], suffix: &[u8]) -> Result<usize, Error> {
        self.check(key, suffix.len())?;
        self.store().modify(key, |seen| {
            let old = seen.value().unwrap_or_default();
            let len = old.len() + suffix.len();
            if let Err(too_long) = check_value(len) {
                return Ok(answer(Err(too_long)));
            }
            if suffix.is_empty() && seen.value().is_some() {
                return Ok(answer(Ok(len)));
            }
            Ok(stored(seen.put(&[old, suffix])?, len))
        })?
    }

    /// Removes `key` if it is there and `f` says so of its value. Returns whether it did. Needs no memory. `f` may run several
    /// times, as with [`CMap::compute`]; only a value that it said `true` of is removed.
    ///
    /// # Panics
    /// In a forked child, if the map was made before the fork.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"k", b"old")?;
    /// assert!(!map.remove_if(b"k", |value| value == b"new"));
    /// assert!(map.remove_if(b"k", |value| value == b"old"));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn remove_if(&self, key: &[u8], mut f: impl FnMut(&[u8]) -> bool) -> bool {
        self.assert_own();
        let remove = |seen: &Seen<'_, S>| match seen.value() {
            Some(value) if f(value) => seen.remove().map(|owed| (true, owed)),
            _ => Some((false, Owed::NOTHING)),
        };
        self.store().modify_surely(key, remove)
    }
}
