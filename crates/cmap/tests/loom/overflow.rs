//! Entries beyond their bucket: in an overflow line that buckets share, and displaced into a spill table when a table is split.

use std::sync::Arc;

use crate::harness::{check, join, spawn};
use cmap::internal::loom::Map;

/// Of one bucket, and of the other.
const X: &[u8] = b"\x10x";
const Z: &[u8] = b"\x90z";
/// Of X's hash: looked for in the same lines.
const Y: &[u8] = b"\x10y";

/// Slots of a bucket.
const SLOTS: u8 = 8;

/// Fills the bucket whose keys start with `first` and up. What comes next goes to the overflow line.
fn fill(map: &Map, first: u8) {
    for n in 0..SLOTS {
        map.put(&[first + n], n);
    }
}

/// A map with X in the overflow line.
fn overflowing() -> Arc<Map> {
    let map = Map::of_two_buckets();
    fill(&map, 0);
    map.put(X, 1);
    Arc::new(map)
}

/// The same, with a spill table for X when its table is split: then its bucket has no overflow line, and no place for it.
fn about_to_displace() -> Arc<Map> {
    let map = overflowing();
    map.grow_spill();
    map
}

/// Each of two homes takes a slot of its own in the line that they share.
#[test]
fn overflow_inserts_of_two_homes() {
    check("overflow_inserts_of_two_homes", || {
        let map = Map::of_two_buckets();
        fill(&map, 0);
        fill(&map, 0x80);
        let map = Arc::new(map);
        let other = map.clone();
        let other = spawn(move || {
            assert!(other.put_if_absent(Z, 3));
            assert_eq!(other.read(Z), Some(3), "an acknowledged put is lost");
        });
        assert!(map.put_if_absent(X, 1));
        assert_eq!(map.read(X), Some(1), "an acknowledged put is lost");
        join(other);
        assert_eq!((map.read(X), map.read(Z)), (Some(1), Some(3)));
        assert_eq!(map.check().entries, 18);
    });
}

/// An entry goes, and another takes its slot: who looks there in the time of the first finds the second no sooner than others
/// do.
#[test]
fn overflow_slot_taken_again_against_gets() {
    check("overflow_slot_taken_again_against_gets", || {
        let map = overflowing();
        let reader = map.clone();
        let reader = spawn(move || {
            let pin = reader.pin();
            if reader.get(Y, &pin).is_some() {
                assert!(reader.get(Y, &pin).is_some(), "found, and then absent");
            }
        });
        assert_eq!(map.remove(X), Some(1));
        assert_eq!(map.put(Y, 2), None);
        join(reader);
        assert_eq!((map.read(X), map.read(Y)), (None, Some(2)));
        assert_eq!(map.check().entries, 9);
    });
}

/// The entry is in its old table until the new one, from which on it is in a spill table.
#[test]
fn displacement_against_get() {
    check("displacement_against_get", || {
        let map = about_to_displace();
        let reader = map.clone();
        let reader = spawn(move || {
            for _ in 0..2 {
                let seen = reader.read(X);
                assert_eq!(seen, Some(1), "a key that is never removed is absent");
            }
        });
        map.split(X);
        join(reader);
        assert_eq!(map.read(X), Some(1));
        let checked = map.check();
        assert_eq!((checked.entries, checked.spilled), (9, 1));
    });
}

/// What a writer does to it happens once, wherever it is.
#[test]
fn displacement_against_put() {
    check("displacement_against_put", || {
        let map = about_to_displace();
        let writer = map.clone();
        let writer = spawn(move || {
            assert_eq!(writer.put(X, 2), Some(1), "a key that was there is absent");
            assert_eq!(writer.read(X), Some(2), "an acknowledged put is lost");
        });
        map.split(X);
        join(writer);
        assert_eq!(map.read(X), Some(2), "an acknowledged put is lost");
        let checked = map.check();
        assert_eq!((checked.entries, checked.spilled), (9, 1));
    });
}
