//! The index of one generation: finding, walking in hash order, and what it needs from its surroundings.
//!
//! **Readers** take no lock, meet no version and never retry: a hit proves itself, since the key is compared and an entry
//! never changes; a miss is right because of *Stable-slot*: had the key been there all along, the scan would have met it.
//! A table that was replaced meanwhile is frozen, and shows what was true at its freezing, after the reader had begun.

use core::ops::RangeInclusive;

use super::collect::Buckets;
use super::directory::Directory;
use super::shape::{Geometry, SLOTS, Spread};
use super::slot::{self, Want};
use super::spill::Spill;
use super::table::{self, Table, TableRef};
use crate::base::interleave;
use crate::base::sync::{AtomicU64, AtomicUsize, Mutex, Ordering};
use crate::memory::{Line, Location, Pin, Pool, Refused, Shared, Unlinked, Who};

/// Who keeps what the index unlinks, until no pin sees it.
pub(crate) trait IndexKeeper {
    fn promise(&self) -> Result<(), Refused>;
    fn unpromise(&self);
    fn retire_table(&self, table: TableRef);
    fn retire_directory(&self, directory: Unlinked<Directory>);
}

/// What an operation on the index works with.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a, K> {
    pub(crate) pool: &'a Pool,
    pub(crate) pin: &'a Pin,
    pub(crate) keeper: &'a K,
    /// The hash of the entry at a location. Foreign code: it may panic or lie.
    pub(crate) rehash: &'a dyn Fn(Location) -> u64,
    /// The second hash of its key: our own.
    pub(crate) second: &'a dyn Fn(Location) -> u64,
}

/// How often what happened, for `stats`.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) splits: AtomicU64,
    pub(crate) merges: AtomicU64,
    pub(crate) rebuilds: AtomicU64,
    pub(crate) spills: AtomicU64,
}

/// What a first look at a hash shows.
#[derive(Clone, Copy)]
pub(crate) enum Glance {
    /// No key has this hash.
    Absent,
    /// If a key has it, then probably the one here, if this is not nowhere.
    Likely(Location),
    /// The home line has nothing: [`Home::glance_overflow`] may tell.
    Beyond,
    /// It takes a closer look.
    Unsure,
}

/// Whether keys of this home and window may be in overflow lines or spill tables.
#[inline(always)]
fn may_be_beyond(home: &Line, window: u64) -> bool {
    // Relaxed, both: they say where else to look, not what is there.
    let filter = home[1 + slot::class_of(window)].load(Ordering::Relaxed) & slot::FLAGS;
    filter | home[0].load(Ordering::Relaxed) & slot::SPILL != 0
}

/// The home line of a hash, and what its slot would look like.
#[derive(Clone, Copy)]
pub(crate) struct Home<'p> {
    pub(super) entry: TableRef,
    hash: u64,
    pub(super) spread: Spread,
    pub(super) line: &'p Line,
}

/// What `ask` answers about the entry that it knows, among those of a line that look as wanted.
#[inline]
fn among<R>(line: &Line, want: Want, ask: impl Fn(Location) -> Option<R>) -> Option<R> {
    // Branch-free over all eight, then one look again at what matches: which one it is cannot be predicted.
    let mut matches = table::matching(line, want);
    interleave::point();
    while matches != 0 {
        // Acquire: pairs with the Release of the slot's store (Published-last).
        let word = line[matches.trailing_zeros() as usize].load(Ordering::Acquire);
        matches &= matches - 1;
        // No longer a match: then the key was absent at this instant.
        if let Some(at) = Location::of_word(word).filter(|_| want.matches(word)) {
            let answer = ask(at);
            if answer.is_some() {
                return answer;
            }
        }
    }
    None
}

impl<'p> Home<'p> {
    #[inline(always)]
    pub(crate) fn glance(&self) -> Glance {
        let line = self.line;
        if let Some(slot) = self.entry.first_match(line, self.hash) {
            // Acquire: pairs with the Release of the slot's store (Published-last). It may show another entry by now, or
            // none: the key tells.
            return Glance::Likely(Location::of_slot(line[slot].load(Ordering::Acquire)));
        }
        if may_be_beyond(line, self.spread.window) {
            Glance::Beyond
        } else {
            Glance::Absent
        }
    }

    /// As [`Home::glance`], and what the overflow lines show, where one hit in ten lies.
    #[inline(always)]
    pub(crate) fn look(&self, pool: &'p Pool, pin: &'p Pin) -> Glance {
        match self.glance() {
            // Going on takes a third of the instructions of starting again with `find`.
            Glance::Beyond => self.glance_overflow(pool, pin),
            glance => glance,
        }
    }

