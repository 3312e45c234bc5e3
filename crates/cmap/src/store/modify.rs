//! Read-modify-write: look at a key without a lock, compute, and publish against what was seen.
//!
//! ```text
//! pin -> look: location and value -> compute (foreign code, no lock) -> append -> publish if the slot holds that location
//!   ^                                                                                      |
//!   '---------------------------- replaced, removed, or cleared meanwhile -----------------'
//! ```
//! An entry never changes, and its location is not used again before the pin ends: a slot that still holds the location holds
//! the value that was computed from. Where it holds another one, a second look tells an entry that compaction moved, whose
//! value is the same, from one that was replaced.

use core::hash::BuildHasher;

use super::generation::Generation;
use super::store::Store;
use super::write::{Change, Expect, Refusal};
use crate::base::hash;
use crate::base::interleave;
use crate::log::{Entry, Log};
use crate::memory::{Location, Pin, Refused};

/// What a call owes to maintenance when it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owed {
    bytes: u64,
    is_removal: bool,
}

impl Owed {
    pub(crate) const NOTHING: Self = Self {
        bytes: 0,
        is_removal: false,
    };
}

/// What a key held when it was looked at, and the ways to change that.
pub(crate) struct Seen<'p, S> {
    store: &'p Store<S>,
    pin: &'p Pin,
    generation: Option<&'p Generation>,
    /// `None`: nobody has asked yet.
    hash: Option<u64>,
    key: &'p [u8],
    entry: Option<(Location, &'p [u8])>,
}

impl<'p, S: BuildHasher> Seen<'p, S> {
    /// Its value. It stays as it is, whatever others do.
    pub(crate) fn value(&self) -> Option<&'p [u8]> {
        self.entry.map(|(_, value)| value)
    }

    fn hash(&self) -> u64 {
        self.hash.unwrap_or_else(|| self.store.hash(self.key))
    }

    /// Where its entry lies, and the value.
    pub(super) fn place(&self) -> Option<(Location, &'p [u8])> {
        self.entry
    }

    /// Key and value, of an entry that is shown.
    pub(crate) fn pair(&self) -> (&'p [u8], &'p [u8]) {
        (self.key, self.value().unwrap_or_default())
    }

    fn expect(&self) -> Expect {
        match self.entry {
            _ if cfg!(planted_modify_blind) => Expect::Anything,
            Some((at, _)) => Expect::At(at),
            None => Expect::Absent,
        }
    }

    /// Stores `parts`, one after another, in place of what was seen. `None`: that has changed.
    pub(crate) fn put(&self, parts: &[&[u8]]) -> Result<Option<Owed>, Refused> {
        let generation = match self.generation {
            Some(generation) => generation,
            None => self.store.generation_or_new(self.pin)?,
        };
        let len = parts.iter().map(|part| part.len()).sum();
        let (mut unpublished, mut at) = self.store.append(generation, self.pin, self.key, len)?;
        for part in parts {
            self.store.pool.arena().write_if_any(at, part);
            at += part.len();
        }
        let mut expect = self.expect();
        loop {
            let (hash, key) = (self.hash(), self.key);
            match self
                .store
                .put(self.pin, hash, key, expect, &mut unpublished)?
            {
                Change::Made(_, bytes) => {
                    let is_removal = false;
                    return Ok(Some(Owed { bytes, is_removal }));
                }
                Change::Unexpected | Change::Stale => match self.moved() {
                    Some(at) => expect = Expect::At(at),
                    None => return Ok(None),
                },
            }
        }
    }

    /// Removes what was seen. `None`: that has changed.
    pub(crate) fn remove(&self) -> Option<Owed> {
        let (Some(generation), Some(_)) = (self.generation, self.entry) else {
            return Some(Owed::NOTHING);
        };
        let mut expect = self.expect();
        loop {
            let (hash, key) = (self.hash(), self.key);
            match self.store.take(self.pin, generation, hash, key, expect) {
                Change::Made(_, bytes) => {
                    let is_removal = true;
                    return Some(Owed { bytes, is_removal });
                }
                Change::Unexpected | Change::Stale => expect = Expect::At(self.moved()?),
            }
        }
    }

    /// Where the entry is now, if it was only moved: the same value stands elsewhere.
    #[cold]
    fn moved(&self) -> Option<Location> {
        let now = self.store.look(self.hash(), self.key, self.pin);
        let is_same = match (self.generation, now.generation) {
            (Some(before), Some(now)) => core::ptr::eq(before, now),
            _ => false,
        };
        let (at, value) = now.entry.filter(|_| is_same)?;
        (value == self.value()?).then_some(at)
    }
}

