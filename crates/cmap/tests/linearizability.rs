//! Real threads on one or two keys, with neighbours coming and going in the same tables: for every history there is an order of
//! its calls, one after another, in which each gives the answer that it gave, and in which no call comes before one that had
//! returned when it began. A history is what happened to one key.
//!
//! 200 000 histories at full scale. Printed: how many have an order, and how many overlap (two calls at one time, one of them a
//! write). With `--cfg cmap_stress` the threads yield inside the map, so that calls overlap however busy the machine is.

#[path = "linearizability/calls.rs"]
mod calls;
#[path = "linearizability/checker.rs"]
mod checker;
mod common;

use calls::{Histories, KEYS, Worker, reader, shared_key};
use checker::{Call, Event, Verdict};
use cmap::{CMap, RandomState, internal};
use common::{EightBits, OneHash, assert_sound, mix, scaled, seed, settle, spread};
use fastrand::Rng;
use std::{
    hash::BuildHasher,
    hint,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
};

const THREADS: usize = 3;
/// Rounds on one map, one after another, each on keys of its own; every other one on two.
const ROUNDS_EACH: usize = 250;
/// Of a hundred histories, how many must overlap where the threads yield inside the map.
const OVERLAP_PERCENT: usize = 30;

#[test]
fn histories_have_an_order() {
    let first = seed("linearizability");
    let wanted = scaled(200_000);
    let [ordered, unknown, overlapping] = [const { AtomicUsize::new(0) }; 3];
    let mut histories = 0;
    for batch in 0.. {
        if histories >= wanted {
            break;
        }
        let seed = first.wrapping_add(batch);
        let rounds = record(seed);
        let batch: Vec<(usize, &Vec<Event>)> = rounds
            .iter()
            .enumerate()
            .flat_map(|(number, keys)| keys.iter().map(move |events| (number, events)))
            .filter(|(_, events)| !events.is_empty())
            .collect();
        histories += batch.len();
        spread(batch.len(), |n| {
            let (round, events) = batch[n];
            match checker::judge(events) {
                Verdict::Ordered => _ = ordered.fetch_add(1, Ordering::Relaxed),
                Verdict::Unknown => _ = unknown.fetch_add(1, Ordering::Relaxed),
                Verdict::Impossible => {
                    panic!("no order, SEED={seed}, round {round}: {events:#?}")
                }
            }
            let overlaps = usize::from(checker::overlap(events));
            overlapping.fetch_add(overlaps, Ordering::Relaxed);
        });
    }
    let [ordered, unknown, overlapping] = [ordered, unknown, overlapping].map(|n| n.into_inner());
    let percent = overlapping * 100 / histories;
    println!(
        "linearizability: {histories} histories, {ordered} have an order, {unknown} unknown, {percent} % overlap"
    );
    assert_eq!((ordered, unknown), (histories, 0));
    let least = if cfg!(cmap_stress) {
        OVERLAP_PERCENT
    } else {
        0
    };
    assert!(
        overlapping > 0 && percent >= least,
        "{overlapping} of {histories} histories overlap: too little was tested"
    );
}

/// Lets the other threads go on when one has failed, so that the failure is seen.
struct LetGo<'a>(&'a AtomicUsize);

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fetch_add(usize::MAX / 2, Ordering::SeqCst);
        }
    }
}

/// Runs the rounds of one map. The seed decides geometry, hasher, calls and where threads yield, though not how they interleave.
fn record(seed: u64) -> Vec<Histories> {
    let builder = if mix(seed, 1) % 3 == 0 {
        internal::tiny_wide()
    } else {
        internal::tiny()
    };
    let built = "a map in tiny geometry";
    match mix(seed, 2) % 6 {
        0 => record_on(seed, &builder.hasher(OneHash).build().expect(built)),
        1 => record_on(seed, &builder.hasher(EightBits).build().expect(built)),
        _ => record_on(
            seed,
            &builder
                .hasher(RandomState::with_seed(seed))
                .build()
                .expect(built),
        ),
    }
}

fn record_on<S: BuildHasher + Send + Sync>(seed: u64, map: &CMap<S>) -> Vec<Histories> {
    let (clock, arrived) = (AtomicU64::new(1), AtomicUsize::new(0));
    let clears = mix(seed, 3) % 2 == 0;
    let by_thread: Vec<Vec<Histories>> = thread::scope(|scope| {
        let worker = |thread: usize| {
            let (clock, arrived) = (&clock, &arrived);
            move || -> Vec<Histories> {
                let _let_go = LetGo(arrived);
                internal::interleave(mix(seed, 20 + thread as u64));
                let mut worker = Worker {
                    map,
                    clock,
                    thread,
                    clears,
                    rng: Rng::with_seed(mix(seed, 10 + thread as u64)),
                    pinned: map.pin(),
                };
                let one = |number| {
                    // All begin at once: nobody sleeps here, or the calls would not meet.
                    arrived.fetch_add(1, Ordering::SeqCst);
                    let mut spins = 0;
                    while arrived.load(Ordering::SeqCst) < THREADS * (number + 1) {
                        spins += 1;
                        if spins % 200 == 0 {
                            thread::yield_now()
                        } else {
                            hint::spin_loop()
                        }
                    }
                    worker.round(number)
                };
                (0..ROUNDS_EACH).map(one).collect()
            }
        };
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(worker(thread)))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker ends"))
            .collect()
    });
    let mut rounds: Vec<Histories> = (0..ROUNDS_EACH).map(|_| Histories::default()).collect();
    for thread in by_thread {
        for (all, some) in rounds.iter_mut().zip(thread) {
            for (all, some) in all.iter_mut().zip(some) {
                all.extend(some);
            }
        }
    }
    // What is there at rest belongs to the history, unless a later round cleared it.
    for (number, histories) in rounds.iter_mut().enumerate().filter(|_| !clears) {
        let was_used = |(_, events): &(usize, &mut Vec<Event>)| !events.is_empty();
        for (key, events) in histories.iter_mut().enumerate().filter(was_used) {
            let begin = clock.fetch_add(1, Ordering::SeqCst);
            let found = map.get(&shared_key(number, key));
            let call = Call::Get(found.map(|value| reader(number)(&value)));
            let end = clock.fetch_add(1, Ordering::SeqCst);
            events.push(Event { begin, end, call });
        }
    }
    settle(map);
    assert_sound(map);
    rounds
}

const _: () = assert!(KEYS == 2 && THREADS * calls::CALLS_EACH < 64);
