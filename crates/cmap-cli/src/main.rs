//! The program `cmap`: see the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    cmap_cli::main()
}
