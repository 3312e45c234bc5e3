//! Every allocation may fail: the n-th of an operation, for n = 1, 2, 3, … until the operation completes, once and for good; those
//! on the heap by an allocator of this binary's own, those of the map's pool by its own switch. Each time: an error or success,
//! nothing lost, every invariant kept, and after healing everything works.
//!
//! Calls that return a `Vec` (`get`, `get_into`, and `take` and `insert_swap` of a key that is there) may abort where the heap has
//! no room for it, as every `Vec` does. They are by design not part of the heap's faults, and are part of the pool's.

mod common;
#[path = "faults/failing.rs"]
mod failing;
#[path = "faults/ops.rs"]
mod ops;

use cmap::{Builder, CMap, ChunkPool, Error, PoolConfig, internal};
use common::{alone, assert_sound, scaled, settle};
use failing::Plan;
use ops::{Model, OPS, Op};
use std::collections::HashMap;

#[global_allocator]
static HEAP: failing::Heap = failing::Heap;

/// Whose allocations fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Heap,
    Pool,
}

type Geometry = (&'static str, fn() -> Builder);

const GEOMETRIES: [Geometry; 3] = [
    ("tiny", internal::tiny),
    ("tiny, wide", internal::tiny_wide),
    ("small chunks", small_chunks),
];

fn small_chunks() -> Builder {
    let config = PoolConfig {
        chunk_bytes: 64 << 10,
        keep_free: Some(0),
        ..PoolConfig::default()
    };
    CMap::builder().pool(&ChunkPool::new(config).expect("a pool"))
}

#[test]
fn every_heap_allocation_may_fail() {
    alone("every_heap_allocation_may_fail", || {
        let faults = every_allocation_may_fail(Source::Heap);
        println!("every_heap_allocation_may_fail: {faults} faults injected");
    });
}

#[test]
fn every_allocation_of_the_pool_may_fail() {
    alone("every_allocation_of_the_pool_may_fail", || {
        let faults = every_allocation_may_fail(Source::Pool);
        println!("every_allocation_of_the_pool_may_fail: {faults} faults injected");
        assert!(
            faults > 200,
            "{faults} faults are too few: is the switch connected?"
        );
    });
}

/// Reads that promise to allocate nothing meet no allocation that could fail.
#[test]
fn reads_allocate_nothing() {
    // Alone: an allocation that fails ends the process.
    alone("reads_allocate_nothing", || {
        let map = internal::tiny_wide().build().expect("a map");
        for n in 0..2_000_u32 {
            map.insert(&n.to_be_bytes(), &vec![7; n as usize % 700])
                .expect("there is memory");
        }
        let keys: Vec<_> = (0..3_000_u32).map(u32::to_be_bytes).collect();
        let mut out = Vec::with_capacity(700);
        // The thread's first pin makes its record.
        assert!(map.contains_key(&keys[0]));
        failing::plan(Plan {
            countdown: 1,
            sticky: true,
        });
        let (mut bytes, mut hits) = ([0; 5], 0);
        failing::faulty(|| {
            for key in &keys {
                bytes[0] += map.get_with(key, <[u8]>::len).unwrap_or(0);
                bytes[1] += map.value_len(key).unwrap_or(0);
                out.clear();
                bytes[2] += map.get_into(key, &mut out).unwrap_or(0);
                hits += usize::from(map.contains_key(key));
            }
            let pinned = map.pin();
            map.get_many(&keys, |_, value| bytes[3] += value.map_or(0, <[u8]>::len));
            pinned.get_many(&keys, |_, value| bytes[4] += value.map_or(0, <[u8]>::len));
            hits += map.len();
        });
        assert_eq!(failing::end(), 0, "a read allocates");
        let payload = (0..2_000).map(|n| n % 700).sum();
        assert_eq!((bytes, hits), ([payload; 5], 4_000));
    });
}

/// All operations, in all geometries, once and for good. Gives the number of faults.
fn every_allocation_may_fail(source: Source) -> usize {
    let mut faults = 0;
    for (geometry, builder) in GEOMETRIES {
        for op in OPS
            .iter()
            .filter(|op| source == Source::Pool || !op.returns_vec)
        {
            for sticky in [false, true] {
                // Said before it happens: where the process dies, the last line names the culprit.
                eprintln!(
                    "{geometry}: `{}`, {source:?}, {}",
                    op.name,
                    if sticky { "for good" } else { "once" }
                );
                faults += until_it_completes(op, builder, source, sticky);
            }
        }
    }
    faults
}

/// Lets the n-th allocation of `op` fail for n = 1, 2, 3, … until none fails. Gives the number of faults.
fn until_it_completes(op: &Op, builder: fn() -> Builder, source: Source, sticky: bool) -> usize {
    let mut faults = 0;
    let mut n = 1;
    loop {
        let injected = once(op, builder, source, n, sticky);
        faults += injected;
        if injected == 0 {
            return faults;
        }
        // Beyond the first hundreds not every one, except at full scale.
        n += if n <= 300 {
            1
        } else {
            (20 / scaled(20)).max(1)
        };
        assert!(n < 100_000, "`{}` allocates without end", op.name);
    }
}

/// One map, one operation, its n-th allocation failing. Gives the number of faults.
fn once(op: &Op, builder: fn() -> Builder, source: Source, n: usize, sticky: bool) -> usize {
    let told = format!("`{}`, {source:?}, allocation {n}, sticky {sticky}", op.name);
    let map = builder().build().expect("nothing fails yet");
    let mut model = ops::prepare(&map);
    let requests = internal::memory_requests(&map);
    match source {
        Source::Heap => failing::plan(Plan {
            countdown: n,
            sticky,
        }),
        Source::Pool => internal::fail_memory(&map, n, sticky),
    }
    let result = (op.run)(&map, &mut model);
    let on_heap = failing::end();
    let of_pool = (internal::memory_requests(&map) - requests + 1).saturating_sub(n);
    internal::fail_memory(&map, 0, false);
    let injected = match source {
        Source::Heap => on_heap,
        Source::Pool if sticky => of_pool,
        Source::Pool => of_pool.min(1),
    };
    match result {
        Ok(()) => {}
        Err(Error::OutOfMemory { bytes }) => {
            assert!(
                bytes > 0 && injected > 0,
                "{told}: {bytes} bytes refused, {injected} faults"
            );
            assert!(op.fallible, "{told}: cannot return an error");
        }
        Err(other) => panic!("{told}: {other:?}"),
    }
    assert_right(&map, &model, &told);
    use_again(&map, &mut model, &told);
    assert_right(&map, &model, &told);
    injected
}

/// Nothing lost, nothing more than there should be, and every invariant kept.
#[track_caller]
fn assert_right(map: &CMap, model: &Model, told: &str) {
    let mut seen: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    map.for_each(|key, value| {
        assert!(
            seen.insert(key.to_vec(), value.to_vec()).is_none(),
            "{told}: {key:?} twice"
        )
    });
    for (key, value) in model {
        assert!(
            seen.get(key) == Some(value),
            "{told}: {key:?} is lost or wrong"
        );
        assert!(
            map.get_with(key, |found| found == value) == Some(true),
            "{told}: {key:?} cannot be found"
        );
    }
    assert_eq!(
        (seen.len(), map.len()),
        (model.len(), model.len()),
        "{told}: entries"
    );
    let checked = internal::check(map).unwrap_or_else(|broken| panic!("{told}: {broken}"));
    assert_eq!(
        checked.chunks_in_use, checked.chunks_reachable,
        "{told}: chunks leak"
    );
}

/// After healing the map takes everything again.
#[track_caller]
fn use_again(map: &CMap, model: &mut Model, told: &str) {
    for n in 0..60_u8 {
        let (key, value) = (vec![b'u', n], vec![n; usize::from(n) * 20]);
        assert!(
            map.insert(&key, &value).is_ok(),
            "{told}: no insert afterwards"
        );
        model.insert(key, value);
    }
    for n in (0..60_u8).step_by(2) {
        assert!(map.remove(&[b'u', n]), "{told}: no remove afterwards");
        model.remove([b'u', n].as_slice());
    }
    settle(map);
}

#[test]
fn preallocate_may_fail() {
    for sticky in [false, true] {
        let config = PoolConfig {
            chunk_bytes: 64 << 10,
            keep_free: Some(0),
            ..PoolConfig::default()
        };
        let pool = ChunkPool::new(config).expect("a pool");
        let map = CMap::builder().pool(&pool).build().expect("a map");
        map.insert(b"key", b"value").expect("there is memory");
        let before = pool.usage().in_use;
        let mut n = 1;
        loop {
            pool.trim();
            let requests = internal::memory_requests(&map);
            internal::fail_memory(&map, n, sticky);
            let result = pool.preallocate(1 << 20);
            let injected = internal::memory_requests(&map) - requests >= n;
            internal::fail_memory(&map, 0, false);
            assert!(
                matches!(result, Ok(()) | Err(Error::OutOfMemory { .. })),
                "{result:?}"
            );
            assert_eq!(
                result.is_err(),
                injected,
                "request {n}, sticky {sticky}: {result:?}"
            );
            assert_eq!(
                (pool.usage().in_use, map.get(b"key")),
                (before, Some(b"value".to_vec()))
            );
            if !injected {
                break;
            }
            n += 1;
        }
        assert!(n > 1, "nothing was injected");
        assert_sound(&map);
    }
}
