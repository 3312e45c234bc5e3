//! Compaction: entries that are moved while they are read, replaced and removed; memory that runs short.

use crate::harness::{check, draw};
use crate::world::{A, B, C, World, join, mostly_dead, spawn, tiny};
use cmap::{Budget, Maintenance};

/// Readers and writers of two keys while everything around them is compacted, freed and used again.
#[test]
fn calls_against_compaction() {
    check(
        "calls_against_compaction",
        || {
            let world = World::new(tiny());
            mostly_dead(&world, 2, 20, 3);
            let compacted = world.clone();
            let compactor = spawn(move || {
                compacted.map.shrink_to_fit();
                compacted.map.compact(Budget::all());
            });
            let caller = |thread: u32| {
                let world = world.clone();
                spawn(move || {
                    for n in 0..3 {
                        world.any_call([A, B][draw(2)], 10 * thread + n, 8 + 100 * draw(2));
                    }
                })
            };
            join([1, 2].map(caller));
            join([compactor]);
            world.end();
        },
        |did| did.relocations > 0 && did.chunks_freed > 0,
    );
}

/// Two compactors, a put and a remove of what they move: the newer value stays, and what is removed stays away.
#[test]
fn relocations_against_put_and_remove() {
    check(
        "relocations_against_put_and_remove",
        || {
            let world = World::new(tiny());
            mostly_dead(&world, 3, 20, 3);
            let compactor = |()| {
                let world = world.clone();
                spawn(move || world.map.shrink_to_fit())
            };
            let compactors = [(), ()].map(compactor);
            let changed = world.clone();
            let changer = spawn(move || {
                changed.swap(A, 2, 24);
                changed.take(B);
                changed.get(A);
                changed.get(C);
            });
            join(compactors);
            join([changer]);
            world.end();
        },
        |did| did.relocations > 0 && did.chunks_freed > 0,
    );
}

/// A map that is nearly at its limit: a write is refused and changes nothing, or room is made for it.
#[test]
fn the_limit_and_its_relief() {
    check(
        "the_limit_and_its_relief",
        || {
            // Of ten pages the compactor has two, tables and generation two more.
            let world = World::new(tiny().max_bytes(10 * 4096));
            let mut filled = 0;
            while world.swap(10 + filled, 1, 3000) {
                filled += 1;
            }
            assert!((3..8).contains(&filled), "{filled} extents fit");
            let writer = |thread: u32| {
                let world = world.clone();
                spawn(move || {
                    world.swap(A, thread, 3000);
                    world.swap(10, 10 + thread, 3000);
                    world.get(10);
                })
            };
            let writers = [1, 2].map(writer);
            let relieved = world.clone();
            let reliever = spawn(move || {
                relieved.take(11);
                relieved.take(12);
            });
            join(writers);
            join([reliever]);
            // Nobody looks, and one extent at least is free again.
            world.take(10);
            assert!(world.swap(A, 9, 3000), "Full, though there is room");
            world.end();
        },
        |did| did.refused > 0,
    );
}

/// Writers leave all of it to the thread, which ends with the map.
#[test]
fn the_maintenance_thread() {
    check(
        "the_maintenance_thread",
        || {
            let world = World::new(tiny().maintenance(Maintenance::Thread));
            mostly_dead(&world, 2, 20, 10);
            let caller = |thread: u32| {
                let world = world.clone();
                spawn(move || {
                    for n in 0..3 {
                        world.any_call([A, B][draw(2)], 10 * thread + n, 200);
                    }
                })
            };
            join([1, 2].map(caller));
            // The thread is never at rest.
            world.judge();
        },
        |did| did.chunks_freed > 0,
    );
}
