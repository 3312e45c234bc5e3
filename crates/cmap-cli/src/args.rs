//! The command line: what may be said to the program, and what is said to its own child processes.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::{
    input::{ENTRIES_MAX, Format},
    packed::{KEY_MAX, VALUE_MAX},
    store::Kind,
};

/// More threads than this say nothing about a map any more.
const THREADS_MAX: u64 = 1024;

/// CMap, a concurrent in-memory map of bytes to bytes, beside the maps it replaces: on your own data.
#[derive(Debug, Parser)]
#[command(name = "cmap", version)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load your files or your directory tree into three maps, and compare their memory and speed
    #[command(after_long_help = COMPARE_HELP)]
    Compare(CompareArgs),

    /// The same with entries that are made for it, and with a mixed phase
    #[command(after_long_help = BENCH_HELP)]
    Bench(BenchArgs),

    /// One store's measurement, in a process of its own; the packed entries come on standard input
    #[command(hide = true)]
    MeasureStore(MeasureStoreArgs),
}

/// What both commands end with.
macro_rules! exit_status {
    () => {
        "\
Exit status:
  0    done
  1    an answer was wrong, or a child process failed
  2    bad arguments
  3    bad input, no entries, or more than the memory available holds
  130  interrupted (Ctrl-C)"
    };
}

const BENCH_HELP: &str = concat!(
    "\
Entries:
  Keys and values are random bytes of the sizes asked for, decided by --seed. No
  key is there twice: of K bytes there are 256^K keys, and not more entries.

Mixed phase:
  After the lookups, as many operations as there are entries, by all threads: each
  takes the next entry in a scattered order. PERCENT of them are lookups that
  compare every byte, the others inserts that replace the value by another one of
  the same size. That they did is checked after the deletion.

",
    exit_status!()
);

const COMPARE_HELP: &str = concat!(
    "\
Input:
  A DIR is walked. Symbolic links are not followed, and other file systems not
  entered. Each path is a key; its value is made of size, mode and times.
  Unreadable paths are counted and skipped.

  A FILE is read by its ending, or as --format says:

    FILE             --format  an entry            its key       its value
    .csv             csv       a record            --key NAME,   --value NAME,
                                                   or column 1   or the record
    .jsonl, .ndjson  jsonl     a line, an object   --key NAME    --value NAME,
                                                                 or the object
    any other, -     tsv       a line              up to a tab   after the tab

  Keys have at most 65 535 bytes; values, records and lines at most 4 GiB - 1.
  If a key comes again, the last value counts. What is no entry is an error that
  names the line; with --skip-bad it is counted, and the rest is read.

  TSV: Any bytes will do: a carriage return at the end of a line belongs to the
  value, as do further tabs. A line without a tab is no entry, even if empty.

  CSV: The first record is the header, which names the columns. Fields may be
  quoted, and then hold commas, line ends, and quotes (doubled). Any bytes will
  do. Line ends are \\n, \\r\\n or \\r; empty lines and a byte order mark are
  skipped. A record as a value is kept as it stands, quotes included. A record
  with fewer or more fields than the header is no entry, nor is one with a quote
  that is never closed. --key and --value must name one column each.

  JSON lines: A key is a string or a number, the number as it is written: 1
  and 1.0 differ, 1 and \"1\" do not. A value that is a string is its text, any
  other its JSON without white space, also an object in the object; keys
  cannot be in one. Of a member given twice the last counts. A byte order mark
  and empty lines are skipped. A line that is not UTF-8 or no object is no
  entry, nor is one without such a key or value, or with null as its key.

",
    exit_status!()
);

/// The arguments of `cmap compare`.
#[derive(Debug, clap::Args)]
pub struct CompareArgs {
    /// A file, `-` for standard input, or a directory; without it, your home directory
    #[arg(value_name = "FILE|DIR")]
    pub input: Option<PathBuf>,