impl<S: BuildHasher> Store<S> {
    /// Shows `f` what a key holds, under a fresh pin each time, until it has an answer.
    pub(crate) fn modify<T>(
        &self,
        key: &[u8],
        mut f: impl FnMut(&Seen<'_, S>) -> Result<Option<(T, Owed)>, Refused>,
    ) -> Result<T, Refusal> {
        let hash = self.hash(key);
        let (done, owed) = self.relieved(|| self.look_until(hash, key, &mut f))?;
        self.pay(hash, owed);
        Ok(done)
    }

    /// As [`Store::modify`], of what needs no memory.
    pub(crate) fn modify_surely<T>(
        &self,
        key: &[u8],
        mut f: impl FnMut(&Seen<'_, S>) -> Option<(T, Owed)>,
    ) -> T {
        let hash = self.hash(key);
        let looked = self.look_until::<_, core::convert::Infallible>(hash, key, |seen| Ok(f(seen)));
        match looked {
            Ok((done, owed)) => {
                self.pay(hash, owed);
                done
            }
        }
    }

    fn look_until<T, E>(
        &self,
        hash: u64,
        key: &[u8],
        mut f: impl FnMut(&Seen<'_, S>) -> Result<Option<(T, Owed)>, E>,
    ) -> Result<(T, Owed), E> {
        loop {
            // A fresh pin for each try: a key that changes all the time must not hold up memory.
            let pin = self.pin();
            interleave::point();
            if let Some(done) = f(&self.look(hash, key, &pin))? {
                return Ok(done);
            }
        }
    }

    pub(super) fn look<'p>(&'p self, hash: u64, key: &'p [u8], pin: &'p Pin) -> Seen<'p, S> {
        let generation = self.generation.load(pin);
        let entry = generation.and_then(|generation| {
            let ask = |at| Some((at, Log::value_of(&self.pool, at, key, pin)?));
            let second = || hash::second(key);
            generation.index.find(&self.pool, pin, hash, second, ask)
        });
        Seen {
            store: self,
            pin,
            generation,
            hash: Some(hash),
            key,
            entry,
        }
    }

    /// An entry that a scan met.
    pub(super) fn seen<'p>(
        &'p self,
        generation: &'p Generation,
        pin: &'p Pin,
        at: Location,
        entry: Entry<'p>,
    ) -> Seen<'p, S> {
        Seen {
            store: self,
            pin,
            generation: Some(generation),
            hash: None,
            key: entry.key,
            entry: Some((at, entry.value)),
        }
    }

    /// Does what is owed for a call at `hash`. Under no pin of the call's own.
    pub(crate) fn pay(&self, hash: u64, owed: Owed) {
        if owed.bytes >= self.tuning.quantum {
            self.maintain(hash, owed.is_removal, true);
        }
    }

    /// Stores an entry of `len` bytes of value, zeros at first, which `fill` writes where they are to stay. Returns whether it
    /// replaced one.
    pub(crate) fn write_with(
        &self,
        key: &[u8],
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<bool, Refusal> {
        let hash = self.hash(key);
        let mut fill = Some(fill);
        // What `fill` wrote, if it must be written once more.
        let mut kept = Vec::new();
        let (has_replaced, owed) = self.relieved(|| {
            loop {
                let pin = self.pin();
                let generation = self.generation_or_new(&pin)?;
                let (mut unpublished, at) = self.append(generation, &pin, key, len)?;
                match fill.take() {
                    Some(fill) => self.pool.arena().fill(at, len, fill),
                    None => self.pool.arena().write_if_any(at, &kept),
                }
                let expect = Expect::Anything;
                let change = self.put(&pin, hash, key, expect, &mut unpublished);
                if let Ok(Change::Made(before, owed)) = change {
                    return Ok((before.is_some(), owed));
                }
                // Once more, then, with a copy: what was appended goes back.
                if kept.len() < len {
                    let written = unpublished.value(&pin);
                    let none = |_| Refused::System { bytes: len };
                    kept.try_reserve_exact(len).map_err(none)?;
                    kept.extend_from_slice(written);
                }
                change?;
            }
        })?;
        let is_removal = false;
        self.pay(
            hash,
            Owed {
                bytes: owed,
                is_removal,
            },
        );
        Ok(has_replaced)
    }
}
