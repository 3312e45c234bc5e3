//! Keys that all threads touch. Two notes beside the map say what a reader may rely on, however the calls interleave:
//!
//! - *must*: set after an insert has returned, unset before the key's only remover calls `remove`. A read that finds the same
//!   note before and after itself must find the key, at that version or a later one.
//! - *gone*: the newest version whose removal has returned. A read that begins afterwards must not find that version.

use super::{THREADS, on_eight_threads, value_len};
use crate::common::{Stamp, key_bytes, mix, scaled, seed};
use cmap::CMap;
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

/// One owner per key writes and removes it; everybody reads it and checks against its note.
#[test]
fn removed_keys_never_come_back() {
    let first = seed("owned keys");
    let each = scaled(20_000_000) / 3 / THREADS;
    let fresh: Vec<Vec<Note>> = (0..3).map(|_| notes()).collect();
    on_eight_threads(
        "owned keys",
        |_| (),
        |map, geometry, thread| {
            let notes = &fresh[geometry];
            let mut rng = Rng::with_seed(mix(first, thread as u64));
            let mut value = Vec::new();
            let mut version = 0;
            for _ in 0..each {
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
                    } else {
                        let was = note.must.swap(0, Ordering::SeqCst);
                        assert_eq!(
                            map.remove(&key),
                            was > 0,
                            "its only writer removes key {n}, version {was}"
                        );
                        note.gone.store(version, Ordering::SeqCst);
                    }
                } else {
                    read(map, n, note, &mut rng);
                }
            }
        },
    );
}

/// One read by one of the reading calls, checked against the key's note.
fn read(map: &CMap, n: usize, note: &Note, rng: &mut Rng) {
    let key = key_bytes(n as u64);
    let must = note.must.load(Ordering::SeqCst);
    let gone = note.gone.load(Ordering::SeqCst);
    let version = match rng.u8(..4) {
        0 => map.get(&key).map(|value| Stamp::read(&value)),
        1 => map.pin().get(&key).map(Stamp::read),
        _ => map.get_with(&key, Stamp::read),
    };
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
    let each = scaled(20_000_000) / 3 / THREADS;
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
    on_eight_threads("kept keys", prepare, |map, _, thread| {
        let mut rng = Rng::with_seed(mix(first, thread as u64));
        let mut value = Vec::new();
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
            match rng.u16(..1_000) {
                0..=399 => assert!(
                    map.get_with(&key, &mut check).is_some(),
                    "key {n} reads as absent"
                ),
                400..=449 => assert!(map.contains_key(&key), "key {n} reads as absent"),
                450..=499 => check(&map.get(&key).expect("a key that is never removed")),
                500..=749 => {
                    stamp(n, version).write(value_len(&mut rng), &mut value);
                    check(
                        &map.insert_swap(&key, &value)
                            .expect("there is memory")
                            .expect("a key that is never removed"),
                    );
                    check(&value);
                }
                750..=948 => {
                    stamp(n, version).write(value_len(&mut rng), &mut value);
                    map.insert(&key, &value).expect("there is memory");
                    check(&value);
                }
                // Keys beside them come and go, so that tables split and merge.
                949..=997 => {
                    let beside = KEYS as u64 + rng.u64(..4_000);
                    stamp(beside as usize, version).write(30, &mut value);
                    if rng.bool() {
                        map.insert(&key_bytes(beside), &value)
                            .expect("there is memory");
                    } else {
                        map.remove(&key_bytes(beside));
                    }
                }
                998 if rng.u8(..10) == 0 => scan(map),
                _ => drop(map.try_for_each(|_, value| {
                    Stamp::read(value);
                    if rng.u8(..100) == 0 {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                })),
            }
        }
    });
}

fn scan(map: &CMap) {
    let mut seen = vec![false; KEYS];
    map.for_each(|key, value| {
        let stamp = Stamp::read(value);
        assert_eq!(key, key_bytes(stamp.key), "the value of another key");
        if let Some(seen) = seen.get_mut(stamp.key as usize) {
            assert!(!*seen, "key {} visited twice", stamp.key);
            *seen = true;
        }
    });
    let missed: Vec<_> = (0..KEYS).filter(|&n| !seen[n]).collect();
    assert!(missed.is_empty(), "a scan missed {missed:?}");
}

/// `clear` against writers: what was in before `clear` was called is gone once it has returned, for good.
#[test]
fn cleared_entries_never_come_back() {
    let first = seed("cleared keys");
    let each = scaled(10_000_000) / 3 / THREADS;
    // By geometry and writer: the newest version whose insert has returned, and the newest that a clear has surely removed.
    let progress: Vec<Vec<(AtomicU64, AtomicU64)>> = (0..3)
        .map(|_| (0..THREADS).map(|_| Default::default()).collect())
        .collect();
    on_eight_threads(
        "cleared keys",
        |_| (),
        |map, geometry, thread| {
            let progress = &progress[geometry];
            let mut rng = Rng::with_seed(mix(first, thread as u64));
            let mut value = Vec::new();
            for version in 1..=each as u64 {
                let n = rng.u64(..KEYS as u64);
                let key = key_bytes(n);
                if thread == 0 && version % 2_000 == 0 {
                    let before: Vec<_> = progress
                        .iter()
                        .map(|(newest, _)| newest.load(Ordering::SeqCst))
                        .collect();
                    map.clear();
                    for ((_, gone), newest) in progress.iter().zip(before) {
                        gone.fetch_max(newest, Ordering::SeqCst);
                    }
                } else if rng.bool() {
                    Stamp {
                        key: n,
                        writer: thread as u16,
                        version,
                    }
                    .write(value_len(&mut rng), &mut value);
                    map.insert(&key, &value).expect("there is memory");
                    progress[thread].0.store(version, Ordering::SeqCst);
                } else if rng.u8(..10) == 0 {
                    map.remove(&key);
                } else {
                    let gone: Vec<_> = progress
                        .iter()
                        .map(|(_, gone)| gone.load(Ordering::SeqCst))
                        .collect();
                    let check = |found: &[u8]| {
                        let found = Stamp::read(found);
                        assert_eq!(found.key, n, "the value of another key");
                        let gone = gone[found.writer as usize];
                        assert!(
                            found.version > gone,
                            "{found:?} came back: all up to {gone} were cleared"
                        );
                    };
                    if rng.u8(..) > 0 {
                        map.get_with(&key, check);
                    } else {
                        map.for_each(|_, value| _ = Stamp::read(value));
                    }
                }
            }
        },
    );
}
