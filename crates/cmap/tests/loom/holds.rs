//! Values that are held beyond pins, while what they lie in is unlinked, given up, and used again by others.

use std::sync::Arc;

use crate::harness::{check, join, spawn};
use cmap::internal::loom::{Map, Pool};

const KEY: &[u8] = b"k";

/// Whoever comes last gives the chunk back: the one who gives it up, or the one who held it.
#[test]
fn hold_against_put_and_reclaim() {
    check("hold_against_put_and_reclaim", || {
        let map = Arc::new(Map::new());
        map.put(KEY, 1);
        map.seal();
        let reader = map.clone();
        let reader = spawn(move || {
            let held = reader.hold(KEY).expect("it is never removed");
            let value = held.read();
            assert!(value == 1 || value == 2);
            assert_eq!(held.read(), value, "a held value changed");
        });
        assert_eq!(map.put(KEY, 2), Some(1));
        map.reclaim();
        join(reader);
        map.reclaim();
        assert_eq!(map.held_bytes(), 0);
        assert_eq!(
            map.check().chunks_in_use,
            2,
            "one of the log, one of tables"
        );
    });
}

/// Of two that hold a chunk which was given up, the last gives it back, and only that one.
#[test]
fn two_holds_of_what_was_given_up() {
    check("two_holds_of_what_was_given_up", || {
        let map = Arc::new(Map::new());
        map.put(KEY, 1);
        map.seal();
        let held = map.hold(KEY).expect("just put");
        let other = held.clone();
        map.put(KEY, 2);
        map.reclaim();
        assert!(map.held_bytes() > 0, "nothing but holds keeps the chunk");
        let other = spawn(move || assert_eq!(other.read(), 1));
        assert_eq!(held.read(), 1);
        drop(held);
        // What is given back is dealt out again.
        map.seal();
        map.put(KEY, 3);
        join(other);
        assert_eq!(map.held_bytes(), 0);
        assert_eq!(map.check().entries, 1);
    });
}

/// A hold goes to another thread while the chunk is given up, and is cloned there.
#[test]
fn clone_against_give_up() {
    check("clone_against_give_up", || {
        let map = Arc::new(Map::new());
        map.put(KEY, 1);
        map.seal();
        let held = map.hold(KEY).expect("just put");
        let other = spawn(move || {
            let second = held.clone();
            drop(held);
            assert_eq!(second.read(), 1);
        });
        map.put(KEY, 2);
        map.reclaim();
        join(other);
        map.reclaim();
        assert_eq!(map.held_bytes(), 0);
        assert_eq!(map.check().entries, 1);
    });
}

/// The map is dropped while a value of it is held: what is held goes back to the pool when the hold ends.
#[test]
fn hold_against_drop_of_the_map() {
    check("hold_against_drop_of_the_map", || {
        let pool = Pool::new();
        let map = Map::sharing(&pool);
        map.put(KEY, 1);
        let held = map.hold(KEY).expect("just put");
        let other = spawn(move || assert_eq!(held.read(), 1));
        drop(map);
        let next = Map::sharing(&pool);
        next.put(KEY, 3);
        join(other);
        assert_eq!(next.read(KEY), Some(3));
    });
}
