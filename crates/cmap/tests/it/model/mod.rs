//! The map against a `HashMap`: random operations of every kind, and after each the same answer.
//!
//! A seed decides everything: geometry, hasher, keys and operations. A run that fails is first cut to the shortest prefix that
//! still fails, then thinned out; what is left is printed with its seed. `CMAP_SEED=<that seed>` runs it again, first.

mod batch;
mod modify;
mod op;
mod walk;
mod world;

use crate::common::{EightBits, OneHash, SameTop, mix, scaled, seed, spread};
use cmap::{Builder, CMap, RandomState, internal};
use fastrand::Rng;
use op::{Op, Reach};
use std::{
    hash::BuildHasher,
    panic::{AssertUnwindSafe, catch_unwind},
};
use world::World;

const OPS_PER_SEED: usize = 10_000;

/// The answers: 20 M operations over 2 000 seeds at full scale.
#[test]
fn answers_match_a_hash_map() {
    let first = seed("model answers");
    let seeds = scaled(2_000);
    spread(seeds, |index| {
        judge(first.wrapping_add(index as u64), OPS_PER_SEED, false)
    });
    println!(
        "model: {} operations over {seeds} seeds",
        seeds * OPS_PER_SEED
    );
}

/// And what the map says about itself: live bytes, entries, chunks in use against chunks reachable.
#[test]
fn accounts_match_a_hash_map() {
    let first = seed("model accounts");
    let seeds = scaled(400);
    spread(seeds, |index| {
        judge(first.wrapping_add(index as u64), OPS_PER_SEED, true)
    });
}

/// The thinning-out itself: of many operations, the two that matter stay.
#[test]
fn a_failure_is_thinned_out() {
    let setting = Setting::new(3);
    let ops = Op::sequence(&mut Rng::with_seed(3), &setting.reach, 2_000);
    let guilty = (ops[400], ops[1_200]);
    let fails = |ops: &[Op]| {
        let first = ops.iter().position(|&op| op == guilty.0);
        first.is_some_and(|first| ops[first..].contains(&guilty.1))
    };
    let thinned = thin_out(ops, fails);
    assert_eq!(thinned, [guilty.0, guilty.1]);
}

/// Everything about a run but its operations.
struct Setting {
    geometry: &'static str,
    hasher: &'static str,
    /// `speed_over_memory`, where the geometry leaves the choice.
    knob: Option<f64>,
    reach: Reach,
    keys: Vec<Vec<u8>>,
}

impl Setting {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(mix(seed, 1));
        let geometry = ["default", "tiny", "tiny_wide"][rng.usize(..3)];
        let hasher = ["foldhash", "foldhash", "one hash", "eight bits", "same top"][rng.usize(..5)];
        let most = if hasher == "one hash" { 200 } else { 4_000 };
        let universe = match rng.u8(..4) {
            0 => rng.usize(1..=4),
            1 => rng.usize(5..=60),
            2 => rng.usize(61..=200),
            _ => rng.usize(200..=most),
        };
        let knob = (geometry == "default" && rng.bool()).then(|| rng.f64());
        let reach = Reach {
            keys: universe,
            small: geometry != "default",
        };
        Self {
            geometry,
            hasher,
            knob,
            reach,
            keys: op::keys(&mut rng, universe),
        }
    }

    fn run(&self, seed: u64, ops: &[Op], accounts: bool) -> Result<(), String> {
        match self.hasher {
            "one hash" => self.run_with(OneHash, ops, accounts),
            "eight bits" => self.run_with(EightBits, ops, accounts),
            "same top" => self.run_with(SameTop, ops, accounts),
            _ => self.run_with(RandomState::with_seed(seed), ops, accounts),
        }
    }

    fn run_with<S: BuildHasher + Send + Sync + 'static>(
        &self,
        hasher: S,
        ops: &[Op],
        accounts: bool,
    ) -> Result<(), String> {
        let builder: Builder = match self.geometry {
            "tiny" => internal::tiny(),
            "tiny_wide" => internal::tiny_wide(),
            _ => CMap::builder(),
        };
        let builder = match self.knob {
            Some(knob) => builder.speed_over_memory(knob),
            None => builder,
        };
        let map = builder
            .hasher(hasher)
            .build()
            .map_err(|error| format!("build: {error}"))?;
        let mut world = World::new(&map, &self.keys, accounts);
        // A panic inside the map is a wrong answer like any other.
        match catch_unwind(AssertUnwindSafe(|| world.run(ops))) {
            Ok(answer) => answer,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.into()));
                Err(format!("a panic: {}", text.unwrap_or_default()))
            }
        }
    }
}

/// Runs a seed, and panics with the smallest failing case that it can find.
fn judge(seed: u64, count: usize, accounts: bool) {
    let setting = Setting::new(seed);
    let ops = Op::sequence(&mut Rng::with_seed(mix(seed, 2)), &setting.reach, count);
    let Err(wrong) = setting.run(seed, &ops, accounts) else {
        return;
    };
    let again = setting.run(seed, &ops, accounts);
    let small = if again.is_err() {
        thin_out(ops, |ops| setting.run(seed, ops, accounts).is_err())
    } else {
        eprintln!(
            "the same operations do not fail again: something other than the seed plays a part"
        );
        ops
    };
    let last = setting
        .run(seed, &small, accounts)
        .err()
        .unwrap_or_default();
    let list: Vec<_> = small
        .iter()
        .take(80)
        .map(|op| format!("    {op:?}\n"))
        .collect();
    panic!(
        "SEED={seed}: {wrong}\n  geometry {}, hasher {}, knob {:?}, {} keys\n  {} operations are enough: {last}\n{}",
        setting.geometry,
        setting.hasher,
        setting.knob,
        setting.keys.len(),
        small.len(),
        list.concat(),
    );
}

/// The shortest failing prefix (by bisection), without the parts that it fails without. At most 500 runs.
fn thin_out(mut ops: Vec<Op>, fails: impl Fn(&[Op]) -> bool) -> Vec<Op> {
    let (mut passing, mut failing) = (0, ops.len());
    while failing - passing > 1 {
        let middle = passing.midpoint(failing);
        if fails(&ops[..middle]) {
            failing = middle
        } else {
            passing = middle
        }
    }
    ops.truncate(failing);
    let mut runs_left = 500;
    let mut part = ops.len() / 2;
    while part > 0 {
        let mut at = 0;
        while at < ops.len() && runs_left > 0 {
            let mut without = ops.clone();
            without.drain(at..ops.len().min(at + part));
            runs_left -= 1;
            if fails(&without) {
                ops = without
            } else {
                at += part
            }
        }
        part /= 2;
    }
    ops
}
