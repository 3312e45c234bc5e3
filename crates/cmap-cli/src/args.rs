//! The command line: what may be said to the program, and what is said to its own child processes.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::store::Kind;

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

    /// One store's measurement, in a process of its own; the packed entries come on standard input
    #[command(hide = true)]
    MeasureStore(MeasureStoreArgs),
}

const COMPARE_HELP: &str = "\
Input:
  A DIR is walked. Symbolic links are not followed, and other file systems not
  entered. Each path is a key; its value is made of size, mode and times.
  Unreadable paths are counted and skipped.

  A FILE has one entry a line: the key, a tab, the value. Any bytes will do: a
  carriage return at the end of a line belongs to the value, as do further tabs.
  Keys have at most 65 535 bytes, values at most 4 GiB - 1. A line without a tab
  is an error. If a key comes again, the last value counts.

Exit status:
  0    done
  1    an answer was wrong, or a child process failed
  2    bad arguments
  3    bad input, no entries, or more than the memory available holds
  130  interrupted (Ctrl-C)";

/// The arguments of `cmap compare`.
#[derive(Debug, clap::Args)]
pub struct CompareArgs {
    /// A tab-separated file, `-` for standard input, or a directory; without it, your home directory
    #[arg(value_name = "FILE|DIR")]
    pub input: Option<PathBuf>,

    /// Threads that load, look up and delete [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=THREADS_MAX))]
    pub threads: Option<u64>,

    /// Write the figures as JSON to this file; `-` is standard output, in place of the table
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// The first line of the FILE holds column names: skip it
    #[arg(long)]
    pub header: bool,

    /// Read only the first N lines or paths
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,

    /// Seed of the hash that all three maps use [default: drawn at random; the table shows it]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Go by this many bytes of available memory, not by what the system says (for tests)
    #[arg(long, value_name = "BYTES", hide = true)]
    pub memory_available: Option<u64>,
}

impl CompareArgs {
    /// The threads to use: as asked for, else one per core.
    pub fn threads(&self) -> usize {
        match self.threads {
            Some(threads) => usize::try_from(threads).expect("at most THREADS_MAX"),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
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
        assert!(
            Args::try_parse_from(["cmap", "compare", "--threads", "1", "--limit", "1"]).is_ok()
        );
    }
}
