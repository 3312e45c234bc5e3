//! `CMap`, the map of this project.

use cmap::CMap;

use super::{Hasher, Store};

/// A `CMap` as its builder makes it, but for the hasher.
pub struct CMapStore(CMap<Hasher>);

impl Store for CMapStore {
    fn new(hasher: Hasher) -> Result<Self, String> {
        CMap::builder()
            .hasher(hasher)
            .build()
            .map(Self)
            .map_err(|error| error.to_string())
    }

    fn insert(&self, key: &[u8], value: &[u8]) -> Result<(), String> {
        self.0
            .insert(key, value)
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    fn get_with<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.get_with(key, read)
    }

    fn remove(&self, key: &[u8]) -> bool {
        self.0.remove(key)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}
