//! What is compared: where the entries come from, and how they get into the packed file.
//!
//! A [`Layout`] says how entries lie in a file. Each has a reader of its own beside this one, which hands what it finds to a
//! [`Sink`].

mod csv;
mod jsonl;
mod layout;
mod lines;
mod synthetic;
mod tsv;
mod walk;

pub use layout::{Format, Layout};
pub use synthetic::{ENTRIES_MAX, Synthetic};

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use crate::{
    failure::Failure,
    output::grouped,
    packed::{KEY_MAX, Packed, VALUE_MAX, Writer},
    progress::Progress,
};

const BUFFER_BYTES: usize = 1 << 20;

/// Where the entries come from.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard input.
    Stdin,
    /// A file.
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

    /// As it is called on the command line.
    pub fn name(&self) -> String {
        match self {
            Source::Stdin => "-".into(),
            Source::File(path) | Source::Dir { path, .. } => path.display().to_string(),
        }
    }

    /// As it is called in a sentence.
    pub fn title(&self) -> String {
        match self {
            Source::Stdin => "standard input".into(),
            Source::File(_) | Source::Dir { .. } => self.name(),
        }
    }
}

/// How to read a file, or a directory.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where in the file keys and values are; none for a directory.
    pub layout: Option<Layout>,
    /// Count lines that are no entries, and go on.
    pub skip_bad: bool,
    /// Read at most so many entries.
    pub limit: Option<u64>,
}

/// The input, parsed.
pub struct Input {
    /// Its entries.
    pub packed: Packed,
    /// Paths that could not be read, or lines that are no entries.
    pub skipped: u64,
}

/// Parses the source into a packed file.
pub fn read(source: &Source, options: &Options, progress: &Progress) -> Result<Input, Failure> {
    let name = source.title();
    let input = match source {
        Source::Stdin => {
            progress.reading(None);
            let from = BufReader::with_capacity(BUFFER_BYTES, io::stdin());
            read_file(from, &name, options, progress)?
        }
        Source::File(path) => {
            let file = File::open(path).map_err(|error| unreadable(path, error))?;
            let bytes = file
                .metadata()
                .ok()
                .filter(fs::Metadata::is_file)
                .map(|found| found.len());
            progress.reading(bytes.filter(|_| options.limit.is_none()));
            let from = BufReader::with_capacity(BUFFER_BYTES, file);
            read_file(from, &name, options, progress)?
        }
        Source::Dir { path, .. } => {
            progress.reading(None);
            let mut sink = Sink::new(&name, options, progress)?;
            walk::read(path, &mut sink)?;
            sink.finish()?
        }
    };
    if input.packed.totals().entries == 0 {
        return Err(Failure::NoEntries {
            source_name: name,
            skipped: input.skipped,
        });
    }
    Ok(input)
}

/// Parses what a file holds into a packed file, which may be left without an entry. `name` is for messages.
pub fn read_file(
    from: impl BufRead,
    name: &str,
    options: &Options,
    progress: &Progress,
) -> Result<Input, Failure> {
    let mut sink = Sink::new(name, options, progress)?;
    match options.layout.as_ref().expect("a file has a layout") {
        Layout::Tsv { header } => tsv::read(from, *header, &mut sink)?,
        Layout::Csv { key, value } => {
            csv::read(from, key.as_deref(), value.as_deref(), &mut sink)?;
        }
        Layout::Jsonl { key, value } => jsonl::read(from, key, value.as_deref(), &mut sink)?,
    }
    sink.finish()
}

fn unreadable(path: &Path, error: io::Error) -> Failure {
    Failure::Unreadable {
        source_name: path.display().to_string(),
        error,
    }
}

/// The longest key and value, in bytes.
#[derive(Clone, Copy)]
struct Limits {
    key: usize,
    value: usize,
}

impl Limits {
    /// Those of an entry.
    const ENTRY: Self = Self {
        key: KEY_MAX,
        value: VALUE_MAX,
    };
}

/// Takes the entries of a source, and counts what is none.
struct Sink<'s> {
    name: &'s str,
    writer: Writer,
    limits: Limits,
    limit: u64,
    skip_bad: bool,
    skipped: u64,
    progress: &'s Progress,
}

