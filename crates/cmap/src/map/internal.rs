//! What this crate's own tests may see of the inside. Not part of the API: no stability, no documentation.
#![allow(missing_docs, clippy::missing_errors_doc)]

use core::hash::BuildHasher;

use super::builder::Builder;
use super::cmap::CMap;
#[cfg(not(any(cmap_loom, cmap_shuttle)))]
use super::pinned::Pinned;
use crate::base::interleave;
use crate::index::Geometry;
use crate::memory::domain;

pub use crate::store::Checked;

#[cfg(cmap_loom)]
#[path = "model.rs"]
pub mod loom;

/// Ends what shuttle plays: all threads but the one that asks are joined, and all maps are dropped.
#[cfg(cmap_shuttle)]
pub fn end() {
    crate::memory::empty_graveyard();
}

/// A map in which the rare is frequent: chunks of 4 KiB, tables of 8 slots, compaction all the time, extents from 512
/// bytes on, a pool of its own, and any limit.
pub fn tiny() -> Builder {
    let mut builder = Builder::new();
    builder.tiny = Some(Geometry::TINY);
    builder
}

/// As [`tiny`], with tables of up to 13 buckets that have overflow lines.
pub fn tiny_wide() -> Builder {
    let mut builder = Builder::new();
    builder.tiny = Some(Geometry::TINY_WIDE);
    builder
}

/// From here on the calling thread yields at points inside the map, as `seed` decides; 0: never. Only with `--cfg cmap_stress`.
pub fn interleave(seed: u64) {
    interleave::seed(seed);
}

/// A pin, and an epoch in which it is there: for [`age`].
#[cfg(not(any(cmap_loom, cmap_shuttle)))]
pub fn pin<S: BuildHasher>(map: &CMap<S>) -> (Pinned<'_, S>, u64) {
    (map.pin(), domain().now())
}

/// How many grace periods old the chunk is in which `value` lies, which `pinned` found and is not empty: 0 in use, 1 retired while
/// the pin was held, 2 *Pinned-stays* is broken. `None` for a large value, which lies in no chunk. Of a map that shares its pool
/// with no other.
#[cfg(not(any(cmap_loom, cmap_shuttle)))]
pub fn age<S: BuildHasher>((pinned, since): &(Pinned<'_, S>, u64), value: &[u8]) -> Option<usize> {
    pinned.age(value, *since)
}

/// Checks every invariant that holds when no other call runs and no pin is held.
pub fn check<S: BuildHasher>(map: &CMap<S>) -> Result<Checked, String> {
    map.store().check()
}

/// Makes the `n`-th request of the map's pool for memory fail; `sticky`: and all later ones; `0` heals.
pub fn fail_memory<S>(map: &CMap<S>, n: usize, sticky: bool) {
    map.store().pool().fail(n, sticky);
}

/// How many such requests there were.
pub fn memory_requests<S>(map: &CMap<S>) -> usize {
    map.store().pool().requests() as usize
}

/// Records of threads that the process has: at most as many as threads lived at once.
pub fn records() -> usize {
    domain().record_count()
}

/// What the look-up of a key costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// Lines of slots looked at: the bucket, overflow lines, spill tables.
    pub lines: usize,
    /// Entries whose key was compared.
    pub compares: usize,
    pub is_hit: bool,
}

/// Looks a key up and counts.
pub fn probe<S: BuildHasher>(map: &CMap<S>, key: &[u8]) -> Probe {
    let (lines, compares, is_hit) = map.store().probe(key);
    Probe {
        lines,
        compares,
        is_hit,
    }
}
