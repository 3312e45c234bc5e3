//! The inside as loom's models see it: epochs, limbo, and a store in the smallest geometry, without maintenance of its own.
#![allow(missing_docs)]

use core::convert::Infallible;
use core::hash::{BuildHasher, Hasher};
use core::ops::ControlFlow;

use crate::base::sync::Arc;
use crate::index::Geometry;
use crate::memory::{self, domain};
use crate::store::{Checked, Expect, Kept, Owed, Seen, Store, Tuning, Wrote};

/// Ends a thread's part in an execution: what happens to its record when a thread ends.
pub fn leave() {
    memory::leave();
}

/// Ends an execution, when all other threads are joined.
pub fn end() {
    leave();
    memory::empty_graveyard();
}

/// What a pin protects.
#[derive(Clone, Copy)]
pub struct Tag(memory::Tag);

impl Tag {
    pub fn fresh() -> Self {
        Self(memory::Tag::fresh(domain()))
    }

    pub fn pin(self) -> Pin {
        Pin(domain().pin(self.0))
    }

    /// A pin of a thread that can have no record.
    pub fn pin_without_record(self) -> Pin {
        Pin(domain().pin_fallback())
    }
}

/// A promise to look.
pub struct Pin(memory::Pin);

/// A pointer that readers follow under a pin. loom watches what it points to.
pub struct Shared<T: 'static>(memory::Shared<T>);

impl<T> Shared<T> {
    pub fn new(value: T) -> Self {
        Self(memory::Shared::new(Box::new(value)))
    }

    pub fn load<'p>(&self, pin: &'p Pin) -> Option<&'p T> {
        self.0.load(&pin.0)
    }

    /// Points elsewhere, and retires what it pointed to.
    pub fn replace(&self, value: Option<T>, limbo: &Limbo<T>) {
        if let Some(old) = self.0.swap(value.map(Box::new)) {
            limbo.0.retire(old, 1);
        }
    }
}

/// What waits for pins.
pub struct Limbo<T: 'static>(memory::Limbo<memory::Unlinked<T>>);

impl<T> Limbo<T> {
    pub fn new(tag: Tag, places: usize) -> Self {
        let limbo = memory::Limbo::new(tag.0);
        limbo.promise(places).expect("memory");
        Self(limbo)
    }

    /// One grace attempt: how many things were freed.
    pub fn attempt(&self) -> usize {
        let Some((ripe, proof)) = self.0.attempt(domain(), usize::MAX, |_| false) else {
            return 0;
        };
        ripe.into_iter()
            .flatten()
            .map(|(garbage, bytes)| {
                garbage.free(&proof);
                self.0.given(bytes);
            })
            .count()
    }

    /// For the owner of everything: frees what waits.
    pub fn drain(&mut self) {
        let (waiting, proof) = self.0.drain();
        waiting.for_each(|garbage| garbage.free(&proof));
    }
}

/// Keys are spread by their first byte alone: keys with the same one have equal hashes.
pub struct FirstByte;

pub struct FirstByteHasher(u64);

impl Hasher for FirstByteHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.first().map_or(0, |&byte| u64::from(byte) << 56);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl BuildHasher for FirstByte {
    type Hasher = FirstByteHasher;

    fn build_hasher(&self) -> FirstByteHasher {
        FirstByteHasher(0)
    }
}

const CHUNK_BYTES: usize = 1024;
const CHUNKS: usize = 16;

/// Memory for maps.
#[derive(Clone)]
pub struct Pool(Arc<memory::Pool>);

impl Pool {
    pub fn new() -> Self {
        Self::of(Geometry::TINY)
    }

    fn of(geometry: Geometry) -> Self {
        let config = memory::Config {
            chunk_bytes: CHUNK_BYTES,
            block_bytes: [geometry.half.bytes(), geometry.top.bytes()],
            entry_bytes_max: CHUNK_BYTES / 2,
            max_bytes: None,
            keep_free: None,
            huge_pages: false,
            address_space: CHUNKS * CHUNK_BYTES,
        };
        Self(Arc::new(memory::Pool::new(config).expect("memory")))
    }
}

/// A value of one byte that is held.
#[derive(Clone)]
pub struct Held(Kept);

impl Held {
    pub fn read(&self) -> u8 {
        self.0.bytes()[0]
    }
}

/// A map of which every step of maintenance is a call.
pub struct Map(Store<FirstByte>);

impl Map {
    pub fn new() -> Self {
        Self::of(Geometry::TINY, Pool::new(), true)
    }

    /// Of one table: two buckets, by the first bit of a key, which share an overflow line.
    pub fn of_two_buckets() -> Self {
        let geometry = Geometry::TINY_SHARED;
        Self::of(geometry, Pool::of(geometry), true)
    }

    pub fn sharing(pool: &Pool) -> Self {
        Self::of(Geometry::TINY, pool.clone(), false)
    }

    fn of(geometry: Geometry, pool: Pool, owns_pool: bool) -> Self {
        let tuning = Tuning {
            geometry,
            lanes: 1,
            seats: 1,
            hole_batch: 0,
            small_chunks: usize::MAX,
            dead_share: 1,
            dead_chunks_min: 0,
            quantum: u64::MAX,
            chunks_a_walk: 1,
            copy_bytes_max: 0,
            is_inline: false,
            owns_pool,
        };
        Self(Store::new(FirstByte, pool.0, tuning))
    }

