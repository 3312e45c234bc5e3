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
use super::walks::Next;
use crate::base::hash;
use crate::base::interleave;
use crate::base::sync::Backoff;
use crate::index::{Glance, Locked, Made};
use crate::log::{Appended, Keeper, Log, entry_bytes};
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
    /// It is made. The value that was there, and what the lane at hand owes now.
    Made(Option<&'p [u8]>, u64),
    /// What stands there is not what was expected.
    Unexpected,
    /// `clear` came between.
    Stale,
}

impl Change<'_> {
    /// What it is to a plain write, and what is owed. `None`: once more.
    #[inline(always)]
    fn wrote(self, old: &mut impl FnMut(&[u8])) -> Option<(Wrote, u64)> {
        match self {
            Self::Made(None, owed) => Some((Wrote::New, owed)),
            Self::Made(Some(before), owed) => {
                old(before);
                Some((Wrote::Replaced, owed))
            }
            Self::Unexpected => Some((Wrote::Nothing, 0)),
            Self::Stale => None,
        }
    }
}

/// Where an entry was, and its value.
type Before<'p> = (Location, &'p [u8]);

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

impl<'p, S> Unpublished<'p, S> {
    #[inline]
    fn of(store: &'p Store<S>, generation: &'p Generation, who: Who, appended: Appended) -> Self {
        Self {
            store,
            generation,
            appended: Some(appended),
            who,
        }
    }

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
        let (wrote, owed) = match self.write_quick(hash, key, value, expect, &mut old) {
            Some(done) => done,
            None => self.write_slow(hash, key, value, expect, old)?,
        };
        if owed >= self.tuning.quantum {
            self.maintain(hash, false, wrote == Wrote::Replaced);
        }
        Ok(wrote)
    }

    /// The way that most writes take: straight, so that everything stays in registers. `None`: nothing is stored, and it takes
    /// more. Returns what is owed as well.
    #[inline(always)]
    fn write_quick(
        &self,
        hash: u64,
        key: &[u8],
        value: &[u8],
        expect: Expect,
        old: &mut impl FnMut(&[u8]),
    ) -> Option<(Wrote, u64)> {
        let pin = self.pin();
        if self.is_plain(hash, key, expect, &pin) {
            return Some((Wrote::Nothing, 0));
        }
        let generation = self.generation.load(&pin)?;
        let home = generation.index.home(&self.pool, &pin, hash)?;
        home.prefetch_to_lock();
        self.compact_meanwhile(generation, &pin, home);
        let (appended, at) = generation
            .log
            .append_quick(&self.pool, key, value.len(), &pin)?;
        let mut unpublished = Unpublished::of(self, generation, Who::Writer, appended);
        self.pool.arena().write_if_any(at, value);
        interleave::point();
        let is_current = || self.generation.is(generation);
        let index = &generation.index;
        if let Some(locked) = index.try_lock(&self.pool, &pin, hash, home, is_current) {
            let to = Some(appended.at);
            match self.publish(locked, &pin, key, expect, to, &mut false) {
                Ok(before) => {
                    interleave::point();
                    unpublished.appended = None;
                    return self
                        .made(&pin, generation, key.len(), appended.bytes, before)
                        .wrote(old);
                }
                Err(Unfit::Unexpected) => return Some((Wrote::Nothing, 0)),
                Err(Unfit::NoRoom) => {}
            }
        }
        // Held, frozen, full, or cleared.
        let change = self.put(&pin, hash, key, expect, &mut unpublished);
        change.ok()?.wrote(old)
    }

    #[cold]
    #[inline(never)]
    fn write_slow(
        &self,
        hash: u64,
        key: &[u8],
        value: &[u8],
        expect: Expect,
        mut old: impl FnMut(&[u8]),
    ) -> Result<(Wrote, u64), Refusal> {
        self.relieved(|| {
            loop {
                let pin = self.pin();
                let change = self.try_write(&pin, hash, key, value, expect)?;
                if let Some(done) = change.wrote(&mut old) {
                    return Ok(done);
                }
            }
        })
    }

    /// Whether it is plain to see that nothing is to be done, so that nothing needs to be appended.
    #[inline(always)]
    fn is_plain(&self, hash: u64, key: &[u8], expect: Expect, pin: &Pin) -> bool {
        match expect {
            Expect::Absent => self.get_hashed(hash, key, pin).is_some(),
            Expect::Present => self.get_hashed(hash, key, pin).is_none(),
            Expect::Anything | Expect::At(_) => false,
        }
    }

    fn try_write<'p>(
        &'p self,
        pin: &'p Pin,
        hash: u64,
        key: &[u8],
        value: &[u8],
        expect: Expect,
    ) -> Result<Change<'p>, Refused> {
        if self.is_plain(hash, key, expect, pin) {
            return Ok(Change::Unexpected);
        }
        let generation = self.generation_or_new(pin)?;
        let appended = self.append(generation, pin, key, value.len());
        if cfg!(planted_failed_write_removes) && appended.is_err() {
            self.take(pin, generation, hash, key, Expect::Anything);
        }
        let (mut unpublished, at) = appended?;
        self.pool.arena().write_if_any(at, value);
        self.put(pin, hash, key, expect, &mut unpublished)
    }

    /// Appends an entry up to its value, which the caller writes at the offset that comes with it.
    pub(super) fn append<'p>(
        &'p self,
        generation: &'p Generation,
        pin: &Pin,
        key: &[u8],
        value_len: usize,
    ) -> Result<(Unpublished<'p, S>, usize), Refused> {
        let (appended, value_at) = generation
            .log
            .append(&self.pool, self, key, value_len, pin)?;
        let who = Who::Writer;
        Ok((Unpublished::of(self, generation, who, appended), value_at))
    }

    /// Publishes an appended entry; makes room for it where there is none.
    #[inline(never)]
    pub(super) fn put<'p>(
        &'p self,
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
        let index = &generation.index;
        let is_current = || self.generation.is(generation);
        let mut backoff = Backoff::new();
        let mut may_spill = false;
        loop {
            let home = index.home_of(&self.pool, pin, hash);
            interleave::point();
            let Some(locked) = index.lock(&self.pool, pin, hash, home, is_current) else {
                return Ok(Change::Stale);
            };
            let to = Some(appended.at);
            match self.publish(locked, pin, key, expect, to, &mut may_spill) {
                Ok(before) => {
                    interleave::point();
                    unpublished.appended = None;
                    return Ok(self.made(pin, generation, key.len(), appended.bytes, before));
                }
                Err(Unfit::Unexpected) => return Ok(Change::Unexpected),
                Err(Unfit::NoRoom) if may_spill => {
                    self.with_context(pin, |context| index.grow_spill(context, Who::Writer))?;
                }
                Err(Unfit::NoRoom) => {
                    match self.with_context(pin, |context| index.make_room(context, hash))? {
                        Made::Room => {}
                        Made::Busy => backoff.wait(),
                        Made::Spill => may_spill = true,
                    }
                }
            }
        }
    }

    /// Empties a key's slot. Needs no memory.
    #[inline(always)]
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
        home.prefetch_to_lock();
        self.compact_meanwhile(generation, pin, home);
        let Some(locked) = index.lock(&self.pool, pin, hash, home, is_current) else {
            return Change::Stale;
        };
        match self.publish(locked, pin, key, expect, None, &mut false) {
            Ok(before) => {
                interleave::point();
                self.made(pin, generation, key.len(), 0, before)
            }
            Err(Unfit::Unexpected | Unfit::NoRoom) => Change::Unexpected,
        }
    }

    /// The one place where a key's slot changes, but for a relocation: points it `to` an entry, or empties it, if it is as
    /// expected. Returns where it pointed before, and the value there. Under the bucket's lock, which it ends.
    #[inline(always)]
    fn publish<'p>(
        &'p self,
        mut locked: Locked<'_>,
        pin: &'p Pin,
        key: &[u8],
        expect: Expect,
        to: Option<Location>,
        may_spill: &mut bool,
    ) -> Result<Option<Before<'p>>, Unfit> {
        let second = || hash::second(key);
        let found = locked.find(second, |at| match expect {
            // By location, never by key: a newer value must not be undone, and a removed key not come back.
            Expect::At(seen) if at != seen && !cfg!(planted_publish_by_key) => None,
            _ => Log::value_of(&self.pool, at, key, pin),
        });
        let is_wanted = |_: &_| expect != Expect::Absent || !cfg!(planted_no_look_under_lock);
        if let Some((found, value)) = found.filter(is_wanted) {
            match to {
                _ if expect == Expect::Absent => return Err(Unfit::Unexpected),
                Some(to) => locked.replace(&found, to),
                None => locked.remove(&found),
            }
            return Ok(Some((found.at(), value)));
        }
        let is_new = matches!(expect, Expect::Anything | Expect::Absent);
        let Some(to) = to.filter(|_| is_new) else {
            return Err(Unfit::Unexpected);
        };
        if locked.insert(to) {
            return Ok(None);
        }
        *may_spill |= locked.is_spilled() && !locked.tries_rebuild();
        if *may_spill && locked.insert_spilled(second(), to) {
            return Ok(None);
        }
        Err(Unfit::NoRoom)
    }

    /// Accounts for a change: an entry of `bytes` is in the place of the one `before`.
    #[inline(always)]
    fn made<'p>(
        &'p self,
        pin: &Pin,
        generation: &Generation,
        key_len: usize,
        bytes: usize,
        before: Option<Before<'p>>,
    ) -> Change<'p> {
        let log = &generation.log;
        let Some((at, value)) = before else {
            return Change::Made(None, log.note_new(bytes));
        };
        let old = (at, entry_bytes(key_len, value.len()));
        let owed = log.note_unlinked(&self.pool, self, bytes, old, pin);
        Change::Made(Some(value), owed)
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
            self.maintain(hash, true, true);
        }
        Some(result)
    }

    /// Copies an entry that a walk showed, if it is still in the index, and points its slot to the copy: the caller takes it off
    /// the chunk's count. `Ok(false)`: it was not there any more.
    #[inline]
    pub(super) fn relocate(
        &self,
        generation: &Generation,
        pin: &Pin,
        next: &Next,
    ) -> Result<bool, Refused> {
        let Next { at: from, hash, .. } = *next;
        let index = &generation.index;
        let home = index.home_of(&self.pool, pin, hash);
        let key = || Log::shown(&self.pool, from, pin).key;
        let second = || hash::second(key());
        // By location: see `publish`.
        let is_it = |at| (at == from).then_some(());
        // A look without the lock: those that are dead end here.
        let is_there = match home.look(&self.pool, pin) {
            Glance::Likely(at) if at == from => true,
            Glance::Absent => false,
            _ => index.find(&self.pool, pin, hash, second, is_it).is_some(),
        };
        if !is_there {
            return Ok(false);
        }
        interleave::point();
        let len = if cfg!(planted_copy_past_end) {
            next.bytes
        } else {
            next.len
        };
        let log = &generation.log;
        let appended = log.append_copy(&self.pool, self, from, len as usize, pin)?;
        let who = Who::Compactor;
        let mut unpublished = Unpublished::of(self, generation, who, appended);
        interleave::point();
        let is_current = || self.generation.is(generation);
        let Some(mut locked) = index.lock(&self.pool, pin, hash, home, is_current) else {
            return Ok(false);
        };
        let found = locked.find(second, |at| {
            let is_key = || Log::value_of(&self.pool, at, key(), pin).is_some();
            is_it(at).or_else(|| (cfg!(planted_publish_by_key) && is_key()).then_some(()))
        });
        if let Some((found, ())) = &found {
            locked.replace(found, appended.at);
            unpublished.appended = None;
        }
        Ok(found.is_some())
    }
}

// `Keeper` is what `Unpublished` needs of a store of any hasher.
const _: fn() = || {
    fn assert_keeper<K: Keeper>() {}
    assert_keeper::<Store<()>>();
};
