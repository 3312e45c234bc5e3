//! Scans of every kind: each sentence of their promise, while entries are replaced, moved and removed, tables split and merge, and
//! the map is cleared; cursors of any bits; callers' code that panics, comes back and takes its time.

use crate::common::{
    EightBits, OneHash, SameTop, alone, assert_sound, content, key_bytes, mix, panic_quietly,
    scaled, settle, within,
};
use cmap::{Budget, Builder, CMap, Cursor, internal};
use fastrand::Rng;
use std::{
    collections::{HashMap, HashSet},
    hash::BuildHasher,
    mem,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

pub(super) const GEOMETRIES: [fn() -> Builder; 3] =
    [CMap::builder, internal::tiny, internal::tiny_wide];
const PATIENCE: Duration = Duration::from_secs(60);

/// A scan of one kind: hands out what it shows.
type Scan<S> = (&'static str, fn(&CMap<S>, &mut dyn FnMut(&[u8], &[u8])));

/// Every kind that shows keys and values and changes nothing.
fn scans<S: BuildHasher>() -> [Scan<S>; 7] {
    [
        ("for_each", |map, f| map.for_each(f)),
        ("try_for_each", |map, f| {
            let _: ControlFlow<()> = map.try_for_each(|key, value| {
                f(key, value);
                ControlFlow::Continue(())
            });
        }),
        ("iter", |map, f| {
            map.iter().for_each(|(key, value)| f(&key, &value))
        }),
        ("into_iter", |map, f| {
            for (key, value) in map {
                f(&key, &value);
            }
        }),
        ("scan, few at a time", |map, f| {
            let mut cursor = Some(Cursor::START);
            while let Some(from) = cursor {
                cursor = map.scan(from, 1, &mut *f);
            }
        }),
        ("scan, many at a time", |map, f| {
            let mut cursor = Some(Cursor::START);
            while let Some(from) = cursor {
                let stored = from.to_bytes();
                cursor = map.scan(Cursor::from_bytes(stored), 100, &mut *f);
            }
        }),
        ("retain, all of it", |map, f| {
            let removed = map.retain(|key, value| {
                f(key, value);
                true
            });
            assert_eq!(removed, 0);
        }),
    ]
}

fn at_rest<S: BuildHasher>(map: &CMap<S>, entries: u64) {
    let mut expected = HashMap::new();
    for n in 0..entries {
        let value = vec![n as u8; n as usize * 7 % 700];
        map.insert(&key_bytes(n), &value).expect("there is memory");
        expected.insert(key_bytes(n).to_vec(), value);
    }
    for (name, scan) in scans() {
        let mut shown = HashMap::new();
        scan(map, &mut |key, value| {
            let before = shown.insert(key.to_vec(), value.to_vec());
            assert_eq!(before, None, "{name}: shown twice");
        });
        assert!(shown == expected, "{name}: {} of {entries}", shown.len());
    }
    let keys: HashSet<_> = map.keys().collect();
    assert!(keys.len() == expected.len() && keys.iter().all(|key| expected.contains_key(key)));
    let removed = map.retain(|_, value| value.len() % 2 == 0);
    expected.retain(|_, value| value.len() % 2 == 0);
    assert_eq!(
        (removed, map.len()),
        (entries as usize - expected.len(), expected.len())
    );
    // Dropped early, the rest stays; what was yielded is gone.
    for (key, value) in map.drain().take(expected.len() / 3) {
        assert_eq!(expected.remove(&key), Some(value));
        assert!(!map.contains_key(&key));
    }
    assert_eq!(map.len(), expected.len());
    let rest: HashMap<_, _> = map.drain().collect();
    assert!(rest == expected && map.is_empty());
    settle(map);
    assert_sound(map);
}

#[test]
fn every_entry_once() {
    for builder in GEOMETRIES {
        for entries in [0, 1, 2, 100, 3_000] {
            at_rest(&builder().build().expect("a map"), entries);
        }
        at_rest(&builder().hasher(OneHash).build().expect("a map"), 300);
        at_rest(&builder().hasher(EightBits).build().expect("a map"), 1_000);
        at_rest(&builder().hasher(SameTop).build().expect("a map"), 300);
    }
}

/// What may happen to a map while it is scanned. None of it touches the keys that stay.
pub(super) fn meanwhile(map: &CMap, rng: &mut Rng, version: u64) {
    let beside = key_bytes(1_000_000 + rng.u64(..3_000));
    match rng.u16(..1_000) {
        0..=399 => drop(map.insert(&beside, &[8; 60]).expect("there is memory")),
        400..=799 => drop(map.remove(&beside)),
        // Replaced: the value is then one of several that the key had.
        800..=969 => {
            let n = rng.u64(..500);
            let value = [n, version].map(u64::to_le_bytes).concat();
            map.insert(&key_bytes(n), &value).expect("there is memory");
        }
        970..=989 => drop(map.compact(Budget::bytes(8_000))),
        990..=992 => map.shrink_to_fit(),
        993..=995 => map.reserve(2_000, 0).expect("there is memory"),
        _ => drop(map.retain(|key, _| key[2] == 0 || rng.bool())),
    }
}

/// A key that stays is shown once by every scan, with a value that it had; any other at most once; and one never inserted never.
#[test]
fn what_stays_is_shown_exactly_once() {
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        for n in 0..500_u64 {
            let value = [n, 0].map(u64::to_le_bytes).concat();
            map.insert(&key_bytes(n), &value).expect("there is memory");
        }
        let has_happened = || {
            let stats = map.stats();
            let all = [stats.splits, stats.rebuilds, stats.merges];
            all.iter().all(|&count| count > 0) && stats.relocations > 0
        };
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for thread in 0..2 {
                let (map, over) = (&map, &over);
                scope.spawn(move || {
                    let mut rng = Rng::with_seed(thread);
                    let mut version = 0;
                    while !over.load(Ordering::Relaxed) {
                        version += 1;
                        meanwhile(map, &mut rng, version);
                    }
                });
            }
            let scan_all = || {
                for round in 0..scaled(200_000) {
                    if round >= scaled(2_000) && has_happened() {
                        break;
                    }
                    for (name, scan) in scans() {
                        let mut shown = HashSet::new();
                        let mut kept = 0;
                        scan(&map, &mut |key, value| {
                            assert!(shown.insert(key.to_vec()), "{name}: a key shown twice");
                            let n = u64::from_le_bytes(key[..8].try_into().expect("eight"));
                            assert_eq!(key, key_bytes(n), "{name}: never inserted");
                            if n < 500 {
                                kept += 1;
                                assert_eq!(value[..8], n.to_le_bytes(), "{name}");
                            } else {
                                assert!((1_000_000..1_003_000).contains(&n), "{name}");
                                assert_eq!(value, [8; 60], "{name}");
                            }
                        });
                        assert_eq!(
                            kept, 500,
                            "{name}, round {round}: a key that stays is missing"
                        );
                    }
                    let mut keys = HashSet::new();
                    for key in map.keys() {
                        assert!(keys.insert(key), "keys: a key shown twice");
                    }
                    assert!((0..500).all(|n| keys.contains(&key_bytes(n)[..])));
                }
            };
            let scanned = catch_unwind(AssertUnwindSafe(scan_all));
            over.store(true, Ordering::Relaxed);
            scanned.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        assert!(has_happened(), "{:?}", map.stats());
        settle(&map);
        assert_sound(&map);
    }
}

/// `clear` between two calls, or two batches, of a scan: what was there before is not shown afterwards, what comes then is shown at
/// most once, and nothing twice.
#[test]
fn clear_amid_a_scan() {
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        for round in 0..scaled(400).max(20) {
            for n in 0..600 {
                map.insert(&key_bytes(n), b"old").expect("there is memory");
            }
            let mut shown = HashSet::new();
            let mut cursor = Some(Cursor::START);
            let mut is_cleared = false;
            while let Some(from) = cursor {
                cursor = map.scan(from, 40, |key, value| {
                    assert!(shown.insert(key.to_vec()), "shown twice");
                    assert_eq!(value == b"new", is_cleared, "as it is now");
                });
                if shown.len() >= 100 + round && !is_cleared {
                    map.clear();
                    is_cleared = true;
                    for n in (0..600).step_by(2) {
                        map.insert(&key_bytes(n), b"new").expect("there is memory");
                    }
                }
            }
            assert!(is_cleared && shown.len() < 600, "{}", shown.len());
            let mut left = map.iter();
            assert!(left.next().is_some_and(|(_, value)| value == b"new"));
            map.clear();
            // A batch may have been copied before.
            assert!(left.count() < 300);
        }
        settle(&map);
        assert_sound(&map);
    }
}

