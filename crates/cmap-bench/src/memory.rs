//! `memory`: one table of what CMap must reach in memory, beside DashMap, papaya and a 64-shard `RwLock<hashbrown>`.
//!
//! Each figure comes from a process of its own; the stores take turns.

use anyhow::{Result, ensure};

use crate::all::{disagreements, scale};
use crate::args::MemoryArgs;
use crate::entry::Sizes;
use crate::job::{Job, Kind};
use crate::launch::launch;
use crate::machine::Machine;
use crate::report::{Figures, Table, cell, count, digits, plain};
use crate::results::{Line, Outcome, Results};
use crate::store::StoreName;

const STORES: [StoreName; 4] = [
    StoreName::Cmap,
    StoreName::Dashmap,
    StoreName::Papaya,
    StoreName::Sharded,
];
const RIVALS: &[StoreName] = &[StoreName::Dashmap, StoreName::Papaya, StoreName::Sharded];
const FILLED: [u64; 5] = [1_000_000, 2_000_000, 3_000_000, 5_000_000, 7_000_000];
const MAIN: u64 = 5_000_000;
const KIB: f64 = 1024.0;

/// What a figure of CMap is held against.
enum Goal {
    /// A number.
    AtMost(f64),
    /// Another, where the store is in huge pages by half or more.
    AtMostHuge { else_: f64, huge: f64 },
    /// The best of the rivals.
    BestRival,
    /// The worst of the rivals.
    WorstRival,
}

/// A line of the table.
struct Row {
    name: String,
    setting: String,
    workload: &'static str,
    /// A unit of the table's in the units of the figure.
    unit: f64,
    goal: Goal,
}

/// Runs the jobs and prints the table.
pub fn run(args: &MemoryArgs) -> Result<()> {
    let machine = Machine::detect();
    let chosen = |job: &Job| {
        args.kinds
            .as_ref()
            .is_none_or(|kinds| kinds.contains(&job.kind))
    };
    let specs: Vec<Job> = specs()
        .into_iter()
        .filter(chosen)
        .map(|job| scale(job, args.scale, args.seed))
        .collect();
    let mut lines: Vec<Line> = Vec::new();
    for round in 1..=args.rounds {
        for spec in &specs {
            for store in STORES {
                let job = Job {
                    store,
                    round,
                    ..spec.clone()
                };
                eprintln!("{job}");
                lines.extend(launch(&job, &machine));
            }
        }
    }
    if let Some(path) = &args.results {
        Results::open(path)?.append(lines.clone())?;
    }
    print(args, &machine, &lines);

    for line in &lines {
        match &line.outcome {
            Outcome::Skipped { skipped } => println!("{} was skipped: {skipped}.", line.job),
            Outcome::Failed { failed } => println!("{} FAILED: {failed}.", line.job),
            Outcome::Measured(_) => {}
        }
    }
    let wrong = disagreements(&lines);
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let failed = |line: &Line| matches!(line.outcome, Outcome::Failed { .. });
    ensure!(!lines.iter().any(failed), "some jobs failed");
    Ok(())
}

fn specs() -> Vec<Job> {
    let new = |kind, entries| Job::new(kind, StoreName::Cmap, entries);
    let alone = |kind, entries| Job {
        threads: 1,
        ..new(kind, entries)
    };
    let mut specs: Vec<Job> = FILLED.iter().map(|&n| alone(Kind::Filled, n)).collect();
    specs.extend([
        alone(Kind::Filled, 100),
        new(Kind::Deleted, MAIN),
        Job {
            sizes: Sizes::Mixed,
            ..new(Kind::Churn, 1_000_000)
        },
        Job {
            turnovers: 400,
            threads: 1,
            ..new(Kind::Overwrite, 10_000)
        },
        new(Kind::Drop, MAIN),
        alone(Kind::Hit, MAIN),
        Job {
            threads: 2,
            ..new(Kind::Hit, MAIN)
        },
        alone(Kind::Pause, MAIN),
    ]);
    specs
}

