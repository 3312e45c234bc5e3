//! How a test runs: how much of it, from which seed, on how many threads, and for how long at most.

use std::{
    env,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// The share of the full counts that a plain `cargo test` runs.
const DEFAULT_SCALE: f64 = 0.05;

/// `full` cut by `CMAP_TEST_SCALE` (1.0 = the full counts of CI; 0.05 where it is not set), at least 1.
pub fn scaled(full: usize) -> usize {
    let scale = match env::var("CMAP_TEST_SCALE") {
        Ok(text) => text
            .parse()
            .expect("CMAP_TEST_SCALE must be a number such as 0.05"),
        Err(_) => DEFAULT_SCALE,
    };
    assert!(
        scale > 0.0,
        "CMAP_TEST_SCALE must be above zero, not {scale}"
    );
    ((full as f64 * scale) as usize).max(1)
}

/// The seed of a test: `CMAP_SEED` where it is set, else a fresh one; printed either way.
pub fn seed(test: &str) -> u64 {
    let seed = match env::var("CMAP_SEED") {
        Ok(text) => text.parse().expect("CMAP_SEED must be a whole number"),
        Err(_) => fastrand::u64(..),
    };
    println!("{test}: SEED={seed} (run again with CMAP_SEED={seed})");
    seed
}

/// A well-mixed word from two (the finaliser of splitmix64).
pub fn mix(a: u64, b: u64) -> u64 {
    let mut z = a
        .wrapping_add(b.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Runs `job(0)` to `job(count - 1)`, each once, spread over the cores.
pub fn spread(count: usize, job: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism()
        .map_or(2, |n| n.get())
        .min(count);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        break;
                    }
                    job(index);
                }
            });
        }
    });
}

/// The watchdog: runs `body` on a thread of its own, and fails where it has not come back in `limit`, which means that a call hangs.
#[track_caller]
pub fn within<R: Send + 'static>(
    limit: Duration,
    what: &str,
    body: impl FnOnce() -> R + Send + 'static,
) -> R {
    let (done, waiting) = mpsc::channel();
    let thread = thread::spawn(move || {
        let result = body();
        // The receiver is gone only if the time was up already.
        let _ = done.send(());
        result
    });
    match waiting.recv_timeout(limit) {
        Err(mpsc::RecvTimeoutError::Timeout) => {
            panic!("{what}: no answer after {limit:?}: a call hangs")
        }
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        },
    }
}

/// Asks again and again, backing off to 1 ms, for at most 10 s. Only for what another test's pins may delay for a while.
pub fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    let mut pause = Duration::from_micros(10);
    while !condition() {
        if start.elapsed() > Duration::from_secs(10) {
            return false;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(1));
    }
    true
}

/// Panics without a word on standard error: for what panics a hundred thousand times, as it should.
pub fn panic_quietly(message: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(message))
}
