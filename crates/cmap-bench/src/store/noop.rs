//! The harness and the hash alone: what every other figure contains.

use std::hash::BuildHasher;
use std::hint::black_box;

use super::{Hasher, Plan, Store, Unpinned};
use crate::entry::VALUE_BYTES;

/// Stores nothing, and finds the same value for each key.
pub struct Noop {
    hasher: Hasher,
    value: [u8; VALUE_BYTES],
}

impl Store for Noop {
    type Session<'a> = Unpinned<'a, Self>;

    fn new(plan: &Plan) -> Self {
        Self {
            hasher: plan.hasher(),
            value: [7; VALUE_BYTES],
        }
    }

    fn session(&self) -> Unpinned<'_, Self> {
        Unpinned(self)
    }

    #[inline(always)]
    fn get<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        black_box(self.hasher.hash_one(key));
        Some(read(black_box(&self.value)))
    }

    #[inline]
    fn get_copy(&self, key: &[u8]) -> Option<Vec<u8>> {
        black_box(self.hasher.hash_one(key));
        Some(black_box(&self.value[..3]).to_vec())
    }

    #[inline]
    fn insert(&self, key: &[u8], value: &[u8]) {
        black_box(self.hasher.hash_one(key));
        black_box(value);
    }

    #[inline]
    fn remove(&self, key: &[u8]) -> bool {
        black_box(self.hasher.hash_one(key)) != 0
    }

    fn for_each(&self, _visit: impl FnMut(&[u8], &[u8])) -> bool {
        false
    }
}
