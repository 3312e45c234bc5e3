//! The comparison as JSON, for scripts: schema 1, in which nothing is renamed or removed.

use serde::Serialize;

use super::{Comparison, Figures, Origin};

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
    #[serde(flatten)]
    synthetic: Option<Synthetic>,
}

/// What `cmap bench` made.
#[derive(Serialize)]
struct Synthetic {
    key_bytes: usize,
    value_bytes: usize,
    seed: u64,
    mix: u8,
}

/// `after_delete_ratio` is null if no memory could be measured (a handful of entries); `mixed_per_s` is that of `cmap bench`.
#[derive(Serialize)]
struct Store {
    name: &'static str,
    bytes_per_entry: f64,
    overhead_per_entry: f64,
    load_per_s: f64,
    lookup_per_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mixed_per_s: Option<f64>,
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
            mixed_per_s: figures.mixed_per_s.map(f64::round),
            worst_insert_us: rounded(figures.worst_insert_us),
            after_delete_ratio: figures.after_delete_ratio.map(rounded),
            drop_ms: rounded(figures.drop_ms),
        }
    }
}

fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

/// The document.
pub fn render(comparison: &Comparison) -> String {
    let (source, skipped, synthetic) = match &comparison.origin {
        Origin::Input { source, skipped } => (source.name(), *skipped, None),
        Origin::Synthetic { synthetic, mix } => {
            let synthetic = Synthetic {
                key_bytes: synthetic.key_bytes,
                value_bytes: synthetic.value_bytes,
                seed: synthetic.seed,
                mix: *mix,
            };
            ("synthetic".into(), 0, Some(synthetic))
        }
    };
    let document = Document {
        schema: SCHEMA,
        input: Input {
            source: &source,
            entries: comparison.totals.entries,
            payload_bytes: comparison.totals.payload_bytes,
            duplicates: comparison.duplicates,
            skipped,
            synthetic,
        },
        threads: comparison.threads,
        stores: comparison.stores.iter().map(Store::from).collect(),
    };
    serde_json::to_string_pretty(&document).expect("plain data") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{example, mixed_example};

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
    fn a_mixed_phase_adds_to_it() {
        let value: serde_json::Value = serde_json::from_str(&render(&mixed_example())).unwrap();
        let input = &value["input"];
        assert_eq!(
            (&input["source"], &input["seed"]),
            (&"synthetic".into(), &7.into())
        );
        assert_eq!(
            (&input["key_bytes"], &input["value_bytes"], &input["mix"]),
            (&16.into(), &64.into(), &95.into())
        );
        assert_eq!(value["stores"][0]["mixed_per_s"], 6_172_835.0);
        let value: serde_json::Value = serde_json::from_str(&render(&example())).unwrap();
        assert!(
            value["stores"][0].get("mixed_per_s").is_none() && value["input"].get("mix").is_none()
        );
    }

    #[test]
    fn what_could_not_be_measured_is_null() {
        let mut comparison = example();
        comparison.stores[0].after_delete_ratio = None;
        let value: serde_json::Value = serde_json::from_str(&render(&comparison)).unwrap();
        assert!(value["stores"][0]["after_delete_ratio"].is_null());
    }
}
