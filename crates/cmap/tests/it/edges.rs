//! The edges: odd keys and values, values that come from the map itself, small maps, pools, and what the types promise.

use crate::common::{alone, assert_sound, eventually, key_bytes, resident, scaled, settle, within};
use cmap::{
    Budget, Builder, CMap, Changed, ChunkPool, Error, Inserted, Maintenance, Pinned, PoolConfig,
    internal,
};
use std::{collections::HashSet, sync::Barrier, thread, time::Duration};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GEOMETRIES: [fn() -> Builder; 3] = [CMap::builder, internal::tiny, internal::tiny_wide];

#[test]
fn empty_is_not_absent() {
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        assert_eq!(
            (map.get(b""), map.contains_key(b""), map.value_len(b"")),
            (None, false, None)
        );
        assert_eq!(map.insert(b"", b""), Ok(Inserted::New));
        assert_eq!(map.insert(b"k", b""), Ok(Inserted::New));
        assert_eq!(
            (map.get(b""), map.contains_key(b""), map.value_len(b"")),
            (Some(vec![]), true, Some(0))
        );
        assert_eq!(map.get_with(b"k", <[u8]>::is_empty), Some(true));
        let mut kept = b"kept".to_vec();
        assert_eq!(
            (
                map.get_into(b"", &mut kept),
                map.get_into(b"absent", &mut kept)
            ),
            (Some(0), None)
        );
        assert_eq!(kept, b"kept");
        assert_eq!(map.pin().get(b""), Some(b"".as_slice()));
        assert_eq!(map.insert_if_absent(b"", b"v"), Ok(Changed::Nothing));
        assert_eq!(map.insert_swap(b"", b"v"), Ok(Some(vec![])));
        assert_eq!(map.take(b""), Some(b"v".to_vec()));
        assert_eq!(
            (map.len(), map.take(b""), map.remove(b"")),
            (1, None, false)
        );
        assert!(map.remove(b"k"));
        assert!(map.is_empty());
        assert_sound(&map);
    }
}

/// Values around every size at which the layout changes, with long and short keys.
#[test]
fn values_around_the_sizes_of_chunks() {
    let around = |sizes: &[usize]| -> Vec<usize> {
        sizes
            .iter()
            .flat_map(|&size| (size.saturating_sub(24)..=size + 8).step_by(1))
            .collect()
    };
    let large = [
        (2 * MIB) - 100,
        (2 * MIB) - 23,
        2 * MIB,
        2 * MIB + 1,
        5 * MIB + 3,
    ];
    let small = around(&[0, 24, 255, 256, 512, 4 * KIB, 8 * KIB, 16 * KIB, 64 * KIB]);
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        for key in [b"k".to_vec(), vec![b'k'; 300], vec![b'k'; 65_535]] {
            for &len in small.iter().chain(&large) {
                let value: Vec<u8> = (0..len).map(|at| (at ^ len) as u8).collect();
                assert!(map.insert(&key, &value).is_ok());
                let right = map.get_with(&key, |found| found == value);
                assert_eq!(
                    right,
                    Some(true),
                    "{len} bytes under a key of {}",
                    key.len()
                );
            }
        }
        assert_eq!(map.len(), 3);
        settle(&map);
        assert_sound(&map);
        map.clear();
        settle(&map);
        assert_eq!(map.memory().live, 0);
    }
}

/// Keys that differ in nothing but their length, their last byte, or one bit.
#[test]
fn keys_that_are_nearly_equal() {
    let mut keys: HashSet<Vec<u8>> = HashSet::new();
    for fill in [0x00, 0x01, 0x7f, 0xff] {
        for len in [
            0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1_000, 65_534, 65_535,
        ] {
            let key = vec![fill; len];
            for at in [0, len / 2, len.saturating_sub(1)] {
                let mut other = key.clone();
                if let Some(byte) = other.get_mut(at) {
                    *byte ^= 1;
                }
                keys.insert(other);
            }
            keys.insert(key);
        }
    }
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(
                map.insert(key, &n.to_le_bytes()),
                Ok(Inserted::New),
                "{} bytes",
                key.len()
            );
        }
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(
                map.get(key).as_deref(),
                Some(n.to_le_bytes().as_slice()),
                "{} bytes",
                key.len()
            );
        }
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(
                map.take(key).as_deref(),
                Some(n.to_le_bytes().as_slice()),
                "{} bytes",
                key.len()
            );
        }
        assert!(map.is_empty());
        assert_sound(&map);
    }
}

