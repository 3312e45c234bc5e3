//! The shapes of tables, and how a hash is spread over one.
//!
//! ```text
//! hash, from the top   | prefix, `depth` bits | v, 13 bits            | ...
//!                      |        base ...      | window, 21 bits            | ...     base = depth rounded down to 8, + fine
//! bucket = v * primary lines >> 13        (monotone: buckets cover the hash range in order)
//! ```
//! The window starts where the bucket stops saying anything new, so *prefix, bucket and window give back the first
//! `base + 21` bits of the hash*: tables are split and merged without reading keys, but every eighth doubling. Sizes step by
//! 1.5 and 1.33 (128 lines, 192 lines, two of 128), which wastes less than doubling; small maps start smaller.

use super::slot::{self, WINDOW_BITS, WINDOW_SHIFT};

/// Bits of the hash that choose a bucket.
const V_BITS: u32 = 13;
/// The window moves on every so many levels.
const PERIOD: u32 = 8;
/// No table is deeper: what would need more has equal hashes, near enough.
pub(super) const DEPTH_MAX: u32 = 36;

/// One of the sizes that a table can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape(pub(crate) u8);

#[derive(Clone, Copy)]
struct Lines {
    primary: u16,
    overflow: u16,
}

const SHAPES: [Lines; 8] = [
    Lines {
        primary: 1,
        overflow: 0,
    },
    Lines {
        primary: 2,
        overflow: 1,
    },
    Lines {
        primary: 5,
        overflow: 2,
    },
    Lines {
        primary: 13,
        overflow: 2,
    },
    Lines {
        primary: 28,
        overflow: 3,
    },
    Lines {
        primary: 56,
        overflow: 7,
    },
    Lines {
        primary: 108,
        overflow: 19,
    },
    Lines {
        primary: 162,
        overflow: 29,
    },
];

/// Slots of a line.
pub(super) const SLOTS: usize = 8;

const _: () = {
    let mut shape = 0;
    while shape < SHAPES.len() {
        let lines = &SHAPES[shape];
        // Homes fit an overflow slot; a bucket and its window determine `v`.
        assert!(lines.primary < 256);
        assert!(lines.overflow as usize <= Shape::OVERFLOW_MAX);
        assert!((lines.primary + lines.overflow) as usize <= Shape::SLOT_LINES_MAX);
        let fine = fine_bits(lines.primary as u32);
        let values = (1u32 << V_BITS).div_ceil(lines.primary as u32);
        assert!(values <= 1 << (V_BITS - fine));
        assert!(PERIOD - 1 + V_BITS <= fine + WINDOW_BITS);
        // See `Shape::of_primary`.
        assert!(lines.primary.ilog2() as usize == shape);
        shape += 1;
    }
};

/// Bits of `v` that the bucket number tells in full. Equal for the two largest shapes, which grow into each other.
const fn fine_bits(primary: u32) -> u32 {
    let bits = primary.ilog2();
    if bits > 6 { 6 } else { bits }
}

impl Shape {
    #[inline]
    fn lines_of(self) -> Lines {
        SHAPES[usize::from(self.0 & 7)]
    }

    /// The shape with so many lines with buckets of their own.
    #[inline]
    pub(super) fn of_primary(primary: u8) -> Self {
        Self((primary | 1).ilog2() as u8)
    }

    /// Lines with buckets of their own.
    #[inline]
    pub(super) fn primary(self) -> usize {
        self.lines_of().primary.into()
    }

    /// The most overflow lines that a table has.
    pub(super) const OVERFLOW_MAX: usize = 29;

    /// The most lines with slots that a table has.
    pub(super) const SLOT_LINES_MAX: usize = 191;

    /// Lines shared by the buckets that are full.
    #[inline]
    pub(super) fn overflow(self) -> usize {
        self.lines_of().overflow.into()
    }

    /// All lines, the header included.
    pub(super) fn lines(self) -> usize {
        1 + self.primary() + self.overflow()
    }

    pub(super) fn slots(self) -> usize {
        (self.primary() + self.overflow()) * SLOTS
    }

    pub(crate) fn words(self) -> usize {
        self.lines() * SLOTS
    }

    pub(crate) fn bytes(self) -> usize {
        self.words() * 8
    }

    /// First hash bit of the windows of a table.
    pub(super) fn base(self, depth: u32) -> u32 {
        depth / PERIOD * PERIOD + fine_bits(self.primary() as u32)
    }

    /// How far a hash is rotated to the left so that its window lies where a primary slot has it.
    pub(super) fn turn(self, depth: u32) -> u32 {
        (self.base(depth) + WINDOW_SHIFT + WINDOW_BITS) % 64
    }

    /// Bits of a hash that one must know to place its entry here.
    pub(super) fn bits_needed(self, depth: u32) -> u32 {
        (self.base(depth) + WINDOW_BITS).max(depth + V_BITS)
    }

    /// Bits of a hash that a primary slot gives back.
    pub(super) fn bits_known(self, depth: u32) -> u32 {
        self.base(depth) + WINDOW_BITS
    }

    /// Where a hash belongs.
    #[cfg(test)]
    pub(super) fn spread(self, depth: u32, hash: u64) -> Spread {
        let v = (hash << depth) >> (64 - V_BITS);
        Spread {
            bucket: (v as usize * self.primary()) >> V_BITS,
            window: (hash << self.base(depth)) >> (64 - WINDOW_BITS),
        }
    }

