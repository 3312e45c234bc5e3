//! A table: a fixed block of lines of eight slots.
//!
//! ```text
//! line 0                header: structural | cut | spill | - | - | - | - | -
//! lines 1..=P           primary: bucket b is line 1 + b
//! lines P+1..           overflow: shared by the buckets that are full; a bucket and a class choose two, A and B
//! structural            the mark of the thread that rebuilds the table (splits, merges, moves it)
//! cut                   unused (the cut that a snapshot belongs to)
//! spill                 in a spill table: the next one
//! ```
//! **Stable-slot**: an entry never changes slot inside a published table, so a reader that finds no match knows that the key
//! was absent at some instant. A table that is replaced is frozen first: every bucket's LOCK stays set for ever.

#![allow(unsafe_code)]

use super::shape::{SLOTS, Shape, Spread};
use super::slot::{self, Want};
use crate::base::interleave;
use crate::base::sync::{AtomicU64, Backoff, Ordering, thread_mark};
use crate::memory::{BlockClass, Line, Location, Pin, Pool};

/// A directory's entry: where a table is, how deep, and of which shape.
///
/// ```text
/// 63                          22 21  16 15     8 7  6       5     0
/// | offset of the first bucket  | turn | primary | - | AVX512 | depth |
/// ```
/// `turn` follows from the others; it stands here so that a reader needs nothing else to find its bucket, and where a shift or
/// none gets at each. The offset counts bytes of the pool's range. All zeros: ask the directory below.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableRef(u64);

impl TableRef {
    const OFFSET_SHIFT: u32 = 22;
    /// The processor has AVX-512. Here, so that a reader need not ask elsewhere.
    const AVX512: u64 = 1 << 6;

    pub(super) fn new(at: Location, depth: u32, shape: Shape) -> Self {
        let first = at.offset() as u64 + size_of::<Line>() as u64;
        debug_assert!(first % size_of::<Line>() as u64 == 0 && first >> 42 == 0);
        let spread = u64::from(shape.turn(depth)) << 16 | (shape.primary() as u64) << 8;
        let compare = if has_avx512() { Self::AVX512 } else { 0 };
        Self(first << Self::OFFSET_SHIFT | spread | compare | u64::from(depth))
    }

    /// The entry that says: ask the directory below.
    pub(super) const BELOW: Self = Self(0);

    #[inline]
    pub(super) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[inline]
    pub(super) fn bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(super) fn is_below(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub(super) fn at(self) -> Location {
        Location::at(self.first_bucket() - size_of::<Line>())
    }

    #[inline(always)]
    fn first_bucket(self) -> usize {
        (self.0 >> Self::OFFSET_SHIFT) as usize
    }

    #[inline]
    pub(super) fn depth(self) -> u32 {
        self.0 as u32 & 63
    }

    #[inline]
    pub(super) fn shape(self) -> Shape {
        Shape::of_primary(self.primary())
    }

    #[inline(always)]
    fn primary(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// Where a hash belongs. The same as the shape's, without looking anything up.
    #[inline(always)]
    pub(super) fn spread(self, hash: u64) -> Spread {
        Spread::of(hash, self.depth(), self.turn(), self.primary().into())
    }

    #[inline(always)]
    fn turn(self) -> u32 {
        (self.0 >> 16) as u32 & 63
    }

    /// The first slot of the home line of `hash` that looks like it.
    #[inline(always)]
    pub(super) fn first_match(self, home: &Line, hash: u64) -> Option<usize> {
        let turned = hash.rotate_left(self.turn());
        #[cfg(all(
            target_arch = "x86_64",
            not(any(cmap_loom, cmap_shuttle, cmap_tsan, cmap_asan, miri))
        ))]
        if self.0 & Self::AVX512 != 0 {
            let found = matching_avx512(home, turned);
            return (found != 0).then(|| found.trailing_zeros() as usize & (SLOTS - 1));
        }
        let found = matching(home, Want::turned(turned));
        (found != 0).then(|| found.trailing_zeros() as usize & (SLOTS - 1))
    }

    /// The bucket's line; `None` where there is none, which a reader that goes on finds out.
    #[inline(always)]
    pub(super) fn bucket<'p>(
        self,
        number: usize,
        pool: &'p Pool,
        pin: &'p Pin,
    ) -> Option<&'p Line> {
        pool.arena()
            .line(self.first_bucket() + number * size_of::<Line>(), pin)
    }

    /// Its table's bytes, and the block that they came in.
    pub(crate) fn block(self, pool: &Pool) -> (Location, BlockClass, usize) {
        let class = block_class(pool, self.shape());
        (self.at(), class, pool.config().block_bytes[class as usize])
    }
}

