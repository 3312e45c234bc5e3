//! The whole map under ThreadSanitizer: ten scenarios, each a few threads that meet before every round and then do what may
//! collide. They meet by Relaxed operations alone, which order nothing: what one round leaves unordered, no later one mends.
//!
//! ThreadSanitizer sees the code that is compiled with it, not what std was compiled without: so there is no test harness here,
//! threads are joined one by one, the map is made and dropped by the main thread, and what std initialises once
//! (`OnceLock`) is used once before there is a second thread. Nothing is suppressed. Without the sanitizer it is a small stress
//! test.

mod common;

use cmap::{Budget, Builder, CMap, Cursor, Op, internal};
use common::{OneHash, STAMP_BYTES, Stamp, assert_sound, key_bytes, mix, scaled, seed};
use std::{
    hash::BuildHasher,
    ops::ControlFlow,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// Rounds of a scenario at full scale.
const ROUNDS: usize = 100_000;

/// What one thread does in a round. Gives its number of operations.
type Act<S> = fn(&CMap<S>, Round) -> usize;

/// A round, as one thread meets it.
#[derive(Clone, Copy)]
struct Round {
    number: usize,
    thread: usize,
    random: u64,
}

impl Round {
    /// One of the first `count` keys.
    fn key(self, count: u64) -> u64 {
        self.random % count
    }

    /// Another number from the same dice.
    fn dice(self, sides: u64) -> u64 {
        mix(self.random, 1) % sides
    }
}

fn main() {
    // A thread that panics never comes to the next meeting.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
    let seed = seed("tsan");
    use_once();
    let operations = [
        scenario(
            "publication",
            seed,
            internal::tiny_wide(),
            &[write, read, read],
        ),
        scenario(
            "one key",
            seed,
            internal::tiny(),
            &[swap_one, take_one, read_one],
        ),
        scenario(
            "relocation",
            seed,
            internal::tiny(),
            &[churn, compact, read],
        ),
        scenario("tables", seed, internal::tiny(), &[grow, shrink, read]),
        scenario("clear", seed, CMap::builder(), &[clear, write, read]),
        scenario(
            "pins",
            seed,
            internal::tiny(),
            &[hold, hold, churn, compact],
        ),
        scenario("scan", seed, internal::tiny_wide(), &[scan, write, grow]),
        scenario(
            "batches",
            seed,
            internal::tiny(),
            &[put_many, get_many, churn],
        ),
        scenario(
            "changes",
            seed,
            internal::tiny_wide(),
            &[change, change, keep],
        ),
        scenario(
            "equal hashes",
            seed,
            internal::tiny().hasher(OneHash),
            &[churn_few, churn_few, read],
        ),
    ];
    println!(
        "tsan: {} scenarios, {} operations",
        operations.len(),
        operations.iter().sum::<usize>()
    );
}

/// What is made by its first user: the second hash, the page size, the process's pool.
fn use_once() {
    let map = CMap::builder().hasher(OneHash).build().expect("a map");
    for n in 0..100 {
        map.insert(&key_bytes(n), b"").expect("there is memory");
    }
}

/// Rounds of all `acts` at once. Gives the number of operations.
fn scenario<S: BuildHasher + Send + Sync + 'static>(
    name: &str,
    seed: u64,
    builder: Builder<S>,
    acts: &[Act<S>],
) -> usize {
    let rounds = scaled(ROUNDS);
    let map = builder.build().expect("a map");
    for n in 0..64 {
        put(&map, n, 0);
    }
    let arrived = AtomicUsize::new(0);
    let operations = thread::scope(|scope| {
        let threads: Vec<_> = acts
            .iter()
            .enumerate()
            .map(|(thread, act)| {
                let (map, arrived, threads) = (&map, &arrived, acts.len());
                scope.spawn(move || {
                    (0..rounds)
                        .map(|number| {
                            meet(arrived, (number + 1) * threads);
                            let random = mix(mix(seed, thread as u64), number as u64);
                            act(
                                map,
                                Round {
                                    number,
                                    thread,
                                    random,
                                },
                            )
                        })
                        .sum::<usize>()
                })
            })
            .collect();
        let each = threads.into_iter().map(|thread| thread.join());
        each.map(|done| done.expect("a panic ends the process"))
            .sum()
    });
    let checked = assert_sound(&map);
    println!("tsan: {name}: {rounds} rounds, {operations} operations, {checked:?}");
    operations
}

