//! What one thread does in one round: calls of every kind on the keys of that round, with their times and answers, and others
//! around them that keep tables and chunks moving.

use super::checker::{Call, Event, is_counter};
use crate::common::key_bytes;
use cmap::{Budget, CMap, Changed, Cursor, Error, Inserted, Op, Pinned};
use fastrand::Rng;
use std::{
    hash::BuildHasher,
    mem,
    ops::ControlFlow,
    sync::atomic::{AtomicU64, Ordering},
};

pub const CALLS_EACH: usize = 12;
/// Keys of one round at most.
pub const KEYS: usize = 2;

/// The events of one round, by key: a history each.
pub type Histories = [Vec<Event>; KEYS];

/// One thread on one map.
pub struct Worker<'m, S> {
    pub map: &'m CMap<S>,
    pub clock: &'m AtomicU64,
    pub thread: usize,
    /// Whether the map is cleared now and then: then it never grows large.
    pub clears: bool,
    pub rng: Rng,
    /// Held over many calls: what it finds must be as new as anybody's.
    pub pinned: Pinned<'m, S>,
}

/// Key number `key` of round `number`.
pub fn shared_key(number: usize, key: usize) -> [u8; 16] {
    key_bytes((number * KEYS + key) as u64)
}

/// The number of a value, which is all that it says.
pub fn number_of(value: &[u8]) -> u32 {
    let id = u32::from_le_bytes(value[..4].try_into().expect("four bytes"));
    assert!(
        value.chunks_exact(4).all(|word| word == id.to_le_bytes()),
        "torn: {value:?}"
    );
    id
}

/// Whether the keys of round `number` are logs: then each value is a row of numbers, each as often as it says, and counts as the
/// number of its words.
pub fn is_log(number: usize) -> bool {
    number % 5 == 4
}

/// How to read a value of round `number`.
pub fn reader(number: usize) -> fn(&[u8]) -> u32 {
    if is_log(number) { words_of } else { number_of }
}

fn words_of(mut value: &[u8]) -> u32 {
    let words = value.len() / 4;
    while !value.is_empty() {
        let id = u32::from_le_bytes(value[..4].try_into().expect("four bytes"));
        let (row, rest) = value.split_at(4 * id as usize);
        assert_eq!(number_of(row), id);
        value = rest;
    }
    words as u32
}

