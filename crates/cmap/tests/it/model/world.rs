//! A map and its model side by side: runs an operation on both and compares.

use super::op::{Kind, Op};
use cmap::{Budget, CMap, Changed, Inserted, ValueRef, internal};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::BuildHasher,
    ops::ControlFlow,
    time::Duration,
};

/// The whole content is compared, and the invariants are checked, after so many operations.
const OPS_BETWEEN_CHECKS: usize = 1_000;

/// Ends the check with a text where the condition does not hold.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}

pub(super) use ensure;

pub struct World<'m, S> {
    pub(super) map: &'m CMap<S>,
    pub(super) model: HashMap<Vec<u8>, Vec<u8>>,
    pub(super) keys: &'m [Vec<u8>],
    /// Whether to hold the map's own accounts against the model too.
    accounts: bool,
    pub(super) buffer: Vec<u8>,
    since_check: usize,
    /// Values that are kept past everything that comes.
    kept: VecDeque<(Vec<u8>, ValueRef)>,
}

/// What a failure says of long bytes.
pub(super) fn brief(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "nothing".into(),
        Some(bytes) => format!(
            "{} bytes {:02x?}",
            bytes.len(),
            &bytes[..bytes.len().min(16)]
        ),
    }
}

impl<'m, S: BuildHasher> World<'m, S> {
    pub fn new(map: &'m CMap<S>, keys: &'m [Vec<u8>], accounts: bool) -> Self {
        Self {
            map,
            model: HashMap::new(),
            keys,
            accounts,
            buffer: Vec::new(),
            since_check: 0,
            kept: VecDeque::new(),
        }
    }

    /// Runs all of `ops` and checks at the end.
    pub fn run(&mut self, ops: &[Op]) -> Result<(), String> {
        self.run_under(ops, 0)?;
        self.check(0)
    }

    /// Runs `ops` while `pins` pins are held.
    fn run_under(&mut self, ops: &[Op], pins: usize) -> Result<(), String> {
        let mut at = 0;
        while let Some(&op) = ops.get(at) {
            at += 1;
            if op.kind == Kind::Pin {
                let count = (op.len as usize).min(ops.len() - at);
                self.hold(op, &ops[at..at + count], pins + 1)?;
                at += count;
            } else {
                self.step(op).map_err(|wrong| format!("{op:?}: {wrong}"))?;
            }
            ensure!(
                self.map.len() == self.model.len(),
                "{op:?}: len {} instead of {}",
                self.map.len(),
                self.model.len()
            );
            self.since_check += 1;
            if self.since_check >= OPS_BETWEEN_CHECKS {
                self.since_check = 0;
                self.check(pins)
                    .map_err(|wrong| format!("after {op:?}: {wrong}"))?;
            }
        }
        Ok(())
    }

    /// Some values held pinned while `ops` run: not a byte of them changes.
    fn hold(&mut self, op: Op, ops: &[Op], pins: usize) -> Result<(), String> {
        let mut pin = self.map.pin();
        let chosen = (0..1 + op.tag as usize % 6)
            .map(|step| &self.keys[(op.key as usize + step) % self.keys.len()]);
        let held: Vec<_> = chosen
            .clone()
            .map(|key| (key, self.model.get(key).cloned(), pin.get(key)))
            .collect();
        if pins <= 6 {
            self.run_under(ops, pins)?;
        }
        for (key, expected, found) in &held {
            let (key, found) = (brief(Some(key)), *found);
            ensure!(
                found == expected.as_deref(),
                "pinned {key}: {} instead of {}",
                brief(found),
                brief(expected.as_deref())
            );
        }
        drop(held);
        for again in [false, true] {
            if again {
                pin.repin();
            }
            for key in chosen.clone() {
                let expected = self.model.get(key).map(Vec::as_slice);
                let found = pin.get(key);
                ensure!(
                    found == expected,
                    "Pinned::get: {} instead of {}",
                    brief(found),
                    brief(expected)
                );
                ensure!(
                    pin.contains_key(key) == expected.is_some(),
                    "Pinned::contains_key"
                );
                ensure!(
                    pin.value_len(key) == expected.map(<[u8]>::len),
                    "Pinned::value_len"
                );
            }
        }
        Ok(())
    }

