//! BENCHMARKS.md: tables, charts, and a sentence for each row in which CMap does not win.

mod chart;
mod figures;
mod scaling;
mod sections;
mod single;
mod table;

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

use crate::all::disagreements;
use crate::args::ReportArgs;
use crate::results::{Line, Outcome, Results};

pub use self::figures::{Figures, plain};
pub use self::table::{Table, cell, count, digits};

/// Writes the report and the charts.
pub fn run(args: &ReportArgs) -> Result<()> {
    let results = Results::open(&args.results)?;
    let last = results.lines.last().context("there are no results yet")?;
    let commit = args.commit.as_ref().unwrap_or(&last.machine.commit);
    let lines: Vec<Line> = results
        .lines
        .iter()
        .filter(|line| line.machine.commit == *commit)
        .cloned()
        .collect();
    let Some(first) = lines.first() else {
        bail!("no results of commit {commit}");
    };
    // Figures of different machines or allocators do not belong into one table.
    let machine = lines.last().unwrap_or(first).machine.clone();
    let lines: Vec<Line> = lines
        .into_iter()
        .filter(|line| line.machine == machine)
        .collect();

    let folder = args.out.parent().unwrap_or_else(|| "".as_ref());
    let charts = folder.join("benchmarks");
    std::fs::create_dir_all(&charts)?;
    let figures = Figures::new(&lines);
    let mut text = sections::write(&lines, &figures, &machine);
    for (name, title) in chart::draw(&lines, &figures, &charts)? {
        let _ = write!(text, "\n![{title}](benchmarks/{name})\n");
    }
    text += &interruptions(&lines);
    text += &remarks(&lines);
    text += include_str!("../../attempts.md");
    std::fs::write(&args.out, text).with_context(|| args.out.display().to_string())?;
    eprintln!("{} written", args.out.display());
    Ok(())
}

/// Figures whose threads did not have the processors to themselves, or waited for each other.
fn interruptions(lines: &[Line]) -> String {
    const BUSY: f64 = 0.9;
    let mut timed = 0;
    let mut idle: Vec<String> = Vec::new();
    for line in lines {
        if let Outcome::Measured(figure) = &line.outcome
            && let Some(busy) = figure.busy
            && line.job.threads <= line.machine.cores
        {
            timed += 1;
            if busy < BUSY {
                let Line { job, .. } = line;
                let share = (busy * 100.0).round();
                idle.push(format!("- {} of {job}: {share} %\n", figure.workload));
            }
        }
    }
    if idle.is_empty() {
        return String::new();
    }
    format!(
        "\n## Interrupted\n\nIn {} of {timed} figures the threads had less than {} % of the processors' time: they waited for each other, or \
         for other work on the machine.\n\n{}",
        idle.len(),
        BUSY * 100.0,
        idle.concat()
    )
}

fn remarks(lines: &[Line]) -> String {
    let mut remarks: Vec<String> = Vec::new();
    for line in lines {
        let remark = match &line.outcome {
            Outcome::Measured(_) => continue,
            Outcome::Skipped { skipped } => {
                format!(
                    "{} at {} was skipped: {skipped}.",
                    line.job.store.title(),
                    line.job.setting()
                )
            }
            Outcome::Failed { failed } => format!("{} failed: {failed}.", line.job),
        };
        if !remarks.contains(&remark) {
            remarks.push(remark);
        }
    }
    remarks.extend(disagreements(lines));
    let mut text = String::new();
    if !remarks.is_empty() {
        text += "\n## Skipped and failed\n";
        for remark in remarks {
            let _ = writeln!(text, "- {remark}");
        }
    }
    text
}