    /// How to read the FILE.
    #[command(flatten)]
    pub file: FileArgs,

    /// Read only the first N entries; lines that are none do not count
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,

    /// What both commands know.
    #[command(flatten)]
    pub trial: TrialArgs,
}

/// The arguments of `cmap bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// How many entries
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=ENTRIES_MAX))]
    pub entries: u64,

    /// Size of a key: up to 65535
    #[arg(long, value_name = "BYTES", default_value_t = 16, value_parser = clap::value_parser!(u64).range(..=KEY_MAX as u64))]
    pub key_size: u64,

    /// Size of a value: up to 4294967295
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u64).range(..=VALUE_MAX as u64))]
    pub value_size: u64,

    /// Lookups in the mixed phase, of a hundred operations; the others replace values
    #[arg(long, value_name = "PERCENT", default_value_t = 95, value_parser = clap::value_parser!(u8).range(..=100))]
    pub mix: u8,

    /// What both commands know.
    #[command(flatten)]
    pub trial: TrialArgs,
}

/// How to measure, and where to say it: the arguments of both commands.
#[derive(Debug, clap::Args)]
pub struct TrialArgs {
    /// Threads that load, look up and delete [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=THREADS_MAX))]
    pub threads: Option<u64>,

    /// Write the figures as JSON to this file; `-` is standard output, in place of the table
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Draw memory and speed to this file
    #[arg(long, value_name = "FILE.svg")]
    pub chart: Option<PathBuf>,

    /// Seed of the hash that all three maps use, and of made entries [default: drawn at random; the table shows it]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Go by this many bytes of available memory, not by what the system says (for tests)
    #[arg(long, value_name = "BYTES", hide = true)]
    pub memory_available: Option<u64>,
}

impl TrialArgs {
    /// The threads to use: as asked for, else one per core.
    pub fn threads(&self) -> usize {
        match self.threads {
            Some(threads) => usize::try_from(threads).expect("at most THREADS_MAX"),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// How to read a file.
#[derive(Debug, Default, clap::Args)]
pub struct FileArgs {
    /// Read the FILE as this, whatever its ending
    #[arg(long, requires = "input")]
    pub format: Option<Format>,

    /// The column (CSV) or member (JSON) that is the key [default for CSV: the first column]
    #[arg(long, value_name = "NAME", requires = "input")]
    pub key: Option<String>,

    /// The column or member that is the value [default: the whole record or object]
    #[arg(long, value_name = "NAME", requires = "input")]
    pub value: Option<String>,

    /// The first line of a tab-separated FILE holds column names: skip it
    #[arg(long, requires = "input", conflicts_with_all = ["key", "value"])]
    pub header: bool,

    /// Count lines of the FILE that are no entries, and go on
    #[arg(long, requires = "input")]
    pub skip_bad: bool,
}

/// The arguments of a child process.
#[derive(Debug, clap::Args)]
pub struct MeasureStoreArgs {
    /// Which store.
    #[arg(long)]
    pub store: Kind,

    /// Threads that load, look up and delete.
    #[arg(long)]
    pub threads: usize,

    /// Seed of the hash.
    #[arg(long)]
    pub seed: u64,

    /// Lookups of a hundred operations in a mixed phase, if there is to be one.
    #[arg(long)]
    pub mix: Option<u8>,

    /// Whether to report how far it has come.
    #[arg(long)]
    pub progress: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn zero_threads_and_a_zero_limit_are_refused() {
        assert!(Args::try_parse_from(["cmap", "compare", "--threads", "0"]).is_err());
        assert!(Args::try_parse_from(["cmap", "compare", "--limit", "0"]).is_err());
        assert!(Args::try_parse_from(["cmap", "bench", "--entries", "0"]).is_err());
        assert!(
            Args::try_parse_from(["cmap", "compare", "--threads", "1", "--limit", "1"]).is_ok()
        );
    }
}
