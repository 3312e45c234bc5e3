//! The report in order, and its main tables: time per operation, with goals, and the sentences under them.

use std::fmt::Write as _;

use super::{Figures, Table, cell, count, digits, plain, scaling, single};
use crate::entry::Sizes;
use crate::job::{Job, Kind};
use crate::machine::Machine;
use crate::results::Line;
use crate::store::StoreName;

const COLUMNS: [StoreName; 10] = [
    StoreName::Cmap,
    StoreName::Dashmap,
    StoreName::Papaya,
    StoreName::Scc,
    StoreName::Sharded,
    StoreName::QuickCache,
    StoreName::Segcache,
    StoreName::Noop,
    StoreName::Bound,
    StoreName::LockedBound,
];
/// In the order of their measurement, with the workload that the rivals are taken from.
const TIMES: [(&str, &str); 12] = [
    ("fill", "fill"),
    ("fill, batched", "fill"),
    ("hit", "hit"),
    ("hit, pin held", "hit, pin held"),
    ("hit, batched", "hit"),
    ("miss", "miss"),
    ("zipf", "zipf"),
    ("95/5", "95/5"),
    ("50/50", "50/50"),
    ("iterate", "iterate"),
    ("remove", "remove"),
    ("remove, batched", "remove"),
];
const SIX: [&str; 6] = [
    "get hits",
    "get balanced",
    "get or insert",
    "adversarial",
    "insert throughput",
    "get throughput",
];
/// CMap as it comes.
pub const CMAP: super::figures::Entrant = plain(StoreName::Cmap);

/// All of it.
pub fn write(lines: &[Line], figures: &Figures, machine: &Machine) -> String {
    let mut text = head(lines, machine);
    let jobs = settings(lines);
    for job in &jobs {
        text += &match job.kind {
            Kind::Steady => steady(job, figures),
            Kind::Six => six(job, figures),
            Kind::Churn if job.sizes == Sizes::Fixed => String::new(),
            Kind::Churn => single::churn(job, figures),
            Kind::Growth => single::growth(job, figures),
            Kind::Pause => single::pause(job, figures),
            Kind::Batch if batch_stands_alone(job, &jobs) => steady(job, figures),
            Kind::Batch => String::new(),
            _ => single::others(job, figures),
        };
    }
    text += &single::turnovers(&jobs, figures);
    text += &scaling::gains(&jobs, figures);
    text += &scaling::crowd(&jobs, figures);
    text
}

/// A job of each setting, in the order of the report: kind, then size.
fn settings(lines: &[Line]) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    for line in lines {
        if !jobs.iter().any(|job| job.setting() == line.job.setting()) {
            jobs.push(line.job.clone());
        }
    }
    let rank = |kind| match kind {
        Kind::Steady | Kind::Batch => 0,
        Kind::Six => 1,
        kind => 2 + kind as u32,
    };
    jobs.sort_by_key(|job| {
        let mixed = job.sizes == Sizes::Mixed;
        let crowd = job.threads > 2;
        (
            rank(job.kind),
            mixed,
            job.huge,
            crowd,
            job.entries,
            job.threads,
        )
    });
    jobs
}

fn head(lines: &[Line], machine: &Machine) -> String {
    let rounds = lines.iter().map(|line| line.job.round).max().unwrap_or(1);
    let Machine {
        commit,
        cpu,
        cores,
        allocator,
    } = machine;
    format!(
        "# Benchmarks

Written by `cargo run --release -p cmap-bench -- report` from what `… -- all` measured.

Commit {commit}; {cpu}, {cores} cores; global allocator: {allocator}; up to {rounds} rounds; seed {}.

- Every store hashes with the same foldhash and the same seed (segcache brings its own hash) and starts empty and unsized
  (segcache and *bound* cannot grow). Rivals hold `Box<[u8]>` keys and values (quick_cache `Arc<[u8]>` values).
- A process for each store, size and number of threads; stores take turns, round after round. Figures are medians; \"of the
  best\" is the median of the ratios within a round to the best of DashMap, papaya, scc and RwLock ×64 (the one with the
  lowest median).
- Time per operation is wall time over all threads' operations. Keys are 16 bytes and values 64 unless it says \"mixed\"
  (16 + 480·u⁵ bytes), computed inside the measured loop from a counter. A read looks at a value's first eight bytes and its
  length, which make a checksum; all stores agree on it.
- *noop* is the harness and the hash alone: it is part of every figure. *bound* is the leanest table that can be had: one
  thread, fixed size, nothing safe.
- The rivals' allocator does not ask for huge pages, except in the table that says so; CMap and *bound* ask for their own.
- Memory is resident memory (anonymous and shared, huge pages included) above what it was just before the map was made.
",
        lines.first().map_or(1, |line| line.job.seed),
    )
}

