//! Walking through a map.

#[cfg(feature = "rayon")]
use crate::base::hash;
use core::cell::Cell;
use core::convert::Infallible;
use core::hash::BuildHasher;
use core::ops::ControlFlow;

use super::cmap::CMap;
use crate::store::{Owed, Seen};

/// Where a [`CMap::scan`] goes on: a place in the order of hashes, which every map of the same hasher has.
///
/// It can be stored, sent elsewhere, and used after any number of changes to the map. Any eight bytes are a cursor. It
/// says about where in the order of hashes the scan is, and so what the hash of the next key may be: keep it from people who
/// must not learn that.
///
/// ```
/// use cmap::Cursor;
/// let cursor = Cursor::START;
/// assert_eq!(Cursor::from_bytes(cursor.to_bytes()), cursor);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Cursor(u64);

impl Cursor {
    /// Before the first entry.
    pub const START: Self = Self(0);

    /// The cursor as bytes that can be stored. A later cursor of a scan has greater bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The cursor of [`Cursor::to_bytes`].
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }
}

/// # Scans
/// A scan shows entries in no useful order. *A key that is present during the whole scan is shown exactly once, with a value
/// that it had meanwhile, even if it is replaced or moved; any other key at most once; a key that is absent throughout,
/// never*: while other threads write, and while tables split and merge, chunks are compacted, or the map is cleared.
///
/// A scan holds up nobody: nothing is locked while the caller's code runs, which may call the map, take its time, and panic.
/// It pins memory for a few entries at a time only.
impl<S: BuildHasher> CMap<S> {
    /// Shows every entry to `f`. What is shown cannot leave `f`, but as a copy:
    /// ```compile_fail,E0521
    /// let map = cmap::CMap::new();
    /// let mut keys = Vec::new();
    /// map.for_each(|key, _| keys.push(key));
    /// ```
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"a", b"1")?;
    /// map.insert(b"b", b"22")?;
    /// let mut bytes = 0;
    /// map.for_each(|key, value| bytes += key.len() + value.len());
    /// assert_eq!(bytes, 5);
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn for_each(&self, mut f: impl FnMut(&[u8], &[u8])) {
        let all = self.try_for_each(|key, value| {
            f(key, value);
            ControlFlow::<Infallible>::Continue(())
        });
        match all {
            ControlFlow::Continue(()) => {}
        }
    }

    /// As [`CMap::for_each`], until `f` breaks.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// let map = cmap::CMap::new();
    /// map.insert(b"a", b"1")?;
    /// let found = map.try_for_each(|key, value| {
    ///     if value == b"1" { ControlFlow::Break(key.to_vec()) } else { ControlFlow::Continue(()) }
    /// });
    /// assert_eq!(found, ControlFlow::Break(b"a".to_vec()));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn try_for_each<B>(
        &self,
        mut f: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut next = Some(0);
        while let Some(from) = next {
            let show = &mut |seen: &Seen<'_, S>| {
                let (key, value) = seen.pair();
                f(key, value)
            };
            next = self.store().scan(from..=u64::MAX, show, || false)?;
        }
        ControlFlow::Continue(())
    }

    /// Shows about `max` entries to `f`, from `cursor` on, and returns where to go on; `None` at the end. It stops at the first
    /// boundary between two buckets at or after `max`: buckets have at most a few dozen entries, unless many keys have
    /// equal hashes. A `max` of 0 counts as 1.
    ///
    /// What is said [above](#scans) holds for all calls of one scan together, whatever time lies between them.
    ///
    /// ```
    /// use cmap::{CMap, Cursor};
    /// let map = CMap::new();
    /// for n in 0..1_000_u32 {
    ///     map.insert(&n.to_be_bytes(), b"value")?;
    /// }
    /// let (mut cursor, mut calls, mut entries) = (Some(Cursor::START), 0, 0);
    /// while let Some(from) = cursor {
    ///     cursor = map.scan(from, 100, |_, _| entries += 1);
    ///     calls += 1;
    /// }
    /// assert_eq!(entries, 1_000);
    /// assert!((2..=10).contains(&calls));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn scan(
        &self,
        cursor: Cursor,
        max: usize,
        mut f: impl FnMut(&[u8], &[u8]),
    ) -> Option<Cursor> {
        let shown = Cell::new(0);
        let is_enough = || shown.get() >= max.max(1);
        let mut next = Some(cursor.0);
        while let Some(from) = next.filter(|_| !is_enough()) {
            let show = &mut |seen: &Seen<'_, S>| {
                shown.set(shown.get() + 1);
                let (key, value) = seen.pair();
                f(key, value);
            };
            next = self.scan_some(from..=u64::MAX, show, is_enough);
        }
        next.map(Cursor)
    }

    /// As the store's, of closures that do not break.
    pub(super) fn scan_some(
        &self,
        hashes: core::ops::RangeInclusive<u64>,
        f: &mut impl FnMut(&Seen<'_, S>),
        enough: impl Fn() -> bool,
    ) -> Option<u64> {
        let go_on = &mut |seen: &Seen<'_, S>| {
            f(seen);
            ControlFlow::<Infallible>::Continue(())
        };
        match self.store().scan(hashes, go_on, enough) {
            ControlFlow::Continue(next) => next,
        }
    }

    /// Removes the entries that `f` says `false` of, and returns how many those were. `f` is shown each entry once; what is
    /// removed is the value that it was shown: one that was put in its place meanwhile stays. If `f` panics, what was removed
    /// stays removed.
    ///
    /// # Panics
    /// In a forked child, if the map was made before the fork.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"a", b"1")?;
    /// map.insert(b"b", b"22")?;
    /// assert_eq!(map.retain(|_, value| value.len() > 1), 1);
    /// assert_eq!((map.len(), map.contains_key(b"b")), (1, true));
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn retain(&self, mut f: impl FnMut(&[u8], &[u8]) -> bool) -> usize {
        self.assert_own();
        let mut removed = 0;
        let mut next = Some(0);
        while let Some(from) = next {
            let mut owed = Owed::NOTHING;
            let judge = &mut |seen: &Seen<'_, S>| {
                let (key, value) = seen.pair();
                let gone = if f(key, value) { None } else { seen.remove() };
                if let Some(now) = gone {
                    removed += 1;
                    owed = now;
                }
            };
            next = self.scan_some(from..=u64::MAX, judge, || false);
            self.store().pay(from, owed);
        }
        removed
    }

    /// Shows every entry to `f`, on the threads of the current [rayon](https://docs.rs/rayon) pool, each a part of the map.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// let map = cmap::CMap::new();
    /// map.insert(b"a", b"1")?;
    /// map.insert(b"b", b"22")?;
    /// let bytes = AtomicUsize::new(0);
    /// map.par_for_each(|_, value| _ = bytes.fetch_add(value.len(), Ordering::Relaxed));
    /// assert_eq!(bytes.into_inner(), 3);
    /// # Ok::<(), cmap::Error>(())
    /// ```
    #[cfg(feature = "rayon")]
    pub fn par_for_each(&self, f: impl Fn(&[u8], &[u8]) + Sync)
    where
        S: Send + Sync,
    {
        use rayon::iter::{IntoParallelIterator, ParallelIterator};
        /// A part is worth a task if it has so many entries.
        const ENTRIES: usize = 4096;
        const PARTS_MAX: usize = 4096;
        let parts = (self.len() / ENTRIES).clamp(1, PARTS_MAX);
        let edge = |part: usize| hash::with_part_below(part as f64 / parts as f64);
        (0..parts).into_par_iter().for_each(|part| {
            let last = match part + 1 < parts {
                true => edge(part + 1) - 1,
                false => u64::MAX,
            };
            let mut next = Some(edge(part));
            while let Some(from) = next {
                let show = &mut |seen: &Seen<'_, S>| {
                    let (key, value) = seen.pair();
                    f(key, value);
                };
                next = self.scan_some(from..=last, show, || false);
            }
        });
    }
}
