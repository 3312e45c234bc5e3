//! A child process: measures one store, alone in its address space, and says what it found on standard output.

mod fault;
mod message;
mod order;
mod passes;

pub use message::{Measured, Message, Pass};

use std::{
    io::{self, Write},
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::{
    args::MeasureStoreArgs,
    failure::Failure,
    packed::Entries,
    store::{CMapStore, DashMapStore, HashMapStore, Hasher, Kind, Store},
};

use fault::{Fault, Faulty};
use passes::Bench;

/// Between two reports of progress: short runs make none, so that nothing disturbs them.
const REPORT_EVERY_MS: u64 = 500;

/// Measures the store; the packed entries are on standard input.
pub fn run(args: &MeasureStoreArgs) -> Result<(), Failure> {
    // The parent's end is the child's, whatever ends the parent.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let entries = Entries::open(&io::stdin()).map_err(Failure::temporary)?;
    let report = Report::new(args.progress);
    let bench = Bench {
        entries: &entries,
        threads: args.threads,
        mix: args.mix,
        watch: &|pass, done| report.progress(pass, done),
    };
    let hasher = Hasher::with_seed(args.seed);
    let fault = Fault::from_environment();
    let found = match args.store {
        Kind::RwLock => measure::<HashMapStore>(&bench, hasher, fault),
        Kind::DashMap => measure::<DashMapStore>(&bench, hasher, fault),
        Kind::CMap => measure::<CMapStore>(&bench, hasher, fault),
    };
    match found {
        Ok(measured) => say(&Message::Measured(measured)),
        Err(reason) => say(&Message::Failed { reason }),
    }
    Ok(())
}

fn measure<S: Store>(
    bench: &Bench<'_>,
    hasher: Hasher,
    fault: Option<Fault>,
) -> Result<Measured, String> {
    match fault {
        None => bench.run(|| S::new(hasher)),
        Some(fault) => {
            fault.strike();
            bench.run(|| S::new(hasher).map(|store| Faulty::new(store, fault)))
        }
    }
}

/// One line of JSON. Without a parent to read it there is no point in going on.
fn say(message: &Message) {
    let mut line = serde_json::to_vec(message).expect("messages are plain data");
    line.push(b'\n');
    if io::stdout().lock().write_all(&line).is_err() {
        process::exit(1);
    }
}

/// Tells the parent how far a pass has come, at most so often.
struct Report {
    wanted: bool,
    start: Instant,
    next_ms: AtomicU64,
}

impl Report {
    fn new(wanted: bool) -> Self {
        Self {
            wanted,
            start: Instant::now(),
            next_ms: AtomicU64::new(REPORT_EVERY_MS),
        }
    }

    fn progress(&self, pass: Pass, done: u64) {
        if !self.wanted {
            return;
        }
        let now_ms = self.start.elapsed().as_millis() as u64;
        let next_ms = self.next_ms.load(Ordering::Relaxed);
        let won = |()| {
            self.next_ms.compare_exchange(
                next_ms,
                now_ms + REPORT_EVERY_MS,
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
        };
        if now_ms >= next_ms && won(()).is_ok() {
            say(&Message::Progress { pass, done });
        }
    }
}