/// `clear` by another thread amid scans of every kind: a key is shown once at most, and never one of a round that was over when the
/// scan began.
#[test]
fn clear_beside_scans() {
    const KEYS: u64 = 400;
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        // The round whose keys are inserted, and the last one whose keys were cleared.
        let (begun, cleared) = (AtomicU64::new(0), AtomicU64::new(0));
        let over = AtomicBool::new(false);
        let shown_in_all = thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for round in 1.. {
                    begun.store(round, Ordering::SeqCst);
                    for n in 0..KEYS {
                        map.insert(&key_bytes(n), &round.to_le_bytes())
                            .expect("there is memory");
                    }
                    map.clear();
                    cleared.store(round, Ordering::SeqCst);
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            let scan_all = || {
                let mut shown_in_all = 0;
                while shown_in_all < scaled(2_000_000) && !writer.is_finished() {
                    for (name, scan) in scans() {
                        let mut shown = HashSet::new();
                        let gone = cleared.load(Ordering::SeqCst);
                        scan(&map, &mut |key, value| {
                            assert!(shown.insert(key.to_vec()), "{name}: a key shown twice");
                            let round = u64::from_le_bytes(value.try_into().expect("eight"));
                            let now = begun.load(Ordering::SeqCst);
                            assert!(
                                (gone + 1..=now).contains(&round),
                                "{name}: of round {round}, {gone} is cleared, {now} begun"
                            );
                        });
                        shown_in_all += shown.len();
                    }
                }
                shown_in_all
            };
            let scanned = catch_unwind(AssertUnwindSafe(scan_all));
            over.store(true, Ordering::Relaxed);
            scanned.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        assert!(shown_in_all >= scaled(2_000_000) && cleared.into_inner() > 0);
        settle(&map);
        assert_eq!(assert_sound(&map).entries, 0);
    }
}