    /// Asks the processor for the line.
    #[inline(always)]
    pub(crate) fn prefetch(&self, pool: &Pool) {
        pool.arena().prefetch_line(self.line);
    }

    /// The same, for one who is about to lock it.
    #[inline(always)]
    pub(crate) fn prefetch_to_lock(&self) {
        table::prefetch_to_write(self.line);
    }

    pub(super) fn table(&self, pool: &'p Pool, pin: &'p Pin) -> Table<'p> {
        Table::of(self.entry, pool, pin)
    }

    /// The overflow lines that may have more of this home.
    fn overflow(&self, pool: &'p Pool, pin: &'p Pin) -> impl Iterator<Item = &'p Line> {
        let table = self.table(pool, pin);
        let class = slot::class_of(self.spread.window);
        // Relaxed: it says where else to look, not what is there.
        let filter = self.line[1 + class].load(Ordering::Relaxed);
        let lines = table.choices(self.spread.bucket, class);
        let named = lines
            .into_iter()
            .zip([slot::LINE_A, slot::LINE_B])
            .filter(move |(_, flag)| filter & flag != 0);
        named.filter_map(move |(number, _)| Some(table.overflow(number?)))
    }

    pub(crate) fn prefetch_overflow(&self, pool: &'p Pool, pin: &'p Pin) {
        for line in self.overflow(pool, pin) {
            pool.arena().prefetch_line(line);
        }
    }

    /// What the overflow lines show, where [`Home::glance`] says `Beyond`.
    #[inline(always)]
    pub(crate) fn glance_overflow(&self, pool: &'p Pool, pin: &'p Pin) -> Glance {
        interleave::point();
        let class = slot::class_of(self.spread.window);
        let want = Want::overflow(self.spread.bucket, self.spread.window);
        // Relaxed, both: they say where else to look, not what is there.
        let filter = self.line[1 + class].load(Ordering::Relaxed);
        let spill = self.line[0].load(Ordering::Relaxed) & slot::SPILL;
        let shape = self.entry.shape();
        let lines = table::choices(shape, self.spread.bucket, class);
        for (number, flag) in lines.into_iter().zip([slot::LINE_A, slot::LINE_B]) {
            let Some(number) = number.filter(|_| filter & flag != 0) else {
                continue;
            };
            let Some(line) = self.entry.bucket(shape.primary() + number, pool, pin) else {
                return Glance::Unsure;
            };
            let matches = table::matching(line, want);
            if matches != 0 {
                let slot = matches.trailing_zeros() as usize & (SLOTS - 1);
                // Acquire: as in `glance`.
                return Glance::Likely(Location::of_slot(line[slot].load(Ordering::Acquire)));
            }
        }
        if spill == 0 {
            Glance::Absent
        } else {
            Glance::Unsure
        }
    }
}

/// See the file's head.
pub(crate) struct Index {
    pub(super) root: Shared<Directory>,
    /// Held while entries of the directory, or the chain of spill tables, change.
    pub(super) directory_lock: Mutex<()>,
    pub(super) spill: Spill,
    pub(super) geometry: Geometry,
    /// Tables, those of the spill chain included; their bytes; the directories' bytes.
    pub(super) tables: AtomicUsize,
    pub(super) table_bytes: AtomicUsize,
    pub(super) directory_bytes: AtomicUsize,
    pub(super) counters: Counters,
}

