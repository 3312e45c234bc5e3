//! Spill tables: where keys go whose hashes are too much alike for the tables proper.
//!
//! A chain of tables for the whole index, most often empty. An entry here is found by a second, keyed hash of its key: each
//! spill table offers it one line. What protects an entry is the lock of its home bucket, in whose slot 0 SPILL is set; so
//! the chain has no lock of its own: free slots are taken by compare-and-swap. One line per table is scanned, which makes
//! a lookup linear in the keys of equal hash, at eight a line.
//!
//! ```text
//! spill table   line 0: users | - | next | - ...        lines 1..: slots with 23 bits of the second hash
//! users         entries, and those about to be; CLOSED once the emptied table was unlinked
//! ```

use super::shape::{SLOTS, Shape};
use super::slot::Want;
use super::table::TableRef;
use crate::base::interleave;
use crate::base::sync::{AtomicU64, Ordering};
use crate::memory::{Line, Location, Pin, Pool};

const CLOSED: u64 = 1 << 63;

/// The chain's head.
pub(super) struct Spill {
    head: AtomicU64,
}

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

    /// An entry of this table was removed.
    pub(super) fn leave(&self) {
        // Release: pairs with the Acquire in `Spill::unlink_empty`.
        self.users().fetch_sub(1, Ordering::Release);
    }
}

impl Spill {
    pub(super) fn new() -> Self {
        Self {
            head: AtomicU64::new(0),
        }
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
    ) -> Option<(SpillTable<'p>, &'p AtomicU64, u64)> {
        let want = Want::spill(second);
        for table in self.tables(pool, pin) {
            look();
            for slot in table.line(second) {
                // Acquire: pairs with the Release of the slot's store (Published-last).
                let word = slot.load(Ordering::Acquire);
                if want.matches(word) && Location::of_word(word).is_some_and(&mut is) {
                    return Some((table, slot, word));
                }
            }
        }
        None
    }

    /// Stores an entry. `false` if no table of the chain has room for it. Under the lock of its home bucket.
    pub(super) fn insert(&self, pool: &Pool, pin: &Pin, second: u64, at: Location) -> bool {
        let word = Want::spill(second).word(at);
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
        false
    }

    /// Undoes an insert, under the same lock.
    pub(super) fn take_back(&self, pool: &Pool, pin: &Pin, second: u64, at: Location) {
        if let Some((table, slot, _)) = self.find(pool, pin, second, |other| other == at, || ()) {
            // Relaxed: who saw it there finds it where it was before.
            slot.store(0, Ordering::Relaxed);
            table.leave();
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
