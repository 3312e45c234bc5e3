//! A locked bucket: where writers change the index.
//!
//! A writer locks the home bucket of its key with one read-modify-write. That it got the lock says that the table is current:
//! the buckets of one that was replaced stay locked for good. **Then it looks whether the generation is**, and starts over
//! with the one that replaced it; then it looks for its key, and its last act is one Release store (*Published-last*). It
//! takes no other lock meanwhile, and runs no foreign code. An overflow or spill slot that holds an entry is changed under
//! the lock of the entry's home bucket only; a free one is taken by compare-and-swap, since homes share lines.

use super::index::{Context, Home, Index};
use super::shape::SLOTS;
use super::slot::{self, Want};
use super::spill::SpillUse;
use super::table::{self, Table};
use crate::base::interleave;
use crate::base::sync::{AtomicU64, Backoff, Ordering};
use crate::memory::{Line, Location, Pin, Pool};

/// Of the new keys of a bucket that spilled, how many try first whether a rebuild makes room by now: those of hashes that are
/// too much alike, and others, which a deeper table would tell apart if the directory may grow.
const RETRY_ALIKE_ONE_IN: u64 = 64;
const RETRY_OTHERS_ONE_IN: u64 = 8;

/// See the file's head. Dropping it unlocks.
pub(crate) struct Locked<'p> {
    index: &'p Index,
    pool: &'p Pool,
    pin: &'p Pin,
    hash: u64,
    /// Only we change its line.
    home: Home<'p>,
}

/// An entry that was found under the lock.
#[derive(Clone, Copy)]
pub(crate) struct Found<'p> {
    slot: &'p AtomicU64,
    /// What it holds, flags included: only we change it.
    word: u64,
    /// It is in the home line.
    is_home: bool,
    /// It is in this spill table.
    spill: Option<SpillUse<'p>>,
}

impl Found<'_> {
    #[inline]
    pub(crate) fn at(&self) -> Location {
        Location::of_word(self.word).expect("an entry was found")
    }
}

impl Index {
    /// Locks the bucket of `hash`, which lately had its `home` there. `None` if `is_current` denies, asked under the lock.
    #[inline]
    pub(crate) fn lock<'p>(
        &'p self,
        pool: &'p Pool,
        pin: &'p Pin,
        hash: u64,
        home: Home<'p>,
        is_current: impl Fn() -> bool,
    ) -> Option<Locked<'p>> {
        let home = if home.try_lock() {
            home
        } else {
            self.wait(pool, pin, hash, home, &is_current)?
        };
        self.locked(pool, pin, hash, home, is_current)
    }

    /// As [`Index::lock`]; `None` as well where the bucket is held or frozen.
    #[inline(always)]
    pub(crate) fn try_lock<'p>(
        &'p self,
        pool: &'p Pool,
        pin: &'p Pin,
        hash: u64,
        home: Home<'p>,
        is_current: impl Fn() -> bool,
    ) -> Option<Locked<'p>> {
        if home.try_lock() {
            self.locked(pool, pin, hash, home, is_current)
        } else {
            None
        }
    }

    #[inline(always)]
    fn locked<'p>(
        &'p self,
        pool: &'p Pool,
        pin: &'p Pin,
        hash: u64,
        home: Home<'p>,
        is_current: impl Fn() -> bool,
    ) -> Option<Locked<'p>> {
        interleave::point();
        let locked = Locked {
            index: self,
            pool,
            pin,
            hash,
            home,
        };
        (is_current() || cfg!(planted_no_revalidation)).then_some(locked)
    }

    /// Waits for a bucket that is held by a writer, or frozen, until it is locked; `None` as soon as `is_current` denies.
    #[cold]
    #[inline(never)]
    fn wait<'p>(
        &'p self,
        pool: &'p Pool,
        pin: &'p Pin,
        hash: u64,
        mut home: Home<'p>,
        is_current: &impl Fn() -> bool,
    ) -> Option<Home<'p>> {
        let mut backoff = Backoff::new();
        while is_current() {
            home.table(pool, pin).assert_not_mine();
            backoff.wait();
            // Looking anew finds what replaced a frozen table.
            home = self.home_of(pool, pin, hash);
            if home.try_lock() {
                return Some(home);
            }
        }
        None
    }
}

impl Home<'_> {
    #[inline(always)]
    fn try_lock(&self) -> bool {
        let word = &self.line[0];
        let first = word.load(Ordering::Relaxed);
        interleave::point();
        first & slot::LOCK == 0 && {
            let locked = first | slot::LOCK;
            // Acquire: pairs with the Release in `Locked::drop`: the bucket is as its last writer left it.
            word.compare_exchange(first, locked, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        }
    }
}

