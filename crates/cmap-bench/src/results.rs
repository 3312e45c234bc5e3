//! The results: a file of JSON lines, one figure each, appended to when a job is done, and read to resume and to report.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::job::Job;
use crate::machine::Machine;

/// One measured figure, as a child prints it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub workload: String,
    /// In what unit.
    pub unit: String,
    /// How much.
    pub figure: f64,
    /// Operations that it is an average of; 0 where it is none.
    pub averaged: u64,
    /// Processor time of the threads, of the time that they were there: below 1 where they waited for each other or for
    /// somebody else's work.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub busy: Option<f64>,
    /// Of what was read, where something was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub checksum: Option<String>,
}

/// A figure, and all that it depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The job's.
    #[serde(flatten)]
    pub job: Job,
    /// Taken on.
    #[serde(flatten)]
    pub machine: Machine,
    /// Measured, or why it was not.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outcome {
    /// A figure.
    Measured(Figure),
    /// The job was not run, and why.
    Skipped {
        /// The reason.
        skipped: String,
    },
    /// The job ended badly, and how.
    Failed {
        /// The reason.
        failed: String,
    },
}

/// The file.
pub struct Results {
    path: PathBuf,
    /// All that it holds.
    pub lines: Vec<Line>,
}

impl Results {
    /// Reads what is there; a missing file is an empty one, and a last line that was cut off is dropped.
    pub fn open(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let complete = text.rfind('\n').map_or(0, |end| end + 1);
        if complete < text.len() {
            std::fs::write(path, &text[..complete])?;
        }
        let mut lines = Vec::new();
        for (number, line) in text[..complete].lines().enumerate() {
            let line = serde_json::from_str(line)
                .with_context(|| format!("{}:{}", path.display(), number + 1))?;
            lines.push(line);
        }
        Ok(Self {
            path: path.to_owned(),
            lines,
        })
    }

    /// Adds what came of a job, in one write.
    pub fn append(&mut self, lines: Vec<Line>) -> Result<()> {
        let mut text = String::new();
        for line in &lines {
            text += &serde_json::to_string(line)?;
            text.push('\n');
        }
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .with_context(|| self.path.display().to_string())?;
        file.write_all(text.as_bytes())?;
        self.lines.extend(lines);
        Ok(())
    }

    /// The ids of the jobs that were measured on this machine, with this code.
    pub fn done(&self, machine: &Machine) -> BTreeSet<String> {
        self.lines
            .iter()
            .filter(|line| line.machine == *machine)
            .filter(|line| matches!(line.outcome, Outcome::Measured(_)))
            .map(|line| line.job.id())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Kind;
    use crate::store::StoreName;

    #[test]
    fn results_survive_a_cut_and_resume() {
        let folder = std::env::temp_dir().join(format!("cmap-bench-{}", std::process::id()));
        let path = folder.join("results.jsonl");
        let job = Job::new(Kind::Drop, StoreName::Cmap, 10);
        let machine = Machine::detect();
        let line = |outcome| Line {
            job: job.clone(),
            machine: machine.clone(),
            outcome,
        };
        let measured = line(Outcome::Measured(Figure {
            workload: "drop".into(),
            unit: "ms".into(),
            figure: 1.5,
            averaged: 0,
            busy: None,
            checksum: Some("ff".into()),
        }));
        let skipped = line(Outcome::Skipped {
            skipped: "too large".into(),
        });

        let mut results = Results::open(&path).unwrap();
        results.append(vec![skipped.clone()]).unwrap();
        assert!(results.done(&machine).is_empty());
        results.append(vec![measured.clone()]).unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"kind\":").unwrap();

        let results = Results::open(&path).unwrap();
        assert_eq!(results.lines, [skipped, measured]);
        assert!(results.done(&machine).contains(&job.id()));
        let other = Machine {
            commit: "other".into(),
            ..machine
        };
        assert!(results.done(&other).is_empty());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
