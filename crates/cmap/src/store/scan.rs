//! Walking the entries in hash order, a few buckets at a time, under one pin each.
//!
//! The cursor is a hash. Buckets cover the hash range in order, whatever tables are split or merged meanwhile; an entry is
//! shown if the hash of its key lies in what is left of its bucket's range. So a key that is present for the whole scan is
//! shown exactly once; any other at most once; one that is absent throughout, never.

use core::hash::BuildHasher;
use core::ops::{ControlFlow, RangeInclusive};

use super::generation::Generation;
use super::modify::Seen;
use super::store::Store;
use crate::index::{Bucket, Buckets};
use crate::log::Entry;
use crate::memory::Pin;

impl<S: BuildHasher> Store<S> {
    /// Shows entries whose hashes lie in `hashes`, in their order: those of a few buckets, under one pin, until `enough` says so
    /// between two buckets. Returns the hash to go on from; `None` at the end.
    pub(crate) fn scan<B>(
        &self,
        hashes: RangeInclusive<u64>,
        f: &mut impl FnMut(&Seen<'_, S>) -> ControlFlow<B>,
        enough: impl Fn() -> bool,
    ) -> ControlFlow<B, Option<u64>> {
        let pin = self.pin();
        let Some(generation) = self.generation.load(&pin) else {
            return ControlFlow::Continue(None);
        };
        let buckets = generation.index.buckets(&hashes, &self.pool, &pin);
        let mut next = None;
        for bucket in buckets.iter() {
            self.show(generation, &buckets, bucket, &pin, f)?;
            next = bucket
                .last
                .checked_add(1)
                .filter(|next| hashes.contains(next));
            if enough() {
                break;
            }
        }
        ControlFlow::Continue(next)
    }

    fn show<B>(
        &self,
        generation: &Generation,
        buckets: &Buckets,
        bucket: &Bucket,
        pin: &Pin,
        f: &mut impl FnMut(&Seen<'_, S>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let range = bucket.first..=bucket.last;
        for at in buckets.entries(bucket) {
            let entry = self.entry(at, pin);
            let is_part = bucket.is_whole || range.contains(&self.hash(entry.key));
            if is_part || cfg!(planted_show_all) {
                f(&self.seen(generation, pin, at, entry))?;
            }
        }
        if bucket.is_spilled && generation.index.has_spilled() {
            self.show_spilled(generation, buckets, bucket, pin, f)
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Those of the bucket's keys that are in the spill tables, each once and none that was shown.
    #[cold]
    fn show_spilled<B>(
        &self,
        generation: &Generation,
        buckets: &Buckets,
        bucket: &Bucket,
        pin: &Pin,
        f: &mut impl FnMut(&Seen<'_, S>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let range = bucket.first..=bucket.last;
        // The chain may change while it is walked: nothing here relies on two walks being alike, but for slots in place.
        let candidates = || {
            let slots = generation.index.spilled_slots(&self.pool, pin);
            let entries = slots.map(|(slot, at)| (slot, at, self.entry(at, pin)));
            entries.filter(|(_, _, entry)| range.contains(&self.hash(entry.key)))
        };
        let mut show = |at, entry: Entry<'_>| f(&self.seen(generation, pin, at, entry));
        let shown = |key: &[u8]| {
            let mut entries = buckets.entries(bucket);
            entries.any(|at| self.entry(at, pin).key == key)
        };
        // A key that was removed and came back while we looked may stand here twice, or have been shown.
        let mut spilled = Vec::new();
        let is_listed = candidates().all(|(_, at, entry)| {
            let has_room = spilled.try_reserve(1).is_ok();
            if has_room {
                spilled.push((at, entry));
            }
            has_room
        });
        if is_listed {
            spilled.sort_unstable_by_key(|(_, entry)| entry.key);
            spilled.dedup_by_key(|(_, entry)| entry.key);
            for &(at, entry) in spilled.iter().filter(|(_, entry)| !shown(entry.key)) {
                show(at, entry)?;
            }
            return ControlFlow::Continue(());
        }
        // Without memory for a list: each against all in slots before its own, which it keeps while it is there.
        for (slot, at, entry) in candidates() {
            let mut before = candidates().take_while(|&(before, ..)| before != slot);
            let is_first = before.all(|(_, _, before)| before.key != entry.key);
            if is_first && !shown(entry.key) {
                show(at, entry)?;
            }
        }
        ControlFlow::Continue(())
    }
}