/// Waits until so many have arrived.
fn meet(arrived: &AtomicUsize, wanted: usize) {
    arrived.fetch_add(1, Ordering::Relaxed);
    let mut looks = 0;
    while arrived.load(Ordering::Relaxed) < wanted {
        looks += 1;
        if looks < 100 {
            std::hint::spin_loop();
        } else {
            thread::yield_now();
        }
    }
}

fn value(key: u64, version: u64) -> Vec<u8> {
    let mut value = Vec::new();
    let stamp = Stamp {
        key,
        writer: 0,
        version,
    };
    // Now and then one that gets an extent in tiny geometry.
    let extra = if version % 64 == 63 {
        700
    } else {
        version as usize % 50
    };
    stamp.write(STAMP_BYTES + extra, &mut value);
    value
}

fn put<S: BuildHasher>(map: &CMap<S>, key: u64, version: u64) {
    map.insert(&key_bytes(key), &value(key, version))
        .expect("there is memory");
}

fn look<S: BuildHasher>(map: &CMap<S>, key: u64) {
    map.get_with(&key_bytes(key), |value| {
        assert_eq!(Stamp::read(value).key, key);
    });
}

// --- the acts ---

fn write<S: BuildHasher>(map: &CMap<S>, round: Round) -> usize {
    put(map, round.key(4), round.number as u64);
    put(map, round.key(64), round.number as u64);
    2
}

fn read<S: BuildHasher>(map: &CMap<S>, round: Round) -> usize {
    look(map, round.key(4));
    look(map, round.dice(64));
    look(map, round.key(400));
    3
}

fn swap_one<S: BuildHasher>(map: &CMap<S>, round: Round) -> usize {
    let value = value(0, round.number as u64);
    if round.dice(2) == 0 {
        let old = map.insert_swap(&key_bytes(0), &value);
        old.expect("there is memory").map(|old| Stamp::read(&old));
    } else {
        map.insert_if_absent(&key_bytes(0), &value)
            .expect("there is memory");
    }
    put(map, 0, round.number as u64);
    2
}

fn take_one<S: BuildHasher>(map: &CMap<S>, round: Round) -> usize {
    if round.dice(2) == 0 {
        map.take(&key_bytes(0)).map(|old| Stamp::read(&old));
    } else {
        map.remove(&key_bytes(0));
    }
    1
}

fn read_one<S: BuildHasher>(map: &CMap<S>, _: Round) -> usize {
    for _ in 0..3 {
        look(map, 0);
    }
    3
}

/// Writes and removes so that chunks become mostly dead.
fn churn<S: BuildHasher>(map: &CMap<S>, round: Round) -> usize {
    put(map, round.key(64), round.number as u64);
    put(map, round.dice(200), round.number as u64);
    map.remove(&key_bytes(64 + round.key(136)));
    3
}

fn churn_few<S: BuildHasher>(map: &CMap<S>, round: Round) -> usize {
    put(map, round.key(40), round.number as u64);
    map.remove(&key_bytes(round.dice(40)));
    2
}

fn compact<S: BuildHasher>(map: &CMap<S>, round: Round) -> usize {
    map.compact(Budget::bytes(1 + round.key(2_000) as usize));
    1
}

/// Keys come for a hundred rounds ...
fn grow<S: BuildHasher>(map: &CMap<S>, round: Round) -> usize {
    let from = 64 + round.number as u64 % 100 * 3;
    (from..from + 3).for_each(|key| put(map, key, round.number as u64));
    3
}

/// ... and go again, and their tables with them.
fn shrink<S: BuildHasher>(map: &CMap<S>, round: Round) -> usize {
    let from = 64 + (round.number as u64 + 50) % 100 * 3;
    for key in from..from + 3 {
        map.remove(&key_bytes(key));
    }
    if round.number % 500 == 499 {
        map.shrink_to_fit();
    }
    3
}

fn clear<S: BuildHasher>(map: &CMap<S>, round: Round) -> usize {
    if round.number % 16 == 0 {
        map.clear();
    }
    put(map, round.key(8), round.number as u64);
    2
}

