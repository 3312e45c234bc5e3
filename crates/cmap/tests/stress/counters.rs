//! A counter that all threads of a test add to: its sum is exact when the last of them has ended.

use super::THREADS;
use crate::common::key_bytes;
use cmap::CMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What the threads on one map have added.
#[derive(Default)]
pub struct Sum {
    added: AtomicU64,
    ended: AtomicUsize,
}

/// One thread that adds to the counter.
pub struct Adder<'m> {
    map: &'m CMap,
    key: [u8; 16],
    added: u64,
    /// The counter after this thread's last addition.
    after: u64,
}

impl<'m> Adder<'m> {
    /// Adds to the counter of key `number`, which nobody writes but adders.
    pub fn new(map: &'m CMap, number: u64) -> Self {
        Self {
            map,
            key: key_bytes(number),
            added: 0,
            after: 0,
        }
    }

    pub fn add(&mut self, delta: u64) {
        let before = self.map.fetch_add(&self.key, delta);
        let before = before.expect("there is memory, and a counter");
        assert!(
            before >= self.after,
            "the counter stood at {} after an addition, and then at {before}",
            self.after
        );
        self.added += delta;
        self.after = before + delta;
    }

    /// The last of the threads finds what all have added.
    pub fn end(&self, sum: &Sum) {
        sum.added.fetch_add(self.added, Ordering::SeqCst);
        if sum.ended.fetch_add(1, Ordering::SeqCst) + 1 == THREADS {
            let all = sum.added.load(Ordering::SeqCst);
            let found = self.map.get(&self.key).unwrap_or_default();
            assert_eq!(found, all.to_le_bytes(), "all have added {all}");
        }
    }
}
