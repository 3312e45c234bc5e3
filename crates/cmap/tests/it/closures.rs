//! Closures that the map calls in a read-modify-write: they run on what is there, as often as they must and at most once where
//! that is said; one that panics, comes back into the map or takes its time leaves nothing behind and holds up nobody.

use crate::common::{assert_sound, content, eventually, panic_quietly, scaled, settle, within};
use cmap::{Budget, Builder, CMap, Changed, Inserted, Op, internal};
use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
    time::Duration,
};

const GEOMETRIES: [fn() -> Builder; 3] = [CMap::builder, internal::tiny, internal::tiny_wide];
const PATIENCE: Duration = Duration::from_secs(60);

/// `remove_if` removes only what it judged: what was put in its place meanwhile stays.
#[test]
fn remove_if_judges_again_what_was_replaced() {
    let map = CMap::new();
    map.insert(b"k", b"old").expect("there is memory");
    let calls = Cell::new(0);
    let removed = map.remove_if(b"k", |value| {
        calls.set(calls.get() + 1);
        if calls.get() == 1 {
            map.insert(b"k", b"new").expect("there is memory");
        }
        value == b"old"
    });
    assert_eq!((removed, calls.get()), (false, 2));
    assert_eq!(map.get(b"k"), Some(b"new".to_vec()));
    // Moved, it has been judged already.
    let removed = map.remove_if(b"k", |_| {
        calls.set(calls.get() + 1);
        map.shrink_to_fit();
        true
    });
    assert_eq!((removed, calls.get()), (true, 3));
    assert!(map.stats().relocations > 0, "nothing was moved");
    assert!(map.is_empty());
    assert_sound(&map);
}

/// What `compute` may store comes from the value that it saw, not from one that was there before.
#[test]
fn compute_runs_again_on_what_was_written_meanwhile() {
    type Meanwhile = (&'static str, fn(&CMap), Option<&'static [u8]>);
    let meanwhile: [Meanwhile; 5] = [
        (
            "replaced",
            |map| drop(map.insert(b"k", b"new")),
            Some(b"new"),
        ),
        ("removed", |map| assert!(map.remove(b"k")), None),
        ("cleared", |map| map.clear(), None),
        (
            "cleared and inserted",
            |map| {
                map.clear();
                map.insert(b"k", b"old").expect("there is memory");
            },
            Some(b"old"),
        ),
        (
            "removed and inserted",
            |map| {
                map.remove(b"k");
                map.insert(b"k", b"ol").expect("there is memory");
            },
            Some(b"ol"),
        ),
    ];
    for (what, change, then) in meanwhile {
        let map = CMap::new();
        map.insert(b"k", b"old").expect("there is memory");
        let mut shown: Vec<Option<Vec<u8>>> = Vec::new();
        let did = map.compute(b"k", |old| {
            shown.push(old.map(<[u8]>::to_vec));
            if shown.len() == 1 {
                change(&map);
            }
            Op::Put([old.unwrap_or(b"nothing"), b"!"].concat())
        });
        let expected = [Some(b"old".to_vec()), then.map(<[u8]>::to_vec)];
        assert_eq!(shown, expected, "{what}");
        assert_eq!(
            map.get(b"k"),
            Some([then.unwrap_or(b"nothing"), b"!"].concat()),
            "{what}"
        );
        assert_eq!(
            did,
            Ok(then.map_or(Changed::Inserted, |_| Changed::Replaced)),
            "{what}"
        );
        settle(&map);
        assert_sound(&map);
    }
}

/// A closure of `FnOnce` runs once, though `clear` or another writer comes between, and what it made is stored or dropped.
#[test]
fn once_means_once() {
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        for len in [0_usize, 1, 100, 5_000, 70_000] {
            map.insert(b"k", b"old").expect("there is memory");
            let runs = Cell::new(0);
            let did = map.insert_with(b"k", len, |value| {
                runs.set(runs.get() + 1);
                assert!(value.iter().all(|&byte| byte == 0), "not zeros");
                map.clear();
                // Takes the place that the entry had in its lane, were it given back too early.
                map.insert(b"beside", &[9; 100]).expect("there is memory");
                value.fill(7);
            });
            assert_eq!((did, runs.get()), (Ok(Inserted::New), 1), "{len}");
            assert_eq!(map.get(b"k"), Some(vec![7; len]));
            map.remove(b"k");
            let got = map.get_or_insert_with(b"k", || {
                runs.set(runs.get() + 1);
                map.insert(b"k", b"another's").expect("there is memory");
                vec![8; len]
            });
            assert_eq!((got, runs.get()), (Ok(b"another's".to_vec()), 2));
            map.remove(b"k");
            let got = map.get_or_insert_with(b"k", || {
                runs.set(runs.get() + 1);
                map.clear();
                vec![8; len]
            });
            assert_eq!((got, runs.get()), (Ok(vec![8; len]), 3));
        }
        settle(&map);
        assert_sound(&map);
    }
}