/// Holds values while others overwrite them, and looks at them again at the end.
fn hold<S: BuildHasher>(map: &CMap<S>, round: Round) -> usize {
    let pin = map.pin();
    let held = [0, 1, 2].map(|n| pin.get(&key_bytes((round.random + n) % 64)));
    if round.thread == 0 {
        look(map, round.dice(64));
    }
    for value in held.into_iter().flatten() {
        Stamp::read(value);
    }
    4
}

/// Twenty keys: more than a group.
/// Keys of a batch: sometimes more than what misses at a time, mostly a few.
fn batch(round: Round) -> Vec<[u8; 16]> {
    let count = if round.number % 7 == 0 { 20 } else { 3 };
    (0..count)
        .map(|n| key_bytes((round.random + n) % 64))
        .collect()
}

fn put_many<S: BuildHasher>(map: &CMap<S>, round: Round) -> usize {
    let keys = batch(round);
    if round.number % 4 == 0 {
        return map.remove_many(&keys).max(1);
    }
    let value = |n: u64| value((round.random + n) % 64, round.number as u64);
    let entries = keys.iter().zip((0..).map(value));
    map.insert_many(entries).expect("there is memory")
}

fn get_many<S: BuildHasher>(map: &CMap<S>, round: Round) -> usize {
    let keys = batch(round);
    keys.iter().for_each(|key| map.prefetch(map.hash_key(key)));
    let look = |n: usize, value: Option<&[u8]>| {
        let value = value.map(Stamp::read);
        assert!(value.is_none_or(|stamp| key_bytes(stamp.key) == keys[n]));
    };
    if round.dice(2) == 0 {
        map.pin().get_many(&keys, look);
    } else {
        map.get_many(&keys, look);
    }
    keys.len()
}

/// Read-modify-write of every kind, on few keys.
fn change<S: BuildHasher>(map: &CMap<S>, round: Round) -> usize {
    let number = round.key(4);
    let (key, value) = (key_bytes(number), value(number, round.number as u64));
    let room = "there is memory";
    match round.dice(8) {
        0 => _ = map.replace(&key, &value).expect(room),
        1 => {
            let held = map.get(&key);
            map.compare_and_swap(&key, held.as_deref(), Some(&value))
                .expect(room);
        }
        2 => {
            let put = map.compute(&key, |held| {
                held.map(Stamp::read);
                Op::Put(&value)
            });
            put.expect(room);
        }
        3 => _ = map.get_or_insert_with(&key, || &value).expect(room),
        4 => {
            let fill = |place: &mut [u8]| place.copy_from_slice(&value);
            map.insert_with(&key, value.len(), fill).expect(room);
        }
        5 => _ = map.fetch_add(&key_bytes(900), 1).expect(room),
        6 => {
            map.append(&key_bytes(901), b"more").expect(room);
            map.remove_if(&key_bytes(901), |held| held.len() > 100);
        }
        _ => _ = map.remove_if(&key, |held| Stamp::read(held).version % 2 == 0),
    }
    1
}

/// Keeps values past their pins, and drains or keeps entries.
fn keep<S: BuildHasher>(map: &CMap<S>, round: Round) -> usize {
    let kept = map.get_ref(&key_bytes(round.key(4)));
    let is_number = |key: &[u8]| key == key_bytes(900) || key == key_bytes(901);
    let look = |key: &[u8], value: &[u8]| assert!(is_number(key) || Stamp::read(value).key < 64);
    match round.number % 64 {
        0 => _ = map.retain(|key, _| key[0] % 2 == 0),
        1 => map
            .drain()
            .take(3)
            .for_each(|(key, value)| look(&key, &value)),
        2 => map.iter().for_each(|(key, value)| look(&key, &value)),
        3 => _ = map.scan(Cursor::START, 5, look),
        4 => map.reserve(100, 1_000).expect("there is memory"),
        _ => {}
    }
    kept.map(|value| Stamp::read(&value));
    2
}

fn scan<S: BuildHasher>(map: &CMap<S>, round: Round) -> usize {
    let mut left = 1 + round.dice(20);
    let _ = map.try_for_each(|key, value| {
        assert_eq!(&key_bytes(Stamp::read(value).key)[..], key);
        left -= 1;
        if left == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    1
}
