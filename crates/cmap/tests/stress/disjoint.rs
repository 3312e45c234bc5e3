//! Keys with one owner: each thread knows the answer to each of its calls. All of them share tables, chunks and lanes.

use super::{THREADS, on_eight_threads, value_len};
use crate::common::{Stamp, key_bytes, mix, scaled, seed};
use cmap::{CMap, Changed, Inserted};
use fastrand::Rng;
use std::thread;

const KEYS_EACH: u64 = 1_000;

/// One thread's keys, and the version of each that must be there.
struct Owner<'m> {
    map: &'m CMap,
    writer: u16,
    there: Vec<Option<u64>>,
    version: u64,
    rng: Rng,
    value: Vec<u8>,
}

impl<'m> Owner<'m> {
    fn new(map: &'m CMap, writer: usize, rng: Rng) -> Self {
        let there = vec![None; KEYS_EACH as usize];
        Self {
            map,
            writer: writer as u16,
            there,
            version: 0,
            rng,
            value: Vec::new(),
        }
    }

    fn run(&mut self, count: usize) {
        // All keys, then a few of them in turn: the map grows and shrinks.
        for step in 0..count {
            let range = if step / 5_000 % 2 == 0 { KEYS_EACH } else { 20 };
            let n = self.rng.u64(..range);
            self.step(n);
        }
    }

    fn key(&self, n: u64) -> u64 {
        n * THREADS as u64 + u64::from(self.writer)
    }

    /// The next version of a value of key `n`.
    fn next(&mut self, n: u64) -> u64 {
        self.version += 1;
        let stamp = Stamp {
            key: self.key(n),
            writer: self.writer,
            version: self.version,
        };
        stamp.write(value_len(&mut self.rng), &mut self.value);
        self.version
    }

    #[track_caller]
    fn right(&self, n: u64, value: &[u8]) {
        let expected = Stamp {
            key: self.key(n),
            writer: self.writer,
            version: self.there[n as usize].unwrap_or(0),
        };
        assert_eq!(Stamp::read(value), expected, "the value of key {n}");
    }

    fn step(&mut self, n: u64) {
        let (map, key, was) = (self.map, key_bytes(self.key(n)), self.there[n as usize]);
        match self.rng.u8(..100) {
            0..=19 => {
                let found = map.get_with(&key, |value| self.right(n, value));
                assert_eq!(
                    found.is_some(),
                    was.is_some(),
                    "get_with of {n}, version {was:?}"
                );
            }
            20..=24 => {
                let found = map.get(&key).map(|value| self.right(n, &value));
                assert_eq!(
                    found.is_some(),
                    was.is_some(),
                    "get of {n}, version {was:?}"
                );
            }
            25..=29 => {
                let pin = map.pin();
                let found = pin.get(&key).map(|value| self.right(n, value));
                assert_eq!(
                    found.is_some(),
                    was.is_some(),
                    "Pinned::get of {n}, version {was:?}"
                );
            }
            30..=34 => assert_eq!(
                map.contains_key(&key),
                was.is_some(),
                "contains_key of {n}, version {was:?}"
            ),
            35..=37 => assert_eq!(
                map.value_len(&key).is_some(),
                was.is_some(),
                "value_len of {n}, version {was:?}"
            ),
            38..=59 => {
                let version = self.next(n);
                let expected = if was.is_some() {
                    Inserted::Replaced
                } else {
                    Inserted::New
                };
                assert_eq!(
                    map.insert(&key, &self.value),
                    Ok(expected),
                    "insert of {n}, version {was:?}"
                );
                self.there[n as usize] = Some(version);
            }
            60..=69 => {
                let version = self.next(n);
                let old = map.insert_swap(&key, &self.value).expect("there is memory");
                assert_eq!(
                    old.is_some(),
                    was.is_some(),
                    "insert_swap of {n}, version {was:?}"
                );
                old.iter().for_each(|old| self.right(n, old));
                self.there[n as usize] = Some(version);
            }
            70..=79 => {
                let version = self.next(n);
                let expected = if was.is_some() {
                    Changed::Nothing
                } else {
                    Changed::Inserted
                };
                assert_eq!(
                    map.insert_if_absent(&key, &self.value),
                    Ok(expected),
                    "insert_if_absent of {n}, version {was:?}"
                );
                self.there[n as usize] = was.or(Some(version));
            }
            80..=92 => {
                assert_eq!(
                    map.remove(&key),
                    was.is_some(),
                    "remove of {n}, version {was:?}"
                );
                self.there[n as usize] = None;
            }
            _ => {
                let old = map.take(&key);
                assert_eq!(old.is_some(), was.is_some(), "take of {n}, version {was:?}");
                old.iter().for_each(|old| self.right(n, old));
                self.there[n as usize] = None;
            }
        }
    }

    /// Every key once more: nothing was lost, and nothing came back.
    fn check(&self) {
        for n in 0..KEYS_EACH {
            let found = self
                .map
                .get_with(&key_bytes(self.key(n)), |value| self.right(n, value));
            let was = self.there[n as usize];
            assert_eq!(
                found.is_some(),
                was.is_some(),
                "at the end, key {n}, version {was:?}"
            );
        }
    }
}

#[test]
fn every_answer_is_known() {
    let first = seed("disjoint keys");
    let each = scaled(50_000_000) / 3 / THREADS;
    on_eight_threads(
        "disjoint keys",
        |_| (),
        |map, _, thread| {
            let mut owner = Owner::new(map, thread, Rng::with_seed(mix(first, thread as u64)));
            owner.run(each);
            owner.check();
        },
    );
}

/// The same by threads that live for a hundred operations only: their records, lanes and garbage find heirs.
#[test]
fn every_answer_is_known_to_short_lived_threads() {
    let first = seed("short-lived threads");
    let lives = scaled(100_000) / 3 / THREADS;
    on_eight_threads(
        "short-lived threads",
        |_| (),
        |map, _, thread| {
            let mut owner = Owner::new(map, thread, Rng::with_seed(mix(first, thread as u64)));
            for _ in 0..lives {
                owner = thread::scope(|scope| {
                    let life = scope.spawn(move || {
                        owner.run(100);
                        owner
                    });
                    life.join().expect("a short life without a wrong answer")
                });
            }
            owner.check();
        },
    );
}

/// What must be frequent for the tests here to mean anything, is: splits, rebuilds, compactions, freed chunks.
#[test]
fn the_rare_is_frequent() {
    let first = seed("the rare");
    let stats = on_eight_threads(
        "the rare",
        |_| (),
        |map, _, thread| {
            Owner::new(map, thread, Rng::with_seed(mix(first, thread as u64))).run(20_000);
        },
    );
    for tiny in &stats[1..] {
        assert!(
            tiny.splits > 50 && tiny.rebuilds + tiny.merges > 0,
            "{tiny:?}"
        );
        assert!(
            tiny.compactions > 100 && tiny.relocations > 1_000 && tiny.chunks_freed > 500,
            "{tiny:?}"
        );
    }
    assert!(
        stats[0].compactions > 0 && stats[0].chunks_freed > 0,
        "{:?}",
        stats[0]
    );
}