/// A value borrowed from the same map is copied rightly, also where the write makes the map grow, rebuild or compact.
#[test]
fn values_borrowed_from_the_map_itself() {
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        map.insert(&key_bytes(0), &[0x77; 333])
            .expect("there is memory");
        for n in 0..5_000 {
            let pin = map.pin();
            let value = pin.get(&key_bytes(n)).expect("just inserted");
            map.insert(&key_bytes(n + 1), value)
                .expect("there is memory");
            map.insert(&key_bytes(n), value).expect("there is memory");
            map.get_with(&key_bytes(n + 1), |value| {
                map.insert(&key_bytes(n / 2), value).is_ok()
            });
            // Keys, too, may point into the map.
            map.insert(value, value).expect("there is memory");
            assert_eq!(
                map.insert_swap(value, &value[..n as usize % 333])
                    .map(|old| old.is_some()),
                Ok(true)
            );
            if n >= 200 {
                map.remove(&key_bytes(n - 200));
            }
        }
        map.remove(&[0x77; 333]);
        let mut entries = 0;
        map.for_each(|_, value| {
            assert_eq!(value, [0x77; 333]);
            entries += 1;
        });
        assert_eq!(entries, map.len());
        settle(&map);
        assert_sound(&map);
    }
}

#[test]
#[cfg(not(cmap_asan))] // which needs memory of its own
fn a_hundred_entries_add_at_most_32_kib() {
    alone("edges::a_hundred_entries_add_at_most_32_kib", || {
        drop(CMap::new());
        resident();
        let before = resident();
        let map = CMap::new();
        for n in 0..100 {
            map.insert(&key_bytes(n), &[n as u8; 64])
                .expect("there is memory");
        }
        let grown = resident().saturating_sub(before);
        assert!(
            grown <= 32 * KIB,
            "100 entries add {grown} bytes: {:?}",
            map.memory()
        );
        assert_eq!(map.len(), 100);
    });
}

/// The first table holds them, whichever hashes they get: growing leaves a table behind that more writes must give back.
#[test]
fn a_hundred_entries_seldom_outgrow_the_first_table() {
    let grown = (0..1_000).filter(|_| {
        let map = CMap::new();
        for n in 0..100 {
            map.insert(&key_bytes(n), b"").expect("there is memory");
        }
        map.stats().rebuilds > 0
    });
    let grown = grown.count();
    println!("a hundred entries: {grown} of 1000 maps outgrew their first table");
    assert!(grown <= 5, "{grown} of 1000 maps");
}

#[test]
#[cfg(not(cmap_asan))] // which needs memory of its own
fn sixteen_threads_with_an_entry_each_add_at_most_4_mib() {
    alone(
        "edges::sixteen_threads_with_an_entry_each_add_at_most_4_mib",
        || {
            let (begin, end, gone) = (Barrier::new(17), Barrier::new(17), Barrier::new(17));
            let map = CMap::new();
            thread::scope(|scope| {
                for n in 0..16 {
                    let (begin, end, gone, map) = (&begin, &end, &gone, &map);
                    scope.spawn(move || {
                        begin.wait();
                        map.insert(&key_bytes(n), &[n as u8; 64])
                            .expect("there is memory");
                        end.wait();
                        gone.wait();
                    });
                }
                let before = resident();
                begin.wait();
                end.wait();
                let grown = resident().saturating_sub(before);
                gone.wait();
                assert!(
                    grown <= 4 * MIB,
                    "16 threads add {grown} bytes: {:?}",
                    map.memory()
                );
            });
            assert_eq!(map.len(), 16);
        },
    );
}

