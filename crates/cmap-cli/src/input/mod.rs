//! What is compared: where the entries come from, and how they get into the packed file.
//!
//! Each format is a file of its own beside this one, and hands its entries to a [`Sink`].

mod tsv;
mod walk;

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use crate::{
    failure::Failure,
    packed::{Packed, Writer},
    progress::Progress,
};

const BUFFER_BYTES: usize = 1 << 20;

/// Where the entries come from.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// Tab-separated lines on standard input.
    Stdin,
    /// Tab-separated lines.
    File(PathBuf),
    /// A directory tree.
    Dir {
        /// Its root.
        path: PathBuf,
        /// Whether it is the user's home directory because nothing else was said.
        is_default: bool,
    },
}

impl Source {
    /// What the user named, or else the home directory.
    pub fn find(named: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = named else {
            let home = std::env::home_dir()
                .filter(|home| !home.as_os_str().is_empty())
                .ok_or_else(|| {
                    Failure::Arguments("no home directory is known: name a FILE or a DIR".into())
                })?;
            return match fs::metadata(&home) {
                Ok(_) => Ok(Source::Dir {
                    path: home,
                    is_default: true,
                }),
                Err(error) => Err(unreadable(&home, error)),
            };
        };
        if path == Path::new("-") {
            return Ok(Source::Stdin);
        }
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Ok(Source::Dir {
                path: path.into(),
                is_default: false,
            }),
            Ok(_) => Ok(Source::File(path.into())),
            Err(error) => Err(unreadable(path, error)),
        }
    }

    /// As it is called in messages and in the report.
    pub fn name(&self) -> String {
        match self {
            Source::Stdin => "-".into(),
            Source::File(path) | Source::Dir { path, .. } => path.display().to_string(),
        }
    }
}

/// How to read it.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The first line holds column names.
    pub header: bool,
    /// Read at most so many lines or paths.
    pub limit: Option<u64>,
}

/// The input, parsed.
pub struct Input {
    /// Its entries.
    pub packed: Packed,
    /// Paths that could not be read.
    pub skipped: u64,
}

/// Parses the source into a packed file.
pub fn read(source: &Source, options: Options, progress: &Progress) -> Result<Input, Failure> {
    if options.header && matches!(source, Source::Dir { .. }) {
        return Err(Failure::Arguments(format!(
            "--header is for a FILE, and {} is a directory",
            source.name()
        )));
    }
    let input = match source {
        Source::Stdin => {
            progress.reading(None);
            let lines = BufReader::with_capacity(BUFFER_BYTES, io::stdin());
            read_lines(lines, "standard input", options, progress)?
        }
        Source::File(path) => {
            let file = File::open(path).map_err(|error| unreadable(path, error))?;
            let bytes = file
                .metadata()
                .ok()
                .filter(fs::Metadata::is_file)
                .map(|found| found.len());
            progress.reading(bytes.filter(|_| options.limit.is_none()));
            let lines = BufReader::with_capacity(BUFFER_BYTES, file);
            read_lines(lines, &source.name(), options, progress)?
        }
        Source::Dir { path, .. } => {
            progress.reading(None);
            let mut sink = Sink::new(options, progress)?;
            let skipped = walk::read(path, &mut sink)?;
            sink.finish(skipped)?
        }
    };
    if input.packed.totals().entries == 0 {
        return Err(Failure::NoEntries {
            source_name: source.name(),
        });
    }
    Ok(input)
}

/// Parses tab-separated lines into a packed file, which may be left without an entry. `name` is for messages.
pub fn read_lines(
    lines: impl BufRead,
    name: &str,
    options: Options,
    progress: &Progress,
) -> Result<Input, Failure> {
    let mut sink = Sink::new(options, progress)?;
    tsv::read(lines, name, options.header, &mut sink)?;
    sink.finish(0)
}

fn unreadable(path: &Path, error: io::Error) -> Failure {
    Failure::Unreadable {
        source_name: path.display().to_string(),
        error,
    }
}

/// Takes the entries of a source.
pub struct Sink<'p> {
    writer: Writer,
    limit: u64,
    progress: &'p Progress,
}

impl<'p> Sink<'p> {
    fn new(options: Options, progress: &'p Progress) -> Result<Self, Failure> {
        Ok(Self {
            writer: Writer::create().map_err(Failure::temporary)?,
            limit: options.limit.unwrap_or(u64::MAX),
            progress,
        })
    }

    fn finish(self, skipped: u64) -> Result<Input, Failure> {
        let packed = self.writer.finish().map_err(Failure::temporary)?;
        Ok(Input { packed, skipped })
    }

    /// Whether it wants no more.
    fn is_full(&self) -> bool {
        self.writer.pushed() >= self.limit
    }

    /// Takes an entry for which `input_bytes` of the source were read.
    fn push(&mut self, key: &[u8], value: &[u8], input_bytes: u64) -> Result<(), Failure> {
        self.writer.push(key, value).map_err(Failure::temporary)?;
        self.progress.read(self.writer.pushed(), input_bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_is_standard_input_and_a_directory_is_walked() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "k\tv\n").unwrap();
        assert_eq!(Source::find(Some(Path::new("-"))).unwrap(), Source::Stdin);
        assert_eq!(Source::find(Some(&file)).unwrap(), Source::File(file));
        let walked = Source::find(Some(dir.path())).unwrap();
        assert_eq!(
            walked,
            Source::Dir {
                path: dir.path().into(),
                is_default: false
            }
        );
        assert_eq!(
            Source::find(Some(&dir.path().join("missing")))
                .unwrap_err()
                .status(),
            3
        );
    }

    #[test]
    fn a_limit_stops_the_reading() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "a\t1\na\t2\nb\t3\nthis line has no tab\n").unwrap();
        let source = Source::File(file);
        let read = |limit| {
            read(
                &source,
                Options {
                    header: false,
                    limit,
                },
                &Progress::hidden(),
            )
        };
        let input = read(Some(3)).unwrap();
        assert_eq!(
            (input.packed.totals().entries, input.packed.duplicates()),
            (2, 1)
        );
        assert_eq!(read(Some(4)).err().unwrap().status(), 3);
    }
}
