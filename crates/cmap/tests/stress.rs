//! Eight threads on one map, with values that prove themselves. Where one thread owns a key every answer is known; where all
//! share it, no value is torn or older than one already seen; what is never removed is always there, and what was removed by its
//! only writer never comes back; counters that all add to are exact; no reader holds a chunk that is two grace periods old. Compaction runs all the time, in default
//! and in tiny geometry, on all cores and on one.
//!
//! 100 M operations at full scale. No clock decides anything: counts do.

#[path = "stress/churn.rs"]
mod churn;
mod common;
#[path = "stress/counters.rs"]
mod counters;
#[path = "stress/disjoint.rs"]
mod disjoint;
#[path = "stress/everything.rs"]
mod everything;
#[path = "stress/shared.rs"]
mod shared;
#[path = "stress/tally.rs"]
mod tally;

use cmap::{Budget, Builder, CMap, ChunkPool, PoolConfig, Stats, internal};
use common::{assert_sound, mix, settle};
use fastrand::Rng;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

const THREADS: usize = 8;

/// One test at a time: eight threads, not sixteen.
static ALONE: Mutex<()> = Mutex::new(());

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Geometry {
    /// As users get it, but for a pool of its own.
    Default,
    Tiny,
    TinyWide,
}

const GEOMETRIES: [Geometry; 3] = [Geometry::Default, Geometry::Tiny, Geometry::TinyWide];

impl Geometry {
    fn builder(self) -> Builder {
        match self {
            Self::Default => {
                let pool = ChunkPool::new(PoolConfig::default()).expect("a pool");
                CMap::builder().pool(&pool)
            }
            Self::Tiny => internal::tiny(),
            Self::TinyWide => internal::tiny_wide(),
        }
    }
}

/// In each geometry: a map made ready by `prepare`, then `worker(map, geometry, thread)` on eight threads while a ninth compacts.
/// The map must be sound afterwards. Gives what the maps say about themselves.
fn on_eight_threads(
    name: &str,
    seed: u64,
    prepare: impl Fn(&CMap),
    worker: impl Fn(&CMap, usize, usize) + Sync,
) -> [Stats; GEOMETRIES.len()] {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let stats = GEOMETRIES.map(|geometry| {
        let map = geometry.builder().build().expect("a map");
        prepare(&map);
        in_threads(&map, seed, |thread| worker(&map, geometry as usize, thread));
        settle(&map);
        let checked = assert_sound(&map);
        let stats = map.stats();
        println!("stress: {name}, {geometry:?}: {checked:?}, {stats:?}");
        stats
    });
    tally::print();
    stats
}

/// `worker` of 0 to 7 on eight threads, while a ninth compacts. With `--cfg cmap_stress` all of them yield inside the map.
fn in_threads(map: &CMap, seed: u64, worker: impl Fn(usize) + Sync) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let compactor = scope.spawn(|| {
            internal::interleave(mix(seed, 100));
            let mut rng = Rng::with_seed(seed);
            while !over.load(Ordering::Relaxed) {
                map.compact(if rng.bool() {
                    Budget::all()
                } else {
                    Budget::bytes(rng.usize(..50_000))
                });
                if rng.u8(..) == 0 {
                    map.shrink_to_fit();
                }
                thread::yield_now();
            }
        });
        let worker = &worker;
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    internal::interleave(mix(seed, 101 + thread as u64));
                    worker(thread);
                })
            })
            .collect();
        let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        over.store(true, Ordering::Relaxed);
        compactor.join().expect("the compactor ends");
        if let Some(panic) = ended.into_iter().find_map(Result::err) {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Runs `body`, and the threads that it starts, on one core.
fn on_one_core<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    let on_one = move || {
        let all = sched_getaffinity(None).expect("the cores of a thread");
        let first = (0..CpuSet::MAX_CPU).find(|&core| all.is_set(core));
        let mut one = CpuSet::new();
        one.set(first.expect("a thread may run somewhere"));
        sched_setaffinity(None, &one).expect("a thread may choose among its cores");
        body()
    };
    thread::scope(|scope| match scope.spawn(on_one).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// A length for a value: mostly short, now and then larger than a chunk of the tiny geometry.
fn value_len(rng: &mut Rng) -> usize {
    common::STAMP_BYTES
        + match rng.u16(..1_000) {
            0..=899 => rng.usize(..60),
            900..=989 => rng.usize(..600),
            990..=998 => rng.usize(..5_000),
            _ => rng.usize(..70_000) / (1 + rng.usize(..20)),
        }
}
