//! Atomic read-modify-write: what each call answers, and that between threads nothing is lost or done twice.

use crate::common::{alone, assert_sound, content, eventually, scaled, settle};
use cmap::{Budget, Builder, CMap, Changed, Error, Inserted, Op, internal};
use std::{sync::Barrier, thread};

const GEOMETRIES: [fn() -> Builder; 3] = [CMap::builder, internal::tiny, internal::tiny_wide];
const THREADS: u64 = 4;
const VALUE_MAX: usize = u32::MAX as usize;

/// A counter at `key`.
fn counter(map: &CMap, key: &[u8]) -> u64 {
    let bytes = map.get(key).expect("a counter");
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

#[test]
fn each_call_says_what_it_did() {
    let map = CMap::new();
    assert_eq!(map.replace(b"k", b"1"), Ok(Changed::Nothing));
    assert!(!map.contains_key(b"k"));
    assert_eq!(map.insert_with(b"k", 1, |v| v[0] = b'1'), Ok(Inserted::New));
    assert_eq!(map.replace(b"k", b"2"), Ok(Changed::Replaced));
    assert_eq!(
        map.insert_with(b"k", 0, |v| assert!(v.is_empty())),
        Ok(Inserted::Replaced)
    );
    assert_eq!(map.get(b"k"), Some(Vec::new()));
    let mut shown = Vec::new();
    for op in [
        Op::Keep,
        Op::Put(&b"3"[..]),
        Op::Remove,
        Op::Remove,
        Op::Keep,
        Op::Put(b"4"),
    ] {
        let did = map.compute(b"k", |old| {
            shown.push(old.map(<[u8]>::to_vec));
            op
        });
        shown.push(Some(
            format!("{:?}", did.expect("there is memory")).into_bytes(),
        ));
    }
    let expected = [
        Some(""),
        Some("Nothing"),
        Some(""),
        Some("Replaced"),
        Some("3"),
        Some("Removed"),
        None,
        Some("Nothing"),
        None,
        Some("Nothing"),
        None,
        Some("Inserted"),
    ];
    assert_eq!(
        shown,
        expected.map(|text| text.map(|text| text.as_bytes().to_vec()))
    );
    assert_sound(&map);
}

#[test]
fn compare_and_swap_changes_exactly_what_it_expects() {
    let values: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"a"), Some(b"ab")];
    let map = CMap::new();
    for held in values {
        for expected in values {
            for new in values {
                map.remove(b"k");
                if let Some(held) = held {
                    map.insert(b"k", held).expect("there is memory");
                }
                let did = map.compare_and_swap(b"k", expected, new);
                let right = match (held == expected, held, new) {
                    (false, ..) | (true, None, None) => Changed::Nothing,
                    (true, None, Some(_)) => Changed::Inserted,
                    (true, Some(_), Some(_)) => Changed::Replaced,
                    (true, Some(_), None) => Changed::Removed,
                };
                assert_eq!(did, Ok(right), "{held:?}: {expected:?} -> {new:?}");
                let after = if held == expected { new } else { held };
                assert_eq!(map.get(b"k").as_deref(), after);
            }
        }
    }
    assert_sound(&map);
}

/// Lengths at and above the limits, in every call; none of them changes anything.
#[test]
fn what_is_too_long_is_refused() {
    let map = CMap::new();
    map.insert(b"k", b"value").expect("there is memory");
    let before = content(&map);
    let key = vec![0; 65_536];
    let too_long = Error::KeyTooLong {
        len: 65_536,
        max: 65_535,
    };
    assert_eq!(map.replace(&key, b""), Err(too_long.clone()));
    assert_eq!(
        map.compare_and_swap(&key, None, None),
        Err(too_long.clone())
    );
    assert_eq!(map.compute(&key, |_| Op::Put(b"")), Err(too_long.clone()));
    assert_eq!(map.get_or_insert_with(&key, || ""), Err(too_long.clone()));
    assert_eq!(
        map.insert_with(&key, 1, |_| panic!("runs")),
        Err(too_long.clone())
    );
    assert_eq!(map.fetch_add(&key, 1), Err(too_long.clone()));
    assert_eq!(map.append(&key, b""), Err(too_long));
    assert!(!map.remove_if(&key, |_| true));
    for len in [VALUE_MAX + 1, usize::MAX] {
        let refused = map.insert_with(b"k", len, |_| panic!("runs"));
        assert_eq!(
            refused,
            Err(Error::ValueTooLong {
                len,
                max: VALUE_MAX
            })
        );
    }
    assert_eq!(map.fetch_add(b"k", 1), Err(Error::NotACounter { len: 5 }));
    map.insert(b"empty", b"").expect("there is memory");
    assert_eq!(
        map.fetch_add(b"empty", 1),
        Err(Error::NotACounter { len: 0 })
    );
    map.remove(b"empty");
    assert_eq!(content(&map), before);
    // The longest key there is works.
    let key = &key[1..];
    assert_eq!(map.fetch_add(key, 5), Ok(0));
    assert_eq!(map.append(key, b""), Ok(8));
    assert!(map.remove_if(key, |value| value == 5_u64.to_le_bytes()));
    assert_sound(&map);
}

