//! What is left of tables and chunks when every entry has been replaced by another twenty times.

use super::{
    ALONE, Geometry, THREADS, in_threads,
    tally::{self, Kind, Tally},
};
use crate::common::{STAMP_BYTES, Stamp, assert_sound, key_bytes, mix, scaled, seed, settle};
use fastrand::Rng;
use std::sync::PoisonError;

const TURNOVERS: usize = 20;
const CHUNK_BYTES: usize = 2 << 20;
const VALUE_BYTES: usize = 64;
const _: () = assert!(VALUE_BYTES >= STAMP_BYTES);

/// Prints the load of the tables, bytes per entry, and chunks, as filled and as churned.
#[test]
fn twenty_turnovers() {
    let first = seed("churn");
    let entries = scaled(400_000).max(40_000) / THREADS * THREADS;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let map = Geometry::Default.builder().build().expect("a map");
    let print = |when: &str| {
        let (memory, stats) = (map.memory(), map.stats());
        let bytes = memory.total() as f64 / entries as f64;
        let load = entries as f64 * 8.0 / memory.index as f64;
        println!(
            "stress: churn, {entries} entries, {when}: load {load:.2}, {bytes:.1} bytes per entry, {} chunks",
            stats.chunks_in_use
        );
        (load, bytes)
    };
    // Key `n * THREADS + thread` for each thread's `n`: the numbers that it has live are a window of `each`, replaced at random.
    let each = entries / THREADS;
    let insert = |thread: usize, n: u64, value: &mut Vec<u8>, tally: &mut Tally| {
        let key = n * THREADS as u64 + thread as u64;
        let stamp = Stamp {
            key,
            writer: thread as u16,
            version: n,
        };
        stamp.write(VALUE_BYTES, value);
        map.insert(&key_bytes(key), value).expect("there is memory");
        tally.did(Kind::Insert);
    };
    in_threads(&map, first, |thread| {
        let (mut value, mut tally) = (Vec::new(), Tally::default());
        (0..each as u64).for_each(|n| insert(thread, n, &mut value, &mut tally));
    });
    print("as filled");
    in_threads(&map, first, |thread| {
        let mut rng = Rng::with_seed(mix(first, thread as u64));
        let (mut value, mut tally) = (Vec::new(), Tally::default());
        let mut there: Vec<u64> = (0..each as u64).collect();
        for n in each as u64..(each * (1 + TURNOVERS)) as u64 {
            let victim = &mut there[rng.usize(..each)];
            let key = *victim * THREADS as u64 + thread as u64;
            let taken = map.take(&key_bytes(key)).expect("a key that is there");
            assert_eq!(Stamp::read(&taken).version, *victim);
            tally.did(Kind::Take);
            insert(thread, n, &mut value, &mut tally);
            *victim = n;
        }
    });
    settle(&map);
    assert_eq!(assert_sound(&map).entries, entries);
    let (load, bytes) = print("after 20 turnovers");
    tally::print();
    // 3 bytes of header rounded up, 8 / 0.4 of index at most, a fifth dead; and a few chunks that are not full.
    let bytes_max = (16 + VALUE_BYTES + 4) as f64 * 1.2 + 20.0 + (4 * CHUNK_BYTES / entries) as f64;
    assert!(
        load > 0.4 && bytes < bytes_max,
        "load {load}, {bytes} bytes per entry; 0.4 and {bytes_max} are the limits"
    );
}
