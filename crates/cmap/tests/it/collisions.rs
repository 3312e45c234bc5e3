//! Keys that collide: what they cost, in lines looked at, in keys compared and in bytes, and that they cost nobody else.
//! Time is printed, never judged.

use crate::common::{
    Meddling, Mixed, MixedTop, OneHash, SameBottom, SameTop, assert_sound, content, key_bytes, mix,
    scaled, seed, settle, within,
};
use cmap::{CMap, RandomState, internal};
use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::OnceLock,
    time::{Duration, Instant},
};

const VALUE: [u8; 64] = [7; 64];

/// Equal hashes: 2 000 at the full count of CI, 100 000 at fifty times that.
fn equal_count() -> u64 {
    scaled(2_000).max(2_000) as u64
}

fn equal_key(n: u64) -> Vec<u8> {
    format!("={n}").into_bytes()
}

fn fill<S: BuildHasher>(map: &CMap<S>, keys: impl Iterator<Item = Vec<u8>>) -> Duration {
    let start = Instant::now();
    for key in keys {
        map.insert(&key, &VALUE).expect("there is memory");
    }
    start.elapsed()
}

/// Lines and compares of many look-ups.
#[derive(Default)]
struct Costs {
    lines: Vec<usize>,
    compares: Vec<usize>,
}

impl Costs {
    fn of<S: BuildHasher>(
        map: &CMap<S>,
        keys: impl Iterator<Item = Vec<u8>>,
        is_hit: bool,
    ) -> Self {
        let mut costs = Self::default();
        for key in keys {
            let probe = internal::probe(map, &key);
            assert_eq!(probe.is_hit, is_hit, "{key:?}");
            costs.lines.push(probe.lines);
            costs.compares.push(probe.compares);
        }
        costs.lines.sort_unstable();
        costs.compares.sort_unstable();
        costs
    }

    fn mean(&self) -> f64 {
        let sum: usize = self.lines.iter().chain(&self.compares).sum();
        sum as f64 / self.lines.len() as f64
    }

    /// The value that the share of `per_10_000` does not exceed.
    fn at(sorted: &[usize], per_10_000: usize) -> usize {
        sorted[(sorted.len() * per_10_000 / 10_000).min(sorted.len() - 1)]
    }

    fn line(&self) -> String {
        let mean = |all: &[usize]| all.iter().sum::<usize>() as f64 / all.len() as f64;
        format!(
            "{:.4} lines (p50 {}, p99 {}, p99.99 {}, most {}), {:.4} compares (p99.99 {})",
            mean(&self.lines),
            Self::at(&self.lines, 5_000),
            Self::at(&self.lines, 9_900),
            Self::at(&self.lines, 9_999),
            self.lines[self.lines.len() - 1],
            mean(&self.compares),
            Self::at(&self.compares, 9_999),
        )
    }
}

/// What is in the index, over the least that there can be.
#[track_caller]
fn assert_lean<S: BuildHasher>(map: &CMap<S>, payload: usize, besides: usize) {
    let (memory, entries) = (map.memory(), map.len());
    assert!(
        memory.live + memory.index <= payload + 32 * entries + besides,
        "{entries} entries of {payload} bytes: {memory:?}"
    );
}

fn payload(keys: impl Iterator<Item = Vec<u8>>) -> usize {
    keys.map(|key| key.len() + VALUE.len()).sum()
}

#[test]
fn equal_hashes_cost_a_line_for_eight_keys_and_32_bytes_each() {
    let count = equal_count();
    let map = CMap::builder().hasher(OneHash).build().expect("a map");
    let keys = || (0..count).map(equal_key);
    let time = fill(&map, keys());
    let hits = Costs::of(&map, keys(), true);
    let misses = Costs::of(&map, (count..2 * count).map(equal_key), false);
    println!(
        "collisions: {count} equal hashes: {} ms for all inserts, index {} bytes; hit {}; miss {}",
        time.as_millis(),
        map.memory().index,
        hits.line(),
        misses.line()
    );
    let most = 3 + (count as usize).div_ceil(8);
    assert!(
        misses
            .lines
            .iter()
            .chain(&hits.lines)
            .all(|&lines| lines <= most)
    );
    // Of those in the spill tables, few look alike: a compare is a read of the entry.
    assert!(
        misses
            .compares
            .iter()
            .all(|&compares| compares <= 3 * 8 + 4)
    );
    assert_lean(&map, payload(keys()), 16 << 10);
    assert_sound(&map);
}

