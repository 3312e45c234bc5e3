//! The space of dead entries, filled by new ones, while readers, holds and walks may still be there.

use std::sync::Arc;

use crate::harness::{check, join, spawn};
use cmap::internal::loom::Map;

const KEY: &[u8] = b"k";
const OTHER: &[u8] = b"other";

/// A map whose lane keeps holes, with one entry of value 1.
fn keeping() -> Arc<Map> {
    let map = Map::new();
    map.put(KEY, 1);
    map.keep_holes();
    Arc::new(map)
}

/// The same, where the space of that entry is ripe, and the value 2.
fn ripe() -> Arc<Map> {
    let map = keeping();
    assert_eq!(map.put(KEY, 2), Some(1));
    map.ripen();
    map.ripen();
    map
}

/// What a pin shows stays as it is, though its space is wanted for something else.
#[test]
fn hole_filled_against_get() {
    check("hole_filled_against_get", || {
        let map = keeping();
        let reader = map.clone();
        let reader = spawn(move || {
            let pin = reader.pin();
            let seen = reader.get(KEY, &pin).expect("it is never removed");
            let value = seen[0];
            assert!((1..=3).contains(&value));
            assert_eq!(seen, &[value], "a pinned value changed");
            let again = reader.get(KEY, &pin).expect("it is never removed");
            assert!(again[0] >= value, "an older value came back");
            assert_eq!(seen, &[value], "a pinned value changed");
        });
        assert_eq!(map.put(KEY, 2), Some(1));
        map.ripen();
        map.ripen();
        assert_eq!(map.put(KEY, 3), Some(2));
        join(reader);
        assert_eq!(map.read(KEY), Some(3));
        assert_eq!(map.check().entries, 1);
    });
}

/// The same of a value that is held beyond pins.
#[test]
fn hole_filled_against_hold() {
    check("hole_filled_against_hold", || {
        let map = keeping();
        let reader = map.clone();
        let reader = spawn(move || {
            let held = reader.hold(KEY).expect("it is never removed");
            let value = held.read();
            assert!((1..=3).contains(&value));
            assert_eq!(held.read(), value, "a held value changed");
        });
        assert_eq!(map.put(KEY, 2), Some(1));
        map.ripen();
        map.ripen();
        assert_eq!(map.put(KEY, 3), Some(2));
        join(reader);
        assert_eq!(map.read(KEY), Some(3));
        assert_eq!(map.check().entries, 1);
    });
}

/// A walk meets no hole that is being filled, and takes what is in one that was filled before with it.
#[test]
fn hole_filled_against_walk() {
    check("hole_filled_against_walk", || {
        let map = ripe();
        map.put(OTHER, 9);
        map.seal();
        let writer = map.clone();
        let writer = spawn(move || assert_eq!(writer.put(KEY, 3), Some(2)));
        map.compact_once();
        join(writer);
        assert_eq!((map.read(KEY), map.read(OTHER)), (Some(3), Some(9)));
        map.reclaim();
        assert_eq!(map.check().entries, 2);
    });
}

/// What dies in a chunk while a walk is in it is no hole: its space is not filled before the walk ends.
#[test]
fn walk_against_what_dies_in_it() {
    check("walk_against_what_dies_in_it", || {
        let map = Map::new();
        map.put(OTHER, 9);
        map.put(KEY, 1);
        map.keep_holes();
        map.seal();
        // The walk moves one, and rests.
        map.compact_one();
        let map = Arc::new(map);
        let walker = map.clone();
        let walker = spawn(move || walker.compact_once());
        assert_eq!(map.put(KEY, 2), Some(1));
        map.ripen();
        map.ripen();
        assert_eq!(map.put(KEY, 3), Some(2));
        join(walker);
        assert_eq!((map.read(KEY), map.read(OTHER)), (Some(3), Some(9)));
        assert_eq!(map.check().entries, 2);
    });
}

/// A dead entry's space is filled once, by one of two, and what the other appends is as good.
#[test]
fn hole_wanted_by_two() {
    check("hole_wanted_by_two", || {
        let map = ripe();
        let writer = map.clone();
        let writer = spawn(move || assert_eq!(writer.put(b"l", 5), None));
        assert_eq!(map.put(KEY, 3), Some(2));
        join(writer);
        assert_eq!((map.read(KEY), map.read(b"l")), (Some(3), Some(5)));
        assert_eq!(map.check().entries, 2);
    });
}

/// A list that is given up and made anew while a thread stamps: what is in the new one is not ripe by the old one's stamp.
#[test]
fn list_made_anew_against_ripen() {
    check("list_made_anew_against_ripen", || {
        let map = keeping();
        assert_eq!(map.put(KEY, 2), Some(1));
        let other = map.clone();
        let other = spawn(move || other.ripen());
        map.give_holes_up();
        map.keep_holes();
        let pin = map.pin();
        let seen = map.get(KEY, &pin).expect("it is never removed");
        assert_eq!(map.put(KEY, 3), Some(2));
        map.ripen();
        map.ripen();
        assert_eq!(map.put(KEY, 4), Some(3));
        assert_eq!(seen, &[2], "a pinned value changed");
        drop(pin);
        join(other);
        assert_eq!(map.check().entries, 1);
    });
}
