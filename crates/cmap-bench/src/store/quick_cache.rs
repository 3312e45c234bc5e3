//! quick_cache behind the harness's trait.

use std::sync::Arc;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, UnitWeighter};

use super::{Hasher, Plan, Store, Unpinned};

type Inner = Cache<Box<[u8]>, Arc<[u8]>, UnitWeighter, Hasher>;

/// Its limit is out of reach, so that nothing is evicted. Its reads clone the value: hence an `Arc`, which is cheaper to
/// clone than a box.
pub struct QuickCache(Inner);

impl Store for QuickCache {
    type Session<'a> = Unpinned<'a, Self>;

    fn new(plan: &Plan) -> Self {
        let options = OptionsBuilder::new()
            // Decides the number of shards (at most four a core), and reserves nothing.
            .estimated_items_capacity(1 << 16)
            .weight_capacity(1 << 40)
            .build()
            .expect("both capacities are given");
        let lifecycle = DefaultLifecycle::default();
        Self(Cache::with_options(
            options,
            UnitWeighter,
            plan.hasher(),
            lifecycle,
        ))
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
        for (key, value) in self.0.iter() {
            visit(&key, &value);
        }
        true
    }
}
