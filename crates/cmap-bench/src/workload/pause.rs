//! Pauses: one writer grows a map, and each insert is timed.
//!
//! The noise loop is the same loop over the same entries, and only appends their bytes to fresh huge pages: what the
//! machine itself interrupts shows there too. The *excess* is the store's quantile minus the noise loop's. Both find memory
//! that was used lately, see [`Warm`], as long as they take it as evenly as they grow: what the host of a virtual machine makes
//! its guest wait for is no property of a store.

use std::time::Instant;

use hdrhistogram::Histogram;

use super::{Out, buffer};
use crate::job::Job;
use crate::machine::minor_faults;
use crate::pages::{Pages, Warm, allow_huge_pages};
use crate::store::{Store, Variant};

/// The quantiles that are printed; 1 is the worst.
pub const QUANTILES: [(f64, &str); 6] = [
    (0.5, "p50"),
    (0.99, "p99"),
    (0.999, "p99.9"),
    (0.9999, "p99.99"),
    (0.99999, "p99.999"),
    (1.0, "worst"),
];
const MICROSECOND: f64 = 1000.0;
/// The tail whose page faults are counted.
const TAIL: f64 = 0.9999;

/// Quantiles of the noise and of the store, and the excess.
pub fn run<S: Store>(job: &Job, out: &mut Out) {
    // The rivals run without huge pages, the noise loop never.
    let allowed = allow_huge_pages(true);
    let noise = noise(job);
    allow_huge_pages(allowed);
    let store = S::new(&job.plan());
    let inserts = record(job, warm_for_store(job), |key, value| {
        store.insert(key, value)
    });
    for (quantile, name) in QUANTILES {
        let noise = noise.value_at_quantile(quantile) as f64 / MICROSECOND;
        let insert = inserts.value_at_quantile(quantile) as f64 / MICROSECOND;
        out.plain(format!("insert {name}, noise"), "µs", noise);
        out.plain(format!("insert {name}"), "µs", insert);
        out.plain(format!("insert {name}, excess"), "µs", insert - noise);
    }
}

fn noise(job: &Job) -> Histogram<u64> {
    let payload = job.sequence().payload(0..job.entries) as usize;
    let mut pages = Pages::new(payload).expect("memory for the noise loop");
    let mut rest = pages.as_mut_slice();
    record(job, Warm::new(payload), |key, value| {
        let (entry, after) = std::mem::take(&mut rest).split_at_mut(key.len() + value.len());
        entry[..key.len()].copy_from_slice(key);
        entry[key.len()..].copy_from_slice(value);
        rest = after;
    })
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds in order")
}

/// What the store will take while it grows: nothing if it holds that already.
fn warm_for_store(job: &Job) -> Warm {
    Warm::new(match job.variant {
        Variant::Preallocated => 0,
        Variant::Default | Variant::Maintained => job.bytes_needed() as usize,
    })
}

fn record(job: &Job, mut warm: Warm, mut insert: impl FnMut(&[u8], &[u8])) -> Histogram<u64> {
    let entries = job.sequence();
    let mut times = histogram();
    let mut value = buffer();
    for n in 0..job.entries {
        warm.give_back(n, job.entries);
        let key = entries.key(n);
        let value = entries.value(n, 0, &mut value);
        let start = Instant::now();
        insert(&key, value);
        times.saturating_record(start.elapsed().as_nanos() as u64);
    }
    times
}

/// How much of the slowest 1 in 10 000 are page faults. It asks the system after each insert, which is why it is a run of
/// its own.
pub fn faults<S: Store>(job: &Job, out: &mut Out) {
    let entries = job.sequence();
    let store = S::new(&job.plan());
    let (mut all, mut faulting) = (histogram(), histogram());
    let mut value = buffer();
    let mut warm = warm_for_store(job);
    let mut faults = minor_faults();
    for n in 0..job.entries {
        warm.give_back(n, job.entries);
        let key = entries.key(n);
        let value = entries.value(n, 0, &mut value);
        let start = Instant::now();
        store.insert(&key, value);
        let nanos = start.elapsed().as_nanos() as u64;
        all.saturating_record(nanos);
        let now = minor_faults();
        if now != faults {
            faulting.saturating_record(nanos);
            faults = now;
        }
    }
    let from = all.value_at_quantile(TAIL);
    let tail = all.count_between(from, u64::MAX).max(1);
    let share = faulting.count_between(from, u64::MAX) as f64 / tail as f64;
    out.plain("insert, faults in the tail", "ratio", share);
}
