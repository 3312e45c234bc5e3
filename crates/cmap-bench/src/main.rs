//! Measures CMap against its peers, side by side in one run.
//!
//! ```text
//! args      what was asked for
//! all       which jobs that makes, in which order           memory    the same for the table of memory goals
//! lines     cache lines that threads take from each other, counted under valgrind
//! launch    a child process per job                          results   what came out, a line per figure
//! workload  what a child does                                report    BENCHMARKS.md out of the results
//! store     the maps behind one trait                        entry, rng, pages, machine   what the workloads stand on
//! ```
//!
//! `cargo run --release -p cmap-bench -- all`, then `… report`.

mod all;
mod args;
mod entry;
mod job;
mod launch;
mod lines;
mod machine;
mod memory;
mod pages;
mod report;
mod results;
mod rng;
mod store;
#[cfg(test)]
mod tests;
mod workload;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

/// It favours the rivals: with the system's they need more memory and more time.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::All(args) => all::run(&args),
        Command::Memory(args) => memory::run(&args),
        Command::Lines(args) => lines::run(&args),
        Command::Report(args) => report::run(&args),
        Command::RunOne { job } => launch::child(&job),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cmap-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
