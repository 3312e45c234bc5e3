//! A map's figures, handed to the `metrics` facade.

use core::hash::BuildHasher;

use metrics::{SharedString, Unit, counter, describe_counter, describe_gauge, gauge};

use super::cmap::CMap;
use super::figures::{Memory, Stats};

type Part = (&'static str, fn(&Memory) -> usize);

/// `part` of `cmap_memory_bytes`.
const PARTS: [Part; 7] = [
    ("live", |memory| memory.live),
    ("dead", |memory| memory.dead),
    ("padding", |memory| memory.padding),
    ("index", |memory| memory.index),
    ("pool", |memory| memory.pool),
    ("retired", |memory| memory.retired),
    ("held", |memory| memory.held),
];

type Figure<T> = (&'static str, Unit, &'static str, fn(&Stats) -> T);

const GAUGES: [Figure<f64>; 5] = [
    ("cmap_entries", Unit::Count, "Entries", |stats| {
        stats.entries as f64
    }),
    ("cmap_tables", Unit::Count, "Tables of the index", |stats| {
        stats.tables as f64
    }),
    (
        "cmap_spilled",
        Unit::Count,
        "Entries in spill tables",
        |stats| stats.spilled as f64,
    ),
    ("cmap_chunks", Unit::Count, "Chunks of the log", |stats| {
        stats.chunks_in_use as f64
    }),
    (
        "cmap_oldest_pin_seconds",
        Unit::Seconds,
        "Age of the oldest pin that memory waits for",
        |stats| stats.oldest_pin.unwrap_or_default().as_secs_f64(),
    ),
];

const COUNTERS: [Figure<u64>; 8] = [
    ("cmap_splits_total", Unit::Count, "Tables split", |stats| {
        stats.splits
    }),
    (
        "cmap_merges_total",
        Unit::Count,
        "Pairs of tables merged",
        |stats| stats.merges,
    ),
    (
        "cmap_rebuilds_total",
        Unit::Count,
        "Tables rebuilt",
        |stats| stats.rebuilds,
    ),
    (
        "cmap_compactions_total",
        Unit::Count,
        "Chunks chosen to be emptied",
        |stats| stats.compactions,
    ),
    (
        "cmap_relocations_total",
        Unit::Count,
        "Entries moved by compaction",
        |stats| stats.relocations,
    ),
    (
        "cmap_moved_bytes_total",
        Unit::Bytes,
        "Bytes moved by compaction",
        |stats| stats.bytes_moved,
    ),
    (
        "cmap_freed_chunks_total",
        Unit::Count,
        "Chunks emptied and given back",
        |stats| stats.chunks_freed,
    ),
    (
        "cmap_refused_total",
        Unit::Count,
        "Calls refused for lack of memory",
        |stats| stats.refused,
    ),
];

/// # Metrics
impl<S: BuildHasher> CMap<S> {
    /// Hands the map's figures, as they are now, to the recorder of the [metrics](https://docs.rs/metrics) facade, each with
    /// the label `map`. Call it every few seconds, or whenever metrics are collected: the map itself records nothing, and no
    /// read or write pays for it. Each map needs a name of its own.
    ///
    /// | metric | kind | unit | [`Memory`], [`Stats`] |
    /// |---|---|---|---|
    /// | `cmap_memory_bytes`, with the label `part`: `live`, `dead`, `padding`, `index`, `pool`, `retired`, `held` | gauge | bytes | the field of that name; the sum is [`Memory::total`] |
    /// | `cmap_entries` | gauge | | `entries` |
    /// | `cmap_tables` | gauge | | `tables` |
    /// | `cmap_spilled` | gauge | | `spilled` |
    /// | `cmap_chunks` | gauge | | `chunks_in_use` |
    /// | `cmap_oldest_pin_seconds` | gauge | seconds | `oldest_pin`, 0 where there is none |
    /// | `cmap_splits_total` | counter | | `splits` |
    /// | `cmap_merges_total` | counter | | `merges` |
    /// | `cmap_rebuilds_total` | counter | | `rebuilds` |
    /// | `cmap_compactions_total` | counter | | `compactions` |
    /// | `cmap_relocations_total` | counter | | `relocations` |
    /// | `cmap_moved_bytes_total` | counter | bytes | `bytes_moved` |
    /// | `cmap_freed_chunks_total` | counter | | `chunks_freed` |
    /// | `cmap_refused_total` | counter | | `refused` |
    ///
    /// ```
    /// let sessions = cmap::CMap::new();
    /// sessions.insert(b"k", b"v")?;
    /// sessions.record_metrics("sessions"); // goes nowhere while no recorder is installed
    /// # Ok::<(), cmap::Error>(())
    /// ```
    pub fn record_metrics(&self, map: impl Into<SharedString>) {
        let map = map.into();
        let (memory, stats) = (self.memory(), self.stats());
        describe_gauge!(
            "cmap_memory_bytes",
            Unit::Bytes,
            "Memory, by what it is used for"
        );
        for (part, bytes) in PARTS {
            gauge!("cmap_memory_bytes", "map" => map.clone(), "part" => part)
                .set(bytes(&memory) as f64);
        }
        for (name, unit, text, figure) in GAUGES {
            describe_gauge!(name, unit, text);
            gauge!(name, "map" => map.clone()).set(figure(&stats));
        }
        for (name, unit, text, figure) in COUNTERS {
            describe_counter!(name, unit, text);
            counter!(name, "map" => map.clone()).absolute(figure(&stats));
        }
    }
}
