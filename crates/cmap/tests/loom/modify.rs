//! Read-modify-write against every other kind of write: what was computed is stored only over what it was computed from.

use std::sync::Arc;

use crate::harness::{check, join, spawn};
use cmap::internal::loom::Map;

const KEY: &[u8] = b"k";

fn holding(value: u8) -> Arc<Map> {
    let map = Map::new();
    map.put(KEY, value);
    Arc::new(map)
}

/// Neither addition is lost, and each returns what it added to.
#[test]
fn add_against_add() {
    check("add_against_add", || {
        let map = holding(1);
        let other = map.clone();
        let other = spawn(move || other.add(KEY, 2));
        let mine = map.add(KEY, 4);
        let answers = (mine, join(other), map.read(KEY));
        let allowed = [(1, 5, Some(7)), (3, 1, Some(7))];
        assert!(allowed.contains(&answers), "{answers:?}");
        assert_eq!(map.check().entries, 1);
    });
}

/// Of two additions to a fresh key one makes it.
#[test]
fn add_against_add_of_a_fresh_key() {
    check("add_against_add_of_a_fresh_key", || {
        let map = Arc::new(Map::new());
        map.put(b"other", 9);
        let other = map.clone();
        let other = spawn(move || other.add(KEY, 2));
        let mine = map.add(KEY, 4);
        let answers = (mine, join(other), map.read(KEY));
        let allowed = [(0, 4, Some(6)), (2, 0, Some(6))];
        assert!(allowed.contains(&answers), "{answers:?}");
        assert_eq!(map.check().entries, 2);
    });
}

/// The addition comes before the put, and is overwritten; or after it, and adds to it.
#[test]
fn add_against_put() {
    check("add_against_put", || {
        let map = holding(1);
        let other = map.clone();
        let other = spawn(move || other.put(KEY, 2));
        let mine = map.add(KEY, 4);
        let answers = (mine, join(other), map.read(KEY));
        let allowed = [(1, Some(5), Some(2)), (2, Some(1), Some(6))];
        assert!(allowed.contains(&answers), "{answers:?}");
        assert_eq!(map.check().entries, 1);
    });
}

#[test]
fn add_against_remove() {
    check("add_against_remove", || {
        let map = holding(1);
        let other = map.clone();
        let other = spawn(move || other.remove(KEY));
        let mine = map.add(KEY, 4);
        let answers = (mine, join(other), map.read(KEY));
        let allowed = [(1, Some(5), None), (0, Some(1), Some(4))];
        assert!(allowed.contains(&answers), "{answers:?}");
        assert_eq!(map.check().entries, map.len());
    });
}

/// Only the value that was judged is removed: what was put in its place stays.
#[test]
fn remove_if_against_put() {
    check("remove_if_against_put", || {
        let map = holding(1);
        let other = map.clone();
        let other = spawn(move || other.put(KEY, 2));
        let mine = map.remove_if(KEY, 1);
        let answers = (mine, join(other), map.read(KEY));
        let allowed = [(true, None, Some(2)), (false, Some(1), Some(2))];
        assert!(allowed.contains(&answers), "{answers:?}");
        assert_eq!(map.check().entries, 1);
    });
}

/// An entry that is moved meanwhile is added to where it is then, and neither copy comes back.
#[test]
fn add_against_relocation() {
    check("add_against_relocation", || {
        let map = holding(1);
        map.seal();
        let other = map.clone();
        let other = spawn(move || {
            other.compact_once();
            other.reclaim();
        });
        assert_eq!(map.add(KEY, 4), 1);
        join(other);
        assert_eq!(map.read(KEY), Some(5), "an acknowledged addition is lost");
        assert_eq!(map.check().entries, 1);
    });
}

#[test]
fn add_against_clear() {
    check("add_against_clear", || {
        let map = holding(1);
        let other = map.clone();
        let other = spawn(move || other.clear());
        let mine = map.add(KEY, 4);
        join(other);
        let answers = (mine, map.read(KEY));
        let allowed = [(1, None), (0, Some(4))];
        assert!(allowed.contains(&answers), "{answers:?}");
        assert_eq!(map.check().entries, map.len());
    });
}

/// What is written in place is seen whole.
#[test]
fn put_in_place_against_get() {
    check("put_in_place_against_get", || {
        let map = holding(1);
        let reader = map.clone();
        let reader = spawn(move || reader.read(KEY));
        map.put_in_place(KEY, 2);
        let seen = join(reader);
        assert!([Some(1), Some(2)].contains(&seen), "{seen:?}");
        assert_eq!(map.read(KEY), Some(2));
        assert_eq!(map.check().entries, 1);
    });
}

/// A `clear` that comes between loses nothing of what was written once, and is not undone.
#[test]
fn put_in_place_against_clear() {
    check("put_in_place_against_clear", || {
        let map = holding(1);
        let other = map.clone();
        let other = spawn(move || {
            other.clear();
            other.reclaim();
        });
        map.put_in_place(KEY, 2);
        join(other);
        let left = map.read(KEY);
        assert!([None, Some(2)].contains(&left), "{left:?}");
        assert_eq!(map.check().entries, map.len());
    });
}
