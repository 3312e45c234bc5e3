//! The workloads, and what they share: threads that start together, figures that come out.

mod batch;
mod beside;
mod churn;
mod lines;
mod memory;
mod pause;
mod six;
mod steady;

use std::io::{BufRead, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub use self::lines::{COUNTED, MARKS, MARKS_AT, Mark, THREADS_MAX};
use crate::entry::{Buffer, VALUE_BYTES_MAX};
use crate::job::{Job, Kind};
use crate::machine::{Placed, cores, thread_time};
use crate::results::Figure;
use crate::store::{
    Bound, Cmap, Dashmap, LockedBound, Noop, Papaya, QuickCache, Scc, SegCache, Sharded, Store,
    StoreName,
};

/// What a child says before each phase that its twin shall run at the same time.
pub const READY: &str = "ready";

/// Runs a job in this process.
pub fn run(job: &Job, out: &mut Out) {
    match job.store {
        StoreName::Cmap => run_on::<Cmap>(job, out),
        StoreName::Dashmap => run_on::<Dashmap>(job, out),
        StoreName::Papaya => run_on::<Papaya>(job, out),
        StoreName::Scc => run_on::<Scc>(job, out),
        StoreName::Sharded => run_on::<Sharded>(job, out),
        StoreName::QuickCache => run_on::<QuickCache>(job, out),
        StoreName::Segcache => run_on::<SegCache>(job, out),
        StoreName::Noop => run_on::<Noop>(job, out),
        StoreName::Bound => run_on::<Bound>(job, out),
        StoreName::LockedBound => run_on::<LockedBound>(job, out),
    }
}

/// Runs a job on a store of a given type.
pub fn run_on<S: Store>(job: &Job, out: &mut Out) {
    match job.kind {
        Kind::Steady => steady::all::<S>(job, out),
        Kind::Hit => steady::hits::<S>(job, out),
        Kind::Batch => batch::run::<S>(job, out),
        Kind::Churn => churn::run::<S>(job, out),
        Kind::Pause => pause::run::<S>(job, out),
        Kind::Faults => pause::faults::<S>(job, out),
        Kind::Drop => memory::drop_all::<S>(job, out),
        Kind::Beside => beside::run::<S>(job, out),
        Kind::Six => six::run::<S>(job, out),
        Kind::Growth => memory::growth::<S>(job, out),
        Kind::Filled => memory::filled::<S>(job, out),
        Kind::Deleted => memory::deleted::<S>(job, out),
        Kind::Overwrite => memory::overwrite::<S>(job, out),
        Kind::Lines => lines::run::<S>(job, out),
    }
}

/// Where figures go.
pub struct Out {
    /// In the order of their measurement.
    pub figures: Vec<Figure>,
    twins: bool,
}

impl Out {
    /// Collects; `twins` if each phase is to wait for another process.
    pub const fn new(twins: bool) -> Self {
        Self {
            figures: Vec::new(),
            twins,
        }
    }

    /// A figure that no reading stands behind.
    pub fn plain(&mut self, workload: impl Into<String>, unit: &str, figure: f64) {
        self.figures.push(Figure {
            workload: workload.into(),
            unit: unit.into(),
            figure,
            averaged: 0,
            busy: None,
            checksum: None,
        });
    }

    /// Wall time per operation of all threads together, and the checksum of what they read.
    pub fn timed(&mut self, workload: &str, ops: u64, timed: &Timed) {
        self.figures.push(Figure {
            workload: workload.into(),
            unit: "ns/op".into(),
            figure: timed.wall.as_nanos() as f64 / ops.max(1) as f64,
            averaged: ops,
            busy: timed.busy(),
            checksum: Some(format!("{:016x}", timed.checksum)),
        });
    }

    /// A checksum and a number that belong together.
    pub fn checked(&mut self, workload: &str, unit: &str, figure: f64, checksum: u64) {
        self.plain(workload, unit, figure);
        if let Some(last) = self.figures.last_mut() {
            last.checksum = Some(format!("{checksum:016x}"));
        }
    }

    /// Waits for the twin, if there is one.
    pub fn gate(&self) {
        if self.twins {
            println!("{READY}");
            std::io::stdout().flush().expect("the parent reads");
            let mut line = String::new();
            std::io::stdin()
                .lock()
                .read_line(&mut line)
                .expect("the parent answers");
        }
    }
}

/// How long a phase took, from the first thread's start to the last one's end, and what it read.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    /// Time.
    pub wall: Duration,
    /// Processor time of all threads.
    pub cpu: Duration,
    /// How many threads.
    pub threads: usize,
    /// Sum over the threads.
    pub checksum: u64,
}