/// Any eight bytes are a cursor: it ends, shows only what is there, and each at most once.
#[test]
fn cursors_of_any_bits() {
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        let empty = map.scan(Cursor::from_bytes([0xff; 8]), 1, |_, _| panic!("empty"));
        assert_eq!(empty, None);
        for n in 0..400 {
            map.insert(&key_bytes(n), &[3; 30])
                .expect("there is memory");
        }
        let mut all = 0;
        for n in 0..scaled(4_000) as u64 {
            let start = match n {
                0 => [0; 8],
                1 => [0xff; 8],
                2 => [0x80, 0, 0, 0, 0, 0, 0, 0],
                _ => mix(n, 1).to_be_bytes(),
            };
            let mut cursor = Some(Cursor::from_bytes(start));
            let mut shown = HashSet::new();
            while let Some(from) = cursor {
                let mut now = 0;
                cursor = map.scan(from, n as usize % 50, |key, value| {
                    assert!(shown.insert(key.to_vec()) && value == [3; 30]);
                    now += 1;
                });
                assert!(
                    cursor.is_none_or(|to| to.to_bytes() > from.to_bytes()),
                    "goes back"
                );
                assert!(cursor.is_none() || now >= 1, "nothing shown, and no end");
            }
            all += usize::from(shown.len() == 400);
        }
        assert!(all >= 1, "from the start all are shown");
    }
}

/// A call ends at the first boundary at or after `max`: never much later.
#[test]
fn a_call_shows_about_as_many_as_asked_for() {
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        for n in 0..20_000 {
            map.insert(&key_bytes(n), b"value")
                .expect("there is memory");
        }
        for max in [0, 1, 10, 500, 20_000, usize::MAX] {
            let mut calls = Vec::new();
            let mut cursor = Some(Cursor::START);
            while let Some(from) = cursor {
                let mut shown = 0;
                cursor = map.scan(from, max, |_, _| shown += 1);
                calls.push(shown);
            }
            assert_eq!(calls.iter().sum::<usize>(), 20_000);
            let last = calls.pop().expect("one call at least");
            let bounds = max.max(1)..=max.saturating_add(120);
            assert!(
                calls.iter().all(|shown| bounds.contains(shown)),
                "{max}: {calls:?}"
            );
            assert!(last <= *bounds.end(), "{max}: {last}");
        }
    }
}