impl Index {
    /// An index of one table. Its first table and directory have their places promised by the caller.
    pub(crate) fn new(geometry: Geometry, pool: &Pool, who: Who) -> Result<Self, Refused> {
        let shape = geometry.first;
        let class = super::table::block_class(pool, shape);
        let at = pool.take_block(class, shape.lines(), true, who)?;
        let entry = TableRef::new(at, 0, shape);
        let root = Directory::new(entry).map_err(|none| {
            // Nobody has seen it.
            pool.give_block(at, class, &crate::memory::Quiesced::unseen());
            Refused::from(none)
        })?;
        let (_, _, bytes) = entry.block(pool);
        Ok(Self {
            directory_bytes: AtomicUsize::new(root.bytes()),
            root: Shared::new(root),
            directory_lock: Mutex::new(()),
            spill: Spill::new(),
            geometry,
            tables: AtomicUsize::new(1),
            table_bytes: AtomicUsize::new(bytes),
            counters: Counters::default(),
        })
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether so few entries could do with far fewer tables.
    pub(crate) fn looks_sparse(&self, entries: usize) -> bool {
        let slots = self.table_bytes() / size_of::<u64>();
        self.table_count() > 1 && entries * 3 < slots
    }

    pub(crate) fn table_count(&self) -> usize {
        self.tables.load(Ordering::Relaxed)
    }

    pub(crate) fn table_bytes(&self) -> usize {
        self.table_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn directory_bytes(&self) -> usize {
        self.directory_bytes.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn root<'p>(&self, pin: &'p Pin) -> &'p Directory {
        self.root.load(pin).expect("an index has a root")
    }

    #[inline]
    pub(super) fn resolve<'p>(&self, hash: u64, pool: &'p Pool, pin: &'p Pin) -> Table<'p> {
        Table::of(self.root(pin).find(hash, pin), pool, pin)
    }

    // --- finding ---

    /// Where a look at a hash begins; `None` where that takes more than a step. What [`Home::glance`] and
    /// [`Home::glance_overflow`] show there is enough for most look-ups; [`Index::find`] is the whole answer.
    ///
    /// They call nothing and cannot panic, so that a reader keeps everything in registers: how many instructions stand between
    /// two reads decides how many of their cache misses overlap.
    #[inline(always)]
    pub(crate) fn home<'p>(&self, pool: &'p Pool, pin: &'p Pin, hash: u64) -> Option<Home<'p>> {
        let entry = self.root.load(pin)?.glance(hash, pin)?;
        let spread = entry.spread(hash);
        let line = entry.bucket(spread.bucket, pool, pin)?;
        Some(Home {
            entry,
            hash,
            spread,
            line,
        })
    }

    /// The same, whatever it takes.
    #[inline]
    pub(crate) fn home_of<'p>(&self, pool: &'p Pool, pin: &'p Pin, hash: u64) -> Home<'p> {
        let entry = self.root(pin).find(hash, pin);
        let spread = entry.spread(hash);
        let line = entry.bucket(spread.bucket, pool, pin);
        Home {
            entry,
            hash,
            spread,
            line: line.expect("a table lies in the pool's range"),
        }
    }

    /// What `ask` answers about the entry that it knows, among those of this hash.
    #[inline]
    pub(crate) fn find<R>(
        &self,
        pool: &Pool,
        pin: &Pin,
        hash: u64,
        second: impl FnOnce() -> u64,
        ask: impl Fn(Location) -> Option<R>,
    ) -> Option<R> {
        self.find_watched(pool, pin, hash, second, ask, || ())
    }

    /// As [`Index::find`]; `look` is told of every line that is looked at.
    #[inline]
    pub(crate) fn find_watched<R>(
        &self,
        pool: &Pool,
        pin: &Pin,
        hash: u64,
        second: impl FnOnce() -> u64,
        ask: impl Fn(Location) -> Option<R>,
        look: impl Fn(),
    ) -> Option<R> {
        let home = self.home_of(pool, pin, hash);
        interleave::point();
        look();
        let answer = among(home.line, Want::primary(home.spread.window), &ask);
        if answer.is_some() || !may_be_beyond(home.line, home.spread.window) {
            return answer;
        }
        interleave::point();
        // The overflow lines that the filter names, then the spill tables.
        let want = Want::overflow(home.spread.bucket, home.spread.window);
        for line in home.overflow(pool, pin) {
            look();
            let answer = among(line, want, &ask);
            if answer.is_some() {
                return answer;
            }
        }
        // Relaxed: the flag is set before the first insert into the chain returns.
        if home.line[0].load(Ordering::Relaxed) & slot::SPILL == 0 {
            return None;
        }
        look();
        if !self.spill.may_have(hash) {
            return None;
        }
        interleave::point();
        let mut answer = None;
        let is_it = |at| {
            answer = ask(at);
            answer.is_some()
        };
        self.spill.find(pool, pin, second(), is_it, look)?;
        answer
    }

    // --- in hash order ---

    /// The buckets that hold the first hashes of `hashes`: a few, as many as lie in one table.
    pub(crate) fn buckets(&self, hashes: &RangeInclusive<u64>, pool: &Pool, pin: &Pin) -> Buckets {
        let table = self.resolve(*hashes.start(), pool, pin);
        Buckets::collect(&table, hashes, pool)
    }

    /// Whether there are spill tables.
    pub(crate) fn has_spilled(&self) -> bool {
        !self.spill.is_empty()
    }

    /// Every location in the spill tables.
    pub(crate) fn spilled<'p>(
        &self,
        pool: &'p Pool,
        pin: &'p Pin,
    ) -> impl Iterator<Item = Location> + use<'p> {
        self.spilled_slots(pool, pin).map(|(_, at)| at)
    }

    /// The same, each with its slot: some address that no other slot has.
    pub(crate) fn spilled_slots<'p>(
        &self,
        pool: &'p Pool,
        pin: &'p Pin,
    ) -> impl Iterator<Item = (*const (), Location)> + use<'p> {
        self.spill
            .tables(pool, pin)
            .flat_map(|table| table.slots())
            .filter_map(|slot| {
                // Acquire: pairs with the Release of the slot's store (Published-last).
                let at = Location::of_word(slot.load(Ordering::Acquire))?;
                Some((core::ptr::from_ref(slot).cast(), at))
            })
    }

    /// Whether the filter in front of the spill tables counts what is there. At rest.
    pub(crate) fn is_spill_filter_exact(&self, spilled: usize) -> bool {
        self.spill.is_filter_exact(spilled)
    }

    pub(crate) fn spill_count(&self, pool: &Pool, pin: &Pin) -> usize {
        if self.spill.is_empty() {
            0
        } else {
            self.spill.count(pool, pin)
        }
    }

    /// Every location in a table's slots.
    pub(crate) fn for_each_location(
        &self,
        pool: &Pool,
        pin: &Pin,
        table: TableRef,
        mut f: impl FnMut(Location),
    ) {
        for slot in Table::of(table, pool, pin).slot_lines().iter().flatten() {
            // Acquire: pairs with the Release of the slot's store (Published-last).
            if let Some(at) = Location::of_word(slot.load(Ordering::Acquire)) {
                f(at);
            }
        }
    }

    /// Directories, the root included.
    pub(crate) fn directory_count(&self, pin: &Pin) -> usize {
        self.root(pin).count(pin)
    }

    /// Every table but those of the spill chain.
    pub(crate) fn for_each_main_table(&self, pin: &Pin, mut f: impl FnMut(TableRef)) {
        for (_, table) in self.root(pin).tables(pin) {
            f(table);
        }
    }

    /// Whether every filter flag says what is so. At rest.
    pub(crate) fn check_filters(
        &self,
        pool: &Pool,
        pin: &Pin,
        table: TableRef,
    ) -> Result<(), String> {
        let table = Table::of(table, pool, pin);
        for bucket in 0..table.shape().primary() {
            for class in 0..slot::CLASSES as usize {
                let word = table.bucket(bucket)[1 + class].load(Ordering::Relaxed);
                let lines = table.choices(bucket, class);
                for (number, flag) in lines.into_iter().zip([slot::LINE_A, slot::LINE_B]) {
                    let is_there = number.is_some_and(|number| {
                        table.overflow(number).iter().any(|slot| {
                            let word = slot.load(Ordering::Relaxed);
                            word != 0
                                && slot::home_of(word) == bucket
                                && slot::class_of_overflow(word) == class
                        })
                    });
                    if is_there != (word & flag != 0) {
                        return Err(format!(
                            "filters: bucket {bucket}, class {class} of {:?}",
                            table.entry
                        ));
                    }
                }
            }
            if table.bucket(bucket)[0].load(Ordering::Relaxed) & slot::LOCK != 0 {
                return Err(format!(
                    "bucket {bucket} of {:?} is locked at rest",
                    table.entry
                ));
            }
        }
        Ok(())
    }

    /// The table of a hash, and the first hash after its own; `None` after the last.
    pub(crate) fn table_and_next(&self, hash: u64, pin: &Pin) -> (TableRef, Option<u64>) {
        let table = self.root(pin).find(hash, pin);
        let span = 1u64.checked_shl(64 - table.depth());
        (
            table,
            span.and_then(|span| (hash & !(span - 1)).checked_add(span)),
        )
    }

    /// The first slot of a table, from number `from` on, whose location is as wanted.
    pub(crate) fn first_location(
        &self,
        pool: &Pool,
        pin: &Pin,
        table: TableRef,
        from: usize,
        is_wanted: impl Fn(Location) -> bool,
    ) -> Option<(usize, Location)> {
        let table = Table::of(table, pool, pin);
        let slots = table.slot_lines().iter().flatten().enumerate().skip(from);
        slots
            // Acquire: pairs with the Release of the slot's store (Published-last).
            .filter_map(|(n, slot)| Some((n, Location::of_word(slot.load(Ordering::Acquire))?)))
            .find(|&(_, at)| is_wanted(at))
    }

    pub(crate) fn for_each_spill_table(&self, pool: &Pool, pin: &Pin, mut f: impl FnMut(TableRef)) {
        for table in self.spill.tables(pool, pin) {
            f(table.entry);
        }
    }

    /// Every table, for the owner of everything.
    pub(crate) fn for_each_table(&self, pool: &Pool, pin: &Pin, mut f: impl FnMut(TableRef)) {
        self.for_each_main_table(pin, &mut f);
        self.for_each_spill_table(pool, pin, f);
    }
}
