//! The limit of memory: a clear refusal that changes nothing, is never given without need, and holds against what the system says.

use crate::common::{alone, assert_sound, content, key_bytes, resident, scaled, seed, settle};
use cmap::{CMap, ChunkPool, Error, Inserted, PoolConfig, internal};
use fastrand::Rng;

const MIB: usize = 1 << 20;
const LEAST: usize = 16 * MIB;

/// What a refused write must not change.
fn state(map: &CMap) -> (usize, usize, (usize, u64)) {
    (map.len(), map.memory().live, content(map))
}

/// Calls `write(n)` for n = 0, 1, … `most` until one is refused for want of room, and checks the numbers of the refusal.
#[track_caller]
fn until_full(map: &CMap, most: u64, mut write: impl FnMut(u64) -> Result<(), Error>) -> u64 {
    for n in 0..most {
        let before = (map.len(), map.memory().live);
        match write(n) {
            Ok(()) => {}
            Err(Error::Full {
                needed,
                available,
                pinned,
            }) => {
                assert!(
                    needed > available,
                    "write {n}: refused {needed} bytes although {available} are free"
                );
                assert!(
                    pinned < LEAST,
                    "write {n}: {pinned} bytes pinned without a pin"
                );
                assert_eq!(
                    (map.len(), map.memory().live),
                    before,
                    "write {n} was refused and changed something"
                );
                // A refusal may have made room for the next: full is what stays full.
                if (0..8).all(|_| write(n).is_err()) {
                    return n;
                }
            }
            Err(other) => panic!("write {n}: {other:?} instead of Full"),
        }
    }
    panic!("the limit holds nothing back: {:?}", map.memory());
}

/// After a refusal: reads, removes and compaction work, and so do writes once live bytes and index are down to `target`.
#[track_caller]
fn assert_usable(map: &CMap, target: usize) {
    assert_sound(map);
    let mut keys = Vec::new();
    map.for_each(|key, _| keys.push(key.to_vec()));
    let mut left = keys.len();
    for some in keys.chunks(100) {
        let memory = map.memory();
        if memory.live + memory.index <= target {
            break;
        }
        assert!(
            some.iter().all(|key| map.remove(key)),
            "a key that was just seen"
        );
        left -= some.len();
    }
    for n in 0..500_u64 {
        let inserted = map.insert(format!("after {n}").as_bytes(), &[3; 200]);
        assert_eq!(inserted, Ok(Inserted::New), "{:?}", map.memory());
    }
    assert_eq!(map.len(), left + 500);
    settle(map);
    assert_sound(map);
}

/// Promised to refuse nothing while live bytes and index are below 0.8 x 16 MiB - 8 MiB = 4.8 MiB.
fn limited() -> CMap {
    CMap::builder()
        .max_bytes(LEAST)
        .build()
        .expect("the least limit")
}

#[test]
fn full_by_insert() {
    let map = limited();
    let accepted = until_full(&map, 50_000, |n| {
        map.insert(&key_bytes(n), &[n as u8; 1_000]).map(drop)
    });
    assert!(
        accepted * 1_019 >= LEAST as u64 / 2,
        "only {accepted} entries fit"
    );
    let before = state(&map);
    let next = key_bytes(accepted);
    for len in [1_000, 5_000, 60_000, 300_000, 30_000_000] {
        let value = vec![1; len];
        assert!(
            matches!(map.insert(&next, &value), Err(Error::Full { .. })),
            "{len} bytes"
        );
        assert!(
            matches!(map.insert_swap(&next, &value), Err(Error::Full { .. })),
            "{len} bytes"
        );
        assert!(
            matches!(map.insert_if_absent(&next, &value), Err(Error::Full { .. })),
            "{len} bytes"
        );
        assert_eq!(state(&map), before, "after a refusal of {len} bytes");
    }
    assert_usable(&map, 4 * MIB);
}

#[test]
fn full_by_overwrite() {
    let map = limited();
    for n in 0..1_000 {
        map.insert(&key_bytes(n), &[n as u8; 4_000])
            .expect("4 MiB fit");
    }
    // Each overwrite makes its entry larger, until no more fits.
    let at = until_full(&map, 2_000, |n| {
        map.insert(&key_bytes(n % 1_000), &vec![7; 4_000 + 50 * n as usize])
            .map(drop)
    });
    assert_eq!(map.len(), 1_000);
    let before = state(&map);
    for n in 0..1_000 {
        let old = map.get(&key_bytes(n)).expect("never removed");
        match map.insert_swap(&key_bytes(n), &vec![8; 200_000]) {
            Ok(swapped) => assert_eq!(swapped, Some(old), "write {at}, then {n}"),
            Err(error) => {
                assert!(matches!(error, Error::Full { .. }), "{error:?}");
                assert_eq!(map.get(&key_bytes(n)), Some(old), "the old value stays");
            }
        }
    }
    assert_ne!(content(&map).0, 0);
    assert_eq!(map.len(), before.0);
    assert_usable(&map, 4 * MIB);
}

