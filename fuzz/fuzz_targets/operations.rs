#![no_main]
//! See `crates/cmap/tests/fuzz/operations.rs`.

#[path = "../../crates/cmap/tests/common/mod.rs"]
mod common;
#[path = "../../crates/cmap/tests/fuzz/operations.rs"]
mod operations;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cmap_fuzz::count(operations::run(bytes)));
