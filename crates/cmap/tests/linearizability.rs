//! Real threads on one or two keys, with neighbours coming and going in the same tables: for every history there is an order of
//! its calls, one after another, in which each gives the answer that it gave, and in which no call comes before one that had
//! returned when it began.
//!
//! 200 000 histories at full scale. Printed: how many of them overlap (two calls on one key, one of them a write, at one time).

#[path = "linearizability/checker.rs"]
mod checker;
mod common;

use checker::{Call, Event, Verdict};
use cmap::{Budget, CMap, Changed, Inserted, RandomState, internal};
use common::{EightBits, OneHash, assert_sound, key_bytes, mix, scaled, seed, settle, spread};
use fastrand::Rng;
use std::{
    hash::BuildHasher,
    hint, mem,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
};

const THREADS: usize = 3;
const CALLS_EACH: usize = 12;
/// Histories on one map, one after another, each on keys of its own.
const HISTORIES_EACH: usize = 250;

/// The events of one history, by key.
type History = [Vec<Event>; 2];

#[test]
fn histories_have_an_order() {
    let first = seed("linearizability");
    let batches = scaled(200_000).div_ceil(HISTORIES_EACH);
    let (judged, overlapping) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for batch in 0..batches {
        let seed = first.wrapping_add(batch as u64);
        let histories = record(seed);
        spread(histories.len(), |number| {
            let events = &histories[number];
            for (key, events) in events.iter().enumerate() {
                assert_eq!(
                    checker::judge(events),
                    Verdict::Ordered,
                    "SEED={seed}: history {number}, key {key}: {events:#?}"
                );
            }
            judged.fetch_add(1, Ordering::Relaxed);
            overlapping.fetch_add(
                usize::from(events.iter().any(|events| checker::overlap(events))),
                Ordering::Relaxed,
            );
        });
    }
    let (judged, overlapping) = (judged.into_inner(), overlapping.into_inner());
    println!(
        "linearizability: {judged} histories, {overlapping} of them ({} %) overlap",
        overlapping * 100 / judged
    );
    assert_eq!(judged, batches * HISTORIES_EACH);
    assert!(overlapping > 0, "calls never overlap: nothing was tested");
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

/// Runs the histories of one map. The seed decides the geometry, the hasher and the calls, though not how threads interleave.
fn record(seed: u64) -> Vec<History> {
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

fn record_on<S: BuildHasher + Send + Sync>(seed: u64, map: &CMap<S>) -> Vec<History> {
    let (clock, arrived) = (AtomicU64::new(1), AtomicUsize::new(0));
    let by_thread: Vec<Vec<History>> = thread::scope(|scope| {
        let worker = |thread: usize| {
            let (clock, arrived) = (&clock, &arrived);
            let mut rng = Rng::with_seed(mix(seed, 10 + thread as u64));
            move || -> Vec<History> {
                let _let_go = LetGo(arrived);
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
                    calls(map, clock, &mut rng, thread, number)
                };
                (0..HISTORIES_EACH).map(one).collect()
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
    let mut histories: Vec<History> = (0..HISTORIES_EACH).map(|_| History::default()).collect();
    for thread in by_thread {
        for (history, events) in histories.iter_mut().zip(thread) {
            history
                .iter_mut()
                .zip(events)
                .for_each(|(all, some)| all.extend(some));
        }
    }
    // What is there at rest belongs to the history.
    for (number, history) in histories.iter_mut().enumerate() {
        for (key, events) in history.iter_mut().enumerate() {
            let begin = clock.fetch_add(1, Ordering::SeqCst);
            let found = map
                .get(&shared_key(number, key))
                .map(|value| number_of(&value));
            events.push(Event {
                begin,
                end: clock.fetch_add(1, Ordering::SeqCst),
                call: Call::Get(found),
            });
        }
    }
    settle(map);
    assert_sound(map);
    histories
}

fn shared_key(number: usize, key: usize) -> [u8; 16] {
    key_bytes((number * 2 + key) as u64)
}

/// The value number `id`, in a length that now and then makes it an extent.
fn value_of(id: u32, rng: &mut Rng, value: &mut Vec<u8>) {
    let words = match rng.u8(..20) {
        0 => 250,
        1..=3 => 60,
        _ => rng.usize(1..10),
    };
    value.clear();
    (0..words).for_each(|_| value.extend_from_slice(&id.to_le_bytes()));
}

fn number_of(value: &[u8]) -> u32 {
    let id = u32::from_le_bytes(value[..4].try_into().expect("four bytes"));
    assert!(
        value.chunks_exact(4).all(|word| word == id.to_le_bytes()),
        "torn: {value:?}"
    );
    id
}

/// The calls of one thread in one history; those on neighbours are not part of it.
fn calls<S: BuildHasher>(
    map: &CMap<S>,
    clock: &AtomicU64,
    rng: &mut Rng,
    thread: usize,
    number: usize,
) -> History {
    let mut history = History::default();
    let keys = 1 + number % 2;
    let mut value = Vec::new();
    for step in 0..CALLS_EACH {
        let which = rng.usize(..keys);
        let key = shared_key(number, which);
        let id = (thread * CALLS_EACH + step + 1) as u32;
        value_of(id, rng, &mut value);
        let kind = rng.u8(..100);
        let begin = clock.fetch_add(1, Ordering::SeqCst);
        let call = match kind {
            0..=24 => Call::Swap(
                id,
                map.insert_swap(&key, &value)
                    .expect("there is memory")
                    .map(|old| number_of(&old)),
            ),
            25..=34 => Call::Insert(
                id,
                map.insert(&key, &value).expect("there is memory") == Inserted::Replaced,
            ),
            35..=49 => Call::IfAbsent(
                id,
                map.insert_if_absent(&key, &value).expect("there is memory") == Changed::Inserted,
            ),
            50..=64 => Call::Take(map.take(&key).map(|old| number_of(&old))),
            65..=74 => Call::Remove(map.remove(&key)),
            75..=94 => Call::Get(map.get_with(&key, number_of)),
            _ => Call::Contains(map.contains_key(&key)),
        };
        let end = clock.fetch_add(1, Ordering::SeqCst);
        history[which].push(Event { begin, end, call });
        neighbours(map, rng, number);
    }
    history
}

/// Keeps the tables splitting and merging, and the chunks compacting, around the keys that matter.
fn neighbours<S: BuildHasher>(map: &CMap<S>, rng: &mut Rng, number: usize) {
    let key = key_bytes((1 << 32) + rng.u64(..40) + number as u64 % 100);
    match rng.u8(..16) {
        0..=3 => drop(
            map.insert(&key, &[7; 100][..rng.usize(..100)])
                .expect("there is memory"),
        ),
        4..=6 => mem::drop(map.take(&key)),
        7 => mem::drop(format!("{:?}", map.compact(Budget::bytes(2_000)))),
        _ => {}
    }
}
