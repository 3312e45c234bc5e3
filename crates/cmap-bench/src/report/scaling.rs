//! What threads bring: from one to two, and more of them than cores.

use std::fmt::Write as _;

use super::sections::{against_goal, columns, titles};
use super::{Figures, Table, cell, count, plain};
use crate::entry::Sizes;
use crate::job::{Job, Kind};
use crate::store::StoreName;

/// What two threads must gain of what two processes of *bound* gain.
const SCALING: [&str; 8] = [
    "hit",
    "miss",
    "hit, batched",
    "fill",
    "95/5",
    "50/50",
    "remove",
    "zipf",
];
/// What a second thread brings, against what a second process of *bound* brings.
pub fn gains(jobs: &[Job], figures: &Figures) -> String {
    let mut text = String::new();
    let two = |job: &&Job| job.kind == Kind::Steady && job.threads == 2 && !job.huge;
    for job in jobs.iter().filter(two) {
        let alone = Job {
            threads: 1,
            ..job.clone()
        };
        let twins = Job {
            twins: true,
            ..alone.clone()
        };
        let settings = [alone.setting(), job.setting(), twins.setting()];
        let table = gain_table(&settings, figures);
        if !table.is_empty() {
            let _ = write!(
                text,
                "\n## From one thread to two: {} entries{}\n\n{table}",
                count(job.entries),
                if job.sizes == Sizes::Mixed {
                    ", mixed sizes"
                } else {
                    ""
                }
            );
        }
    }
    text
}

fn gain_table([alone, two, twins]: &[String; 3], figures: &Figures) -> Table {
    let bound = plain(StoreName::Bound);
    let stores = columns(figures, SCALING.map(|workload| (two.as_str(), workload)));
    let mut table = Table::new(titles(
        &stores,
        &["two processes of *bound*", "CMap of that", "goal"],
        "gain",
    ));
    for workload in SCALING {
        let batch = |setting: &str, entrant| figures.median(setting, workload, entrant);
        let gain = |store: StoreName| Some(batch(alone, plain(store))? / batch(two, plain(store))?);
        let bounds = || Some(2.0 * batch(alone, bound)? / batch(twins, bound)?);
        let share = || Some(gain(StoreName::Cmap)? / bounds()?);
        let mut cells = vec![workload.to_owned()];
        cells.extend(stores.iter().map(|&store| cell(gain(store))));
        cells.push(cell(bounds()));
        cells.push(cell(share()));
        cells.push(match share() {
            Some(share) if share >= 0.95 => "≥ 0.95 ✓".into(),
            Some(_) if workload != "zipf" => "≥ 0.95 ✗".into(),
            _ => String::new(),
        });
        if cells[1..].iter().any(|cell| cell != "–") {
            table.row(cells);
        }
    }
    table
}

/// What more threads than cores cost.
pub fn crowd(jobs: &[Job], figures: &Figures) -> String {
    let mut text = String::new();
    for job in jobs {
        if job.kind != Kind::Steady || job.threads <= 2 {
            continue;
        }
        let two = Job {
            threads: 2,
            ..job.clone()
        };
        let (many, two) = (job.setting(), two.setting());
        let stores = columns(figures, SCALING.map(|workload| (many.as_str(), workload)));
        let mut table = Table::new(titles(&stores, &["goal"], "time"));
        for workload in SCALING {
            let ratio = |store| {
                let many = figures.median(&many, workload, plain(store))?;
                Some(many / figures.median(&two, workload, plain(store))?)
            };
            let mut cells = vec![workload.to_owned()];
            cells.extend(stores.iter().map(|&store| cell(ratio(store))));
            cells.push(against_goal(ratio(StoreName::Cmap), Some(1.1)));
            table.row(cells);
        }
        let _ = write!(
            text,
            "\n## {} threads, against two: {} entries\n\n{table}",
            job.threads,
            count(job.entries)
        );
    }
    text
}
