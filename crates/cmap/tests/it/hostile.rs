//! Hashers and closures with ill will: whatever they do, no other key suffers, nothing stays held, and nothing is unsound.

use crate::common::{
    EightBits, Fickle, OneHash, Panicking, SameTop, assert_sound, content, key_bytes,
    panic_quietly, scaled, seed, settle, within,
};
use cmap::{Budget, Builder, CMap, Changed, Inserted, internal};
use fastrand::Rng;
use std::{
    collections::HashMap,
    hash::BuildHasher,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

const GEOMETRIES: [fn() -> Builder; 3] = [CMap::builder, internal::tiny, internal::tiny_wide];
const PATIENCE: Duration = Duration::from_secs(120);

/// All operations on `count` keys that the hasher cannot, or can hardly, tell apart.
fn all_operations<S: BuildHasher>(map: &CMap<S>, count: u64) {
    let value = |n: u64, round: u8| [n as u8 ^ round; 40];
    for n in 0..count {
        assert_eq!(
            map.insert(&key_bytes(n), &value(n, 0)),
            Ok(Inserted::New),
            "{n}"
        );
    }
    assert_eq!(map.len(), count as usize);
    for n in 0..count {
        let key = key_bytes(n);
        assert_eq!(
            map.get_with(&key, |found| found == value(n, 0)),
            Some(true),
            "{n}"
        );
        assert!(!map.contains_key(&key_bytes(count + n)), "{n}");
        assert_eq!(map.insert_if_absent(&key, b"no"), Ok(Changed::Nothing));
        assert_eq!(
            map.insert_swap(&key, &value(n, 1)),
            Ok(Some(value(n, 0).to_vec())),
            "{n}"
        );
    }
    let memory = map.memory();
    let payload = count as usize * 56;
    assert!(
        memory.live + memory.index <= payload + 64 * count as usize + (64 << 10),
        "{memory:?}, {payload} of payload"
    );
    for n in (0..count).filter(|n| n % 3 != 0) {
        assert_eq!(map.take(&key_bytes(n)), Some(value(n, 1).to_vec()), "{n}");
        assert!(!map.remove(&key_bytes(n)), "{n}");
    }
    settle(map);
    assert_sound(map);
    let mut seen = HashMap::new();
    map.for_each(|key, value| {
        assert!(
            seen.insert(key.to_vec(), value.to_vec()).is_none(),
            "twice: {key:?}"
        )
    });
    assert_eq!(seen.len(), count.div_ceil(3) as usize);
    for n in (0..count).step_by(3) {
        assert_eq!(
            seen.get(key_bytes(n).as_slice()).map(Vec::as_slice),
            Some(value(n, 1).as_slice()),
            "{n}"
        );
    }
    for n in 0..count {
        let expected = if n % 3 == 0 {
            Inserted::Replaced
        } else {
            Inserted::New
        };
        assert_eq!(map.insert(&key_bytes(n), &value(n, 2)), Ok(expected), "{n}");
    }
    assert_eq!(content(map).0, count as usize);
    for n in 0..count {
        assert!(map.remove(&key_bytes(n)), "{n}");
    }
    assert!(map.is_empty());
    map.shrink_to_fit();
    assert_sound(map);
    assert_eq!(map.insert(b"one more", b"works"), Ok(Inserted::New));
}

#[test]
fn one_hash_for_all_keys() {
    for builder in GEOMETRIES {
        within(PATIENCE, "one hash", move || {
            all_operations(&builder().hasher(OneHash).build().expect("a map"), 2_000)
        });
    }
}

#[test]
fn few_hashes_for_many_keys() {
    for builder in GEOMETRIES {
        within(PATIENCE, "eight bits", move || {
            all_operations(
                &builder().hasher(EightBits).build().expect("a map"),
                scaled(40_000).max(4_000) as u64,
            );
        });
    }
}

#[test]
fn hashes_that_share_their_top_bits() {
    for builder in GEOMETRIES {
        within(PATIENCE, "same top bits", move || {
            all_operations(
                &builder().hasher(SameTop).build().expect("a map"),
                scaled(40_000).max(4_000) as u64,
            );
        });
    }
}

/// The index stays within bounds however many keys share one hash: no endless growth.
#[test]
#[cfg(not(cmap_asan))] // which needs memory of its own
fn one_hash_costs_at_most_32_bytes_an_entry() {
    let map = CMap::builder().hasher(OneHash).build().expect("a map");
    for n in 0..2_000 {
        map.insert(&key_bytes(n), &[7; 64])
            .expect("there is memory");
    }
    let memory = map.memory();
    assert!(memory.live >= 2_000 * 80, "{memory:?}");
    assert!(
        memory.live + memory.index <= 2_000 * (80 + 32),
        "{memory:?}"
    );
}

/// A hasher that answers differently each time: lookups may miss, and nothing else may happen.
#[test]
fn a_hasher_that_answers_differently_each_time() {
    for builder in GEOMETRIES {
        let rng_seed = seed("fickle hasher");
        within(PATIENCE, "fickle hasher", move || {
            let mut rng = Rng::with_seed(rng_seed);
            let map = builder()
                .max_bytes(64 << 20)
                .hasher(Fickle::default())
                .build()
                .expect("a map");
            let value = |n: u64| [n as u8; 48];
            for _ in 0..scaled(1_000_000) {
                let n = rng.u64(..500);
                let key = key_bytes(n);
                let right = |found: &[u8]| assert_eq!(found, value(n), "the value of another key");
                match rng.u16(..1_000) {
                    0..=499 => drop(map.insert(&key, &value(n))),
                    500..=599 => drop(
                        map.insert_swap(&key, &value(n))
                            .map(|old| old.map(|old| right(&old))),
                    ),
                    600..=699 => drop(map.insert_if_absent(&key, &value(n))),
                    700..=799 => drop(map.take(&key).map(|old| right(&old))),
                    800..=899 => drop(map.remove(&key)),
                    900..=989 => drop(map.get_with(&key, right)),
                    990..=994 => drop(map.compact(Budget::bytes(10_000))),
                    995..=997 => drop(map.pin().get(&key).map(right)),
                    998 if rng.u8(..) < 20 => map.shrink_to_fit(),
                    999 if rng.u8(..) < 20 => map.clear(),
                    _ => drop(map.len()),
                }
            }
            // Every entry that is there is whole. How often a key is there is the hasher's fault.
            map.for_each(|key, found| {
                let n = u64::from_le_bytes(key[..8].try_into().expect("eight bytes"));
                assert_eq!((key, found), (key_bytes(n).as_slice(), value(n).as_slice()));
            });
            map.clear();
            settle(&map);
            assert_eq!(map.len(), 0);
        });
    }
}

/// A hasher that panics in any of its calls: the operation did all or nothing, to its own key only, and nothing stays held.
#[test]
fn a_hasher_that_panics() {
    for builder in GEOMETRIES {
        let mut rng = Rng::with_seed(seed("panicking hasher"));
        let map = builder().hasher(Panicking).build().expect("a map");
        let mut model: HashMap<u64, Vec<u8>> = HashMap::new();
        let mut panics = 0;
        for round in 0..scaled(200_000) {
            let (n, len) = (rng.u64(..400), rng.usize(..100));
            let (key, value) = (key_bytes(n), vec![round as u8; len]);
            let kind = rng.u8(..8);
            Panicking::arm(if rng.u8(..4) == 0 { rng.u32(1..=4) } else { 0 });
            let outcome = catch_unwind(AssertUnwindSafe(|| match kind {
                0..=3 => drop(map.insert(&key, &value).expect("there is memory")),
                4 => drop(map.insert_swap(&key, &value).expect("there is memory")),
                5 => drop(map.remove(&key)),
                6 => drop(map.take(&key)),
                _ => drop(map.compact(Budget::bytes(5_000))),
            }));
            Panicking::disarm();
            let after = match kind {
                0..=4 => Some(value),
                5 | 6 => None,
                _ => model.get(&n).cloned(),
            };
            let found = map.get(&key);
            if outcome.is_err() {
                panics += 1;
                let before = model.get(&n).cloned();
                assert!(
                    found == after || found == before,
                    "round {round}: a panic left {found:?}"
                );
            } else {
                assert_eq!(found, after, "round {round}");
            }
            match found {
                Some(found) => drop(model.insert(n, found)),
                None => drop(model.remove(&n)),
            }
            if round % 2_000 == 0 {
                assert_sound(&map);
                assert_eq!(map.len(), model.len(), "round {round}");
            }
        }
        settle(&map);
        assert_sound(&map);
        assert!(
            model
                .iter()
                .all(|(&n, value)| map.get(&key_bytes(n)).as_ref() == Some(value))
        );
        assert_eq!(content(&map).0, model.len());
        assert!(
            panics > 100,
            "only {panics} panics: the hasher is not asked"
        );
    }
}

/// A closure that panics holds nothing, and changes nothing.
#[test]
fn closures_that_panic() {
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        for n in 0..300 {
            map.insert(&key_bytes(n), &[n as u8; 50])
                .expect("there is memory");
        }
        let before = content(&map);
        let panicking = |what: &str, call: &dyn Fn()| {
            let panic = catch_unwind(AssertUnwindSafe(call)).expect_err(what);
            assert_eq!(
                panic.downcast_ref::<&str>(),
                Some(&"by the caller"),
                "{what}"
            );
            assert_eq!(content(&map), before, "{what}");
            assert_eq!(map.stats().oldest_pin, None, "{what}");
        };
        for _ in 0..scaled(2_000) {
            panicking("get_with", &|| {
                _ = map.get_with(&key_bytes(7), |_| -> () { panic_quietly("by the caller") })
            });
            panicking("for_each", &|| {
                map.for_each(|_, _| panic_quietly("by the caller"))
            });
            panicking("for_each, later", &|| {
                let mut left = 100;
                map.for_each(|_, _| {
                    left -= 1;
                    if left == 0 {
                        panic_quietly("by the caller");
                    }
                });
            });
            panicking("try_for_each", &|| {
                let _: ControlFlow<()> = map.try_for_each(|_, _| panic_quietly("by the caller"));
            });
            panicking("under a pin", &|| {
                let pin = map.pin();
                if pin.get(&key_bytes(7)).is_some() {
                    panic_quietly("by the caller");
                }
            });
        }
        // Nothing is held: every key can be written by another thread, and memory comes back.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..300).for_each(|n| assert!(map.insert(&key_bytes(n), b"new").is_ok()))
            });
        });
        settle(&map);
        assert_sound(&map);
    }
}