#[test]
fn fetch_add_counts_and_wraps() {
    let map = CMap::new();
    assert_eq!(map.fetch_add(b"k", u64::MAX), Ok(0));
    assert_eq!(map.fetch_add(b"k", 3), Ok(u64::MAX));
    assert_eq!(map.fetch_add(b"k", 0), Ok(2));
    assert_eq!(counter(&map, b"k"), 2);
}

/// Threads that raise the same counters lose no increment, whatever compaction does meanwhile.
#[test]
fn no_increment_is_lost() {
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        let each = scaled(2_000_000) as u64 / THREADS;
        let mut returned: Vec<u64> = thread::scope(|scope| {
            let add = || -> Vec<u64> {
                (0..each)
                    .map(|n| {
                        if n % 1_000 == 0 {
                            map.compact(Budget::bytes(4_000));
                        }
                        map.fetch_add(b"second", 3).expect("there is memory");
                        map.fetch_add(b"first", 1).expect("there is memory")
                    })
                    .collect()
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(add)).collect();
            let ended = threads.into_iter().map(|thread| thread.join());
            ended.flat_map(|seen| seen.expect("it ends")).collect()
        });
        assert_eq!(counter(&map, b"first"), THREADS * each);
        assert_eq!(counter(&map, b"second"), 3 * THREADS * each);
        returned.sort_unstable();
        assert!(
            returned.into_iter().eq(0..THREADS * each),
            "a value was returned twice"
        );
        settle(&map);
        assert_eq!(assert_sound(&map).entries, 2);
    }
}

/// A storm on one counter does not grow the map: each dead entry goes with its chunk.
#[test]
fn a_storm_on_one_counter_takes_no_memory() {
    const ENTRY_BYTES: usize = 20;
    // Alone: another test's deeply nested pins would hold this map's memory, too.
    alone("compute::a_storm_on_one_counter_takes_no_memory", || {
        for (builder, most) in GEOMETRIES.into_iter().zip([24 << 20, 1 << 20, 1 << 20]) {
            let map = builder().build().expect("a map");
            // Twice what is allowed, were nothing given back.
            let adds = scaled(4_000_000).max(2 * most / ENTRY_BYTES);
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        for n in 0..adds / THREADS as usize {
                            map.fetch_add(b"counter", 1).expect("there is memory");
                            if n % 1_000 == 0 {
                                let memory = map.memory();
                                // A thread that was stopped within a call holds up some, for as long.
                                let taken = memory.total() - memory.retired;
                                assert!(taken <= most, "after {n}: {memory:?}");
                            }
                        }
                    });
                }
            });
            settle(&map);
            let checked = assert_sound(&map);
            assert!(checked.chunks_reachable <= 6, "{checked:?}");
        }
    });
}

#[test]
fn of_many_that_insert_one_fresh_key_one_wins() {
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        let barrier = Barrier::new(THREADS as usize);
        let rounds = scaled(20_000);
        let wins: Vec<[usize; 4]> = thread::scope(|scope| {
            let race = |thread: u64| {
                let (map, barrier) = (&map, &barrier);
                move || {
                    let mut wins = [0; 4];
                    for round in 0..rounds {
                        let key = |call: &str| format!("{call} {round}").into_bytes();
                        let mine = thread.to_le_bytes();
                        barrier.wait();
                        let swapped = map.compare_and_swap(&key("swap"), None, Some(&mine));
                        wins[0] += usize::from(swapped == Ok(Changed::Inserted));
                        let absent = map.insert_if_absent(&key("absent"), &mine);
                        wins[1] += usize::from(absent == Ok(Changed::Inserted));
                        let computed = map.compute(&key("compute"), |old| match old {
                            None => Op::Put(mine),
                            Some(_) => Op::Keep,
                        });
                        wins[2] += usize::from(computed == Ok(Changed::Inserted));
                        let got = map.get_or_insert_with(&key("get"), || mine);
                        let got = got.expect("there is memory");
                        assert_eq!(map.get(&key("get")), Some(got.clone()), "not the winner's");
                        wins[3] += usize::from(got == mine);
                    }
                    wins
                }
            };
            let threads: Vec<_> = (0..THREADS).map(|n| scope.spawn(race(n))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("it ends"))
                .collect()
        });
        for call in 0..4 {
            let winners: usize = wins.iter().map(|wins| wins[call]).sum();
            assert_eq!(winners, rounds, "call {call}: one winner a key");
        }
        settle(&map);
        assert_eq!(assert_sound(&map).entries, 4 * rounds);
    }
}

