//! What a map says of itself: every field of `memory()` and `stats()`, by what makes it grow and fall.

use crate::common::{OneHash, assert_sound, scaled, settle};
use cmap::{Budget, CMap, ChunkPool, Error, Maintenance, PoolConfig, RandomState};

const CHUNK: usize = 64 << 10;
/// Bytes of each entry that [`put`] makes: 3 of header, 4 of key, 9 of value, and what AddressSanitizer has between two entries.
const ENTRY: usize = if cfg!(cmap_asan) { 24 } else { 16 };

/// A map that does nothing by itself, in a pool that no other has.
fn quiet() -> (CMap, ChunkPool) {
    let config = PoolConfig {
        chunk_bytes: CHUNK,
        ..PoolConfig::default()
    };
    let pool = ChunkPool::new(config).expect("a pool");
    let manual = CMap::builder().maintenance(Maintenance::Manual);
    let map = manual.pool(&pool).build().expect("a map");
    (map, pool)
}

fn put(map: &CMap, keys: impl Iterator<Item = u32>) {
    for key in keys {
        map.insert(&key.to_be_bytes(), b"nine byte").expect("room");
    }
}

#[test]
fn live_dead_and_padding_are_the_log_to_the_byte() {
    let (map, _pool) = quiet();
    let memory = map.memory();
    assert_eq!((memory.live, memory.dead, memory.padding), (0, 0, 0));
    put(&map, 0..10_000);
    let before = map.memory();
    assert_eq!(before.live, 10_000 * ENTRY);
    // Less than a chunk of them: one that is all dead goes.
    put(&map, 0..2_000);
    let after = map.memory();
    assert_eq!(after.live, 10_000 * ENTRY, "as many are alive as before");
    // The rest are the ends of stretches.
    let dead = after.dead - before.dead;
    assert!((2_000 * ENTRY..2_100 * ENTRY).contains(&dead), "{dead}");
    for memory in [before, map.memory()] {
        let log = memory.live + memory.dead + memory.padding;
        assert_eq!(log % CHUNK, 0, "{memory:?}");
    }
    let log = after.live + after.dead + after.padding;
    assert_eq!(map.stats().chunks_in_use * CHUNK, log);
    for key in 0..1_000_u32 {
        assert!(map.remove(&key.to_be_bytes()));
    }
    assert_eq!(map.memory().live, 9_000 * ENTRY);
    assert_eq!(map.memory().dead, after.dead + 1_000 * ENTRY);
    // An extent is live but for the end of its last page.
    let (log, value) = (map.memory(), vec![1; 100_001]);
    map.insert(b"large", &value).expect("room");
    let with = map.memory();
    let live = with.live - log.live;
    assert!((100_011..100_030).contains(&live), "{live}");
    assert!(with.dead - log.dead < 4096, "{with:?}");
}

#[test]
fn index_and_tables_follow_the_entries() {
    let (map, _pool) = quiet();
    assert_eq!((map.memory().index, map.stats().tables), (0, 0));
    put(&map, 0..50_000);
    let (memory, stats) = (map.memory(), map.stats());
    assert!(
        (8 * 50_000..24 * 50_000).contains(&memory.index),
        "{memory:?}"
    );
    assert!((50..400).contains(&stats.tables), "{stats:?}");
    assert_eq!((stats.entries, map.len()), (50_000, 50_000));
    // Each split makes one table more; all else replaces one by one.
    assert_eq!(stats.splits + 1, stats.tables as u64);
    assert!(
        stats.rebuilds > stats.splits && stats.merges == 0,
        "{stats:?}"
    );

    assert_eq!(map.retain(|key, _| key[3] == 0), 50_000 - 196);
    map.shrink_to_fit();
    let shrunk = map.stats();
    assert_eq!(shrunk.entries, 196);
    assert_eq!(shrunk.splits - shrunk.merges + 1, shrunk.tables as u64);
    assert!(shrunk.merges > 0 && shrunk.tables < 10, "{shrunk:?}");
    assert!(map.memory().index < memory.index / 10, "{:?}", map.memory());

    // What happened stays told, though all of it is gone.
    map.clear();
    let cleared = map.stats();
    assert_eq!(
        (cleared.entries, cleared.tables, map.memory().live),
        (0, 0, 0)
    );
    let events = |stats: cmap::Stats| (stats.splits, stats.merges, stats.rebuilds);
    assert_eq!(events(cleared), events(shrunk));
}

#[test]
fn compaction_counts_what_it_moves_and_frees() {
    let (map, _pool) = quiet();
    put(&map, 0..40_000);
    let before = map.stats();
    assert_eq!((before.compactions, before.relocations), (0, 0));
    assert_eq!((before.bytes_moved, before.chunks_freed), (0, 0));
    map.retain(|key, _| key[3] % 4 == 0);
    settle(&map);
    let mut stats = map.stats();
    assert!(stats.relocations > 0 && stats.compactions > 0, "{stats:?}");
    assert_eq!(stats.bytes_moved, stats.relocations * ENTRY as u64);
    assert!(stats.chunks_in_use < before.chunks_in_use / 2, "{stats:?}");
    let gone = before.chunks_in_use - stats.chunks_in_use;
    assert!(stats.chunks_freed >= gone as u64, "{stats:?}");
    // What one call says is what the counts rise by.
    put(&map, (0..40_000).filter(|key| key % 8 == 0));
    let before = stats;
    let done = map.compact(Budget::all());
    stats = map.stats();
    assert_eq!(
        (stats.relocations - before.relocations) as usize,
        done.moved
    );
    assert_eq!(
        (stats.chunks_freed - before.chunks_freed) as usize * CHUNK,
        done.freed
    );
    assert_sound(&map);
}

