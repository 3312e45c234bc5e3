//! DashMap behind the harness's trait.

use dashmap::DashMap;

use super::{Hasher, Plan, Store, Unpinned};

/// Boxed keys and values, shards by its own choice.
pub struct Dashmap(DashMap<Box<[u8]>, Box<[u8]>, Hasher>);

impl Store for Dashmap {
    type Session<'a> = Unpinned<'a, Self>;

    fn new(plan: &Plan) -> Self {
        Self(DashMap::with_hasher(plan.hasher()))
    }

    fn session(&self) -> Unpinned<'_, Self> {
        Unpinned(self)
    }

    #[inline(always)]
    fn get<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.get(key).map(|value| read(&value))
    }

    #[inline]
    fn get_copy(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key).map(|value| value.to_vec())
    }

    #[inline]
    fn insert(&self, key: &[u8], value: &[u8]) {
        self.0.insert(key.into(), value.into());
    }

    #[inline]
    fn remove(&self, key: &[u8]) -> bool {
        self.0.remove(key).is_some()
    }

    fn for_each(&self, mut visit: impl FnMut(&[u8], &[u8])) -> bool {
        for entry in &self.0 {
            visit(entry.key(), entry.value());
        }
        true
    }

    fn shrink(&self) {
        self.0.shrink_to_fit();
    }
}
