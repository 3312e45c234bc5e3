//! Eight threads on one map, with values that prove themselves. Where one thread owns a key every answer is known; where all
//! share it, no value is torn or older than one already seen; what is never removed is always there, and what was removed by its
//! only writer never comes back. Compaction runs all the time, in default and in tiny geometry.
//!
//! 100 M operations at full scale. No clock decides anything: counts do.

mod common;
#[path = "stress/disjoint.rs"]
mod disjoint;
#[path = "stress/shared.rs"]
mod shared;

use cmap::{Budget, Builder, CMap, Stats, internal};
use common::{assert_sound, settle};
use fastrand::Rng;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

const THREADS: usize = 8;
type Geometry = (&'static str, fn() -> Builder);

const GEOMETRIES: [Geometry; 3] = [
    ("default", CMap::builder),
    ("tiny", internal::tiny),
    ("tiny, wide", internal::tiny_wide),
];

/// In each geometry: a map made ready by `prepare`, then `worker(map, geometry, thread)` on eight threads while a ninth compacts.
/// The map must be sound afterwards. Gives what the maps say about themselves.
fn on_eight_threads(
    name: &str,
    prepare: impl Fn(&CMap),
    worker: impl Fn(&CMap, usize, usize) + Sync,
) -> [Stats; GEOMETRIES.len()] {
    GEOMETRIES.map(|(geometry, builder)| {
        let number = GEOMETRIES
            .iter()
            .position(|(name, _)| *name == geometry)
            .expect("one of them");
        let map = builder().build().expect("a map");
        prepare(&map);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let compactor = scope.spawn(|| {
                let mut rng = Rng::with_seed(1);
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
            let workers: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let (map, worker) = (&map, &worker);
                    scope.spawn(move || worker(map, number, thread))
                })
                .collect();
            let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            over.store(true, Ordering::Relaxed);
            compactor.join().expect("the compactor ends");
            if let Some(panic) = ended.into_iter().find_map(Result::err) {
                std::panic::resume_unwind(panic);
            }
        });
        settle(&map);
        let checked = assert_sound(&map);
        let stats = map.stats();
        println!("stress: {name}, {geometry}: {checked:?}, {stats:?}");
        stats
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
