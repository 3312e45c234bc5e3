//! Tables that are replaced, and scans of them, while their keys are read and written.

use std::collections::BTreeMap;

use crate::harness::{check, draw};
use crate::world::{A, B, World, join, key, number_of, spawn, tiny, value};
use cmap::internal;

/// Splits and merges around two keys.
#[test]
fn splits_and_merges_against_get_and_put() {
    check(
        "splits_and_merges_against_get_and_put",
        || {
            let world = World::new(tiny());
            for k in [A, B] {
                world.insert(k, 1, 4);
            }
            for k in 10..10 + 4 + draw(3) as u8 {
                world.map.insert(&key(k), b"1").expect("there is memory");
            }
            let grown = world.clone();
            let grower = spawn(move || {
                for k in 20..26 {
                    grown.map.insert(&key(k), b"2").expect("there is memory");
                }
                for k in (10..17).chain(20..26) {
                    grown.map.remove(&key(k));
                }
                grown.map.shrink_to_fit();
            });
            let reader = world.clone();
            let reader = spawn(move || {
                for _ in 0..4 {
                    assert_eq!(reader.get(A), Some(1), "Stable-slot: it is never removed");
                }
            });
            let writer = world.clone();
            let writer = spawn(move || {
                for id in 2..5 {
                    writer.any_call(B, id, 4);
                }
            });
            join([grower, reader, writer]);
            world.end();
        },
        |did| did.splits > 0 && did.merges > 0,
    );
}

/// Tables with overflow lines, worn by entries that come and go, are replaced by ones of their size.
#[test]
fn rebuilds_against_get_and_put() {
    check(
        "rebuilds_against_get_and_put",
        || {
            let world = World::new(internal::tiny_wide());
            for k in [A, B] {
                world.insert(k, 1, 4);
            }
            let churned = world.clone();
            let churner = spawn(move || {
                for k in 10..30 {
                    churned.map.insert(&key(k), b"2").expect("there is memory");
                    if k >= 16 {
                        churned.map.remove(&key(k - 6));
                    }
                }
            });
            let caller = |thread: u32| {
                let world = world.clone();
                spawn(move || {
                    for n in 0..3 {
                        assert_eq!(world.get(A), Some(1), "Stable-slot: it is never removed");
                        world.any_call(B, 10 * thread + n, 4);
                    }
                })
            };
            let callers = [1, 2].map(caller);
            join([churner]);
            join(callers);
            world.end();
        },
        |did| did.rebuilds > 0,
    );
}

/// Entries that come and go in an overflow line: a reader that looks there in the time of one finds the next no sooner than
/// others do.
#[test]
fn overflow_entries_against_get() {
    check(
        "overflow_entries_against_get",
        || {
            let world = World::of_one_bucket();
            for k in 10..18 {
                world.map.insert(&key(k), b"1").expect("there is memory");
            }
            // The ninth.
            world.insert(A, 1, 4);
            let changed = world.clone();
            let changer = spawn(move || {
                for id in [2, 4, 6] {
                    changed.remove(A);
                    changed.insert(B, id, 4);
                    changed.remove(B);
                    changed.insert(A, id + 1, 4);
                }
            });
            let reader = world.clone();
            let reader = spawn(move || {
                for _ in 0..6 {
                    reader.get(A);
                    reader.get(B);
                }
            });
            join([changer, reader]);
            assert_eq!(world.map.stats().spilled, 0);
            world.end();
        },
        |did| did.rebuilds > 0,
    );
}

/// A key present for the whole scan is shown once, with a value that it had meanwhile, though it be replaced and moved; any
/// other at most once; one absent throughout never.
#[test]
fn scans_during_growth_and_compaction() {
    check(
        "scans_during_growth_and_compaction",
        || {
            let world = World::new(tiny());
            let map = &world.map;
            for k in 0..6 {
                map.insert(&key(k), &value(1, 20)).expect("there is memory");
            }
            map.insert(b"dead", &[0; 400]).expect("there is memory");
            map.remove(b"dead");
            let grown = world.clone();
            let grower = spawn(move || {
                for k in 10..16 {
                    grown
                        .map
                        .insert(&key(k), &value(1, 20))
                        .expect("there is memory");
                }
                for k in 10..13 {
                    grown.map.remove(&key(k));
                }
            });
            let changed = world.clone();
            let changer = spawn(move || {
                for id in 2..4 {
                    let k = draw(6) as u8;
                    changed
                        .map
                        .insert(&key(k), &value(id, 24))
                        .expect("there is memory");
                }
                changed.map.shrink_to_fit();
            });
            let mut seen = BTreeMap::new();
            for _ in 0..2 {
                seen.clear();
                map.for_each(|key, value| {
                    let before = seen.insert(key.to_vec(), number_of(value));
                    assert_eq!(before, None, "{key:?} is shown twice");
                });
                for k in 0..6 {
                    let id = seen.remove(&key(k)[..]);
                    assert!(
                        matches!(id, Some(1..4)),
                        "key {k}, never removed, is shown as {id:?}"
                    );
                }
                for k in seen.keys() {
                    assert!((10..16).any(|n| k == &key(n)), "{k:?} was never there");
                }
            }
            join([grower, changer]);
            assert_eq!(map.len(), 9);
            world.end();
        },
        |did| did.splits > 0 && did.relocations > 0,
    );
}
