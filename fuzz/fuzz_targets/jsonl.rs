#![no_main]
//! See `crates/cmap-cli/tests/fuzz/jsonl.rs`.

#[path = "../../crates/cmap-cli/tests/fuzz/common.rs"]
mod common;
#[path = "../../crates/cmap-cli/tests/fuzz/jsonl.rs"]
mod jsonl;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cmap_fuzz::count(jsonl::run(bytes)));