impl core::fmt::Debug for TableRef {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.is_below() {
            return f.write_str("Below");
        }
        write!(
            f,
            "Table({:?}, depth {}, {:?})",
            self.at(),
            self.depth(),
            self.shape()
        )
    }
}

/// The smallest block that a table of `shape` fits.
pub(super) fn block_class(pool: &Pool, shape: Shape) -> BlockClass {
    if shape.bytes() <= pool.config().block_bytes[0] {
        BlockClass::First
    } else {
        BlockClass::Second
    }
}

/// A table that a pin can see.
#[derive(Clone, Copy)]
pub(super) struct Table<'p> {
    pub(super) entry: TableRef,
    lines: &'p [Line],
}

impl<'p> Table<'p> {
    #[inline]
    pub(super) fn of(entry: TableRef, pool: &'p Pool, pin: &'p Pin) -> Self {
        Self {
            entry,
            lines: pool.lines(entry.at(), entry.shape().lines(), pin),
        }
    }

    #[inline]
    pub(super) fn depth(&self) -> u32 {
        self.entry.depth()
    }

    #[inline]
    pub(super) fn shape(&self) -> Shape {
        self.entry.shape()
    }

    #[inline]
    pub(super) fn bucket(&self, number: usize) -> &'p Line {
        &self.lines[1 + number]
    }

    #[inline]
    pub(super) fn overflow(&self, number: usize) -> &'p Line {
        &self.lines[1 + self.shape().primary() + number]
    }

    pub(super) fn overflow_lines(&self) -> &'p [Line] {
        &self.lines[1 + self.shape().primary()..]
    }

    /// Every line with slots.
    pub(super) fn slot_lines(&self) -> &'p [Line] {
        &self.lines[1..]
    }

    #[inline]
    pub(super) fn spread(&self, hash: u64) -> Spread {
        self.entry.spread(hash)
    }

    fn structural(&self) -> &'p AtomicU64 {
        &self.lines[0][0]
    }

    /// As the function, of this table.
    #[inline]
    pub(super) fn choices(&self, bucket: usize, class: usize) -> [Option<usize>; 2] {
        choices(self.shape(), bucket, class)
    }

    /// Takes the right to replace this table. `None` if another thread has it, or the table was replaced.
    pub(super) fn try_structural(&self) -> Option<Structural<'p>> {
        // Acquire: pairs with the Release in `Structural::drop`.
        let taken = self.structural().compare_exchange(
            0,
            thread_mark(),
            Ordering::Acquire,
            Ordering::Relaxed,
        );
        taken.ok().map(|_| Structural {
            word: self.structural(),
            replaced: false,
        })
    }

    /// For a thread that is about to wait for this table, to which the directory led: panics if it would wait for itself.
    /// Only a hasher that writes to its own map can come here while its thread replaces the table.
    #[cold]
    pub(super) fn assert_not_mine(&self) {
        // Relaxed: our own mark, or somebody else's.
        let is_mine = self.structural().load(Ordering::Relaxed) == thread_mark();
        // A model's threads may share their mark.
        let is_told_apart = cfg!(not(any(cmap_loom, cmap_shuttle)));
        assert!(
            !(is_mine && is_told_apart),
            "a hasher must not write to the map that it serves"
        );
    }

    /// Slots in use, now.
    pub(super) fn count(&self) -> usize {
        // Relaxed: an estimate, exact under the structural word and all locks.
        let used = |line: &Line| {
            line.iter()
                .filter(|slot| Location::of_word(slot.load(Ordering::Relaxed)).is_some())
                .count()
        };
        self.slot_lines().iter().map(used).sum()
    }

    /// Whether keys of any bucket spilled, as far as its flags say.
    pub(super) fn is_spilled(&self) -> bool {
        // Relaxed: who must know holds all locks.
        let flag = |bucket| self.bucket(bucket)[0].load(Ordering::Relaxed) & slot::SPILL != 0;
        (0..self.shape().primary()).any(flag)
    }

    /// Whether this table, one with `prefix`, is where `hash` belongs.
    pub(super) fn has(&self, prefix: u64, hash: u64) -> bool {
        self.depth() == 0 || (prefix ^ hash) >> (64 - self.depth()) == 0
    }

    /// Whether few of the slots are used, judged by eight buckets.
    pub(super) fn looks_sparse(&self, random: u64) -> bool {
        let primary = self.shape().primary();
        let looks = primary.min(8);
        let first = random as usize % primary;
        let used: usize = (0..looks)
            .map(|look| {
                let line = self.bucket((first + look * primary / looks) % primary);
                line.iter()
                    .filter(|slot| Location::of_word(slot.load(Ordering::Relaxed)).is_some())
                    .count()
            })
            .sum();
        used * 3 < looks * SLOTS
    }

    /// Locks a bucket for good, or until [`Table::thaw`].
    pub(super) fn freeze(&self, bucket: usize) {
        if cfg!(planted_copy_without_locks) {
            return;
        }
        interleave::point();
        let mut backoff = Backoff::new();
        while !self.try_freeze(bucket) {
            backoff.wait();
        }
    }

    /// The same, if nobody else holds the lock.
    pub(super) fn try_freeze(&self, bucket: usize) -> bool {
        let first = &self.bucket(bucket)[0];
        let word = first.load(Ordering::Relaxed);
        // Acquire: pairs with the Release in `Locked::drop`: the bucket is as its last writer left it.
        word & slot::LOCK == 0
            && first
                .compare_exchange(
                    word,
                    word | slot::LOCK,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    /// Takes a freeze back: nothing was changed.
    pub(super) fn thaw(&self, bucket: usize) {
        let first = &self.bucket(bucket)[0];
        // Release: pairs with the Acquire of the next lock. Only the holder stores into a locked bucket.
        first.store(
            first.load(Ordering::Relaxed) & !slot::LOCK,
            Ordering::Release,
        );
    }

    /// The emptier of a bucket's two overflow lines, and its filter flag; `None` if both are full.
    pub(super) fn roomier(&self, bucket: usize, class: usize) -> Option<(&'p Line, u64)> {
        let [a, b] = self.choices(bucket, class);
        let free = |line: &Line| {
            line.iter()
                .filter(|slot| slot.load(Ordering::Relaxed) == 0)
                .count()
        };
        let a = a
            .map(|number| self.overflow(number))
            .map(|line| (free(line), line, slot::LINE_A));
        let b = b
            .map(|number| self.overflow(number))
            .map(|line| (free(line), line, slot::LINE_B));
        let best = match (a, b) {
            (Some(a), Some(b)) if b.0 > a.0 => b,
            (Some(a), _) => a,
            _ => return None,
        };
        (best.0 > 0).then_some((best.1, best.2))
    }
}

/// The two overflow lines of a bucket's class; the second is `None` where there is but one, both where there is none.
#[inline]
pub(super) fn choices(shape: Shape, bucket: usize, class: usize) -> [Option<usize>; 2] {
    let count = shape.overflow() as u64;
    if count == 0 {
        return [None, None];
    }
    let mixed =
        ((bucket * slot::CLASSES as usize + class) as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let first = ((mixed >> 32) * count) >> 32;
    if count == 1 {
        return [Some(0), None];
    }
    let step = 1 + (((mixed & 0xFFFF_FFFF) * (count - 1)) >> 32);
    // Both are less than `count`, and a division takes its time.
    let second = match first + step {
        sum if sum >= count => sum - count,
        sum => sum,
    };
    [Some(first as usize), Some(second as usize)]
}

/// Whether a deeper table would have most keys of a bucket elsewhere: their hashes differ from `window`. Keys that come in the
/// order of their hashes fill one bucket after another like this.
pub(super) fn is_divisible(home: &Line, window: u64) -> bool {
    let want = Want::primary(window);
    let differs = |slot: &&AtomicU64| {
        // Relaxed: an estimate.
        let word = slot.load(Ordering::Relaxed);
        Location::of_word(word).is_some() && !want.matches(word)
    };
    home.iter().filter(differs).count() > SLOTS / 2
}

/// Which slots of a line look as wanted, one bit each. Each slot is read at some instant during the call; a match must be read
/// again, since this orders nothing.
#[inline]
#[cfg(all(
    target_arch = "x86_64",
    not(any(cmap_loom, cmap_shuttle, cmap_tsan, cmap_asan, miri))
))]
pub(super) fn matching(line: &Line, want: Want) -> u64 {
    use core::arch::x86_64::_mm_set1_epi32;
    let (mask, bits) = want.upper_halves();
    // SAFETY: SSE2 is part of x86_64; no memory is touched.
    let mask = unsafe { _mm_set1_epi32(mask as i32) };
    // SAFETY: as above.
    let bits = unsafe { _mm_set1_epi32(bits as i32) };
    let found: u64;
    // SAFETY: Words-are-words: reads the 64 bytes behind a reference, at their alignment. In assembly, since the language has
    // no vector load that may race with atomic stores; the processor reads every aligned half word at once. The first word is
    // loaded by itself: who has just locked the bucket has written it, and a wider load would wait until that has left the
    // processor's store buffer.
    unsafe {
        core::arch::asm!(
            "movq {a}, [{line}]",
            "movhps {a}, [{line} + 8]",
            "movdqa {b}, [{line} + 16]",
            "movdqa {c}, [{line} + 32]",
            "movdqa {d}, [{line} + 48]",
            "shufps {a}, {b}, 0xdd",
            "shufps {c}, {d}, 0xdd",
            "pand {a}, {mask}",
            "pand {c}, {mask}",
            "pcmpeqd {a}, {bits}",
            "pcmpeqd {c}, {bits}",
            "packssdw {a}, {c}",
            "packsswb {a}, {a}",
            "pmovmskb {found:e}, {a}",
            line = in(reg) line.as_ptr(),
            mask = in(xmm_reg) mask,
            bits = in(xmm_reg) bits,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            c = out(xmm_reg) _,
            d = out(xmm_reg) _,
            found = out(reg) found,
            options(readonly, nostack, preserves_flags),
        );
    }
    found & 0xFF
}

