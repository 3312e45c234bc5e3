//! The directory: hash prefix to table.
//!
//! ```text
//! root                 2^bits entries for the first `bits` bits of a hash, at most 2^16
//! below an entry       once the root is full-grown, an entry may say "below": a directory for the bits that follow
//! ```
//! A table of depth `d` stands in every entry whose prefix starts with its own. A directory that grows is replaced by a
//! longer copy; entries change under the index's directory lock only, and each by one store. A reader that still holds the
//! shorter copy finds a table that was frozen after it looked, and what it says was true then.

use super::table::TableRef;
use crate::base::sync::{AtomicU64, Ordering};
use crate::memory::{NoHeap, Pin, Shared, Unlinked, try_box, try_slice};

/// See the file's head.
pub(crate) struct Directory {
    /// Bits of the hash that were used up above.
    above: u32,
    bits: u32,
    /// `63 - bits`: how far half a hash is shifted to give a root's entry.
    shift: u32,
    entries: Box<[AtomicU64]>,
    /// Beside the entries of a full-grown root: the directories below them.
    below: Box<[Shared<Directory>]>,
}

impl Directory {
    /// A directory of one entry.
    pub(super) fn new(table: TableRef) -> Result<Box<Self>, NoHeap> {
        Self::filled(0, 0, 0, |_| table)
    }

    fn filled(
        above: u32,
        bits: u32,
        root_bits_max: u32,
        mut table: impl FnMut(usize) -> TableRef,
    ) -> Result<Box<Self>, NoHeap> {
        let entries = try_slice(1 << bits, |number| AtomicU64::new(table(number).bits()))?;
        let with_below = above == 0 && bits == root_bits_max && bits != 0;
        let below = try_slice(if with_below { 1 << bits } else { 0 }, |_| Shared::empty())?;
        try_box(Self {
            above,
            bits,
            shift: 63 - bits,
            entries,
            below,
        })
        .map_err(|_| NoHeap {
            bytes: size_of::<Self>(),
        })
    }

    /// Heap bytes of a directory of so many bits.
    pub(super) fn bytes_for(above: u32, bits: u32, root_bits_max: u32) -> usize {
        let below = usize::from(above == 0 && bits == root_bits_max && bits != 0);
        size_of::<Self>() + (8 << bits) * (1 + below)
    }

    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    pub(super) fn above(&self) -> u32 {
        self.above
    }

    /// Heap bytes of this directory, without those below.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.entries.len() * 8 + self.below.len() * size_of::<Shared<Self>>()
    }

    /// This directory and those below.
    pub(super) fn count(&self, pin: &Pin) -> usize {
        1 + self
            .below
            .iter()
            .filter(|below| below.load(pin).is_some())
            .count()
    }

    #[inline]
    fn number(&self, hash: u64) -> usize {
        // Two shifts: `bits` may be 0.
        (((hash << self.above) >> 1) >> (63 - self.bits)) as usize
    }

    /// As [`Directory::find`], of a root, without calls and panics: `None` says nothing.
    #[inline(always)]
    pub(super) fn glance(&self, hash: u64, pin: &Pin) -> Option<TableRef> {
        debug_assert_eq!(self.above, 0);
        let number = ((hash >> 1) >> (self.shift & 63)) as usize;
        // Acquire: as in `find`.
        let entry = TableRef::from_bits(self.entries.get(number)?.load(Ordering::Acquire));
        if !entry.is_below() {
            return Some(entry);
        }
        let below = self.below.get(number)?.load(pin)?;
        let entry = below.entries.get(below.number(hash))?;
        // Acquire: as in `find`.
        Some(TableRef::from_bits(entry.load(Ordering::Acquire)))
    }

    /// The table of a hash, asking the directory below where there is one.
    #[inline]
    pub(super) fn find(&self, hash: u64, pin: &Pin) -> TableRef {
        let number = self.number(hash);
        // Acquire: pairs with the Release in `set`: who finds a table finds it filled.
        let entry = TableRef::from_bits(self.entries[number].load(Ordering::Acquire));
        if entry.is_below() {
            self.find_below(number, hash, pin)
        } else {
            entry
        }
    }

    #[cold]
    fn find_below(&self, number: usize, hash: u64, pin: &Pin) -> TableRef {
        let below = self.below[number]
            .load(pin)
            .expect("an entry that says below has a directory below it");
        // Acquire: as in `find`.
        TableRef::from_bits(below.entries[below.number(hash)].load(Ordering::Acquire))
    }

    /// The directory that holds `hash`'s table: this one, or the one below.
    pub(super) fn holder<'p>(&'p self, hash: u64, pin: &'p Pin) -> &'p Self {
        let number = self.number(hash);
        let entry = TableRef::from_bits(self.entries[number].load(Ordering::Relaxed));
        if entry.is_below() {
            self.below[number].load(pin).expect("as in find_below")
        } else {
            self
        }
    }

    /// Stores `table` in every entry below this directory that a table of its depth with `prefix` covers.
    /// Under the directory lock.
    pub(super) fn set(&self, prefix: u64, table: TableRef) {
        let own = table.depth().saturating_sub(self.above).min(self.bits);
        let first = self.number(prefix) >> (self.bits - own) << (self.bits - own);
        for entry in &self.entries[first..first + (1 << (self.bits - own))] {
            // Release: pairs with the Acquire in `find`.
            let order = if cfg!(planted_relaxed_directory) {
                Ordering::Relaxed
            } else {
                Ordering::Release
            };
            entry.store(table.bits(), order);
        }
    }

    /// A copy with one bit more. Under the directory lock, of a directory that is not a full-grown root.
    pub(super) fn doubled(&self, root_bits_max: u32) -> Result<Box<Self>, NoHeap> {
        Self::filled(self.above, self.bits + 1, root_bits_max, |number| {
            TableRef::from_bits(self.entries[number / 2].load(Ordering::Relaxed))
        })
    }

    /// Puts a directory of one bit below the entry of `hash`, which holds `table`. Under the directory lock.
    /// Returns what an earlier such directory was.
    pub(super) fn descend(
        &self,
        hash: u64,
        table: TableRef,
    ) -> Result<Option<Unlinked<Self>>, NoHeap> {
        let number = self.number(hash);
        let below = Self::filled(self.bits, 1, 0, |_| table)?;
        let before = self.below[number].swap(Some(below));
        // Release: pairs with the Acquire in `find`.
        self.entries[number].store(TableRef::BELOW.bits(), Ordering::Release);
        Ok(before)
    }

    /// Replaces the directory below the entry of `hash`. Under the directory lock.
    pub(super) fn replace_below(&self, hash: u64, below: Box<Self>) -> Option<Unlinked<Self>> {
        self.below[self.number(hash)].swap(Some(below))
    }

    /// Every table, each once, with the first hash that it covers. In hash order.
    pub(super) fn tables<'p>(&'p self, pin: &'p Pin) -> impl Iterator<Item = (u64, TableRef)> + 'p {
        let mut next = Some(0u64);
        core::iter::from_fn(move || {
            let hash = next?;
            let table = self.find(hash, pin);
            let span = 1u64.checked_shl(64 - table.depth());
            next = span.and_then(|span| (hash & !(span - 1)).checked_add(span));
            Some((hash, table))
        })
    }
}