/// Entries so small that the index takes as much as they do: a refusal comes in the middle of a rebuild sooner or later.
#[test]
fn full_in_the_middle_of_a_rebuild() {
    for value_len in [0, 4, 9] {
        let map = limited();
        let value = [9; 9];
        let insert = |n: u64| map.insert(&n.to_le_bytes(), &value[..value_len]).map(drop);
        // `memory()` before each of a million writes is too slow here.
        let refused = (0..3_000_000_u64)
            .find(|&n| insert(n).is_err())
            .expect("the limit holds");
        let before = state(&map);
        assert_eq!(before.0, refused as usize);
        let memory = map.memory();
        assert!(memory.index >= LEAST / 8, "{memory:?}");
        for n in refused..refused + 50 {
            assert!(matches!(insert(n), Err(Error::Full { .. })) || map.remove(&n.to_le_bytes()));
        }
        assert_eq!(state(&map), before);
        assert_usable(&map, 4 * MIB);
    }
}

/// In tiny geometry every other write rebuilds, splits or compacts.
#[test]
fn full_in_tiny_geometry() {
    for builder in [internal::tiny, internal::tiny_wide] {
        let map = builder()
            .max_bytes(LEAST)
            .build()
            .expect("tiny, with a limit");
        let accepted = until_full(&map, 50_000, |n| {
            map.insert(&key_bytes(n), &[n as u8; 400]).map(drop)
        });
        assert!(accepted > 5_000, "only {accepted} entries fit");
        let before = state(&map);
        for n in accepted..accepted + 200 {
            assert!(map.insert(&key_bytes(n), &[0; 400]).is_err() || map.remove(&key_bytes(n)));
        }
        assert_eq!(state(&map), before);
        assert_usable(&map, MIB);
    }
}

#[test]
fn a_refused_write_takes_no_chunk() {
    let map = limited();
    let accepted = until_full(&map, 50_000, |n| {
        map.insert(&key_bytes(n), &[n as u8; 1_000]).map(drop)
    });
    let chunks = map.stats().chunks_in_use;
    assert!(chunks > 0);
    for n in 0..2_000 {
        assert!(map.insert(&key_bytes(accepted + n), &[0; 1_000]).is_err());
        assert!(map.insert(&key_bytes(n), &vec![0; 17 * MIB]).is_err());
    }
    assert!(
        map.stats().chunks_in_use <= chunks,
        "{chunks} chunks became {:?}",
        map.stats()
    );
    assert!(map.memory().total() <= LEAST);
}

/// Entries of a range of sizes come and go, up to the promise: live bytes and index at most 0.8 x the limit - 8 MiB.
fn never_refused(name: &str, sizes: std::ops::RangeInclusive<usize>, writes: usize) {
    let limit = 64 * MIB;
    let promised = limit / 5 * 4 - 8 * MIB;
    let mut rng = Rng::with_seed(seed(name));
    let map = CMap::builder().max_bytes(limit).build().expect("a limit");
    let bytes = vec![0x5a; *sizes.end()];
    let mut entries: Vec<(u64, usize)> = Vec::new();
    let (mut next, mut live, mut index) = (0, 0, 0);
    for write in 0..writes {
        // Header and rounding are at most 12 bytes; the index is asked now and then, and may double in between.
        let size = rng.usize(sizes.clone());
        while live + size + 28 + 2 * index > promised {
            let (key, size) = entries.swap_remove(rng.usize(..entries.len()));
            assert!(map.remove(&key_bytes(key)));
            live -= size + 28;
            if rng.u8(..) == 0 {
                index = map.memory().index;
            }
        }
        let key = match rng.u8(..4) {
            0 if !entries.is_empty() => {
                let (key, size) = entries.swap_remove(rng.usize(..entries.len()));
                live -= size + 28;
                key
            }
            _ => {
                next += 1;
                next
            }
        };
        let inserted = map.insert(&key_bytes(key), &bytes[..size]);
        assert!(
            inserted.is_ok(),
            "{name}, write {write} of {size} bytes: {inserted:?}, {:?}",
            map.memory()
        );
        entries.push((key, size));
        live += size + 28;
        if write % 256 == 0 {
            index = map.memory().index;
            assert!(map.memory().total() <= limit, "{:?}", map.memory());
        }
    }
    assert_eq!(map.len(), entries.len());
    assert_sound(&map);
}