/// Whether [`matching_avx512`] may be used.
fn has_avx512() -> bool {
    #[cfg(all(
        target_arch = "x86_64",
        not(any(cmap_loom, cmap_shuttle, cmap_tsan, cmap_asan, miri))
    ))]
    return crate::base::os::has_avx512();
    #[cfg(not(all(
        target_arch = "x86_64",
        not(any(cmap_loom, cmap_shuttle, cmap_tsan, cmap_asan, miri))
    )))]
    false
}

/// As [`matching`], of a home line, where the processor has AVX-512: a third of the instructions.
#[inline(always)]
#[cfg(all(
    target_arch = "x86_64",
    not(any(cmap_loom, cmap_shuttle, cmap_tsan, cmap_asan, miri))
))]
fn matching_avx512(home: &Line, turned: u64) -> u64 {
    let found: u64;
    // SAFETY: Words-are-words: as in `matching`. Each slot is compared in its window alone: a bit is set where nothing of it
    // differs. Registers above the first sixteen leave nothing to clean up; `has_avx512` was asked when the table was made.
    unsafe {
        core::arch::asm!(
            "vpbroadcastq zmm16, {turned}",
            "vpxorq zmm16, zmm16, [{home}]",
            "vptestnmq k1, zmm16, qword ptr [{mask}]{{1to8}}",
            "kmovw {found:e}, k1",
            home = in(reg) home.as_ptr(),
            turned = in(reg) turned,
            mask = in(reg) &slot::WINDOW_MASK,
            found = out(reg) found,
            out("zmm16") _,
            out("k1") _,
            options(readonly, nostack, preserves_flags),
        );
    }
    found
}

