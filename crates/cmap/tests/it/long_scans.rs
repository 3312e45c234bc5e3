//! Scans of many entries: each pins memory for a few of them at a time, however long it takes.

use crate::common::{alone, assert_sound, key_bytes, settle};
use cmap::{CMap, Cursor, Error};
use std::{ops::ControlFlow, thread};

const LIMIT: usize = 16 << 20;
/// Keys that stay, and others that are written beside them.
const STAY: u64 = 4_000;
const BESIDE: u64 = 1_000;
const VALUE: [u8; 1_000] = [7; 1_000];
/// Writes while one entry is shown: in all, nine times the limit.
const WRITES: u64 = 40;

/// A scan of one kind, as one call.
type Scan = (&'static str, fn(&CMap, &mut dyn FnMut(&[u8])));

const SCANS: [Scan; 4] = [
    ("for_each", |map, f| map.for_each(|key, _| f(key))),
    ("try_for_each", |map, f| {
        let _: ControlFlow<()> = map.try_for_each(|key, _| {
            f(key);
            ControlFlow::Continue(())
        });
    }),
    ("retain", |map, f| {
        let removed = map.retain(|key, _| {
            f(key);
            true
        });
        assert_eq!(removed, 0);
    }),
    ("scan", |map, f| {
        let next = map.scan(Cursor::START, usize::MAX, |key, _| f(key));
        assert_eq!(next, None);
    }),
];

/// Replaces or removes keys beside those that stay, and says how the last write went.
fn write_beside(map: &CMap, number: &mut u64) -> Result<(), Error> {
    for _ in 0..WRITES {
        *number += 1;
        let key = key_bytes(STAY + *number % BESIDE);
        if *number % 8 == 0 {
            map.remove(&key);
        } else {
            map.insert(&key, &VALUE)?;
        }
    }
    Ok(())
}

/// What is retired while a scan is in its middle, by its own closure or by another thread, is given back before the scan ends: a
/// limited map takes nine times its limit meanwhile. Under a pin that lasts as long as the scan it is full. In a process of its
/// own: deep pins of other tests hold up every map.
#[test]
fn a_long_scan_pins_a_batch_at_a_time() {
    alone("long_scans::a_long_scan_pins_a_batch_at_a_time", || {
        for scan in SCANS {
            writes_amid(scan, write_beside);
            writes_amid(scan, |map, number| {
                let write = || write_beside(map, number);
                thread::scope(|scope| scope.spawn(write).join().expect("it ends"))
            });
        }
        let map = filled();
        let mut refused = None;
        let pin = map.pin();
        let mut number = 0;
        map.for_each(|_, _| {
            if refused.is_none() {
                refused = write_beside(&map, &mut number).err();
            }
        });
        assert!(matches!(refused, Some(Error::Full { .. })), "{refused:?}");
        drop(pin);
    });
}

fn filled() -> CMap {
    let map = CMap::builder().max_bytes(LIMIT).build().expect("a map");
    for n in 0..STAY {
        map.insert(&key_bytes(n), &VALUE).expect("4 MB fit");
    }
    map
}

/// One scan, and `write` while each entry is shown that stays.
fn writes_amid((name, scan): Scan, write: fn(&CMap, &mut u64) -> Result<(), Error>) {
    let map = filled();
    let (mut shown, mut number, mut most) = (0, 0, 0);
    scan(&map, &mut |key| {
        if u64::from_le_bytes(key[..8].try_into().expect("eight")) < STAY {
            shown += 1;
            let written = write(&map, &mut number);
            let memory = map.memory();
            assert_eq!(written, Ok(()), "{name}, write {number}: {memory:?}");
            most = most.max(memory.retired);
        }
    });
    assert_eq!(shown, STAY, "{name}");
    assert!(most < LIMIT / 2, "{name}: {most} bytes were retired");
    settle(&map);
    assert_sound(&map);
}

/// What stays is shown exactly once, also by rayon's threads, while others write, and tables split and merge, and chunks are
/// compacted.
#[cfg(feature = "rayon")]
#[test]
fn par_for_each_beside_writers() {
    use super::scan::{GEOMETRIES, meanwhile};
    use crate::common::scaled;
    use std::{
        panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
        sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    };

    /// Enough for several parts.
    const KEYS: u64 = 9_000;
    for (number, builder) in GEOMETRIES.into_iter().enumerate() {
        let map = builder().build().expect("a map");
        for n in 0..KEYS {
            let value = [n, 0].map(u64::to_le_bytes).concat();
            map.insert(&key_bytes(n), &value).expect("there is memory");
        }
        let has_happened = || {
            let stats = map.stats();
            // The large tables of the default geometry merge too rarely to wait for it.
            let merged = stats.merges > 0 || number == 0;
            stats.splits > 0 && stats.relocations > 0 && merged
        };
        let over = AtomicBool::new(false);
        let beside = AtomicUsize::new(0);
        let scan_all = || {
            for round in 0..scaled(20_000) {
                if round >= scaled(200) && has_happened() && beside.load(Ordering::Relaxed) > 0 {
                    break;
                }
                let shown: Vec<_> = (0..KEYS).map(|_| AtomicU8::new(0)).collect();
                map.par_for_each(|key, value| {
                    let n = u64::from_le_bytes(key[..8].try_into().expect("eight"));
                    assert_eq!(key, key_bytes(n), "never inserted");
                    match shown.get(n as usize) {
                        Some(count) => {
                            count.fetch_add(1, Ordering::Relaxed);
                            assert_eq!(value[..8], n.to_le_bytes(), "another's value");
                        }
                        None => {
                            beside.fetch_add(1, Ordering::Relaxed);
                            assert_eq!(value, [8; 60], "another's value");
                        }
                    }
                });
                let wrong = shown.iter().position(|n| n.load(Ordering::Relaxed) != 1);
                assert_eq!(wrong, None, "round {round}: a key not shown once");
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut rng = fastrand::Rng::with_seed(1);
                let mut version = 0;
                while !over.load(Ordering::Relaxed) {
                    version += 1;
                    meanwhile(&map, &mut rng, version);
                }
            });
            // More than there are, and away with them: tables split and merge.
            scope.spawn(|| {
                let keys = || (2_000_000..2_000_000 + 2 * KEYS).map(key_bytes);
                while !over.load(Ordering::Relaxed) {
                    for key in keys() {
                        map.insert(&key, &[8; 60]).expect("there is memory");
                    }
                    keys().for_each(|key| _ = map.remove(&key));
                }
            });
            let scanned = catch_unwind(AssertUnwindSafe(scan_all));
            over.store(true, Ordering::Relaxed);
            scanned.unwrap_or_else(|panic| resume_unwind(panic));
        });
        assert!(has_happened(), "{:?}", map.stats());
        settle(&map);
        assert_sound(&map);
    }
}
