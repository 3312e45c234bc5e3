//! Values that outlive pins.

use core::hash::BuildHasher;
use core::ops::Deref;

use super::cmap::CMap;
use crate::store::Kept;

/// A value that stays as it was, for as long as it is kept: past its key's replacement, `clear`, and the map's end; on any
/// thread. From [`CMap::get_ref`]. Cloning it is cheap.
///
/// A value of at most 4 KiB is a copy. A larger one lies where the map has it and keeps that from being used again: a whole
/// chunk (2 MiB, or what [`PoolConfig::chunk_bytes`](crate::PoolConfig::chunk_bytes) or
/// [`Builder::max_bytes`](crate::Builder::max_bytes) say), or pages of its own, if its entry is above 64 KiB or a quarter of a
/// chunk. What is kept so counts to the map's limit, and shows as [`Memory::held`](crate::Memory::held) once nothing else
/// needs it.
///
/// ```
/// use cmap::{CMap, ValueRef};
/// let map = CMap::new();
/// map.insert(b"page", &[7; 10_000])?;
/// let page: ValueRef = map.get_ref(b"page").expect("just inserted");
/// map.insert(b"page", b"another")?;
/// assert_eq!(page.len(), 10_000); // what it was
/// # Ok::<(), cmap::Error>(())
/// ```
#[derive(Clone)]
pub struct ValueRef(Kept);

impl Deref for ValueRef {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl AsRef<[u8]> for ValueRef {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl core::fmt::Debug for ValueRef {
    /// Shows the length, never the contents.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ValueRef")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

const _: fn() = || {
    fn goes_anywhere<T: Clone + Send + Sync + 'static>() {}
    goes_anywhere::<ValueRef>();
};

/// # Values without copying
impl<S: BuildHasher> CMap<S> {
    /// `key`'s value, to keep: see [`ValueRef`]. Others may replace or remove it at once; what is returned stays as it was. Like
    /// every read it takes no lock, and it waits for nobody.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"k", &[7; 10_000])?;
    /// let value = map.get_ref(b"k").expect("just inserted");
    /// map.remove(b"k");
    /// drop(map);
    /// std::thread::spawn(move || assert_eq!(*value, [7; 10_000])).join().unwrap();
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn get_ref(&self, key: &[u8]) -> Option<ValueRef> {
        self.store().keep(key).map(ValueRef)
    }

    /// As [`CMap::get_ref`], as [`Bytes`](bytes::Bytes), whose slices and clones share it.
    ///
    /// ```
    /// let map = cmap::CMap::new();
    /// map.insert(b"k", b"value")?;
    /// let value: bytes::Bytes = map.get_bytes(b"k").expect("just inserted");
    /// assert_eq!(value.slice(1..3), &b"al"[..]);
    /// # Ok::<(), cmap::Error>(())
    /// ```
    #[cfg(feature = "bytes")]
    pub fn get_bytes(&self, key: &[u8]) -> Option<bytes::Bytes> {
        self.get_ref(key).map(bytes::Bytes::from_owner)
    }
}