/// What a closure may do to the map that calls it: everything.
fn meddle(map: &CMap, key: &[u8], n: u64) {
    match n % 9 {
        0 => assert_eq!(map.insert(key, b"from inside"), Ok(Inserted::Replaced)),
        1 => assert!(map.remove(key)),
        2 => assert!(map.take(key).is_some()),
        3 => assert!(
            map.insert_swap(key, &[9; 500])
                .is_ok_and(|old| old.is_some())
        ),
        4 => assert!((0..50).all(|n: u64| map.insert(&n.to_be_bytes(), &[1; 90]).is_ok())),
        5 => drop(map.compact(Budget::all())),
        6 => map.shrink_to_fit(),
        7 => assert!(
            map.pin().contains_key(key) && map.get_with(key, <[u8]>::len) == map.value_len(key)
        ),
        _ => map.clear(),
    }
}

/// Closures that read, write, remove, compact and clear the map that calls them, the same key included.
#[test]
fn closures_that_come_back_into_the_map() {
    for builder in GEOMETRIES {
        within(PATIENCE, "a closure that comes back", move || {
            let map = builder().build().expect("a map");
            let fill = || {
                (0..100).for_each(|n| assert!(map.insert(&key_bytes(n), &[n as u8; 70]).is_ok()))
            };
            for round in 0..scaled(4_000).max(180) as u64 {
                fill();
                let n = round % 100;
                let seen = map.get_with(&key_bytes(n), |value| {
                    meddle(&map, &key_bytes(n), round);
                    assert_eq!(
                        value, [n as u8; 70],
                        "the bytes of a closure's value changed"
                    );
                    value.len()
                });
                assert_eq!(seen, Some(70));
                fill();
                let mut visits = 0;
                map.for_each(|key, value| {
                    visits += 1;
                    let (key, before) = (key.to_vec(), value.to_vec());
                    if visits == 1 + n {
                        meddle(&map, &key, round);
                    }
                    assert_eq!(value, before, "the bytes of a closure's value changed");
                });
                assert!(visits > n && visits <= 200, "{visits} visits");
                fill();
                let flow = map.try_for_each(|key, _| {
                    meddle(&map, key, round);
                    ControlFlow::Break(())
                });
                assert_eq!(flow, ControlFlow::Break(()));
                map.clear();
            }
            settle(&map);
            assert_sound(&map);
        });
    }
}

/// A closure within a closure within …: pins nest as deep as the caller likes.
#[test]
fn closures_within_closures() {
    fn descend(map: &CMap, depth: u64) -> u64 {
        map.insert(&key_bytes(depth), &[depth as u8; 60])
            .expect("there is memory");
        let inner = map.get_with(&key_bytes(depth), |value| {
            let inner = if depth == 0 {
                0
            } else {
                descend(map, depth - 1)
            };
            map.remove(&key_bytes(depth));
            assert_eq!(value, [depth as u8; 60]);
            inner
        });
        inner.expect("just inserted") + 1
    }
    let map = internal::tiny().build().expect("tiny");
    assert_eq!(descend(&map, 400), 401);
    settle(&map);
    assert_eq!(assert_sound(&map).entries, 0);
}
