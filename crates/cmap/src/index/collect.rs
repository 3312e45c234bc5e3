//! What a few neighbouring buckets hold, each at one instant, for walks in hash order.
//!
//! A bucket's words are read until they stay the same twice: a location comes back only after a grace period, so two equal
//! looks mean that nothing that they saw changed in between. A table that is replaced meanwhile stands still, and what it
//! shows was so when it was frozen, after the pin and before the walk ends.

use core::ops::RangeInclusive;

use super::shape::{SLOTS, Shape};
use super::slot;
use super::table::Table;
use crate::base::interleave;
use crate::base::sync::{Backoff, Ordering};
use crate::memory::{Location, Pool};

/// Most entries that one bucket can have in its own line and its overflow lines.
const BUCKET_ENTRIES_MAX: usize = SLOTS + 2 * slot::CLASSES as usize * SLOTS;
/// Buckets collected, and their entries asked of the processor, before any is shown.
const AHEAD: usize = 8;
/// Room for the entries of so many buckets, unless many have overflowed.
const ROOM: usize = AHEAD * SLOTS + BUCKET_ENTRIES_MAX;

/// The part of a bucket that a walk has still to show.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    /// Where its entries are among those collected.
    from: usize,
    to: usize,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// All of it: every entry has a hash from `first` to `last`.
    pub(crate) is_whole: bool,
    /// Some of its keys may be in the spill tables.
    pub(crate) is_spilled: bool,
}

/// Neighbouring buckets of one table, with their entries.
pub(crate) struct Buckets {
    /// Locations, as in slots.
    words: [u64; ROOM],
    buckets: [Bucket; AHEAD],
    count: usize,
}

impl Buckets {
    /// Those that hold the first hashes of `hashes`, in `table`.
    pub(super) fn collect(table: &Table<'_>, hashes: &RangeInclusive<u64>, pool: &Pool) -> Self {
        let mut all = Self {
            words: [0; ROOM],
            buckets: [Bucket::default(); AHEAD],
            count: 0,
        };
        let (mut first, mut from) = (*hashes.start(), 0);
        let mut number = table.spread(first).bucket;
        while all.count < AHEAD && from + BUCKET_ENTRIES_MAX <= ROOM {
            let own = table.shape().range(table.depth(), first, number);
            let out = &mut all.words[from..];
            let (count, is_spilled) = collect(table, number, out);
            for at in out[..count]
                .iter()
                .filter_map(|&word| Location::of_word(word))
            {
                pool.arena().prefetch_entry(at);
            }
            let last = *own.end().min(hashes.end());
            all.buckets[all.count] = Bucket {
                from,
                to: from + count,
                first,
                last,
                is_whole: first == *own.start() && last == *own.end(),
                is_spilled,
            };
            all.count += 1;
            from += count;
            number += 1;
            interleave::point();
            if last == *hashes.end() || number == table.shape().primary() {
                break;
            }
            first = last + 1;
        }
        all
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bucket> {
        self.buckets[..self.count].iter()
    }

    /// The locations of a bucket's entries.
    pub(crate) fn entries(&self, bucket: &Bucket) -> impl Iterator<Item = Location> {
        let words = self.words[bucket.from..bucket.to].iter();
        words.filter_map(|&word| Location::of_word(word))
    }
}

/// The locations of a bucket's entries at one instant: its words are read until they stay the same twice, then under its
/// lock. Also whether keys of it may be in the spill tables.
fn collect(table: &Table<'_>, bucket: usize, out: &mut [u64]) -> (usize, bool) {
    const TRIES: usize = 4;
    if cfg!(planted_one_look) {
        return look(table, bucket, out);
    }
    for _ in 0..TRIES {
        if let Some(found) = look_twice(table, bucket, out) {
            return found;
        }
    }
    let mut backoff = Backoff::new();
    loop {
        if table.try_freeze(bucket) {
            let found = look(table, bucket, out);
            table.thaw(bucket);
            return found;
        }
        // A frozen bucket does not change; a held one does soon.
        if let Some(found) = look_twice(table, bucket, out) {
            return found;
        }
        backoff.wait();
    }
}

fn look(table: &Table<'_>, bucket: usize, out: &mut [u64]) -> (usize, bool) {
    let mut count = 0;
    let is_spilled = read(table, bucket, |at| {
        out[count] = at.bits();
        count += 1;
    });
    (count, is_spilled)
}

/// `None` if a second look differs.
fn look_twice(table: &Table<'_>, bucket: usize, out: &mut [u64]) -> Option<(usize, bool)> {
    let (count, is_spilled) = look(table, bucket, out);
    let mut seen = out[..count].iter();
    let mut differs = false;
    let is_still_spilled = read(table, bucket, |at| {
        differs |= seen.next() != Some(&at.bits());
    });
    differs |= seen.next().is_some() || is_still_spilled != is_spilled;
    (!differs).then_some((count, is_spilled))
}

/// Shows the locations of a bucket's entries, and says whether keys of it may be in the spill tables.
#[inline]
fn read(table: &Table<'_>, bucket: usize, mut show: impl FnMut(Location)) -> bool {
    let home = table.bucket(bucket);
    // Acquire: pairs with the Release of the slot's store (Published-last).
    let words: [u64; SLOTS] = core::array::from_fn(|n| home[n].load(Ordering::Acquire));
    for at in words.iter().filter_map(|&word| Location::of_word(word)) {
        show(at);
    }
    interleave::point();
    let flags = words[1..]
        .iter()
        .fold(0, |flags, word| flags | word & slot::FLAGS);
    if flags != 0 {
        read_overflow(table, bucket, &words, show);
    }
    words[0] & slot::SPILL != 0
}

/// The same of its overflow lines. An entry is there once its slot and its flag are, as for a look-up.
fn read_overflow(
    table: &Table<'_>,
    bucket: usize,
    words: &[u64; SLOTS],
    mut show: impl FnMut(Location),
) {
    // For each overflow line, the classes whose flags name it.
    let mut classes = [0u8; Shape::OVERFLOW_MAX];
    for (class, word) in words[1..].iter().enumerate() {
        if word & slot::FLAGS == 0 {
            continue;
        }
        let [a, b] = table.choices(bucket, class);
        for (number, flag) in [(a, slot::LINE_A), (b, slot::LINE_B)] {
            if let Some(number) = number.filter(|_| word & flag != 0) {
                classes[number] |= 1 << class;
            }
        }
    }
    for (line, &classes) in table.overflow_lines().iter().zip(&classes) {
        if classes == 0 {
            continue;
        }
        for slot in line {
            // Acquire: as above.
            let word = slot.load(Ordering::Acquire);
            let is_ours = slot::is_entry(word) && slot::home_of(word) == bucket;
            if is_ours && classes & 1 << slot::class_of_overflow(word) != 0 {
                Location::of_word(word).map(&mut show);
            }
        }
    }
}