#[test]
fn retired_bytes_wait_for_a_pin_whose_age_is_told() {
    let (map, _pool) = quiet();
    put(&map, 0..40_000);
    assert_eq!(map.stats().oldest_pin, None);
    let pinned = map.pin();
    map.retain(|_, _| false);
    map.compact(Budget::all());
    let (memory, stats) = (map.memory(), map.stats());
    // The chunks that are not open are all dead.
    assert!(memory.retired > 40_000 * ENTRY / 2, "{memory:?}");
    assert_eq!(stats.retired_bytes, memory.retired);
    let age = stats.oldest_pin.expect("it is in the way");
    assert!(
        map.stats().oldest_pin >= Some(age),
        "a pin does not grow younger"
    );
    drop(pinned);
    settle(&map);
    assert_eq!((map.memory().retired, map.stats().oldest_pin), (0, None));
}

#[test]
fn held_bytes_are_those_of_kept_values_alone() {
    let (map, _pool) = quiet();
    map.insert(b"large", &vec![1; 200_000]).expect("room");
    let value = map.get_ref(b"large").expect("just inserted");
    assert_eq!(map.memory().held, 0, "the map has it itself");
    map.remove(b"large");
    settle(&map);
    let held = map.memory().held;
    assert!((200_000..200_000 + 2 * CHUNK).contains(&held), "{held}");
    drop(value);
    assert_eq!(map.memory().held, 0);
}

#[test]
fn a_pool_of_ones_own_is_counted_and_a_shared_one_is_not() {
    let (map, pool) = quiet();
    put(&map, 0..40_000);
    map.clear();
    map.shrink_to_fit();
    assert_eq!(map.memory().pool, 0, "{:?}", pool.usage());
    let own = CMap::builder().max_bytes(64 << 20).build().expect("a map");
    put(&own, 0..100_000);
    let memory = own.memory();
    // What the tables have not taken of their chunks, at least.
    assert!(memory.pool > 0, "{memory:?}");
    assert!(
        memory.total() > 100_000 * ENTRY && memory.total() <= 64 << 20,
        "{memory:?}"
    );
}

#[test]
fn spilled_entries_are_those_of_hashes_too_much_alike() {
    let map = CMap::builder().hasher(OneHash).build().expect("a map");
    for key in 0..1_000_u32 {
        map.insert(&key.to_be_bytes(), b"v").expect("room");
    }
    let spilled = map.stats().spilled;
    assert!((800..1_000).contains(&spilled), "{spilled}");
    map.retain(|_, _| false);
    assert_eq!(map.stats().spilled, 0);
    let (map, _pool) = quiet();
    put(&map, 0..10_000);
    assert_eq!(map.stats().spilled, 0, "no hasher that spreads");
}

/// Hashes lie most unevenly in the lowest table: where it splits, each half must have room for its part.
#[test]
fn a_hasher_that_spreads_spills_nothing() {
    // Of 3 000 seeds, those where the halves of an even split had none.
    let known = [424, 706, 837, 1065, 1104, 1138, 1302, 1510, 2019, 2120];
    for seed in known
        .into_iter()
        .chain(10_000..10_000 + scaled(1_000) as u64)
    {
        let hasher = RandomState::with_seed(seed);
        let map = CMap::builder().hasher(hasher).build().expect("a map");
        for n in 0..5_000_u64 {
            map.insert(&n.to_le_bytes(), b"v").expect("room");
        }
        assert_eq!(map.stats().spilled, 0, "seed {seed}");
    }
}

#[test]
fn refused_calls_are_counted() {
    let map = CMap::builder().max_bytes(16 << 20).build().expect("a map");
    map.insert(b"k", b"v").expect("room");
    assert_eq!(map.stats().refused, 0);
    let large = vec![1; 32 << 20];
    for refused in 1..=3 {
        let full = map.insert(b"k", &large);
        assert!(matches!(full, Err(Error::Full { .. })), "{full:?}");
        assert_eq!(map.stats().refused, refused);
    }
    assert!(matches!(map.append(b"k", &large), Err(Error::Full { .. })));
    assert!(matches!(map.reserve(0, 32 << 20), Err(Error::Full { .. })));
    // A key that is too long needed no memory.
    assert!(map.insert(&large[..70_000], b"v").is_err());
    assert_eq!(map.stats().refused, 5);
    let tiny = cmap::internal::tiny().build().expect("a map");
    cmap::internal::fail_memory(&tiny, 1, false);
    assert!(matches!(
        tiny.insert(b"k", b"v"),
        Err(Error::OutOfMemory { .. })
    ));
    assert_eq!(tiny.stats().refused, 1);
}
