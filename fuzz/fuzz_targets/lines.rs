#![no_main]
//! See `crates/cmap-cli/tests/fuzz/lines.rs`.

#[path = "../../crates/cmap-cli/tests/fuzz/common.rs"]
mod common;
#[path = "../../crates/cmap-cli/tests/fuzz/lines.rs"]
mod lines;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cmap_fuzz::count(lines::run(bytes)));
