//! Typed maps: the calls of the byte map by type, keys in order, counters, and bytes that are of no such type.

use crate::common::{assert_sound, scaled, seed};
use cmap::typed::{Codec, DecodeError, EncodeError, Error, Key, Map, Plain};
use cmap::{CMap, Changed, Inserted, Op};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Random numbers of few bits as often as of many.
fn any_bits(random: &mut fastrand::Rng) -> u64 {
    let shift = random.u32(0..64);
    random.u64(..) >> shift
}

#[test]
fn keys_keep_their_order_as_bytes() {
    fn same_order<K: Key<Borrowed = K> + Ord + Copy + Debug>(a: K, b: K) {
        let (bytes_a, bytes_b) = (K::encode(&a), K::encode(&b));
        let (bytes_a, bytes_b) = (bytes_a.as_ref(), bytes_b.as_ref());
        assert_eq!(bytes_a.cmp(bytes_b), a.cmp(&b), "{a:?} {b:?}");
        assert_eq!(K::decode(bytes_a), Ok(a));
    }
    let mut random = fastrand::Rng::with_seed(seed("typed::keys_keep_their_order_as_bytes"));
    for _ in 0..scaled(1_000_000) {
        let (a, b) = (any_bits(&mut random), any_bits(&mut random));
        same_order(a, b);
        same_order(a as u32, b as u32);
        same_order(a as i64, b as i64);
        same_order(-(a as i64 >> 1), b as i64);
        same_order(a as i16, b as i16);
        same_order(u128::from(a) << 40, u128::from(b) << 40);
        same_order(-(i128::from(a) << 40), i128::from(b) << 40);
        same_order(a.to_ne_bytes(), b.to_ne_bytes());
    }
}

/// Random calls of a map and of std's: the answers are the same.
fn agrees<K, V, S>(name: &str, map: &Map<K, V, Plain, S>, key: fn(u8) -> K, value: fn(u64) -> V)
where
    K: Key + Borrow<<K as Key>::Borrowed> + Hash + Ord + Clone + Debug,
    V: Borrow<<Plain as Codec<V>>::Borrowed> + Ord + Clone + Debug,
    Plain: Codec<V, Borrowed: PartialEq>,
    S: BuildHasher,
{
    let mut random = fastrand::Rng::with_seed(seed(name));
    let mut model: HashMap<K, V> = HashMap::new();
    for _ in 0..scaled(400_000) {
        let (k, v) = (key(random.u8(..)), value(any_bits(&mut random)));
        let (lent, given, was) = (k.borrow(), v.borrow(), model.get::<K>(&k).cloned());
        match random.u8(0..12) {
            0 => {
                let did = was.map_or(Inserted::New, |_| Inserted::Replaced);
                assert_eq!(map.insert(lent, given), Ok(did));
                model.insert(k, v);
            }
            1 => {
                let did = was.map_or(Changed::Inserted, |_| Changed::Nothing);
                assert_eq!(map.insert_if_absent(lent, given), Ok(did));
                model.entry(k).or_insert(v);
            }
            2 => {
                let did = was.map_or(Changed::Nothing, |_| Changed::Replaced);
                assert_eq!(map.replace(lent, given), Ok(did));
                model.entry(k).and_modify(|old| *old = v);
            }
            3 => assert_eq!(map.remove(lent), model.remove::<K>(&k).is_some()),
            4 => assert_eq!(map.take(lent), Ok(model.remove::<K>(&k))),
            5 => {
                let stored = map.get_or_insert_with(lent, || v.clone());
                assert_eq!(stored.as_ref(), Ok(was.as_ref().unwrap_or(&v)));
                model.entry(k).or_insert(v);
            }
            6 => {
                let random = random.bool();
                let done = map.compute(lent, |old| match old {
                    None => Op::Put(v.clone()),
                    Some(_) if random => Op::Remove,
                    Some(_) => Op::Keep,
                });
                let (did, now) = match was {
                    None => (Changed::Inserted, Some(v)),
                    Some(_) if random => (Changed::Removed, None),
                    Some(old) => (Changed::Nothing, Some(old)),
                };
                assert_eq!(done, Ok(did));
                match now {
                    Some(now) => _ = model.insert(k, now),
                    None => _ = model.remove::<K>(&k),
                }
            }
            7 => {
                assert_eq!(map.insert_swap(lent, given), Ok(was));
                model.insert(k, v);
            }
            8 => {
                let is_gone = random.bool();
                let removed = map.remove_if(lent, |_| is_gone);
                assert_eq!(removed, Ok(is_gone && was.is_some()));
                if is_gone {
                    model.remove::<K>(&k);
                }
            }
            _ => {
                assert_eq!(map.get(lent), Ok(was.clone()));
                assert_eq!(map.contains_key(lent), was.is_some());
                let expected = was.as_ref().map(V::borrow);
                let shown = map.get_with(lent, |shown| Some(shown) == expected);
                assert_eq!(shown, Ok(was.is_some().then_some(true)));
            }
        }
        assert_eq!(map.len(), model.len());
    }
    let mut expected: Vec<_> = model.into_iter().collect();
    let mut entries: Vec<_> = map.iter().map(|entry| entry.expect("typed")).collect();
    expected.sort();
    entries.sort();
    assert_eq!(entries, expected);
    let mut keys: Vec<_> = map.keys().map(|key| key.expect("typed")).collect();
    keys.sort();
    assert!(keys.iter().eq(expected.iter().map(|(key, _)| key)));
    let mut shown = 0;
    let counted = map.for_each(|key, value| {
        let is_one = |(k, v): &(K, V)| {
            K::encode(k.borrow()).as_ref() == K::encode(key).as_ref() && V::borrow(v) == value
        };
        assert!(expected.iter().any(is_one));
        shown += 1;
    });
    assert_eq!((counted, shown), (Ok(()), expected.len()));
    let mut is_kept = false;
    let removed = map.retain(|_, _| {
        is_kept = !is_kept;
        is_kept
    });
    assert_eq!(removed, Ok(expected.len() / 2));
    assert_eq!(map.len(), expected.len().div_ceil(2));
    assert_sound(map.byte_map());
    map.clear();
    assert!(map.is_empty());
}

