//! Batches give the answers of single calls, in their order.

use std::collections::HashMap;

use cmap::{BatchError, CMap, Error};
use fastrand::Rng;

use crate::common::{scaled, seed};

fn key(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

fn maps() -> [CMap; 3] {
    [
        CMap::new(),
        cmap::internal::tiny().build().expect("a map"),
        cmap::internal::tiny_wide().build().expect("a map"),
    ]
}

#[test]
fn batches_answer_as_single_calls_do() {
    let mut rng = Rng::with_seed(seed("batches"));
    for map in maps() {
        let mut model: HashMap<u32, Vec<u8>> = HashMap::new();
        for _ in 0..scaled(20_000) {
            let size = rng.usize(0..70);
            let keys: Vec<u32> = (0..size).map(|_| rng.u32(0..2_000)).collect();
            let bytes: Vec<_> = keys.iter().map(|&n| key(n)).collect();
            match rng.u8(0..4) {
                0 | 1 => {
                    let len = rng.usize(0..400);
                    let values: Vec<Vec<u8>> = (0..size).map(|_| vec![rng.u8(..); len]).collect();
                    let stored = map.insert_many(bytes.iter().zip(&values));
                    assert_eq!(stored, Ok(size));
                    model.extend(keys.into_iter().zip(values));
                }
                2 => {
                    let expected = keys.iter().filter(|&n| model.remove(n).is_some()).count();
                    assert_eq!(map.remove_many(&bytes), expected);
                }
                _ => {
                    let mut next = 0;
                    let hits = map.get_many(&bytes, |n, value| {
                        assert_eq!(n, next);
                        assert_eq!(value, model.get(&keys[n]).map(Vec::as_slice));
                        next += 1;
                    });
                    assert_eq!(next, size);
                    assert_eq!(hits, keys.iter().filter(|n| model.contains_key(n)).count());
                    let pinned = map.pin();
                    let mut values = vec![None; size];
                    assert_eq!(pinned.get_many(&bytes, |n, value| values[n] = value), hits);
                    map.remove_many(&bytes);
                    for (n, value) in keys.iter().zip(values) {
                        assert_eq!(value, model.get(n).map(Vec::as_slice));
                    }
                    keys.iter().for_each(|n| drop(model.remove(n)));
                }
            }
            assert_eq!(map.len(), model.len());
        }
    }
}

#[test]
fn a_batch_stops_at_the_first_entry_that_cannot_be_stored() {
    let map = CMap::new();
    let long = vec![0; 65_536];
    let entries = (0..40u32).map(|n| {
        if n == 21 {
            long.clone()
        } else {
            key(n).to_vec()
        }
    });
    let failed = map.insert_many(entries.map(|key| (key, b"v")));
    let source = Error::KeyTooLong {
        len: 65_536,
        max: 65_535,
    };
    assert_eq!(failed, Err(BatchError { done: 21, source }));
    assert_eq!(map.len(), 21);
    assert!((0..21).all(|n| map.contains_key(&key(n))));
}

#[test]
fn a_batch_may_call_its_map_and_panic() {
    let map = CMap::new();
    map.insert_many((0..100).map(|n| (key(n), b"old")))
        .expect("memory");
    let keys: Vec<_> = (0..100).map(key).collect();
    map.get_many(&keys, |n, value| {
        assert_eq!(value, Some(&b"old"[..]));
        map.insert(&keys[n], b"new").expect("memory");
    });
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        map.get_many(&keys, |n, _| assert!(n < 50))
    }));
    assert!(result.is_err());
    assert_eq!(map.remove_many(&keys), 100);
    map.prefetch(map.hash_key(b"nothing"));
}
