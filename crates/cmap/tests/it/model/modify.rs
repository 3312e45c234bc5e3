//! Read-modify-write, on a map and its model.

use super::op::{Kind, Op};
use super::world::{World, brief, ensure};
use cmap::{Changed, Error, Inserted, Op as Do};
use std::hash::BuildHasher;

/// Beyond this, what was appended to is not appended to again.
const APPENDED_MAX: usize = 20_000;

impl<S: BuildHasher> World<'_, S> {
    pub(super) fn modify(&mut self, op: Op, key: &[u8]) -> Result<(), String> {
        op.value(&mut self.buffer);
        match op.kind {
            Kind::InsertWith => self.insert_with(key),
            Kind::GetOrInsertWith => self.get_or_insert_with(key),
            Kind::FetchAdd => self.fetch_add(op, key),
            Kind::Append => self.append(key),
            Kind::RemoveIf => self.remove_if(op, key),
            _ => self.change(op, key),
        }
    }

    /// `replace`, `compare_and_swap` and `compute`.
    fn change(&mut self, op: Op, key: &[u8]) -> Result<(), String> {
        let (map, value) = (self.map, self.buffer.as_slice());
        let old = self.model.get(key).cloned();
        let wanted = (op.tag % 4 > 0).then_some(value);
        let (found, after) = match op.kind {
            Kind::Replace => (map.replace(key, value), old.as_deref().map(|_| value)),
            Kind::CompareAndSwap if op.tag % 3 == 0 => {
                // What is not there, by a little.
                let other = match old.as_deref() {
                    None | Some([]) => Some(vec![1]),
                    Some([first, rest @ ..]) => Some([&[first ^ 1], rest].concat()),
                };
                let found = map.compare_and_swap(key, other.as_deref(), wanted);
                (found, old.as_deref())
            }
            Kind::CompareAndSwap => (map.compare_and_swap(key, old.as_deref(), wanted), wanted),
            _ => {
                let (mut shown, mut runs) = (None, 0);
                let found = map.compute(key, |held| {
                    (shown, runs) = (held.map(<[u8]>::to_vec), runs + 1);
                    match (op.tag % 3, wanted) {
                        (0, _) => Do::Keep,
                        (_, None) => Do::Remove,
                        (_, Some(value)) => Do::Put(value),
                    }
                });
                ensure!(runs == 1, "the closure ran {runs} times");
                ensure!(shown == old, "compute shows {}", brief(shown.as_deref()));
                let after = if op.tag % 3 == 0 {
                    old.as_deref()
                } else {
                    wanted
                };
                (found, after)
            }
        };
        let is_write = match op.kind {
            Kind::Replace => old.is_some(),
            _ => op.tag % 3 > 0,
        };
        let expected = match (old.as_deref(), after) {
            (None, None) => Changed::Nothing,
            _ if !is_write => Changed::Nothing,
            (None, Some(_)) => Changed::Inserted,
            (Some(_), None) => Changed::Removed,
            (Some(_), Some(_)) => Changed::Replaced,
        };
        ensure!(found == Ok(expected), "{found:?} instead of {expected:?}");
        match after {
            Some(after) => drop(self.model.insert(key.to_vec(), after.to_vec())),
            None => drop(self.model.remove(key)),
        }
        Ok(())
    }

    fn insert_with(&mut self, key: &[u8]) -> Result<(), String> {
        let value = self.buffer.as_slice();
        let mut were_zeros = false;
        let found = self.map.insert_with(key, value.len(), |place| {
            were_zeros = place.iter().all(|&byte| byte == 0);
            place.copy_from_slice(value);
        });
        let before = self.model.insert(key.to_vec(), value.to_vec());
        let expected = before.map_or(Inserted::New, |_| Inserted::Replaced);
        ensure!(found == Ok(expected), "{found:?} instead of {expected:?}");
        ensure!(were_zeros, "the closure was not shown zeros");
        Ok(())
    }

    fn get_or_insert_with(&mut self, key: &[u8]) -> Result<(), String> {
        let value = self.buffer.as_slice();
        let mut runs = 0;
        let found = self.map.get_or_insert_with(key, || {
            runs += 1;
            value
        });
        let absent = !self.model.contains_key(key);
        let expected = self
            .model
            .entry(key.to_vec())
            .or_insert_with(|| value.to_vec());
        ensure!(
            found.as_ref() == Ok(expected),
            "{found:?} instead of {}",
            brief(Some(expected))
        );
        ensure!(runs == usize::from(absent), "the closure ran {runs} times");
        Ok(())
    }

    fn fetch_add(&mut self, op: Op, key: &[u8]) -> Result<(), String> {
        let delta = if op.tag % 5 == 0 {
            u64::MAX - 3
        } else {
            u64::from(op.tag)
        };
        let expected = match self.model.get(key) {
            None => Ok(0),
            Some(bytes) => <[u8; 8]>::try_from(bytes.as_slice())
                .map(u64::from_le_bytes)
                .map_err(|_| Error::NotACounter { len: bytes.len() }),
        };
        let found = self.map.fetch_add(key, delta);
        ensure!(found == expected, "{found:?} instead of {expected:?}");
        if let Ok(before) = expected {
            let after = before.wrapping_add(delta).to_le_bytes();
            self.model.insert(key.to_vec(), after.to_vec());
        }
        Ok(())
    }

    fn append(&mut self, key: &[u8]) -> Result<(), String> {
        if self
            .model
            .get(key)
            .is_some_and(|held| held.len() > APPENDED_MAX)
        {
            return Ok(());
        }
        let held = self.model.entry(key.to_vec()).or_default();
        held.extend_from_slice(&self.buffer);
        let found = self.map.append(key, &self.buffer);
        ensure!(
            found == Ok(held.len()),
            "{found:?} instead of {}",
            held.len()
        );
        Ok(())
    }

    fn remove_if(&mut self, op: Op, key: &[u8]) -> Result<(), String> {
        let mut shown = None;
        let removed = self.map.remove_if(key, |held| {
            shown = Some(held.to_vec());
            op.tag % 4 > 0
        });
        let held = self.model.get(key);
        ensure!(
            shown.as_ref() == held,
            "shown {} instead of {}",
            brief(shown.as_deref()),
            brief(held.map(Vec::as_slice))
        );
        let expected = held.is_some() && op.tag % 4 > 0;
        ensure!(removed == expected, "{removed} instead of {expected}");
        if removed {
            self.model.remove(key);
        }
        Ok(())
    }
}