#[test]
fn answers_are_those_of_a_map_of_these_types() {
    let text = |n: u64| format!("{n:x}").repeat(n as usize % 5);
    agrees("typed::strings", &Map::new(), |n| format!("key {n}"), text);
    agrees(
        "typed::integers",
        &Map::new(),
        |n| i64::from(n) - 100,
        |n| n as u32,
    );
    agrees(
        "typed::bytes",
        &Map::new(),
        |n| vec![n; n as usize],
        |n| n.to_string().into_bytes(),
    );
    agrees("typed::sets", &Map::new(), |n| [n, 0, n], |_| ());
    let limited = CMap::builder()
        .max_bytes(16 << 20)
        .hasher(RandomState::new())
        .build()
        .expect("the least limit");
    agrees("typed::limited", &Map::from(limited), u128::from, |n| {
        [n; 3].map(|n| n as u8)
    });
}

#[test]
fn no_increment_of_a_counter_is_lost() {
    const THREADS: usize = 8;
    let rounds = scaled(200_000);
    let counters: Map<u16, u64> = Map::new();
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS as u64 {
            let (counters, start) = (&counters, &start);
            scope.spawn(move || {
                start.wait();
                for round in 0..rounds {
                    let key = (round % 3) as u16;
                    counters.fetch_add(&key, thread + 1).expect("a counter");
                }
            });
        }
    });
    let sum: u64 = (0..3)
        .map(|key| counters.get(&key).expect("a u64").unwrap_or(0))
        .sum();
    assert_eq!(sum, rounds as u64 * (1..=THREADS as u64).sum::<u64>());
    assert_eq!(counters.fetch_add(&9, u64::MAX), Ok(0));
    assert_eq!(counters.fetch_add(&9, 2), Ok(u64::MAX));
    assert_eq!(counters.get(&9), Ok(Some(1)));
}

#[test]
fn of_many_that_insert_one_key_one_wins_and_all_see_it() {
    const THREADS: u64 = 8;
    let map: Map<u64, u64> = Map::new();
    for key in 0..scaled(10_000) as u64 {
        let start = Barrier::new(THREADS as usize);
        let seen: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let (map, start) = (&map, &start);
                    scope.spawn(move || {
                        start.wait();
                        map.get_or_insert_with(&key, || thread).expect("room")
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .collect()
        });
        assert!(seen.iter().all(|&one| one == seen[0]), "{seen:?}");
        assert_eq!(map.get(&key), Ok(Some(seen[0])));
    }
}

