//! Bytes as operations on a map, held against a `HashMap`. The fuzzer's target `operations` runs what it invents through
//! this; `tests/corpus.rs` runs what the fuzzer has found worth keeping.
//!
//! The first bytes choose the map, then each byte chooses an operation and the next ones its arguments. Pins nest: what one
//! shows is looked at again when it ends, after whatever was done under it.

use crate::common::{EightBits, OneHash, SameTop, mix};
use arbitrary::{Result, Unstructured};
use cmap::{
    Budget, Builder, CMap, Changed, Cursor, Error, Inserted, Maintenance, Op, Pinned, RandomState,
    ValueRef, internal,
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::BuildHasher,
    ops::ControlFlow,
};

/// Pins at once: more than a thread's record has words for.
const PINS_MAX: usize = 8;
/// Values kept at once.
const KEPT_MAX: usize = 4;
/// So many bytes of value are written at most by one input.
const WRITTEN_MAX: usize = 16 << 20;

/// Runs the operations that `bytes` say. Whether one of them wrote to the map.
pub fn run(bytes: &[u8]) -> bool {
    let mut input = Unstructured::new(bytes);
    // An input may end anywhere: whatever is missing reads as zero.
    let [geometry, hasher, knob]: [u8; 3] = input.arbitrary().unwrap_or_default();
    let builder = match geometry % 8 {
        0 => CMap::builder(),
        1 => CMap::builder().speed_over_memory(f64::from(knob) / 255.0),
        2 => CMap::builder().max_bytes(16 << 20),
        3 => internal::tiny_wide(),
        4 => internal::tiny_wide().max_bytes((32 << 10) + usize::from(knob) * 1024),
        5 => internal::tiny().max_bytes((32 << 10) + usize::from(knob) * 1024),
        6 => internal::tiny().maintenance(Maintenance::Manual),
        _ => internal::tiny(),
    };
    match hasher % 8 {
        0 => with(builder.hasher(OneHash), &mut input),
        1 => with(builder.hasher(EightBits), &mut input),
        2 => with(builder.hasher(SameTop), &mut input),
        _ => with(
            builder.hasher(RandomState::with_seed(u64::from(hasher))),
            &mut input,
        ),
    }
}

fn with<S: BuildHasher + Send + Sync + 'static>(
    builder: Builder<S>,
    input: &mut Unstructured<'_>,
) -> bool {
    let map = builder.build().expect("a map");
    let mut world = World {
        map: &map,
        model: HashMap::new(),
        fails: false,
        kept: VecDeque::new(),
        written: 0,
        wrote: false,
    };
    while !input.is_empty() {
        // An argument that is missing ends it.
        let _ = world.under(input, 0);
    }
    internal::fail_memory(&map, 0, false);
    world.compare_all();
    if let Err(broken) = internal::check(&map) {
        panic!("a named invariant is broken at rest: {broken}");
    }
    world.wrote
}

struct World<'m, S> {
    map: &'m CMap<S>,
    model: HashMap<Vec<u8>, Vec<u8>>,
    /// Requests for memory may fail.
    fails: bool,
    /// Values kept past their pins.
    kept: VecDeque<(Vec<u8>, ValueRef)>,
    written: usize,
    wrote: bool,
}

