//! Entries that are moved while they are read, replaced and removed; chunks that are freed and used again.

use std::sync::Arc;

use crate::harness::{check, check_without_bound, join, spawn};
use cmap::internal::loom::Map;

const KEY: &[u8] = b"k";

/// A map whose only entry, of value 1, lies in a sealed chunk.
fn sealed() -> Arc<Map> {
    let map = Map::new();
    map.put(KEY, 1);
    map.seal();
    Arc::new(map)
}

/// The newer value stays, whichever copy of the older one it replaces.
#[test]
fn relocation_against_put() {
    check("relocation_against_put", || {
        let map = sealed();
        let writer = map.clone();
        let writer = spawn(move || {
            assert_eq!(writer.put(KEY, 2), Some(1));
            assert_eq!(writer.read(KEY), Some(2), "an acknowledged put is lost");
        });
        map.compact_once();
        join(writer);
        assert_eq!(map.read(KEY), Some(2), "an acknowledged put is lost");
        assert_eq!(map.check().entries, 1);
    });
}

#[test]
fn relocation_against_remove() {
    check("relocation_against_remove", || {
        let map = sealed();
        let remover = map.clone();
        let remover = spawn(move || {
            assert_eq!(remover.remove(KEY), Some(1));
            assert_eq!(remover.read(KEY), None, "a removed key came back");
        });
        map.compact_once();
        join(remover);
        assert_eq!(map.read(KEY), None, "a removed key came back");
        assert_eq!(map.check().entries, 0);
    });
}

/// What a lane has noted as dead comes off the chunk's count with its stretch, whoever closes that.
#[test]
fn unlinked_against_close() {
    check("unlinked_against_close", || {
        let map = Map::new();
        map.put(KEY, 1);
        let map = Arc::new(map);
        let writer = map.clone();
        let writer = spawn(move || assert_eq!(writer.put(KEY, 2), Some(1)));
        map.seal();
        join(writer);
        assert_eq!(map.check().entries, 1);
        map.seal();
        assert_eq!(map.check().entries, 1);
    });
}

/// A reader that found the entry where it was reads on while it is moved and its chunk waits, and is not freed.
#[test]
fn relocation_against_get_across_the_free() {
    check("relocation_against_get_across_the_free", || {
        let map = sealed();
        let reader = map.clone();
        let reader = spawn(move || {
            let pin = reader.pin();
            let seen = reader.get(KEY, &pin).expect("it is never removed");
            let again = reader.get(KEY, &pin).expect("it is never removed");
            assert_eq!((seen, again), (&[1][..], &[1][..]));
        });
        map.compact_once();
        map.reclaim();
        join(reader);
        assert_eq!(
            map.check().chunks_in_use,
            2,
            "one with the copy, one with the table"
        );
    });
}

/// Two threads compact: one entry, one place, and every copy that nobody published is given back.
#[test]
fn relocation_against_another_relocation() {
    check_without_bound("relocation_against_another_relocation", || {
        let map = sealed();
        let other = map.clone();
        let other = spawn(move || other.compact_once());
        map.compact_once();
        join(other);
        map.compact_once();
        assert_eq!(map.read(KEY), Some(1));
        assert_eq!(map.check().entries, 1);
    });
}

/// Two threads share a seat: neither overwrites the walk that the other left there, whose chunk would never be free.
#[test]
fn walks_of_two_in_one_seat() {
    check("walks_of_two_in_one_seat", || {
        let map = sealed();
        let other = map.clone();
        let other = spawn(move || other.compact_one());
        map.compact_one();
        join(other);
        assert_eq!(map.read(KEY), Some(1));
        assert_eq!(map.check().entries, 1);
    });
}

/// A walk meets an entry that is appended and not published: it looks at no byte that may still be written, be it the first
/// after the header, and the chunk stays, since the entry's bytes still count.
#[test]
fn unpublished_append_against_walk_and_retire() {
    check("unpublished_append_against_walk_and_retire", || {
        let map = Arc::new(Map::new());
        map.put(b"other", 9);
        let writer = map.clone();
        let writer = spawn(move || {
            assert_eq!(writer.put(b"", 1), None);
            assert_eq!(writer.read(b""), Some(1), "an acknowledged put is lost");
        });
        map.seal();
        map.compact_once();
        map.reclaim();
        join(writer);
        map.reclaim();
        assert_eq!((map.read(b""), map.read(b"other")), (Some(1), Some(9)));
        assert_eq!(map.check().entries, 2);
    });
}

/// A chunk is freed and used again, for the same key, while a compactor still holds a location in it.
#[test]
fn reuse_of_a_chunk_against_a_stale_location() {
    check("reuse_of_a_chunk_against_a_stale_location", || {
        let map = sealed();
        let compactor = map.clone();
        let compactor = spawn(move || {
            compactor.compact_once();
        });
        assert_eq!(map.put(KEY, 2), Some(1));
        map.reclaim();
        map.seal();
        assert_eq!(map.put(KEY, 3), Some(2));
        assert_eq!(map.read(KEY), Some(3), "an acknowledged put is lost");
        join(compactor);
        assert_eq!(map.read(KEY), Some(3), "an acknowledged put is lost");
        assert_eq!(map.check().entries, 1);
    });
}
