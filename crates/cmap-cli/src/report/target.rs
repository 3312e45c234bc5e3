//! Where the results go: the table to standard output, JSON and chart to files; JSON also in the table's place.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use crate::{failure::Failure, output};

use super::{Comparison, chart, json, table, verdict};

/// What is wanted, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct Targets {
    json: Option<Json>,
    chart: Option<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
enum Json {
    /// Standard output, in place of the table.
    Stdout,
    /// A file, besides the table.
    File(PathBuf),
}

impl Targets {
    /// As the options say. What would destroy the input or cannot work is refused before anything is measured.
    pub fn find(
        json: Option<&Path>,
        chart: Option<&Path>,
        input: Option<&Path>,
    ) -> Result<Self, Failure> {
        let json = match json {
            Some(path) if path == Path::new("-") => Some(Json::Stdout),
            Some(path) => Some(Json::File(file("--json", path, input)?)),
            None => None,
        };
        let chart = match chart {
            Some(path)
                if !path
                    .extension()
                    .is_some_and(|ending| ending.eq_ignore_ascii_case("svg")) =>
            {
                return Err(refusal("--chart", path, "a chart is SVG: name a FILE.svg"));
            }
            Some(path) => Some(file("--chart", path, input)?),
            None => None,
        };
        match (&json, &chart) {
            (Some(Json::File(json)), Some(chart)) if json == chart => {
                Err(refusal("--chart", chart, "that is where the JSON goes"))
            }
            _ => Ok(Self { json, chart }),
        }
    }

    /// Writes all that is wanted.
    pub fn write(&self, comparison: &Comparison) -> Result<(), Failure> {
        let document = || json::render(comparison);
        match &self.json {
            Some(Json::Stdout) => output::print(&document())?,
            other => {
                let table = table::render(comparison, table::Look::of_stdout());
                output::print(&[table, verdict::render(comparison)].join("\n"))?;
                if let Some(Json::File(path)) = other {
                    write(path, &document())?;
                }
            }
        }
        match &self.chart {
            Some(path) => write(path, &chart::render(comparison)),
            None => Ok(()),
        }
    }
}

fn refusal(option: &str, path: &Path, reason: &str) -> Failure {
    Failure::Arguments(format!("{option} {}: {reason}", path.display()))
}

/// A file that can be written, as far as can be known, and is not the input.
fn file(option: &str, path: &Path, input: Option<&Path>) -> Result<PathBuf, Failure> {
    let refuse = |reason| Err(refusal(option, path, reason));
    if let (Some(input), Ok(path)) = (input, path.canonicalize())
        && input.canonicalize().is_ok_and(|input| input == path)
    {
        return refuse("that is the input, which it would overwrite");
    }
    if path.is_dir() {
        return refuse("that is a directory");
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
            refuse("there is no such directory")
        }
        _ => Ok(path.into()),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    match fs::write(path, text) {
        // A pipe, the reader of which has gone away.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Output {
            target: path.display().to_string(),
            error,
        }),
        _ => Ok(()),
    }
}