/// Several threads drain, and others remove and insert: each entry goes to exactly one.
#[test]
fn each_drained_entry_goes_to_one() {
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        let entries = scaled(20_000) as u64;
        for round in 0..3_u8 {
            for n in 0..entries {
                map.insert(&key_bytes(n), &[round; 20])
                    .expect("there is memory");
            }
            let taken: Vec<Vec<Vec<u8>>> = thread::scope(|scope| {
                let mut threads: Vec<_> = (0..3)
                    .map(|_| scope.spawn(|| map.drain().map(|(key, _)| key).collect::<Vec<_>>()))
                    .collect();
                threads.push(scope.spawn(|| {
                    let keys = (0..entries).map(|n| key_bytes(n).to_vec());
                    keys.filter(|key| map.remove(key)).collect()
                }));
                threads.push(scope.spawn(|| {
                    let mut keys = Vec::new();
                    map.retain(|key, _| {
                        // Nobody inserts: what was judged is removed by us, or was by another.
                        keys.push(key.to_vec());
                        true
                    });
                    Vec::new()
                }));
                threads
                    .into_iter()
                    .map(|thread| thread.join().expect("it ends"))
                    .collect()
            });
            let mut keys: Vec<_> = taken.into_iter().flatten().collect();
            let count = keys.len();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!((keys.len(), count), (entries as usize, entries as usize));
            assert!(map.is_empty());
        }
        settle(&map);
        assert_eq!(assert_sound(&map).entries, 0);
    }
}

/// `retain` removes only what it judged: a value that was put in its place stays, one that was moved goes.
#[test]
fn retain_removes_only_what_it_judged() {
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        for n in 0..300 {
            map.insert(&key_bytes(n), b"old").expect("there is memory");
        }
        let mut calls = 0;
        let removed = map.retain(|key, value| {
            assert_eq!(value, b"old");
            calls += 1;
            match calls % 4 {
                0 => drop(map.insert(key, b"new").expect("there is memory")),
                1 => map.shrink_to_fit(),
                2 => assert!(map.remove(key)),
                _ => {}
            }
            false
        });
        assert_eq!((removed, map.len(), calls), (150, 75, 300));
        assert!(map.iter().all(|(_, value)| value == b"new"));
        settle(&map);
        assert_sound(&map);
    }
}

/// A panic in a caller's code leaves what was done done, the rest untouched, and nothing held. In a process of its own: deep pins
/// of other tests hold up every map.
#[test]
fn a_panic_amid_a_scan() {
    alone("scan::a_panic_amid_a_scan", || {
        GEOMETRIES.into_iter().for_each(panics_amid_scans)
    });
}

fn panics_amid_scans(builder: fn() -> Builder) {
    const BY_CALLER: &str = "by the caller";
    let map = builder().build().expect("a map");
    for n in 0..300 {
        map.insert(&key_bytes(n), &[1; 40])
            .expect("there is memory");
    }
    let before = content(&map);
    for at in 1..=scaled(2_000).min(200) {
        for (name, scan) in scans() {
            let mut left = at;
            let panic = catch_unwind(AssertUnwindSafe(|| {
                scan(&map, &mut |_, _| {
                    left -= 1;
                    if left == 0 {
                        panic_quietly(BY_CALLER);
                    }
                });
            }));
            let panic = panic.expect_err(name);
            assert_eq!(panic.downcast_ref::<&str>(), Some(&BY_CALLER), "{name}");
            assert_eq!(content(&map), before, "{name}");
            assert_nothing_is_held(&map, name);
        }
    }
    let mut calls = 0;
    let panic = catch_unwind(AssertUnwindSafe(|| {
        map.retain(|_, _| {
            calls += 1;
            if calls > 100 {
                panic_quietly(BY_CALLER);
            }
            false
        })
    }));
    assert!(panic.is_err());
    assert_eq!(map.len(), 200);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        map.drain().for_each(|_| {
            if map.len() <= 150 {
                panic_quietly(BY_CALLER);
            }
        });
    }));
    assert!(panic.is_err());
    assert_eq!(map.len(), 150);
    assert_nothing_is_held(&map, "retain, drain");
    assert_eq!(assert_sound(&map).entries, 150);
}

/// What is removed comes back at once: no pin is left, nor a lock.
#[track_caller]
fn assert_nothing_is_held(map: &CMap, name: &str) {
    const PAGES_OF_ITS_OWN: usize = 100_000;
    map.insert(b"large", &[1; PAGES_OF_ITS_OWN])
        .expect("there is memory");
    assert!(map.remove(b"large"));
    // Two looks: what was retired before it goes first.
    let waits = (0..2).all(|_| {
        map.compact(Budget::all());
        map.memory().retired > 0
    });
    assert!(!waits, "{name}: {:?}, {:?}", map.memory(), map.stats());
}

