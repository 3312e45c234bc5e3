//! A child process per job: fresh memory, fresh allocator, nothing left over from another store.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::job::{Job, Kind};
use crate::machine::{Machine, available_bytes};
use crate::pages::{Warm, allow_huge_pages};
use crate::results::{Figure, Line, Outcome};
use crate::store::StoreName;
use crate::workload::{self, Out, READY};

/// Part of the memory available that a job may take.
const MEMORY_SHARE: f64 = 0.9;

/// In the child: runs the job and prints its figures, a line each.
pub fn child(job: &str) -> Result<()> {
    let job: Job = serde_json::from_str(job).context("the job")?;
    if asks_itself(&job) {
        allow_huge_pages(true);
    }
    drop(Warm::new(job.bytes_needed() as usize));
    let mut out = Out::new(job.twins);
    workload::run(&job, &mut out);
    let mut text = String::new();
    for figure in &out.figures {
        text += &serde_json::to_string(figure)?;
        text.push('\n');
    }
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// In the parent: runs a job in a child, two if it has a twin, and returns the lines for the results file.
pub fn launch(job: &Job, machine: &Machine) -> Vec<Line> {
    let line = |outcome| Line {
        job: job.clone(),
        machine: machine.clone(),
        outcome,
    };
    if let Some(reason) = job.unfit() {
        return vec![line(Outcome::Skipped {
            skipped: reason.into(),
        })];
    }
    let (needed, available) = (job.bytes_needed(), available_bytes());
    if needed as f64 > available as f64 * MEMORY_SHARE {
        let mib = |bytes: u64| bytes >> 20;
        let skipped = format!(
            "it needs about {} MiB, and {} MiB are available",
            mib(needed),
            mib(available)
        );
        return vec![line(Outcome::Skipped { skipped })];
    }
    match figures(job) {
        Ok(figures) => figures
            .into_iter()
            .map(|figure| line(Outcome::Measured(figure)))
            .collect(),
        Err(error) => vec![line(Outcome::Failed {
            failed: format!("{error:#}"),
        })],
    }
}

fn figures(job: &Job) -> Result<Vec<Figure>> {
    let count = if job.twins { 2 } else { 1 };
    let mut runs = (0..count)
        .map(|_| Run::start(job))
        .collect::<Result<Vec<_>>>()?;
    loop {
        let mut waiting = 0;
        for run in &mut runs {
            waiting += usize::from(run.until_ready()?);
        }
        match waiting {
            0 => break,
            _ if waiting == runs.len() => {}
            _ => bail!("the twins went different ways"),
        }
        for run in &mut runs {
            run.release()?;
        }
    }
    let results = runs
        .into_iter()
        .map(Run::finish)
        .collect::<Result<Vec<_>>>()?;
    mean(results)
}

/// The twins' mean, figure by figure.
fn mean(mut runs: Vec<Vec<Figure>>) -> Result<Vec<Figure>> {
    let mut figures = runs.pop().context("no run")?;
    let count = runs.len() + 1;
    for run in runs {
        ensure!(
            run.len() == figures.len(),
            "the twins have different figures"
        );
        for (sum, figure) in figures.iter_mut().zip(run) {
            ensure!(
                sum.checksum == figure.checksum,
                "the twins read different values"
            );
            sum.figure += figure.figure;
        }
    }
    for figure in &mut figures {
        figure.figure /= count as f64;
    }
    Ok(figures)
}

/// A child at work.
struct Run {
    child: Child,
    output: BufReader<ChildStdout>,
    figures: Vec<Figure>,
}

impl Run {
    fn start(job: &Job) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("run-one")
            .arg(serde_json::to_string(job)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        for (name, value) in allocator_settings(job) {
            command.env(name, value);
        }
        let mut child = command.spawn().context("starting a child")?;
        let output = BufReader::new(child.stdout.take().context("a pipe")?);
        Ok(Self {
            child,
            output,
            figures: Vec::new(),
        })
    }

    /// Reads figures until the child waits for its twin (true) or is done (false).
    fn until_ready(&mut self) -> Result<bool> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.output.read_line(&mut line)? == 0 {
                return Ok(false);
            }
            match line.trim_end() {
                READY => return Ok(true),
                figure => self.figures.push(serde_json::from_str(figure)?),
            }
        }
    }

    fn release(&mut self) -> Result<()> {
        let input = self.child.stdin.as_mut().context("a pipe")?;
        Ok(input.write_all(b"go\n")?)
    }

    fn finish(mut self) -> Result<Vec<Figure>> {
        let status = self.child.wait()?;
        ensure!(status.success(), "the child ended with {status}");
        ensure!(!self.figures.is_empty(), "the child measured nothing");
        Ok(std::mem::take(&mut self.figures))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // After an error only; one that has ended cannot be killed, and that is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the store asks for huge pages by itself; but a map of a few KiB is weighed without.
fn asks_itself(job: &Job) -> bool {
    let asks = job.store == StoreName::Cmap || job.store.is_bound();
    asks && (job.kind != Kind::Filled || job.entries > 1024)
}

/// Huge pages from the allocator, or none. mimalloc asks for them unless told not to; glibc's allocator the other way round.
///
/// What tells mimalloc forbids them to the whole process, until [`child`] allows them to a store that asks by itself.
fn allocator_settings(job: &Job) -> &'static [(&'static str, &'static str)] {
    match job.huge {
        true => &[
            ("MIMALLOC_ALLOW_THP", "1"),
            ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"),
        ],
        false => &[
            ("MIMALLOC_ALLOW_THP", "0"),
            ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(figure: f64, checksum: &str) -> Figure {
        Figure {
            workload: "hit".into(),
            unit: "ns/op".into(),
            figure,
            averaged: 10,
            busy: None,
            checksum: Some(checksum.into()),
        }
    }

    #[test]
    fn twins_are_averaged_if_they_agree() {
        let both = mean(vec![vec![figure(1.0, "a")], vec![figure(3.0, "a")]]);
        assert_eq!(both.unwrap(), [figure(2.0, "a")]);
        assert!(mean(vec![vec![figure(1.0, "a")], vec![figure(3.0, "b")]]).is_err());
        assert!(mean(vec![vec![figure(1.0, "a")], vec![]]).is_err());
    }

    #[test]
    fn what_cannot_run_is_skipped_and_named() {
        let job = Job::new(Kind::Churn, StoreName::Segcache, 1000);
        let lines = launch(&job, &Machine::detect());
        assert!(matches!(
            &lines[..],
            [Line {
                outcome: Outcome::Skipped { .. },
                ..
            }]
        ));
        let job = Job::new(Kind::Steady, StoreName::Dashmap, 1 << 50);
        let lines = launch(&job, &Machine::detect());
        assert!(matches!(
            &lines[..],
            [Line {
                outcome: Outcome::Skipped { .. },
                ..
            }]
        ));
    }
}
