//! Running a model: its threads, its bound, and the count of its executions.

use std::cell::Cell;
use std::io::Write;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::time::Instant;

use cmap::internal::loom as inside;
use loom::thread::{Builder, JoinHandle};

/// Words of stack of a model's thread: a scan keeps four full buckets there.
const STACK_WORDS: usize = 1 << 15;
/// Steps of one execution. More is a loop without end.
const STEPS_MAX: usize = 30_000;

std::thread_local! {
    // loom runs all threads of a model on the system's thread of its test.
    static RUNNING: Cell<(&'static str, usize)> = const { Cell::new(("", 0)) };
}

/// Says what was found, and ends the process: a thread that loom stopped in the middle cannot be unwound.
fn report(panic: &PanicHookInfo<'_>) {
    let (name, executions) = RUNNING.get();
    let what = panic.payload_as_str().unwrap_or("a panic");
    let invariant = if what.starts_with("Causality violation") {
        "Pinned-stays or Published-last is broken: a look and a write, or a free, are not ordered. "
    } else {
        ""
    };
    let place = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    let text =
        format!("\nmodel {name}, execution {executions}: {invariant}{what}\n    at {place}\n");
    let _ = std::io::stderr().write_all(text.as_bytes());
    std::process::exit(101);
}

/// Runs `model` in every way, up to `LOOM_MAX_PREEMPTIONS` preemptions, and prints how many there were.
pub fn check(name: &'static str, model: impl Fn() + Send + Sync + 'static) {
    run(name, loom::model::Builder::new(), Arc::new(model));
}

/// As [`check`]; then once more in every way at all.
pub fn check_without_bound(name: &'static str, model: impl Fn() + Send + Sync + 'static) {
    let model = Arc::new(model);
    run(name, loom::model::Builder::new(), model.clone());
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = None;
    run(name, builder, model);
}

fn run(
    name: &'static str,
    mut builder: loom::model::Builder,
    model: Arc<impl Fn() + Send + Sync + 'static>,
) {
    static REPORT: Once = Once::new();
    REPORT.call_once(|| std::panic::set_hook(Box::new(report)));
    builder.max_branches = STEPS_MAX;
    let bound = builder
        .preemption_bound
        .map_or("none".into(), |bound| bound.to_string());
    let started = Instant::now();
    let executions = Arc::new(AtomicUsize::new(0));
    let count = executions.clone();
    builder.check(move || {
        RUNNING.set((name, 1 + count.fetch_add(1, Ordering::Relaxed)));
        let model = model.clone();
        let body = Builder::new().stack_size(STACK_WORDS).spawn(move || {
            model();
            inside::end();
        });
        body.expect("a thread").join().expect("the model's body");
    });
    println!(
        "loom {name} executions {} seconds {:.1} bound {bound}",
        executions.load(Ordering::Relaxed),
        started.elapsed().as_secs_f64()
    );
}

/// A thread of a model. It ends its part as a real thread does, before those who join it go on.
pub fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let spawned = Builder::new().stack_size(STACK_WORDS).spawn(move || {
        let result = f();
        inside::leave();
        result
    });
    spawned.expect("a thread")
}

/// Waits for a thread.
pub fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().expect("the thread's answer")
}