/// 100 000 keys of one hash, or with the top 30 bits of one, and keys of all hashes, in one map: those of the same table cost at
/// most twice what they cost without.
#[test]
fn equal_hashes_cost_other_keys_at_most_twice() {
    others_cost_at_most_twice("equal hashes", Mixed);
    others_cost_at_most_twice("hashes with equal tops", MixedTop);
}

#[track_caller]
fn others_cost_at_most_twice<S>(what: &str, hasher: S)
where
    S: BuildHasher + Copy + Send + Sync + 'static,
{
    let others = |range: std::ops::Range<u64>| range.map(|n| format!("{n}").into_bytes());
    // A table of 100 000 entries has about seven bits of the hash to itself.
    let hash_of = |key: &[u8]| {
        let mut hasher = hasher.build_hasher();
        hasher.write(key);
        hasher.finish()
    };
    let neighbours = |range| others(range).filter(|key| hash_of(key) >> 57 == Mixed::EQUAL >> 57);
    let costs = |alike: u64| {
        let map = CMap::builder().hasher(hasher).build().expect("a map");
        // Every now and then some of those that are alike.
        for n in 0..100_000 {
            fill(&map, others(n..n + 1));
            if n % 1_000 == 0 {
                let at = |n| n * alike / 100_000;
                fill(&map, (at(n)..at(n + 1_000)).map(equal_key));
            }
        }
        assert_eq!(map.len() as u64, 100_000 + alike);
        let hits = Costs::of(&map, neighbours(0..100_000), true);
        let misses = Costs::of(&map, neighbours(100_000..1_000_000), false);
        assert!(hits.lines.len() > 500, "{} neighbours", hits.lines.len());
        assert_lean(
            &map,
            payload(others(0..100_000).chain((0..alike).map(equal_key))),
            16 << 10,
        );
        assert_sound(&map);
        (hits, misses)
    };
    let (without, with) = (costs(0), costs(100_000));
    println!(
        "collisions: neighbours of {what}: hit {}, without them {}; miss {}, without them {}",
        with.0.line(),
        without.0.line(),
        with.1.line(),
        without.1.line()
    );
    for (with, without) in [(&with.0, &without.0), (&with.1, &without.1)] {
        assert!(
            with.mean() <= 2.0 * without.mean(),
            "{} against {}",
            with.mean(),
            without.mean()
        );
    }
}

/// 100 000 keys whose hashes share their top 30 bits: no directory can tell them apart.
#[test]
fn hashes_that_share_their_top_30_bits() {
    let count = scaled(2_000_000).min(100_000) as u64;
    let map = CMap::builder().hasher(SameTop).build().expect("a map");
    let keys = || (0..count).map(|n| key_bytes(n).to_vec());
    let time = fill(&map, keys());
    let hits = Costs::of(&map, keys(), true);
    let misses = Costs::of(
        &map,
        (count..count + 10_000).map(|n| key_bytes(n).to_vec()),
        false,
    );
    println!(
        "collisions: {count} hashes with equal tops: {} ms for all inserts, index {} bytes; hit {}; miss {}",
        time.as_millis(),
        map.memory().index,
        hits.line(),
        misses.line()
    );
    let most = 3 + (count as usize).div_ceil(8);
    assert!(
        misses
            .lines
            .iter()
            .chain(&hits.lines)
            .all(|&lines| lines <= most)
    );
    assert_lean(&map, payload(keys()), 16 << 10);
    assert_eq!(content(&map).0 as u64, count);
    // In the order of their numbers, which is none of the index.
    for part in [0..9, 9..10] {
        let gone = keys().enumerate().filter(|(n, _)| part.contains(&(n % 10)));
        gone.for_each(|(n, key)| assert!(map.remove(&key), "{n}"));
        assert_eq!(content(&map).0, map.len());
        assert_sound(&map);
    }
    map.shrink_to_fit();
    assert!(
        map.is_empty() && map.memory().index <= 24 << 10,
        "{:?}",
        map.memory()
    );
}

