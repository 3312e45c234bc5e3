//! The write path: append, lock, publish; and its undoing where that fails.
//!
//! ```text
//! hash -> pin -> prefetch bucket, compact -> append header, key, value -> lock bucket -> generation again -> look -> one Release store
//!           ^                                                       |  no room: unlock, rebuild or spill, try again
//!           '-------------------------------------------------------'  generation replaced: give the bytes back, start over
//! ```

use core::hash::BuildHasher;

use super::generation::Generation;
use super::store::Store;
use crate::base::hash;
use crate::base::interleave;
use crate::base::sync::Backoff;
use crate::index::{Glance, Home, Locked, Made, NoRoom};
use crate::log::{Appended, Head, Keeper, Log};
use crate::memory::{Location, Pin, Refused, Who};

/// What a write wants to find under its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    Anything,
    Absent,
    Present,
    /// The entry at this location, neither replaced nor moved. Seen under the pin that is still held.
    At(Location),
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    New,
    Replaced,
    /// What stands there is not what was expected.
    Nothing,
}

/// What a change of a slot came to.
pub(super) enum Change<'p> {
    /// It is made. The value that was there, and what the thread's lane owes now.
    Made(Option<&'p [u8]>, u64),
    /// What stands there is not what was expected.
    Unexpected,
    /// `clear` came between.
    Stale,
}

/// Why [`Store::publish`] did nothing.
enum Unfit {
    Unexpected,
    NoRoom,
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

/// An appended entry that gives its bytes back unless it is published.
pub(super) struct Unpublished<'p, S> {
    store: &'p Store<S>,
    generation: &'p Generation,
    appended: Option<Appended>,
    who: Who,
}

impl<S> Unpublished<'_, S> {
    /// Its value, as far as it was written.
    pub(super) fn value<'a>(&'a self, pin: &'a Pin) -> &'a [u8] {
        let appended = self.appended.as_ref();
        appended.map_or(&[], |appended| self.store.entry(appended.at, pin).value)
    }
}

impl<S> Drop for Unpublished<'_, S> {
    fn drop(&mut self) {
        if let Some(appended) = self
            .appended
            .filter(|_| !cfg!(planted_append_not_given_back))
        {
            self.generation
                .log
                .give_back(&self.store.pool, self.store, self.who, appended);
        }
    }
}

impl<S: BuildHasher> Store<S> {
    /// Stores an entry if its key is as expected. `old` sees the value that it replaced.
    #[inline]
    pub(crate) fn write(
        &self,
        key: &[u8],
        value: &[u8],
        expect: Expect,
        old: impl FnMut(&[u8]),
    ) -> Result<Wrote, Refusal> {
        self.write_hashed(self.hash(key), key, value, expect, old)
    }

    /// As [`Store::write`], where the hash is known.
    #[inline]
    pub(super) fn write_hashed(
        &self,
        hash: u64,
        key: &[u8],
        value: &[u8],
        expect: Expect,
        mut old: impl FnMut(&[u8]),
    ) -> Result<Wrote, Refusal> {
        let (wrote, owed) = self.relieved(|| {
            loop {
                let pin = self.pin();
                match self.try_write(&pin, hash, key, value, expect)? {
                    Change::Made(None, owed) => return Ok((Wrote::New, owed)),
                    Change::Made(Some(before), owed) => {
                        old(before);
                        return Ok((Wrote::Replaced, owed));
                    }
                    Change::Unexpected => return Ok((Wrote::Nothing, 0)),
                    Change::Stale => {}
                }
            }
        })?;
        if owed >= self.tuning.quantum {
            self.maintain(hash, false);
        }
        Ok(wrote)
    }

