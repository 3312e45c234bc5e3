//! How much memory a store will need: worked out before it runs, so that a machine is not driven into its limits.
//!
//! The rivals' figures follow from how they are built: two allocations an entry, and tables of hashbrown whose slots are
//! a power of two and at most 7/8 full. CMap's follows from its header and index, from the chunks that it has beside full
//! ones, and from the share of dead bytes that it leaves.

use crate::{packed::Totals, store::Kind};

/// Of the memory available, a store may need this share.
const SHARE: (u64, u64) = (4, 5);
/// The program itself, its threads and their buffers.
const PROCESS_BYTES: u64 = 4 << 20;
/// Key and value as two `Vec`s, and hashbrown's control byte.
const HASH_MAP_SLOT_BYTES: u64 = 48 + 1;
/// Key and value as two boxes, and hashbrown's control byte.
const DASH_MAP_SLOT_BYTES: u64 = 32 + 1;
/// What CMap needs on top of an entry's key and value, at most: header, padding, and a slot of an index that is 40 % full.
const CMAP_ENTRY_BYTES: u64 = 24;
/// Chunks that are open, two of them, and that compaction copies from or leaves alone: at most, and of a small map, whose
/// chunks are hardly touched, at most half of what lives.
const CMAP_CHUNKS_BYTES: u64 = 4 * (2 << 20);
/// Bytes that a store needs for these entries at its worst moment; whether they are only loaded and deleted, or also
/// replaced.
pub fn bytes(kind: Kind, totals: Totals, shards: u64, replaces: bool) -> u64 {
    PROCESS_BYTES
        + match kind {
            Kind::RwLock => tables_bytes(totals, 1, HASH_MAP_SLOT_BYTES),
            Kind::DashMap => tables_bytes(totals, shards, DASH_MAP_SLOT_BYTES),
            Kind::CMap => cmap_bytes(totals, replaces),
        }
}

fn cmap_bytes(totals: Totals, replaces: bool) -> u64 {
    let live = totals.payload_bytes + totals.entries * CMAP_ENTRY_BYTES;
    // Where values are replaced all the time, a quarter of the whole may be dead.
    let dead = if replaces { live / 3 } else { 0 };
    live + dead + CMAP_CHUNKS_BYTES.min(live / 2)
}

/// Tables of hashbrown and what hangs from them: at the end, or when they grew for the last time, if that was worse.
/// Then all tables of half the size were full, and each was there beside the one that took its place.
fn tables_bytes(totals: Totals, tables: u64, slot_bytes: u64) -> u64 {
    let slots = (totals.entries.div_ceil(tables) * 8)
        .div_ceil(7)
        .next_power_of_two()
        .max(4);
    let at_end = totals.heap_bytes + tables * slots * slot_bytes;
    let entries_grown = (tables * slots / 2 * 7 / 8).min(totals.entries);
    let heap_grown = u128::from(totals.heap_bytes) * u128::from(entries_grown)
        / u128::from(totals.entries.max(1));
    let growing = heap_grown as u64 + tables * (slots + slots / 2) * slot_bytes;
    at_end.max(growing)
}

/// How many shards DashMap takes by default: four per core, as a power of two.
pub fn default_shards() -> u64 {
    (std::thread::available_parallelism().map_or(1, usize::from) as u64 * 4).next_power_of_two()
}

/// Whether so many bytes may be used of those available.
pub fn fits(needed: u64, available: u64) -> bool {
    needed <= available / SHARE.1 * SHARE.0
}

/// How many entries like these would fit, with two digits that are not zero; `None` if not even one.
pub fn limit(
    kind: Kind,
    totals: Totals,
    shards: u64,
    replaces: bool,
    available: u64,
) -> Option<u64> {
    let part = |entries: u64| {
        let scale = |total: u64| {
            (u128::from(total) * u128::from(entries) / u128::from(totals.entries)) as u64
        };
        Totals {
            entries,
            payload_bytes: scale(totals.payload_bytes),
            heap_bytes: scale(totals.heap_bytes),
        }
    };
    let fit = |entries: u64| fits(bytes(kind, part(entries), shards, replaces), available);
    // The largest that fits: the estimate never falls as the entries become more.
    let (mut most, mut too_many) = (0, totals.entries + 1);
    while most + 1 < too_many {
        let middle = most + (too_many - most) / 2;
        if fit(middle) {
            most = middle
        } else {
            too_many = middle
        }
    }
    let unit = 10_u64.pow(most.checked_ilog10()?.saturating_sub(1));
    Some(most / unit * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(entries: u64) -> Totals {
        Totals {
            entries,
            payload_bytes: entries * 80,
            heap_bytes: entries * 112,
        }
    }

    #[test]
    fn the_estimates_follow_the_entries() {
        // 2^23 slots hold up to 7 340 032 entries; the last growth was at half of that.
        let table = (1 << 23) * 49;
        let needed = |entries| bytes(Kind::RwLock, totals(entries), 8, true) - PROCESS_BYTES;
        assert_eq!(needed(7_000_000), 7_000_000 * 112 + table);
        assert_eq!(needed(3_700_000), 3_670_016 * 112 + table * 3 / 2);
        let dash_map = bytes(Kind::DashMap, totals(1_000_000), 8, false);
        assert!(
            bytes(Kind::CMap, totals(1_000_000), 8, false) < dash_map
                && dash_map < bytes(Kind::RwLock, totals(1_000_000), 8, false)
        );
    }

    /// What CMap took at its worst moment, by measurement: never more than the estimate, which is not far above it.
    #[test]
    fn cmaps_estimate_is_an_upper_bound() {
        let of = |entries, entry_bytes| Totals {
            entries,
            payload_bytes: entries * entry_bytes,
            heap_bytes: 0,
        };
        // Entries, bytes of each, whether values are replaced; KiB at the worst moment.
        for (entries, entry_bytes, replaces, took) in [
            (60_000, 80, false, 7_828),
            (132_592, 118, false, 20_070),
            (250_000, 116, false, 35_640),
            (500_000, 116, false, 67_790),
            (600_000, 80, false, 70_020),
            (60_000, 316, true, 31_908),
            (132_592, 80, true, 25_128),
            (132_592, 316, true, 61_748),
            (300_000, 80, true, 41_252),
            (300_000, 316, true, 135_544),
            (600_000, 80, true, 78_208),
        ] {
            let needed = bytes(Kind::CMap, of(entries, entry_bytes), 8, replaces) >> 10;
            assert!(
                (took..=took + took / 3 + (12 << 10)).contains(&needed),
                "{entries} entries of {entry_bytes} bytes took {took} KiB; {needed} were estimated"
            );
        }
        assert_eq!(
            bytes(Kind::CMap, of(1_000_000, 80), 8, false),
            PROCESS_BYTES + CMAP_CHUNKS_BYTES + 104_000_000
        );
    }

    #[test]
    fn eighty_per_cent_fit() {
        assert!(fits(800, 1_000));
        assert!(!fits(801, 1_000));
    }

    #[test]
    fn the_limit_fits_and_is_not_far_from_the_most() {
        for kind in Kind::ALL {
            let available = 200 << 20;
            let limit = limit(kind, totals(50_000_000), 8, true, available).unwrap();
            assert!(
                fits(bytes(kind, totals(limit), 8, true), available),
                "{kind}: {limit}"
            );
            assert!(
                !fits(bytes(kind, totals(limit * 11 / 10 + 1), 8, true), available),
                "{kind}: {limit}"
            );
        }
        assert_eq!(limit(Kind::CMap, totals(1_000), 8, false, 1 << 20), None);
    }
}