/// Keys that were chosen against one seed: a map with that seed is right and lean all the same, one with another does not notice.
#[test]
fn keys_chosen_against_a_known_seed() {
    const SEED: u64 = 12_345;
    let known = RandomState::with_seed(SEED);
    let hash = |key: &[u8]| {
        let mut hasher = known.build_hasher();
        hasher.write(key);
        hasher.finish()
    };
    // All in one of 4 096 parts of the hashes: as deep as their tables go, and deeper than they should.
    let chosen: Vec<Vec<u8>> = (0_u64..)
        .map(key_bytes)
        .filter(|key| hash(key) >> 52 == 0xabc)
        .map(|key| key.to_vec())
        .take(scaled(100_000).clamp(3_000, 30_000))
        .collect();
    let attacked = CMap::builder()
        .hasher(known.clone())
        .build()
        .expect("a map");
    let fresh = CMap::new();
    let ordinary = CMap::new();
    let random = |n: usize| mix(n as u64, 0xfeed).to_le_bytes().to_vec();
    fill(&attacked, chosen.iter().cloned());
    fill(&fresh, chosen.iter().cloned());
    fill(&ordinary, (0..chosen.len()).map(random));
    let costs = |map: &CMap| Costs::of(map, chosen.iter().cloned(), true);
    let (on_attacked, on_fresh) = (costs(&attacked), costs(&fresh));
    let on_ordinary = Costs::of(&ordinary, (0..chosen.len()).map(random), true);
    println!(
        "collisions: {} chosen keys: known seed {}; other seed {}; random keys {}",
        chosen.len(),
        on_attacked.line(),
        on_fresh.line(),
        on_ordinary.line()
    );
    for sorted in [
        |costs: &Costs| Costs::at(&costs.lines, 9_999),
        |costs: &Costs| Costs::at(&costs.compares, 9_999),
    ] {
        assert!(
            sorted(&on_fresh) <= 2 * sorted(&on_ordinary),
            "{} against {}",
            on_fresh.line(),
            on_ordinary.line()
        );
    }
    assert_eq!(content(&fresh), content(&attacked));
    for map in [&attacked, &fresh] {
        // A path of half-empty tables leads to theirs.
        assert_lean(map, payload(chosen.iter().cloned()), 128 << 10);
        for key in &chosen {
            assert!(map.remove(key));
        }
        map.shrink_to_fit();
        assert_eq!(content(map).0, 0);
        assert_sound(map);
    }
}

/// What a look-up costs with the default hasher, at all stages of a table's filling.
#[test]
fn probes_of_the_default_hasher() {
    let most = scaled(4_000_000) as u64;
    let map = CMap::new();
    let mut filled = 0;
    for step in 0..=6_u64 {
        // From one power of two to the next: every load of a table.
        let count = most / 2 + most / 2 * step / 6;
        fill(&map, (filled..count).map(|n| key_bytes(n).to_vec()));
        filled = count;
        let sample = |from: u64| (0..200_000).map(move |n| key_bytes(from + n % count).to_vec());
        let hits = Costs::of(&map, sample(0), true);
        let misses = Costs::of(&map, sample(most), false);
        println!(
            "collisions: {count} entries, {:.1} bytes of index each: hit {}; miss {}",
            map.memory().index as f64 / count as f64,
            hits.line(),
            misses.line()
        );
        // The bucket and its two overflow lines; a key in a spill table is one in millions.
        assert!(Costs::at(&hits.lines, 9_999) <= 3 && Costs::at(&misses.lines, 9_999) <= 3);
        // At depth 7 a window has 13 bits that the bucket does not tell, an overflow slot 7.
        assert!(Costs::at(&hits.compares, 9_999) <= 3 && Costs::at(&misses.compares, 9_999) <= 2);
        assert!(
            hits.mean() <= 2.2 && misses.mean() <= 1.2,
            "{} {}",
            hits.mean(),
            misses.mean()
        );
    }
}

/// Whether tables are merged, and what waits is given back, does not hang on the bits of a hash.
#[test]
fn memory_comes_back_whatever_bits_are_stuck() {
    let map = CMap::builder().hasher(SameBottom).build().expect("a map");
    let keys = || (0..100_000).map(|n| key_bytes(n).to_vec());
    fill(&map, keys());
    let (before, tables) = (map.memory(), map.stats().tables);
    keys().skip(1_000).for_each(|key| assert!(map.remove(&key)));
    let (after, stats) = (map.memory(), map.stats());
    assert!(
        stats.tables * 4 < tables && after.index * 3 < before.index && stats.merges > 0,
        "{tables} tables became {stats:?}; {before:?} became {after:?}"
    );
    assert_sound(&map);
}

