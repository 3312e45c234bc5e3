//! The chain of spill tables: its slots are taken without a lock, and what is empty of it is unlinked meanwhile.
//!
//! Here a spill table has one line, so every key belongs there.

use std::sync::Arc;

use crate::harness::{check, join, spawn};
use cmap::internal::loom::Map;

/// First bytes of keys: those with the same one have equal hashes. The two belong to different homes.
const LOW: u8 = 0x10;
const HIGH: u8 = 0x90;

/// Entries of a full bucket.
const SLOTS: u8 = 8;

/// Of a full bucket: the key that spills, and the next.
const X: &[u8] = &[LOW, SLOTS];
const Y: &[u8] = &[LOW, SLOTS + 1];
const Z: &[u8] = &[HIGH, SLOTS + 1];

/// A map with homes whose buckets are full, and that spilled one key each.
fn spilled(homes: &[u8]) -> Map {
    let map = Map::new();
    for n in 0..SLOTS {
        for &first in homes {
            map.put(&[first, n], 1);
        }
    }
    for &first in homes {
        map.put(&[first, SLOTS], 1);
    }
    map
}

/// Each of two homes takes a slot of its own in the line that they share.
#[test]
fn spill_inserts_of_two_homes() {
    check("spill_inserts_of_two_homes", || {
        let map = Arc::new(spilled(&[LOW, HIGH]));
        let other = map.clone();
        let other = spawn(move || {
            assert_eq!(other.put(Z, 3), None);
            assert_eq!(other.read(Z), Some(3), "an acknowledged put is lost");
        });
        assert_eq!(map.put(Y, 2), None);
        assert_eq!(map.read(Y), Some(2), "an acknowledged put is lost");
        join(other);
        assert_eq!((map.read(Y), map.read(Z)), (Some(2), Some(3)));
        let checked = map.check();
        assert_eq!((checked.entries, checked.spilled), (20, 4));
    });
}

/// A table is unlinked before an insert or stays for it: no entry goes with it.
#[test]
fn spill_insert_against_trim() {
    check("spill_insert_against_trim", || {
        let map = spilled(&[LOW]);
        map.remove(X);
        let map = Arc::new(map);
        let writer = map.clone();
        let writer = spawn(move || {
            assert_eq!(writer.put(X, 2), None);
            assert_eq!(writer.read(X), Some(2), "an acknowledged put is lost");
        });
        map.trim_spill();
        map.reclaim();
        join(writer);
        assert_eq!(map.read(X), Some(2), "an acknowledged put is lost");
        let checked = map.check();
        assert_eq!((checked.entries, checked.spilled), (9, 1));
    });
}

/// A key is counted in the filter as long as it can be found: another one that leaves the same counters does not hide it.
#[test]
fn spill_filter_of_two_homes() {
    check("spill_filter_of_two_homes", || {
        let map = spilled(&[LOW, HIGH]);
        map.remove(&[HIGH, SLOTS]);
        let map = Arc::new(map);
        let reader = map.clone();
        let reader = spawn(move || {
            if reader.read(Z).is_some() {
                assert_eq!(reader.remove(X), Some(1));
                assert!(reader.read(Z).is_some(), "found, and then absent");
            }
        });
        assert_eq!(map.put(Z, 3), None);
        join(reader);
        assert_eq!(map.read(Z), Some(3), "an acknowledged put is lost");
        map.check();
    });
}

/// Who is at a table that is unlinked goes on to the next.
#[test]
fn trim_against_get() {
    check("trim_against_get", || {
        let map = spilled(&[LOW]);
        map.grow_spill();
        let map = Arc::new(map);
        let reader = map.clone();
        let reader = spawn(move || {
            for _ in 0..2 {
                let seen = reader.read(X);
                assert_eq!(seen, Some(1), "a key that is never removed is absent");
            }
        });
        assert!(map.trim_spill(), "the younger of two is empty");
        map.reclaim();
        join(reader);
        assert_eq!(map.read(X), Some(1));
        let checked = map.check();
        assert_eq!((checked.tables, checked.spilled), (2, 1));
    });
}
