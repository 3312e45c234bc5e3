#![no_main]
//! See `crates/cmap-cli/tests/fuzz/csv.rs`.

#[path = "../../crates/cmap-cli/tests/fuzz/common.rs"]
mod common;
#[path = "../../crates/cmap-cli/tests/fuzz/csv.rs"]
mod csv;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cmap_fuzz::count(csv::run(bytes)));