#[inline]
#[cfg(not(all(
    target_arch = "x86_64",
    not(any(cmap_loom, cmap_shuttle, cmap_tsan, cmap_asan, miri))
)))]
pub(super) fn matching(line: &Line, want: Want) -> u64 {
    let mut found = 0;
    for (n, slot) in line.iter().enumerate() {
        // Relaxed: whoever follows a match reads it again.
        found |= u64::from(want.matches(slot.load(Ordering::Relaxed))) << n;
    }
    found
}

/// Asks the processor for a line that is written soon: one that is asked for to be read is fetched twice from the cache of
/// another processor that has written it.
#[inline(always)]
pub(super) fn prefetch_to_write(line: &Line) {
    #[cfg(all(target_arch = "x86_64", not(any(cmap_loom, cmap_shuttle, miri))))]
    // SAFETY: a hint, which changes nothing; every 64-bit processor of today takes it, or passes over it.
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) line.as_ptr(), options(readonly, nostack, preserves_flags));
    }
    #[cfg(not(all(target_arch = "x86_64", not(any(cmap_loom, cmap_shuttle, miri)))))]
    let _ = line;
}

/// The right to replace a table.
pub(super) struct Structural<'p> {
    word: &'p AtomicU64,
    replaced: bool,
}

impl Structural<'_> {
    /// The table was replaced: nobody gets this right again.
    pub(super) fn keep(mut self) {
        self.replaced = true;
    }
}

