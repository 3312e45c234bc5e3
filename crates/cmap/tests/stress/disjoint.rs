//! Keys with one owner: each thread knows the answer to each of its calls. All of them share tables, chunks and lanes.

use super::{
    GEOMETRIES, THREADS,
    counters::{Adder, Sum},
    on_eight_threads, on_one_core,
    tally::{Kind, Tally},
    value_len,
};
use crate::common::{Stamp, key_bytes, mix, scaled, seed};
use cmap::{CMap, Changed, Inserted, Op, ValueRef, internal};
use fastrand::Rng;
use std::{array, thread};

const KEYS_EACH: u64 = 1_000;
/// Beside these, each thread has so many counters, and as many logs that it appends to.
const COUNTERS: usize = 8;
/// The counter of all threads.
const OF_ALL: u64 = (KEYS_EACH + 2 * COUNTERS as u64) * THREADS as u64;
/// A log of so many bytes is taken.
const LOG_BYTES_MAX: usize = 300;

/// One thread's keys, and the version of each that must be there.
struct Owner<'m> {
    map: &'m CMap,
    writer: u16,
    there: Vec<Option<u64>>,
    counters: [u64; COUNTERS],
    logs: [Vec<u8>; COUNTERS],
    of_all: Adder<'m>,
    version: u64,
    rng: Rng,
    value: Vec<u8>,
    tally: Tally,
    /// Values kept past their keys' next versions.
    kept: Vec<(ValueRef, Stamp)>,
}

impl<'m> Owner<'m> {
    fn new(map: &'m CMap, writer: usize, seed: u64) -> Self {
        let there = vec![None; KEYS_EACH as usize];
        Self {
            map,
            writer: writer as u16,
            there,
            counters: [0; COUNTERS],
            logs: array::from_fn(|_| Vec::new()),
            of_all: Adder::new(map, OF_ALL),
            version: 0,
            rng: Rng::with_seed(mix(seed, writer as u64)),
            value: Vec::new(),
            tally: Tally::default(),
            kept: Vec::new(),
        }
    }

