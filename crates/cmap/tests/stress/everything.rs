//! `clear` against writers, and every call against every other: what was in before `clear` was called is gone once it has returned,
//! for good. Two notes for each writer say what a reader may rely on: the newest version whose insert has returned, and the newest
//! that a clear has surely removed.

use super::{
    GEOMETRIES, THREADS, on_eight_threads,
    tally::{Kind, Tally},
    value_len,
};
use crate::common::{Stamp, key_bytes, mix, scaled, seed};
use cmap::{Budget, CMap, Cursor, Op, internal};
use fastrand::Rng;
use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicU64, Ordering},
};

const KEYS: u64 = 512;

/// By writer. SeqCst: the notes must order calls, and speed does not matter here.
#[derive(Default)]
struct Notes {
    newest: [AtomicU64; THREADS],
    gone: [AtomicU64; THREADS],
}

/// One thread on one map.
struct Worker<'m> {
    map: &'m CMap,
    notes: &'m Notes,
    thread: usize,
    version: u64,
    rng: Rng,
    value: Vec<u8>,
    /// As `stats` said last.
    freed: u64,
    tally: Tally,
}

impl<'m> Worker<'m> {
    fn new(map: &'m CMap, notes: &'m Notes, thread: usize, seed: u64) -> Self {
        Self {
            map,
            notes,
            thread,
            version: 0,
            rng: Rng::with_seed(mix(seed, thread as u64)),
            value: Vec::new(),
            freed: 0,
            tally: Tally::default(),
        }
    }

    fn clear(&mut self) {
        let load = |note: &AtomicU64| note.load(Ordering::SeqCst);
        let before = self.notes.newest.each_ref().map(load);
        self.map.clear();
        for (gone, newest) in self.notes.gone.iter().zip(before) {
            gone.fetch_max(newest, Ordering::SeqCst);
        }
        self.tally.did(Kind::Clear);
    }

    /// Takes out a part of the entries, one by one.
    fn sweep(&mut self) {
        let rng = &mut self.rng;
        if rng.bool() {
            self.map.retain(|key, value| {
                assert_eq!(key, key_bytes(Stamp::read(value).key), "another's value");
                rng.bool()
            });
        } else {
            for (key, value) in self.map.drain().take(rng.usize(..200)) {
                assert_eq!(key, key_bytes(Stamp::read(&value).key), "another's value");
            }
        }
        self.tally.did(Kind::Clear);
    }

    fn write(&mut self, n: u64) {
        let (map, key) = (self.map, key_bytes(n));
        let room = "there is memory";
        self.version += 1;
        let stamp = Stamp {
            key: n,
            writer: self.thread as u16,
            version: self.version,
        };
        stamp.write(value_len(&mut self.rng), &mut self.value);
        let other = |value: Option<Vec<u8>>| {
            let key = value.map_or(n, |value| Stamp::read(&value).key);
            assert_eq!(key, n, "the value of another key");
        };
        let kind = match self.rng.u8(..20) {
            0..=9 => {
                map.insert(&key, &self.value).expect(room);
                Kind::Insert
            }
            10..=12 => {
                other(map.insert_swap(&key, &self.value).expect(room));
                Kind::InsertSwap
            }
            13..=15 => {
                map.insert_if_absent(&key, &self.value).expect(room);
                Kind::InsertIfAbsent
            }
            16 => {
                let value = &self.value;
                let changed = map.compute(&key, |held| {
                    other(held.map(<[u8]>::to_vec));
                    Op::Put(value)
                });
                changed.expect(room);
                Kind::Modify
            }
            17 => {
                map.remove(&key);
                Kind::Remove
            }
            _ => {
                other(map.take(&key));
                Kind::Take
            }
        };
        self.notes.newest[self.thread].store(self.version, Ordering::SeqCst);
        self.tally.did(kind);
    }

    fn read(&mut self, n: u64) {
        let (map, key) = (self.map, key_bytes(n));
        let gone = self.notes.gone.each_ref();
        let gone = gone.map(|note| note.load(Ordering::SeqCst));
        let check = |found: &[u8]| {
            let found = Stamp::read(found);
            assert_eq!(found.key, n, "the value of another key");
            let gone = gone[usize::from(found.writer)];
            assert!(
                found.version > gone,
                "{found:?} came back: all up to {gone} were cleared"
            );
        };
        let kind = match self.rng.u8(..9) {
            8 => {
                let found = map.get_ref(&key);
                found.iter().for_each(|found| check(found));
                // Another thread may clear the map now: what is kept stays.
                std::thread::yield_now();
                found.iter().for_each(|found| check(found));
                Kind::GetRef
            }
            0..=2 => {
                map.get_with(&key, check);
                Kind::GetWith
            }
            3 => {
                map.get(&key).iter().for_each(|found| check(found));
                Kind::Get
            }
            4 => {
                self.value.clear();
                let len = map.get_into(&key, &mut self.value);
                len.iter().for_each(|_| check(&self.value));
                Kind::GetInto
            }
            5 => {
                map.contains_key(&key);
                Kind::ContainsKey
            }
            6 => {
                map.value_len(&key);
                Kind::ValueLen
            }
            _ => {
                let pinned = internal::pin(map);
                let found = pinned.0.get(&key);
                found.iter().for_each(|found| check(found));
                // Another thread may clear the map now: what was found stays.
                std::thread::yield_now();
                found.iter().for_each(|found| check(found));
                Kind::Pinned
            }
        };
        self.tally.did(kind);
    }

