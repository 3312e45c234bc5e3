#![no_main]
//! See `crates/cmap-cli/tests/fuzz/walk.rs`.

#[path = "../../crates/cmap-cli/tests/fuzz/lines.rs"]
#[allow(dead_code)]
mod lines;
#[path = "../../crates/cmap-cli/tests/fuzz/walk.rs"]
mod walk;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cmap_fuzz::count(walk::run(bytes)));