/// Spill tables go when their keys have gone, by ordinary calls, and at once by `shrink_to_fit`.
#[test]
fn spill_tables_come_back() {
    let count = equal_count();
    for shrink in [true, false] {
        let map = CMap::builder().hasher(Mixed).build().expect("a map");
        let ordinary = |n: u64| format!("{n}").into_bytes();
        fill(&map, (0..1_000).map(ordinary));
        let before = map.memory().index;
        for _ in 0..3 {
            fill(&map, (0..count).map(equal_key));
            assert!(
                map.stats().spilled > count as usize / 2,
                "{:?}",
                map.stats()
            );
            (0..count).for_each(|n| assert!(map.remove(&equal_key(n))));
        }
        assert_eq!(map.stats().spilled, 0);
        if shrink {
            map.shrink_to_fit();
        } else {
            for n in 0..50_000 {
                fill(&map, (1_000 + n..1_001 + n).map(ordinary));
                assert!(map.remove(&ordinary(1_000 + n)));
            }
        }
        let after = map.memory().index;
        assert!(
            after <= before + (16 << 10),
            "{before} bytes of index became {after}"
        );
        settle(&map);
        assert_sound(&map);
        // `clear` takes spill tables along.
        fill(&map, (0..count).map(equal_key));
        map.clear();
        settle(&map);
        assert_eq!((map.len(), map.memory().index), (0, 0));
        assert!(!map.contains_key(&equal_key(1)));
        assert_sound(&map);
    }
}

/// Seeds differ per map, so the order of one map is none to another: copying in it costs no more than copying in any other. Nor
/// does it where the maps share a seed, up to one key in a hundred that spills.
#[test]
fn copying_in_the_order_of_a_scan() {
    let count = scaled(1_000_000) as u64;
    let state = RandomState::with_seed(seed("collisions::copying"));
    copy_in_order(count, &state, CMap::new());
    copy_in_order(count, &state, of_state(&state));
    // Where a table of the copy could not split any more, for what its first keys had put into all its overflow lines.
    let state = RandomState::with_seed(4_009_772_813_537_090_725);
    copy_in_order(20_000, &state, of_state(&state));
}

fn of_state(state: &RandomState) -> CMap {
    let builder = CMap::builder().hasher(state.clone());
    builder.build().expect("a map")
}

/// Copies `count` keys from a map of `state` to `copy`.
fn copy_in_order(count: u64, state: &RandomState, copy: CMap) {
    let work = |map: &CMap| {
        let stats = map.stats();
        (stats.splits + stats.rebuilds) as usize
    };
    let source = of_state(state);
    fill(&source, (0..count).map(|n| key_bytes(n).to_vec()));
    let mut spilled = 0;
    source.for_each(|key, value| {
        copy.insert(key, value).expect("there is memory");
        if copy.len() % 4_096 == 0 {
            spilled = spilled.max(copy.stats().spilled);
        }
    });
    let (copied, filled) = (work(&copy), work(&source));
    println!(
        "collisions: {copied} tables replaced by copying {count} in order, {filled} by filling; {spilled} spilled at most"
    );
    assert!(copied <= 3 * filled + 1_000 && spilled <= count as usize / 100 + 100);
    assert_eq!(content(&copy), content(&source));
    let lost = (0..count).find(|&n| !copy.contains_key(&key_bytes(n)));
    assert_eq!(lost, None, "a key that scans show is not found");
    assert_sound(&copy);
}

static MEDDLED: OnceLock<CMap<Meddling>> = OnceLock::new();