    fn step(&mut self, op: Op) -> Result<(), String> {
        let map = self.map;
        let key = self.keys[op.key as usize].as_slice();
        match op.kind {
            Kind::Get
            | Kind::GetWith
            | Kind::GetInto
            | Kind::ContainsKey
            | Kind::ValueLen
            | Kind::GetRef => self.read(op, key),
            Kind::Insert | Kind::InsertSwap | Kind::InsertIfAbsent => self.write(op, key),
            Kind::InsertWith
            | Kind::Replace
            | Kind::CompareAndSwap
            | Kind::Compute
            | Kind::GetOrInsertWith
            | Kind::FetchAdd
            | Kind::Append
            | Kind::RemoveIf => self.modify(op, key),
            Kind::GetMany | Kind::InsertMany | Kind::RemoveMany => self.batch(op),
            Kind::Remove => {
                let (found, expected) = (map.remove(key), self.model.remove(key).is_some());
                ensure!(found == expected, "{found} instead of {expected}");
                Ok(())
            }
            Kind::Take => {
                let (found, expected) = (map.take(key), self.model.remove(key));
                ensure!(
                    found == expected,
                    "{} instead of {}",
                    brief(found.as_deref()),
                    brief(expected.as_deref())
                );
                Ok(())
            }
            Kind::Clear => {
                map.clear();
                self.model.clear();
                ensure!(map.is_empty(), "not empty");
                Ok(())
            }
            Kind::ForEach => self.compare_all(),
            Kind::TryForEach => self.scan_some(op),
            Kind::Iter | Kind::Keys | Kind::Scan | Kind::Retain | Kind::Drain => self.walk(op),
            Kind::Pin => unreachable!("pins are run by `hold`"),
            Kind::Reserve => map
                .reserve(op.tag as usize % 3_000, op.len as usize)
                .map_err(|error| error.to_string()),
            Kind::Compact => {
                map.compact(match op.tag % 4 {
                    0 => Budget::bytes(0),
                    1 => Budget::bytes(op.tag as usize % 20_000),
                    2 => Budget::time(Duration::from_micros(u64::from(op.tag % 200))),
                    _ => Budget::all(),
                });
                Ok(())
            }
            Kind::ShrinkToFit => {
                map.shrink_to_fit();
                Ok(())
            }
            Kind::Memory => {
                let memory = map.memory();
                let parts = [
                    memory.live,
                    memory.dead,
                    memory.padding,
                    memory.index,
                    memory.pool,
                    memory.retired,
                    memory.held,
                ];
                ensure!(
                    memory.total() == parts.iter().sum(),
                    "{memory:?} does not add up"
                );
                Ok(())
            }
            Kind::Stats => {
                let stats = map.stats();
                ensure!(
                    !self.accounts || stats.entries == self.model.len(),
                    "{stats:?}, and {} entries",
                    self.model.len()
                );
                Ok(())
            }
        }
    }

    fn read(&mut self, op: Op, key: &[u8]) -> Result<(), String> {
        let map = self.map;
        let expected = self.model.get(key).map(Vec::as_slice);
        match op.kind {
            Kind::Get => {
                let found = map.get(key);
                ensure!(
                    found.as_deref() == expected,
                    "{} instead of {}",
                    brief(found.as_deref()),
                    brief(expected)
                );
            }
            Kind::GetWith => {
                let right = map.get_with(key, |value| Some(value) == expected);
                ensure!(
                    right == expected.map(|_| true),
                    "{right:?} instead of {}",
                    brief(expected)
                );
            }
            Kind::GetInto => {
                self.buffer.clear();
                self.buffer.extend_from_slice(b"kept");
                let len = map.get_into(key, &mut self.buffer);
                ensure!(
                    len == expected.map(<[u8]>::len),
                    "{len:?} instead of {}",
                    brief(expected)
                );
                let (kept, found) = self.buffer.split_at(4);
                ensure!(kept == b"kept", "the buffer's own bytes became {kept:?}");
                ensure!(
                    found == expected.unwrap_or_default(),
                    "{} instead of {}",
                    brief(Some(found)),
                    brief(expected)
                );
            }
            Kind::GetRef => {
                let found = map.get_ref(key);
                ensure!(
                    found.as_deref() == expected,
                    "{} instead of {}",
                    brief(found.as_deref()),
                    brief(expected)
                );
                let few = expected.is_some_and(|value| value.len() < 100_000);
                let own = expected.unwrap_or_default().to_vec();
                self.kept
                    .extend(found.filter(|_| few).map(|found| (own, found)));
                if self.kept.len() > 20 {
                    let (own, kept) = self.kept.pop_front().expect("twenty");
                    ensure!(*kept == own, "kept {} changed", brief(Some(&own)));
                }
            }
            Kind::ContainsKey => {
                let found = map.contains_key(key);
                ensure!(
                    found == expected.is_some(),
                    "{found} instead of {}",
                    brief(expected)
                );
            }
            _ => {
                let found = map.value_len(key);
                ensure!(
                    found == expected.map(<[u8]>::len),
                    "{found:?} instead of {}",
                    brief(expected)
                );
            }
        }
        Ok(())
    }

