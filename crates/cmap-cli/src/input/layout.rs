//! How the entries lie in a file: as its ending says, or the options.

use std::path::Path;

use crate::{args::FileArgs, failure::Failure};

use super::Source;

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Tab-separated lines
    Tsv,
    /// Comma-separated records below a header
    Csv,
    /// JSON, one object a line
    Jsonl,
}

impl Format {
    /// As the ending says, whether in capitals or not: TSV if it says nothing.
    fn of(path: &Path) -> Self {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        match ending.as_encoded_bytes() {
            b"csv" => Format::Csv,
            b"jsonl" | b"ndjson" => Format::Jsonl,
            _ => Format::Tsv,
        }
    }
}

/// Where in the file keys and values are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Lines of key, tab, value.
    Tsv {
        /// The first line holds column names.
        header: bool,
    },
    /// Records below a header that names the columns.
    Csv {
        /// The column of the key, if not the first.
        key: Option<String>,
        /// The column of the value, if not the whole record.
        value: Option<String>,
    },
    /// A JSON object a line.
    Jsonl {
        /// The member that is the key.
        key: String,
        /// The member that is the value, if not the whole object.
        value: Option<String>,
    },
}

impl Layout {
    /// What the options mean for this source; those that mean nothing for it are refused. None for a directory.
    pub fn choose(source: &Source, args: &FileArgs) -> Result<Option<Self>, Failure> {
        let refuse = |text: String| Err(Failure::Arguments(text));
        let given = [
            ("--format", args.format.is_some()),
            ("--key", args.key.is_some()),
            ("--value", args.value.is_some()),
            ("--header", args.header),
            ("--skip-bad", args.skip_bad),
        ];
        let first_of = |options: &[&'static str]| {
            let found = given
                .iter()
                .find(|(name, is_given)| *is_given && options.contains(name));
            found.map(|(name, _)| *name)
        };
        let format = match source {
            Source::Dir { path, .. } => {
                let Some(option) = first_of(&given.map(|(name, _)| name)) else {
                    return Ok(None);
                };
                let path = path.display();
                return refuse(format!("{option} is for a FILE, and {path} is a directory"));
            }
            Source::File(path) => args.format.unwrap_or_else(|| Format::of(path)),
            Source::Stdin => args.format.unwrap_or(Format::Tsv),
        };
        let name = source.title();
        if format != Format::Tsv && args.header {
            return refuse(format!(
                "--header is for tab-separated lines, and {name} is not read as such: \
                 CSV has a header always, JSON lines never"
            ));
        }
        let value = args.value.clone();
        Ok(Some(match (format, &args.key) {
            (Format::Tsv, _) => match first_of(&["--key", "--value"]) {
                None => Layout::Tsv {
                    header: args.header,
                },
                Some(option) => {
                    return refuse(format!(
                        "{option} is for CSV and JSON lines, and {name} is read as tab-separated \
                         lines; --format says otherwise"
                    ));
                }
            },
            (Format::Csv, key) => Layout::Csv {
                key: key.clone(),
                value,
            },
            (Format::Jsonl, Some(key)) => Layout::Jsonl {
                key: key.clone(),
                value,
            },
            (Format::Jsonl, None) => {
                return refuse(format!(
                    "--key is needed: the member of each object of {name} that is its key"
                ));
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(source: &Source, set: impl FnOnce(&mut FileArgs)) -> Result<Option<Layout>, String> {
        let mut args = FileArgs::default();
        set(&mut args);
        Layout::choose(source, &args).map_err(|failure| {
            assert_eq!(failure.status(), 2);
            failure.to_string()
        })
    }

    fn file(name: &str) -> Source {
        Source::File(name.into())
    }

    #[test]
    fn the_ending_says_how_to_read_a_file_unless_the_format_does() {
        let key = |args: &mut FileArgs| args.key = Some("k".into());
        let csv = Some(Layout::Csv {
            key: Some("k".into()),
            value: None,
        });
        let jsonl = Some(Layout::Jsonl {
            key: "k".into(),
            value: None,
        });
        let tsv = |header| Some(Layout::Tsv { header });
        for name in ["a.csv", "a.b.CSV", "dir.jsonl/a.csv"] {
            assert_eq!(choose(&file(name), key).unwrap(), csv, "{name}");
        }
        for name in ["a.jsonl", "a.ndjson", "a.JSONL"] {
            assert_eq!(choose(&file(name), key).unwrap(), jsonl, "{name}");
        }
        for source in [
            file("a.tsv"),
            file("a.txt"),
            file("csv"),
            file(".csv"),
            file("a.csv.gz"),
            Source::Stdin,
        ] {
            assert_eq!(choose(&source, |_| ()).unwrap(), tsv(false), "{source:?}");
            assert_eq!(
                choose(&source, |args| args.header = true).unwrap(),
                tsv(true)
            );
            let as_csv = |args: &mut FileArgs| {
                key(args);
                args.format = Some(Format::Csv);
            };
            assert_eq!(choose(&source, as_csv).unwrap(), csv);
        }
        assert_eq!(
            choose(&file("a.csv"), |args| args.format = Some(Format::Tsv)).unwrap(),
            tsv(false)
        );
        assert_eq!(
            choose(&file("a.csv"), |_| ()).unwrap(),
            Some(Layout::Csv {
                key: None,
                value: None
            })
        );
    }

    #[test]
    fn options_that_mean_nothing_for_the_source_are_refused() {
        let dir = Source::Dir {
            path: "/dir".into(),
            is_default: false,
        };
        assert_eq!(choose(&dir, |_| ()).unwrap(), None);
        type Set = fn(&mut FileArgs);
        let all: [(&str, Set); 5] = [
            ("--format", |args| args.format = Some(Format::Csv)),
            ("--key", |args| args.key = Some("k".into())),
            ("--value", |args| args.value = Some("v".into())),
            ("--header", |args| args.header = true),
            ("--skip-bad", |args| args.skip_bad = true),
        ];
        for (option, set) in all {
            let said = choose(&dir, set).unwrap_err();
            assert_eq!(
                said,
                format!("{option} is for a FILE, and /dir is a directory")
            );
        }
        for (option, set) in &all[1..3] {
            let said = choose(&file("a.tsv"), set).unwrap_err();
            assert!(
                said.starts_with(&format!("{option} is for CSV and JSON lines, and a.tsv is")),
                "{said}"
            );
        }
        for name in ["a.csv", "a.jsonl"] {
            let said = choose(&file(name), all[3].1).unwrap_err();
            assert!(
                said.starts_with("--header is for tab-separated lines, and"),
                "{said}"
            );
        }
        assert!(
            choose(&file("a.jsonl"), all[2].1)
                .unwrap_err()
                .starts_with("--key is needed")
        );
    }
}