/// A map of strings to `u64` in which one value is three bytes.
fn with_a_bad_value() -> (Map<String, u64>, DecodeError) {
    let map: Map<String, u64> = [("a", 1), ("b", 2)]
        .map(|(key, n)| (key.to_string(), n))
        .into_iter()
        .collect();
    map.byte_map().insert(b"bad", b"123").expect("room");
    let wrong = DecodeError::Length {
        what: "u64",
        expected: 8,
        len: 3,
    };
    (map, wrong)
}

#[test]
fn bytes_of_no_value_are_an_error_and_stay() {
    let (map, wrong) = with_a_bad_value();
    assert_eq!(map.get("bad"), Err(wrong.clone()));
    assert_eq!(map.get_with("bad", |n| *n), Err(wrong.clone()));
    assert_eq!(map.take("bad"), Err(wrong.clone()));
    assert_eq!(map.remove_if("bad", |_| true), Err(wrong.clone()));
    let refused = Err(Error::Decode(wrong.clone()));
    assert_eq!(map.compute("bad", |_| Op::Remove), refused);
    let swapped = map.insert_swap("bad", &7);
    assert_eq!(swapped, Err(Error::Decode(wrong.clone())));
    let made = map.get_or_insert_with("bad", || unreachable!("it is there"));
    assert_eq!(made, Err(Error::Decode(wrong.clone())));
    let added = map.fetch_add("bad", 1);
    assert_eq!(added, Err(Error::Map(cmap::Error::NotACounter { len: 3 })));
    assert_eq!(map.byte_map().get(b"bad").as_deref(), Some(&b"123"[..]));

    let (good, bad): (Vec<_>, Vec<_>) = map.iter().partition(Result::is_ok);
    assert_eq!((good.len(), bad), (2, vec![Err(wrong.clone())]));
    let mut shown = 0;
    assert_eq!(map.for_each(|_, _| shown += 1), Err(wrong.clone()));
    assert!(shown <= 2);
    assert_eq!(map.retain(|_, _| false), Err(wrong));
    assert_eq!(
        map.len(),
        1,
        "what could be judged is gone, the rest is not"
    );

    // What does not look at the value works, and mends it.
    assert!(map.contains_key("bad"));
    assert_eq!(map.insert_if_absent("bad", &7), Ok(Changed::Nothing));
    assert_eq!(map.replace("bad", &7), Ok(Changed::Replaced));
    assert_eq!(map.get("bad"), Ok(Some(7)));
    assert!(map.remove("bad"));
}

#[test]
fn bytes_of_no_key_are_an_error_of_scans() {
    let map: Map<String, u64> = Map::new();
    map.byte_map().insert(b"no \xff", &[0; 8]).expect("room");
    let wrong = DecodeError::Utf8 {
        valid_up_to: 3,
        len: 4,
    };
    assert_eq!(map.iter().collect::<Vec<_>>(), [Err(wrong.clone())]);
    assert_eq!(map.keys().collect::<Vec<_>>(), [Err(wrong.clone())]);
    assert_eq!(map.for_each(|_, _| ()), Err(wrong.clone()));
    assert_eq!(map.retain(|_, _| false), Err(wrong));
    assert_eq!(map.len(), 1);
}

#[test]
fn the_byte_maps_errors_come_through() {
    let map: Map<String, String> = Map::from(
        CMap::builder()
            .max_bytes(16 << 20)
            .build()
            .expect("a limit"),
    );
    let long = "k".repeat(1 << 16);
    let too_long = Err(Error::Map(cmap::Error::KeyTooLong {
        len: 1 << 16,
        max: 65_535,
    }));
    assert_eq!(map.insert(&long, "v"), too_long.clone());
    assert_eq!(
        map.compute(&long, |_| Op::Put("v".into()))
            .map(|_| Inserted::New),
        too_long
    );
    assert_eq!((map.get(&long), map.remove(&long)), (Ok(None), false));
    let full = map.insert("k", &"v".repeat(32 << 20));
    assert!(
        matches!(full, Err(Error::Map(cmap::Error::Full { .. }))),
        "{full:?}"
    );
    assert!(map.is_empty());
}

/// A codec that writes even numbers only.
struct Even;

impl Codec<u64> for Even {
    type Borrowed = u64;
    type Bytes<'a> = [u8; 8];

    fn encode(value: &u64) -> Result<[u8; 8], EncodeError> {
        let odd = || EncodeError {
            what: "number",
            reason: format!("{value} is odd"),
        };
        (value % 2 == 0)
            .then(|| value.to_le_bytes())
            .ok_or_else(odd)
    }