    /// What gives back the first [`Shape::bits_known`] bits of the hashes of a bucket's entries, from their windows, in a table
    /// whose hashes start with the first `depth` bits of `prefix`.
    pub(super) fn recovery(self, depth: u32, prefix: u64, bucket: usize) -> impl Fn(u64) -> u64 {
        let (base, primary) = (self.base(depth), self.primary() as u64);
        // The low bits of `v` are the window's first ones.
        let in_window = depth + V_BITS - base;
        let low = in_window.min(V_BITS);
        let mask = (1u64 << low) - 1;
        let first = ((bucket as u64) << V_BITS).div_ceil(primary);
        let kept = if depth == 0 {
            0
        } else {
            prefix & (u64::MAX << (64 - depth))
        };
        move |window| {
            let low_bits = (window >> (WINDOW_BITS - in_window)) & mask;
            let mut v = first & !mask | low_bits;
            if v < first {
                v += 1 << low;
            }
            debug_assert_eq!(
                (v * primary) >> V_BITS,
                bucket as u64,
                "bucket and window agree"
            );
            kept | v << (64 - V_BITS - depth) | window << (64 - WINDOW_BITS - base)
        }
    }

    /// The hashes that bucket number `bucket` holds: first to last.
    pub(super) fn range(
        self,
        depth: u32,
        prefix: u64,
        bucket: usize,
    ) -> core::ops::RangeInclusive<u64> {
        let primary = self.primary() as u64;
        let edge = |bucket: u64| (bucket << V_BITS).div_ceil(primary);
        let kept = if depth == 0 {
            0
        } else {
            prefix & (u64::MAX << (64 - depth))
        };
        let shift = 64 - V_BITS - depth;
        let first = kept | edge(bucket as u64) << shift;
        let last = kept | (edge(bucket as u64 + 1) - 1) << shift | ((1 << shift) - 1);
        first..=last
    }
}

/// Where in a table, and what its slot shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spread {
    pub(super) bucket: usize,
    pub(super) window: u64,
}

/// Which shapes a map's tables take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    /// A new map's only table.
    pub(crate) first: Shape,
    /// What a split makes.
    pub(crate) half: Shape,
    /// What is split rather than grown.
    pub(crate) top: Shape,
    /// Bits of the root directory, beyond which it gets directories below it.
    pub(crate) root_bits_max: u32,
}

impl Geometry {
    /// The first shape takes half of a page, and holds a hundred entries whatever their hashes are, near enough.
    pub(crate) const DEFAULT: Self = Self {
        first: Shape(4),
        half: Shape(6),
        top: Shape(7),
        root_bits_max: 16,
    };
    /// Eight slots a table.
    pub(crate) const TINY: Self = Self {
        first: Shape(0),
        half: Shape(0),
        top: Shape(0),
        root_bits_max: 3,
    };
    /// Up to 13 buckets, with overflow lines.
    pub(crate) const TINY_WIDE: Self = Self {
        first: Shape(0),
        half: Shape(3),
        top: Shape(3),
        root_bits_max: 4,
    };
    /// Two buckets that share an overflow line, split into tables of one bucket and none: for models.
    #[cfg(cmap_loom)]
    pub(crate) const TINY_SHARED: Self = Self {
        first: Shape(1),
        half: Shape(0),
        top: Shape(1),
        root_bits_max: 3,
    };
}

impl Spread {
    #[inline(always)]
    pub(super) fn of(hash: u64, depth: u32, turn: u32, primary: usize) -> Self {
        let v = (hash << depth) >> (64 - V_BITS);
        Self {
            bucket: (v as usize * primary) >> V_BITS,
            window: slot::window_of(hash.rotate_left(turn)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_bucket_and_window_give_the_hash_back() {
        let mut rng = 0x9E37_79B9_7F4A_7C15u64;
        for _ in 0..200_000 {
            rng ^= rng << 13;
            rng ^= rng >> 7;
            rng ^= rng << 17;
            let hash = rng;
            let depth = (rng >> 20) as u32 % (DEPTH_MAX + 1);
            for shape in (0..8).map(Shape) {
                let spread = shape.spread(depth, hash);
                assert!(spread.bucket < shape.primary());
                let known = shape.bits_known(depth);
                let mask = u64::MAX << (64 - known);
                assert_eq!(
                    shape.recovery(depth, hash, spread.bucket)(spread.window) & mask,
                    hash & mask,
                    "{shape:?} at depth {depth}"
                );
                assert!(shape.range(depth, hash, spread.bucket).contains(&hash));
            }
        }
    }

    #[test]
    fn keys_are_read_again_only_every_eighth_doubling() {
        let (half, top) = (Geometry::DEFAULT.half, Geometry::DEFAULT.top);
        for depth in 0..DEPTH_MAX {
            assert!(
                top.bits_needed(depth) <= half.bits_known(depth),
                "growing reads no keys"
            );
            let reads = half.bits_needed(depth + 1) > top.bits_known(depth);
            assert_eq!(
                reads,
                (depth + 1).is_multiple_of(PERIOD),
                "splitting at depth {depth}"
            );
            assert!(
                half.bits_needed(depth) <= half.bits_known(depth + 1),
                "merging reads no keys"
            );
        }
    }

    #[test]
    fn ranges_of_buckets_follow_each_other() {
        for shape in (0..8).map(Shape) {
            let mut next = 0u64;
            for bucket in 0..shape.primary() {
                let range = shape.range(0, 0, bucket);
                assert_eq!(*range.start(), next);
                next = range.end().wrapping_add(1);
            }
            assert_eq!(next, 0, "the last one ends at the end");
        }
    }

    #[test]
    fn sizes_step_by_a_half_and_a_third() {
        assert_eq!(Geometry::DEFAULT.half.bytes(), 8 << 10);
        assert_eq!(Geometry::DEFAULT.top.bytes(), 12 << 10);
    }
}
