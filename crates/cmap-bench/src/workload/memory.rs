//! Memory: just filled, while growing, after deletes, after overwrites, and how long it takes to give it all back.

use std::time::Instant;

use super::{Out, buffer, fill, share, timed};
use crate::entry::digest;
use crate::job::Job;
use crate::machine::{Resident, resident};
use crate::rng::{Order, mix};
use crate::store::Store;

/// The first size of [`growth`], and the factor between two.
const GROWTH_FROM: u64 = 1_000_000;
const GROWTH_FACTOR: f64 = 1.2;
/// Inserts between two looks at the chunks in use.
const LOOK: u64 = 256;

fn above(before: Resident) -> f64 {
    resident().bytes as f64 - before.bytes as f64
}

/// Overhead of a map of the job's size. One thread fills it, so that no thread's own memory is counted.
pub fn filled<S: Store>(job: &Job, out: &mut Out) {
    let plan = job.plan();
    let before = resident();
    let store = S::new(&plan);
    fill(job, &store);
    let grown = above(before);
    let overhead = (grown - plan.payload_bytes as f64) / job.entries as f64;
    out.plain("overhead, filled", "bytes/entry", overhead);
    out.plain("memory, filled", "bytes", grown);
    drop(store);
}

/// Overhead at each size on the way to the job's.
pub fn growth<S: Store>(job: &Job, out: &mut Out) {
    let plan = job.plan();
    let entries = job.sequence();
    let before = resident();
    let store = S::new(&plan);
    let from = GROWTH_FROM.min(job.entries);
    let (mut done, mut next) = (0, from as f64);
    while next <= job.entries as f64 {
        let part = done..next as u64;
        timed(job.threads, |thread| {
            let mut value = buffer();
            let mine = share(part.end - part.start, job.threads, thread);
            for n in part.start + mine.start..part.start + mine.end {
                store.insert(&entries.key(n), entries.value(n, 0, &mut value));
            }
            0
        });
        done = part.end;
        next *= GROWTH_FACTOR;
        let overhead = (above(before) - entries.payload(0..done) as f64) / done as f64;
        out.plain(format!("overhead at {done}"), "bytes/entry", overhead);
    }
}

/// Nine in ten removed at random with no call but the removes, then after asking for memory back.
pub fn deleted<S: Store>(job: &Job, out: &mut Out) {
    let entries = job.sequence();
    let before = resident();
    let store = S::new(&job.plan());
    fill(job, &store);
    let full = above(before).max(1.0);
    let order = Order::new(job.entries, job.seed ^ 5);
    let removed = timed(job.threads, |thread| {
        let mut removed = 0;
        for i in share(job.entries, job.threads, thread) {
            if i % 10 != 0 {
                removed += u64::from(store.remove(&entries.key(order.at(i))));
            }
        }
        removed
    });
    out.plain(
        "memory after deleting 90 %",
        "of before",
        above(before) / full,
    );
    let start = Instant::now();
    store.shrink();
    let shrinking = start.elapsed();
    out.plain("memory after shrinking", "of before", above(before) / full);
    out.plain("shrink", "ms", shrinking.as_secs_f64() * 1e3);
    let left = (0..job.entries).step_by(10).fold(0u64, |sum, i| {
        let n = order.at(i);
        let read = store.get(&entries.key(n), digest);
        sum.wrapping_add(mix(n).wrapping_mul(read.unwrap_or(0)))
    });
    let checksum = left ^ removed.checksum;
    out.checked(
        "deleted, what is left",
        "entries",
        (job.entries / 10) as f64,
        checksum,
    );
}

/// All keys overwritten once a turnover: chunks in use at most, and memory after the last against the 20th.
pub fn overwrite<S: Store>(job: &Job, out: &mut Out) {
    let entries = job.sequence();
    let before = resident();
    let store = S::new(&job.plan());
    let mut value = buffer();
    let (mut chunks, mut settled) = (None, 0.0);
    let settle = job.turnovers.min(20);
    for turn in 1..=job.turnovers {
        for n in 0..job.entries {
            store.insert(&entries.key(n), entries.value(n, turn, &mut value));
            if n % LOOK == 0 {
                chunks = chunks.max(store.chunks_in_use());
            }
        }
        if turn == settle {
            settled = above(before);
        }
    }
    let end = above(before);
    out.plain("overwritten, memory", "bytes", end);
    out.plain("overwritten, memory since round 20", "bytes", end - settled);
    if let Some(chunks) = chunks {
        out.plain("overwritten, chunks in use", "chunks", chunks as f64);
    }
    let left = (0..job.entries).fold(0u64, |sum, n| {
        let read = store.get(&entries.key(n), digest);
        sum.wrapping_add(mix(n).wrapping_mul(read.unwrap_or(0)))
    });
    out.checked(
        "overwritten, what is left",
        "entries",
        job.entries as f64,
        left,
    );
}

/// How long it takes to give everything back.
pub fn drop_all<S: Store>(job: &Job, out: &mut Out) {
    let before = resident();
    let store = S::new(&job.plan());
    fill(job, &store);
    let now = resident();
    let grown = (now.bytes as f64 - before.bytes as f64).max(1.0);
    let huge = (now.huge_bytes as f64 - before.huge_bytes as f64) / grown;
    out.plain("share in huge pages", "ratio", huge);
    let start = Instant::now();
    drop(store);
    out.plain("drop", "ms", start.elapsed().as_secs_f64() * 1e3);
}
