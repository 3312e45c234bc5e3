//! Which units of the extents' region are free. Bookkeeping only: no bytes, no locks.
//!
//! First fit from a hint, one bit a unit. The bitmap grows with the highest unit ever used.

use super::limbo::NoHeap;

/// Why a run of units could not be had.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoRun {
    Heap(NoHeap),
    Region,
}

/// The runs of one pool.
#[derive(Debug)]
pub(crate) struct Extents {
    units: usize,
    used: Vec<u64>,
    /// No free unit below it, as far as known.
    hint: usize,
    /// Units that were ever part of a run: committed memory.
    reached: usize,
}

impl Extents {
    pub(crate) fn new(units: usize) -> Self {
        Self {
            units,
            used: Vec::new(),
            hint: 0,
            reached: 0,
        }
    }

    fn is_used(&self, unit: usize) -> bool {
        self.used
            .get(unit / 64)
            .is_some_and(|bits| bits & (1 << (unit % 64)) != 0)
    }

    /// Finds `count` free units in a row, without taking them. The bitmap is long enough for them afterwards.
    pub(crate) fn find(&mut self, count: usize) -> Result<usize, NoRun> {
        let mut start = self.hint;
        let mut unit = start;
        while unit - start < count {
            if unit >= self.units {
                return Err(NoRun::Region);
            }
            let full_word = unit % 64 == 0 && self.used.get(unit / 64) == Some(&u64::MAX);
            if full_word {
                unit += 64;
                start = unit;
                continue;
            }
            if self.is_used(unit) {
                start = unit + 1;
            }
            unit += 1;
        }
        let words = (start + count).div_ceil(64);
        if words > self.used.len() {
            let more = words - self.used.len();
            self.used
                .try_reserve(more)
                .map_err(|_| NoRun::Heap(NoHeap { bytes: more * 8 }))?;
            self.used.resize(words, 0);
        }
        Ok(start)
    }

    /// Takes the run that [`Extents::find`] found. Returns the part of it that was never used before.
    pub(crate) fn take(&mut self, start: usize, count: usize) -> core::ops::Range<usize> {
        for unit in start..start + count {
            debug_assert!(!self.is_used(unit));
            self.used[unit / 64] |= 1 << (unit % 64);
        }
        if start == self.hint {
            self.hint = start + count;
        }
        let fresh = self.reached.max(start)..self.reached.max(start + count);
        self.reached = fresh.end;
        fresh
    }

    /// Gives a run back.
    pub(crate) fn give(&mut self, start: usize, count: usize) {
        for unit in start..start + count {
            assert!(self.is_used(unit), "an extent is given back once");
            self.used[unit / 64] &= !(1 << (unit % 64));
        }
        self.hint = self.hint.min(start);
    }

    /// Where memory was never used.
    pub(crate) fn reached(&self) -> usize {
        self.reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_taken_and_found_again() {
        let mut extents = Extents::new(100);
        assert_eq!(extents.find(70), Ok(0));
        assert_eq!(extents.take(0, 70), 0..70);
        assert_eq!(extents.find(30), Ok(70));
        assert_eq!(extents.take(70, 30), 70..100);
        assert_eq!(extents.find(1), Err(NoRun::Region));
        extents.give(10, 5);
        assert_eq!(extents.find(6), Err(NoRun::Region));
        assert_eq!(extents.find(5), Ok(10));
        assert!(extents.take(10, 5).is_empty(), "used before, so committed");
        assert_eq!(extents.reached(), 100);
    }
}