fn batch_stands_alone(batch: &Job, jobs: &[Job]) -> bool {
    let steady = Job {
        kind: Kind::Steady,
        ..batch.clone()
    };
    !jobs.iter().any(|job| job.setting() == steady.setting())
}

/// What a job was, in words.
pub fn title(job: &Job) -> String {
    let mut title = format!("{} entries", count(job.entries));
    title += match job.threads {
        1 => ", one thread",
        2 => ", two threads",
        _ => "",
    };
    if job.threads > 2 {
        let _ = write!(title, ", {} threads", job.threads);
    }
    if job.sizes == Sizes::Mixed {
        title += ", mixed sizes";
    }
    if job.huge {
        title += ", the allocator asked for huge pages";
    }
    if job.twins {
        title += ", two processes at once";
    }
    title
}

/// The columns that have a figure in one of the workloads.
pub fn columns<'a>(
    figures: &Figures,
    rows: impl IntoIterator<Item = (&'a str, &'a str)> + Clone,
) -> Vec<StoreName> {
    let has = |store: &StoreName| {
        rows.clone()
            .into_iter()
            .any(|(setting, workload)| figures.median(setting, workload, plain(*store)).is_some())
    };
    COLUMNS.into_iter().filter(has).collect()
}

/// A goal in the main tables: CMap's time against the best rival's.
fn goal(job: &Job, workload: &str) -> Option<f64> {
    let alone = job.threads == 1;
    match workload {
        "hit, batched" if alone => Some(0.40),
        "iterate" => Some(1.0),
        "hit" => Some(0.75),
        _ if alone || job.threads > 2 || job.huge => None,
        "zipf" => Some(0.80),
        "miss" if job.entries >= 50_000_000 => Some(1.0),
        "miss" => Some(1.8),
        "fill" => Some(0.60),
        "fill, batched" => Some(0.45),
        "95/5" => Some(0.70),
        "50/50" | "remove" => Some(0.60),
        _ => None,
    }
}

fn steady(job: &Job, figures: &Figures) -> String {
    let setting = job.setting();
    let batch = Job {
        kind: Kind::Batch,
        ..job.clone()
    }
    .setting();
    let of = |workload: &str| match workload {
        "fill, batched" | "remove, batched" => batch.clone(),
        _ => setting.clone(),
    };
    let all: Vec<(String, &str)> = TIMES.iter().map(|&(w, _)| (of(w), w)).collect();
    let stores = columns(figures, all.iter().map(|(s, w)| (s.as_str(), *w)));
    let mut table = Table::new(titles(
        &stores,
        &["of the best", "goal", "of *bound*"],
        "ns",
    ));
    let mut sentences = String::new();
    for (workload, against) in TIMES {
        let own = of(workload);
        let values = stores
            .iter()
            .map(|&store| figures.median(&own, workload, plain(store)))
            .collect::<Vec<_>>();
        if values.iter().all(Option::is_none) {
            continue;
        }
        let best = figures.best_rival(&setting, against);
        let ratio = best.and_then(|best| match own == setting {
            true => figures.ratio(&setting, (workload, CMAP), (against, plain(best))),
            false => Some(
                figures.median(&own, workload, CMAP)?
                    / figures.median(&setting, against, plain(best))?,
            ),
        });
        let bound = plain(StoreName::Bound);
        let of_bound = figures.ratio(&own, (workload, CMAP), (workload, bound));
        let goal = ratio.and(goal(job, workload));
        let mut cells = vec![workload.to_owned()];
        cells.extend(values.iter().map(|&value| cell(value)));
        cells.push(cell(ratio));
        cells.push(against_goal(ratio, goal));
        cells.push(cell(of_bound));
        table.row(cells);
        if let (Some(ratio), Some(best)) = (ratio, best) {
            sentences += &sentence(workload, ratio, best, goal);
        }
    }
    if table.is_empty() {
        return String::new();
    }
    let mut text = format!("\n## {}\n\n{table}", title(job));
    text += &memory_row(&setting, figures, &stores);
    text += &validity(job, figures);
    text += &sentences;
    text
}