/// What a scan of some kind shows of one key.
fn look_by_scan<S: BuildHasher>(
    map: &CMap<S>,
    how: u8,
    wanted: &[u8],
    read: fn(&[u8]) -> u32,
) -> Call {
    let mut found = None;
    let mut show = |key: &[u8], value: &[u8]| {
        if key == wanted {
            assert!(found.is_none(), "a scan shows a key twice");
            found = Some(read(value));
        }
    };
    match how {
        0 => {
            let seen = map.try_for_each(|key, value| {
                show(key, value);
                if key == wanted {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            assert_eq!(seen.is_break(), found.is_some());
        }
        1 => map.for_each(show),
        2 => map.iter().for_each(|(key, value)| show(&key, &value)),
        3..=4 => {
            let mut cursor = Some(Cursor::START);
            while let Some(from) = cursor {
                cursor = map.scan(from, 3, &mut show);
            }
        }
        _ => {
            let count = map.keys().filter(|key| key == wanted).count();
            assert!(count <= 1, "a scan shows a key twice");
            return Call::Contains(count == 1);
        }
    }
    Call::Get(found)
}

impl<S: BuildHasher> Worker<'_, S> {
    /// Stamps a call by the clock, directly before and after.
    fn timed(&self, call: impl FnOnce() -> Call) -> Event {
        let begin = self.clock.fetch_add(1, Ordering::SeqCst);
        let call = call();
        let end = self.clock.fetch_add(1, Ordering::SeqCst);
        Event { begin, end, call }
    }

    /// The value number `id`, in a length that now and then makes it an extent.
    fn value_of(&mut self, id: u32, value: &mut Vec<u8>) {
        let words = match self.rng.u8(..20) {
            _ if is_counter(id) => 2,
            0 => 250,
            1..=3 => 60,
            _ => self.rng.usize(3..10),
        };
        value.clear();
        (0..words).for_each(|_| value.extend_from_slice(&id.to_le_bytes()));
    }

    /// The calls of round `number`.
    pub fn round(&mut self, number: usize) -> Histories {
        let mut histories = Histories::default();
        let keys = 1 + number % KEYS;
        let mut value = Vec::new();
        for step in 0..CALLS_EACH {
            let which = self.rng.usize(..keys);
            let id = (self.thread * CALLS_EACH + step + 1) as u32;
            if is_log(number) {
                value = id.to_le_bytes().repeat(id as usize);
            } else {
                self.value_of(id, &mut value);
            }
            match self.rng.u8(..100) {
                0..=1 if self.clears => {
                    let map = self.map;
                    let event = self.timed(|| {
                        map.clear();
                        Call::Clear
                    });
                    histories[..keys].iter_mut().for_each(|all| all.push(event));
                }
                2..=4 => self.scan(number, &mut histories[..keys]),
                5..=9 => self.batch(number, id, &value, &mut histories[..keys]),
                kind => {
                    let event = self.on_one_key(number, which, kind, id, &value);
                    histories[which].push(event);
                }
            }
            self.neighbours(number);
        }
        histories
    }

    fn on_one_key(
        &mut self,
        number: usize,
        which: usize,
        kind: u8,
        id: u32,
        value: &[u8],
    ) -> Event {
        let map = self.map;
        let key = &shared_key(number, which);
        let read = reader(number);
        let room = "there is memory";
        let mut out = Vec::new();
        if self.rng.u8(..8) == 0 {
            self.pinned.repin();
        }
        // For what to expect: whatever it says, the answer must be right.
        let held = map.get(key);
        self.timed(|| match kind {
            0..=13 => {
                let old = map.insert_swap(key, value).expect(room);
                Call::Swap(id, old.map(|old| read(&old)))
            }
            14..=19 => {
                let inserted = map.insert(key, value).expect(room);
                Call::Insert(id, inserted == Inserted::Replaced)
            }
            20..=25 => {
                let len = value.len();
                let inserted = map.insert_with(key, len, |place| place.copy_from_slice(value));
                Call::Insert(id, inserted.expect(room) == Inserted::Replaced)
            }
            26..=33 => {
                let changed = map.insert_if_absent(key, value).expect(room);
                Call::IfAbsent(id, changed == Changed::Inserted)
            }
            34..=57 if is_log(number) => {
                let words = map.append(key, value).expect(room) / 4;
                Call::Append(id, words as u32)
            }
            34..=57 => modify(map, kind, key, id, value, held.as_deref()),
            58..=64 => Call::Take(map.take(key).map(|old| read(&old))),
            65..=69 => Call::Remove(map.remove(key)),
            70..=76 => Call::Get(map.get_with(key, read)),
            77..=78 => Call::Get(map.get(key).map(|value| read(&value))),
            79..=80 => Call::Get(map.get_ref(key).map(|value| read(&value))),
            81..=83 => Call::Get(map.get_into(key, &mut out).map(|_| read(&out))),
            84..=89 => Call::Get(self.pinned.get(key).map(read)),
            90..=91 => Call::Contains(self.pinned.contains_key(key)),
            92..=93 => Call::Contains(self.pinned.value_len(key).is_some()),
            94..=95 => Call::Contains(map.value_len(key).is_some()),
            _ => Call::Contains(map.contains_key(key)),
        })
    }

    /// A scan looks at each key once, at some time while it runs. `drain` takes what it yields; a key that it does not yield it
    /// did not see, or found gone when it came to take it: either way the key was absent at some time.
    fn scan(&mut self, number: usize, histories: &mut [Vec<Event>]) {
        let read = reader(number);
        if self.clears && self.rng.u8(..4) == 0 {
            let map = self.map;
            let mut taken = Vec::new();
            let event = self.timed(|| {
                taken.extend(map.drain());
                Call::Clear
            });
            for (key, history) in histories.iter_mut().enumerate() {
                let wanted = shared_key(number, key);
                let mut of_key = taken.iter().filter(|(key, _)| *key == wanted);
                let call = Call::Take(of_key.next().map(|(_, value)| read(value)));
                assert!(of_key.next().is_none(), "a drain yields a key twice");
                history.push(Event { call, ..event });
            }
            return;
        }
        for (key, history) in histories.iter_mut().enumerate() {
            let wanted = shared_key(number, key);
            let map = self.map;
            if self.rng.u8(..3) == 0 {
                history.push(self.timed(|| retain_all_but(map, &wanted, read)));
                continue;
            }
            let how = self.rng.u8(..6);
            history.push(self.timed(|| look_by_scan(map, how, &wanted, read)));
        }
    }

    /// A batch of the round's keys and some that are never there: to each key it happens at some time while it runs.
    fn batch(&mut self, number: usize, id: u32, value: &[u8], histories: &mut [Vec<Event>]) {
        let map = self.map;
        let read = reader(number);
        let one = self.rng.usize(..histories.len());
        let keys: Vec<_> = (0..histories.len())
            .map(|key| shared_key(number, key))
            .collect();
        let mut found = Vec::new();
        match self.rng.u8(..6) {
            0..=2 => {
                let pinned = self.rng.bool().then_some(&self.pinned);
                let event = self.timed(|| {
                    let mut look = |_, value: Option<&[u8]>| found.push(value.map(read));
                    match pinned {
                        Some(pinned) => pinned.get_many(&keys, &mut look),
                        None => map.get_many(&keys, &mut look),
                    };
                    Call::Get(None)
                });
                for (history, found) in histories.iter_mut().zip(found) {
                    let call = Call::Get(found);
                    history.push(Event { call, ..event });
                }
            }
            3..=4 => {
                let event = self.timed(|| {
                    let stored = map.insert_many(keys.iter().map(|key| (key, value)));
                    assert_eq!(stored.expect("there is memory"), keys.len());
                    Call::Put(id)
                });
                histories.iter_mut().for_each(|all| all.push(event));
            }
            _ => {
                let absent = key_bytes(u64::MAX - number as u64);
                let event = self.timed(|| {
                    let removed = map.remove_many(&[absent, keys[one], absent]);
                    Call::Remove(removed == 1)
                });
                histories[one].push(event);
            }
        }
    }

    /// Keeps the tables splitting and merging, and the chunks compacting, around the keys that matter.
    fn neighbours(&mut self, number: usize) {
        let (map, rng) = (self.map, &mut self.rng);
        let key = key_bytes((1 << 32) + rng.u64(..40) + number as u64 % 100);
        match rng.u16(..1_000) {
            0..=249 => {
                let value = &[7; 100][..rng.usize(..100)];
                map.insert(&key, value).expect("there is memory");
            }
            250..=439 => mem::drop(map.take(&key)),
            440..=499 => _ = map.compact(Budget::bytes(2_000)),
            500..=502 => map.shrink_to_fit(),
            503..=504 => map.reserve(100, 2_000).expect("there is memory"),
            _ => {}
        }
    }
}

/// `retain` that judges against one key. What it removes is what it was shown, at one instant. Where it was shown a value and
/// removed none, the value was there when it was shown, and not when it was to go: two instants, of which the first is judged.
fn retain_all_but<S: BuildHasher>(map: &CMap<S>, wanted: &[u8], read: fn(&[u8]) -> u32) -> Call {
    let mut shown = None;
    let removed = map.retain(|key, value| {
        if key != wanted {
            return true;
        }
        assert!(shown.is_none(), "retain shows a key twice");
        shown = Some(read(value));
        false
    });
    assert!(removed <= usize::from(shown.is_some()));
    if removed == 1 {
        Call::Take(shown)
    } else {
        Call::Get(shown)
    }
}

/// A read-modify-write of some kind.
fn modify<S: BuildHasher>(
    map: &CMap<S>,
    kind: u8,
    key: &[u8],
    id: u32,
    value: &[u8],
    held: Option<&[u8]>,
) -> Call {
    let room = "there is memory";
    let held_id = held.map(number_of);
    let mut shown = None;
    match kind % 8 {
        0 => Call::Replace(
            id,
            map.replace(key, value).expect(room) == Changed::Replaced,
        ),
        1 => {
            let changed = map.compare_and_swap(key, held, Some(value)).expect(room);
            Call::CompareAndSwap(held_id, Some(id), changed != Changed::Nothing)
        }
        2 if held.is_some() => {
            let changed = map.compare_and_swap(key, held, None).expect(room);
            Call::CompareAndSwap(held_id, None, changed != Changed::Nothing)
        }
        2 | 3 => {
            let put = map.compute(key, |old| {
                shown = old.map(number_of);
                Op::Put(value)
            });
            let expected = shown.map_or(Changed::Inserted, |_| Changed::Replaced);
            assert_eq!(put, Ok(expected));
            Call::Swap(id, shown)
        }
        4 => {
            let removed = map.compute(key, |old| {
                shown = old.map(number_of);
                Op::<&[u8]>::Remove
            });
            let expected = shown.map_or(Changed::Nothing, |_| Changed::Removed);
            assert_eq!(removed, Ok(expected));
            Call::Take(shown)
        }
        5 => {
            let wanted = held_id.unwrap_or(id);
            let removed = map.remove_if(key, |value| number_of(value) == wanted);
            Call::RemoveIf(wanted, removed)
        }
        6 => {
            let found = map.get_or_insert_with(key, || value).expect(room);
            Call::GetOrInsert(id, number_of(&found))
        }
        _ => {
            // Adds to both halves of a value that is a number twice.
            let delta = id * 4_000;
            match map.fetch_add(key, u64::from(delta) << 32 | u64::from(delta)) {
                Ok(before) => Call::Add(delta, Some(number_of(&before.to_le_bytes()))),
                Err(Error::NotACounter { .. }) => Call::Add(delta, None),
                Err(other) => panic!("{other}"),
            }
        }
    }
}