#[test]
fn nothing_is_refused_within_the_promise() {
    // Alone: another test's deeply nested pins would hold this map's memory, too.
    alone("limits::nothing_is_refused_within_the_promise", || {
        never_refused("small entries", 0..=200, scaled(8_000_000));
        never_refused("mixed entries", 0..=8_000, scaled(400_000));
        never_refused("large entries", 10_000..=65_500, scaled(100_000));
        never_refused("equal entries", 65_500..=65_500, scaled(50_000));
    });
}

#[test]
#[cfg(not(cmap_asan))] // which needs memory of its own
fn resident_memory_stays_below_the_limit() {
    alone("limits::resident_memory_stays_below_the_limit", || {
        let limit = 32 * MIB;
        let mut rng = Rng::with_seed(seed("limits::resident"));
        let value = vec![0xa5; 300_000];
        drop(CMap::new());
        let before = resident();
        let map = CMap::builder().max_bytes(limit).build().expect("a limit");
        let (mut peak, mut refused) = (0, 0);
        for write in 0..scaled(2_000_000) {
            let len = match rng.u16(..1_000) {
                0 => rng.usize(65_000..=300_000),
                1..=20 => rng.usize(0..=20_000),
                _ => rng.usize(0..=900),
            };
            refused += usize::from(
                map.insert(&key_bytes(rng.u64(..200_000)), &value[..len])
                    .is_err(),
            );
            if write % 1_000 == 0 {
                peak = peak.max(resident().saturating_sub(before));
                assert!(
                    peak <= limit + MIB,
                    "write {write}: {peak} bytes resident, {:?}",
                    map.memory()
                );
                assert!(
                    map.memory().total() <= limit,
                    "write {write}: {:?}",
                    map.memory()
                );
            }
            // Once the limit has been in sight.
            if rng.u32(..50_000) == 0 && refused > 0 {
                map.clear();
            }
        }
        println!("limits::resident: peak {peak} bytes of {limit}, {refused} writes refused");
        assert!(
            peak >= limit / 2 && refused > 0,
            "the limit was never in sight: {peak}, {refused}"
        );
    });
}

/// The limit of a pool holds for all its maps together.
#[test]
fn a_pool_has_a_limit_of_its_own() {
    let config = PoolConfig {
        chunk_bytes: 64 << 10,
        max_bytes: Some(LEAST),
        ..PoolConfig::default()
    };
    let pool = ChunkPool::new(config).expect("a pool with a limit");
    let maps: Vec<CMap> = (0..3)
        .map(|_| CMap::builder().pool(&pool).build().expect("a map"))
        .collect();
    let insert = |n: u64| maps[n as usize % 3].insert(&key_bytes(n), &[n as u8; 500]);
    let (at, error) = (0..1_000_000)
        .find_map(|n| insert(n).err().map(|error| (n, error)))
        .expect("the limit holds");
    assert!(
        matches!(error, Error::Full { .. } | Error::OutOfMemory { .. }),
        "{error:?}"
    );
    let usage = pool.usage();
    assert!(usage.in_use + usage.free <= LEAST, "{usage:?}");
    for n in 0..at {
        assert_eq!(
            maps[n as usize % 3].get_with(&key_bytes(n), |value| value == [n as u8; 500]),
            Some(true),
            "{n} of {at}"
        );
    }
    maps[0].clear();
    settle(&maps[0]);
    assert!(
        (0..1_000).all(|n| maps[1].insert(&key_bytes(at + n), &[1; 500]).is_ok()),
        "{:?}",
        pool.usage()
    );
    for map in &maps {
        assert_sound(map);
    }
}

/// What another thread is giving back is not missing from the numbers: with room for twice what lives, only pins refuse.
#[test]
fn large_values_replaced_by_two_threads() {
    let map = CMap::builder().max_bytes(4 * LEAST).build().unwrap();
    let value = vec![5; MIB];
    let rounds = scaled(40_000) as u64;
    std::thread::scope(|scope| {
        for thread in 0..2_u64 {
            let (map, value) = (&map, &value);
            scope.spawn(move || {
                for n in 0..rounds {
                    let key = key_bytes(thread * 100 + n % 12);
                    if n % 3 == 0 {
                        map.remove(&key);
                    }
                    match map.insert(&key, value) {
                        Ok(_) => {}
                        Err(Error::Full { pinned, .. }) => assert!(pinned > 0, "write {n}"),
                        Err(other) => panic!("write {n}: {other}"),
                    }
                }
            });
        }
    });
    settle(&map);
    assert_sound(&map);
}