impl Timed {
    /// What `body` takes in this thread.
    pub fn alone(body: impl FnOnce() -> u64) -> Self {
        let (start, cpu) = (Instant::now(), thread_time());
        let checksum = body();
        Self {
            wall: start.elapsed(),
            cpu: thread_time() - cpu,
            threads: 1,
            checksum,
        }
    }

    /// Processor time as a part of the time that there was, if there was any to speak of.
    fn busy(&self) -> Option<f64> {
        let there = self.wall.as_secs_f64() * self.threads as f64;
        let share = self.cpu.as_secs_f64() / there;
        (self.wall > Duration::from_millis(10)).then_some((share * 1e3).round() / 1e3)
    }
}

/// Runs `body` in each of `threads`, started together; it is given its number and returns its checksum.
pub fn timed(threads: usize, body: impl Fn(usize) -> u64 + Sync) -> Timed {
    let missing = AtomicUsize::new(threads);
    let apart = (2..=cores()).contains(&threads);
    let one = |thread| {
        let _place = apart.then(|| Placed::on(thread));
        // Relaxed: a starting gun, which carries nothing; it spins, for waking takes its time.
        missing.fetch_sub(1, Ordering::Relaxed);
        let mut spins = 0u32;
        while missing.load(Ordering::Relaxed) > 0 {
            spins += 1;
            match spins.is_multiple_of(4096) {
                true => std::thread::yield_now(),
                false => std::hint::spin_loop(),
            }
        }
        let start = Instant::now();
        (start, Timed::alone(|| body(thread)))
    };
    let runs: Vec<_> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .map(|thread| {
                let one = &one;
                scope.spawn(move || one(thread))
            })
            .collect();
        let mut runs = vec![one(0)];
        runs.extend(
            others
                .into_iter()
                .map(|run| run.join().expect("no workload panics")),
        );
        runs
    });
    let start = runs.iter().map(|(start, _)| *start).min();
    let end = runs.iter().map(|(start, run)| *start + run.wall).max();
    Timed {
        wall: end
            .zip(start)
            .map_or(Duration::ZERO, |(end, start)| end - start),
        cpu: runs.iter().map(|(_, run)| run.cpu).sum(),
        threads,
        checksum: runs
            .iter()
            .fold(0, |sum, (_, run)| sum.wrapping_add(run.checksum)),
    }
}

/// The part of `0..n` that falls to one of the threads.
pub fn share(n: u64, threads: usize, thread: usize) -> Range<u64> {
    let (threads, thread) = (threads as u64, thread as u64);
    n * thread / threads..n * (thread + 1) / threads
}

/// A place to make values in.
pub const fn buffer() -> Buffer {
    [0; VALUE_BYTES_MAX]
}

/// Inserts the entries of the job, each thread its share, in ascending order of their numbers.
pub fn fill<S: Store>(job: &Job, store: &S) -> Timed {
    let entries = job.sequence();
    timed(job.threads, |thread| {
        let mut value = buffer();
        for n in share(job.entries, job.threads, thread) {
            store.insert(&entries.key(n), entries.value(n, 0, &mut value));
        }
        0
    })
}