/// A hasher that writes to its own map either gets its way or panics with one sentence. It never waits for itself.
#[test]
fn a_hasher_that_writes_to_its_own_map() {
    within(
        Duration::from_secs(180),
        "a hasher that writes to its own map",
        || {
            let map = MEDDLED.get_or_init(|| {
                internal::tiny_wide()
                    .hasher(Meddling)
                    .build()
                    .expect("tiny")
            });
            fn key() -> [u8; 3] {
                [fastrand::u8(..); 3]
            }
            fn each(meddle: impl Fn(&CMap<Meddling>)) {
                MEDDLED.get().into_iter().for_each(meddle);
            }
            let meddles: [fn(); 4] = [
                || each(|map| assert!(map.insert(&key(), b"from the hasher").is_ok())),
                || each(|map| _ = map.remove(&key())),
                || each(|map| assert!(map.insert_swap(&key(), &[1; 90]).is_ok())),
                || each(|map| map.for_each(|key, _| assert!(!key.is_empty()))),
            ];
            let mut panics: HashMap<String, usize> = HashMap::new();
            let mut keys: HashSet<u64> = HashSet::new();
            let rounds = scaled(200_000).max(20_000) as u64;
            for round in 0..100 * rounds {
                if round > rounds && !panics.is_empty() {
                    // It was in its own way at least once.
                    break;
                }
                let n = fastrand::u64(..2_000);
                if round % 1_000 == 0 {
                    // Small again, so that it grows again.
                    map.clear();
                    keys.clear();
                }
                Meddling::arm(Some(meddles[round as usize % 4]));
                let done = catch_unwind(AssertUnwindSafe(|| {
                    if keys.contains(&n) {
                        map.remove(&key_bytes(n));
                    } else {
                        drop(map.insert(&key_bytes(n), &VALUE));
                    }
                }));
                Meddling::arm(None);
                if let Err(panic) = done {
                    let said = panic.downcast_ref::<&str>().map(ToString::to_string);
                    *panics.entry(said.unwrap_or_default()).or_default() += 1;
                }
                let is_there = map.contains_key(&key_bytes(n));
                if is_there {
                    keys.insert(n)
                } else {
                    keys.remove(&n)
                };
            }
            println!("collisions: {panics:?}");
            let said = "a hasher must not write to the map that it serves";
            assert!(panics.len() == 1 && panics.contains_key(said), "{panics:?}");
            assert!((0..2_000).all(|n| map.contains_key(&key_bytes(n)) == keys.contains(&n)));
            settle(map);
            assert_sound(map);
        },
    );
}

/// Threads with keys of their own, most of them of one hash, on few tables: every answer is known.
#[test]
fn equal_hashes_under_threads() {
    for builder in [CMap::builder, internal::tiny, internal::tiny_wide] {
        within(
            Duration::from_secs(300),
            "equal hashes under threads",
            move || {
                let map = builder().hasher(Mixed).build().expect("a map");
                std::thread::scope(|scope| {
                    for thread in 0..4_u64 {
                        let map = &map;
                        scope.spawn(move || own_keys(map, thread));
                    }
                    scope.spawn(|| {
                        for _ in 0..scaled(100) {
                            map.for_each(|_, value| assert_eq!(value, VALUE));
                            map.shrink_to_fit();
                        }
                    });
                });
                settle(&map);
                assert_sound(&map);
                assert_eq!(map.len(), 0);
            },
        );
    }
}

/// Inserts and removes keys that no other thread has, and looks whether each is as it should be.
fn own_keys(map: &CMap<Mixed>, thread: u64) {
    let mut rng = fastrand::Rng::with_seed(thread);
    let mut is_there = [false; 200];
    let key = |n: usize| {
        let own = thread * 1_000 + n as u64;
        if n % 4 == 0 {
            format!("{own}").into_bytes()
        } else {
            equal_key(own)
        }
    };
    for _ in 0..scaled(100_000) {
        let n = rng.usize(..is_there.len());
        let key = key(n);
        match rng.u8(..3) {
            0 => {
                let expected = if is_there[n] {
                    cmap::Inserted::Replaced
                } else {
                    cmap::Inserted::New
                };
                assert_eq!(map.insert(&key, &VALUE), Ok(expected), "{n}");
                is_there[n] = true;
            }
            1 => assert_eq!(map.remove(&key), std::mem::take(&mut is_there[n]), "{n}"),
            _ => assert_eq!(map.contains_key(&key), is_there[n], "{n}"),
        }
    }
    for n in (0..is_there.len()).filter(|&n| is_there[n]) {
        assert!(map.remove(&key(n)), "{n}");
    }
}