#[cfg(all(test, not(any(cmap_loom, cmap_shuttle))))]
mod tests {
    use super::super::shape::Shape;
    use super::*;
    use crate::memory::{Location, Tag, domain};

    fn table(n: usize, depth: u32) -> TableRef {
        // Else another test may do it between two that must be equal.
        crate::base::os::detect_processor();
        TableRef::new(Location::at(n * 64), depth, Shape(0))
    }

    #[test]
    fn doubling_and_setting_keep_every_prefix() {
        let pin = domain().pin(Tag::fresh(domain()));
        let root = Directory::new(table(1, 0)).expect("heap");
        let root = root.doubled(3).expect("heap");
        root.set(0, table(2, 1));
        root.set(1 << 63, table(3, 1));
        let root = root.doubled(3).expect("heap");
        root.set(0, table(5, 2));
        root.set(1 << 62, table(4, 2));
        assert_eq!(root.find(0, &pin), table(5, 2));
        assert_eq!(root.find(1 << 62 | 5, &pin), table(4, 2));
        assert_eq!(root.find(u64::MAX, &pin), table(3, 1));
        let all: Vec<_> = root.tables(&pin).collect();
        assert_eq!(
            all,
            [
                (0, table(5, 2)),
                (1 << 62, table(4, 2)),
                (1 << 63, table(3, 1))
            ]
        );
    }

    #[test]
    fn a_full_grown_root_descends() {
        let pin = domain().pin(Tag::fresh(domain()));
        let root = Directory::new(table(1, 0))
            .expect("heap")
            .doubled(1)
            .expect("heap");
        root.set(0, table(2, 1));
        root.set(1 << 63, table(3, 1));
        assert!(root.descend(1 << 63, table(3, 1)).expect("heap").is_none());
        let holder = root.holder(1 << 63, &pin);
        holder.set(1 << 63, table(4, 2));
        holder.set(0b11 << 62, table(5, 2));
        assert_eq!(root.find(1 << 63, &pin), table(4, 2));
        assert_eq!(root.find(u64::MAX, &pin), table(5, 2));
        for (hash, table) in root.tables(&pin) {
            assert_eq!(root.glance(hash, &pin), Some(table));
        }
        assert_eq!(root.tables(&pin).count(), 3);
        root.set(1 << 63, table(6, 1));
        assert_eq!(root.find(u64::MAX, &pin), table(6, 1));
    }
}
