//! What a bucket holds at one instant, for walks in hash order.
//!
//! Its words are read until they stay the same twice: a location comes back only after a grace period, so two equal looks
//! mean that nothing that they saw changed in between.

use super::shape::{SLOTS, Shape};
use super::slot;
use super::table::Table;
use crate::base::interleave;
use crate::base::sync::{Backoff, Ordering};
use crate::memory::Location;

/// Most entries that one bucket can have in its own line and its overflow lines.
pub(crate) const BUCKET_ENTRIES_MAX: usize = SLOTS + 2 * slot::CLASSES as usize * SLOTS;

/// The locations of a bucket's entries at one instant: its words are read until they stay the same twice, then under its
/// lock. Also whether keys of it may be in the spill tables.
pub(super) fn collect(
    table: &Table<'_>,
    bucket: usize,
    out: &mut [Option<Location>; BUCKET_ENTRIES_MAX],
) -> (usize, bool) {
    const TRIES: usize = 4;
    let mut before = [None; BUCKET_ENTRIES_MAX];
    let mut last = read_bucket(table, bucket, &mut before);
    if cfg!(planted_one_look) {
        *out = before;
        return last;
    }
    for _ in 0..TRIES {
        let now = read_bucket(table, bucket, out);
        if now == last && out[..now.0] == before[..now.0] {
            return now;
        }
        before = *out;
        last = now;
    }
    let first = &table.bucket(bucket)[0];
    let mut backoff = Backoff::new();
    loop {
        let word = first.load(Ordering::Relaxed);
        if word & slot::LOCK == 0 {
            // Acquire: pairs with the Release of the last unlock.
            if first
                .compare_exchange(
                    word,
                    word | slot::LOCK,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                )
                .is_ok()
            {
                let now = read_bucket(table, bucket, out);
                table.thaw(bucket);
                return now;
            }
        } else {
            // A frozen bucket does not change; a held one does soon.
            let now = read_bucket(table, bucket, out);
            let again = read_bucket(table, bucket, &mut before);
            if now == again && out[..now.0] == before[..again.0] {
                return now;
            }
        }
        backoff.wait();
    }
}

fn read_bucket(
    table: &Table<'_>,
    bucket: usize,
    out: &mut [Option<Location>; BUCKET_ENTRIES_MAX],
) -> (usize, bool) {
    let home = table.bucket(bucket);
    let mut count = 0;
    // For each overflow line, the classes whose flags name it: an entry is there once its slot and its flag are, as for a look-up.
    let mut classes = [0u8; Shape::OVERFLOW_MAX];
    let mut spilled = false;
    for (n, slot) in home.iter().enumerate() {
        // Acquire: pairs with the Release of the slot's store (Published-last).
        let word = slot.load(Ordering::Acquire);
        if n == 0 {
            spilled = word & slot::SPILL != 0;
        } else {
            let [a, b] = table.choices(bucket, n - 1);
            for (number, flag) in [(a, slot::LINE_A), (b, slot::LINE_B)] {
                if let Some(number) = number.filter(|_| word & flag != 0) {
                    classes[number] |= 1 << (n - 1);
                }
            }
        }
        if let Some(at) = Location::of_word(word) {
            out[count] = Some(at);
            count += 1;
        }
    }
    interleave::point();
    for (number, line) in table.overflow_lines().iter().enumerate() {
        if classes[number] == 0 {
            continue;
        }
        for slot in line {
            // Acquire: as above.
            let word = slot.load(Ordering::Acquire);
            let is_ours = slot::is_entry(word) && slot::home_of(word) == bucket;
            if is_ours && classes[number] & 1 << slot::class_of_overflow(word) != 0 {
                out[count] = Location::of_word(word);
                count += 1;
            }
        }
    }
    (count, spilled)
}
