//! CMap behind the harness's trait.

use cmap::{CMap, ChunkPool, Maintenance, Pinned, PoolConfig};

use super::{Hasher, Plan, Session, Store, Variant};
use crate::entry::{Key, VALUE_BYTES};

/// A map with default settings, unless the plan's variant says otherwise.
pub struct Cmap(CMap<Hasher>);

impl Store for Cmap {
    type Session<'a> = CmapSession<'a>;

    fn new(plan: &Plan) -> Self {
        let builder = CMap::builder().hasher(plan.hasher());
        let builder = match plan.variant {
            Variant::Default => builder,
            Variant::Maintained => builder.maintenance(Maintenance::Thread),
            Variant::Preallocated => {
                let pool = ChunkPool::new(PoolConfig::default()).expect("a pool");
                // What 24 bytes of overhead an entry come to, and the chunks that the lanes hold open.
                let bytes = plan.payload_bytes + plan.entries * 24 + (64 << 20);
                pool.preallocate(bytes as usize)
                    .expect("memory for the pool");
                builder.pool(&pool)
            }
        };
        Self(builder.build().expect("a map"))
    }

    fn session(&self) -> CmapSession<'_> {
        CmapSession(self.0.pin())
    }

    #[inline(always)]
    fn get<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.get_with(key, read)
    }

    #[inline]
    fn get_copy(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key)
    }

    #[inline]
    fn insert(&self, key: &[u8], value: &[u8]) {
        self.0.insert(key, value).expect("memory for an entry");
    }

    fn insert_many(&self, entries: impl Iterator<Item = (Key, [u8; VALUE_BYTES])>) {
        self.0.insert_many(entries).expect("memory for entries");
    }

    fn remove_many(&self, keys: &[Key]) -> usize {
        self.0.remove_many(keys)
    }

    #[inline]
    fn remove(&self, key: &[u8]) -> bool {
        self.0.remove(key)
    }

    fn for_each(&self, visit: impl FnMut(&[u8], &[u8])) -> bool {
        self.0.for_each(visit);
        true
    }

    fn shrink(&self) {
        self.0.shrink_to_fit();
    }

    fn chunks_in_use(&self) -> Option<usize> {
        Some(self.0.stats().chunks_in_use)
    }
}

/// A held pin.
pub struct CmapSession<'a>(Pinned<'a, Hasher>);

impl Session for CmapSession<'_> {
    #[inline]
    fn get<R>(&mut self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.get(key).map(read)
    }

    fn get_many(&mut self, keys: &[Key], visit: impl FnMut(usize, Option<&[u8]>)) {
        self.0.get_many(keys, visit);
    }

    fn repin(&mut self) {
        self.0.repin();
    }
}
