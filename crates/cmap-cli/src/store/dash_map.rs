//! `DashMap<Box<[u8]>, Box<[u8]>>`: the usual next step, many small maps each behind a lock.

use dashmap::DashMap;

use super::{Hasher, Store};

/// The map of the crate `dashmap`, with as many shards as it chooses by itself.
pub struct DashMapStore(DashMap<Box<[u8]>, Box<[u8]>, Hasher>);

impl Store for DashMapStore {
    fn new(hasher: Hasher) -> Result<Self, String> {
        Ok(Self(DashMap::with_hasher(hasher)))
    }

    fn insert(&self, key: &[u8], value: &[u8]) -> Result<(), String> {
        self.0.insert(key.into(), value.into());
        Ok(())
    }

    fn get_with<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.get(key).map(|value| read(&value))
    }

    fn remove(&self, key: &[u8]) -> bool {
        self.0.remove(key).is_some()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}