    /// One call on up to twenty keys.
    fn batch(&mut self) {
        let map = self.map;
        let numbers: Vec<u64> = (0..self.rng.usize(1..=20))
            .map(|_| self.rng.u64(..KEYS))
            .collect();
        let keys: Vec<_> = numbers.iter().map(|&n| key_bytes(n)).collect();
        let kind = match self.rng.u8(..4) {
            dice @ 0..=1 => {
                let gone = self.notes.gone.each_ref();
                let gone = gone.map(|note| note.load(Ordering::SeqCst));
                let look = |at: usize, found: Option<&[u8]>| {
                    let found = found.map(Stamp::read);
                    let is_right = found.is_none_or(|found| {
                        found.key == numbers[at] && found.version > gone[usize::from(found.writer)]
                    });
                    assert!(is_right, "{found:?} came back, or is another's: {gone:?}");
                };
                match dice {
                    0 => map.get_many(&keys, look),
                    _ => map.pin().get_many(&keys, look),
                };
                Kind::GetMany
            }
            2 => {
                let mut values = Vec::new();
                for &key in &numbers {
                    self.version += 1;
                    let stamp = Stamp {
                        key,
                        writer: self.thread as u16,
                        version: self.version,
                    };
                    stamp.write(value_len(&mut self.rng), &mut self.value);
                    values.push(self.value.clone());
                }
                let stored = map.insert_many(keys.iter().zip(&values));
                assert_eq!(stored, Ok(keys.len()));
                self.notes.newest[self.thread].store(self.version, Ordering::SeqCst);
                Kind::WriteMany
            }
            _ => {
                assert!(map.remove_many(&keys) <= keys.len());
                Kind::WriteMany
            }
        };
        keys.iter().for_each(|_| self.tally.did(kind));
    }

    fn scan(&mut self) {
        let mut left = self.rng.usize(1..100);
        let look = |key: &[u8], value: &[u8]| {
            assert_eq!(key, key_bytes(Stamp::read(value).key), "another's value");
        };
        match self.rng.u8(..6) {
            0..=1 => self.map.for_each(look),
            2 => self
                .map
                .iter()
                .take(left)
                .for_each(|(key, value)| look(&key, &value)),
            3 => {
                let mut cursor = Some(Cursor::START);
                while let Some(from) = cursor {
                    cursor = self.map.scan(from, left, look);
                }
            }
            4 => {
                let known = |key: &[u8]| (0..KEYS).any(|n| key == key_bytes(n));
                assert!(self.map.keys().take(3).all(|key| known(&key)));
            }
            _ => {
                _ = self.map.try_for_each(|key, value| {
                    look(key, value);
                    left -= 1;
                    if left == 0 {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                });
            }
        }
        self.tally.did(Kind::Scan);
    }

    /// What looks at or changes the map as a whole.
    fn manage(&mut self) {
        let (map, rng) = (self.map, &mut self.rng);
        let kind = match rng.u8(..12) {
            0..=3 => {
                map.compact(Budget::bytes(rng.usize(..4_000)));
                Kind::Compact
            }
            4..=5 => {
                map.shrink_to_fit();
                Kind::Resize
            }
            6..=7 => {
                let (entries, bytes) = (rng.usize(..200), rng.usize(..4_000));
                map.reserve(entries, bytes).expect("there is memory");
                Kind::Resize
            }
            8 => {
                // Right to the writes that overlap the call, which may be many.
                _ = map.len();
                Kind::Figures
            }
            9 => {
                _ = map.is_empty();
                Kind::Figures
            }
            10 => {
                let memory = map.memory();
                assert!(memory.total() >= memory.live);
                Kind::Figures
            }
            _ => {
                let stats = map.stats();
                assert!(
                    stats.chunks_freed >= self.freed,
                    "a count that only rises fell"
                );
                self.freed = stats.chunks_freed;
                Kind::Figures
            }
        };
        self.tally.did(kind);
    }
}

/// A map that grows to its full size between two clears.
#[test]
fn cleared_entries_never_come_back() {
    let first = seed("cleared keys");
    let each = scaled(4_000_000) / 3 / THREADS;
    let notes = GEOMETRIES.map(|_| Notes::default());
    on_eight_threads(
        "cleared keys",
        first,
        |_| (),
        |map, geometry, thread| {
            let mut worker = Worker::new(map, &notes[geometry], thread, first);
            for step in 1..=each {
                let n = worker.rng.u64(..KEYS);
                match worker.rng.u8(..) {
                    _ if thread == 0 && step % 2_000 == 0 => worker.clear(),
                    0 => worker.scan(),
                    1..=127 => worker.read(n),
                    _ => worker.write(n),
                }
            }
        },
    );
}

/// A map that is cleared, scanned, shrunk, reserved and compacted all the time.
#[test]
fn every_call_meets_every_other() {
    let first = seed("every call");
    let each = scaled(22_000_000) / 3 / THREADS;
    let notes = GEOMETRIES.map(|_| Notes::default());
    on_eight_threads(
        "every call",
        first,
        |_| (),
        |map, geometry, thread| {
            let mut worker = Worker::new(map, &notes[geometry], thread, first);
            for _ in 0..each {
                let n = worker.rng.u64(..KEYS);
                match worker.rng.u8(..100) {
                    0 => worker.sweep(),
                    64 => worker.batch(),
                    1..=10 => worker.clear(),
                    11..=21 => worker.scan(),
                    22..=54 => worker.manage(),
                    55..=63 => worker.read(n),
                    _ => worker.write(n),
                }
            }
        },
    );
}
