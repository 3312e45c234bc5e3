//! The write path: append, lock, publish; and its undoing where that fails.
//!
//! ```text
//! hash -> pin -> prefetch bucket -> append header, key, value -> lock bucket -> resolve again -> look -> one Release store
//!           ^                                                       |  no room: unlock, rebuild or spill, try again
//!           '-------------------------------------------------------'  generation replaced: give the bytes back, start over
//! ```

use core::hash::BuildHasher;

use super::generation::Generation;
use super::store::Store;
use crate::base::hash;
use crate::base::interleave;
use crate::base::sync::Backoff;
use crate::index::{Found, Made, NoRoom};
use crate::log::{Appended, Keeper, Log};
use crate::memory::{Location, Pin, Refused, Who};

/// When a write goes ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    Absent,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    New,
    Replaced,
    Nothing,
}

/// Why a write did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full {
        needed: usize,
        available: usize,
        pinned: usize,
    },
    OutOfMemory {
        bytes: usize,
    },
}

/// Of the new keys of a bucket that spilled, how many try first whether a rebuild makes room by now.
const RETRY_ONE_IN: u64 = 64;

/// An appended entry that gives its bytes back unless it is published.
struct Unpublished<'a, S> {
    store: &'a Store<S>,
    generation: &'a Generation,
    appended: Option<Appended>,
    who: Who,
}

impl<S> Drop for Unpublished<'_, S> {
    fn drop(&mut self) {
        if let Some(appended) = self.appended {
            self.generation
                .log
                .give_back(&self.store.pool, self.store, self.who, appended);
        }
    }
}

enum Attempt {
    Wrote(Wrote),
    /// `clear` came between.
    Stale,
}

impl<S: BuildHasher> Store<S> {
    /// Stores an entry. `old` sees the value that it replaced.
    pub(crate) fn write(
        &self,
        key: &[u8],
        value: &[u8],
        when: When,
        mut old: impl FnMut(&[u8]),
    ) -> Result<Wrote, Refusal> {
        let hash = self.hash(key);
        let (wrote, owed) = self.relieved(|| {
            let pin = self.pin();
            loop {
                if let (Attempt::Wrote(wrote), owed) =
                    self.try_write(&pin, hash, key, value, when, &mut old)?
                {
                    return Ok((wrote, owed));
                }
            }
        })?;
        if owed >= self.tuning.quantum {
            self.maintain(hash, false);
        }
        Ok(wrote)
    }

    fn try_write(
        &self,
        pin: &Pin,
        hash: u64,
        key: &[u8],
        value: &[u8],
        when: When,
        old: &mut impl FnMut(&[u8]),
    ) -> Result<(Attempt, u64), Refused> {
        if when == When::Absent && self.get(key, pin).is_some() {
            return Ok((Attempt::Wrote(Wrote::Nothing), 0));
        }
        let generation = self.generation_or_new(pin)?;
        generation.index.prefetch(hash, &self.pool, pin);
        let appended = generation
            .log
            .append(&self.pool, self, Who::Writer, key, value)?;
        let mut unpublished = Unpublished {
            store: self,
            generation,
            appended: Some(appended),
            who: Who::Writer,
        };
        let is_current = || self.generation.is(generation);
        let is_it = |at| Log::value_of(&self.pool, at, key, pin).is_some();
        let second = || hash::second(key);
        interleave::point();
        let mut backoff = Backoff::new();
        let mut may_spill = false;
        loop {
            let Some(mut locked) = generation.index.lock(&self.pool, pin, hash, is_current) else {
                return Ok((Attempt::Stale, 0));
            };
            let looks = !(cfg!(planted_no_look_under_lock) && when == When::Absent);
            if let Some(found) = locked.find(second, is_it).filter(|_| looks) {
                if when == When::Absent {
                    return Ok((Attempt::Wrote(Wrote::Nothing), 0));
                }
                locked.replace(&found, appended.at);
                drop(locked);
                interleave::point();
                unpublished.appended = None;
                let before = self.entry(found.at(), pin);
                let owed = generation.log.note(appended.bytes, before.bytes);
                generation
                    .log
                    .unlinked(&self.pool, self, found.at(), before.bytes);
                old(before.value);
                return Ok((Attempt::Wrote(Wrote::Replaced), owed));
            }
            let mut stored = locked.insert(appended.at);
            // A bucket that spilled once goes on doing so, but for a try at a rebuild now and then.
            let spills = may_spill || locked.is_spilled() && appended.at.bits() % RETRY_ONE_IN != 0;
            if stored.is_err() && spills {
                may_spill = true;
                stored = locked.insert_spilled(second(), appended.at);
            }
            drop(locked);
            match stored {
                Ok(()) => {
                    unpublished.appended = None;
                    return Ok((
                        Attempt::Wrote(Wrote::New),
                        generation.log.note(appended.bytes, 0),
                    ));
                }
                Err(NoRoom) if may_spill => {
                    self.with_context(pin, |context| {
                        generation.index.grow_spill(context, Who::Writer)
                    })?;
                }
                Err(NoRoom) => match self
                    .with_context(pin, |context| generation.index.make_room(context, hash))?
                {
                    Made::Room => {}
                    Made::Busy => backoff.wait(),
                    Made::Spill => may_spill = true,
                },
            }
        }
    }

