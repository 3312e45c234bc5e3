//! Counters that many threads feed and one empties, as a metrics agent does: no count is lost, and none is reported twice.
//!
//! `cargo run -p cmap-bytes --example counters [THREADS]` counts made-up requests and checks the sums.

use cmap::{CMap, Error};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    env,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Counters by name. A value is 8 bytes, little-endian: what `fetch_add` works on.
#[derive(Default)]
struct Counters(CMap);

impl Counters {
    /// Adds to a counter, which begins at 0. If one name gets most of the traffic, add up in the thread and come here once
    /// for every few hundred: threads that change one key take turns.
    ///
    /// # Errors
    /// Those of a map's writes; nothing is added then.
    fn add(&self, name: &[u8], count: u64) -> Result<(), Error> {
        self.0.fetch_add(name, count).map(drop)
    }

    /// The greatest `most` counters, greatest first. Nobody waits for it.
    fn top(&self, most: usize) -> Vec<(u64, Vec<u8>)> {
        let mut top = BinaryHeap::with_capacity(most + 1);
        self.0.for_each(|name, value| {
            let count = count(value);
            let least = top.peek().map_or(0, |Reverse((least, _))| *least);
            if top.len() < most || count > least {
                top.push(Reverse((count, name.to_vec())));
            }
            if top.len() > most {
                top.pop();
            }
        });
        let sorted = top.into_sorted_vec();
        sorted.into_iter().map(|Reverse(counter)| counter).collect()
    }

    /// Takes all counters out, for a report; they begin at 0 again. Each count goes into exactly one report: what is added before
    /// a counter is taken is in this one, what is added afterwards in the next.
    fn take_all(&self) -> impl Iterator<Item = (Vec<u8>, u64)> {
        self.0.drain().map(|(name, value)| (name, count(&value)))
    }
}

fn count(value: &[u8]) -> u64 {
    // Only `add` writes here, so they are always eight.
    value.try_into().map_or(0, u64::from_le_bytes)
}

/// Requests of one thread: a few paths get most of them.
fn requests(thread: u64, count: usize) -> impl Iterator<Item = String> {
    let mut rng = fastrand::Rng::with_seed(thread);
    (0..count).map(move |_| {
        let rank = (rng.f64() * 8.0).exp() as u64;
        let status = if rng.u8(..100) == 0 { 500 } else { 200 };
        format!("/page/{rank} {status}")
    })
}

fn main() -> Result<(), Failure> {
    const EACH: usize = 50_000;
    let threads: u64 = match env::args().nth(1) {
        Some(number) => number.parse()?,
        None => 8,
    };
    let counters = &Counters::default();
    let is_over = &AtomicBool::new(false);
    let (reports, mut reported) = thread::scope(|scope| {
        let reporter = scope.spawn(|| {
            let (mut reports, mut sums) = (0, BTreeMap::new());
            while !is_over.load(Ordering::Relaxed) {
                for (name, count) in counters.take_all() {
                    *sums.entry(name).or_insert(0) += count;
                }
                reports += 1;
                thread::yield_now();
            }
            (reports, sums)
        });
        let feed = |thread| {
            move || requests(thread, EACH).try_for_each(|name| counters.add(name.as_bytes(), 1))
        };
        let feeders: Vec<_> = (0..threads).map(|n| scope.spawn(feed(n))).collect();
        // All are joined before anything is said of any.
        let fed: Vec<_> = feeders.into_iter().map(|feeder| feeder.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        let reported = reporter.join();
        for feeder in fed {
            feeder.map_err(|_| "a feeder panicked")??;
        }
        reported.map_err(|_| Failure::from("the reporter panicked"))
    })?;

    let top = counters.top(3);
    assert!(top.is_sorted_by(|a, b| a.0 >= b.0) && top.len() <= 3);
    for (count, name) in &top {
        println!(
            "since the last report: {count} {}",
            String::from_utf8_lossy(name)
        );
    }
    for (name, count) in counters.take_all() {
        *reported.entry(name).or_insert(0) += count;
    }
    assert!(counters.0.is_empty());

    let mut expected: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for name in (0..threads).flat_map(|thread| requests(thread, EACH)) {
        *expected.entry(name.into_bytes()).or_insert(0) += 1;
    }
    assert!(
        reported == expected,
        "a count is lost, or was reported twice"
    );
    println!(
        "{} requests by {threads} threads, {} counters, {reports} reports",
        threads as usize * EACH,
        reported.len()
    );
    Ok(())
}