/// The head of a table: the unit, the stores, and what else.
pub fn titles(stores: &[StoreName], more: &[&str], unit: &str) -> Vec<String> {
    let mut titles = vec![unit.to_owned()];
    titles.extend(stores.iter().map(|store| store.title().to_owned()));
    titles.extend(more.iter().map(|&more| more.to_owned()));
    titles
}

/// A goal, and whether it is met.
pub fn against_goal(value: Option<f64>, goal: Option<f64>) -> String {
    match (value, goal) {
        (_, None) => String::new(),
        (Some(value), Some(goal)) if value <= goal => format!("≤ {} ✓", digits(goal)),
        (Some(_), Some(goal)) => format!("≤ {} ✗", digits(goal)),
        (None, Some(goal)) => format!("≤ {}", digits(goal)),
    }
}

/// What is to be said where CMap does not win or misses its goal; nothing where it does neither.
pub fn sentence(workload: &str, ratio: f64, best: StoreName, goal: Option<f64>) -> String {
    let missed = goal.is_some_and(|goal| ratio > goal);
    match ratio {
        _ if ratio > 1.0 => format!(
            "\nCMap does not win *{workload}*: it takes {} times as long as {}{}.\n",
            digits(ratio),
            best.title(),
            if missed { ", and misses the goal" } else { "" }
        ),
        _ if missed => format!(
            "\nCMap wins *{workload}* ({} of {}'s time) and misses the goal.\n",
            digits(ratio),
            best.title()
        ),
        _ => String::new(),
    }
}

fn memory_row(setting: &str, figures: &Figures, stores: &[StoreName]) -> String {
    let list = |workload: &str, percent: f64| -> Vec<String> {
        let each = stores.iter().filter(|&&store| store != StoreName::Noop);
        each.filter_map(|&store| {
            let figure = figures.median(setting, workload, plain(store))? * percent;
            Some(format!("{} {}", store.title(), digits(figure)))
        })
        .collect()
    };
    let overheads = list("overhead, filled", 1.0);
    if overheads.is_empty() {
        return String::new();
    }
    format!(
        "\nOverhead when filled, bytes an entry: {}. In huge pages, %: {}.\n",
        overheads.join(", "),
        list("share in huge pages", 100.0).join(", ")
    )
}

/// Whether *bound* may be counted as a bound.
fn validity(job: &Job, figures: &Figures) -> String {
    let setting = job.setting();
    let bound = plain(StoreName::Bound);
    let check = || {
        let best = figures.best_rival(&setting, "hit")?;
        let hit = figures.ratio(&setting, ("hit", bound), ("hit", plain(best)))?;
        let overhead = figures.median(&setting, "overhead, filled", bound)?;
        Some((hit, best, overhead))
    };
    match check() {
        None => String::new(),
        Some((hit, best, overhead)) => format!(
            "\n*bound* counts if its hit takes at most 0.70 of the best rival's and its overhead is at most 17 bytes: {} of {}, {} bytes: it {}.\n",
            digits(hit),
            best.title(),
            digits(overhead),
            if hit <= 0.70 && overhead <= 17.0 {
                "counts"
            } else {
                "does not count"
            }
        ),
    }
}

fn six(job: &Job, figures: &Figures) -> String {
    let setting = job.setting();
    let stores = columns(figures, SIX.map(|workload| (setting.as_str(), workload)));
    let mut table = Table::new(titles(&stores, &["of the best", "goal"], "ns"));
    let mut sentences = String::new();
    for workload in SIX {
        let best = figures.best_rival(&setting, workload);
        let ratio = best
            .and_then(|best| figures.ratio(&setting, (workload, CMAP), (workload, plain(best))));
        let goal = if workload == "get or insert" {
            0.8
        } else {
            1.0
        };
        let mut cells = vec![workload.to_owned()];
        let value = |&store: &StoreName| figures.median(&setting, workload, plain(store));
        cells.extend(stores.iter().map(value).map(cell));
        cells.push(cell(ratio));
        cells.push(against_goal(ratio, Some(goal)));
        table.row(cells);
        if let (Some(ratio), Some(best)) = (ratio, best) {
            sentences += &sentence(workload, ratio, best, Some(goal));
        }
    }
    format!(
        "\n## go-cmap's six\n\nDecimal keys, the value `dag`, reads that copy; {} threads. An operation of *adversarial* is an insert and a \
         remove; of the throughput pair, a step.\n\n{table}{sentences}",
        job.threads
    )
}