    fn decode(bytes: &[u8]) -> Result<u64, DecodeError> {
        <Plain as Codec<u64>>::decode(bytes)
    }

    fn show<R>(bytes: &[u8], f: impl FnOnce(&u64) -> R) -> Result<R, DecodeError> {
        <Plain as Codec<u64>>::show(bytes, f)
    }
}

#[test]
fn what_cannot_be_written_changes_nothing() {
    let map: Map<u8, u64, Even> = Map::default();
    map.insert(&1, &2).expect("even");
    let odd = Error::Encode(EncodeError {
        what: "number",
        reason: "3 is odd".into(),
    });
    assert_eq!(
        odd.to_string(),
        "this number cannot be written as bytes: 3 is odd"
    );
    assert_eq!(map.insert(&1, &3), Err(odd.clone()));
    assert_eq!(map.replace(&1, &3), Err(odd.clone()));
    assert_eq!(map.insert_if_absent(&2, &3), Err(odd.clone()));
    assert_eq!(map.get_or_insert_with(&2, || 3), Err(odd.clone()));
    assert_eq!(
        map.compute(&1, |old| Op::Put(old.map_or(0, |old| old + 1))),
        Err(odd)
    );
    assert_eq!(map.iter().collect::<Vec<_>>(), [Ok((1, 2))]);
    // Nor does it run again for what it wrote itself: it failed against what it saw.
    let mut runs = 0;
    let done = map.compute(&1, |_| {
        runs += 1;
        map.insert(&1, &4).expect("even");
        Op::Put(3)
    });
    assert!(matches!((runs, done), (1, Err(Error::Encode(_)))));
    assert_eq!(map.get(&1), Ok(Some(4)));
}

/// A codec that writes tens, and reads none beyond ninety.
struct Tens;

impl Codec<u64> for Tens {
    type Borrowed = u64;
    type Bytes<'a> = [u8; 1];

    fn encode(value: &u64) -> Result<[u8; 1], EncodeError> {
        Ok([(value / 10) as u8])
    }

    fn decode(bytes: &[u8]) -> Result<u64, DecodeError> {
        match bytes {
            [tens @ 0..=9] => Ok(10 * u64::from(*tens)),
            _ => Err(DecodeError::Invalid {
                what: "tens",
                len: bytes.len(),
                reason: "beyond ninety".into(),
            }),
        }
    }

    fn show<R>(bytes: &[u8], f: impl FnOnce(&u64) -> R) -> Result<R, DecodeError> {
        Self::decode(bytes).map(|value| f(&value))
    }
}

#[test]
fn what_is_made_is_returned_as_it_was_stored() {
    let map: Map<u8, u64, Tens> = Map::default();
    assert_eq!(map.get_or_insert_with(&1, || 57), Ok(50));
    assert_eq!(map.get_or_insert_with(&1, || 99), Ok(50));
    assert_eq!(map.get(&1), Ok(Some(50)));
    let unreadable = map.get_or_insert_with(&2, || 100);
    assert!(matches!(
        unreadable,
        Err(Error::Decode(DecodeError::Invalid { .. }))
    ));
    assert!(!map.contains_key(&2), "what nobody can read was stored");
}

#[test]
fn a_map_says_how_many_and_never_what() {
    let map: Map<String, String> = [("secret".to_string(), "value".to_string())]
        .into_iter()
        .collect();
    let told = format!("{map:?} {:?}", map.iter());
    assert_eq!(told, "Map(CMap { len: 1, .. }) Iter(..)");
}

#[test]
fn one_of_many_takes_a_value() {
    const THREADS: usize = 4;
    let map: Map<u64, u64> = Map::new();
    let barrier = Barrier::new(THREADS);
    let taken = AtomicUsize::new(0);
    let rounds = scaled(200_000) as u64;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (map, barrier, taken) = (&map, &barrier, &taken);
            scope.spawn(move || {
                for round in 0..rounds {
                    if thread == 0 {
                        map.insert(&round, &round).unwrap();
                    }
                    barrier.wait();
                    let value = if thread == THREADS - 1 {
                        map.remove(&round).then_some(round)
                    } else {
                        map.take(&round).unwrap()
                    };
                    assert!(value.is_none_or(|value| value == round));
                    taken.fetch_add(usize::from(value.is_some()), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(taken.into_inner() as u64, rounds);
}
