//! Scans that hand out copies, go on from a cursor, or remove, on a map and its model.

use super::op::{Kind, Op};
use super::world::{World, brief, ensure};
use cmap::Cursor;
use std::{collections::HashMap, hash::BuildHasher};

impl<S: BuildHasher> World<'_, S> {
    pub(super) fn walk(&mut self, op: Op) -> Result<(), String> {
        let map = self.map;
        match op.kind {
            Kind::Keys => {
                let mut keys: Vec<_> = map.keys().collect();
                keys.sort_unstable();
                let mut expected: Vec<_> = self.model.keys().cloned().collect();
                expected.sort_unstable();
                ensure!(
                    keys == expected,
                    "{} keys, {} expected",
                    keys.len(),
                    expected.len()
                );
            }
            Kind::Iter => {
                let all: Vec<_> = map.iter().collect();
                self.are_all("iter", all)?;
            }
            Kind::Scan => {
                let max = op.tag as usize % 70;
                let (mut all, mut cursor) = (Vec::new(), Some(Cursor::START));
                while let Some(from) = cursor {
                    let before = all.len();
                    cursor = map.scan(from, max, |key, value| {
                        all.push((key.to_vec(), value.to_vec()))
                    });
                    ensure!(
                        cursor.is_none() || all.len() >= before + max.max(1),
                        "too few at once"
                    );
                }
                self.are_all("scan", all)?;
            }
            Kind::Retain => {
                let stays = |value: &[u8]| (value.len() as u32 ^ op.tag) % 3 > 0;
                let removed = map.retain(|_, value| stays(value));
                let before = self.model.len();
                self.model.retain(|_, value| stays(value));
                let expected = before - self.model.len();
                ensure!(
                    removed == expected,
                    "{removed} removed instead of {expected}"
                );
            }
            _ => {
                let most = op.tag as usize % (self.model.len() + 2);
                for (key, value) in map.drain().take(most) {
                    let expected = self.model.remove(&key);
                    ensure!(
                        expected.as_ref() == Some(&value),
                        "drained {} instead of {}",
                        brief(Some(&value)),
                        brief(expected.as_deref())
                    );
                }
            }
        }
        Ok(())
    }

    /// Whether these are the model's entries, each once.
    fn are_all(&self, what: &str, all: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), String> {
        let count = all.len();
        let all: HashMap<_, _> = all.into_iter().collect();
        ensure!(all.len() == count, "{what} shows a key twice");
        ensure!(
            all == self.model,
            "{what}: {count} of {} entries, or other values",
            self.model.len()
        );
        Ok(())
    }
}