    pub fn pin(&self) -> Pin {
        Pin(self.0.pin())
    }

    pub fn get<'p>(&'p self, key: &[u8], pin: &'p Pin) -> Option<&'p [u8]> {
        self.0.get(key, &pin.0)
    }

    /// A value that outlives pins.
    pub fn hold(&self, key: &[u8]) -> Option<Held> {
        self.0.keep(key).map(Held)
    }

    /// A value of one byte, without a pin of the caller's.
    pub fn read(&self, key: &[u8]) -> Option<u8> {
        let pin = self.pin();
        self.get(key, &pin).map(|value| value[0])
    }

    /// Stores a value of one byte. Returns the one before.
    pub fn put(&self, key: &[u8], value: u8) -> Option<u8> {
        let mut old = None;
        let wrote = self
            .0
            .write(key, &[value], Expect::Anything, |value| {
                old = Some(value[0])
            })
            .expect("memory");
        assert_eq!(wrote == Wrote::Replaced, old.is_some());
        old
    }

    /// Whether it was absent.
    pub fn put_if_absent(&self, key: &[u8], value: u8) -> bool {
        let wrote = self.0.write(key, &[value], Expect::Absent, |_| ());
        wrote.expect("memory") == Wrote::New
    }

    /// Adds to a value of one byte, absent = 0. Returns the one before.
    pub fn add(&self, key: &[u8], delta: u8) -> u8 {
        let added = self.0.modify(key, |seen| {
            let before = seen.value().map_or(0, |value| value[0]);
            let owed = seen.put(&[&[before + delta]])?;
            Ok(owed.map(|owed| (before, owed)))
        });
        added.expect("memory")
    }

    /// Removes a value of one byte if it is this one.
    pub fn remove_if(&self, key: &[u8], value: u8) -> bool {
        self.0.modify_surely(key, |seen| match seen.value() {
            Some(&[held]) if held == value => seen.remove().map(|owed| (true, owed)),
            _ => Some((false, Owed::NOTHING)),
        })
    }

    /// Stores a value of one byte, written in place.
    pub fn put_in_place(&self, key: &[u8], value: u8) {
        let wrote = self.0.write_with(key, 1, |bytes| {
            assert_eq!(bytes, [0]);
            bytes[0] = value;
        });
        wrote.expect("memory");
    }

    pub fn remove(&self, key: &[u8]) -> Option<u8> {
        self.0.remove(key, |value| value[0])
    }

    /// A whole scan of values of one byte, in its order.
    pub fn scan(&self) -> Vec<(Vec<u8>, u8)> {
        let mut shown = Vec::new();
        let mut next = Some(0);
        while let Some(from) = next {
            let show = &mut |seen: &Seen<'_, FirstByte>| {
                let (key, value) = seen.pair();
                shown.push((key.to_vec(), value[0]));
                ControlFlow::<Infallible>::Continue(())
            };
            let ControlFlow::Continue(to) = self.0.scan(from..=u64::MAX, show, || false);
            next = to;
        }
        shown
    }

    /// Removes every entry of this value. Returns how many.
    pub fn retain_not(&self, value: u8) -> usize {
        let mut removed = 0;
        let mut next = Some(0);
        while let Some(from) = next {
            let show = &mut |seen: &Seen<'_, FirstByte>| {
                if seen.pair().1 == [value] {
                    removed += usize::from(seen.remove().is_some());
                }
                ControlFlow::<Infallible>::Continue(())
            };
            let ControlFlow::Continue(to) = self.0.scan(from..=u64::MAX, show, || false);
            next = to;
        }
        removed
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn clear(&self) {
        self.0.clear();
    }

    pub fn seal(&self) {
        self.0.seal();
    }

    /// Has the only lane keep the space of what dies, from now on.
    pub fn keep_holes(&self) {
        self.0.keep_holes();
    }

    /// Stamps what the lane keeps, or finds that no pin sees it any more.
    pub fn ripen(&self) {
        self.0.ripen();
    }

    /// Has the lane give up what it keeps, and keep nothing any more.
    pub fn give_holes_up(&self) {
        self.0.give_holes_up();
    }

    pub fn compact_once(&self) -> bool {
        self.0.compact_once(usize::MAX)
    }

    /// As [`Map::compact_once`], but for one entry only: the walk rests in its seat.
    pub fn compact_one(&self) -> bool {
        self.0.compact_once(1)
    }

    pub fn reclaim(&self) -> bool {
        self.0.reclaim()
    }

    /// Bytes that nothing but holds keeps.
    pub fn held_bytes(&self) -> usize {
        self.0.figures().held
    }

    pub fn waiting_bytes(&self) -> usize {
        self.0.waiting_bytes()
    }

    pub fn rebuild(&self, key: &[u8]) -> bool {
        self.0.rebuild(key)
    }

    pub fn split(&self, key: &[u8]) {
        self.0.split(key);
    }

    pub fn grow_spill(&self) {
        self.0.grow_spill();
    }

    pub fn trim_spill(&self) -> bool {
        self.0.trim_spill()
    }

    pub fn merge(&self, key: &[u8]) -> bool {
        self.0.merge(key)
    }

    /// Every invariant that holds at rest.
    #[track_caller]
    pub fn check(&self) -> Checked {
        match self.0.check() {
            Ok(checked) => checked,
            Err(broken) => panic!("{broken}"),
        }
    }
}
