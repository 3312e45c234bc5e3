//! Spill tables: where keys go whose hashes are too much alike for the tables proper.
//!
//! A chain of tables for the whole index, most often empty. An entry here is found by a second, keyed hash of its key: each
//! spill table offers it one line. What protects an entry is the lock of its home bucket, in whose slot 0 SPILL is set; so
//! the chain has no lock of its own: free slots are taken by compare-and-swap. One line per table is scanned, which makes
//! a lookup linear in the keys of equal hash, at eight a line.
//!
//! So that other keys of a flagged bucket do not pay for that, a *filter* in front of the chain counts its keys by the first
//! half of their hashes: hashes too much alike are one or few to it, and whoever looks for another one reads one line.
//!
//! ```text
//! spill table   line 0: users | - | next | - ...        lines 1..: slots with 23 bits of the second hash
//! users         entries, and those about to be; CLOSED once the emptied table was unlinked
//! ```

use super::shape::{SLOTS, Shape};
use super::slot::Want;
use super::table::TableRef;
use crate::base::interleave;
use crate::base::sync::{AtomicU32, AtomicU64, Ordering};
use crate::memory::{Line, Location, Pin, Pool};

const CLOSED: u64 = 1 << 63;

/// Lines of the filter, counters of a line, and in how many of them a key counts. Under a model checker all keys meet in one.
const FILTER_LINES: usize = if IS_MODEL { 1 } else { 16 };
const FILTER_COUNTERS: usize = if IS_MODEL { 1 } else { 16 };
const FILTER_COUNTED_IN: usize = if IS_MODEL { 1 } else { 4 };
const IS_MODEL: bool = cfg!(any(cmap_loom, cmap_shuttle));

/// The chain's head, and the filter in front of it.
pub(super) struct Spill {
    head: AtomicU64,
    filter: [FilterLine; FILTER_LINES],
}

/// How many keys are in the chain, or about to be: each counts in some counters of the line that its hash names.
#[repr(align(64))]
struct FilterLine([AtomicU32; FILTER_COUNTERS]);

/// One table of the chain.
#[derive(Clone, Copy)]
pub(super) struct SpillTable<'p> {
    pub(super) entry: TableRef,
    lines: &'p [Line],
}

impl<'p> SpillTable<'p> {
    fn of(entry: TableRef, pool: &'p Pool, pin: &'p Pin) -> Self {
        Self {
            entry,
            lines: pool.lines(entry.at(), entry.shape().lines(), pin),
        }
    }

    fn users(&self) -> &'p AtomicU64 {
        &self.lines[0][0]
    }

    fn next(&self) -> &'p AtomicU64 {
        &self.lines[0][2]
    }

    fn line(&self, second: u64) -> &'p Line {
        let count = (self.lines.len() - 1) as u64;
        &self.lines[1 + (((second >> 32) * count) >> 32) as usize]
    }

    /// All slots.
    pub(super) fn slots(&self) -> impl Iterator<Item = &'p AtomicU64> + use<'p> {
        self.lines[1..].iter().flatten()
    }
}

/// The use that an entry makes of a spill table: it is not unlinked.
#[derive(Clone, Copy)]
pub(super) struct SpillUse<'p>(&'p AtomicU64);

impl SpillUse<'_> {
    fn leave(self) {
        // Release: pairs with the Acquire in `Spill::unlink_empty`.
        self.0.fetch_sub(1, Ordering::Release);
    }
}

impl Spill {
    pub(super) fn new() -> Self {
        Self {
            head: AtomicU64::new(0),
            filter: core::array::from_fn(|_| {
                FilterLine(core::array::from_fn(|_| AtomicU32::new(0)))
            }),
        }
    }