#[test]
#[cfg(not(cmap_asan))] // which needs memory of its own
fn ten_thousand_small_maps_add_at_most_320_mib() {
    alone("edges::ten_thousand_small_maps_add_at_most_320_mib", || {
        drop(CMap::new());
        let before = resident();
        let maps: Vec<CMap> = (0..10_000).map(|_| CMap::new()).collect();
        for map in &maps {
            for n in 0..10 {
                map.insert(&key_bytes(n), &[n as u8; 64])
                    .expect("there is memory");
            }
        }
        let grown = resident().saturating_sub(before);
        assert!(
            grown <= 320 * MIB,
            "10 000 maps of 10 entries add {grown} bytes"
        );
        assert!(maps.iter().all(|map| map.len() == 10));
        drop(maps);
        let left = resident().saturating_sub(before);
        assert!(
            left <= grown / 4 + 16 * MIB,
            "dropping 10 000 maps leaves {left} bytes"
        );
    });
}

#[test]
#[cfg(not(cmap_asan))] // which needs memory of its own
fn drop_and_clear_give_memory_back() {
    alone("edges::drop_and_clear_give_memory_back", || {
        drop(CMap::new());
        let large = vec![1; 20 * MIB];
        let before = resident();
        let grown = || resident().saturating_sub(before);
        for clear in [true, false, true] {
            let map = CMap::new();
            for n in 0..300_000 {
                map.insert(&key_bytes(n), &[n as u8; 64])
                    .expect("there is memory");
            }
            map.insert(b"an extent", &large).expect("there is memory");
            let full = grown();
            assert!(full >= 40 * MIB, "{full} bytes are too few to be true");
            if clear {
                map.clear();
                settle(&map);
                assert!(
                    grown() <= 6 * MIB,
                    "{} of {full} bytes left by clear: {:?}",
                    grown(),
                    map.memory()
                );
            }
            drop(map);
            assert!(
                grown() <= 6 * MIB,
                "{} of {full} bytes left by drop",
                grown()
            );
        }
    });
}

#[test]
fn large_values_are_given_back_faster_than_they_are_removed() {
    alone(
        "edges::large_values_are_given_back_faster_than_they_are_removed",
        || {
            let map = CMap::new();
            let value = vec![7; 200_000];
            for n in 0..200_u64 {
                map.insert(&key_bytes(n), &value).unwrap();
            }
            let pinned = map.pin();
            assert!((0..140).all(|n| map.remove(&key_bytes(n))));
            assert!(map.memory().retired >= 140 * value.len());
            drop(pinned);
            assert!((140..190).all(|n| map.remove(&key_bytes(n))));
            assert_eq!(map.memory().retired, 0);
            assert_sound(&map);
        },
    );
}

fn pool_of(keep_free: usize) -> ChunkPool {
    let config = PoolConfig {
        chunk_bytes: 256 * KIB,
        keep_free: Some(keep_free),
        ..PoolConfig::default()
    };
    ChunkPool::new(config).expect("a pool")
}

#[test]
fn a_pool_is_shared_and_outlives_its_handle() {
    let pool = pool_of(64 * MIB);
    assert_eq!(pool.usage().in_use, 0);
    let maps: Vec<CMap> = (0..2)
        .map(|_| CMap::builder().pool(&pool).build().expect("a map"))
        .collect();
    let fill =
        |map: &CMap| (0..50_000).for_each(|n| assert!(map.insert(&key_bytes(n), &[1; 64]).is_ok()));
    fill(&maps[0]);
    let one = pool.usage();
    assert!(
        one.in_use >= 4 * MIB && one.reserved >= one.in_use + one.free,
        "{one:?}"
    );
    fill(&maps[1]);
    let both = pool.usage();
    assert!(
        both.in_use >= one.in_use + 4 * MIB,
        "{one:?} became {both:?}"
    );
    maps[0].clear();
    settle(&maps[0]);
    let cleared = pool.usage();
    assert!(
        cleared.in_use <= one.in_use + MIB && cleared.free >= 4 * MIB,
        "{both:?} became {cleared:?}"
    );
    // What one map gave back serves the other, without more from the system.
    fill(&maps[0]);
    let again = pool.usage();
    assert!(
        again.in_use + again.free <= both.in_use + both.free + MIB,
        "{both:?} became {again:?}"
    );
    let handle = pool.clone();
    drop(maps);
    let dropped = handle.usage();
    assert_eq!(dropped.in_use, 0, "{dropped:?}");
    assert!(
        handle.trim() >= dropped.free && handle.usage().free == 0,
        "{dropped:?} became {:?}",
        handle.usage()
    );
    let map = CMap::builder().pool(&handle).build().expect("a map");
    drop((pool, handle));
    fill(&map);
    assert_eq!(map.get(&key_bytes(49_999)), Some(vec![1; 64]));
    assert_sound(&map);
}

