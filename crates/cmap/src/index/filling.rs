//! Filling a new table, which nobody else has yet: what a rebuild does.
//!
//! All accesses are Relaxed: the table becomes known by the directory's Release store.

use core::ops::RangeInclusive;

use super::shape::{SLOTS, Shape, Spread};
use super::slot::{self, Want};
use super::table::Table;
use crate::base::sync::{AtomicU64, Ordering};
use crate::memory::Location;

/// A table whose lines are filled from the left.
pub(super) struct Filling<'p> {
    table: Table<'p>,
    /// Slots in use, of each line that has slots.
    used: [u8; Shape::SLOT_LINES_MAX],
}

impl<'p> Filling<'p> {
    /// Begins with an empty table.
    pub(super) fn new(table: Table<'p>) -> Self {
        Self {
            table,
            used: [0; Shape::SLOT_LINES_MAX],
        }
    }

    /// Puts an entry into its bucket, or into an overflow line. `false` if there is no room for it.
    #[inline(always)]
    pub(super) fn place(&mut self, hash: u64, at: Location, aux: u64) -> bool {
        let spread = self.table.spread(hash);
        let home = self.table.bucket(spread.bucket);
        let used = &mut self.used[spread.bucket];
        if usize::from(*used) < SLOTS {
            let word = Want::primary(spread.window).word(at) | aux;
            set(&home[usize::from(*used)], word);
            *used += 1;
            return true;
        }
        self.place_overflow(spread, at, aux)
    }

    #[inline(never)]
    fn place_overflow(&mut self, spread: Spread, at: Location, aux: u64) -> bool {
        let home = self.table.bucket(spread.bucket);
        let class = slot::class_of(spread.window);
        let Some((number, flag)) = self.roomier(spread.bucket, class) else {
            return false;
        };
        let line = self.table.overflow(number);
        let used = &mut self.used[self.table.shape().primary() + number];
        let word = Want::overflow(spread.bucket, spread.window).word(at) | aux;
        set(&line[usize::from(*used)], word);
        *used += 1;
        set(&home[1 + class], flag);
        true
    }

    /// Whether an entry of this hash would find room.
    pub(super) fn has_room(&self, hash: u64) -> bool {
        let spread = self.table.spread(hash);
        let class = slot::class_of(spread.window);
        usize::from(self.used[spread.bucket]) < SLOTS
            || self.roomier(spread.bucket, class).is_some()
    }

    /// Whether three eighths of the overflow slots are free: nearly so many are where hashes lie evenly and four fifths of all
    /// slots are used.
    pub(super) fn has_slack(&self) -> bool {
        let shape = self.table.shape();
        let lines = self.used[shape.primary()..].iter().take(shape.overflow());
        let used: usize = lines.map(|&used| usize::from(used)).sum();
        used * 8 <= shape.overflow() * SLOTS * 5
    }

    /// The emptier of a bucket's two overflow lines, and its filter flag; `None` if both are full.
    fn roomier(&self, bucket: usize, class: usize) -> Option<(usize, u64)> {
        let lines = self.table.choices(bucket, class);
        let named = lines.into_iter().zip([slot::LINE_A, slot::LINE_B]);
        let first = self.table.shape().primary();
        let (used, best) = named
            .filter_map(|(number, flag)| Some((number?, flag)))
            .map(|line| (self.used[first + line.0], line))
            .min_by_key(|&(used, _)| used)?;
        (usize::from(used) < SLOTS).then_some(best)
    }

    /// Sets SPILL in the bucket of `hash`.
    pub(super) fn mark_bucket_spilled(&self, hash: u64) {
        let bucket = self.table.spread(hash).bucket;
        set(&self.table.bucket(bucket)[0], slot::SPILL);
    }

    /// Sets SPILL in every bucket that holds hashes of `range`.
    pub(super) fn mark_spilled(&self, range: &RangeInclusive<u64>, prefix: u64) {
        let shape = self.table.shape();
        for bucket in 0..shape.primary() {
            let own = shape.range(self.table.depth(), prefix, bucket);
            if own.start() <= range.end() && range.start() <= own.end() {
                set(&self.table.bucket(bucket)[0], slot::SPILL);
            }
        }
    }
}

/// Adds bits to a slot that has none of them.
fn set(slot: &AtomicU64, bits: u64) {
    slot.store(slot.load(Ordering::Relaxed) | bits, Ordering::Relaxed);
}