    fn run(&mut self, count: usize) {
        // All keys, then a few of them in turn: the map grows and shrinks.
        let mut step = 0;
        while step < count {
            let range = if step / 5_000 % 2 == 0 { KEYS_EACH } else { 20 };
            let n = self.rng.u64(..range);
            match self.rng.u8(..100) {
                // A pin over several writes of this thread.
                0..=1 => step += self.hold(range),
                2 => step += self.batch(range) - 1,
                3..=39 => self.read(n),
                _ => self.write(n),
            }
            step += 1;
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

    /// The value that key `n` must have, if any.
    fn expected(&self, n: u64) -> Option<Stamp> {
        self.there[n as usize].map(|version| Stamp {
            key: self.key(n),
            writer: self.writer,
            version,
        })
    }

    /// Fails unless `found` is what key `n` must have.
    #[track_caller]
    fn right(&self, what: &str, n: u64, found: Option<&[u8]>) {
        let expected = self.expected(n);
        assert_eq!(found.map(Stamp::read), expected, "{what} of {n}");
    }

    fn read(&mut self, n: u64) {
        let (map, key) = (self.map, key_bytes(self.key(n)));
        let is_there = self.there[n as usize].is_some();
        let kind = match self.rng.u8(..38) {
            0..=1 => {
                let found = map.get_with(&key, |value| self.right("get_with", n, Some(value)));
                assert_eq!(found.is_some(), is_there, "get_with of {n}");
                Kind::GetWith
            }
            4..=8 => {
                self.right("get", n, map.get(&key).as_deref());
                Kind::Get
            }
            9..=15 => {
                self.value.clear();
                let len = map.get_into(&key, &mut self.value);
                self.right("get_into", n, len.map(|_| &self.value[..]));
                Kind::GetInto
            }
            2..=3 | 32.. => {
                let found = map.get_ref(&key);
                self.right("get_ref", n, found.as_deref());
                self.kept.extend(found.zip(self.expected(n)));
                for (value, stamp) in &self.kept {
                    assert_eq!(Stamp::read(value), *stamp, "a kept value changed");
                }
                // One here, one that has been there for long.
                if self.kept.len() > 4 {
                    self.kept.swap_remove(self.rng.usize(..4));
                }
                Kind::GetRef
            }
            16..=20 => {
                assert_eq!(map.contains_key(&key), is_there, "contains_key of {n}");
                Kind::ContainsKey
            }
            21..=27 => {
                assert_eq!(map.value_len(&key).is_some(), is_there, "value_len of {n}");
                Kind::ValueLen
            }
            _ => {
                let pinned = internal::pin(map);
                let found = pinned.0.get(&key);
                self.right("Pinned::get", n, found);
                found.iter().for_each(|v| self.tally.holds(&pinned, v));
                Kind::Pinned
            }
        };
        self.tally.did(kind);
    }

    /// A read-modify-write: nobody else writes the key, so that its closure sees what must be there, and every answer is known.
    fn modify(&mut self, n: u64) {
        let (map, key, was) = (self.map, key_bytes(self.key(n)), self.there[n as usize]);
        let old = map.get(&key);
        self.right("before a change, get", n, old.as_deref());
        let version = self.next(n);
        let value = self.value.as_slice();
        let put = if was.is_some() {
            Changed::Replaced
        } else {
            Changed::Inserted
        };
        let there = match self.rng.u8(..7) {
            0 => {
                let computed = map.compute(&key, |held| {
                    assert_eq!(held, old.as_deref(), "compute of {n}");
                    Op::Put(value)
                });
                assert_eq!(computed, Ok(put), "compute of {n}, {was:?}");
                Some(version)
            }
            1 => {
                let swapped = map.compare_and_swap(&key, old.as_deref(), Some(value));
                assert_eq!(swapped, Ok(put), "compare_and_swap of {n}, {was:?}");
                Some(version)
            }
            2 => {
                let replaced = map.replace(&key, value);
                let expected = was.map_or(Changed::Nothing, |_| Changed::Replaced);
                assert_eq!(replaced, Ok(expected), "replace of {n}, {was:?}");
                was.map(|_| version)
            }
            3 => {
                let got = map.get_or_insert_with(&key, || value);
                let expected = old.as_deref().unwrap_or(value);
                assert_eq!(got.as_deref(), Ok(expected), "get_or_insert_with of {n}");
                was.or(Some(version))
            }
            4 => {
                let len = value.len();
                let inserted = map.insert_with(&key, len, |place| place.copy_from_slice(value));
                let expected = was.map_or(Inserted::New, |_| Inserted::Replaced);
                assert_eq!(inserted, Ok(expected), "insert_with of {n}, {was:?}");
                Some(version)
            }
            5 if was.is_none() => {
                let (front, back) = value.split_at(value.len() / 2);
                assert_eq!(map.append(&key, front), Ok(front.len()), "append to {n}");
                assert_eq!(map.append(&key, back), Ok(value.len()), "append to {n}");
                Some(version)
            }
            _ => {
                let removed = map.remove_if(&key, |held| Some(held) == old.as_deref());
                assert_eq!(removed, was.is_some(), "remove_if of {n}, {was:?}");
                None
            }
        };
        self.there[n as usize] = there;
    }

    /// Adds to the counter of all, or to one of this thread's, whose answer is known.
    fn add(&mut self) {
        if self.rng.bool() {
            self.of_all.add(self.rng.u64(..1_000));
            return;
        }
        let (n, delta) = (self.rng.usize(..COUNTERS), self.rng.u64(..));
        let was = self.counters[n];
        let added = self.map.fetch_add(&self.counter(n), delta);
        assert_eq!(added, Ok(was), "fetch_add to counter {n}");
        self.counters[n] = was.wrapping_add(delta);
    }

    /// Appends to one of this thread's logs; takes one that is long. Gives what it did.
    fn append(&mut self) -> Kind {
        let n = self.rng.usize(..COUNTERS);
        let key = self.log(n);
        let log = &mut self.logs[n];
        if log.len() > LOG_BYTES_MAX {
            let taken = self.map.take(&key);
            assert!(taken.as_deref() == Some(log), "take of log {n}: {taken:?}");
            log.clear();
            return Kind::Take;
        }
        let suffix = vec![self.rng.u8(..); self.rng.usize(1..40)];
        log.extend_from_slice(&suffix);
        let len = self.map.append(&key, &suffix);
        assert_eq!(len, Ok(log.len()), "append to log {n}");
        Kind::Append
    }

    fn counter(&self, n: usize) -> [u8; 16] {
        key_bytes(self.key(KEYS_EACH + n as u64))
    }

    fn log(&self, n: usize) -> [u8; 16] {
        key_bytes(self.key(KEYS_EACH + (COUNTERS + n) as u64))
    }

    fn write(&mut self, n: u64) {
        let (map, key, was) = (self.map, key_bytes(self.key(n)), self.there[n as usize]);
        let room = "there is memory";
        let kind = match self.rng.u8(..68) {
            0..=3 => {
                self.add();
                Kind::FetchAdd
            }
            4..=11 => self.append(),
            12..=17 => {
                let version = self.next(n);
                let expected = if was.is_some() {
                    Inserted::Replaced
                } else {
                    Inserted::New
                };
                let inserted = map.insert(&key, &self.value);
                assert_eq!(inserted, Ok(expected), "insert of {n}, version {was:?}");
                self.there[n as usize] = Some(version);
                Kind::Insert
            }
            18..=28 => {
                let version = self.next(n);
                let old = map.insert_swap(&key, &self.value).expect(room);
                self.right("insert_swap", n, old.as_deref());
                self.there[n as usize] = Some(version);
                Kind::InsertSwap
            }
            29..=38 => {
                let version = self.next(n);
                let expected = if was.is_some() {
                    Changed::Nothing
                } else {
                    Changed::Inserted
                };
                let changed = map.insert_if_absent(&key, &self.value);
                assert_eq!(changed, Ok(expected), "insert_if_absent of {n}, {was:?}");
                self.there[n as usize] = was.or(Some(version));
                Kind::InsertIfAbsent
            }
            39..=50 => {
                let removed = map.remove(&key);
                assert_eq!(removed, was.is_some(), "remove of {n}, version {was:?}");
                self.there[n as usize] = None;
                Kind::Remove
            }
            60.. => {
                self.modify(n);
                Kind::Modify
            }
            _ => {
                self.right("take", n, map.take(&key).as_deref());
                self.there[n as usize] = None;
                Kind::Take
            }
        };
        self.tally.did(kind);
    }

    /// One call on up to twenty keys, the same one twice among them perhaps. Gives their number.
    fn batch(&mut self, range: u64) -> usize {
        let map = self.map;
        let numbers: Vec<u64> = (0..self.rng.usize(1..=20))
            .map(|_| self.rng.u64(..range))
            .collect();
        let keys: Vec<_> = numbers.iter().map(|&n| key_bytes(self.key(n))).collect();
        let kind = match self.rng.u8(..4) {
            dice @ 0..=1 => {
                let look = |at: usize, found: Option<&[u8]>| {
                    self.right("get_many", numbers[at], found);
                };
                let hits = match dice {
                    0 => map.get_many(&keys, look),
                    _ => map.pin().get_many(&keys, look),
                };
                let is_there = |n: &&u64| self.there[**n as usize].is_some();
                assert_eq!(hits, numbers.iter().filter(is_there).count());
                Kind::GetMany
            }
            2 => {
                let values: Vec<_> = numbers
                    .iter()
                    .map(|&n| {
                        self.there[n as usize] = Some(self.next(n));
                        self.value.clone()
                    })
                    .collect();
                let stored = map.insert_many(keys.iter().zip(&values));
                assert_eq!(stored, Ok(keys.len()));
                Kind::WriteMany
            }
            _ => {
                let was_there = |n: &&u64| self.there[**n as usize].take().is_some();
                let expected = numbers.iter().filter(was_there).count();
                assert_eq!(map.remove_many(&keys), expected, "remove_many");
                Kind::WriteMany
            }
        };
        keys.iter().for_each(|_| self.tally.did(kind));
        keys.len()
    }

    /// Holds a pin while this thread, and all others, go on writing: what it found stays as it was, in a chunk that stays; what it
    /// finds is new. Gives the number of operations.
    fn hold(&mut self, range: u64) -> usize {
        const LOOKS: usize = 6;
        const WRITES: usize = 2;
        let map = self.map;
        let pinned = internal::pin(map);
        let mut held: Vec<(&[u8], Stamp)> = Vec::with_capacity(LOOKS);
        for _ in 0..LOOKS {
            let n = self.rng.u64(..range);
            let found = pinned.0.get(&key_bytes(self.key(n)));
            self.right("Pinned::get", n, found);
            held.extend(found.zip(self.expected(n)));
            self.tally.did(Kind::Pinned);
            for _ in 0..WRITES {
                let n = self.rng.u64(..range);
                self.write(n);
            }
            thread::yield_now();
            for (value, stamp) in &held {
                self.tally.holds(&pinned, value);
                assert_eq!(Stamp::read(value), *stamp, "a value changed under its pin");
            }
        }
        LOOKS * (1 + WRITES)
    }

    /// Every key once more: nothing was lost, nothing came back, and the sum of what all have added is right.
    fn check(&self, sum: &Sum) {
        for n in 0..KEYS_EACH {
            let found = self.map.get(&key_bytes(self.key(n)));
            self.right("at the end, get", n, found.as_deref());
        }
        for n in 0..COUNTERS {
            let found = self.map.get(&self.counter(n));
            let count = found.map_or(0, |v| u64::from_le_bytes(v.try_into().expect("eight")));
            assert_eq!(count, self.counters[n], "counter {n} at the end");
            let found = self.map.get(&self.log(n)).unwrap_or_default();
            assert_eq!(found, self.logs[n], "log {n} at the end");
        }
        self.of_all.end(sum);
    }
}

#[test]
fn every_answer_is_known() {
    let first = seed("disjoint keys");
    let each = scaled(24_000_000) / 3 / THREADS;
    let sums = GEOMETRIES.map(|_| Sum::default());
    on_eight_threads(
        "disjoint keys",
        first,
        |_| (),
        |map, geometry, thread| {
            let mut owner = Owner::new(map, thread, first);
            owner.run(each);
            owner.check(&sums[geometry]);
        },
    );
}

#[test]
fn every_answer_is_known_on_one_core() {
    let first = seed("disjoint keys on one core");
    let each = scaled(6_000_000) / 3 / THREADS;
    let sums = GEOMETRIES.map(|_| Sum::default());
    on_one_core(|| {
        on_eight_threads(
            "disjoint keys on one core",
            first,
            |_| (),
            |map, geometry, thread| {
                let mut owner = Owner::new(map, thread, first);
                owner.run(each);
                owner.check(&sums[geometry]);
            },
        );
    });
}

/// The same by threads that live for a hundred operations only: their records, lanes and garbage find heirs.
#[test]
fn every_answer_is_known_to_short_lived_threads() {
    let first = seed("short-lived threads");
    let lives = scaled(100_000) / 3 / THREADS;
    let sums = GEOMETRIES.map(|_| Sum::default());
    on_eight_threads(
        "short-lived threads",
        first,
        |_| (),
        |map, geometry, thread| {
            let mut owner = Owner::new(map, thread, first);
            for _ in 0..lives {
                owner = thread::scope(|scope| {
                    let life = scope.spawn(move || {
                        internal::interleave(owner.rng.u64(..));
                        owner.run(100);
                        owner
                    });
                    life.join().expect("a short life without a wrong answer")
                });
            }
            owner.check(&sums[geometry]);
        },
    );
}

/// What must be frequent for the tests here to mean anything, is: splits, rebuilds, compactions, freed chunks.
#[test]
fn the_rare_is_frequent() {
    let first = seed("the rare");
    let stats = on_eight_threads(
        "the rare",
        first,
        |_| (),
        |map, _, thread| Owner::new(map, thread, first).run(20_000),
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
