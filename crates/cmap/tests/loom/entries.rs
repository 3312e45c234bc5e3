//! One key, one bucket: publishing, replacing and removing against each other and against readers.

use std::sync::Arc;

use crate::harness::{check_without_bound, join, spawn};
use cmap::internal::loom::Map;

const KEY: &[u8] = b"k";

/// A reader sees the value before or the one after, each whole, and never the one before again.
#[test]
fn publish_against_get() {
    check_without_bound("publish_against_get", || {
        let map = Arc::new(Map::new());
        map.put(KEY, 1);
        let reader = map.clone();
        let reader = spawn(move || (reader.read(KEY), reader.read(KEY)));
        assert_eq!(map.put(KEY, 2), Some(1));
        let seen = join(reader);
        let allowed = [(1, 1), (1, 2), (2, 2)].map(|(a, b)| (Some(a), Some(b)));
        assert!(allowed.contains(&seen), "a reader saw {seen:?}");
        assert_eq!(map.check().entries, 1);
    });
}

/// Of two replacements one comes first, and the other returns its value.
#[test]
fn put_against_put_of_one_key() {
    check_without_bound("put_against_put_of_one_key", || {
        let map = Arc::new(Map::new());
        map.put(KEY, 1);
        let other = map.clone();
        let other = spawn(move || other.put(KEY, 2));
        let mine = map.put(KEY, 3);
        let answers = (mine, join(other), map.read(KEY));
        let allowed = [(1, 3, 2), (2, 1, 3)].map(|(a, b, c)| (Some(a), Some(b), Some(c)));
        assert!(allowed.contains(&answers), "{answers:?}");
        assert_eq!(map.check().entries, 1);
    });
}

#[test]
fn put_against_remove_of_one_key() {
    check_without_bound("put_against_remove_of_one_key", || {
        let map = Arc::new(Map::new());
        map.put(KEY, 1);
        let other = map.clone();
        let other = spawn(move || other.remove(KEY));
        let mine = map.put(KEY, 2);
        let answers = (mine, join(other), map.read(KEY));
        let allowed = [(Some(1), Some(2), None), (None, Some(1), Some(2))];
        assert!(allowed.contains(&answers), "{answers:?}");
        assert_eq!(map.check().entries, map.len());
    });
}

/// One of two inserters of a fresh key is first; there is one entry, and one thread that made it.
#[test]
fn two_inserts_of_one_fresh_key() {
    check_without_bound("two_inserts_of_one_fresh_key", || {
        let map = Arc::new(Map::new());
        map.put(b"other", 9);
        let other = map.clone();
        let other = spawn(move || other.put_if_absent(KEY, 2));
        let mine = map.put_if_absent(KEY, 3);
        let others = join(other);
        assert!(mine != others, "{mine} and {others}");
        assert_eq!(map.read(KEY), Some(if mine { 3 } else { 2 }));
        assert_eq!(map.check().entries, 2);
    });
}
