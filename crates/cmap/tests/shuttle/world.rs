//! A map, what was called on it, and what it answered.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex};

use crate::checker::{self, Call, Event, Verdict};
use crate::common::{OneHash, assert_sound, settle};
use crate::harness::{count, draw};
use cmap::{Builder, CMap, Changed, Error, Inserted, RandomState, internal};
use shuttle::thread::JoinHandle;

/// The keys of a scenario whose histories are judged.
pub const A: u8 = 0;
pub const B: u8 = 1;
pub const C: u8 = 2;

/// Under shuttle one thread runs at a time, so nothing here is ever contended, and no step lies within.
#[derive(Default)]
struct Record {
    clock: u64,
    calls: BTreeMap<u8, Vec<Event>>,
    refused: u64,
}

pub struct World<S = RandomState> {
    pub map: CMap<S>,
    record: Mutex<Record>,
}

/// Key number `key`, of 4 bytes.
pub fn key(key: u8) -> [u8; 4] {
    [b'k', key, !key, key.wrapping_mul(29)]
}

/// The value number `id`, of `len` bytes.
pub fn value(id: u32, len: usize) -> Vec<u8> {
    id.to_le_bytes().into_iter().cycle().take(len).collect()
}

/// Which value this is; fails unless every byte of it is right.
#[track_caller]
pub fn number_of(bytes: &[u8]) -> u32 {
    let id = u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"));
    assert!(bytes == value(id, bytes.len()), "torn: {bytes:?}");
    id
}

pub fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    shuttle::thread::spawn(f)
}

pub fn join<T>(threads: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    let answers = threads.into_iter().map(JoinHandle::join);
    answers.map(|answer| answer.expect("its answer")).collect()
}

impl World {
    /// A map that hashes the same way in every execution.
    pub fn new(builder: Builder) -> Arc<Self> {
        World::of(builder, RandomState::with_seed(7))
    }
}

impl World<OneHash> {
    /// A map in which all keys have one hash, and spill.
    pub fn of_one_hash(builder: Builder) -> Arc<Self> {
        World::of(builder, OneHash)
    }
}

/// All keys have one bucket, and `A` and `B` one hash.
#[derive(Default)]
pub struct OneBucketHasher(u64);

pub type OneBucket = BuildHasherDefault<OneBucketHasher>;

impl Hasher for OneBucketHasher {
    fn write(&mut self, key: &[u8]) {
        self.0 = u64::from(key[1] / 2) << 55;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl World<OneBucket> {
    /// A map of which all keys have one bucket, and some an overflow line.
    pub fn of_one_bucket() -> Arc<Self> {
        World::of(internal::tiny_wide(), OneBucket::default())
    }
}

impl<S: BuildHasher + Send + Sync + 'static> World<S> {
    fn of(builder: Builder, hasher: S) -> Arc<Self> {
        let map = builder
            .hasher(hasher)
            .build()
            .expect("a map in tiny geometry");
        Arc::new(Self {
            map,
            record: Mutex::default(),
        })
    }

    fn now(&self) -> u64 {
        let mut record = self.record.lock().expect("one thread at a time");
        record.clock += 1;
        record.clock
    }

    fn note(&self, key: u8, begin: u64, call: Call) {
        let end = self.now();
        let mut record = self.record.lock().expect("one thread at a time");
        let calls = record.calls.entry(key).or_default();
        calls.push(Event { begin, end, call });
    }

    /// A write that a limit refused did nothing, and is no call.
    fn unless_full<T>(&self, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(done) => Some(done),
            Err(Error::Full { .. }) => {
                self.record.lock().expect("one thread at a time").refused += 1;
                None
            }
            Err(other) => panic!("{other}"),
        }
    }

    pub fn swap(&self, k: u8, id: u32, len: usize) -> bool {
        let begin = self.now();
        let result = self.map.insert_swap(&key(k), &value(id, len));
        let Some(old) = self.unless_full(result) else {
            return false;
        };
        self.note(k, begin, Call::Swap(id, old.map(|old| number_of(&old))));
        true
    }

    pub fn insert(&self, k: u8, id: u32, len: usize) {
        let begin = self.now();
        if let Some(done) = self.unless_full(self.map.insert(&key(k), &value(id, len))) {
            self.note(k, begin, Call::Insert(id, done == Inserted::Replaced));
        }
    }

    pub fn insert_if_absent(&self, k: u8, id: u32, len: usize) {
        let begin = self.now();
        let result = self.map.insert_if_absent(&key(k), &value(id, len));
        if let Some(done) = self.unless_full(result) {
            self.note(k, begin, Call::IfAbsent(id, done == Changed::Inserted));
        }
    }

    pub fn take(&self, k: u8) {
        let begin = self.now();
        let old = self.map.take(&key(k)).map(|old| number_of(&old));
        self.note(k, begin, Call::Take(old));
    }

    pub fn remove(&self, k: u8) {
        let begin = self.now();
        let removed = self.map.remove(&key(k));
        self.note(k, begin, Call::Remove(removed));
    }

    pub fn get(&self, k: u8) -> Option<u32> {
        let begin = self.now();
        let found = self.map.get_with(&key(k), number_of);
        self.note(k, begin, Call::Get(found));
        found
    }

    /// Takes away all keys below `keys`.
    pub fn clear(&self, keys: u8) {
        let begin = self.now();
        self.map.clear();
        for k in 0..keys {
            self.note(k, begin, Call::Clear);
        }
    }

    /// A call on `k` drawn from all kinds, of which half write; `id` names the value if it stores one.
    pub fn any_call(&self, k: u8, id: u32, len: usize) {
        match draw(8) {
            0 | 1 => drop(self.swap(k, id, len)),
            2 => self.insert(k, id, len),
            3 => self.insert_if_absent(k, id, len),
            4 => self.take(k),
            5 => self.remove(k),
            _ => drop(self.get(k)),
        }
    }

    /// Checks what must hold at rest, and judges.
    #[track_caller]
    pub fn end(self: Arc<Self>) {
        settle(&self.map);
        assert_sound(&self.map);
        self.judge();
    }

    /// Judges what was answered, with what is there at the end; counts what the map did, and drops it.
    #[track_caller]
    pub fn judge(self: Arc<Self>) {
        let world = Arc::into_inner(self).expect("all threads are joined");
        let record = || world.record.lock().expect("one thread at a time");
        let keys: Vec<u8> = record().calls.keys().copied().collect();
        for k in keys {
            world.get(k);
        }
        let record = record();
        for (key, events) in &record.calls {
            assert_eq!(
                checker::judge(events),
                Verdict::Ordered,
                "no order explains what key {key} answered: {events:#?}"
            );
        }
        count(&world.map.stats(), record.refused);
    }
}

/// Keys `0..live`, value 1, of `len` bytes, and `dead` times 400 bytes that are dead: compaction moves the others. Ten times
/// fill a chunk.
pub fn mostly_dead(world: &World, live: u8, len: usize, dead: usize) {
    for k in 0..live {
        world.insert(k, 1, len);
    }
    for _ in 0..dead {
        let dead = [0xff; 400];
        world.map.insert(b"dead", &dead).expect("there is memory");
    }
    world.map.remove(b"dead");
}

pub fn tiny() -> Builder {
    internal::tiny()
}
