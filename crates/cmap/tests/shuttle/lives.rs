//! Pins that are held, threads that end, and maps that are dropped.

use std::sync::Arc;

use crate::harness::{check, draw};
use crate::world::{A, B, World, join, key, mostly_dead, number_of, spawn, tiny, value};
use cmap::{CMap, ChunkPool, PoolConfig, RandomState};

/// What a pin shows stays as it is, nested pins end in any order, and after a repin it is the newest that is seen.
#[test]
fn pins_across_retiring() {
    check(
        "pins_across_retiring",
        || {
            let world = World::new(tiny());
            mostly_dead(&world, 2, 40, 3);
            let pinned = world.clone();
            let reader = spawn(move || {
                let map = &pinned.map;
                let mut outer = map.pin();
                let seen = outer.get(&key(A)).expect("it is never removed");
                let first = number_of(seen);
                let inner = map.pin();
                let again = inner.get(&key(A)).expect("it is never removed");
                let second = number_of(again);
                assert!(first <= second, "{first}, then {second}");
                assert_eq!(number_of(seen), first, "it changed under its pin");
                if draw(2) == 0 {
                    outer.repin();
                    let third = number_of(outer.get(&key(A)).expect("it is never removed"));
                    assert!(second <= third, "{second}, then {third}");
                } else {
                    drop(outer);
                }
                pinned.get(B);
                assert_eq!(number_of(again), second, "it changed under its pin");
            });
            let changed = world.clone();
            let writer = spawn(move || {
                changed.swap(A, 2, 40);
                changed.take(B);
                changed.map.shrink_to_fit();
                changed.swap(A, 3, 40);
                changed.swap(B, 4, 300);
                changed.map.shrink_to_fit();
            });
            join([reader, writer]);
            world.end();
        },
        |did| did.chunks_freed > 0,
    );
}

/// The last owner drops the map, whoever that is; what it had is used by another map at once.
#[test]
fn drop_of_the_map_against_the_last_pin() {
    check(
        "drop_of_the_map_against_the_last_pin",
        || {
            let pool = ChunkPool::new(PoolConfig {
                chunk_bytes: 64 << 10,
                huge_pages: false,
                address_space: Some(1 << 20),
                ..PoolConfig::default()
            });
            let pool = pool.expect("memory");
            let build = |seed| {
                let hasher = RandomState::with_seed(seed);
                CMap::builder()
                    .pool(&pool)
                    .hasher(hasher)
                    .build()
                    .expect("memory")
            };
            let map = Arc::new(build(1));
            map.insert(&key(A), &value(1, 40)).expect("there is memory");
            let owner = |thread: u32| {
                let map = map.clone();
                spawn(move || {
                    let pin = map.pin();
                    let seen = pin.get(&key(A)).expect("it is never removed");
                    let first = number_of(seen);
                    map.insert(&key(A), &value(1 + thread, 40))
                        .expect("there is memory");
                    assert_eq!(number_of(seen), first, "it changed under its pin");
                    drop(pin);
                    drop(map);
                })
            };
            let owners = [1, 2].map(owner);
            drop(map);
            let next = build(2);
            for k in 0..3 {
                next.insert(&key(k), &value(9, 40))
                    .expect("there is memory");
            }
            join(owners);
            for k in 0..3 {
                assert_eq!(next.get_with(&key(k), number_of), Some(9));
            }
            drop(next);
            let usage = pool.usage();
            assert_eq!(usage.in_use, 0, "a dropped map leaves something behind");
        },
        |_| true,
    );
}

/// Threads that read, leave garbage and end, and threads that take their places over.
#[test]
fn threads_that_end() {
    check(
        "threads_that_end",
        || {
            let world = World::new(tiny());
            world.insert(A, 1, 100);
            let life = |thread: u32| {
                let world = world.clone();
                spawn(move || {
                    let pin = world.map.pin();
                    let seen = pin.get(&key(A)).map(|value| (value, number_of(value)));
                    let heir = world.clone();
                    let heir = spawn(move || {
                        heir.get(A);
                        heir.swap(A, 20 * thread + 1, 300);
                    });
                    world.any_call(A, 20 * thread, 300);
                    if let Some((value, id)) = seen {
                        assert_eq!(number_of(value), id, "it changed under its pin");
                    }
                    drop(pin);
                    heir
                })
            };
            let heirs = join([1, 2].map(life));
            world.map.shrink_to_fit();
            join(heirs);
            world.end();
        },
        |did| did.chunks_freed > 0,
    );
}
