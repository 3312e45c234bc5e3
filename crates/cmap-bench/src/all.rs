//! `all`: which jobs, in which order, and running those that are not done yet.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::args::AllArgs;
use crate::entry::Sizes;
use crate::job::{Job, Kind};
use crate::launch::launch;
use crate::machine::{Machine, cores};
use crate::results::{Line, Outcome, Results};
use crate::store::{StoreName, Variant};

const MILLION: u64 = 1_000_000;
/// The size of the goals.
const MAIN: u64 = 5 * MILLION;
/// Threads of the run that has more of them than cores.
const CROWD: usize = 16;
const SIX_OPS: u64 = 4 * MILLION;

/// CMap and the four that the best rival is chosen from.
pub const FIVE: [StoreName; 5] = [
    StoreName::Cmap,
    StoreName::Dashmap,
    StoreName::Papaya,
    StoreName::Scc,
    StoreName::Sharded,
];
const OTHERS: [StoreName; 2] = [StoreName::QuickCache, StoreName::Segcache];

/// Runs them.
pub fn run(args: &AllArgs) -> Result<()> {
    let machine = Machine::detect();
    let mut results = Results::open(&args.results)?;
    let first = select(plan(args), args);
    if args.list {
        for job in first {
            println!("{job}");
        }
        return Ok(());
    }
    work(&first, &machine, &mut results)?;
    let second = select(large(args, &results, &machine), args);
    work(&second, &machine, &mut results)?;

    let wrong = disagreements(&results.lines);
    for text in &wrong {
        eprintln!("{text}");
    }
    ensure!(wrong.is_empty(), "stores read different values");
    let done = results.done(&machine);
    let failed = |line: &&Line| {
        matches!(line.outcome, Outcome::Failed { .. }) && !done.contains(&line.job.id())
    };
    let failed = results.lines.iter().filter(failed).count();
    ensure!(failed == 0, "{failed} jobs failed; the results say how");
    Ok(())
}

fn work(jobs: &[Job], machine: &Machine, results: &mut Results) -> Result<()> {
    let done = results.done(machine);
    let left: Vec<_> = jobs
        .iter()
        .filter(|job| !done.contains(&job.id()))
        .collect();
    eprintln!(
        "{} jobs, {} of them done before",
        jobs.len(),
        jobs.len() - left.len()
    );
    for (number, job) in left.iter().enumerate() {
        run_one(job, number + 1, left.len(), machine, results)?;
    }
    Ok(())
}

fn run_one(
    job: &Job,
    number: usize,
    of: usize,
    machine: &Machine,
    results: &mut Results,
) -> Result<()> {
    let terminal = std::io::stderr().is_terminal();
    eprint!("{number}/{of} {job} ");
    std::io::stderr().flush()?;
    let start = Instant::now();
    let lines = launch(job, machine);
    let outcome = match lines.first().map(|line| &line.outcome) {
        Some(Outcome::Skipped { skipped }) => format!("skipped: {skipped}"),
        Some(Outcome::Failed { failed }) => format!("FAILED: {failed}"),
        _ => format!("{:.1} s", start.elapsed().as_secs_f64()),
    };
    eprintln!("{}{outcome}", if terminal { "… " } else { "" });
    results.append(lines)
}

/// Every job, `rounds` times, stores in turn.
fn turns(rounds: u32, stores: &[StoreName], make: impl Fn(StoreName) -> Vec<Job>) -> Vec<Job> {
    let mut jobs = Vec::new();
    for round in 1..=rounds {
        for &store in stores {
            jobs.extend(make(store).into_iter().map(|job| Job { round, ..job }));
        }
    }
    jobs
}

fn with(some: &[StoreName], more: &[StoreName]) -> Vec<StoreName> {
    [some, more].concat()
}

/// One and two threads; *bound* alone and with a twin.
fn steady(store: StoreName, entries: u64) -> Vec<Job> {
    let job = Job::new(Kind::Steady, store, entries);
    let alone = Job {
        threads: 1,
        ..job.clone()
    };
    let together = match store {
        StoreName::Bound => Job {
            twins: true,
            ..alone.clone()
        },
        StoreName::LockedBound => return vec![alone],
        _ => job,
    };
    vec![alone, together]
}

fn plan(args: &AllArgs) -> Vec<Job> {
    let rounds = args.rounds;
    let every = with(&FIVE, &OTHERS);
    let measured = with(
        &every,
        &[StoreName::Noop, StoreName::Bound, StoreName::LockedBound],
    );
    let mut jobs = turns(rounds, &with(&every, &[StoreName::Noop]), |store| {
        vec![Job {
            ops: SIX_OPS,
            ..Job::new(Kind::Six, store, 1024)
        }]
    });

    let sizes = args.entries.clone().unwrap_or_else(|| match args.full {
        true => vec![MAIN, MILLION, 50 * MILLION],
        false => vec![MAIN],
    });
    for &entries in &sizes {
        jobs.extend(turns(rounds, &measured, |store| steady(store, entries)));
    }
    let main = sizes[0];
    // The others have no such calls: their single inserts and removes are what these are held against.
    jobs.extend(turns(
        rounds,
        &[StoreName::Cmap, StoreName::Bound],
        |store| {
            steady(store, main)
                .into_iter()
                .map(|job| Job {
                    kind: Kind::Batch,
                    ..job
                })
                .collect()
        },
    ));
    jobs.extend(turns(rounds, &FIVE, |store| {
        let churn = |entries| Job {
            sizes: Sizes::Mixed,
            ..Job::new(Kind::Churn, store, entries)
        };
        vec![
            churn(main),
            churn(main / 5),
            Job::new(Kind::Beside, store, main),
            Job::new(Kind::Drop, store, main),
            Job::new(Kind::Deleted, store, main),
        ]
    }));
    jobs.extend(turns(rounds, &FIVE, pauses));
    jobs.extend(turns(1, &FIVE, |store| {
        let growth = Job::new(Kind::Growth, store, 16 * MILLION);
        let faults = Job {
            threads: 1,
            ..Job::new(Kind::Faults, store, 20 * MILLION)
        };
        vec![growth, faults]
    }));
    jobs.extend(turns(1, &[StoreName::Cmap], |store| {
        turnovers(store, args.full)
    }));
    let crowd: &[StoreName] = if args.full { &FIVE } else { &FIVE[..1] };
    jobs.extend(turns(rounds, crowd, |store| {
        vec![Job {
            threads: CROWD.max(cores()),
            ..Job::new(Kind::Steady, store, main)
        }]
    }));
    jobs.extend(turns(1, &FIVE, |store| {
        vec![Job {
            huge: true,
            ..Job::new(Kind::Steady, store, main)
        }]
    }));
    if args.full {
        jobs.extend(turns(rounds, &measured, |store| {
            steady(store, main)
                .into_iter()
                .map(|job| Job {
                    sizes: Sizes::Mixed,
                    ..job
                })
                .collect()
        }));
    }
    jobs
}

