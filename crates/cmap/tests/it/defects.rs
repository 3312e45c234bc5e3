//! What go-cmap gets wrong: ten defects that were reproduced there, each in a test named after it.

use crate::common::{OneHash, alone, assert_sound, key_bytes, resident, scaled, settle};
use cmap::{Budget, CMap, Changed, Error, Inserted, Maintenance, internal};
use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

const MIB: usize = 1 << 20;

/// `count` entries of 16 + 64 bytes.
fn fill<S: BuildHasher>(map: &CMap<S>, count: usize) {
    for index in 0..count as u64 {
        map.insert(&key_bytes(index), &[index as u8; 64])
            .expect("there is memory");
    }
}

#[test]
fn defect_01_every_compaction_leaks_a_chunk() {
    alone("defects::defect_01_every_compaction_leaks_a_chunk", || {
        let rounds = scaled(400).max(60);
        let map = CMap::new();
        let mut after_round_20 = 0;
        for round in 0..rounds {
            for index in 0..10_000 {
                let inserted = map
                    .insert(&key_bytes(index), &[round as u8; 64])
                    .expect("there is memory");
                assert_eq!(inserted == Inserted::New, round == 0);
                if index % 1_000 == 0 {
                    let in_use = map.stats().chunks_in_use;
                    assert!(in_use <= 4, "round {round}: {in_use} chunks are in use");
                }
            }
            if round == 19 {
                after_round_20 = resident();
            }
        }
        let grown = resident().saturating_sub(after_round_20);
        assert!(
            grown <= 4 * MIB,
            "{grown} bytes more after {rounds} rounds than after 20"
        );
        assert_eq!(map.len(), 10_000);
        assert!(map.stats().chunks_in_use >= 1);
        assert_sound(&map);
    });
}

/// One thread inserts and removes one key while another compacts; neighbours that nobody touches give it work.
fn churn_one_key_under_compaction<S: BuildHasher + Send + Sync>(map: &CMap<S>, turns: usize) {
    fill(map, 2_000);
    for index in (0..2_000).filter(|index| index % 10 != 0) {
        assert!(map.remove(&key_bytes(index)));
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                map.compact(Budget::all());
            }
        });
        for turn in 0..turns {
            assert_eq!(
                map.insert(b"one key", &[turn as u8; 100]),
                Ok(Inserted::New)
            );
            assert!(map.remove(b"one key"), "turn {turn}");
        }
        over.store(true, Ordering::Relaxed);
    });
    settle(map);
    let checked = assert_sound(map);
    assert_eq!(
        checked.chunks_in_use, checked.chunks_reachable,
        "chunks leak: {checked:?}"
    );
    assert_eq!(map.len(), 200);
}

#[test]
fn defect_02_insert_and_delete_during_a_compaction_leaks_the_staging_chunk() {
    churn_one_key_under_compaction(&internal::tiny().build().expect("tiny"), scaled(200_000));
    churn_one_key_under_compaction(
        &internal::tiny_wide().build().expect("tiny, wide"),
        scaled(200_000),
    );
    churn_one_key_under_compaction(&CMap::new(), scaled(400_000));
}

#[test]
fn defect_03_a_failed_update_deletes_the_old_value() {
    let map = CMap::builder()
        .max_bytes(16 * MIB)
        .build()
        .expect("a limit of 16 MiB");
    map.insert(b"key", b"the old value")
        .expect("there is memory");
    let huge = vec![0; 20 * MIB];
    // Never touched, so it takes address space only.
    let longest = vec![0; 1 << 32];
    let oversize = [
        (b"key".as_slice(), huge.as_slice()),
        (b"key", &longest),
        (b"key", &longest[1..]),
        (&huge[..65_536], b"a key too long"),
    ];
    for (key, value) in oversize {
        let lens = (key.len(), value.len());
        assert!(map.insert(key, value).is_err(), "insert of {lens:?} bytes");
        assert!(
            map.insert_swap(key, value).is_err(),
            "insert_swap of {lens:?} bytes"
        );
        // To a key that is there, insert_if_absent does nothing: whether it looks at the length first is its own affair.
        let conditional = map.insert_if_absent(key, value);
        assert!(
            !matches!(conditional, Ok(Changed::Inserted | Changed::Replaced)),
            "insert_if_absent of {lens:?} bytes"
        );
        assert_eq!(
            map.get(b"key").as_deref(),
            Some(b"the old value".as_slice()),
            "after {lens:?} bytes"
        );
        assert_eq!(map.len(), 1);
    }
    assert_eq!(map.insert(b"key", b"a new value"), Ok(Inserted::Replaced));
    assert_sound(&map);
}

