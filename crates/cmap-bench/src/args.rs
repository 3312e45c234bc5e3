//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::job::Kind;
use crate::store::StoreName;

/// Measures CMap against its peers, side by side in one run.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything that is not in the results file yet.
    All(AllArgs),
    /// Print the table of memory goals, side by side with DashMap, papaya and a 64-shard RwLock<hashbrown>.
    Memory(MemoryArgs),
    /// Count the cache lines that operations take from other threads' caches; needs valgrind.
    Lines(LinesArgs),
    /// Write BENCHMARKS.md and its charts from the results file.
    Report(ReportArgs),
    /// Run one job in this process.
    #[command(hide = true)]
    RunOne {
        /// The job, in JSON.
        job: String,
    },
}

/// For `all`.
#[derive(Debug, clap::Args)]
pub struct AllArgs {
    /// Adds 1 M and 50 M entries, values of mixed size, and every rival everywhere.
    #[arg(long)]
    pub full: bool,
    /// The sizes of the main tables, in entries, instead of 5 M (and 1 M and 50 M with --full).
    #[arg(long, value_delimiter = ',', value_name = "N,...", value_parser = entries)]
    pub entries: Option<Vec<u64>>,
    /// How often each store has its turn.
    #[arg(long, default_value_t = 3)]
    pub rounds: u32,
    /// Only these stores.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub stores: Option<Vec<StoreName>>,
    /// Only these kinds of jobs.
    #[arg(long, value_delimiter = ',', value_name = "KIND,...")]
    pub kinds: Option<Vec<Kind>>,
    /// Multiplies the sizes of all jobs.
    #[arg(long, default_value_t = 1.0)]
    pub scale: f64,
    /// Of keys, values, choices and hashes.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where the results are appended to, and resumed from.
    #[arg(long, default_value = "benchmarks/results.jsonl")]
    pub results: PathBuf,
    /// Print the jobs and run none.
    #[arg(long)]
    pub list: bool,
}

/// For `memory`.
#[derive(Debug, clap::Args)]
pub struct MemoryArgs {
    /// How often each store has its turn; the table shows medians.
    #[arg(long, default_value_t = 1)]
    pub rounds: u32,
    /// Multiplies the sizes of all jobs.
    #[arg(long, default_value_t = 1.0)]
    pub scale: f64,
    /// Of keys, values, choices and hashes.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Only these kinds of jobs.
    #[arg(long, value_delimiter = ',', value_name = "KIND,...")]
    pub kinds: Option<Vec<Kind>>,
    /// Where the results are appended to as well.
    #[arg(long, value_name = "FILE")]
    pub results: Option<PathBuf>,
}

/// For `lines`.
#[derive(Debug, clap::Args)]
pub struct LinesArgs {
    /// Entries that the map is filled with.
    #[arg(long, default_value = "10k", value_name = "N", value_parser = entries)]
    pub entries: u64,
    /// Operations of each kind.
    #[arg(long, default_value = "2k", value_name = "N", value_parser = entries)]
    pub ops: u64,
    /// Threads, which take turns.
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub threads: usize,
    /// These stores.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAME,...",
        default_value = "cmap,dashmap,papaya,scc,sharded"
    )]
    pub stores: Vec<StoreName>,
    /// Of keys, values, choices and hashes.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// For `report`.
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// Where the results are.
    #[arg(long, default_value = "benchmarks/results.jsonl")]
    pub results: PathBuf,
    /// Where the report goes; the charts go into a folder `benchmarks` beside it.
    #[arg(long, default_value = "BENCHMARKS.md")]
    pub out: PathBuf,
    /// Of this commit, instead of the last one measured.
    #[arg(long)]
    pub commit: Option<String>,
}

/// A number of entries: `5000000`, `5M`, `100k`.
fn entries(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1_000_000),
        Some(b'K' | b'k') => (&text[..text.len() - 1], 1_000),
        _ => (text, 1),
    };
    match digits.parse::<u64>() {
        Ok(number) if number > 0 => Ok(number * unit),
        _ => Err("a number above 0, with M or k after it or not".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
        assert_eq!(entries("5M"), Ok(5_000_000));
        assert_eq!(entries("20k"), Ok(20_000));
        assert!(entries("0").is_err() && entries("M").is_err());
    }
}
