//! A slot: eight bytes that say where an entry is and what its hash looks like. Frozen.
//!
//! ```text
//!            63   62 61            41  40  39                 0
//! primary   | flags | window, 21     |aux|  location, 40       |   empty: location 0, flags may be set
//! overflow  | home bucket, 8 | w., 15|aux|  location, 40       |   empty: 0; taken: aux alone
//!            63            56 55   41
//! spill     | second hash, 23        |aux|  location, 40       |   empty: 0
//! flags     slot 0:    63 LOCK, 62 SPILL (a key of this bucket is, or was, in the spill tables)
//!           slot 1+c:  63 class c has an entry in overflow line A, 62 in line B          (c = 0..=6)
//! aux       unused (an eviction's visited bit); kept by every rewrite, masked by every comparison
//! ```

use crate::memory::Location;

pub(super) const LOCK: u64 = 1 << 63;
pub(super) const SPILL: u64 = 1 << 62;
/// Both flags of a slot: of slots 1 to 7, "line A" and "line B".
pub(super) const FLAGS: u64 = 0b11 << 62;
pub(super) const LINE_A: u64 = 1 << 63;
pub(super) const LINE_B: u64 = 1 << 62;
pub(super) const AUX: u64 = 1 << 40;
/// An overflow slot that a writer has taken and not yet filled: nobody else's, and empty to readers.
pub(super) const TAKEN: u64 = AUX;

pub(super) const WINDOW_BITS: u32 = 21;
pub(super) const WINDOW_SHIFT: u32 = 41;
pub(super) const WINDOW_MASK: u64 = ((1 << WINDOW_BITS) - 1) << WINDOW_SHIFT;
/// Window bits that an overflow slot keeps.
pub(super) const SHORT_BITS: u32 = 15;
const HOME_SHIFT: u32 = 56;
/// What identifies a key in an overflow or spill slot.
const UPPER_MASK: u64 = !((1 << WINDOW_SHIFT) - 1);
/// Classes of overflow filters.
pub(super) const CLASSES: u64 = 7;

const _: () = assert!(WINDOW_MASK | FLAGS | AUX | Location::MASK == u64::MAX);

/// What a slot must show, but for its location, to be worth asking about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Want {
    mask: u64,
    bits: u64,
}

impl Want {
    #[inline]
    pub(super) fn primary(window: u64) -> Self {
        Self {
            mask: WINDOW_MASK,
            bits: window << WINDOW_SHIFT,
        }
    }

    /// As [`Want::primary`], of a window that is where a slot has it, among other bits.
    #[inline(always)]
    pub(super) fn turned(hash: u64) -> Self {
        Self {
            mask: WINDOW_MASK,
            bits: hash & WINDOW_MASK,
        }
    }

    #[inline]
    pub(super) fn overflow(home: usize, window: u64) -> Self {
        let short = window >> (WINDOW_BITS - SHORT_BITS);
        Self {
            mask: UPPER_MASK,
            bits: (home as u64) << HOME_SHIFT | short << WINDOW_SHIFT,
        }
    }

    #[inline]
    pub(super) fn spill(second: u64) -> Self {
        Self {
            mask: UPPER_MASK,
            bits: second << WINDOW_SHIFT,
        }
    }

    /// Whether `word` looks like it. An empty slot may; its location says so.
    #[inline]
    pub(super) fn matches(self, word: u64) -> bool {
        word & self.mask == self.bits
    }

    /// The upper halves of mask and bits: all that a look needs.
    #[inline]
    #[allow(dead_code, reason = "the look that is not in assembly does without")]
    pub(super) fn upper_halves(self) -> (u32, u32) {
        debug_assert!((self.mask | self.bits) as u32 == 0);
        ((self.mask >> 32) as u32, (self.bits >> 32) as u32)
    }

    /// A word of this look, for the entry at `at`.
    #[inline]
    pub(super) fn word(self, at: Location) -> u64 {
        self.bits | at.bits()
    }
}

/// Whether there is an entry in an overflow slot of this word: it may be [`TAKEN`].
#[inline]
pub(super) fn is_entry(word: u64) -> bool {
    Location::of_word(word).is_some()
}

#[inline]
pub(super) fn window_of(word: u64) -> u64 {
    (word & WINDOW_MASK) >> WINDOW_SHIFT
}

#[inline]
pub(super) fn home_of(word: u64) -> usize {
    (word >> HOME_SHIFT) as usize
}

/// The overflow class of a window: from the bits that an overflow slot keeps too.
#[inline]
pub(super) fn class_of(window: u64) -> usize {
    class_of_short(window >> (WINDOW_BITS - SHORT_BITS))
}

#[inline]
fn class_of_short(short: u64) -> usize {
    // A multiplicative hash: the upper bits may be known from the bucket, so all must count.
    (((short.wrapping_mul(0x9E37) & 0xFFFF) * CLASSES) >> 16) as usize
}

/// The overflow class of the entry in an overflow slot.
#[inline]
pub(super) fn class_of_overflow(word: u64) -> usize {
    class_of_short((word >> WINDOW_SHIFT) & ((1 << SHORT_BITS) - 1))
}

/// `word` with another location: same key, moved or replaced.
#[inline]
pub(super) fn relocated(word: u64, at: Location) -> u64 {
    word & !Location::MASK | at.bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_and_flags_do_not_disturb() {
        let at = Location::at(0x1234_5678 * 4);
        let window = 0x1A_BCDE;
        let word = Want::primary(window).word(at) | FLAGS | AUX;
        assert!(Want::primary(window).matches(word));
        assert!(!Want::primary(window ^ 1).matches(word));
        assert_eq!(
            (window_of(word), Location::of_word(word)),
            (window, Some(at))
        );
        let over = Want::overflow(167, window).word(at) | AUX;
        assert!(Want::overflow(167, window).matches(over));
        assert!(
            Want::overflow(167, window ^ 1).matches(over),
            "the lowest bits are not kept"
        );
        assert!(!Want::overflow(166, window).matches(over));
        assert_eq!(
            (home_of(over), class_of_overflow(over)),
            (167, class_of(window))
        );
        let moved = relocated(over, Location::at(8));
        assert_eq!(
            (moved & !Location::MASK, Location::of_word(moved)),
            (over & !Location::MASK, Some(Location::at(8)))
        );
    }

    #[test]
    fn classes_are_about_even_even_when_the_upper_bits_are_fixed() {
        let mut counts = [0u32; CLASSES as usize];
        for low in 0..1 << 13 {
            counts[class_of_short(0b10 << 13 | low)] += 1;
        }
        let mean = (1 << 13) / CLASSES as u32;
        assert!(
            counts.iter().all(|&n| n.abs_diff(mean) < mean / 10),
            "{counts:?}"
        );
    }
}