/// Each suffix is in once, in each thread's order, whatever the length: from a few bytes to an extent.
#[test]
fn no_suffix_is_lost() {
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        let each = scaled(8_000).min(1_000) as u32;
        thread::scope(|scope| {
            for thread in 0..THREADS as u32 {
                let map = &map;
                scope.spawn(move || {
                    for n in 0..each {
                        let suffix = [thread.to_le_bytes(), n.to_le_bytes()].concat();
                        let len = map.append(b"k", &suffix).expect("there is memory");
                        assert_eq!(len % 8, 0);
                    }
                });
            }
        });
        let mut next = [0; THREADS as usize];
        for suffix in map.get(b"k").expect("appended").chunks_exact(8) {
            let (thread, n) = suffix.split_at(4);
            let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four"));
            let next = &mut next[word(thread) as usize];
            assert_eq!(word(n), *next, "lost, doubled or out of order");
            *next += 1;
        }
        assert_eq!(next, [each; THREADS as usize]);
        settle(&map);
        assert_eq!(assert_sound(&map).entries, 1);
    }
}

/// At the limit each call says `Full` and changes nothing; what needs no memory works, and afterwards all do.
#[test]
fn at_the_limit_nothing_changes() {
    let map = CMap::builder().max_bytes(16 << 20).build().expect("a map");
    map.insert(b"counter", &5_u64.to_le_bytes())
        .expect("there is memory");
    map.insert(b"k", &[1; 1_000]).expect("there is memory");
    let mut n = 0_u32;
    let mut fill = |bytes: usize| {
        while map.insert(&n.to_le_bytes(), &vec![3; bytes]).is_ok() {
            n += 1;
        }
    };
    fill(60_000);
    fill(1_000);
    fill(1);
    let before = content(&map);
    let is_full = |answer: Result<(), Error>, what: &str| {
        assert!(
            matches!(answer, Err(Error::Full { .. })),
            "{what}: {answer:?}"
        );
        assert_eq!(content(&map), before, "{what}");
    };
    let big = vec![4; 60_000];
    is_full(map.replace(b"k", &big).map(drop), "replace");
    is_full(
        map.compare_and_swap(b"new", None, Some(&big)).map(drop),
        "compare_and_swap",
    );
    is_full(map.compute(b"k", |_| Op::Put(&big)).map(drop), "compute");
    is_full(
        map.get_or_insert_with(b"new", || &big).map(drop),
        "get_or_insert_with",
    );
    is_full(map.append(b"k", &big).map(drop), "append");
    is_full(
        map.insert_with(b"k", 60_000, |value| value.fill(1))
            .map(drop),
        "insert_with",
    );
    is_full(
        (0..20_000)
            .find_map(|_| {
                // A counter's entry may fit for a while.
                map.get_or_insert_with(b"counters", || [6; 8])
                    .and_then(|_| map.append(b"counters", &[6; 400]))
                    .err()
            })
            .map_or(Ok(()), |full| {
                map.remove(b"counters");
                Err(full)
            }),
        "append, again and again",
    );
    assert!(map.remove_if(b"k", |value| value == [1; 1_000]));
    assert_eq!(
        map.compute(b"counter", |_| Op::<&[u8]>::Remove),
        Ok(Changed::Removed)
    );
    let gone = (0..n)
        .filter(|n| n % 3 == 0 && map.remove_if(&n.to_le_bytes(), |_| true))
        .count();
    assert!(gone > 0);
    assert!(
        eventually(|| map.append(b"k", &big).is_ok()),
        "{:?}",
        map.memory()
    );
    assert_eq!(map.fetch_add(b"counter", 1), Ok(0));
    settle(&map);
    assert_sound(&map);
}
