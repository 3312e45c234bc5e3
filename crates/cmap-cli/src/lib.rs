//! The program `cmap`: it shows what the map CMap saves on the data of whoever runs it.
//!
//! `cmap compare` reads its input into a packed file, `cmap bench` makes entries and packs them. The rest is the same for
//! both: a [`trial`] starts one process per [`store`] on this same executable (module [`child`]), and lays what they
//! measured side by side (module [`report`]).
//!
//! ```text
//! args -> compare, bench -> input -> packed (a file without a name)
//!      -> trial -> estimate, runner -> [ child: packed -> store, pass by pass ]   one process per store
//!               -> report: table, verdict, json, chart
//! ```
//!
//! All of it is in this library, so that its readers can be tested from outside: `main.rs` only calls [`main`].

#![deny(unsafe_code)]
#![doc(hidden)]

mod args;
mod bench;
mod child;
mod compare;
mod estimate;
pub mod failure;
pub mod input;
mod interrupt;
mod memory;
mod output;
pub mod packed;
pub mod progress;
mod report;
mod runner;
mod store;
mod trial;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// The program.
pub fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Compare(args) => compare::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::MeasureStore(args) => child::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure);
            ExitCode::from(failure.status())
        }
    }
}
