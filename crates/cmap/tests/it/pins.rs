//! No call waits for a pin. Every public call is made while the same thread holds a pin, and while another does, under a small
//! limit: it returns, or says `Full` with the bytes that pins hold. What is pinned does not change, and comes back afterwards.

use crate::common::{assert_sound, content, eventually, mix, scaled, settle, within};
use cmap::{Budget, Builder, CMap, Cursor, Error, Op, internal};
use std::{
    mem,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
    time::Duration,
};

const LIMIT: usize = 16 << 20;
const ENTRIES: u64 = 3_000;
/// Enough 1 KiB values to fill the limit twice over.
const CALLS_EACH: u64 = 32_000;
const PATIENCE: Duration = Duration::from_secs(60);

type Call = (&'static str, fn(&CMap, u64) -> Result<(), Error>);

/// Keys of one batch.
const BATCH: u64 = 40;

/// Every public call, with number `n` of its many.
const CALLS: &[Call] = &[
    ("get", |map, n| {
        map.get(&key(n)).map_or(Ok(()), |value| whole(n, &value))
    }),
    ("get_with", |map, n| {
        map.get_with(&key(n), |value| whole(n, value))
            .unwrap_or(Ok(()))
    }),
    ("get_into", |map, n| {
        let mut value = Vec::new();
        map.get_into(&key(n), &mut value)
            .map_or(Ok(()), |_| whole(n, &value))
    }),
    ("contains_key", |map, n| done(map.contains_key(&key(n)))),
    ("value_len", |map, n| {
        done(map.value_len(&key(n)).is_none_or(|len| len == 1_024))
    }),
    ("len", |map, _| done(map.len() <= ENTRIES as usize)),
    ("is_empty", |map, _| done(map.is_empty())),
    ("pin", |map, n| {
        map.pin()
            .get(&key(n))
            .map_or(Ok(()), |value| whole(n, value))
    }),
    ("repin", |map, n| {
        let mut pin = map.pin();
        pin.repin();
        done(pin.contains_key(&key(n)))
    }),
    ("insert", |map, n| map.insert(&key(n), &value(n)).map(drop)),
    ("insert of new keys", |map, n| {
        map.remove(&n.wrapping_sub(2_000).to_le_bytes());
        map.insert(&n.to_le_bytes(), &value(n)).map(drop)
    }),
    ("insert of extents", |map, n| {
        map.insert(&key(n % 8), &vec![7; 100_000 + n as usize % 9_000])
            .map(drop)
    }),
    ("insert_swap", |map, n| {
        map.insert_swap(&key(n), &value(n)).map(drop)
    }),
    ("insert_if_absent", |map, n| {
        map.remove(&n.wrapping_sub(2_000).to_le_bytes());
        map.insert_if_absent(&n.to_le_bytes(), &value(n)).map(drop)
    }),
    ("replace", |map, n| {
        map.replace(&key(n), &value(n)).map(drop)
    }),
    ("compare_and_swap", |map, n| {
        let held = map.get(&key(n));
        map.compare_and_swap(&key(n), held.as_deref(), Some(&value(n)))
            .map(drop)
    }),
    ("compute", |map, n| {
        map.compute(&key(n), |_| Op::Put(value(n))).map(drop)
    }),
    ("get_or_insert_with", |map, n| {
        map.remove(&key(n));
        map.get_or_insert_with(&key(n), || value(n)).map(drop)
    }),
    ("insert_with", |map, n| {
        map.insert_with(&key(n), 1_024, |place| place.copy_from_slice(&value(n)))
            .map(drop)
    }),
    ("fetch_add", |map, n| {
        map.fetch_add(&n.wrapping_rem(9).to_le_bytes(), 1).map(drop)
    }),
    ("append", |map, n| {
        map.remove(&key(n));
        let (front, back) = (&value(n)[..500], &value(n)[500..]);
        map.append(&key(n), front)?;
        map.append(&key(n), back).map(drop).inspect_err(|_| {
            map.remove(&key(n));
        })
    }),
    ("remove_if, then insert", |map, n| {
        map.remove_if(&key(n), |found| found == value(n));
        map.insert(&key(n), &value(n)).map(drop)
    }),
    ("retain, then insert", |map, n| {
        if n % 800 == 0 {
            map.retain(|key, _| key.len() % 2 == 0);
        }
        map.insert(&key(n), &value(n)).map(drop)
    }),
    ("drain, then insert", |map, n| {
        if n % 800 == 0 {
            assert!(map.drain().take(1_000).count() <= 1_000);
        }
        map.insert(&key(n), &value(n)).map(drop)
    }),
    ("iter, keys and scan", |map, n| {
        if n % 3_200 == 0 {
            assert!(map.iter().all(|(_, value)| value.len() == 1_024));
            assert!(map.keys().count() <= ENTRIES as usize);
        }
        map.scan(
            Cursor::from_bytes(mix(n, 1).to_be_bytes()),
            10,
            |_, value| {
                assert_eq!(value.len(), 1_024);
            },
        );
        Ok(())
    }),
    ("get_ref", |map, n| {
        map.get_ref(&key(n))
            .map_or(Ok(()), |value| whole(n, &value))
    }),
    ("remove, then insert", |map, n| {
        map.remove(&key(n));
        map.insert(&key(n), &value(n)).map(drop)
    }),
    ("take, then insert", |map, n| {
        map.take(&key(n)).map_or(Ok(()), |value| whole(n, &value))?;
        map.insert(&key(n), &value(n)).map(drop)
    }),
    ("clear", |map, n| {
        if n % 1_000 == 0 {
            map.clear();
        }
        map.insert(&key(n), &value(n)).map(drop)
    }),
    ("for_each", |map, n| {
        if n % 3_200 == 0 {
            map.for_each(|_, value| assert_eq!(value.len(), 1_024));
        }
        Ok(())
    }),
    ("try_for_each", |map, _| {
        let _ = map.try_for_each(|_, value| {
            if value.len() == 1_024 {
                ControlFlow::Break(())
            } else {
                panic!("{} bytes", value.len())
            }
        });
        Ok(())
    }),
    ("reserve", |map, n| {
        if n < 200 {
            map.reserve(n as usize * 100, n as usize * 10_000)
        } else {
            Ok(())
        }
    }),
    ("compact", |map, n| {
        map.remove(&key(n));
        map.compact(
            [
                Budget::bytes(4_096),
                Budget::time(Duration::from_micros(20)),
                Budget::all(),
            ][n as usize % 3],
        );
        map.insert(&key(n), &value(n)).map(drop)
    }),
    ("shrink_to_fit", |map, n| {
        if n % 320 == 0 {
            map.shrink_to_fit();
        }
        map.insert(&key(n), &value(n)).map(drop)
    }),
    ("memory and stats", |map, n| {
        let retired = (map.memory().retired, map.stats().retired_bytes);
        assert!(retired.0 <= LIMIT && retired.1 <= LIMIT, "{retired:?}");
        map.insert(&key(n), &value(n)).map(drop)
    }),
    ("get_many", |map, n| {
        if n % BATCH == 0 {
            let hits = map.get_many(&batch(n), |at, found| {
                assert_eq!(found, Some(&value(n + at as u64)[..]));
            });
            assert_eq!(hits as u64, BATCH);
        }
        Ok(())
    }),
    ("get_many of a Pinned, between inserts", |map, n| {
        if n % BATCH == 0 {
            let pin = map.pin();
            let mut found = Vec::new();
            pin.get_many(&batch(n), |_, value| found.push(value));
            let written = insert_many(map, n);
            for (at, found) in (n..).zip(found) {
                assert_eq!(found, Some(&value(at)[..]), "the value of {at}");
            }
            written?;
        }
        Ok(())
    }),
    ("insert_many", |map, n| match n % BATCH {
        0 => insert_many(map, n),
        _ => Ok(()),
    }),
    ("remove_many, then insert_many", |map, n| {
        if n % BATCH == 0 {
            assert!(map.remove_many(&batch(n)) as u64 <= BATCH);
            assert!(batch(n).iter().all(|key| !map.contains_key(key)));
            insert_many(map, n)?;
        }
        Ok(())
    }),
    ("hash_key and prefetch, then insert", |map, n| {
        map.prefetch(map.hash_key(&key(n)));
        map.insert(&key(n), &value(n)).map(drop)
    }),
    // It has no other way to say `Full` than to panic.
    ("extend", |map, n| {
        if n % 3_200 == 0 {
            let pairs = (n..n + 3_200).map(|n| (key(n), value(n)));
            let extended = catch_unwind(AssertUnwindSafe(|| (&mut &*map).extend(pairs)));
            if let Err(panic) = extended {
                let text = panic.downcast_ref::<String>().expect("an error's text");
                assert!(text.starts_with("the limit is reached: "), "{text}");
            }
        }
        Ok(())
    }),
];

/// Those that features add.
#[cfg(all(feature = "bytes", feature = "rayon"))]
const CALLS_OF_FEATURES: &[Call] = &[
    ("get_bytes, kept while others are inserted", |map, n| {
        let kept = map.get_bytes(&key(n));
        let written = map.insert(&key(n + 1), &value(n + 1)).map(drop);
        kept.map_or(Ok(()), |value| whole(n, &value))?;
        written
    }),
    ("par_for_each", |map, n| {
        if n % 3_200 == 0 {
            map.par_for_each(|_, value| assert_eq!(value.len(), 1_024));
        }
        map.insert(&key(n), &value(n)).map(drop)
    }),
];

fn key(n: u64) -> Vec<u8> {
    format!("key {}", n % ENTRIES).into_bytes()
}

fn batch(n: u64) -> Vec<Vec<u8>> {
    (n..n + BATCH).map(key).collect()
}

/// A batch from `n` on: stored up to where it says that it stopped.
fn insert_many(map: &CMap, n: u64) -> Result<(), Error> {
    let stopped = map.insert_many((n..n + BATCH).map(|n| (key(n), value(n))));
    let done = stopped
        .as_ref()
        .map_or_else(|stopped| stopped.done, |&all| all);
    for n in n..n + done as u64 {
        let found = map.get_with(&key(n), |found| found == value(n));
        assert_eq!(found, Some(true), "key {n} of a batch");
    }
    stopped.map(drop).map_err(|stopped| stopped.source)
}

/// 1 KiB that follows from the number of its key.
fn value(n: u64) -> Vec<u8> {
    mix(n % ENTRIES, 5).to_le_bytes().repeat(128)
}

fn whole(n: u64, found: &[u8]) -> Result<(), Error> {
    assert_eq!(found, value(n), "the value of {n}");
    Ok(())
}

/// For calls whose answer depends on what went before.
fn done(_: bool) -> Result<(), Error> {
    Ok(())
}

fn filled(builder: Builder) -> CMap {
    let map = builder.build().expect("a map");
    for n in 0..ENTRIES {
        map.insert(&key(n), &value(n)).expect("3 MiB fit");
    }
    map
}

/// Makes one call many times; the numbers of a refusal must be right.
fn call_many((name, call): Call, map: &CMap) {
    for n in 0..CALLS_EACH {
        match call(map, n) {
            Ok(()) => {}
            Err(Error::Full {
                needed,
                pinned,
                available,
            }) => {
                assert!(
                    pinned > 0 && needed > available,
                    "{name} {n}: {needed} of {available} free, {pinned} pinned"
                );
            }
            Err(other) => panic!("{name} {n}: {other:?}"),
        }
    }
}

/// After the last unpin memory comes back, and every write fits again.
#[track_caller]
fn assert_recovered(name: &str, map: &CMap) {
    settle(map);
    assert_sound(map);
    map.clear();
    settle(map);
    for n in 0..ENTRIES {
        assert!(
            map.insert(&key(n), &value(n)).is_ok(),
            "{name}: insert {n} of 3 MiB into {:?}",
            map.memory()
        );
    }
    assert_eq!(content(map).0, ENTRIES as usize);
}

#[test]
fn no_call_waits_for_a_pin_of_its_own_thread() {
    wait_for_no_pin_of_their_own_thread(CALLS);
}

#[test]
fn no_call_waits_for_a_pin_of_another_thread() {
    wait_for_no_pin_of_another_thread(CALLS);
}

#[cfg(all(feature = "bytes", feature = "rayon"))]
#[test]
fn par_for_each_and_get_bytes_wait_for_no_pin() {
    wait_for_no_pin_of_their_own_thread(CALLS_OF_FEATURES);
    wait_for_no_pin_of_another_thread(CALLS_OF_FEATURES);
}

fn wait_for_no_pin_of_their_own_thread(calls: &[Call]) {
    for &call in calls {
        within(PATIENCE, call.0, move || {
            let map = filled(CMap::builder().max_bytes(LIMIT));
            let pin = map.pin();
            let held: Vec<_> = (0..100)
                .map(|n| (n, pin.get(&key(n)).expect("filled")))
                .collect();
            call_many(call, &map);
            for (n, found) in held {
                assert_eq!(found, value(n), "{}: bytes behind a pin", call.0);
            }
            drop(pin);
            assert_recovered(call.0, &map);
        });
    }
}

fn wait_for_no_pin_of_another_thread(calls: &[Call]) {
    for &call in calls {
        within(PATIENCE, call.0, move || {
            let map = &filled(CMap::builder().max_bytes(LIMIT));
            let ((pinned, is_pinned), (unpin, may_unpin)) =
                (mpsc::channel(), mpsc::channel::<()>());
            thread::scope(|scope| {
                let reader = scope.spawn(move || {
                    let pin = map.pin();
                    let held: Vec<_> = (0..100)
                        .map(|n| (n, pin.get(&key(n)).expect("filled")))
                        .collect();
                    pinned.send(()).expect("the other side waits");
                    // Ends by the other side's hanging up, too: then that has failed.
                    let _ = may_unpin.recv();
                    held.iter().all(|&(n, found)| found == value(n))
                });
                is_pinned.recv().expect("the reader pins");
                call_many(call, map);
                unpin.send(()).expect("the reader waits");
                assert!(
                    reader.join().expect("the reader ends"),
                    "{}: bytes behind a pin",
                    call.0
                );
            });
            assert_recovered(call.0, map);
        });
    }
}

/// Overwriting under a pin comes to `Full`, which names the pinned bytes, and ends with the pin.
#[test]
fn full_names_the_pinned_bytes() {
    within(PATIENCE, "overwriting under a pin", || {
        let map = filled(CMap::builder().max_bytes(LIMIT));
        let pin = map.pin();
        let refused = (0..64_000).find_map(|n| map.insert(&key(n), &value(n)).err());
        let Some(Error::Full {
            needed,
            available,
            pinned,
        }) = refused
        else {
            panic!("{refused:?} instead of Full")
        };
        assert!(
            needed >= 1_024 && available < needed,
            "{needed} of {available}"
        );
        assert!(pinned > LIMIT / 4 && pinned <= LIMIT, "{pinned} pinned");
        let stats = map.stats();
        assert!(
            stats.oldest_pin.is_some() && stats.retired_bytes > LIMIT / 4,
            "{stats:?}"
        );
        assert!(map.memory().total() <= LIMIT, "{:?}", map.memory());
        // A remove needs no memory, and reads go on.
        assert!(map.remove(&key(1)) && !map.contains_key(&key(1)) && map.contains_key(&key(2)));
        drop(pin);
        assert!(eventually(|| map.insert(&key(1), &value(1)).is_ok()));
        settle(&map);
        let stats = map.stats();
        assert_eq!(
            (stats.oldest_pin, stats.retired_bytes),
            (None, 0),
            "{stats:?}"
        );
        assert_recovered("after Full", &map);
    });
}

/// Values of all sizes, held while another thread overwrites, removes, compacts, shrinks and clears.
#[test]
fn pinned_bytes_never_change() {
    for builder in [CMap::builder, internal::tiny, internal::tiny_wide] {
        let map = builder().build().expect("a map");
        let sizes = [0, 1, 60, 300, 511, 513, 4_000, 9_000, 70_000];
        let bytes = |n: usize| vec![n as u8; sizes[n % sizes.len()]];
        for round in 0..scaled(100) {
            for n in 0..900_usize {
                map.insert(&n.to_le_bytes(), &bytes(n))
                    .expect("there is memory");
            }
            let pin = map.pin();
            let held: Vec<_> = (0..900_usize)
                .map(|n| pin.get(&n.to_le_bytes()).expect("just inserted"))
                .collect();
            thread::scope(|scope| {
                scope.spawn(|| {
                    for n in 0..900_usize {
                        match (n + round) % 3 {
                            0 => assert!(map.remove(&n.to_le_bytes())),
                            1 => drop(map.insert(
                                &n.to_le_bytes(),
                                &vec![0xee; sizes[(n + 1) % sizes.len()]],
                            )),
                            _ => {}
                        }
                        if n % 100 == 0 {
                            map.compact(Budget::all());
                        }
                    }
                    map.shrink_to_fit();
                    map.clear();
                    for n in 0..2_000_usize {
                        map.insert(&n.to_le_bytes(), &[0xdd; 200])
                            .expect("there is memory");
                    }
                });
                for _ in 0..20 {
                    for (n, found) in held.iter().enumerate() {
                        assert!(
                            *found == bytes(n),
                            "round {round}: the bytes of {n} changed under a pin"
                        );
                    }
                }
            });
            assert!(
                held.iter().enumerate().all(|(n, found)| *found == bytes(n)),
                "round {round}"
            );
            assert_eq!(
                pin.get(&0_usize.to_le_bytes()),
                Some([0xdd; 200].as_slice()),
                "a pin sees what is new"
            );
            drop(pin);
            settle(&map);
            assert_sound(&map);
        }
    }
}

/// A pin on one map does not hold the memory of another.
#[test]
fn a_pin_holds_its_own_map_only() {
    within(PATIENCE, "churn beside another map's pin", || {
        let other = filled(CMap::builder());
        let pin = other.pin();
        let held = pin.get(&key(1)).expect("filled");
        let map = filled(CMap::builder().max_bytes(LIMIT));
        for n in 0..64_000 {
            assert!(
                map.insert(&key(n), &value(n)).is_ok(),
                "write {n}: {:?}",
                map.memory()
            );
        }
        settle(&map);
        assert_eq!(map.stats().oldest_pin, None);
        assert_eq!(held, value(1));
    });
}

/// Inner pins do not end outer ones, whichever goes first, also beyond the depth that a record has room for.
#[test]
fn nested_pins_end_in_any_order() {
    let map = internal::tiny().build().expect("tiny");
    for first_to_go in 0..10_usize {
        map.clear();
        map.insert(b"key", &[first_to_go as u8; 200])
            .expect("there is memory");
        let mut pins: Vec<_> = (0..10).map(|_| map.pin()).collect();
        while pins.len() > 1 {
            pins.remove(first_to_go % pins.len());
            let last = pins.last().expect("one is left");
            let held = last.get(b"key").expect("inserted").as_ptr();
            for n in 0..200_u8 {
                map.insert(b"key", &[n; 200]).expect("there is memory");
            }
            map.insert(b"key", &[first_to_go as u8; 200])
                .expect("there is memory");
            assert_ne!(
                last.get(b"key").expect("inserted").as_ptr(),
                held,
                "pinned bytes were used again"
            );
        }
        drop(pins);
        settle(&map);
    }
    assert_sound(&map);
}

#[test]
fn a_million_nested_pins() {
    let map = internal::tiny().build().expect("tiny");
    map.insert(b"key", b"held").expect("there is memory");
    let outer = map.pin();
    let held = outer.get(b"key").expect("inserted");
    let mut pins: Vec<_> = (0..scaled(1_000_000)).map(|_| map.pin()).collect();
    map.insert(b"key", b"else").expect("there is memory");
    pins.truncate(pins.len() / 2);
    for n in 0..5_000_u32 {
        map.insert(&n.to_le_bytes(), b"to and fro")
            .expect("there is memory");
        assert!(map.remove(&n.to_le_bytes()));
    }
    assert!(
        pins.iter()
            .all(|pin| pin.get(b"key") == Some(b"else".as_slice()))
    );
    drop(pins);
    map.compact(Budget::all());
    assert_eq!(held, b"held");
    drop(outer);
    settle(&map);
}

/// A pin that is never dropped holds memory, and does no other harm; nor does its thread's end.
#[test]
fn a_forgotten_pin_is_safe() {
    within(PATIENCE, "a forgotten pin", || {
        let map = filled(CMap::builder().max_bytes(LIMIT));
        thread::scope(|scope| {
            scope.spawn(|| mem::forget(map.pin()));
        });
        mem::forget(map.pin());
        call_many(
            ("insert", |map, n| map.insert(&key(n), &value(n)).map(drop)),
            &map,
        );
        map.clear();
        map.shrink_to_fit();
        assert!(map.memory().total() <= LIMIT);
        drop(map);
        assert_recovered("another map", &filled(CMap::builder().max_bytes(LIMIT)));
    });
}
