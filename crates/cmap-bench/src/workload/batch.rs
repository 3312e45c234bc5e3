//! Whole batches written: `insert_many` from nothing, `remove_many` in random order.

use super::steady::BATCH;
use super::{Out, share, timed};
use crate::entry::{KEY_BYTES, Sizes};
use crate::job::Job;
use crate::rng::Order;
use crate::store::Store;

/// Both.
pub fn run<S: Store>(job: &Job, out: &mut Out) {
    assert_eq!(
        job.sizes,
        Sizes::Fixed,
        "batches carry values of fixed size"
    );
    let entries = job.sequence();
    let store = S::new(&job.plan());
    out.gate();
    let filled = timed(job.threads, |thread| {
        let mut todo = share(job.entries, job.threads, thread);
        while !todo.is_empty() {
            let some = todo.start..todo.end.min(todo.start + BATCH as u64);
            todo.start = some.end;
            store.insert_many(some.map(|n| (entries.key(n), entries.fixed_value(n, 0))));
        }
        0
    });
    out.timed("fill, batched", job.entries, &filled);

    let order = Order::new(job.entries, job.seed ^ 4);
    out.gate();
    let removed = timed(job.threads, |thread| {
        let mut keys = [[0; KEY_BYTES]; BATCH];
        let mut removed = 0;
        let mut todo = share(job.entries, job.threads, thread);
        while !todo.is_empty() {
            let keys = &mut keys[..BATCH.min((todo.end - todo.start) as usize)];
            for (key, i) in keys.iter_mut().zip(&mut todo) {
                *key = entries.key(order.at(i));
            }
            removed += store.remove_many(keys) as u64;
        }
        removed
    });
    out.timed("remove, batched", job.entries, &removed);
}