#[test]
fn preallocate_and_trim() {
    let pool = pool_of(0);
    assert_eq!(pool.trim(), 0);
    assert_eq!(pool.preallocate(8 * MIB), Ok(()));
    let ready = pool.usage();
    assert!(ready.free >= 8 * MIB && ready.in_use == 0, "{ready:?}");
    let map = CMap::builder().pool(&pool).build().expect("a map");
    for n in 0..20_000 {
        map.insert(&key_bytes(n), &[2; 64])
            .expect("there is memory");
    }
    let used = pool.usage();
    assert!(
        used.free < ready.free && used.in_use + used.free <= ready.free + MIB,
        "{ready:?} became {used:?}"
    );
    let trimmed = pool.trim();
    assert_eq!((trimmed, pool.usage().free), (used.free, 0), "{used:?}");
    assert_eq!(map.len(), 20_000);
    assert_sound(&map);
    let absurd = pool.preallocate(usize::MAX);
    assert!(
        matches!(
            absurd,
            Err(Error::CapacityOverflow | Error::OutOfMemory { .. } | Error::Full { .. })
        ),
        "{absurd:?}"
    );
}

/// With nothing to move, nothing alive, all of it pinned or held: it ends, and goes on moving nothing.
#[test]
fn compaction_comes_to_an_end() {
    fn nothing_more(map: &CMap, when: &str) {
        let ends = (0..10).any(|_| map.compact(Budget::all()).moved == 0);
        assert!(ends, "{when}: {:?}, {:?}", map.memory(), map.stats());
    }
    within(Duration::from_secs(120), "a compaction", || {
        for builder in GEOMETRIES {
            let map = builder().build().expect("a map");
            let nothing = map.compact(Budget::all());
            assert_eq!((nothing.moved, nothing.done), (0, true));
            for n in 0..2_000 {
                let value = vec![n as u8; 100 + n % 50 / 49 * 5_000];
                map.insert(&key_bytes(n as u64), &value)
                    .expect("there is memory");
            }
            nothing_more(&map, "all alive");
            let pinned = map.pin();
            let values: Vec<_> = (0..2_000).map(|n| pinned.get(&key_bytes(n))).collect();
            let kept: Vec<_> = (0..2_000).map(|n| map.get_ref(&key_bytes(n))).collect();
            for n in (0..2_000).filter(|n| n % 10 > 0) {
                assert!(map.remove(&key_bytes(n)));
            }
            nothing_more(&map, "all pinned");
            let is_right = |n: usize, value: &[u8]| value.iter().all(|&byte| byte == n as u8);
            assert!(
                (0..)
                    .zip(&values)
                    .all(|(n, value)| is_right(n, value.expect("it was there")))
            );
            drop(pinned);
            nothing_more(&map, "some held");
            for (n, value) in (0..).zip(&kept) {
                assert!(is_right(n, value.as_ref().expect("it was there")));
            }
            drop(kept);
            settle(&map);
            assert_eq!(assert_sound(&map).entries, 200);
            (0..2_000).for_each(|n| _ = map.remove(&key_bytes(n)));
            nothing_more(&map, "all dead");
            settle(&map);
            assert_eq!((map.memory().live, map.memory().held), (0, 0));
            assert_sound(&map);
        }
    });
}

