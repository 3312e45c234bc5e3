//! One key, or a few: every kind of call against every other.

use crate::harness::{check, draw};
use crate::world::{A, B, World, join, spawn, tiny};
use std::hash::BuildHasher;
use std::sync::Arc;

fn calls_of_one_key<S: BuildHasher + Send + Sync + 'static>(world: Arc<World<S>>) {
    let writer = |thread: u32| {
        let world = world.clone();
        spawn(move || {
            for n in 0..4 {
                world.any_call(A, 10 * thread + n, 4 + 60 * draw(3));
            }
        })
    };
    join([1, 2, 3].map(writer));
    world.end();
}

#[test]
fn writers_of_one_key() {
    check(
        "writers_of_one_key",
        || match draw(4) {
            0 => calls_of_one_key(World::of_one_hash(tiny())),
            _ => calls_of_one_key(World::new(tiny())),
        },
        |_| true,
    );
}

fn inserts<S: BuildHasher + Send + Sync + 'static>(world: Arc<World<S>>) {
    // The bucket is nearly full: a rebuild, a split or a spill comes in between.
    for k in 10..10 + 6 + draw(3) as u8 {
        world
            .map
            .insert(&crate::world::key(k), b"1")
            .expect("there is memory");
    }
    let inserter = |thread: u32| {
        let world = world.clone();
        spawn(move || {
            match draw(3) {
                0 => drop(world.swap(A, thread, 8)),
                _ => world.insert_if_absent(A, thread, 8),
            }
            world.get(A);
            world.insert_if_absent(B, 10 + thread, 8);
        })
    };
    join([1, 2, 3].map(inserter));
    world.end();
}

/// Of several inserters of a fresh key one makes the entry, be it in a table that another splits meanwhile.
#[test]
fn inserts_of_one_fresh_key() {
    check(
        "inserts_of_one_fresh_key",
        || match draw(3) {
            0 => inserts(World::of_one_hash(tiny())),
            _ => inserts(World::new(tiny())),
        },
        |did| did.splits > 0 && did.spilled > 0,
    );
}

/// A clearing is one call for all keys; what is put after it stays, and the length never runs away.
#[test]
fn clear_against_put_get_and_len() {
    check(
        "clear_against_put_get_and_len",
        || {
            let world = World::new(tiny());
            for k in [A, B] {
                world.insert(k, 1, 30);
            }
            let writer = |thread: u32| {
                let world = world.clone();
                spawn(move || {
                    world.any_call(A, 10 * thread, 100);
                    world.swap(B, 10 * thread + 1, 600);
                    let len = world.map.len();
                    assert!(len <= 2 + 2, "{len} entries of two keys");
                })
            };
            let writers = [1, 2].map(writer);
            let cleared = world.clone();
            let clearer = spawn(move || {
                cleared.clear(2);
                cleared.get(A);
                cleared.map.compact(cmap::Budget::all());
                cleared.clear(2);
            });
            join(writers);
            join([clearer]);
            let len = world.map.len();
            assert_eq!(
                len,
                [A, B].iter().filter(|&&k| world.get(k).is_some()).count()
            );
            world.end();
        },
        |_| true,
    );
}
