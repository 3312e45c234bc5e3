//! segcache behind the harness's trait: CMap's nearest relative, a cache of fixed size.
//!
//! It cannot grow, so it is sized for all that is ever appended, with half as much again. It hashes with aHash, which
//! cannot be changed, has no iteration, and does not run the churns, whose garbage it would get rid of together with
//! live entries.

use std::time::Duration;

use segcache::{Policy, Segcache, Value};

use super::{Plan, Store, Unpinned};

/// What an entry takes besides its payload, with room to spare.
const ENTRY_BYTES_EXTRA: u64 = 24;
const SLOTS_PER_ENTRY: u64 = 6;
const SEGMENT_BYTES: i32 = 1 << 20;

/// A cache that never evicts.
pub struct SegCache(Segcache);

impl Store for SegCache {
    type Session<'a> = Unpinned<'a, Self>;

    fn new(plan: &Plan) -> Self {
        let mean = plan.payload_bytes / plan.entries.max(1) + ENTRY_BYTES_EXTRA;
        let heap = (plan.entries + plan.updates) * mean * 3 / 2 + (64 << 20);
        // A key has two buckets of 8 slots, and an insert fails when both are full.
        let slots = (plan.entries * SLOTS_PER_ENTRY).max(1 << 16);
        let cache = Segcache::builder()
            .hash_power(slots.next_power_of_two().trailing_zeros() as u8)
            .heap_size((heap as usize).next_multiple_of(SEGMENT_BYTES as usize))
            .segment_size(SEGMENT_BYTES)
            .eviction(Policy::None)
            .build();
        Self(cache.expect("memory for the cache"))
    }

    fn session(&self) -> Unpinned<'_, Self> {
        Unpinned(self)
    }

    #[inline(always)]
    fn get<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let item = self.0.get(key)?;
        match item.value() {
            Value::Bytes(value) => Some(read(value)),
            Value::U64(_) => unreachable!("no numbers are stored"),
        }
    }

    #[inline]
    fn get_copy(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.get(key, <[u8]>::to_vec)
    }

    #[inline]
    fn insert(&self, key: &[u8], value: &[u8]) {
        self.0
            .insert(key, value, None, Duration::ZERO)
            .expect("sized for all that is appended");
    }

    #[inline]
    fn remove(&self, key: &[u8]) -> bool {
        self.0.delete(key)
    }

    fn for_each(&self, _visit: impl FnMut(&[u8], &[u8])) -> bool {
        false
    }
}