/// It takes a few chunks, however often.
#[test]
fn one_key_overwritten_for_ever() {
    alone("edges::one_key_overwritten_for_ever", || {
        for builder in GEOMETRIES {
            let map = builder().build().expect("a map");
            let mut most = 0;
            for n in 0..scaled(20_000_000) as u64 {
                map.insert(b"key", &n.to_le_bytes())
                    .expect("there is memory");
                if n % 1_000 == 0 {
                    most = most.max(map.memory().total());
                }
            }
            assert!(most <= 16 * MIB, "{most} bytes for one entry");
            settle(&map);
            assert!(map.len() == 1 && map.memory().live <= 32);
        }
    });
}

#[test]
fn a_reserved_map_hardly_grows() {
    for map in [
        CMap::new(),
        CMap::builder()
            .expected(100_000, 8 * MIB)
            .build()
            .expect("room for 100 000"),
    ] {
        map.reserve(100_000, 8 * MIB).expect("there is memory");
        let before = map.stats();
        assert!(before.tables > 0, "{before:?}");
        for n in 0..100_000 {
            map.insert(&key_bytes(n), &[2; 64]).expect("reserved");
        }
        // Keys do not fall evenly: here and there a table may fill up all the same.
        let after = map.stats();
        assert!(
            after.splits - before.splits <= before.tables as u64 / 10,
            "{before:?} became {after:?}"
        );
        assert_sound(&map);
    }
}

/// The opt-in thread compacts without any call, and ends with the map.
#[test]
fn a_thread_of_its_own_compacts() {
    let map = CMap::builder()
        .maintenance(Maintenance::Thread)
        .build()
        .expect("a map with a thread");
    for n in 0..150_000 {
        map.insert(&key_bytes(n), &[3; 64])
            .expect("there is memory");
    }
    for n in (0..150_000).filter(|n| n % 10 != 0) {
        assert!(map.remove(&key_bytes(n)));
    }
    assert!(
        eventually(|| map.memory().dead <= 4 * MIB + 256 * KIB),
        "{:?}",
        map.memory()
    );
    assert_eq!(map.len(), 15_000);
    assert!((0..15_000).all(|n| map.contains_key(&key_bytes(10 * n))));
    drop(map);
}

#[test]
fn nothing_printed_shows_contents() {
    let map = CMap::new();
    map.insert(b"secret key", b"secret value")
        .expect("there is memory");
    let printed = format!("{map:?} {:?} {:?}", map.memory(), map.stats());
    let (key, value) = (
        format!("{:?}", b"secret key"),
        format!("{:?}", b"secret value"),
    );
    for secret in [
        "secret",
        "0x",
        key.trim_matches(['[', ']']),
        value.trim_matches(['[', ']']),
    ] {
        assert!(!printed.contains(secret), "{printed}");
    }
    assert!(format!("{map:?}").contains('1'), "{map:?} shows no count");
    let refused = map.insert(&[b's'; 65_536], b"").expect_err("too long");
    assert!(
        refused.to_string().contains("65536") && refused.to_string().contains("65535"),
        "{refused}"
    );
}

/// What the types promise, held by the compiler: this fails to build, or it is true.
#[test]
fn types_keep_their_promises() {
    trait Is<Which> {
        fn told() -> &'static str {
            "neither a clone of a map nor a pin of another thread"
        }
    }
    struct Cloneable;
    struct Sendable;
    impl<T: ?Sized> Is<()> for T {}
    impl<S> Is<Cloneable> for CMap<S> where CMap<S>: Clone {}
    impl<'m, S: 'm> Is<Sendable> for Pinned<'m, S> where Pinned<'m, S>: Send {}

    fn shared<T: Send + Sync + 'static>(_: &T) {}
    fn lasting<T: Clone + Eq + std::error::Error + Send + Sync + 'static>(_: &T) {}
    let map = CMap::<cmap::RandomState>::default();
    shared(&map);
    shared(&pool_of(0));
    lasting(&Error::CapacityOverflow);
    assert!(map.is_empty());
    // Were either so, `_` would be ambiguous here.
    assert_eq!(<CMap as Is<_>>::told(), <Pinned<'static> as Is<_>>::told());
}
