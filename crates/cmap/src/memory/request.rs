//! What is asked of a pool, and what it answers.

use super::limbo::NoHeap;

/// Why memory was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The pool's limit.
    Limit { needed: usize, available: usize },
    /// The system, the heap, or the range.
    System { bytes: usize },
}

impl From<NoHeap> for Refused {
    fn from(none: NoHeap) -> Self {
        Self::System { bytes: none.bytes }
    }
}

/// A slice of its own, of `count` things that `make` makes, or why there is no memory for it.
pub(crate) fn try_slice<T>(count: usize, make: impl FnMut(usize) -> T) -> Result<Box<[T]>, NoHeap> {
    let mut items = Vec::new();
    items.try_reserve_exact(count).map_err(|_| NoHeap {
        bytes: count * size_of::<T>(),
    })?;
    items.extend((0..count).map(make));
    Ok(items.into_boxed_slice())
}

/// Which end of the range a chunk should come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Small,
    Huge,
}

/// On whose behalf memory is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Writer,
    Compactor,
}

/// Sizes of blocks: a table below its full size uses the front of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockClass {
    First = 0,
    Second = 1,
}

/// How a pool is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) chunk_bytes: usize,
    pub(crate) block_bytes: [usize; 2],
    /// Entries above this many bytes get an extent.
    pub(crate) entry_bytes_max: usize,
    pub(crate) max_bytes: Option<usize>,
    pub(crate) keep_free: Option<usize>,
    pub(crate) huge_pages: bool,
    pub(crate) address_space: usize,
}

/// Bytes of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) in_use: usize,
    pub(crate) free: usize,
    pub(crate) reserved: usize,
}