impl Drop for Structural<'_> {
    fn drop(&mut self) {
        if !self.replaced {
            // Release: pairs with the Acquire in `try_structural`.
            self.word.store(0, Ordering::Release);
        }
    }
}

#[cfg(all(test, not(any(cmap_loom, cmap_shuttle))))]
mod tests {
    use super::*;

    #[repr(align(64))]
    struct Aligned(Line);

    #[test]
    fn matching_finds_what_looks_alike_and_nothing_else() {
        crate::base::os::detect_processor();
        let entry = TableRef::new(Location::at(64), 0, Shape(0));
        assert_eq!(entry.spread(5 << 43).window, 5, "the first 21 bits");
        let mut rng = 1u64;
        for _ in 0..20_000 {
            rng = rng
                .wrapping_mul(0x5851_F42D_4C95_7F2D)
                .wrapping_add(0x1405_7B7E_F767_814F);
            let wants = [
                Want::primary(rng >> 43),
                Want::overflow((rng >> 8) as usize % 162, rng >> 43),
                Want::spill(rng >> 20),
            ];
            for want in wants {
                let word = |n: u64| match (rng >> (n * 3)) % 4 {
                    0 => want.word(Location::at(4 * (n as usize + 1))),
                    1 => want.word(Location::at(4 * (n as usize + 1))) | slot::FLAGS | slot::AUX,
                    2 => want.word(Location::at(8)) ^ 1 << (41 + rng % 15),
                    _ => 0,
                };
                let line = Aligned(core::array::from_fn(|n| AtomicU64::new(word(n as u64))));
                let expected =
                    (0..SLOTS).filter(|&n| want.matches(line.0[n].load(Ordering::Relaxed)));
                let expected = expected.fold(0, |bits, n| bits | 1 << n);
                assert_eq!(matching(&line.0, want), expected);
                if want == Want::primary(rng >> 43) {
                    let first = (expected != 0).then(|| expected.trailing_zeros() as usize);
                    assert_eq!(entry.first_match(&line.0, rng), first);
                }
            }
        }
    }

    #[test]
    fn an_entry_spreads_as_its_shape_does() {
        for depth in 0..30 {
            for shape in (0..8).map(Shape) {
                let entry = TableRef::new(Location::at(64), depth, shape);
                let hash = 0x9E37_79B9_7F4A_7C15u64.wrapping_mul(u64::from(depth) + 1);
                assert_eq!(entry.spread(hash), shape.spread(depth, hash));
                assert_eq!((entry.depth(), entry.shape()), (depth, shape));
            }
        }
    }
}
