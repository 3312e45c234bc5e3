//! What people make by hand: shards of hashbrown, each under a lock. The key is hashed once.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::RwLock;

use super::{Hasher, Plan, Store, Unpinned};

const SHARDS: usize = 64;

type Shard = HashTable<(Box<[u8]>, Box<[u8]>)>;

/// A shard on its own pair of cache lines.
#[repr(align(128))]
struct Padded(RwLock<Shard>);

/// 64 shards with boxed keys and values.
pub struct Sharded {
    shards: Box<[Padded]>,
    hasher: Hasher,
}

impl Sharded {
    #[inline]
    fn locate(&self, key: &[u8]) -> (u64, &RwLock<Shard>) {
        let hash = self.hasher.hash_one(key);
        // hashbrown uses the lowest bits and the seven highest.
        let shard = (hash >> 51) as usize % SHARDS;
        (hash, &self.shards[shard].0)
    }
}

impl Store for Sharded {
    type Session<'a> = Unpinned<'a, Self>;

    fn new(plan: &Plan) -> Self {
        Self {
            shards: (0..SHARDS)
                .map(|_| Padded(RwLock::new(HashTable::new())))
                .collect(),
            hasher: plan.hasher(),
        }
    }

    fn session(&self) -> Unpinned<'_, Self> {
        Unpinned(self)
    }

    #[inline(always)]
    fn get<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let (hash, shard) = self.locate(key);
        let shard = shard.read();
        let (_, value) = shard.find(hash, |(k, _)| **k == *key)?;
        Some(read(value))
    }

    #[inline]
    fn get_copy(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.get(key, <[u8]>::to_vec)
    }

    #[inline]
    fn insert(&self, key: &[u8], value: &[u8]) {
        let (hash, shard) = self.locate(key);
        let (key, value): (Box<[u8]>, Box<[u8]>) = (key.into(), value.into());
        let mut shard = shard.write();
        let rehash = |(k, _): &(Box<[u8]>, Box<[u8]>)| self.hasher.hash_one(&**k);
        match shard.entry(hash, |(k, _)| *k == key, rehash) {
            Entry::Occupied(mut slot) => slot.get_mut().1 = value,
            Entry::Vacant(slot) => drop(slot.insert((key, value))),
        }
    }

    #[inline]
    fn remove(&self, key: &[u8]) -> bool {
        let (hash, shard) = self.locate(key);
        let removed = match shard.write().find_entry(hash, |(k, _)| **k == *key) {
            Ok(slot) => Some(slot.remove().0),
            Err(_) => None,
        };
        removed.is_some()
    }

    fn for_each(&self, mut visit: impl FnMut(&[u8], &[u8])) -> bool {
        for shard in &self.shards {
            for (key, value) in shard.0.read().iter() {
                visit(key, value);
            }
        }
        true
    }

    fn shrink(&self) {
        for shard in &self.shards {
            let rehash = |(k, _): &(Box<[u8]>, Box<[u8]>)| self.hasher.hash_one(&**k);
            shard.0.write().shrink_to_fit(rehash);
        }
    }
}