/// What nobody can find yet is not counted either, and what is replaced is never missing from the count.
#[test]
fn only_what_can_be_found_is_counted() {
    let map = CMap::new();
    for len in [0, 8, 6_000, 90_000] {
        let done = map.insert_with(b"k", len, |_| {
            assert!(map.is_empty() && map.get(b"k").is_none());
        });
        assert_eq!(done, Ok(Inserted::New), "{len} bytes");
        assert_eq!(map.len(), 1);
        map.clear();
    }
    map.insert(b"k", b"").expect("memory");
    thread::scope(|scope| {
        let overwrite = || {
            for n in 0..scaled(40_000) {
                map.insert(b"k", &n.to_le_bytes()).expect("memory");
            }
        };
        let writers = [scope.spawn(overwrite), scope.spawn(overwrite)];
        while !writers.iter().all(thread::ScopedJoinHandle::is_finished) {
            assert_eq!(map.len(), 1, "one key, overwritten all the time");
        }
    });
}

/// The buffer of `insert_with` is zeros also where other entries lay before.
#[test]
fn insert_with_shows_zeros_where_secrets_were() {
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        for round in 0..20 {
            for n in 0..500_u32 {
                map.insert(&n.to_le_bytes(), &[0xaa; 600])
                    .expect("there is memory");
            }
            map.clear();
            map.shrink_to_fit();
            for n in 0..500_u32 {
                let len = (n as usize * 7 + round) % 700;
                let did = map.insert_with(&n.to_le_bytes(), len, |value| {
                    assert_eq!(value.len(), len);
                    assert!(value.iter().all(|&byte| byte == 0), "not zeros");
                    value.fill(0xbb);
                });
                did.expect("there is memory");
            }
        }
        assert_sound(&map);
    }
}