    /// The counters of a hash; perhaps one twice.
    fn counters(&self, hash: u64) -> impl Iterator<Item = &AtomicU32> {
        let mixed = (hash >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let part = move |number: usize| (mixed >> (60 - 4 * number)) as usize;
        let line = &self.filter[part(0) % FILTER_LINES].0;
        (1..=FILTER_COUNTED_IN).map(move |number| &line[part(number) % FILTER_COUNTERS])
    }

    /// Whether a key of this hash may be here. Costs a look at one line.
    #[inline]
    pub(super) fn may_have(&self, hash: u64) -> bool {
        // Acquire: pairs with the Release in `count_out`: who is told of a removal by its count finds the slot empty.
        self.counters(hash)
            .all(|counter| counter.load(Ordering::Acquire) != 0)
    }

    /// Before its slot is stored: who found the key finds it counted.
    fn count_in(&self, hash: u64) {
        for counter in self.counters(hash) {
            // Relaxed: the slot's Release store follows.
            if cfg!(planted_filter_of_flags) {
                counter.store(1, Ordering::Relaxed);
            } else {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// After its slot was emptied.
    fn count_out(&self, hash: u64) {
        for counter in self.counters(hash) {
            // Release: pairs with the Acquire in `may_have`.
            counter.fetch_sub(1, Ordering::Release);
        }
    }

    /// An entry of this hash was removed: its slot is empty.
    pub(super) fn leave(&self, user: SpillUse<'_>, hash: u64) {
        self.count_out(hash);
        user.leave();
    }

    /// Whether the filter counts as many keys as there are. At rest; as far as sums tell, since a hasher may lie.
    pub(super) fn is_filter_exact(&self, spilled: usize) -> bool {
        let counters = self.filter.iter().flat_map(|line| &line.0);
        let sum = counters.fold(0_u32, |sum, counter| {
            sum.wrapping_add(counter.load(Ordering::Relaxed))
        });
        sum == (FILTER_COUNTED_IN as u32).wrapping_mul(spilled as u32)
    }

    /// Whether there is nothing here.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        // Relaxed: a hint; who must know holds a bucket lock.
        self.head.load(Ordering::Relaxed) == 0
    }

    pub(super) fn tables<'p>(
        &self,
        pool: &'p Pool,
        pin: &'p Pin,
    ) -> impl Iterator<Item = SpillTable<'p>> + use<'p> {
        // Acquire, twice: pairs with the Release in `push` and `unlink_empty`.
        let mut at = self.head.load(Ordering::Acquire);
        core::iter::from_fn(move || {
            if at == 0 {
                return None;
            }
            let table = SpillTable::of(TableRef::from_bits(at), pool, pin);
            at = table.next().load(Ordering::Acquire);
            Some(table)
        })
    }

    /// The slot of the key that `is` knows, and its word.
    pub(super) fn find<'p>(
        &self,
        pool: &'p Pool,
        pin: &'p Pin,
        second: u64,
        mut is: impl FnMut(Location) -> bool,
        mut look: impl FnMut(),
    ) -> Option<(SpillUse<'p>, &'p AtomicU64, u64)> {
        let want = Want::spill(second);
        for table in self.tables(pool, pin) {
            look();
            for slot in table.line(second) {
                // Acquire: pairs with the Release of the slot's store (Published-last).
                let word = slot.load(Ordering::Acquire);
                if want.matches(word) && Location::of_word(word).is_some_and(&mut is) {
                    return Some((SpillUse(table.users()), slot, word));
                }
            }
        }
        None
    }

    /// Stores an entry. `false` if no table of the chain has room for it. Under the lock of its home bucket.
    pub(super) fn insert(
        &self,
        pool: &Pool,
        pin: &Pin,
        (hash, second): (u64, u64),
        at: Location,
    ) -> bool {
        let word = Want::spill(second).word(at);
        self.count_in(hash);
        for table in self.tables(pool, pin) {
            let is_counted = !cfg!(planted_spill_counted_late);
            // Acquire: comes after the unlinking that set CLOSED.
            let users = table
                .users()
                .fetch_add(is_counted.into(), Ordering::Acquire);
            if users & CLOSED == 0 || cfg!(planted_closed_ignored) {
                interleave::point();
                for slot in table.line(second) {
                    if slot.load(Ordering::Relaxed) != 0 {
                        continue;
                    }
                    // Release: pairs with the Acquire in `find`.
                    let stored =
                        slot.compare_exchange(0, word, Ordering::Release, Ordering::Relaxed);
                    if cfg!(planted_spill_overwritten) && stored.is_err() {
                        slot.store(word, Ordering::Release); // as above
                    }
                    if stored.is_ok() || cfg!(planted_spill_overwritten) {
                        if !is_counted {
                            table.users().fetch_add(1, Ordering::Relaxed);
                        }
                        return true;
                    }
                }
            }
            table
                .users()
                .fetch_sub(is_counted.into(), Ordering::Relaxed);
        }
        self.count_out(hash);
        false
    }

    /// Undoes an insert, under the same lock.
    pub(super) fn take_back(
        &self,
        pool: &Pool,
        pin: &Pin,
        (hash, second): (u64, u64),
        at: Location,
    ) {
        if let Some((user, slot, _)) = self.find(pool, pin, second, |other| other == at, || ()) {
            // Relaxed: who saw it there finds it where it was before.
            slot.store(0, Ordering::Relaxed);
            self.leave(user, hash);
        }
    }

    /// Puts a fresh table at the head. Under the directory lock.
    pub(super) fn push(&self, pool: &Pool, pin: &Pin, at: Location, shape: Shape) {
        let entry = TableRef::new(at, 0, shape);
        let table = SpillTable::of(entry, pool, pin);
        table
            .next()
            .store(self.head.load(Ordering::Relaxed), Ordering::Relaxed);
        // Release: pairs with the Acquire in `tables`.
        self.head.store(entry.bits(), Ordering::Release);
    }

    /// Unlinks one table that nobody uses. Under the directory lock. The caller retires it.
    pub(super) fn unlink_empty(&self, pool: &Pool, pin: &Pin) -> Option<TableRef> {
        let mut link: Option<&AtomicU64> = None;
        for table in self.tables(pool, pin) {
            // Acquire: pairs with the Release in `leave`.
            if table
                .users()
                .compare_exchange(0, CLOSED, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
            {
                interleave::point();
                let next = table.next().load(Ordering::Relaxed);
                // Release: pairs with the Acquire in `tables`.
                link.unwrap_or(&self.head).store(next, Ordering::Release);
                return Some(table.entry);
            }
            link = Some(table.next());
        }
        None
    }

    /// Entries in the chain. Exact at rest.
    pub(super) fn count(&self, pool: &Pool, pin: &Pin) -> usize {
        self.tables(pool, pin)
            .flat_map(|table| table.slots())
            .filter(|slot| slot.load(Ordering::Relaxed) != 0)
            .count()
    }
}

const _: () = assert!(SLOTS == 8);
