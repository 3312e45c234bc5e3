#![no_main]
//! See `crates/cmap-cli/tests/fuzz/walk.rs`.

#[path = "../../crates/cmap-cli/tests/fuzz/common.rs"]
#[allow(dead_code)]
mod common;
#[path = "../../crates/cmap-cli/tests/fuzz/walk.rs"]
mod walk;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cmap_fuzz::count(walk::run(bytes)));
