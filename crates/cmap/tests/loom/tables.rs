//! Tables that are replaced while their buckets are read and written: rebuilding, splitting, merging.

use std::sync::Arc;

use crate::harness::{check, check_without_bound, join, spawn};
use cmap::internal::loom::Map;

/// The two keys belong to different halves of the hashes.
const LOW: &[u8] = b"\x10";
const HIGH: &[u8] = b"\x90";

/// A map of one table with these keys, each of value 1.
fn map(keys: &[&[u8]]) -> Arc<Map> {
    let map = Map::new();
    for key in keys {
        map.put(key, 1);
    }
    Arc::new(map)
}

/// Reads a key twice: what it sees is never older than before, and of what is there throughout it never misses any.
fn reads(map: &Map, key: &[u8]) -> [u8; 2] {
    let seen = [0; 2].map(|_| {
        map.read(key)
            .expect("Stable-slot: a key that is never removed is absent")
    });
    assert!(seen[0] <= seen[1], "first {}, then {}", seen[0], seen[1]);
    seen
}

/// What a write acknowledged is there, whichever table it went to.
#[test]
fn same_size_rebuild_against_put_and_get() {
    check("same_size_rebuild_against_put_and_get", || {
        let map = map(&[LOW]);
        let (writer, reader) = (map.clone(), map.clone());
        let writer = spawn(move || {
            assert_eq!(writer.put(LOW, 2), Some(1));
            assert_eq!(writer.read(LOW), Some(2), "an acknowledged put is lost");
        });
        let reader = spawn(move || reads(&reader, LOW));
        map.rebuild(LOW);
        join(writer);
        join(reader);
        assert_eq!(map.read(LOW), Some(2), "an acknowledged put is lost");
        assert_eq!(map.check().entries, 1);
    });
}

#[test]
fn same_size_rebuild_against_remove_and_insert() {
    check_without_bound("same_size_rebuild_against_remove_and_insert", || {
        let map = map(&[LOW]);
        let writer = map.clone();
        let writer = spawn(move || {
            assert_eq!(writer.remove(LOW), Some(1));
            assert_eq!(writer.read(LOW), None, "a removed key came back");
            assert!(writer.put_if_absent(HIGH, 2));
            assert_eq!(writer.read(HIGH), Some(2), "an acknowledged put is lost");
        });
        map.rebuild(LOW);
        join(writer);
        assert_eq!((map.read(LOW), map.read(HIGH)), (None, Some(2)));
        assert_eq!(map.check().entries, 1);
    });
}

#[test]
fn split_against_put_and_get() {
    check("split_against_put_and_get", || {
        let map = map(&[LOW, HIGH]);
        let (writer, reader) = (map.clone(), map.clone());
        let writer = spawn(move || {
            assert_eq!(writer.put(HIGH, 2), Some(1));
            assert_eq!(writer.read(HIGH), Some(2), "an acknowledged put is lost");
        });
        let reader = spawn(move || reads(&reader, HIGH));
        map.split(LOW);
        join(writer);
        join(reader);
        assert_eq!((map.read(LOW), map.read(HIGH)), (Some(1), Some(2)));
        let checked = map.check();
        assert_eq!((checked.entries, checked.tables), (2, 2));
    });
}

#[test]
fn merge_against_put_and_get_in_both_halves() {
    check("merge_against_put_and_get_in_both_halves", || {
        let map = map(&[LOW, HIGH]);
        map.split(LOW);
        let (writer, reader) = (map.clone(), map.clone());
        let writer = spawn(move || {
            assert_eq!(writer.put(HIGH, 2), Some(1));
            assert_eq!(writer.read(HIGH), Some(2), "an acknowledged put is lost");
        });
        let reader = spawn(move || reader.read(LOW).expect("Stable-slot: it is never removed"));
        map.merge(LOW);
        join(writer);
        join(reader);
        assert_eq!((map.read(LOW), map.read(HIGH)), (Some(1), Some(2)));
        let checked = map.check();
        assert_eq!((checked.entries, checked.tables), (2, 1));
    });
}

/// The program that a directory by levels got wrong: a writer that resolved long ago, and a reader that comes after it.
#[test]
fn split_then_merge_against_insert_and_get() {
    check("split_then_merge_against_insert_and_get", || {
        let map = map(&[HIGH]);
        let writer = map.clone();
        let writer = spawn(move || {
            assert!(writer.put_if_absent(LOW, 2));
            assert_eq!(writer.read(LOW), Some(2), "an acknowledged put is lost");
        });
        map.split(LOW);
        map.merge(LOW);
        let seen = [map.read(LOW), map.read(LOW)];
        assert!(seen[0].is_none() || seen[1].is_some(), "{seen:?}");
        join(writer);
        assert_eq!((map.read(LOW), map.read(HIGH)), (Some(2), Some(1)));
        assert_eq!(map.check().entries, 2);
    });
}

/// A scan that still finds the old table for the lower half must not take it for the upper one, which has a new table by then.
#[test]
fn split_of_the_upper_half_against_put_and_scan() {
    check("split_of_the_upper_half_against_put_and_scan", || {
        let map = map(&[LOW, HIGH]);
        let writer = map.clone();
        let writer = spawn(move || {
            assert_eq!(writer.put(HIGH, 2), Some(1));
            let shown = writer.scan();
            let expected = [(LOW.to_vec(), 1), (HIGH.to_vec(), 2)];
            assert_eq!(shown, expected, "a scan is late");
        });
        map.split(HIGH);
        join(writer);
        let checked = map.check();
        assert_eq!((checked.entries, checked.tables), (2, 2));
    });
}

/// Two threads want to replace one table: one does, and the other finds that out.
#[test]
fn split_against_rebuild_and_reclaim() {
    check("split_against_rebuild_and_reclaim", || {
        let map = map(&[LOW, HIGH]);
        let other = map.clone();
        let other = spawn(move || {
            other.rebuild(HIGH);
            other.reclaim();
            reads(&other, HIGH)
        });
        map.split(LOW);
        map.reclaim();
        reads(&map, LOW);
        join(other);
        assert_eq!(map.check().entries, 2);
    });
}

/// Entries move while their table is replaced: what the new one leads to is there, and no copy and no original is left over.
fn replaced_while_entries_move(
    name: &'static str,
    before: fn(&Map),
    replace: fn(&Map),
    tables: usize,
) {
    check(name, move || {
        let map = map(&[LOW]);
        before(&map);
        map.seal();
        let compactor = map.clone();
        let compactor = spawn(move || {
            compactor.compact_once();
            reads(&compactor, LOW);
        });
        replace(&map);
        reads(&map, LOW);
        join(compactor);
        assert_eq!(map.read(LOW), Some(1));
        let checked = map.check();
        assert_eq!((checked.entries, checked.tables), (1, tables));
    });
}

#[test]
fn same_size_rebuild_against_relocation() {
    let rebuild = |map: &Map| assert!(map.rebuild(LOW), "nobody else replaces it");
    replaced_while_entries_move("same_size_rebuild_against_relocation", |_| (), rebuild, 1);
}

#[test]
fn split_against_relocation() {
    replaced_while_entries_move("split_against_relocation", |_| (), |map| map.split(LOW), 2);
}

#[test]
fn merge_against_relocation() {
    let merge = |map: &Map| assert!(map.merge(LOW), "nobody else replaces them");
    replaced_while_entries_move("merge_against_relocation", |map| map.split(LOW), merge, 1);
}