    #[inline]
    fn try_write<'p>(
        &'p self,
        pin: &'p Pin,
        hash: u64,
        key: &[u8],
        value: &[u8],
        expect: Expect,
    ) -> Result<Change<'p>, Refused> {
        // Where the answer is plain to see, nothing needs to be appended.
        let is_plain = match expect {
            Expect::Absent => self.get(key, pin).is_some(),
            Expect::Present => self.get(key, pin).is_none(),
            Expect::Anything | Expect::At(_) => false,
        };
        if is_plain {
            return Ok(Change::Unexpected);
        }
        let generation = self.generation_or_new(pin)?;
        let home = generation.index.home_of(&self.pool, pin, hash);
        home.prefetch(&self.pool);
        self.compact_meanwhile(generation, pin, home);
        let appended = self.append(generation, key, value.len());
        if cfg!(planted_failed_write_removes) && appended.is_err() {
            self.take(pin, generation, hash, key, Expect::Anything);
        }
        let (mut unpublished, at) = appended?;
        self.pool.arena().write_if_any(at, value);
        self.put_at(home, pin, hash, key, expect, &mut unpublished)
    }

    /// Appends an entry up to its value, which the caller writes at the offset that comes with it.
    #[inline]
    pub(super) fn append<'p>(
        &'p self,
        generation: &'p Generation,
        key: &[u8],
        value_len: usize,
    ) -> Result<(Unpublished<'p, S>, usize), Refused> {
        let who = Who::Writer;
        let (appended, value_at) = generation
            .log
            .append(&self.pool, self, who, key, value_len)?;
        let unpublished = Unpublished {
            store: self,
            generation,
            appended: Some(appended),
            who,
        };
        Ok((unpublished, value_at))
    }

    /// Publishes an appended entry; makes room for it where there is none.
    pub(super) fn put<'p>(
        &'p self,
        pin: &'p Pin,
        hash: u64,
        key: &[u8],
        expect: Expect,
        unpublished: &mut Unpublished<'p, S>,
    ) -> Result<Change<'p>, Refused> {
        let home = unpublished.generation.index.home_of(&self.pool, pin, hash);
        self.put_at(home, pin, hash, key, expect, unpublished)
    }

    /// As [`Store::put`], where the home of `hash` was looked up.
    #[inline]
    fn put_at<'p>(
        &'p self,
        mut home: Home<'p>,
        pin: &'p Pin,
        hash: u64,
        key: &[u8],
        expect: Expect,
        unpublished: &mut Unpublished<'p, S>,
    ) -> Result<Change<'p>, Refused> {
        let generation = unpublished.generation;
        let Some(appended) = unpublished.appended else {
            return Ok(Change::Stale);
        };
        interleave::point();
        let is_current = || self.generation.is(generation);
        let mut backoff = Backoff::new();
        let mut may_spill = false;
        loop {
            let index = &generation.index;
            let Some(locked) = index.lock(&self.pool, pin, hash, home, is_current) else {
                return Ok(Change::Stale);
            };
            let to = Some(appended.at);
            match self.publish(locked, pin, key, expect, to, &mut may_spill) {
                Ok(before) => {
                    interleave::point();
                    unpublished.appended = None;
                    return Ok(self.made(generation, pin, appended.bytes, before));
                }
                Err(Unfit::Unexpected) => return Ok(Change::Unexpected),
                Err(Unfit::NoRoom) if may_spill => {
                    self.with_context(pin, |context| {
                        generation.index.grow_spill(context, Who::Writer)
                    })?;
                }
                Err(Unfit::NoRoom) => match self
                    .with_context(pin, |context| generation.index.make_room(context, hash))?
                {
                    Made::Room => {}
                    Made::Busy => backoff.wait(),
                    Made::Spill => may_spill = true,
                },
            }
            home = index.home_of(&self.pool, pin, hash);
        }
    }

    /// Empties a key's slot. Needs no memory.
    pub(super) fn take<'p>(
        &'p self,
        pin: &'p Pin,
        generation: &'p Generation,
        hash: u64,
        key: &[u8],
        expect: Expect,
    ) -> Change<'p> {
        let is_current = || self.generation.is(generation);
        let index = &generation.index;
        let home = index.home_of(&self.pool, pin, hash);
        home.prefetch(&self.pool);
        self.compact_meanwhile(generation, pin, home);
        let Some(locked) = index.lock(&self.pool, pin, hash, home, is_current) else {
            return Change::Stale;
        };
        match self.publish(locked, pin, key, expect, None, &mut false) {
            Ok(before) => {
                interleave::point();
                self.made(generation, pin, 0, before)
            }
            Err(Unfit::Unexpected | Unfit::NoRoom) => Change::Unexpected,
        }
    }

    /// The one place where a key's slot changes, but for `Locked::repoint`: points it `to` an entry, or empties it, if it is as expected. Returns where
    /// it pointed before. Under the bucket's lock, which it ends.
    #[inline]
    fn publish(
        &self,
        mut locked: Locked<'_>,
        pin: &Pin,
        key: &[u8],
        expect: Expect,
        to: Option<Location>,
        may_spill: &mut bool,
    ) -> Result<Option<Location>, Unfit> {
        let second = || hash::second(key);
        let is_key = |at| Log::value_of(&self.pool, at, key, pin).is_some();
        let found = locked.find(second, |at| match expect {
            // By location, never by key: a newer value must not be undone, and a removed key not come back.
            Expect::At(seen) => at == seen || cfg!(planted_publish_by_key) && is_key(at),
            Expect::Anything | Expect::Absent | Expect::Present => is_key(at),
        });
        let looks = !cfg!(planted_no_look_under_lock);
        match (found, to) {
            (Some(_), _) if expect == Expect::Absent && looks => Err(Unfit::Unexpected),
            (Some(found), Some(to)) if looks || expect != Expect::Absent => {
                locked.replace(&found, to);
                Ok(Some(found.at()))
            }
            (Some(found), None) => {
                locked.remove(&found);
                Ok(Some(found.at()))
            }
            (_, Some(to)) if matches!(expect, Expect::Anything | Expect::Absent) => {
                let mut stored = locked.insert(to);
                let spills = *may_spill || locked.is_spilled() && !locked.tries_rebuild();
                if stored.is_err() && spills {
                    *may_spill = true;
                    stored = locked.insert_spilled(second(), to);
                }
                stored.map(|()| None).map_err(|NoRoom| Unfit::NoRoom)
            }
            _ => Err(Unfit::Unexpected),
        }
    }

    /// Accounts for a change: an entry of `bytes` is in the place of the one at `before`.
    #[inline]
    fn made<'p>(
        &'p self,
        generation: &Generation,
        pin: &'p Pin,
        bytes: usize,
        before: Option<Location>,
    ) -> Change<'p> {
        let log = &generation.log;
        let Some(at) = before else {
            return Change::Made(None, log.note(bytes, 0));
        };
        let entry = self.entry(at, pin);
        let owed = log.note(bytes, entry.bytes);
        if bytes == 0 || !cfg!(planted_overwrite_not_counted) {
            log.unlinked(&self.pool, self, at, entry.bytes);
        }
        Change::Made(Some(entry.value), owed)
    }

    /// Removes a key. `old` sees its value.
    pub(crate) fn remove<R>(&self, key: &[u8], old: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.remove_hashed(self.hash(key), key, old)
    }

    /// As [`Store::remove`], where the hash is known.
    pub(super) fn remove_hashed<R>(
        &self,
        hash: u64,
        key: &[u8],
        old: impl FnOnce(&[u8]) -> R,
    ) -> Option<R> {
        let pin = self.pin();
        let (value, owed) = loop {
            let generation = self.generation.load(&pin)?;
            match self.take(&pin, generation, hash, key, Expect::Anything) {
                Change::Made(value, owed) => break (value?, owed),
                Change::Unexpected => return None,
                Change::Stale => {}
            }
        };
        let result = old(value);
        drop(pin);
        if owed >= self.tuning.quantum {
            self.maintain(hash, true);
        }
        Some(result)
    }

    /// Copies an entry that a walk showed, if it is still in the index, and points its slot to the copy: the caller takes it off
    /// the chunk's count. `Ok(false)`: it was not there any more.
    pub(super) fn relocate(
        &self,
        generation: &Generation,
        pin: &Pin,
        hash: u64,
        home: Home<'_>,
        entry: &Head<'_>,
    ) -> Result<bool, Refused> {
        let from = entry.at;
        let index = &generation.index;
        // A look without the lock: those that are dead end here.
        let is_it = |at| (at == from).then_some(());
        let is_there = match home.glance() {
            Glance::Likely(at) if at == from => true,
            Glance::Absent => false,
            _ => {
                let second = || hash::second(entry.key);
                index.find(&self.pool, pin, hash, second, is_it).is_some()
            }
        };
        if !is_there {
            return Ok(false);
        }
        interleave::point();
        let len = if cfg!(planted_copy_past_end) {
            entry.bytes
        } else {
            entry.len
        };
        let appended = generation
            .log
            .append_copy(&self.pool, self, from, len, pin)?;
        let mut unpublished = Unpublished {
            store: self,
            generation,
            appended: Some(appended),
            who: Who::Compactor,
        };
        interleave::point();
        let is_current = || self.generation.is(generation);
        let Some(mut locked) = index.lock(&self.pool, pin, hash, home, is_current) else {
            return Ok(false);
        };
        if locked.repoint(from, appended.at) {
            drop(locked);
        } else {
            let (expect, to) = (Expect::At(from), Some(appended.at));
            let published = self.publish(locked, pin, entry.key, expect, to, &mut false);
            if published.is_err() {
                return Ok(false);
            }
        }
        unpublished.appended = None;
        Ok(true)
    }
}

// `Keeper` is what `Unpublished` needs of a store of any hasher.
const _: fn() = || {
    fn assert_keeper<K: Keeper>() {}
    assert_keeper::<Store<()>>();
};
