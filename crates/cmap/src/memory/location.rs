//! Where something lies: an offset in the pool's range, in granules of 4 bytes, in 40 bits.
//!
//! ```text
//! 39                                    0
//! | granules from the range's start      |    40 bits x 4 bytes = 4 TiB; 0 = nowhere
//! ```

/// Everything starts at a multiple of this many bytes. Frozen: it is part of the slot format.
pub(crate) const GRANULE: usize = 4;

/// Bits of a location. Frozen.
pub(crate) const LOCATION_BITS: u32 = 40;

/// Where an entry, a table or an extent starts. Not `0` (but see [`Location::of_slot`]): the range's first chunk is not dealt
/// out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Location(u64);

impl Location {
    pub(crate) const MASK: u64 = (1 << LOCATION_BITS) - 1;

    /// The location at `offset` bytes from the range's start.
    #[inline]
    pub(crate) fn at(offset: usize) -> Self {
        debug_assert!(offset != 0 && offset % GRANULE == 0);
        let granules = (offset / GRANULE) as u64;
        debug_assert!(granules <= Self::MASK);
        Self(granules)
    }

    /// The location in the low bits of a slot word; `None` where they are 0.
    #[inline]
    pub(crate) fn of_word(word: u64) -> Option<Self> {
        let granules = word & Self::MASK;
        (granules != 0).then_some(Self(granules))
    }

    /// The same, which may be nowhere: for [`Arena::short`](super::chunk::Arena::short), which finds nothing there.
    #[inline(always)]
    pub(crate) fn of_slot(word: u64) -> Self {
        Self(word & Self::MASK)
    }

    /// The location as a slot holds it.
    #[inline]
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// Bytes from the range's start.
    #[inline]
    pub(crate) fn offset(self) -> usize {
        self.0 as usize * GRANULE
    }
}

impl core::fmt::Debug for Location {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "@{:#x}", self.offset())
    }
}

/// Which chunk of the pool's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChunkId(pub(crate) u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_survives_its_slot() {
        let last = Location::at((1 << 42) - GRANULE);
        assert_eq!(
            Location::of_word(last.bits() | 1 << 63 | 1 << 40),
            Some(last)
        );
        assert_eq!(Location::of_word(1 << 40), None);
        assert_eq!(last.offset(), (1 << 42) - GRANULE);
    }
}
