//! Values that outlive pins: they stay as they were past everything that may happen to their keys and their map, on any thread; what
//! they keep counts, shows, and comes back when the last of them is dropped.

use crate::common::{assert_sound, eventually, key_bytes, mix, scaled, settle};
use cmap::{Budget, Builder, CMap, ChunkPool, Error, PoolConfig, ValueRef, internal};
use std::{
    sync::{Barrier, OnceLock},
    thread,
};

const GEOMETRIES: [fn() -> Builder; 3] = [CMap::builder, internal::tiny, internal::tiny_wide];
/// Copies, values in chunks, and values with pages of their own, in every geometry.
const SIZES: [usize; 9] = [0, 1, 64, 65, 400, 4_096, 4_097, 60_000, 200_000];

fn bytes(n: u64, len: usize) -> Vec<u8> {
    let mut word = mix(n, len as u64);
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        out.extend_from_slice(&word.to_le_bytes());
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
    }
    out.truncate(len);
    out
}

fn size(n: u64) -> usize {
    SIZES[n as usize % SIZES.len()]
}

fn fill(map: &CMap, count: u64) {
    for n in 0..count {
        map.insert(&key_bytes(n), &bytes(n, size(n)))
            .expect("there is memory");
    }
}

#[track_caller]
fn refs(map: &CMap, count: u64) -> Vec<ValueRef> {
    let get = |n| map.get_ref(&key_bytes(n)).expect("it is there");
    (0..count).map(get).collect()
}

#[track_caller]
fn assert_whole(refs: &[ValueRef]) {
    for (n, value) in refs.iter().enumerate() {
        assert!(
            **value == bytes(n as u64, size(n as u64)),
            "value {n} changed"
        );
    }
}

#[test]
fn it_is_what_was_there() {
    let map = CMap::new();
    assert!(map.get_ref(b"absent").is_none());
    fill(&map, 20);
    let refs = refs(&map, 20);
    assert_whole(&refs);
    let value: &[u8] = refs[5].as_ref();
    assert_eq!(
        (value.len(), refs[5].clone().to_vec()),
        (4_096, bytes(5, 4_096))
    );
    assert_eq!(
        format!("{:?}", refs[3]),
        "ValueRef { len: 65, .. }",
        "contents are not shown"
    );
}

/// Replaced, removed, compacted, cleared, shrunk: what is kept stays, the rest of the memory comes back, and in the end all of it.
#[test]
fn it_outlives_everything_that_happens_to_its_key() {
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        fill(&map, 90);
        let refs = refs(&map, 90);
        for n in 0..90 {
            match n % 3 {
                0 => assert!(map.remove(&key_bytes(n))),
                1 => drop(map.insert(&key_bytes(n), b"new").expect("there is memory")),
                _ => {}
            }
        }
        map.compact(Budget::all());
        assert_whole(&refs);
        settle(&map);
        assert_sound(&map);
        map.clear();
        fill(&map, 200);
        map.shrink_to_fit();
        assert_whole(&refs);
        map.clear();
        settle(&map);
        let held = map.memory().held;
        let payload: usize = refs
            .iter()
            .map(|value| value.len())
            .filter(|&len| len > 4_096)
            .sum();
        assert!(
            held >= payload,
            "{held} held, of {payload}: {:?}",
            map.memory()
        );
        assert_sound(&map);
        let clones = refs.clone();
        drop(refs);
        assert_eq!(map.memory().held, held, "the clones keep it");
        assert_whole(&clones);
        drop(clones);
        assert_eq!(map.memory().held, 0);
        settle(&map);
        assert_sound(&map);
    }
}

/// The map goes, and its pool with it where that was its own; the values stay, on any thread.
#[test]
fn it_outlives_its_map() {
    let pool = ChunkPool::new(PoolConfig {
        chunk_bytes: 64 << 10,
        keep_free: Some(0),
        ..PoolConfig::default()
    });
    let pool = pool.expect("a pool");
    for round in 0..scaled(400).max(8) {
        let map = match round % 4 {
            0 => CMap::new(),
            1 => CMap::builder().pool(&pool).build().expect("a map"),
            2 => internal::tiny().build().expect("tiny"),
            _ => CMap::builder().max_bytes(64 << 20).build().expect("a map"),
        };
        fill(&map, 36);
        let refs = refs(&map, 36);
        let clones = refs.clone();
        let barrier = Barrier::new(2);
        thread::scope(|scope| {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                assert_whole(&clones);
                drop(clones);
            });
            barrier.wait();
            drop(map);
        });
        // What is not held is used again by others.
        let other = CMap::builder().pool(&pool).build().expect("a map");
        fill(&other, 36);
        assert_whole(&refs);
        let owned = thread::spawn(move || {
            assert_whole(&refs);
            refs
        });
        drop(owned.join().expect("whole"));
    }
    assert_eq!(
        pool.usage().in_use,
        0,
        "all of it came back: {:?}",
        pool.usage()
    );
}

/// Small ones are copies: many of them, scattered, keep nothing.
#[test]
fn a_thousand_small_ones_keep_no_chunk() {
    let map = CMap::new();
    for n in 0..200_000_u64 {
        map.insert(&key_bytes(n), &bytes(n, 400))
            .expect("there is memory");
    }
    let chunks = map.stats().chunks_in_use;
    let refs: Vec<_> = (0..1_000)
        .map(|n| (n * 200, map.get_ref(&key_bytes(n * 200))))
        .collect();
    map.clear();
    settle(&map);
    assert_eq!(map.memory().held, 0, "of {chunks} chunks");
    for (n, value) in refs {
        assert!(*value.expect("it was there") == bytes(n, 400));
    }
}

