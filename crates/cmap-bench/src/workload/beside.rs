//! A reader alone, then the same reader beside a writer that replaces values as fast as it can.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Out, Timed, buffer, fill, timed};
use crate::entry::digest;
use crate::job::Job;
use crate::machine::Placed;
use crate::rng::Rng;
use crate::store::Store;

/// The reader's time in both settings, and the writer's.
pub fn run<S: Store>(job: &Job, out: &mut Out) {
    let store = S::new(&job.plan());
    fill(job, &store);
    let alone = timed(1, |_| read(job, &store));
    out.timed("reader alone", job.ops, &alone);

    let over = AtomicBool::new(false);
    let (beside, (writes, writing)) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let _place = Placed::on(1);
            write(job, &store, &over)
        });
        let _place = Placed::on(0);
        let beside = timed(1, |_| read(job, &store));
        // Relaxed: it says when to stop, and carries nothing.
        over.store(true, Ordering::Relaxed);
        (beside, writer.join().expect("the writer"))
    });
    out.timed("reader beside a writer", job.ops, &beside);
    let slower = beside.wall.as_secs_f64() / alone.wall.as_secs_f64();
    out.plain("reader beside a writer, against alone", "ratio", slower);
    out.timed("writer beside a reader", writes, &writing);
}

fn read<S: Store>(job: &Job, store: &S) -> u64 {
    let entries = job.sequence();
    let mut rng = Rng::new(job.seed, 1, 0);
    let mut sum = 0u64;
    for _ in 0..job.ops {
        let key = entries.key(rng.below(job.entries));
        sum = sum.wrapping_add(store.get(&key, digest).unwrap_or(0));
    }
    sum
}

fn write<S: Store>(job: &Job, store: &S, over: &AtomicBool) -> (u64, Timed) {
    let entries = job.sequence();
    let mut rng = Rng::new(job.seed, 2, 1);
    let mut value = buffer();
    let mut writes = 0;
    let writing = Timed::alone(|| {
        // Relaxed: as above.
        while !over.load(Ordering::Relaxed) {
            for _ in 0..64 {
                let n = rng.below(job.entries);
                writes += 1;
                store.insert(&entries.key(n), entries.value(n, writes, &mut value));
            }
        }
        0
    });
    (writes, writing)
}