impl<'p> Locked<'p> {
    /// The entry that `ask` knows, and what it answers.
    #[inline(always)]
    pub(crate) fn find<R>(
        &self,
        second: impl FnOnce() -> u64,
        mut ask: impl FnMut(Location) -> Option<R>,
    ) -> Option<(Found<'p>, R)> {
        let mut matches = table::matching(self.home.line, Want::primary(self.home.spread.window));
        while matches != 0 {
            let n = matches.trailing_zeros() as usize;
            matches &= matches - 1;
            let word = self.word(n);
            if let Some(answer) = Location::of_word(word).and_then(&mut ask) {
                let found = Found {
                    slot: &self.home.line[n],
                    word,
                    is_home: true,
                    spill: None,
                };
                return Some((found, answer));
            }
        }
        let flags = self.word(1 + self.class()) & slot::FLAGS;
        if flags | self.word(0) & slot::SPILL == 0 {
            return None;
        }
        self.find_beyond(flags, second, ask)
    }

    fn table(&self) -> Table<'p> {
        self.home.table(self.pool, self.pin)
    }

    /// A word of the home line.
    #[inline]
    fn word(&self, n: usize) -> u64 {
        // Relaxed: under the lock.
        self.home.line[n].load(Ordering::Relaxed)
    }

    #[cold]
    fn find_beyond<R>(
        &self,
        flags: u64,
        second: impl FnOnce() -> u64,
        mut ask: impl FnMut(Location) -> Option<R>,
    ) -> Option<(Found<'p>, R)> {
        let want = Want::overflow(self.home.spread.bucket, self.home.spread.window);
        for (line, flag) in self.lines() {
            if flags & flag == 0 {
                continue;
            }
            for slot in line {
                // Acquire: pairs with the Release of the slot's store; the home of others' entries is not ours.
                let word = slot.load(Ordering::Acquire);
                let at = Location::of_word(word).filter(|_| want.matches(word));
                if let Some(answer) = at.and_then(&mut ask) {
                    let found = Found {
                        slot,
                        word,
                        is_home: false,
                        spill: None,
                    };
                    return Some((found, answer));
                }
            }
        }
        if self.word(0) & slot::SPILL == 0 || !self.index.spill.may_have(self.hash) {
            return None;
        }
        let mut answer = None;
        let is_it = |at| {
            answer = ask(at);
            answer.is_some()
        };
        let spill = &self.index.spill;
        let (user, slot, word) = spill.find(self.pool, self.pin, second(), is_it, || ())?;
        let found = Found {
            slot,
            word,
            is_home: false,
            spill: Some(user),
        };
        Some((found, answer?))
    }

    fn class(&self) -> usize {
        slot::class_of(self.home.spread.window)
    }

    fn lines(&self) -> impl Iterator<Item = (&'p Line, u64)> + use<'p> {
        let table = self.table();
        let numbers = table.choices(self.home.spread.bucket, self.class());
        numbers
            .into_iter()
            .zip([slot::LINE_A, slot::LINE_B])
            .filter_map(move |(number, flag)| Some((table.overflow(number?), flag)))
    }

    fn store_home(&mut self, n: usize, word: u64) {
        // Release: pairs with the Acquire of readers (Published-last).
        self.home.line[n].store(word, publish_order());
    }

    /// Points the entry's slot elsewhere: replaced, or moved.
    #[inline]
    pub(crate) fn replace(&mut self, found: &Found<'p>, at: Location) {
        // Release: pairs with the Acquire of readers (Published-last).
        let word = slot::relocated(found.word, at);
        found.slot.store(word, publish_order());
    }

    /// Empties the entry's slot.
    #[inline]
    pub(crate) fn remove(&mut self, found: &Found<'p>) {
        if found.is_home {
            // Release: as in `replace`.
            found.slot.store(found.word & slot::FLAGS, publish_order());
        } else {
            self.remove_beyond(found);
        }
    }

    #[cold]
    fn remove_beyond(&mut self, found: &Found<'p>) {
        // Release: whoever takes the slot next comes after us.
        found.slot.store(0, Ordering::Release);
        interleave::point();
        match found.spill {
            Some(user) => self.index.spill.leave(user, self.hash),
            None => self.refresh_filter(slot::class_of_overflow(found.word)),
        }
    }

    /// Clears the class's flags whose lines hold no entry of this home and class any more: filters do not rot.
    fn refresh_filter(&mut self, class: usize) {
        let bucket = self.home.spread.bucket;
        let table = self.table();
        let numbers = table.choices(bucket, class);
        let mut word = self.word(1 + class) & !slot::FLAGS;
        for (number, flag) in numbers.into_iter().zip([slot::LINE_A, slot::LINE_B]) {
            let Some(number) = number else { continue };
            let is_ours = |slot: &AtomicU64| {
                // Relaxed: entries of our home change under our lock only.
                let word = slot.load(Ordering::Relaxed);
                slot::is_entry(word)
                    && slot::home_of(word) == bucket
                    && slot::class_of_overflow(word) == class
            };
            if table.overflow(number).iter().any(is_ours) {
                word |= flag;
            }
        }
        self.store_home(1 + class, word);
    }

    /// Stores a new entry in the bucket's own line or an overflow line. `false`: no slot is free; rebuild, or spill.
    #[inline]
    pub(crate) fn insert(&mut self, at: Location) -> bool {
        let word = Want::primary(self.home.spread.window).word(at);
        for n in 0..SLOTS {
            let old = self.word(n);
            if Location::of_word(old).is_none() {
                self.store_home(n, old & slot::FLAGS | word);
                return true;
            }
        }
        self.insert_overflow(at)
    }

    #[cold]
    fn insert_overflow(&mut self, at: Location) -> bool {
        let class = self.class();
        let word = Want::overflow(self.home.spread.bucket, self.home.spread.window).word(at);
        let table = self.table();
        while let Some((line, flag)) = table.roomier(self.home.spread.bucket, class) {
            for slot in line {
                // Relaxed: taken, but empty to all who look, until the store below.
                if slot.load(Ordering::Relaxed) == 0
                    && (slot
                        .compare_exchange(0, slot::TAKEN, Ordering::Relaxed, Ordering::Relaxed)
                        .is_ok()
                        || cfg!(planted_slot_not_taken))
                {
                    // The flag first: a reader that saw it in the time of an earlier entry would find this one before others do.
                    if cfg!(planted_flag_after_slot) {
                        slot.store(word, publish_order());
                    }
                    if !cfg!(planted_no_filter) {
                        self.store_home(1 + class, self.word(1 + class) | flag);
                    }
                    interleave::point();
                    // Release: pairs with the Acquire of readers (Published-last).
                    slot.store(word, publish_order());
                    return true;
                }
            }
        }
        false
    }

    /// Whether keys of this bucket went to the spill tables: then they do so at once, without another rebuild.
    pub(crate) fn is_spilled(&self) -> bool {
        self.word(0) & slot::SPILL != 0
    }

    /// A bucket that spilled once goes on doing so, but that now and then a new key tries first whether a rebuild makes room.
    pub(crate) fn tries_rebuild(&self) -> bool {
        let one_in = if table::is_divisible(self.home.line, self.home.spread.window) {
            RETRY_OTHERS_ONE_IN
        } else {
            RETRY_ALIKE_ONE_IN
        };
        // Relaxed: any count will do that goes on.
        self.index.counters.spills.load(Ordering::Relaxed) % one_in == 0
    }

    /// Stores a new entry in the spill tables. `false`: they have no room.
    pub(crate) fn insert_spilled(&mut self, second: u64, at: Location) -> bool {
        // The flag first: as in `insert_overflow`. That it may say too much is no harm.
        if !cfg!(planted_no_spill_flag) {
            self.store_home(0, self.word(0) | slot::SPILL);
        }
        interleave::point();
        let hashes = (self.hash, second);
        if !self.index.spill.insert(self.pool, self.pin, hashes, at) {
            return false;
        }
        // Release: pairs with the Acquire in `Index::replace`.
        self.index.counters.spills.fetch_add(1, Ordering::Release);
        true
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `Home::try_lock` and `Table::freeze`.
        self.home.line[0].store(self.word(0) & !slot::LOCK, Ordering::Release);
    }
}

#[cfg(not(planted_relaxed_publication))]
const fn publish_order() -> Ordering {
    Ordering::Release // pairs with the Acquire of readers
}

#[cfg(planted_relaxed_publication)]
const fn publish_order() -> Ordering {
    Ordering::Relaxed
}

/// What the caller of [`super::rebuild`] needs of a context, spelled once.
pub(super) fn rehash_all<K>(context: &Context<'_, K>, words: &[u64], hashes: &mut [u64]) {
    const AHEAD: usize = 16;
    for (n, hash) in hashes.iter_mut().enumerate() {
        if let Some(at) = words.get(n + AHEAD).copied().and_then(Location::of_word) {
            context.pool.arena().prefetch(at);
        }
        if let Some(at) = Location::of_word(words[n]) {
            *hash = (context.rehash)(at);
        }
    }
}