    fn write(&mut self, op: Op, key: &[u8]) -> Result<(), String> {
        let map = self.map;
        op.value(&mut self.buffer);
        let value = self.buffer.as_slice();
        match op.kind {
            Kind::Insert => {
                let before = self.model.insert(key.to_vec(), value.to_vec());
                let expected = if before.is_some() {
                    Inserted::Replaced
                } else {
                    Inserted::New
                };
                let found = map.insert(key, value);
                ensure!(found == Ok(expected), "{found:?} instead of {expected:?}");
            }
            Kind::InsertSwap => {
                let before = self.model.insert(key.to_vec(), value.to_vec());
                let found = map
                    .insert_swap(key, value)
                    .map_err(|error| error.to_string())?;
                ensure!(
                    found == before,
                    "{} instead of {}",
                    brief(found.as_deref()),
                    brief(before.as_deref())
                );
            }
            _ => {
                let absent = !self.model.contains_key(key);
                if absent {
                    self.model.insert(key.to_vec(), value.to_vec());
                }
                let expected = if absent {
                    Changed::Inserted
                } else {
                    Changed::Nothing
                };
                let found = map.insert_if_absent(key, value);
                ensure!(found == Ok(expected), "{found:?} instead of {expected:?}");
            }
        }
        Ok(())
    }

    /// `try_for_each` that stops early: each entry right and at most once, and it stops when told.
    fn scan_some(&mut self, op: Op) -> Result<(), String> {
        let most = op.tag as usize % (self.model.len() + 2);
        let mut seen = HashSet::new();
        let mut wrong = None;
        let flow = self.map.try_for_each(|key, value| {
            if self.model.get(key).map(Vec::as_slice) != Some(value) || !seen.insert(key.to_vec()) {
                wrong = Some(format!(
                    "{} with {} is wrong or a second time",
                    brief(Some(key)),
                    brief(Some(value))
                ));
            }
            if seen.len() == most || wrong.is_some() {
                ControlFlow::Break(seen.len())
            } else {
                ControlFlow::Continue(())
            }
        });
        ensure!(wrong.is_none(), "{}", wrong.unwrap_or_default());
        let stopped = most > 0 && most <= self.model.len();
        let expected = if stopped {
            ControlFlow::Break(most)
        } else {
            ControlFlow::Continue(())
        };
        ensure!(flow == expected, "{flow:?} instead of {expected:?}");
        ensure!(
            seen.len() == if stopped { most } else { self.model.len() },
            "{} entries seen",
            seen.len()
        );
        Ok(())
    }

    /// Every entry exactly once, with the right value.
    fn compare_all(&self) -> Result<(), String> {
        let mut seen = HashSet::with_capacity(self.model.len());
        let mut wrong = None;
        self.map
            .for_each(|key, value| match self.model.get_key_value(key) {
                // The model's own key stands for the map's: borrowed, it outlives the closure.
                Some((own, expected)) if expected == value && seen.insert(own.as_slice()) => {}
                _ => {
                    wrong = Some(format!(
                        "{} with {} is wrong or a second time",
                        brief(Some(key)),
                        brief(Some(value))
                    ))
                }
            });
        ensure!(wrong.is_none(), "for_each: {}", wrong.unwrap_or_default());
        ensure!(
            seen.len() == self.model.len(),
            "for_each saw {} of {} entries",
            seen.len(),
            self.model.len()
        );
        Ok(())
    }

    fn check(&self, pins: usize) -> Result<(), String> {
        self.compare_all()?;
        if pins > 0 {
            return Ok(());
        }
        let checked = internal::check(self.map)?;
        if !self.accounts {
            return Ok(());
        }
        let entries = self.model.len();
        ensure!(
            checked.entries == entries,
            "{checked:?}, and {entries} entries"
        );
        ensure!(
            checked.chunks_in_use == checked.chunks_reachable,
            "{checked:?}: chunks leak"
        );
        let payload: usize = self
            .model
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        let memory = self.map.memory();
        // Under AddressSanitizer entries lie apart.
        let overhead = if cfg!(cmap_asan) { 24 } else { 16 };
        ensure!(
            memory.live >= payload && memory.live <= payload + overhead * entries,
            "{memory:?}, and a payload of {payload} bytes in {entries} entries"
        );
        ensure!(
            entries > 0 || memory.live == 0,
            "{memory:?} without an entry"
        );
        Ok(())
    }
}