#[test]
fn defect_04_two_keys_with_one_hash_overwrite_each_other() {
    let map = CMap::builder()
        .hasher(OneHash)
        .build()
        .expect("a constant hasher");
    let (a, b, absent) = (b"key a", b"key b", b"key c");
    assert_eq!(map.insert(a, b"1"), Ok(Inserted::New));
    assert!(
        !map.contains_key(b),
        "contains_key answers for the wrong key"
    );
    assert_eq!(map.insert(b, b"2"), Ok(Inserted::New));
    assert_eq!(
        (map.get(a), map.get(b)),
        (Some(b"1".to_vec()), Some(b"2".to_vec()))
    );
    assert_eq!(map.insert(a, b"3"), Ok(Inserted::Replaced));
    assert_eq!(map.insert_swap(b, b"4"), Ok(Some(b"2".to_vec())));
    assert_eq!(map.insert_if_absent(absent, b"5"), Ok(Changed::Inserted));
    assert!(map.remove(absent));
    assert!(!map.remove(absent), "a remove took another key");
    assert_eq!(
        (map.get(a), map.get(b), map.value_len(absent)),
        (Some(b"3".to_vec()), Some(b"4".to_vec()), None)
    );
    assert_eq!(map.take(a), Some(b"3".to_vec()));
    assert_eq!(
        (map.get(a), map.get(b), map.len()),
        (None, Some(b"4".to_vec()), 1)
    );
    assert_sound(&map);
}

/// And the hash is seeded: two maps with the same content do not iterate in one order.
#[test]
fn defect_04_the_hash_is_unseeded() {
    let orders: Vec<Vec<Vec<u8>>> = (0..2)
        .map(|_| {
            let map = CMap::new();
            fill(&map, 1_000);
            let mut order = Vec::new();
            map.for_each(|key, _| order.push(key.to_vec()));
            order
        })
        .collect();
    assert_eq!(orders[0].len(), 1_000);
    assert_ne!(orders[0], orders[1]);
}

#[test]
fn defect_05_clear_leaks_all_chunks_and_the_next_insert_panics() {
    // With a limit, so that the pool is the map's own: every chunk of it must be accounted for.
    let map = CMap::builder()
        .max_bytes(1024 * MIB)
        .build()
        .expect("a limit of 1 GiB");
    for round in 0..5 {
        fill(&map, 100_000);
        assert!(
            map.memory().total() >= 8 * MIB,
            "round {round}: {:?}",
            map.memory()
        );
        map.clear();
        assert_eq!((map.len(), map.get(&key_bytes(1))), (0, None));
        settle(&map);
        let memory = map.memory();
        assert!(
            memory.total() <= 4 * MIB,
            "round {round}: {memory:?} after clear"
        );
        assert_eq!((memory.live, memory.dead), (0, 0), "round {round}");
        assert_eq!(map.insert(b"next", b"works"), Ok(Inserted::New));
        assert_eq!(map.get(b"next").as_deref(), Some(b"works".as_slice()));
        assert_sound(&map);
    }
}

#[test]
fn defect_06_get_turns_an_error_into_not_found() {
    let map = CMap::builder()
        .max_bytes(16 * MIB)
        .build()
        .expect("a limit of 16 MiB");
    let mut count = 0_u64;
    while map.insert(&key_bytes(count), &[count as u8; 64]).is_ok() {
        count += 1;
        assert!(count < 1_000_000, "the limit of 16 MiB holds nothing back");
    }
    internal::fail_memory(&map, 1, true);
    for index in 0..count {
        let key = key_bytes(index);
        assert_eq!(
            map.get_with(&key, |value| value == [index as u8; 64]),
            Some(true),
            "key {index} of {count}"
        );
        assert!(
            map.contains_key(&key) && map.pin().get(&key).is_some(),
            "key {index} of {count}"
        );
    }
    internal::fail_memory(&map, 0, false);
    assert_sound(&map);
}

#[test]
fn defect_07_an_empty_map_costs_36_mib() {
    let map = CMap::new();
    let empty = map.memory();
    assert_eq!(
        (
            empty.live,
            empty.dead,
            empty.padding,
            empty.pool,
            empty.retired
        ),
        (0, 0, 0, 0, 0),
        "{empty:?}"
    );
    assert!(empty.total() <= 4 << 10, "{empty:?}");
    assert_eq!(map.stats().chunks_in_use, 0);
    assert_eq!(
        (map.len(), map.get(b""), map.remove(b"x")),
        (0, None, false)
    );
    assert!(
        map.memory().total() <= 4 << 10,
        "a look at an empty map costs {:?}",
        map.memory()
    );
}

#[test]
fn defect_07_an_empty_map_adds_next_to_nothing_to_the_process() {
    alone(
        "defects::defect_07_an_empty_map_adds_next_to_nothing_to_the_process",
        || {
            let mut maps = Vec::with_capacity(1_000);
            drop(CMap::new());
            let before = resident();
            maps.resize_with(1_000, CMap::new);
            let grown = resident().saturating_sub(before);
            assert!(grown <= 4 * MIB, "1 000 empty maps add {grown} bytes");
            assert!(maps.iter().all(CMap::is_empty));
        },
    );
}

