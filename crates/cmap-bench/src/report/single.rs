//! Tables of single figures: churn, memory, pauses, drop, a reader beside a writer.

use std::fmt::Write as _;

use super::sections::{CMAP, against_goal, columns, sentence, title, titles};
use super::{Figures, Table, cell, count, digits, plain};
use crate::entry::Sizes;
use crate::job::{Job, Kind};
use crate::store::{StoreName, Variant};

/// A table of single figures: a row each, with a goal in the figure's own unit or against the best rival.
fn plain_table(
    heading: &str,
    setting: &str,
    figures: &Figures,
    rows: &[(&str, Option<f64>, Option<f64>)],
) -> String {
    let stores = columns(figures, rows.iter().map(|row| (setting, row.0)));
    let mut table = Table::new(titles(&stores, &["goal", "of the best", "goal"], ""));
    let mut sentences = String::new();
    for &(workload, goal, goal_ratio) in rows {
        let value = |store: StoreName| figures.median(setting, workload, plain(store));
        if stores.iter().all(|&store| value(store).is_none()) {
            continue;
        }
        let best = figures.best_rival(setting, workload);
        let ratio =
            best.and_then(|best| figures.ratio(setting, (workload, CMAP), (workload, plain(best))));
        let mut cells = vec![workload.to_owned()];
        cells.extend(stores.iter().map(|&store| cell(value(store))));
        cells.push(against_goal(value(StoreName::Cmap), goal));
        cells.push(cell(ratio));
        cells.push(against_goal(ratio, goal_ratio));
        table.row(cells);
        if let (Some(ratio), Some(best), Some(_)) = (ratio, best, goal_ratio) {
            sentences += &sentence(workload, ratio, best, goal_ratio);
        }
        if let (Some(value), Some(goal)) = (value(StoreName::Cmap), goal)
            && value > goal
        {
            let _ = write!(
                sentences,
                "\nCMap misses the goal for *{workload}*: {}.\n",
                digits(value)
            );
        }
    }
    if table.is_empty() {
        return String::new();
    }
    format!("\n## {heading}\n\n{table}{sentences}")
}

/// Churn of mixed sizes.
pub fn churn(job: &Job, figures: &Figures) -> String {
    let heading = format!("Churn: {}, {} turnovers", title(job), job.turnovers);
    let rows = [
        ("churn", None, Some(1.0)),
        ("churn, memory at the end", Some(1.45), None),
        ("churn, memory at the peak", Some(1.45), None),
    ];
    plain_table(&heading, &job.setting(), figures, &rows)
}

/// Overhead after churn of equal size, a row for each number of entries.
pub fn turnovers(jobs: &[Job], figures: &Figures) -> String {
    let equal = |job: &&Job| job.kind == Kind::Churn && job.sizes == Sizes::Fixed;
    let jobs: Vec<_> = jobs.iter().filter(equal).collect();
    let overhead =
        |job: &Job, store| figures.median(&job.setting(), "overhead, churned", plain(store));
    let settings: Vec<String> = jobs.iter().map(|job| job.setting()).collect();
    let stores = columns(
        figures,
        settings.iter().map(|s| (s.as_str(), "overhead, churned")),
    );
    let Some(first) = jobs.first() else {
        return String::new();
    };
    let mut table = Table::new(titles(&stores, &["ns", "goal"], "entries"));
    for job in &jobs {
        let mut cells = vec![count(job.entries)];
        cells.extend(stores.iter().map(|&store| cell(overhead(job, store))));
        cells.push(cell(figures.median(&job.setting(), "churn", CMAP)));
        table.row(cells);
    }
    let mean = |store| {
        let sum: Option<f64> = jobs.iter().map(|job| overhead(job, store)).sum();
        Some(sum? / jobs.len() as f64)
    };
    let mut cells = vec!["mean".to_owned()];
    cells.extend(stores.iter().map(|&store| cell(mean(store))));
    cells.push(String::new());
    cells.push(against_goal(mean(StoreName::Cmap), Some(24.0)));
    table.row(cells);
    format!(
        "\n## Overhead after {} turnovers of equal size, bytes an entry; time per remove + insert\n\n{table}",
        first.turnovers
    )
}