impl<'s> Sink<'s> {
    fn new(name: &'s str, options: &Options, progress: &'s Progress) -> Result<Self, Failure> {
        Ok(Self {
            name,
            writer: Writer::create().map_err(Failure::temporary)?,
            limits: Limits::ENTRY,
            limit: options.limit.unwrap_or(u64::MAX),
            skip_bad: options.skip_bad,
            skipped: 0,
            progress,
        })
    }

    fn finish(self) -> Result<Input, Failure> {
        let packed = self.writer.finish().map_err(Failure::temporary)?;
        Ok(Input {
            packed,
            skipped: self.skipped,
        })
    }

    /// Whether it wants no more.
    fn is_full(&self) -> bool {
        self.writer.pushed() >= self.limit
    }

    /// Takes what a line says, for which `read` bytes of the source were read: an entry, or the reason why it is none.
    fn take<B: AsRef<[u8]>>(
        &mut self,
        line: u64,
        read: u64,
        said: Result<(B, B), String>,
    ) -> Result<(), Failure> {
        let said = said.and_then(|(key, value)| {
            self.expect_lengths(key.as_ref().len(), value.as_ref().len())?;
            Ok((key, value))
        });
        match said {
            Ok((key, value)) => self.push(key.as_ref(), value.as_ref())?,
            Err(_) if self.skip_bad => self.skipped += 1,
            Err(reason) => return Err(self.bad(line, reason)),
        }
        self.progress.read(self.writer.pushed(), read);
        Ok(())
    }

    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.writer.push(key, value).map_err(Failure::temporary)
    }

    /// Of a value no more may have been read than shows that it is too long.
    fn expect_lengths(&self, key: usize, value: usize) -> Result<(), String> {
        let Limits {
            key: key_max,
            value: value_max,
        } = self.limits;
        if key > key_max {
            let (len, max) = (grouped(key as u64), grouped(key_max as u64));
            return Err(format!("the key has {len} bytes, more than {max}"));
        }
        if value > value_max {
            let max = grouped(value_max as u64);
            return Err(format!("the value has more than {max} bytes"));
        }
        Ok(())
    }

    /// A line that is no entry.
    fn bad(&self, line: u64, reason: String) -> Failure {
        Failure::BadLine {
            source_name: self.name.into(),
            line,
            reason,
        }
    }

    fn unreadable(&self, error: io::Error) -> Failure {
        Failure::Unreadable {
            source_name: self.name.into(),
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::Entries;

    pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

    pub fn pairs(pairs: &[(&[u8], &[u8])]) -> Pairs {
        let owned = |(key, value): &(&[u8], &[u8])| (key.to_vec(), value.to_vec());
        pairs.iter().map(owned).collect()
    }

    /// What a reader hands to its sink.
    pub(in crate::input) fn pairs_of(
        name: &str,
        limits: Limits,
        read: impl FnOnce(&mut Sink<'_>) -> Result<(), Failure>,
    ) -> Result<Pairs, Failure> {
        let options = Options {
            layout: None,
            skip_bad: false,
            limit: None,
        };
        let progress = Progress::hidden();
        let mut sink = Sink::new(name, &options, &progress)?;
        sink.limits = limits;
        read(&mut sink)?;
        let entries = Entries::open(sink.finish()?.packed.file()).unwrap();
        let found: Vec<_> = (0..entries.len())
            .map(|number| entries.get(number))
            .collect();
        Ok(pairs(&found))
    }

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
        let read = |limit, skip_bad| {
            let options = Options {
                layout: Some(Layout::Tsv { header: false }),
                skip_bad,
                limit,
            };
            read(&source, &options, &Progress::hidden())
        };
        let input = read(Some(3), false).unwrap();
        assert_eq!(
            (
                input.packed.totals().entries,
                input.packed.duplicates(),
                input.skipped
            ),
            (2, 1, 0)
        );
        assert_eq!(read(Some(4), false).err().unwrap().status(), 3);
        assert_eq!(read(Some(3), true).unwrap().skipped, 0);
        assert_eq!(read(Some(4), true).unwrap().skipped, 1);
    }
}
