//! The standard library's map behind a lock: what the tests hold every store's checksums against.

use std::collections::HashMap;
use std::sync::RwLock;

use super::{Hasher, Plan, Store, Unpinned};

/// The model.
pub struct StdMap(RwLock<HashMap<Vec<u8>, Vec<u8>, Hasher>>);

impl Store for StdMap {
    type Session<'a> = Unpinned<'a, Self>;

    fn new(plan: &Plan) -> Self {
        Self(RwLock::new(HashMap::with_hasher(plan.hasher())))
    }

    fn session(&self) -> Unpinned<'_, Self> {
        Unpinned(self)
    }

    fn get<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.read().unwrap().get(key).map(|value| read(value))
    }

    fn get_copy(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.read().unwrap().get(key).cloned()
    }

    fn insert(&self, key: &[u8], value: &[u8]) {
        self.0.write().unwrap().insert(key.into(), value.into());
    }

    fn remove(&self, key: &[u8]) -> bool {
        self.0.write().unwrap().remove(key).is_some()
    }

    fn for_each(&self, mut visit: impl FnMut(&[u8], &[u8])) -> bool {
        for (key, value) in self.0.read().unwrap().iter() {
            visit(key, value);
        }
        true
    }
}
