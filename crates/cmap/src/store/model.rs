//! What a model checker may ask of a store: single steps of maintenance, at the moment that the model chooses.
//!
//! Each is one call of what maintenance itself calls, with the choice of when taken out.

use core::hash::BuildHasher;

use super::compaction::{Search, Step};
use super::store::Store;
use crate::index::Made;
use crate::log::Victims;
use crate::memory::Who;

impl<S: BuildHasher> Store<S> {
    /// Closes every lane and seals the open chunks, so that these can be compacted.
    pub(crate) fn seal(&self) {
        let pin = self.pin();
        if let Some(generation) = self.generation.load(&pin) {
            generation.log.close_lanes(&self.pool, self, true);
        }
    }

    /// Has the lane at hand keep the space of what dies, from now on.
    pub(crate) fn keep_holes(&self) {
        let pin = self.pin();
        if let Some(generation) = self.generation.load(&pin) {
            generation.log.start_holes(&self.pool, 1);
        }
    }

    /// Stamps what the lane at hand keeps, or finds that no pin sees it any more.
    pub(crate) fn ripen(&self) {
        let pin = self.pin();
        if let Some(generation) = self.generation.load(&pin) {
            generation.log.ripen(self.tag, true, &pin);
        }
    }

    /// Has every lane give up what it keeps, and keep nothing any more.
    pub(crate) fn give_holes_up(&self) {
        let pin = self.pin();
        if let Some(generation) = self.generation.load(&pin) {
            generation.log.give_holes_up(&self.pool, self, true, &pin);
        }
    }

    /// One step of compaction, of so many bytes. `true` if it did something.
    pub(crate) fn compact_once(&self, bytes: usize) -> bool {
        let pin = self.pin();
        self.generation.load(&pin).is_some_and(|generation| {
            let search = Search {
                victims: Victims::Again,
                live_max: usize::MAX,
                random: 0,
            };
            let step = self.compact_step(generation, &pin, search, bytes);
            matches!(step, Step::Worked { .. })
        })
    }

    /// Replaces the table of `key`, which is worn, by one of its size. `true` if it did.
    pub(crate) fn rebuild(&self, key: &[u8]) -> bool {
        let pin = self.pin();
        self.generation.load(&pin).is_some_and(|generation| {
            let made = self.with_context(&pin, |context| {
                generation.index.make_room(context, self.hash(key))
            });
            made == Ok(Made::Room)
        })
    }

    /// Splits the table of `key` if it is the only one.
    pub(crate) fn split(&self, key: &[u8]) {
        let pin = self.pin();
        if let Some(generation) = self.generation.load(&pin) {
            let _ = self.with_context(&pin, |context| {
                let hash = self.hash(key);
                // Too many for one table; of the halves, the upper one gets three quarters.
                generation.index.reserve(context, 6, hash, usize::MAX)
            });
        }
    }

    /// Makes a spill table.
    pub(crate) fn grow_spill(&self) {
        let pin = self.pin();
        if let Some(generation) = self.generation.load(&pin) {
            let _ = self.with_context(&pin, |context| {
                generation.index.grow_spill(context, Who::Writer)
            });
        }
    }

    /// Retires a spill table that no entry is in. `true` if there was one.
    pub(crate) fn trim_spill(&self) -> bool {
        let pin = self.pin();
        self.generation.load(&pin).is_some_and(|generation| {
            self.with_context(&pin, |context| generation.index.trim_spill(context))
        })
    }

    /// Merges the table of `key` with its sibling. `true` if it did.
    pub(crate) fn merge(&self, key: &[u8]) -> bool {
        let pin = self.pin();
        self.generation.load(&pin).is_some_and(|generation| {
            let merged = self.with_context(&pin, |context| {
                generation.index.try_merge(context, self.hash(key), 0, true)
            });
            merged == Ok(true)
        })
    }

    /// Bytes that wait for pins.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.limbo.bytes()
    }
}
