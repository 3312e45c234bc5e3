//! Churn: the oldest entry goes and a new one comes, until everything was replaced some times over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Out, buffer, fill, share, timed};
use crate::entry::digest;
use crate::job::Job;
use crate::machine::{resident, resident_roughly};
use crate::rng::mix;
use crate::store::Store;

const POLL: Duration = Duration::from_millis(20);

/// Time per removal and insertion; memory at the end and at the peak; and what is left, read once.
pub fn run<S: Store>(job: &Job, out: &mut Out) {
    let plan = job.plan();
    let entries = job.sequence();
    let before = resident().bytes;
    let before_roughly = resident_roughly();
    let store = S::new(&plan);
    fill(job, &store);

    // Each thread replaces its own share of 0..entries; in generation `g` its entries are numbered from `g * entries` on.
    let total = job.entries * job.turnovers;
    let over = AtomicBool::new(false);
    let (churned, peak) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = resident_roughly();
            // Relaxed: it says when to stop, and carries nothing.
            while !over.load(Ordering::Relaxed) {
                std::thread::park_timeout(POLL);
                peak = peak.max(resident_roughly());
            }
            peak
        });
        let churned = timed(job.threads, |thread| {
            let mut value = buffer();
            let mut removed = 0;
            for turn in 0..job.turnovers {
                for i in share(job.entries, job.threads, thread) {
                    let old = turn * job.entries + i;
                    let new = old + job.entries;
                    removed += u64::from(store.remove(&entries.key(old)));
                    store.insert(&entries.key(new), entries.value(new, 0, &mut value));
                }
            }
            removed
        });
        // Relaxed: as above.
        over.store(true, Ordering::Relaxed);
        watch.thread().unpark();
        (churned, watch.join().expect("watching memory"))
    });
    let end = resident().bytes;
    out.timed("churn", total, &churned);

    let live = total..total + job.entries;
    let payload = entries.payload(live.clone()) as f64;
    let peak = (peak.max(end) as f64 - before_roughly as f64).max(end as f64 - before as f64);
    let end = end as f64 - before as f64;
    out.plain("churn, memory at the end", "of payload", end / payload);
    out.plain("churn, memory at the peak", "of payload", peak / payload);
    let overhead = (end - payload) / job.entries as f64;
    out.plain("overhead, churned", "bytes/entry", overhead);

    let read = timed(1, |_| {
        live.clone().fold(0u64, |sum, n| {
            let read = store.get(&entries.key(n), digest);
            sum.wrapping_add(mix(n).wrapping_mul(read.unwrap_or(0)))
        })
    });
    out.checked(
        "churn, what is left",
        "entries",
        job.entries as f64,
        read.checksum,
    );
}
