//! What the stores did, side by side: as a [`table`], in words ([`verdict`]), and as [`json`].

pub mod json;
pub mod table;
pub mod verdict;

mod figures;

use std::path::PathBuf;

use crate::{
    child::Measured,
    input::{Input, Source},
    packed::Totals,
    store::Kind,
};

pub use figures::Figures;

/// Where the JSON goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output, in place of the table.
    Stdout,
    /// A file, besides the table.
    File(PathBuf),
}

/// A finished comparison.
#[derive(Debug)]
pub struct Comparison {
    /// What was read.
    pub source: String,
    /// Whether that is the home directory of whoever runs this, because nothing was named.
    pub source_is_default: bool,
    /// What the entries add up to.
    pub totals: Totals,
    /// Entries superseded by a later one of the same key.
    pub duplicates: u64,
    /// Paths that could not be read.
    pub skipped: u64,
    /// Threads that worked on each store.
    pub threads: usize,
    /// Seed of the hash.
    pub seed: u64,
    /// What timing an insert cost, at most.
    pub clock_ns: u64,
    /// The stores, CMap last.
    pub stores: Vec<Figures>,
}

impl Comparison {
    /// Puts together what was read and what was measured.
    pub fn new(
        source: &Source,
        input: &Input,
        threads: usize,
        seed: u64,
        stores: &[(Kind, Measured)],
    ) -> Self {
        let totals = input.packed.totals();
        Self {
            source: source.name(),
            source_is_default: matches!(
                source,
                Source::Dir {
                    is_default: true,
                    ..
                }
            ),
            totals,
            duplicates: input.packed.duplicates(),
            skipped: input.skipped,
            threads,
            seed,
            clock_ns: stores
                .iter()
                .map(|(_, measured)| measured.clock_ns)
                .max()
                .unwrap_or(0),
            stores: stores
                .iter()
                .map(|(kind, measured)| Figures::new(*kind, totals, measured))
                .collect(),
        }
    }

    /// CMap's figures, and those of its rivals.
    pub fn sides(&self) -> (&Figures, &[Figures]) {
        let (ours, rivals) = self.stores.split_last().expect("every store was measured");
        (ours, rivals)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A comparison in which CMap is better in memory, the same in loading, and worse in its worst insert.
    pub fn example() -> Comparison {
        let totals = Totals {
            entries: 1_234_567,
            payload_bytes: 1_234_567 * 80,
            heap_bytes: 1_234_567 * 112,
        };
        let rival = Measured {
            loaded_bytes: 1_234_567 * 200,
            left_bytes: 1_234_567 * 190,
            load_ns: 500_000_000,
            lookup_ns: 250_000_000,
            worst_insert_ns: 700_000,
            drop_ns: 90_000_000,
            clock_ns: 44,
        };
        let ours = Measured {
            loaded_bytes: 1_234_567 * 100,
            left_bytes: 1_234_567 * 12,
            load_ns: 490_000_000,
            lookup_ns: 125_000_000,
            worst_insert_ns: 1_400_000,
            drop_ns: 3_000_000,
            clock_ns: 45,
        };
        let stores = [
            (Kind::RwLock, rival),
            (Kind::DashMap, rival),
            (Kind::CMap, ours),
        ];
        Comparison {
            source: "/home/someone".into(),
            source_is_default: true,
            totals,
            duplicates: 3,
            skipped: 2,
            threads: 2,
            seed: 7,
            clock_ns: 45,
            stores: stores
                .map(|(kind, measured)| Figures::new(kind, totals, &measured))
                .into(),
        }
    }
}
