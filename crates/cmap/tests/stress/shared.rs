//! Keys that all threads touch. Two notes beside the map say what a reader may rely on, however the calls interleave:
//!
//! - *must*: set after an insert has returned, unset before the key's only remover calls `remove`. A read that finds the same
//!   note before and after itself must find the key, at that version or a later one.
//! - *gone*: the newest version whose removal has returned. A read that begins afterwards must not find that version.

use super::{
    GEOMETRIES, THREADS,
    counters::{Adder, Sum},
    on_eight_threads,
    tally::{Kind, Tally},
    value_len,
};
use crate::common::{Stamp, key_bytes, mix, scaled, seed};
use cmap::{CMap, Changed, Cursor, Op, internal};
use fastrand::Rng;
use std::{
    collections::HashMap,
    ops::ControlFlow,
    sync::atomic::{AtomicU64, Ordering},
};

const KEYS: usize = 512;

/// What is known about one key beside the map. All of it SeqCst: the notes must order calls, and speed does not matter here.
#[derive(Default)]
struct Note {
    must: AtomicU64,
    gone: AtomicU64,
}

fn notes() -> Vec<Note> {
    (0..KEYS).map(|_| Note::default()).collect()
}

/// One owner per key writes and removes it; everybody reads it and checks against its note. All add to one counter.
#[test]
fn removed_keys_never_come_back() {
    let first = seed("owned keys");
    let each = scaled(12_000_000) / 3 / THREADS;
    let fresh = GEOMETRIES.map(|_| notes());
    let sums = GEOMETRIES.map(|_| Sum::default());
    on_eight_threads(
        "owned keys",
        first,
        |_| (),
        |map, geometry, thread| {
            let notes = &fresh[geometry];
            let mut rng = Rng::with_seed(mix(first, thread as u64));
            let mut value = Vec::new();
            let mut version = 0;
            let mut tally = Tally::default();
            let mut adder = Adder::new(map, KEYS as u64);
            for _ in 0..each {
                if rng.u8(..10) == 0 {
                    adder.add(rng.u64(..1_000));
                    tally.did(Kind::FetchAdd);
                    continue;
                }
                let own = rng.u8(..2) == 0;
                let n = if own {
                    rng.usize(..KEYS / THREADS) * THREADS + thread
                } else {
                    rng.usize(..KEYS)
                };
                let (key, note) = (key_bytes(n as u64), &notes[n]);
                if own {
                    version += 1;
                    let stamp = Stamp {
                        key: n as u64,
                        writer: thread as u16,
                        version,
                    };
                    if rng.u8(..3) > 0 {
                        stamp.write(value_len(&mut rng), &mut value);
                        map.insert(&key, &value).expect("there is memory");
                        note.must.store(version, Ordering::SeqCst);
                        tally.did(Kind::Insert);
                    } else {
                        let was = note.must.swap(0, Ordering::SeqCst);
                        assert_eq!(
                            map.remove(&key),
                            was > 0,
                            "its only writer removes key {n}, version {was}"
                        );
                        note.gone.store(version, Ordering::SeqCst);
                        tally.did(Kind::Remove);
                    }
                } else {
                    read(map, n, note, &mut rng, &mut tally);
                }
            }
            adder.end(&sums[geometry]);
        },
    );
}

/// One read by one of the reading calls, checked against the key's note.
fn read(map: &CMap, n: usize, note: &Note, rng: &mut Rng, tally: &mut Tally) {
    let key = key_bytes(n as u64);
    let must = note.must.load(Ordering::SeqCst);
    let gone = note.gone.load(Ordering::SeqCst);
    let (kind, version) = match rng.u8(..4) {
        0 => (Kind::Get, map.get(&key).map(|value| Stamp::read(&value))),
        1 => {
            let pinned = internal::pin(map);
            let found = pinned.0.get(&key);
            found.iter().for_each(|value| tally.holds(&pinned, value));
            (Kind::Pinned, found.map(Stamp::read))
        }
        _ => (Kind::GetWith, map.get_with(&key, Stamp::read)),
    };
    tally.did(kind);
    let version = version.map(|stamp| {
        assert_eq!(
            (stamp.key, stamp.writer as usize),
            (n as u64, n % THREADS),
            "the value of another key"
        );
        stamp.version
    });
    assert!(
        version.is_none_or(|version| version > gone),
        "key {n}: version {version:?} came back, removed by {gone}"
    );
    if must > 0 && note.must.load(Ordering::SeqCst) == must {
        assert!(
            version.is_some_and(|version| version >= must),
            "key {n}: {version:?} although version {must} was there"
        );
    }
}

