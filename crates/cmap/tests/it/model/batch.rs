//! Batches, on a map and its model.

use super::op::{Kind, Op};
use super::world::{World, ensure};
use std::hash::BuildHasher;

/// Keys of a batch at most: more than two of the groups whose misses overlap.
const KEYS_MAX: usize = 40;
/// Longer values are cut: there are many of them.
const VALUE_MAX: usize = 5_000;

impl<S: BuildHasher> World<'_, S> {
    pub(super) fn batch(&mut self, op: Op) -> Result<(), String> {
        let all = self.keys;
        // In strides, which may come back to the same key.
        let stride = 1 + op.tag as usize / KEYS_MAX;
        let keys: Vec<&[u8]> = (0..op.tag as usize % KEYS_MAX)
            .map(|n| all[(op.key as usize + n * stride) % all.len()].as_slice())
            .collect();
        match op.kind {
            Kind::GetMany => self.get_many(&keys),
            Kind::InsertMany => self.insert_many(op, &keys),
            _ => {
                let removed = self.map.remove_many(&keys);
                let is_there = |key: &&&[u8]| self.model.remove(**key).is_some();
                let expected = keys.iter().filter(is_there).count();
                ensure!(removed == expected, "{removed} instead of {expected}");
                Ok(())
            }
        }
    }

    fn get_many(&self, keys: &[&[u8]]) -> Result<(), String> {
        let map = self.map;
        keys.iter().for_each(|key| map.prefetch(map.hash_key(key)));
        let expected: Vec<_> = keys
            .iter()
            .map(|key| self.model.get(*key).cloned())
            .collect();
        let there = expected.iter().flatten().count();
        let (mut found, mut numbers) = (Vec::new(), Vec::new());
        let hits = map.get_many(keys, |n, value| {
            numbers.push(n);
            found.push(value.map(<[u8]>::to_vec));
        });
        ensure!(numbers.into_iter().eq(0..keys.len()), "not each key once");
        ensure!(found == expected && hits == there, "{hits} hits of {there}");
        let pinned = map.pin();
        let mut found = vec![None; keys.len()];
        let hits = pinned.get_many(keys, |n, value| found[n] = value);
        let is_right = found.into_iter().eq(expected.iter().map(Option::as_deref));
        ensure!(is_right && hits == there, "pinned, {hits} hits of {there}");
        Ok(())
    }

    fn insert_many(&mut self, op: Op, keys: &[&[u8]]) -> Result<(), String> {
        op.value(&mut self.buffer);
        self.buffer.truncate(VALUE_MAX);
        let value = |n: usize| &self.buffer[..self.buffer.len() * (n + 1) / KEYS_MAX];
        let entries = keys.iter().enumerate().map(|(n, &key)| (key, value(n)));
        let stored = self.map.insert_many(entries.clone());
        self.model
            .extend(entries.map(|(key, value)| (key.to_vec(), value.to_vec())));
        ensure!(stored == Ok(keys.len()), "{stored:?} of {}", keys.len());
        Ok(())
    }
}
