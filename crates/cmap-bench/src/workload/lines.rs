//! The operations of `lines`, in the process that valgrind watches: threads that take strict turns, and marks in the trace.
//!
//! A trace has addresses, not values, and does not say whose access it is. So a mark is a store to a byte of its own, and no
//! thread enters an operation before the one ahead of it has come to rest: nobody else's accesses may fall between two marks.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread::Thread;

use super::{Out, buffer};
use crate::entry::digest;
use crate::job::Job;
use crate::rng::{Order, Rng};
use crate::store::Store;

/// The most threads that have marks.
pub const THREADS_MAX: usize = 64;
/// What is counted.
pub const COUNTED: [&str; 7] = [
    "hit",
    "miss",
    "insert",
    "overwrite",
    "hit, others overwriting",
    "overwrite, others hitting",
    "remove",
];
/// One after another: in each, what the even threads do, and the odd ones.
const PHASES: [[usize; 2]; 6] = [[0, 0], [1, 1], [2, 2], [3, 3], [4, 5], [6, 6]];
/// How many bytes are marks.
pub const MARKS: usize = 1 + THREADS_MAX + COUNTED.len();
/// What stands before the address of the marks, in hexadecimal, on a line of its own on stderr.
pub const MARKS_AT: &str = "marks at ";

/// Keys from here on are never inserted.
const ABSENT: u64 = 1 << 40;

/// What a store to a byte of the marks says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// No thread is inside an operation.
    Outside,
    /// This one is.
    Inside(usize),
    /// What comes next is one of these operations.
    Next(usize),
}

impl Mark {
    /// Of which byte.
    pub const fn at(byte: usize) -> Self {
        match byte {
            0 => Self::Outside,
            1..=THREADS_MAX => Self::Inside(byte - 1),
            _ => Self::Next(byte - 1 - THREADS_MAX),
        }
    }

    /// Which byte.
    pub const fn byte(self) -> usize {
        match self {
            Self::Outside => 0,
            Self::Inside(thread) => 1 + thread,
            Self::Next(counted) => 1 + THREADS_MAX + counted,
        }
    }

    fn set(self) {
        // SeqCst: no access moves across, neither into the operation nor out of it.
        BYTES[self.byte()].store(1, Ordering::SeqCst);
    }
}

static BYTES: [AtomicU8; MARKS] = [const { AtomicU8::new(0) }; MARKS];

/// Fills the map, then runs each phase's operations in turns, with marks around each.
pub fn run<S: Store>(job: &Job, out: &mut Out) {
    assert!((1..=THREADS_MAX).contains(&job.threads), "threads: {job}");
    let store = S::new(&job.plan());
    let entries = job.sequence();
    let mut value = buffer();
    for n in 0..job.entries {
        store.insert(&entries.key(n), entries.value(n, 0, &mut value));
    }
    // In one piece: the trace goes to the same place, and valgrind writes between any two.
    let line = format!("{MARKS_AT}{:x}\n", BYTES.as_ptr().addr());
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("whoever reads the trace");

    let sums = [const { AtomicU64::new(0) }; COUNTED.len()];
    in_turns(job.threads, PHASES.len() as u64 * job.ops, |thread, n| {
        let counted = PHASES[(n / job.ops) as usize][thread % 2];
        Mark::Next(counted).set();
        let read = operate(job, &store, counted, thread, n % job.ops);
        // Relaxed: read when the threads are gone.
        sums[counted].fetch_add(read, Ordering::Relaxed);
    });
    for (counted, sum) in COUNTED.iter().zip(sums) {
        out.checked(counted, "ops", job.ops as f64, sum.into_inner());
    }
}

/// The `n`-th operation of a phase. Keys and values are made outside the marks.
fn operate<S: Store>(job: &Job, store: &S, counted: usize, thread: usize, n: u64) -> u64 {
    let entries = job.sequence();
    let any = Rng::new(job.seed, counted as u64, n).below(job.entries);
    let number = match COUNTED[counted] {
        "miss" => ABSENT + any,
        "insert" => job.entries + n,
        "remove" => Order::new(job.entries, job.seed).at(n % job.entries),
        _ => any,
    };
    let key = entries.key(number);
    let mut place = buffer();
    let value = entries.value(number, 1 + n, &mut place);
    Mark::Inside(thread).set();
    let read = match COUNTED[counted] {
        "hit" | "miss" | "hit, others overwriting" => store.get(&key, digest).unwrap_or(0),
        "remove" => u64::from(store.remove(&key)),
        _ => {
            store.insert(&key, value);
            0
        }
    };
    Mark::Outside.set();
    read
}

/// Calls `one` with `0..count`, each in the thread after the last one's, and each alone.
fn in_turns(threads: usize, count: u64, one: impl Fn(usize, u64) + Sync) {
    let line = Line {
        threads: OnceLock::new(),
        turn: AtomicU64::new(u64::MAX),
        at_rest: AtomicU64::new(0),
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let (line, one) = (&line, &one);
                scope.spawn(move || {
                    for n in (thread as u64..count).step_by(threads) {
                        line.wait(n);
                        one(thread, n);
                        line.pass_on(n, count);
                    }
                    // Nobody ends, which takes accesses too, before all are done.
                    line.wait(count);
                })
            })
            .collect();
        let threads = workers.iter().map(|worker| worker.thread().clone());
        let threads = line.threads.get_or_init(|| threads.collect());
        line.turn.store(0, Ordering::Release);
        threads.iter().for_each(Thread::unpark);
    });
}

/// Threads that stand in line.
struct Line {
    threads: OnceLock<Vec<Thread>>,
    /// Whose operation it is; none's before the start.
    turn: AtomicU64,
    /// The turn at which the thread that had the one before goes to sleep, or has.
    at_rest: AtomicU64,
}

impl Line {
    /// Sleeps until it is the turn of operation `n`, and until who passed it on sleeps.
    fn wait(&self, n: u64) {
        // Acquire: pairs with the Release of the one who passed on.
        while self.turn.load(Ordering::Acquire) != n {
            std::thread::park();
        }
        // valgrind lets another thread run when this one yields, and then not before the other sleeps.
        while self.at_rest.load(Ordering::Acquire) != n {
            std::thread::yield_now();
        }
    }

    fn pass_on(&self, n: u64, count: u64) {
        let threads = self.threads.get().expect("set before the first turn");
        let next = n + 1;
        self.turn.store(next, Ordering::Release);
        match next == count {
            true => threads.iter().for_each(Thread::unpark),
            false => threads[next as usize % threads.len()].unpark(),
        }
        self.at_rest.store(next, Ordering::Release);
    }
}
