//! Scans against what moves entries: from slot to slot, from table to table, from chunk to chunk. A key that is there throughout
//! is shown once, any other at most once.

use std::sync::Arc;

use crate::harness::{check, join, spawn};
use cmap::internal::loom::Map;

/// Their hashes share the first byte alone, so that they share a bucket; `LOW` and `HIGH` part when a table is split.
const A: &[u8] = b"\x10a";
const B: &[u8] = b"\x10b";
const LOW: &[u8] = b"\x11";
const HIGH: &[u8] = b"\xee";

/// How often a scan showed a key, and the value that it had.
fn count(shown: &[(Vec<u8>, u8)], key: &[u8]) -> (usize, Option<u8>) {
    let mut of_key = shown.iter().filter(|(shown, _)| shown == key);
    let value = of_key.next().map(|&(_, value)| value);
    (usize::from(value.is_some()) + of_key.count(), value)
}

/// A key that is removed and comes back, in another slot, is not shown in both.
#[test]
fn scan_against_a_key_that_changes_its_slot() {
    check("scan_against_a_key_that_changes_its_slot", || {
        let map = Arc::new(Map::new());
        map.put(LOW, 1);
        map.put(A, 2);
        let scanner = map.clone();
        let scanner = spawn(move || scanner.scan());
        assert_eq!(map.remove(A), Some(2));
        map.put(B, 3);
        map.put(A, 4);
        let shown = join(scanner);
        assert_eq!(count(&shown, LOW), (1, Some(1)), "{shown:?}");
        assert!(count(&shown, A).0 <= 1, "shown twice: {shown:?}");
        assert!(count(&shown, B).0 <= 1, "shown twice: {shown:?}");
        assert_eq!(map.check().entries, 3);
    });
}

#[test]
fn scan_against_split() {
    check("scan_against_split", || {
        let map = Arc::new(Map::new());
        map.put(LOW, 1);
        map.put(HIGH, 2);
        let scanner = map.clone();
        let scanner = spawn(move || scanner.scan());
        map.split(LOW);
        let shown = join(scanner);
        assert_eq!(count(&shown, LOW), (1, Some(1)), "{shown:?}");
        assert_eq!(count(&shown, HIGH), (1, Some(2)), "{shown:?}");
    });
}

/// The merged table's bucket holds what the scan has shown already.
#[test]
fn scan_against_merge() {
    check("scan_against_merge", || {
        let map = Arc::new(Map::new());
        map.put(LOW, 1);
        map.put(HIGH, 2);
        map.split(LOW);
        let scanner = map.clone();
        let scanner = spawn(move || scanner.scan());
        assert!(map.merge(LOW), "nothing was merged");
        let shown = join(scanner);
        assert_eq!(count(&shown, LOW), (1, Some(1)), "{shown:?}");
        assert_eq!(count(&shown, HIGH), (1, Some(2)), "{shown:?}");
        assert_eq!(map.check().entries, 2);
    });
}

/// What is replaced, moved and freed meanwhile is shown once, with a value that it had.
#[test]
fn scan_against_put_and_relocation() {
    check("scan_against_put_and_relocation", || {
        let map = Arc::new(Map::new());
        map.put(LOW, 1);
        map.put(HIGH, 2);
        map.seal();
        let other = map.clone();
        let other = spawn(move || {
            other.put(HIGH, 3);
            other.compact_once();
            other.reclaim();
        });
        let shown = map.scan();
        join(other);
        assert_eq!(count(&shown, LOW), (1, Some(1)), "{shown:?}");
        let high = count(&shown, HIGH);
        assert!([(1, Some(2)), (1, Some(3))].contains(&high), "{shown:?}");
    });
}

/// Only the value that was judged goes; of two that sweep, one removes it.
#[test]
fn retain_against_put() {
    check("retain_against_put", || {
        let map = Arc::new(Map::new());
        map.put(LOW, 1);
        let other = map.clone();
        let other = spawn(move || other.put(LOW, 2));
        let removed = map.retain_not(1);
        let old = join(other);
        let answers = (removed, old, map.read(LOW));
        let allowed = [(1, None, Some(2)), (0, Some(1), Some(2))];
        assert!(allowed.contains(&answers), "{answers:?}");
        assert_eq!(map.check().entries, 1);
    });
}

#[test]
fn retain_against_retain() {
    check("retain_against_retain", || {
        let map = Arc::new(Map::new());
        map.put(LOW, 1);
        let other = map.clone();
        let other = spawn(move || other.retain_not(1));
        let removed = map.retain_not(1);
        assert_eq!(removed + join(other), 1);
        assert_eq!(map.check().entries, 0);
    });
}
