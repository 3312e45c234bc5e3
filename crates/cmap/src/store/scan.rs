//! Walking the entries in hash order, a few buckets at a time, under one pin each.
//!
//! The cursor is a hash. Buckets cover the hash range in order, whatever tables are split or merged meanwhile; an entry is
//! shown if the hash of its key lies in what is left of its bucket's range. So a key that is present for the whole scan is
//! shown exactly once; any other at most once; one that is absent throughout, never.

use core::hash::BuildHasher;
use core::ops::ControlFlow;

use super::generation::Generation;
use super::store::Store;
use crate::base::interleave;
use crate::index::BUCKET_ENTRIES_MAX;
use crate::memory::{Location, Pin};

/// Buckets collected, and their entries asked of the processor, before any is shown.
const AHEAD: usize = 4;

struct Bucket {
    entries: [Option<Location>; BUCKET_ENTRIES_MAX],
    count: usize,
    first: u64,
    last: u64,
    spilled: bool,
}

impl Bucket {
    const EMPTY: Self = Self {
        entries: [None; BUCKET_ENTRIES_MAX],
        count: 0,
        first: 0,
        last: 0,
        spilled: false,
    };
}

impl<S: BuildHasher> Store<S> {
    /// Shows entries from the first hash `cursor` on: those of at most [`AHEAD`] buckets. Returns where to go on.
    pub(crate) fn scan<B>(
        &self,
        cursor: u64,
        f: &mut impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> ControlFlow<B, Option<u64>> {
        let pin = self.pin();
        let Some(generation) = self.generation.load(&pin) else {
            return ControlFlow::Continue(None);
        };
        let mut buckets = [Bucket::EMPTY; AHEAD];
        let mut next = Some(cursor);
        let mut filled = 0;
        for bucket in &mut buckets {
            let Some(first) = next else { break };
            let (count, range, spilled) =
                generation
                    .index
                    .bucket_entries(first, &self.pool, &pin, &mut bucket.entries);
            (bucket.count, bucket.first, bucket.last, bucket.spilled) =
                (count, first, *range.end(), spilled);
            for &at in bucket.entries[..count].iter().flatten() {
                self.pool.arena().prefetch(at);
            }
            next = range.end().checked_add(1);
            filled += 1;
        }
        interleave::point();
        for bucket in &buckets[..filled] {
            self.show(generation, bucket, &pin, f)?;
        }
        ControlFlow::Continue(next)
    }

    fn show<B>(
        &self,
        generation: &Generation,
        bucket: &Bucket,
        pin: &Pin,
        f: &mut impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let range = bucket.first..=bucket.last;
        for &at in bucket.entries[..bucket.count].iter().flatten() {
            let entry = self.entry(at, pin);
            if range.contains(&self.hash(entry.key)) {
                f(entry.key, entry.value)?;
            }
        }
        if bucket.spilled {
            self.show_spilled(generation, bucket, pin, f)
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Those of the bucket's keys that are in the spill tables, each once and none that was shown.
    #[cold]
    fn show_spilled<B>(
        &self,
        generation: &Generation,
        bucket: &Bucket,
        pin: &Pin,
        f: &mut impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let range = bucket.first..=bucket.last;
        // The chain may change while it is walked: nothing here relies on two walks being alike, but for slots in place.
        let candidates = || {
            let slots = generation.index.spilled_slots(&self.pool, pin);
            let entries = slots.map(|(slot, at)| (slot, self.entry(at, pin)));
            entries.filter(|(_, entry)| range.contains(&self.hash(entry.key)))
        };
        let shown = |key: &[u8]| {
            let mut entries = bucket.entries[..bucket.count].iter().flatten();
            entries.any(|&at| self.entry(at, pin).key == key)
        };
        // A key that was removed and came back while we looked may stand here twice, or have been shown.
        let mut spilled = Vec::new();
        let is_listed = candidates().all(|(_, entry)| {
            let has_room = spilled.try_reserve(1).is_ok();
            if has_room {
                spilled.push(entry);
            }
            has_room
        });
        if is_listed {
            spilled.sort_unstable_by_key(|entry| entry.key);
            spilled.dedup_by_key(|entry| entry.key);
            for entry in spilled.iter().filter(|entry| !shown(entry.key)) {
                f(entry.key, entry.value)?;
            }
            return ControlFlow::Continue(());
        }
        // Without memory for a list: each against all in slots before its own, which it keeps while it is there.
        for (slot, entry) in candidates() {
            let mut before = candidates().take_while(|&(before, _)| before != slot);
            let is_first = before.all(|(_, before)| before.key != entry.key);
            if is_first && !shown(entry.key) {
                f(entry.key, entry.value)?;
            }
        }
        ControlFlow::Continue(())
    }
}