/// Keys that are never removed, overwritten by all: each read finds one, whole, and never an older one than before; each scan
/// finds each exactly once.
#[test]
fn keys_never_removed_are_always_there() {
    let first = seed("kept keys");
    let each = scaled(12_000_000) / 3 / THREADS;
    let prepare = |map: &CMap| {
        let mut value = Vec::new();
        for n in 0..KEYS as u64 {
            Stamp {
                key: n,
                writer: THREADS as u16,
                version: 0,
            }
            .write(100, &mut value);
            map.insert(&key_bytes(n), &value).expect("there is memory");
        }
    };
    on_eight_threads("kept keys", first, prepare, |map, _, thread| {
        let mut rng = Rng::with_seed(mix(first, thread as u64));
        let mut value = Vec::new();
        let mut tally = Tally::default();
        let stamp = |n: usize, version| Stamp {
            key: n as u64,
            writer: thread as u16,
            version,
        };
        let mut seen: HashMap<(usize, u16), u64> = HashMap::new();
        for version in 1..=each as u64 {
            let n = rng.usize(..KEYS);
            let key = key_bytes(n as u64);
            let mut check = |found: &[u8]| {
                let found = Stamp::read(found);
                assert_eq!(found.key, n as u64, "the value of another key");
                let newest = seen.entry((n, found.writer)).or_default();
                assert!(
                    found.version >= *newest,
                    "key {n}: {found:?} after version {newest} of the same writer"
                );
                *newest = found.version;
            };
            let kind = match rng.u16(..1_000) {
                0..=299 => {
                    let found = map.get_with(&key, &mut check);
                    assert!(found.is_some(), "key {n} reads as absent");
                    Kind::GetWith
                }
                300..=399 => {
                    let pinned = internal::pin(map);
                    let found = pinned.0.get(&key).expect("a key that is never removed");
                    check(found);
                    tally.holds(&pinned, found);
                    Kind::Pinned
                }
                400..=449 => {
                    assert!(map.contains_key(&key), "key {n} reads as absent");
                    Kind::ContainsKey
                }
                450..=499 => {
                    check(&map.get(&key).expect("a key that is never removed"));
                    Kind::Get
                }
                500..=749 => {
                    stamp(n, version).write(value_len(&mut rng), &mut value);
                    check(
                        &map.insert_swap(&key, &value)
                            .expect("there is memory")
                            .expect("a key that is never removed"),
                    );
                    check(&value);
                    Kind::InsertSwap
                }
                // Whatever is computed from is not older than what was seen, and never absent.
                750..=799 => {
                    stamp(n, version).write(value_len(&mut rng), &mut value);
                    let computed = map.compute(&key, |held| {
                        check(held.expect("a key that is never removed"));
                        Op::Put(&value)
                    });
                    assert_eq!(computed, Ok(Changed::Replaced));
                    check(&value);
                    Kind::Modify
                }
                800..=948 => {
                    stamp(n, version).write(value_len(&mut rng), &mut value);
                    map.insert(&key, &value).expect("there is memory");
                    check(&value);
                    Kind::Insert
                }
                // Keys beside them come and go, so that tables split and merge.
                949..=997 => {
                    let beside = KEYS as u64 + rng.u64(..4_000);
                    stamp(beside as usize, version).write(30, &mut value);
                    if rng.bool() {
                        map.insert(&key_bytes(beside), &value)
                            .expect("there is memory");
                        Kind::Insert
                    } else {
                        map.remove(&key_bytes(beside));
                        Kind::Remove
                    }
                }
                998 if rng.u8(..10) == 0 => {
                    scan(map, rng.u8(..4));
                    Kind::Scan
                }
                _ => {
                    _ = map.try_for_each(|_, value| {
                        Stamp::read(value);
                        if rng.u8(..100) == 0 {
                            ControlFlow::Break(())
                        } else {
                            ControlFlow::Continue(())
                        }
                    });
                    Kind::Scan
                }
            };
            tally.did(kind);
        }
    });
}

fn scan(map: &CMap, kind: u8) {
    let mut seen = vec![false; KEYS];
    let mut look = |key: &[u8], value: &[u8]| {
        let stamp = Stamp::read(value);
        assert_eq!(key, key_bytes(stamp.key), "the value of another key");
        if let Some(seen) = seen.get_mut(stamp.key as usize) {
            assert!(!*seen, "key {} visited twice", stamp.key);
            *seen = true;
        }
    };
    match kind {
        0 => map.for_each(look),
        1 => map.iter().for_each(|(key, value)| look(&key, &value)),
        2 => {
            let removed = map.retain(|key, value| {
                look(key, value);
                true
            });
            assert_eq!(removed, 0);
        }
        _ => {
            let mut cursor = Some(Cursor::START);
            while let Some(from) = cursor {
                cursor = map.scan(from, 20, &mut look);
            }
        }
    }
    let missed: Vec<_> = (0..KEYS).filter(|&n| !seen[n]).collect();
    assert!(missed.is_empty(), "a scan missed {missed:?}");
}
