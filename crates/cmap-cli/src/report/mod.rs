//! What the stores did, side by side: as a [`table`], in words ([`verdict`]), as [`json`], and as a [`chart`].

mod chart;
mod figures;
mod json;
mod table;
mod target;
mod verdict;

use crate::{
    child::Measured,
    input::{Source, Synthetic},
    packed::{Packed, Totals},
    store::Kind,
};

pub use target::Targets;

use figures::{Figures, METRICS, Metric};

/// Where the entries came from.
#[derive(Debug)]
pub enum Origin {
    /// They were read.
    Input {
        /// From there.
        source: Source,
        /// Paths that could not be read, or lines that are no entries.
        skipped: u64,
    },
    /// They were made, and there was a mixed phase.
    Synthetic {
        /// How.
        synthetic: Synthetic,
        /// Lookups of a hundred operations in the mixed phase.
        mix: u8,
    },
}

/// A finished comparison.
#[derive(Debug)]
pub struct Comparison {
    /// Where the entries came from.
    pub origin: Origin,
    /// What the entries add up to.
    pub totals: Totals,
    /// Entries superseded by a later one of the same key.
    pub duplicates: u64,
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
    /// Puts together what there was and what was measured.
    pub fn new(
        origin: Origin,
        packed: &Packed,
        threads: usize,
        seed: u64,
        stores: &[(Kind, Measured)],
    ) -> Self {
        let totals = packed.totals();
        Self {
            origin,
            totals,
            duplicates: packed.duplicates(),
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

    /// What is in this comparison.
    fn metrics(&self) -> impl Iterator<Item = &'static Metric> {
        let is_in_it = |metric: &&Metric| match self.origin {
            Origin::Input { .. } => !metric.is_of_mixed_phase(),
            Origin::Synthetic { .. } => true,
        };
        METRICS.iter().filter(is_in_it)
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
        let source = Source::Dir {
            path: "/home/someone".into(),
            is_default: true,
        };
        with(Origin::Input { source, skipped: 2 }, None, None)
    }

    /// The same of synthetic entries, with a mixed phase in which CMap is worse.
    pub fn mixed_example() -> Comparison {
        let synthetic = Synthetic::new(1_234_567, 16, 64, 7).unwrap();
        let origin = Origin::Synthetic { synthetic, mix: 95 };
        with(origin, Some(200_000_000), Some(300_000_000))
    }

    fn with(origin: Origin, their_mixed_ns: Option<u64>, our_mixed_ns: Option<u64>) -> Comparison {
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
            mixed_ns: their_mixed_ns,
            worst_insert_ns: 700_000,
            drop_ns: 90_000_000,
            clock_ns: 44,
        };
        let ours = Measured {
            loaded_bytes: 1_234_567 * 100,
            left_bytes: 1_234_567 * 12,
            load_ns: 490_000_000,
            lookup_ns: 125_000_000,
            mixed_ns: our_mixed_ns,
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
            origin,
            totals,
            duplicates: 3,
            threads: 2,
            seed: 7,
            clock_ns: 45,
            stores: stores
                .map(|(kind, measured)| Figures::new(kind, totals, &measured))
                .into(),
        }
    }
}