/// Nine in ten gone, and from then on only reads: first the removes themselves must have paid.
#[test]
fn defect_08_a_read_mostly_map_keeps_its_garbage() {
    let map = CMap::new();
    let count = 200_000;
    fill(&map, count);
    let full = map.memory();
    for index in (0..count as u64).filter(|index| index % 10 != 0) {
        assert!(map.remove(&key_bytes(index)));
    }
    let left = map.memory();
    assert!(
        left.total() * 2 <= full.total(),
        "the removes paid nothing: {left:?} of {full:?}"
    );
    map.shrink_to_fit();
    settle(&map);
    let small = map.memory();
    assert!(small.total() * 4 <= full.total(), "{small:?} of {full:?}");
    for index in (0..count as u64).step_by(10) {
        assert_eq!(
            map.get_with(&key_bytes(index), |value| value == [index as u8; 64]),
            Some(true)
        );
    }
    assert_eq!(assert_sound(&map).entries, count / 10);
}

/// Then without their help: `compact` alone.
#[test]
fn defect_08_compact_needs_no_writes() {
    let map = CMap::builder()
        .maintenance(Maintenance::Manual)
        .build()
        .expect("manual maintenance");
    let count = 100_000;
    fill(&map, count);
    for index in (0..count as u64).filter(|index| index % 10 != 0) {
        assert!(map.remove(&key_bytes(index)));
    }
    let before = map.memory();
    settle(&map);
    let after = map.memory();
    assert!(before.dead >= 4 * MIB, "{before:?}");
    assert!(
        after.dead <= 4 * MIB + after.live / 4,
        "{before:?} became {after:?}"
    );
    assert!(
        after.total() < before.total(),
        "{before:?} became {after:?}"
    );
    assert_eq!(assert_sound(&map).entries, count / 10);
}

#[test]
fn defect_09_allocation_failure_panics_with_locks_held() {
    let map = internal::tiny().build().expect("tiny");
    let mut model = HashMap::new();
    let mut failures = 0;
    for index in 0..4_000_u64 {
        // Every seventh insert meets a system without memory.
        internal::fail_memory(&map, usize::from(index % 7 == 0), true);
        let (key, value) = (key_bytes(index % 1_500), [index as u8; 64]);
        match map.insert(&key, &value) {
            Ok(_) => drop(model.insert(key, value)),
            Err(error) => {
                assert!(
                    matches!(error, Error::OutOfMemory { bytes } if bytes > 0),
                    "{error:?}"
                );
                failures += 1;
            }
        }
        internal::fail_memory(&map, 0, false);
        assert_eq!(
            map.get(&key).as_deref(),
            model.get(&key).map(<[u8; 64]>::as_slice),
            "insert {index}"
        );
        if index % 3 == 0 {
            let key = key_bytes((index * 7) % 1_500);
            assert_eq!(map.remove(&key), model.remove(&key).is_some());
        }
    }
    assert!(failures > 0, "nothing ever failed");
    assert_eq!(assert_sound(&map).entries, model.len());
}

#[test]
fn defect_10_a_ratio_of_zero_or_nan_compacts_for_ever() {
    for bad in [0.0, f64::NAN, -0.1, 0.0199, 0.51, 1.0, f64::INFINITY] {
        let refused = CMap::builder().max_dead_ratio(bad).build().err();
        assert!(
            matches!(
                refused,
                Some(Error::InvalidConfig {
                    field: "max_dead_ratio",
                    ..
                })
            ),
            "{bad}: {refused:?}"
        );
    }
    for bad in [f64::NAN, -0.01, 1.01, f64::INFINITY, f64::NEG_INFINITY] {
        let refused = CMap::builder().speed_over_memory(bad).build().err();
        assert!(
            matches!(
                refused,
                Some(Error::InvalidConfig {
                    field: "speed_over_memory",
                    ..
                })
            ),
            "{bad}: {refused:?}"
        );
    }
}

/// The strictest ratio that is accepted comes to an end.
#[test]
fn defect_10_the_strictest_ratio_comes_to_an_end() {
    let map = CMap::builder()
        .max_dead_ratio(0.02)
        .build()
        .expect("the strictest ratio");
    for round in 0..20_u8 {
        for index in 0..10_000 {
            map.insert(&key_bytes(index), &[round; 64])
                .expect("there is memory");
        }
    }
    settle(&map);
    assert_eq!(
        map.compact(Budget::all()).moved,
        0,
        "compaction finds work for ever"
    );
    assert_eq!(map.len(), 10_000);
    assert_sound(&map);
}
