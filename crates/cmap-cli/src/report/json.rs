//! The comparison as JSON, for scripts: schema 1, in which nothing is renamed or removed.

use std::{fs, io};

use serde::Serialize;

use crate::{failure::Failure, output};

use super::{Comparison, Figures, Target};

const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'c> {
    schema: u32,
    input: Input<'c>,
    threads: usize,
    stores: Vec<Store>,
}

#[derive(Serialize)]
struct Input<'c> {
    source: &'c str,
    entries: u64,
    payload_bytes: u64,
    duplicates: u64,
    skipped: u64,
}

/// `after_delete_ratio` is null if no memory could be measured (a handful of entries).
#[derive(Serialize)]
struct Store {
    name: &'static str,
    bytes_per_entry: f64,
    overhead_per_entry: f64,
    load_per_s: f64,
    lookup_per_s: f64,
    worst_insert_us: f64,
    after_delete_ratio: Option<f64>,
    drop_ms: f64,
}

impl From<&Figures> for Store {
    fn from(figures: &Figures) -> Self {
        Self {
            name: figures.kind.name(),
            bytes_per_entry: rounded(figures.bytes_per_entry),
            overhead_per_entry: rounded(figures.overhead_per_entry),
            load_per_s: figures.load_per_s.round(),
            lookup_per_s: figures.lookup_per_s.round(),
            worst_insert_us: rounded(figures.worst_insert_us),
            after_delete_ratio: figures.after_delete_ratio.map(rounded),
            drop_ms: rounded(figures.drop_ms),
        }
    }
}

fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

/// Writes the comparison where it is wanted.
pub fn write(comparison: &Comparison, target: &Target) -> Result<(), Failure> {
    let text = render(comparison);
    match target {
        Target::Stdout => output::print(&text),
        Target::File(path) => match fs::write(path, text) {
            // A pipe, the reader of which has gone away.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output {
                target: path.display().to_string(),
                error,
            }),
            _ => Ok(()),
        },
    }
}

fn render(comparison: &Comparison) -> String {
    let document = Document {
        schema: SCHEMA,
        input: Input {
            source: &comparison.source,
            entries: comparison.totals.entries,
            payload_bytes: comparison.totals.payload_bytes,
            duplicates: comparison.duplicates,
            skipped: comparison.skipped,
        },
        threads: comparison.threads,
        stores: comparison.stores.iter().map(Store::from).collect(),
    };
    serde_json::to_string_pretty(&document).expect("plain data") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    #[test]
    fn the_figures_are_in_it() {
        let value: serde_json::Value = serde_json::from_str(&render(&example())).unwrap();
        assert_eq!(value["schema"], 1);
        assert_eq!(value["input"]["entries"], 1_234_567);
        assert_eq!(value["stores"][2]["name"], "CMap");
        assert_eq!(value["stores"][2]["bytes_per_entry"], 100.0);
        assert_eq!(value["stores"][0]["after_delete_ratio"], 0.95);
    }

    #[test]
    fn what_could_not_be_measured_is_null() {
        let mut comparison = example();
        comparison.stores[0].after_delete_ratio = None;
        let value: serde_json::Value = serde_json::from_str(&render(&comparison)).unwrap();
        assert!(value["stores"][0]["after_delete_ratio"].is_null());
    }
}
