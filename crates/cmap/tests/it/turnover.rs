//! Maps whose entries come and go, and grow: what tables and log take of that.

use crate::common::{Even, assert_sound, key_bytes};
use cmap::{CMap, Inserted, RandomState, internal};

/// Whoever replaces every entry again and again finds the tables as they were: overflow lines do not wear them out.
#[test]
fn churn_does_not_grow_the_tables() {
    // A fill of two thirds in all tables: enough to overflow, and to grow if that were not put right.
    const COUNT: u64 = 66_000;
    let map = CMap::builder().hasher(Even).build().expect("a map");
    let mut there: Vec<u64> = (0..COUNT).collect();
    for n in 0..COUNT {
        assert_eq!(map.insert(&key_bytes(n), b"v"), Ok(Inserted::New));
    }
    let filled = map.memory().index;
    let mut rng = fastrand::Rng::with_seed(1);
    for n in COUNT..21 * COUNT {
        let victim = &mut there[rng.usize(..COUNT as usize)];
        assert!(map.remove(&key_bytes(std::mem::replace(victim, n))));
        assert_eq!(map.insert(&key_bytes(n), b"v"), Ok(Inserted::New));
    }
    let churned = map.memory().index;
    assert!(
        churned * 10 <= filled * 11,
        "the index grew from {filled} to {churned} bytes"
    );
    assert_sound(&map);
}

/// Tables grow one after another, so no size of a map is a bad one for its index.
#[test]
fn the_index_costs_the_same_at_every_size() {
    let map = CMap::new();
    for n in 0..400_000u64 {
        map.insert(&key_bytes(n), b"v").expect("memory");
        if n >= 100_000 && n % 10_000 == 0 {
            let bytes = map.memory().index as f64 / n as f64;
            assert!(
                (10.4..12.2).contains(&bytes),
                "{bytes} bytes an entry at {n}"
            );
        }
    }
}

/// Where all entries have one size, new ones take the space of dead ones: next to nothing is moved, and little is dead.
#[test]
fn churn_of_one_size_moves_next_to_nothing() {
    const COUNT: u64 = 5_000;
    for builder in [internal::tiny, internal::tiny_wide] {
        let map = builder().build().expect("a map");
        let mut rng = fastrand::Rng::with_seed(1);
        let mut there: Vec<u64> = (0..COUNT).collect();
        for n in 0..COUNT {
            map.insert(&key_bytes(n), &[n as u8; 100]).expect("memory");
        }
        let mut churn = |from: u64, to: u64| {
            let before = map.stats().relocations;
            for n in from..to {
                let place = rng.usize(..COUNT as usize);
                let old = if n % 2 == 0 {
                    std::mem::replace(&mut there[place], n)
                } else {
                    there[place]
                };
                assert!(map.get(&key_bytes(old)).expect("it is there") == [old as u8; 100]);
                assert!(old == there[place] || map.remove(&key_bytes(old)));
                let new = there[place];
                map.insert(&key_bytes(new), &[new as u8; 100])
                    .expect("memory");
            }
            map.stats().relocations - before
        };
        churn(COUNT, 5 * COUNT);
        let moved = churn(5 * COUNT, 25 * COUNT);
        assert!(moved * 10 < 20 * COUNT, "{moved} were moved");
        let memory = map.memory();
        assert!(memory.dead * 5 < memory.live, "{memory:?}");
        for &n in &there {
            assert!(map.get(&key_bytes(n)).expect("it is there") == [n as u8; 100]);
        }
        assert_sound(&map);
    }
}

/// Where the oldest go first, chunks die by themselves; a few new entries of the sizes of dead ones among old ones would keep
/// them alive. So with many sizes no space is kept for new ones.
#[test]
fn churn_of_many_sizes_moves_next_to_nothing() {
    const COUNT: u64 = 400_000;
    let value = |n: u64| vec![n as u8; (n.wrapping_mul(0x9E37_79B9) >> 16) as usize % 400];
    let map = CMap::new();
    let mut moved = 0;
    for n in 0..6 * COUNT {
        if n == 2 * COUNT {
            moved = map.stats().relocations;
        }
        map.insert(&key_bytes(n), &value(n)).expect("memory");
        assert!(n < COUNT || map.remove(&key_bytes(n - COUNT)));
    }
    moved = map.stats().relocations - moved;
    assert!(moved * 20 < 4 * COUNT, "{moved} were moved");
    for n in 5 * COUNT..6 * COUNT {
        assert!(map.get(&key_bytes(n)).expect("it is there") == value(n));
    }
    assert_sound(&map);
}

/// Hashes lie unevenly in a map of one table, so its overflow lines are full before it is; renewing it must be worth the while.
#[test]
fn no_size_of_a_map_renews_its_table_all_the_time() {
    const CALLS: u64 = 20_000;
    let mut rng = fastrand::Rng::with_seed(1);
    for count in (100..1_300).step_by(15) {
        let hasher = RandomState::with_seed(count);
        let map = CMap::builder().hasher(hasher).build().expect("a map");
        let mut there: Vec<u64> = (0..count).collect();
        for &n in &there {
            map.insert(&key_bytes(n), b"v").expect("memory");
        }
        let before = map.stats().rebuilds;
        for n in count..count + CALLS {
            let place = rng.usize(..there.len());
            assert!(map.remove(&key_bytes(there[place])));
            map.insert(&key_bytes(n), b"v").expect("memory");
            there[place] = n;
        }
        let rebuilds = map.stats().rebuilds - before;
        // Each moves all of them: at most 2.5 for one that comes and one that goes.
        assert!(
            rebuilds * count * 2 < CALLS * 5,
            "{rebuilds} at {count} entries"
        );
    }
}

/// A smaller table that would hold as many entries may have no room for just these; then it is the next larger one.
#[test]
fn shrinking_finds_the_smallest_table_with_room() {
    for seed in 0..50 {
        for left in [150, 170, 340, 370] {
            let hasher = RandomState::with_seed(seed);
            let map = CMap::builder().hasher(hasher).build().expect("a map");
            for n in 0..1_000 {
                map.insert(&key_bytes(n), b"v").expect("memory");
            }
            let before = map.memory().index;
            for n in left..1_000 {
                assert!(map.remove(&key_bytes(n)));
            }
            map.shrink_to_fit();
            let after = map.memory().index;
            assert!(
                after < before,
                "{before} bytes, then {after} for {left} entries"
            );
            assert_sound(&map);
        }
    }
}