fn rows(args: &MemoryArgs) -> Vec<Row> {
    let mut rows = Vec::new();
    for job in specs() {
        let job = scale(job, args.scale, args.seed);
        let entries = count(job.entries);
        let mut row = |name: String, workload, unit, goal| {
            rows.push(Row {
                name,
                setting: job.setting(),
                workload,
                unit,
                goal,
            });
        };
        match job.kind {
            Kind::Filled if job.entries == 100 => row(
                format!("{entries} entries, KiB"),
                "memory, filled",
                KIB,
                Goal::AtMost(32.0),
            ),
            Kind::Filled => row(
                format!("overhead at {entries}, bytes an entry"),
                "overhead, filled",
                1.0,
                Goal::AtMost(24.0),
            ),
            Kind::Deleted => {
                row(
                    format!("{entries}, after deleting 90 %, of before"),
                    "memory after deleting 90 %",
                    1.0,
                    Goal::AtMost(0.18),
                );
                row(
                    "… after shrinking, of before".into(),
                    "memory after shrinking",
                    1.0,
                    Goal::AtMost(0.12),
                );
            }
            Kind::Churn => {
                row(
                    format!("churn of {entries}, memory at the end, of payload"),
                    "churn, memory at the end",
                    1.0,
                    Goal::AtMost(1.50),
                );
                row(
                    "… at the peak, of payload".into(),
                    "churn, memory at the peak",
                    1.0,
                    Goal::AtMost(1.50),
                );
            }
            Kind::Overwrite => {
                row(
                    format!("{entries} keys overwritten, chunks in use"),
                    "overwritten, chunks in use",
                    1.0,
                    Goal::AtMost(4.0),
                );
                row(
                    "… memory since round 20, MiB".into(),
                    "overwritten, memory since round 20",
                    KIB * KIB,
                    Goal::AtMost(4.0),
                );
            }
            Kind::Drop => row(
                format!("drop of {entries}, ms"),
                "drop",
                1.0,
                Goal::AtMostHuge {
                    huge: 20.0,
                    else_: 60.0,
                },
            ),
            Kind::Hit => row(
                format!("hit at {entries}, {} thread(s), ns", job.threads),
                "hit",
                1.0,
                Goal::BestRival,
            ),
            Kind::Pause => row(
                format!("worst insert up to {entries}, µs"),
                "insert worst",
                1.0,
                Goal::WorstRival,
            ),
            _ => {}
        }
    }
    rows
}

fn print(args: &MemoryArgs, machine: &Machine, lines: &[Line]) {
    let figures = Figures::new(lines);
    let mut head = vec![String::new()];
    head.extend(STORES.map(|store| store.title().to_owned()));
    head.extend(["goal".into(), "met".into()]);
    let mut table = Table::new(head);
    let mut overheads = vec![Vec::new(); STORES.len()];
    for row in rows(args) {
        let of = |store| {
            let median = figures.median(&row.setting, row.workload, plain(store))?;
            Some(median / row.unit)
        };
        let values = STORES.map(of);
        if values.iter().all(Option::is_none) {
            continue;
        }
        if row.workload == "overhead, filled" {
            for (sum, value) in overheads.iter_mut().zip(values) {
                sum.extend(value);
            }
        }
        let goal = goal_of(&row, &figures);
        table.row(cells(row.name, &values, goal));
        if row.workload == "overhead, filled" && overheads[0].len() == FILLED.len() {
            let mean = |sum: &Vec<f64>| {
                (sum.len() == FILLED.len()).then(|| sum.iter().sum::<f64>() / sum.len() as f64)
            };
            let values: [Option<f64>; 4] = std::array::from_fn(|i| mean(&overheads[i]));
            table.row(cells("… on average".into(), &values, Some(20.0)));
        }
    }
    let Machine {
        commit,
        cpu,
        cores,
        allocator,
    } = machine;
    println!("{table}");
    println!(
        "Commit {commit}; {cpu}, {cores} cores; allocator: {allocator}; seed {}; rounds: {}.",
        args.seed, args.rounds
    );
    println!("Memory is resident memory above what it was just before the map was made.");
}

fn goal_of(row: &Row, figures: &Figures) -> Option<f64> {
    let of = |store: &StoreName| {
        let median = figures.median(&row.setting, row.workload, plain(*store))?;
        Some(median / row.unit)
    };
    match row.goal {
        Goal::AtMost(goal) => Some(goal),
        Goal::AtMostHuge { else_, huge } => {
            let cmap = plain(StoreName::Cmap);
            let share = figures.median(&row.setting, "share in huge pages", cmap)?;
            Some(if share >= 0.5 { huge } else { else_ })
        }
        Goal::BestRival => RIVALS.iter().filter_map(of).min_by(f64::total_cmp),
        Goal::WorstRival => RIVALS.iter().filter_map(of).max_by(f64::total_cmp),
    }
}

fn cells(name: String, values: &[Option<f64>], goal: Option<f64>) -> Vec<String> {
    let mut cells = vec![name];
    cells.extend(values.iter().map(|&value| cell(value)));
    cells.push(goal.map_or_else(|| "–".into(), |goal| format!("≤ {}", digits(goal))));
    cells.push(match (values[0], goal) {
        (Some(value), Some(goal)) if value <= goal => "yes".into(),
        (Some(_), Some(_)) => "NO".into(),
        _ => "–".into(),
    });
    cells
}
