//! Generations and whole maps: clearing and dropping against the operations that are under way.

use std::sync::Arc;

use crate::harness::{check, join, spawn};
use cmap::internal::loom::{Map, Pool};

const KEY: &[u8] = b"k";

/// Before or after the clearing, and nothing in between; what was read stays as long as its pin.
#[test]
fn clear_against_put_and_get() {
    check("clear_against_put_and_get", || {
        let map = Arc::new(Map::new());
        map.put(KEY, 1);
        let (writer, reader) = (map.clone(), map.clone());
        let writer = spawn(move || writer.put(KEY, 2));
        let reader = spawn(move || {
            let pin = reader.pin();
            let seen = reader.get(KEY, &pin);
            assert!(
                seen.is_none_or(|value| value == [1] || value == [2]),
                "{seen:?}"
            );
        });
        map.clear();
        let old = join(writer);
        join(reader);
        let left = map.read(KEY);
        // Replaced, and cleared with the rest; or put after the clearing.
        let allowed = [(Some(1), None), (None, Some(2))];
        assert!(allowed.contains(&(old, left)), "{:?}", (old, left));
        assert_eq!(map.check().entries, map.len());
    });
}

#[test]
fn first_puts_of_an_empty_map_against_each_other() {
    check("first_puts_of_an_empty_map_against_each_other", || {
        let map = Arc::new(Map::new());
        let other = map.clone();
        let other = spawn(move || other.put(b"a", 1));
        assert_eq!(map.put(b"b", 2), None);
        assert_eq!(join(other), None);
        assert_eq!((map.read(b"a"), map.read(b"b")), (Some(1), Some(2)));
        assert_eq!(map.check().entries, 2);
    });
}

/// Two cleared generations wait, and a table; two threads give back. Each generation is taken apart by one of them, to its end,
/// and what is not one by either.
#[test]
fn two_threads_take_two_generations_apart() {
    check("two_threads_take_two_generations_apart", || {
        let map = Map::new();
        let pin = map.pin();
        for value in 1..=2 {
            map.put(KEY, value);
            map.clear();
        }
        drop(pin);
        map.put(KEY, 3);
        let map = Arc::new(map);
        let other = map.clone();
        let other = spawn(move || {
            other.reclaim();
            other.reclaim();
        });
        assert!(map.rebuild(KEY), "nobody else replaces it");
        map.reclaim();
        map.reclaim();
        join(other);
        assert_eq!(map.read(KEY), Some(3));
        // A chunk with the entry, one with its table; nothing is left of the others.
        let checked = map.check();
        assert_eq!((checked.entries, checked.chunks_in_use), (1, 2));
    });
}

/// Two threads give back what one of them cleared, and one looks: what that one sees stays while it is pinned.
#[test]
fn clear_and_reclaim_against_reclaim_and_get() {
    check("clear_and_reclaim_against_reclaim_and_get", || {
        let map = Map::new();
        map.put(KEY, 1);
        let map = Arc::new(map);
        let (other, reader) = (map.clone(), map.clone());
        let other = spawn(move || {
            other.reclaim();
        });
        let reader = spawn(move || {
            let pin = reader.pin();
            let seen = reader.get(KEY, &pin);
            assert!(seen.is_none_or(|value| value == [1]), "{seen:?}");
        });
        map.clear();
        map.reclaim();
        join(other);
        join(reader);
        assert_eq!(map.check().chunks_in_use, 0, "of a generation that is gone");
    });
}

/// The last of two owners drops the map, whoever that is, after the other's last look.
#[test]
fn drop_of_the_map_against_the_last_pin() {
    check("drop_of_the_map_against_the_last_pin", || {
        let pool = Pool::new();
        let map = loom::sync::Arc::new(Map::sharing(&pool));
        map.put(KEY, 1);
        let other = map.clone();
        let other = spawn(move || {
            let pin = other.pin();
            let seen = other.get(KEY, &pin).expect("it is never removed");
            assert!(seen == [1] || seen == [2], "{seen:?}");
            drop(pin);
            drop(other);
        });
        map.put(KEY, 2);
        drop(map);
        // What the dropped map had may be another's by now.
        let next = Map::sharing(&pool);
        next.put(KEY, 3);
        join(other);
        assert_eq!(next.read(KEY), Some(3));
    });
}