/// A closure that panics leaves the old value, and nothing held: neither a lock, nor a pin, nor a byte.
#[test]
fn a_panic_leaves_nothing_behind() {
    /// Bytes that panic when they are asked for.
    struct Bomb;
    impl AsRef<[u8]> for Bomb {
        fn as_ref(&self) -> &[u8] {
            panic_quietly("by the caller")
        }
    }
    /// Bytes that panic when they are dropped: by then they are stored.
    struct Late;
    impl AsRef<[u8]> for Late {
        fn as_ref(&self) -> &[u8] {
            b"stored"
        }
    }
    impl Drop for Late {
        fn drop(&mut self) {
            panic_quietly("by the caller");
        }
    }
    for builder in GEOMETRIES {
        let map = builder().build().expect("a map");
        for n in 0..100_u32 {
            map.insert(&n.to_le_bytes(), &[n as u8; 50])
                .expect("there is memory");
        }
        let key = &7_u32.to_le_bytes();
        type Call = (&'static str, fn(&CMap, &[u8]));
        let calls: [Call; 8] =
            [
                ("compute", |map, key| {
                    drop(map.compute(key, |_| -> Op<Vec<u8>> { panic_quietly("by the caller") }))
                }),
                ("compute, absent", |map, _| {
                    drop(map.compute(b"absent", |_| -> Op<Vec<u8>> {
                        panic_quietly("by the caller")
                    }))
                }),
                ("compute, its value", |map, key| {
                    drop(map.compute(key, |_| Op::Put(Bomb)))
                }),
                ("insert_with", |map, key| {
                    drop(map.insert_with(key, 30, |_| panic_quietly("by the caller")))
                }),
                ("insert_with, an extent", |map, key| {
                    drop(map.insert_with(key, 90_000, |_| panic_quietly("by the caller")))
                }),
                ("get_or_insert_with", |map, _| {
                    drop(map.get_or_insert_with(b"absent", || -> &str {
                        panic_quietly("by the caller")
                    }))
                }),
                ("get_or_insert_with, its value", |map, _| {
                    drop(map.get_or_insert_with(b"absent", || Bomb))
                }),
                ("remove_if", |map, key| {
                    map.remove_if(key, |_| panic_quietly("by the caller"));
                }),
            ];
        let before = content(&map);
        for _ in 0..scaled(400) {
            for (what, call) in calls {
                let panic = catch_unwind(AssertUnwindSafe(|| call(&map, key))).expect_err(what);
                assert_eq!(
                    panic.downcast_ref::<&str>(),
                    Some(&"by the caller"),
                    "{what}"
                );
                assert_eq!(content(&map), before, "{what}");
                // Deep pins of other tests hold up every map, for a while.
                assert!(
                    eventually(|| map.stats().oldest_pin.is_none()
                        || map.compact(Budget::all()).done && map.stats().oldest_pin.is_none()),
                    "{what}: a pin is held"
                );
            }
        }
        let late = catch_unwind(AssertUnwindSafe(|| map.compute(key, |_| Op::Put(Late))));
        assert!(late.is_err() && map.get(key) == Some(b"stored".to_vec()));
        // Another thread can write every key.
        thread::scope(|scope| {
            scope.spawn(|| {
                (0..100_u32).for_each(|n| assert!(map.insert(&n.to_le_bytes(), b"new").is_ok()))
            });
        });
        settle(&map);
        assert_eq!(assert_sound(&map).entries, 100);
    }
}

/// What a closure does to the map that calls it.
fn meddle(map: &CMap, key: &[u8], n: usize) {
    match n % 8 {
        0 => drop(map.insert(key, b"from inside")),
        1 => drop(map.fetch_add(b"counter", 1)),
        2 => assert!(map.take(key).is_none_or(|value| !value.is_empty())),
        3 => drop(map.append(key, b"from inside")),
        4 => (0..50_u64).for_each(|n| assert!(map.insert(&n.to_be_bytes(), &[1; 90]).is_ok())),
        5 => drop(map.compact(Budget::all())),
        6 => map.clear(),
        _ => drop(map.compute(key, |_| Op::Put(b"deeper"))),
    }
}

/// Closures that come back into the map, the same key included: each call ends, and says what is so.
#[test]
fn closures_that_come_back() {
    for builder in GEOMETRIES {
        within(PATIENCE, "a closure that comes back", move || {
            let map = builder().build().expect("a map");
            for round in 0..scaled(8_000).max(200) {
                let key = format!("key {}", round % 20).into_bytes();
                let mut is_first = true;
                let did = map.compute(&key, |old| {
                    let before = old.map(<[u8]>::to_vec);
                    // Once only: a closure that writes its key each time would be run again each time.
                    if std::mem::take(&mut is_first) {
                        meddle(&map, &key, round);
                    }
                    assert_eq!(
                        old,
                        before.as_deref(),
                        "the bytes of a closure's value changed"
                    );
                    Op::Put(b"computed")
                });
                assert!(
                    matches!(did, Ok(Changed::Inserted | Changed::Replaced)),
                    "{did:?}"
                );
                assert_eq!(map.get(&key), Some(b"computed".to_vec()));
                let done = map.insert_with(&key, 8, |value| {
                    meddle(&map, &key, round / 20);
                    value.fill(1);
                });
                assert!(done.is_ok());
                assert_eq!(map.get(&key), Some(vec![1; 8]));
                map.remove_if(&key, |_| {
                    meddle(&map, b"another", round / 3);
                    true
                });
                assert!(!map.contains_key(&key) || round / 3 % 8 == 6);
                let got = map.get_or_insert_with(&key, || {
                    meddle(&map, &key, round / 7);
                    "made"
                });
                assert_eq!(map.get(&key), got.ok());
            }
            settle(&map);
            assert_sound(&map);
        });
    }
}

/// A closure that takes a second holds up nobody, and is run again if its key has changed meanwhile.
#[test]
fn a_slow_closure_holds_up_nobody() {
    within(PATIENCE, "writers beside a slow closure", || {
        let map = &CMap::new();
        map.insert(b"k", b"0").expect("there is memory");
        let ((began, has_begun), (end, may_end)) = (mpsc::channel(), mpsc::channel::<()>());
        thread::scope(|scope| {
            let slow = scope.spawn(move || {
                let mut runs = 0;
                let did = map.compute(b"k", |old| {
                    runs += 1;
                    if runs == 1 {
                        began.send(()).expect("the other side waits");
                        may_end.recv().expect("the other side says when");
                    }
                    Op::Put([old.expect("never removed"), b"+"].concat())
                });
                (did, runs)
            });
            has_begun.recv().expect("the closure runs");
            for n in 0..10_000_u32 {
                map.insert(b"k", &n.to_le_bytes()).expect("there is memory");
                map.insert(&n.to_le_bytes(), b"beside")
                    .expect("there is memory");
                assert_eq!(map.fetch_add(b"counter", 1), Ok(u64::from(n)));
            }
            map.compact(Budget::all());
            end.send(()).expect("the closure waits");
            assert_eq!(slow.join().expect("it ends"), (Ok(Changed::Replaced), 2));
        });
        assert_eq!(
            map.get(b"k"),
            Some([&9_999_u32.to_le_bytes()[..], b"+"].concat())
        );
        assert_sound(map);
    });
}