impl<S: BuildHasher> World<'_, S> {
    /// Runs operations while `pins` pins are held, until the input ends or says that the last of them ends.
    fn under(&mut self, input: &mut Unstructured<'_>, pins: usize) -> Result<()> {
        while !input.is_empty() {
            match input.arbitrary::<u8>()? % 32 {
                0 if pins > 0 => return Ok(()),
                0 | 1 if pins < PINS_MAX => self.hold(input, pins)?,
                operation => self.step(operation, input)?,
            }
            assert_eq!(self.map.len(), self.model.len());
        }
        Ok(())
    }

    /// Some values held pinned while operations run.
    fn hold(&mut self, input: &mut Unstructured<'_>, pins: usize) -> Result<()> {
        let keys = [key(input)?, key(input)?];
        let mut pin = self.map.pin();
        let held = keys
            .each_ref()
            .map(|key| (self.model.get(key).cloned(), pin.get(key)));
        let ended = self.under(input, pins + 1);
        for (expected, found) in &held {
            assert_eq!(*found, expected.as_deref(), "pinned");
        }
        self.look_under(&pin, &keys);
        pin.repin();
        self.look_under(&pin, &keys);
        ended
    }

    fn look_under(&self, pin: &Pinned<'_, S>, keys: &[Vec<u8>]) {
        for key in keys {
            let expected = self.model.get(key).map(Vec::as_slice);
            assert_eq!(pin.get(key), expected);
            assert_eq!(pin.contains_key(key), expected.is_some());
            assert_eq!(pin.value_len(key), expected.map(<[u8]>::len));
        }
    }

    fn step(&mut self, operation: u8, input: &mut Unstructured<'_>) -> Result<()> {
        let map = self.map;
        match operation {
            2..=8 => {
                let key = key(input)?;
                let value = self.value(input)?;
                self.write(operation, key, value);
            }
            9..=11 => {
                let key = key(input)?;
                assert_eq!(map.remove(&key), self.model.remove(&key).is_some());
            }
            12 => {
                let key = key(input)?;
                if key.len() % 2 == 0 {
                    assert_eq!(map.take(&key), self.model.remove(&key));
                } else {
                    let is_removed = self.model.get(&key).is_some_and(|old| old.len() < 50);
                    assert_eq!(map.remove_if(&key, |old| old.len() < 50), is_removed);
                    if is_removed {
                        self.model.remove(&key);
                    }
                }
            }
            13..=14 => self.read(&key(input)?),
            15 => self.read_many(&[key(input)?, key(input)?, key(input)?]),
            16..=17 => {
                let (from, count): (u16, u8) = (input.arbitrary()?, input.arbitrary()?);
                for n in 0..u16::from(count / 4) {
                    self.write(2, numbered(from.wrapping_add(n)), vec![n as u8; 40]);
                }
            }
            18 => {
                let (from, count): (u16, u8) = (input.arbitrary()?, input.arbitrary()?);
                self.write_many(from, u16::from(count / 4));
            }
            20 => {
                let (from, count): (u16, u8) = (input.arbitrary()?, input.arbitrary()?);
                let keys: Vec<_> = (0..u16::from(count / 4))
                    .map(|n| numbered(from.wrapping_add(n)))
                    .collect();
                let is_there = |key: &&Vec<u8>| self.model.remove(*key).is_some();
                let expected = keys.iter().filter(is_there).count();
                assert_eq!(map.remove_many(&keys), expected);
            }
            19 => {
                let (from, count): (u16, u8) = (input.arbitrary()?, input.arbitrary()?);
                for n in 0..u16::from(count / 4) {
                    let key = numbered(from.wrapping_add(n));
                    assert_eq!(map.remove(&key), self.model.remove(&key).is_some());
                }
            }
            21 => {
                match input.arbitrary::<u8>()? {
                    how if how % 4 == 0 => {
                        map.clear();
                        self.model.clear();
                    }
                    how if how % 4 == 1 => self.sweep(how / 4),
                    _ => {}
                }
                assert_eq!(map.is_empty(), self.model.is_empty());
            }
            22..=23 => drop(map.compact(Budget::all())),
            24..=25 => drop(map.compact(Budget::bytes(input.arbitrary::<u16>()?.into()))),
            26 => map.shrink_to_fit(),
            27 => {
                let [entries, bytes] = input.arbitrary::<[u16; 2]>()?;
                self.refused_rightly(map.reserve(entries.into(), bytes.into()).err());
            }
            28 => {
                let (n, sticky): (u8, bool) = (input.arbitrary()?, input.arbitrary()?);
                self.fails = n != 0;
                internal::fail_memory(map, n.into(), sticky);
            }
            29 => match input.arbitrary::<u8>()? {
                how if how % 2 == 0 => self.scan_some(how.into()),
                how => self.walk(how / 2),
            },
            30 => {
                let _ = (map.memory(), map.stats(), format!("{map:?}"));
                self.compare_all();
            }
            _ => {
                let (how, key) = (input.arbitrary()?, key(input)?);
                let value = self.value(input)?;
                self.modify(how, key, value);
            }
        }
        Ok(())
    }

    /// What reads a value and changes it in one. What it says is the model's own answer, or an error that changes nothing.
    fn modify(&mut self, how: u8, key: Vec<u8>, value: Vec<u8>) {
        let map = self.map;
        let before = self.model.get(&key).cloned();
        let changed = match (&before, how % 8) {
            (None, 0) => Changed::Nothing,
            (None, _) => Changed::Inserted,
            (Some(_), 3) => Changed::Removed,
            (Some(_), 4) => Changed::Nothing,
            (Some(_), _) => Changed::Replaced,
        };
        let is = |done: Changed| assert_eq!(done, changed);
        // What it shall be afterwards, and what the map says.
        let (after, done) = match how % 8 {
            0 => (
                before.as_ref().map(|_| value.clone()),
                map.replace(&key, &value).map(is),
            ),
            1 => (
                Some(value.clone()),
                map.compare_and_swap(&key, before.as_deref(), Some(&value))
                    .map(is),
            ),
            2 => {
                let put = |old: Option<&[u8]>| {
                    assert_eq!(old, before.as_deref());
                    Op::Put(&value)
                };
                (Some(value.clone()), map.compute(&key, put).map(is))
            }
            3 => {
                let turn = |old: Option<&[u8]>| match old {
                    Some(_) => Op::Remove,
                    None => Op::Put(&value),
                };
                let after = before.is_none().then(|| value.clone());
                (after, map.compute(&key, turn).map(is))
            }
            4 => {
                let expected = before.clone().unwrap_or_else(|| value.clone());
                let found = map.get_or_insert_with(&key, || &value);
                (
                    Some(expected.clone()),
                    found.map(|found| assert_eq!(found, expected)),
                )
            }
            5 => {
                let inserted = map.insert_with(&key, value.len(), |out| {
                    assert!(out.iter().all(|&byte| byte == 0), "zeros at first");
                    out.copy_from_slice(&value);
                });
                let done = inserted.map(|inserted| {
                    assert_eq!(inserted == Inserted::Replaced, before.is_some());
                });
                (Some(value.clone()), done)
            }
            6 => {
                let after = [before.as_deref().unwrap_or_default(), &value].concat();
                let len = map.append(&key, &value);
                let done = len.map(|len| assert_eq!(len, after.len()));
                (Some(after), done)
            }
            _ => {
                let old = match before.as_deref() {
                    None => Some(0),
                    Some(old) => old.try_into().ok().map(u64::from_le_bytes),
                };
                let delta = value.len() as u64;
                match (map.fetch_add(&key, delta), old) {
                    (Err(Error::NotACounter { len }), None) => {
                        assert_eq!(Some(len), before.as_ref().map(Vec::len));
                        (before.clone(), Ok(()))
                    }
                    (done, Some(old)) => (
                        Some(old.wrapping_add(delta).to_le_bytes().to_vec()),
                        done.map(|found| assert_eq!(found, old)),
                    ),
                    (done, None) => panic!("{done:?} of what is no counter"),
                }
            }
        };
        if let Err(error) = done {
            self.refused_rightly(Some(error));
            assert_eq!(map.get(&key), before, "an error changes nothing");
            return;
        }
        self.wrote = true;
        match after {
            Some(after) => drop(self.model.insert(key, after)),
            None => drop(self.model.remove(&key)),
        }
    }

    fn read(&mut self, key: &[u8]) {
        let map = self.map;
        let expected = self.model.get(key).map(Vec::as_slice);
        assert_eq!(map.get(key).as_deref(), expected);
        assert_eq!(
            map.get_with(key, |found| Some(found) == expected),
            expected.map(|_| true)
        );
        assert_eq!(map.contains_key(key), expected.is_some());
        assert_eq!(map.value_len(key), expected.map(<[u8]>::len));
        let found = map.get_ref(key);
        assert_eq!(found.as_deref(), expected);
        self.kept.extend(found.map(|found| (found.to_vec(), found)));
        if self.kept.len() > KEPT_MAX {
            let (own, kept) = self.kept.pop_front().expect("some");
            assert_eq!(*kept, own, "kept");
        }
        let mut out = b"kept".to_vec();
        assert_eq!(map.get_into(key, &mut out), expected.map(<[u8]>::len));
        assert_eq!(
            out.strip_prefix(b"kept"),
            Some(expected.unwrap_or_default())
        );
    }

    fn read_many(&self, keys: &[Vec<u8>]) {
        let map = self.map;
        keys.iter().for_each(|key| map.prefetch(map.hash_key(key)));
        let expected: Vec<_> = keys.iter().map(|key| self.model.get(key)).collect();
        let look = |n: usize, found: Option<&[u8]>| {
            assert_eq!(found, expected[n].map(Vec::as_slice));
        };
        let hits = expected.iter().flatten().count();
        assert_eq!(map.get_many(keys, look), hits);
        assert_eq!(map.pin().get_many(keys, look), hits);
    }

    /// The first ones are stored, as many as the error says.
    fn write_many(&mut self, from: u16, count: u16) {
        let entries: Vec<_> = (0..count)
            .map(|n| (numbered(from.wrapping_add(n)), vec![n as u8; 50]))
            .collect();
        let stored = self
            .map
            .insert_many(entries.iter().map(|(key, value)| (key, value)));
        let done = match stored {
            Ok(done) => {
                assert_eq!(done, entries.len());
                done
            }
            Err(error) => {
                assert!(error.done < entries.len());
                self.refused_rightly(Some(error.source));
                error.done
            }
        };
        self.wrote |= done > 0;
        self.model.extend(entries.into_iter().take(done));
    }

    /// Takes out a part of the entries.
    fn sweep(&mut self, how: u8) {
        if how % 2 == 0 {
            let stays = |value: &[u8]| value.len() % 3 != usize::from(how / 2 % 3);
            let before = self.model.len();
            self.model.retain(|_, value| stays(value));
            let removed = self.map.retain(|_, value| stays(value));
            assert_eq!(removed, before - self.model.len());
        } else {
            for (key, value) in self.map.drain().take(usize::from(how / 2)) {
                assert_eq!(self.model.remove(&key), Some(value));
            }
        }
    }

    /// All entries, by a cursor or copied.
    fn walk(&self, how: u8) {
        let mut all = HashMap::new();
        let mut add = |key: &[u8], value: &[u8]| {
            assert!(all.insert(key.to_vec(), value.to_vec()).is_none(), "twice");
        };
        match how % 3 {
            0 => self.map.iter().for_each(|(key, value)| add(&key, &value)),
            1 => self
                .map
                .keys()
                .for_each(|key| add(&key, self.model.get(&key).expect("a key of ours"))),
            _ => {
                let mut cursor = Some(Cursor::START);
                while let Some(from) = cursor {
                    cursor = self.map.scan(from, usize::from(how / 3), &mut add);
                }
            }
        }
        assert!(all == self.model, "{} of {}", all.len(), self.model.len());
    }

    /// A write takes effect on both sides, or on neither.
    fn write(&mut self, how: u8, key: Vec<u8>, value: Vec<u8>) {
        let before = self.model.get(&key).cloned();
        let done = match how {
            2..=4 => self.map.insert(&key, &value).map(|inserted| {
                assert_eq!(inserted == Inserted::Replaced, before.is_some());
                true
            }),
            5..=6 => self.map.insert_swap(&key, &value).map(|swapped| {
                assert_eq!(swapped, before);
                true
            }),
            _ => self.map.insert_if_absent(&key, &value).map(|changed| {
                let expected = if before.is_none() {
                    Changed::Inserted
                } else {
                    Changed::Nothing
                };
                assert_eq!(changed, expected);
                before.is_none()
            }),
        };
        match done {
            Ok(true) => {
                self.wrote = true;
                self.model.insert(key, value);
            }
            Ok(false) => {}
            Err(error) => {
                self.refused_rightly(Some(error));
                assert_eq!(self.map.get(&key), before, "an error changes nothing");
            }
        }
    }

    #[track_caller]
    fn refused_rightly(&self, error: Option<Error>) {
        match error {
            None | Some(Error::Full { .. }) => {}
            Some(Error::OutOfMemory { bytes }) => assert!(self.fails && bytes > 0, "{bytes} bytes"),
            Some(other) => panic!("{other:?}"),
        }
    }

    fn scan_some(&self, most: usize) {
        let mut seen = HashSet::new();
        let _ = self.map.try_for_each(|key, value| {
            assert_eq!(self.model.get(key).map(Vec::as_slice), Some(value));
            assert!(seen.insert(key.to_vec()), "shown a second time");
            if seen.len() > most {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(seen.len(), self.model.len().min(most + 1));
    }

    fn compare_all(&self) {
        let mut seen = HashSet::with_capacity(self.model.len());
        self.map.for_each(|key, value| {
            let (own, expected) = self
                .model
                .get_key_value(key)
                .expect("a key that was written");
            assert_eq!(expected, value);
            assert!(seen.insert(own.as_slice()), "shown a second time");
        });
        assert_eq!(seen.len(), self.model.len());
    }

    /// Mostly short, now and then next to where the layout changes, or as long as two bytes can say.
    fn value(&mut self, input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
        let class: u8 = input.arbitrary()?;
        let len = match class {
            0..=199 => usize::from(class) / 2,
            200..=239 => 480 + usize::from(class - 200),
            240..=247 => 4_080 + usize::from(class - 240) * 4,
            _ => input.arbitrary::<u16>()?.into(),
        };
        if self.written + len > WRITTEN_MAX {
            return Ok(Vec::new());
        }
        self.written += len;
        let salt = mix(self.written as u64, len as u64).to_le_bytes();
        Ok(salt.iter().copied().cycle().take(len).collect())
    }
}

/// One of 32 keys, of up to 300 bytes, the empty one among them; or a number; or bytes of the input.
fn key(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let choice: u8 = input.arbitrary()?;
    Ok(match choice {
        0..=127 => {
            let len = [0, 1, 2, 3, 8, 16, 255, 300][usize::from(choice % 8)];
            vec![choice / 8 % 4; len]
        }
        128..=223 => numbered(input.arbitrary()?),
        _ => {
            let len = usize::from(choice - 224).min(input.len());
            input.bytes(len)?.to_vec()
        }
    })
}

fn numbered(n: u16) -> Vec<u8> {
    [&b"key "[..], &n.to_be_bytes()].concat()
}