/// A job of any other kind.
pub fn others(job: &Job, figures: &Figures) -> String {
    let setting = job.setting();
    let entries = title(job);
    match job.kind {
        Kind::Drop => plain_table(
            &format!("Drop, ms: {entries}"),
            &setting,
            figures,
            &[
                ("drop", None, Some(0.03)),
                ("share in huge pages", None, None),
            ],
        ),
        Kind::Beside => plain_table(
            &format!("A reader beside a writer: {entries}"),
            &setting,
            figures,
            &[
                ("reader alone", None, None),
                ("reader beside a writer", None, None),
                ("reader beside a writer, against alone", Some(1.10), None),
                ("writer beside a reader", None, Some(1.0)),
            ],
        ),
        Kind::Deleted => plain_table(
            &format!("Nine in ten deleted: {entries}"),
            &setting,
            figures,
            &[
                ("memory after deleting 90 %", Some(0.18), None),
                ("memory after shrinking", Some(0.12), None),
                ("shrink", None, None),
            ],
        ),
        Kind::Faults => plain_table(
            &format!("Page faults among the slowest 1 in 10 000 inserts: {entries}"),
            &setting,
            figures,
            &[("insert, faults in the tail", None, None)],
        ),
        Kind::Filled => plain_table(
            &format!("Just filled: {entries}"),
            &setting,
            figures,
            &[("overhead, filled", Some(24.0), None)],
        ),
        Kind::Overwrite => plain_table(
            &format!("Overwritten: {entries}, {} rounds", job.turnovers),
            &setting,
            figures,
            &[
                ("overwritten, chunks in use", Some(4.0), None),
                (
                    "overwritten, memory since round 20",
                    Some(4.0 * 1048576.0),
                    None,
                ),
            ],
        ),
        Kind::Hit => plain_table(
            &format!("Hits: {entries}"),
            &setting,
            figures,
            &[("hit", None, Some(1.0))],
        ),
        _ => String::new(),
    }
}

/// Overhead by number of entries.
pub fn growth(job: &Job, figures: &Figures) -> String {
    let setting = job.setting();
    let mut sizes: Vec<u64> = figures
        .workloads(&setting)
        .filter_map(|workload| workload.strip_prefix("overhead at ")?.parse().ok())
        .collect();
    sizes.sort_unstable();
    let names: Vec<String> = sizes.iter().map(|n| format!("overhead at {n}")).collect();
    let stores = columns(
        figures,
        names.iter().map(|name| (setting.as_str(), name.as_str())),
    );
    let mut table = Table::new(titles(&stores, &["goal"], "entries"));
    let mut sums = vec![0.0; stores.len()];
    for (size, name) in sizes.iter().zip(&names) {
        let mut cells = vec![count(*size)];
        for (sum, &store) in sums.iter_mut().zip(&stores) {
            let value = figures.median(&setting, name, plain(store));
            *sum += value.unwrap_or(f64::NAN);
            cells.push(cell(value));
        }
        cells.push(against_goal(
            figures.median(&setting, name, CMAP),
            Some(20.0),
        ));
        table.row(cells);
    }
    let mut cells = vec!["mean".to_owned()];
    let means: Vec<f64> = sums.iter().map(|sum| sum / sizes.len() as f64).collect();
    cells.extend(means.iter().map(|&mean| digits(mean)));
    let own = stores.iter().position(|&store| store == StoreName::Cmap);
    cells.push(against_goal(own.map(|at| means[at]), Some(16.5)));
    table.row(cells);
    format!("\n## Overhead while growing, bytes an entry\n\n{table}")
}

/// Quantiles of the time of an insert.
pub fn pause(job: &Job, figures: &Figures) -> String {
    let setting = job.setting();
    let entrants: Vec<_> = [
        ("CMap", CMAP),
        (
            "CMap, pool in advance",
            (StoreName::Cmap, Variant::Preallocated as u8),
        ),
        ("CMap, thread", (StoreName::Cmap, Variant::Maintained as u8)),
    ]
    .into_iter()
    .chain(StoreName::RIVALS.map(|store| (store.title(), plain(store))))
    .filter(|(_, entrant)| figures.median(&setting, "insert p50", *entrant).is_some())
    .collect();
    let mut head = vec!["µs".to_owned()];
    head.extend(entrants.iter().map(|(name, _)| (*name).to_owned()));
    let mut table = Table::new(head);
    for part in ["", ", noise", ", excess"] {
        for quantile in ["p50", "p99", "p99.9", "p99.99", "p99.999", "worst"] {
            let workload = format!("insert {quantile}{part}");
            let mut cells = vec![format!("{quantile}{part}")];
            for &(name, entrant) in &entrants {
                let value = figures.median(&setting, &workload, entrant);
                let goal = match (name, workload.as_str()) {
                    ("CMap", "insert p99.99, excess") => Some(50.0),
                    ("CMap", "insert p99.999, excess") => Some(500.0),
                    (name, "insert p99.999, excess") if name.starts_with("CMap") => Some(50.0),
                    _ => None,
                };
                cells.push(
                    format!("{} {}", cell(value), against_goal(value, goal))
                        .trim()
                        .to_owned(),
                );
            }
            table.row(cells);
        }
    }
    format!(
        "\n## Pauses: one writer growing to {} entries\n\n{table}",
        count(job.entries)
    )
}
