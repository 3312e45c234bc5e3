//! What was done in all, by kind, and how old the chunks were that readers held.

use cmap::{Pinned, internal};
use std::sync::atomic::{AtomicU64, Ordering};

/// Defines [`Kind`], and [`KINDS`]: all of them.
macro_rules! kinds {
    ($($(#[$what:meta])* $kind:ident,)+) => {
        /// A kind of operation. Those before `Insert` only read.
        #[derive(Clone, Copy, Debug)]
        pub enum Kind {
            $($(#[$what])* $kind,)+
        }

        const KINDS: &[Kind] = &[$(Kind::$kind,)+];
    };
}

kinds! {
    Get,
    /// Kept past other operations.
    GetRef,
    GetWith,
    GetInto,
    ContainsKey,
    ValueLen,
    /// `get`, `contains_key` and `value_len` of a `Pinned`.
    Pinned,
    /// `get_many`, of a map or a `Pinned`, by keys.
    GetMany,
    /// Those that change nothing.
    Scan,
    /// `len`, `is_empty`, `memory` and `stats`.
    Figures,
    Insert,
    InsertSwap,
    InsertIfAbsent,
    /// Read-modify-write of all other kinds, `replace` and `insert_with`.
    Modify,
    FetchAdd,
    Append,
    Remove,
    Take,
    /// `insert_many` and `remove_many`, by keys.
    WriteMany,
    /// `clear`, `retain` and `drain`.
    Clear,
    Compact,
    /// `reserve` and `shrink_to_fit`.
    Resize,
}
const READS: usize = Kind::Insert as usize;

/// Of all tests of this process that have ended.
static DONE: [AtomicU64; KINDS.len()] = [const { AtomicU64::new(0) }; KINDS.len()];
static AGES: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

/// One thread's counts, added to the others' when it ends.
#[derive(Default)]
pub struct Tally {
    done: [u64; KINDS.len()],
    ages: [u64; 3],
}

impl Tally {
    pub fn did(&mut self, kind: Kind) {
        self.done[kind as usize] += 1;
    }

    /// A value that a pin of [`internal::pin`] found is looked at: its chunk must not be two grace periods old.
    #[track_caller]
    pub fn holds(&mut self, pinned: &(Pinned<'_>, u64), value: &[u8]) {
        if let Some(age) = internal::age(pinned, value) {
            self.ages[age] += 1;
            assert!(
                age < 2,
                "Pinned-stays: a reader holds a chunk that is two grace periods old"
            );
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let counts = self.done.iter().zip(&DONE);
        for (count, sum) in counts.chain(self.ages.iter().zip(&AGES)) {
            sum.fetch_add(*count, Ordering::Relaxed);
        }
    }
}

/// Prints the sums so far: those of all tests are printed by the last that ends.
pub fn print() {
    let done = DONE.each_ref().map(|sum| sum.load(Ordering::Relaxed));
    let ages = AGES.each_ref().map(|sum| sum.load(Ordering::Relaxed));
    let all: u64 = done.iter().sum();
    let percent = |count: u64| count as f64 * 100.0 / all.max(1) as f64;
    let shares: Vec<_> = KINDS
        .iter()
        .zip(done)
        .map(|(kind, count)| format!("{kind:?} {:.2}", percent(count)))
        .collect();
    let least = done.into_iter().min().unwrap_or(0);
    println!(
        "stress so far: {all} operations, {:.2} % writes, rarest kind {:.2} %: {}",
        percent(done[READS..].iter().sum()),
        percent(least),
        shares.join(", ")
    );
    println!(
        "stress so far: chunks under readers by age: {} in use, {} retired under the pin, {} older",
        ages[0], ages[1], ages[2]
    );
}