/// A large one keeps its own chunk, and no other; compaction leaves that one alone.
#[test]
fn a_large_one_keeps_one_chunk() {
    let map = CMap::new();
    for n in 0..2_000_u64 {
        map.insert(&key_bytes(n), &bytes(n, 5_000))
            .expect("there is memory");
    }
    let kept = map.get_ref(&key_bytes(1_000)).expect("it is there");
    assert_eq!(map.memory().held, 0, "the map needs it, too");
    for n in 0..1_990 {
        map.remove(&key_bytes(n));
    }
    map.shrink_to_fit();
    settle(&map);
    let memory = map.memory();
    assert!(
        memory.held <= 2 << 20 && memory.held + memory.dead >= 5_000,
        "{memory:?}"
    );
    map.clear();
    settle(&map);
    assert_eq!(map.memory().held, 2 << 20);
    assert!(*kept == bytes(1_000, 5_000));
    drop(kept);
    assert_eq!(map.memory().held, 0);
    assert_sound(&map);
}

/// What is kept counts to the limit; `Full` names it; it comes back with the last reference, also to one that was waiting for it.
#[test]
fn it_counts_to_the_limit() {
    let map = CMap::builder().max_bytes(16 << 20).build().expect("a map");
    let mut refs = Vec::new();
    let refused = (0..1_000).find_map(|n| {
        let written = map.insert(b"key", &bytes(n, 100_000));
        refs.extend(map.get_ref(b"key"));
        written.err()
    });
    let Some(Error::Full {
        needed,
        available,
        pinned,
    }) = refused
    else {
        panic!("{refused:?} instead of Full")
    };
    assert!(
        needed > available && pinned > 8 << 20,
        "{needed}, {available}, {pinned}"
    );
    let memory = map.memory();
    assert!(
        memory.held > 8 << 20 && memory.total() <= 16 << 20,
        "{memory:?}"
    );
    assert_sound(&map);
    assert!(
        (0_u64..)
            .zip(&refs)
            .all(|(n, value)| **value == bytes(n.min(refs.len() as u64 - 2), 100_000))
    );
    drop(refs);
    assert!(eventually(|| map
        .insert(b"key", &bytes(0, 100_000))
        .is_ok()));
    settle(&map);
    assert_eq!(map.memory().held, 0);
    assert_sound(&map);
}

/// One that is forgotten keeps its memory, and does no other harm. (A static is never dropped; and LeakSanitizer, which would
/// be right to complain, finds what it keeps.)
#[test]
fn a_forgotten_one_is_safe() {
    static FORGOTTEN: OnceLock<Vec<ValueRef>> = OnceLock::new();
    let map = CMap::builder().max_bytes(16 << 20).build().expect("a map");
    fill(&map, 9);
    FORGOTTEN.set(refs(&map, 9)).expect("once");
    map.clear();
    settle(&map);
    assert!(map.memory().held > 0);
    for n in 0..20_000 {
        map.insert(&key_bytes(n % 100), &bytes(n, 1_000))
            .expect("there is memory");
    }
    assert_sound(&map);
}

/// Taken, cloned, sent and dropped on many threads while the keys are replaced and removed and compaction runs.
#[test]
fn it_is_kept_and_dropped_by_many_threads() {
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        let each = scaled(100_000) as u64;
        fill(&map, 54);
        thread::scope(|scope| {
            for thread in 0..3 {
                let map = &map;
                scope.spawn(move || {
                    let mut kept: Vec<(u64, ValueRef)> = Vec::new();
                    for step in 0..each {
                        let n = mix(step, thread) % 54;
                        match mix(step, thread + 10) % 10 {
                            0 => drop(
                                map.insert(&key_bytes(n), &bytes(n, size(n)))
                                    .expect("there is memory"),
                            ),
                            1 => drop(map.remove(&key_bytes(n))),
                            2 if step % 500 == 0 => map.clear(),
                            3 if step % 50 == 0 => drop(map.compact(Budget::all())),
                            4..=6 => kept.truncate(kept.len() / 2),
                            _ => kept.extend(map.get_ref(&key_bytes(n)).map(|value| (n, value))),
                        }
                        if let Some((n, value)) = kept.get(step as usize % 8).cloned() {
                            assert!(*value == bytes(n, size(n)), "a kept value changed");
                        }
                    }
                });
            }
        });
        assert_eq!(map.memory().held, 0);
        settle(&map);
        assert_sound(&map);
    }
}

#[cfg(feature = "bytes")]
#[test]
fn bytes_share_it() {
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        fill(&map, 18);
        let all: Vec<bytes::Bytes> = (0..18)
            .map(|n| map.get_bytes(&key_bytes(n)).expect("there"))
            .collect();
        assert!(map.get_bytes(b"absent").is_none());
        drop(map);
        for (n, value) in (0..).zip(all) {
            let half = value.slice(value.len() / 2..);
            drop(value);
            assert_eq!(half, bytes(n, size(n))[size(n) / 2..]);
        }
    }
}
