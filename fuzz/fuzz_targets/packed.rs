#![no_main]
//! See `crates/cmap-cli/tests/fuzz/packed.rs`.

#[path = "../../crates/cmap-cli/tests/fuzz/common.rs"]
#[allow(dead_code)]
mod common;
#[path = "../../crates/cmap-cli/tests/fuzz/packed.rs"]
mod packed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cmap_fuzz::count(packed::run(bytes)));
