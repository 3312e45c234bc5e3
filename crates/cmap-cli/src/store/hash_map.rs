//! `RwLock<HashMap<Vec<u8>, Vec<u8>>>`: what most programs start with.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use super::{Hasher, Store};

/// The standard library's map behind its lock.
pub struct HashMapStore(RwLock<HashMap<Vec<u8>, Vec<u8>, Hasher>>);

impl Store for HashMapStore {
    fn new(hasher: Hasher) -> Result<Self, String> {
        Ok(Self(RwLock::new(HashMap::with_hasher(hasher))))
    }

    fn insert(&self, key: &[u8], value: &[u8]) -> Result<(), String> {
        // Copied before the lock is taken, and the old value freed after it is released, as a careful user would.
        let (key, value) = (key.to_vec(), value.to_vec());
        let _old = self
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, value);
        Ok(())
    }

    fn get_with<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .map(|value| read(value))
    }

    fn remove(&self, key: &[u8]) -> bool {
        let old = self
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove_entry(key);
        old.is_some()
    }

    fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}