/// Callers' code that comes back into the map: reads, writes, other scans, `clear`.
#[test]
fn scans_within_scans() {
    for builder in GEOMETRIES {
        within(PATIENCE, "a scan within a scan", move || {
            let map = builder().build().expect("a map");
            for round in 0..scaled(400).max(14) {
                map.clear();
                for n in 0..60 {
                    map.insert(&key_bytes(n), &[n as u8; 50])
                        .expect("there is memory");
                }
                let mut shown = 0;
                let (_, outer) = scans()[round % 7];
                outer(&map, &mut |key, value| {
                    shown += 1;
                    let held = (key.to_vec(), value.to_vec());
                    match (shown + round) % 30 {
                        0 => map.for_each(|_, _| {}),
                        1 => drop(map.retain(|other, _| other != key)),
                        2 => assert!(map.drain().take(3).count() <= 3),
                        3 => drop(map.insert(key, b"new").expect("there is memory")),
                        4 => drop(map.compact(Budget::all())),
                        5 if round % 3 == 0 => map.clear(),
                        _ => drop(map.get(key)),
                    }
                    assert_eq!(
                        (key, value),
                        (&held.0[..], &held.1[..]),
                        "changed while shown"
                    );
                });
                assert!(shown <= 60);
            }
            settle(&map);
            assert_sound(&map);
        });
    }
}

/// An iterator holds neither a lock nor a pin between two calls, also one that is forgotten.
#[test]
fn an_iterator_holds_nothing() {
    within(PATIENCE, "writers beside idle iterators", || {
        let map = CMap::builder().max_bytes(16 << 20).build().expect("a map");
        for n in 0..5_000 {
            map.insert(&key_bytes(n), &[1; 1_000]).expect("5 MB fit");
        }
        let (mut iter, mut keys, mut drain) = (map.iter(), map.keys(), map.drain());
        assert!(iter.next().is_some() && keys.next().is_some() && drain.next().is_some());
        mem::forget(map.iter());
        for n in 0..100_000 {
            let written = map.insert(&key_bytes(n % 5_000), &[2; 1_000]);
            assert!(
                written.is_ok(),
                "write {n}: {written:?}, {:?}",
                map.memory()
            );
        }
        map.clear();
        settle(&map);
        assert_eq!(map.stats().oldest_pin, None);
        assert!(iter.count() < 5_000 && keys.count() < 5_000);
        assert_eq!(drain.next(), None, "what another removed is not drained");
        assert_eq!(drain.next(), None);
    });
}

#[test]
fn collections_are_made_and_extended() {
    let mut map: CMap = (0..500_u32)
        .map(|n| (n.to_be_bytes(), [n as u8; 3]))
        .collect();
    assert_eq!(map.len(), 500);
    map.extend([("key", "value")]);
    (&map).extend(vec![(b"key".to_vec(), b"other".to_vec())]);
    assert_eq!((map.len(), map.get(b"key")), (501, Some(b"other".to_vec())));
    let long = vec![0; 70_000];
    let panic = catch_unwind(AssertUnwindSafe(|| {
        (&map).extend([(&b"a"[..], b"1"), (&long, b"2")])
    }));
    let text = panic.expect_err("the key is too long");
    let text = text.downcast_ref::<String>().expect("a text");
    assert_eq!(text, "the key has 70000 bytes; at most 65535 are possible");
    assert_eq!(map.len(), 502, "what came before is in");
    let copy: CMap = map.iter().collect();
    assert_eq!(content(&copy), content(&map));
    assert_sound(&copy);
}

#[cfg(feature = "rayon")]
#[test]
fn par_for_each_shows_each_once() {
    use std::sync::Mutex;
    for builder in GEOMETRIES {
        for entries in [0, 1, 500, 60_000] {
            let map = builder().build().expect("a map");
            for n in 0..entries {
                map.insert(&key_bytes(n), &n.to_le_bytes())
                    .expect("there is memory");
            }
            let shown = Mutex::new(vec![0_u8; entries as usize]);
            map.par_for_each(|key, value| {
                assert_eq!(key[..8], *value);
                let n = u64::from_le_bytes(value.try_into().expect("eight"));
                shown.lock().expect("no panic")[n as usize] += 1;
            });
            assert!(
                shown
                    .into_inner()
                    .expect("no panic")
                    .iter()
                    .all(|&count| count == 1)
            );
            let calls = Mutex::new(0);
            let panic = catch_unwind(AssertUnwindSafe(|| {
                map.par_for_each(|_, _| {
                    *calls.lock().expect("no panic under it") += 1;
                    std::panic::panic_any("by the caller");
                });
            }));
            assert_eq!(panic.is_err(), entries > 0);
            assert_eq!(map.stats().oldest_pin, None);
            assert_sound(&map);
        }
    }
}
