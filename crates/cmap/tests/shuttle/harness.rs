//! Playing a scenario: its schedulers, its seed, the schedule of a failure, and the count of schedules.

use std::any::Any;
use std::cell::Cell;
use std::env;
use std::io::Write;
use std::panic::PanicHookInfo;
use std::sync::Once;
use std::time::Instant;

use crate::common::{mix, scaled, seed};
use cmap::{Stats, internal};
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};

/// Of each scenario, by each of the two schedulers, at full scale.
const SCHEDULES: usize = 42_000;
/// Preemptions that PCT looks for.
const PCT_DEPTH: usize = 3;
/// Bytes of stack of a thread: a scan keeps four full buckets there.
const STACK_BYTES: usize = 256 << 10;
/// Steps of one execution. More is a loop without end.
const STEPS_MAX: usize = 1_000_000;

std::thread_local! {
    // shuttle plays all threads of an execution on the system's thread of its test.
    static PLAYING: Cell<(&'static str, usize)> = const { Cell::new(("", 0)) };
    static STEPS: Cell<usize> = const { Cell::new(0) };
    /// Sums over the executions of a scenario: what the maps did.
    static DID: Cell<Did> = const { Cell::new(Did::NOTHING) };
}

/// What the maps of a scenario did on the way.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "read by Debug")]
pub struct Did {
    pub splits: u64,
    pub merges: u64,
    pub rebuilds: u64,
    pub spilled: u64,
    pub relocations: u64,
    pub chunks_freed: u64,
    /// Writes that a limit refused.
    pub refused: u64,
}

impl Did {
    const NOTHING: Self = Self {
        splits: 0,
        merges: 0,
        rebuilds: 0,
        spilled: 0,
        relocations: 0,
        chunks_freed: 0,
        refused: 0,
    };
}

/// Adds what a map did.
pub fn count(stats: &Stats, refused: u64) {
    let did = DID.get();
    DID.set(Did {
        splits: did.splits + stats.splits,
        merges: did.merges + stats.merges,
        rebuilds: did.rebuilds + stats.rebuilds,
        spilled: did.spilled + stats.spilled as u64,
        relocations: did.relocations + stats.relocations,
        chunks_freed: did.chunks_freed + stats.chunks_freed,
        refused: did.refused + refused,
    });
}

fn text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic")
}

/// Says what was found, after shuttle has printed the schedule, and ends the process: threads that stopped in the middle
/// cannot be unwound.
fn report(panic: &PanicHookInfo<'_>) {
    let (name, number) = PLAYING.get();
    let place = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    let said = format!(
        "\nscenario {name}, schedule {number}: {}\n    at {place}\n    play it again: CMAP_SCHEDULE=<the schedule above> and this test alone\n",
        text(panic.payload())
    );
    let _ = std::io::stderr().write_all(said.as_bytes());
    std::process::exit(101);
}

/// Plays `scenario` by both schedulers; or, where `CMAP_SCHEDULE` is set, that schedule alone. Prints how many there were and
/// what the maps did; `must` holds that against what the scenario is there for.
pub fn check(name: &'static str, scenario: fn(), must: fn(&Did) -> bool) {
    static REPORT: Once = Once::new();
    REPORT.call_once(|| std::panic::set_hook(Box::new(report)));
    if let Ok(schedule) = env::var("CMAP_SCHEDULE") {
        let schedule: String = schedule.split_whitespace().collect();
        play(
            name,
            "again",
            ReplayScheduler::new_from_encoded(&schedule),
            scenario,
        );
        return;
    }
    let (seed, count) = (seed(name), scaled(SCHEDULES));
    let random = RandomScheduler::new_from_seed(mix(seed, 1), count);
    play(name, "random", random, scenario);
    let pct = PctScheduler::new_from_seed(mix(seed, 2), PCT_DEPTH, count);
    play(name, "pct", pct, scenario);
    let did = DID.get();
    println!("scenario {name} did {did:?}");
    assert!(
        must(&did),
        "{name} does not do what it is there for: {did:?}"
    );
}

fn play(name: &'static str, how: &str, scheduler: impl Scheduler + 'static, scenario: fn()) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    // Of orders that shuttle does not know: loom does.
    config.silence_warnings = true;
    let started = Instant::now();
    STEPS.set(0);
    PLAYING.set((name, 0));
    let played = Runner::new(scheduler, config).run(move || {
        PLAYING.set((name, PLAYING.get().1 + 1));
        scenario();
        internal::end();
        STEPS.set(STEPS.get() + shuttle::current::context_switches());
    });
    let seconds = started.elapsed().as_secs_f64();
    let steps = STEPS.get() / played.max(1);
    println!("shuttle {name} {how} schedules {played} steps each {steps} seconds {seconds:.1}");
}

/// A number below `end`, drawn by the scheduler.
pub fn draw(end: usize) -> usize {
    use shuttle::rand::Rng;
    shuttle::rand::thread_rng().gen_range(0..end)
}