fn pauses(store: StoreName) -> Vec<Job> {
    let job = Job {
        threads: 1,
        ..Job::new(Kind::Pause, store, 20 * MILLION)
    };
    let variant = |variant| Job {
        variant,
        ..job.clone()
    };
    match store {
        StoreName::Cmap => vec![
            job.clone(),
            variant(Variant::Preallocated),
            variant(Variant::Maintained),
        ],
        _ => vec![job],
    }
}

/// Twenty turnovers of equal size, over a doubling of sizes at least.
fn turnovers(store: StoreName, full: bool) -> Vec<Job> {
    let to = if full { 16.1 } else { 2.1 };
    let mut jobs = Vec::new();
    let mut entries = 1.0;
    while entries <= to {
        jobs.push(Job {
            turnovers: 20,
            ..Job::new(Kind::Churn, store, (entries * MILLION as f64) as u64)
        });
        entries *= 1.2;
    }
    jobs
}

/// 20 M entries: CMap and the two best of the main size, or all.
fn large(args: &AllArgs, results: &Results, machine: &Machine) -> Vec<Job> {
    let stores = if args.full {
        with(&FIVE, &OTHERS)
    } else {
        let main = args.entries.as_ref().map_or(MAIN, |entries| entries[0]);
        let scaled = scaled(main, args.scale);
        with(&[StoreName::Cmap], &best(&results.lines, machine, scaled))
    };
    if args.entries.is_some() && !args.full {
        return Vec::new();
    }
    turns(1, &stores, |store| steady(store, 20 * MILLION))
}

/// The two rivals with the least geometric mean over all workloads of the main size.
fn best(lines: &[Line], machine: &Machine, entries: u64) -> Vec<StoreName> {
    let setting = Job::new(Kind::Steady, StoreName::Cmap, entries).setting();
    let mut logs: BTreeMap<StoreName, f64> = BTreeMap::new();
    for line in lines {
        if let Outcome::Measured(figure) = &line.outcome
            && line.machine == *machine
            && line.job.setting() == setting
            && figure.unit == "ns/op"
            && StoreName::RIVALS.contains(&line.job.store)
        {
            *logs.entry(line.job.store).or_default() += figure.figure.ln();
        }
    }
    let mut order: Vec<_> = logs.into_iter().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    order.into_iter().take(2).map(|(store, _)| store).collect()
}

fn scaled(entries: u64, scale: f64) -> u64 {
    ((entries as f64 * scale) as u64).max(100)
}

fn select(jobs: Vec<Job>, args: &AllArgs) -> Vec<Job> {
    let mut chosen: Vec<Job> = Vec::new();
    for job in jobs {
        let stores = args.stores.as_ref();
        let kinds = args.kinds.as_ref();
        if stores.is_some_and(|stores| !stores.contains(&job.store))
            || kinds.is_some_and(|kinds| !kinds.contains(&job.kind))
        {
            continue;
        }
        let job = scale(job, args.scale, args.seed);
        if !chosen.iter().any(|other| other.id() == job.id()) {
            chosen.push(job);
        }
    }
    chosen
}

/// The job at another size; operations shrink with it.
pub fn scale(job: Job, scale: f64, seed: u64) -> Job {
    let resized = |n: u64| if n <= 1024 { n } else { scaled(n, scale) };
    Job {
        entries: resized(job.entries),
        ops: resized(job.ops),
        seed,
        ..job
    }
}

/// Settings in which two stores read different values, a sentence each.
pub fn disagreements(lines: &[Line]) -> Vec<String> {
    let mut first: BTreeMap<String, (&Line, &str)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for line in lines {
        let Outcome::Measured(figure) = &line.outcome else {
            continue;
        };
        let Some(checksum) = figure.checksum.as_deref() else {
            continue;
        };
        if line.job.store == StoreName::Noop {
            continue;
        }
        let Job { seed, ops, .. } = line.job;
        let key = format!(
            "{} / {} / {seed} / {ops}",
            figure.workload,
            line.job.setting()
        );
        match first.get(&key) {
            None => drop(first.insert(key, (line, checksum))),
            Some((_, same)) if *same == checksum => {}
            Some((other, _)) => wrong.push(format!(
                "{}: {} and {} read different values",
                figure.workload, other.job, line.job
            )),
        }
    }
    wrong
}