    /// Removes a key. `old` sees its value.
    pub(crate) fn remove<R>(&self, key: &[u8], old: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let hash = self.hash(key);
        let pin = self.pin();
        let (result, owed) = loop {
            let generation = self.generation.load(&pin)?;
            let is_current = || self.generation.is(generation);
            let Some(mut locked) = generation.index.lock(&self.pool, &pin, hash, is_current) else {
                continue;
            };
            let is_it = |at| Log::value_of(&self.pool, at, key, &pin).is_some();
            let found: Found<'_> = locked.find(|| hash::second(key), is_it)?;
            locked.remove(&found);
            drop(locked);
            interleave::point();
            let before = self.entry(found.at(), &pin);
            let owed = generation.log.note(0, before.bytes);
            generation
                .log
                .unlinked(&self.pool, self, found.at(), before.bytes);
            break (old(before.value), owed);
        };
        drop(pin);
        if owed >= self.tuning.quantum {
            self.maintain(hash, true);
        }
        Some(result)
    }

    /// Copies the entry at `from`, if it is still in the index, and points its slot to the copy.
    /// `Ok(false)`: it was not there any more.
    pub(super) fn relocate(
        &self,
        generation: &Generation,
        pin: &Pin,
        hash: u64,
        from: Location,
    ) -> Result<bool, Refused> {
        // Not its value: it may not be published yet.
        let entry = Log::head(&self.pool, from, pin);
        let second = || hash::second(entry.key);
        let is_it = |at: Location| at == from;
        // A look without the lock: most that are dead end here.
        if generation
            .index
            .find(&self.pool, pin, hash, second, is_it)
            .is_none()
        {
            return Ok(false);
        }
        interleave::point();
        let appended = generation
            .log
            .append_copy(&self.pool, self, from, entry.bytes, pin)?;
        let mut unpublished = Unpublished {
            store: self,
            generation,
            appended: Some(appended),
            who: Who::Compactor,
        };
        interleave::point();
        let is_current = || self.generation.is(generation);
        let Some(mut locked) = generation.index.lock(&self.pool, pin, hash, is_current) else {
            return Ok(false);
        };
        // By location, never by key: a newer value must not be undone, and a removed key not come back.
        let is_moved = |at: Location| {
            cfg!(planted_relocate_by_key) && Log::head(&self.pool, at, pin).key == entry.key
        };
        let Some(found) = locked.find(second, |at| is_it(at) || is_moved(at)) else {
            return Ok(false);
        };
        locked.replace(&found, appended.at);
        drop(locked);
        interleave::point();
        unpublished.appended = None;
        generation.log.unlinked(&self.pool, self, from, entry.bytes);
        Ok(true)
    }
}

// `Keeper` is what `Unpublished` needs of a store of any hasher.
const _: fn() = || {
    fn assert_keeper<K: Keeper>() {}
    assert_keeper::<Store<()>>();
};
