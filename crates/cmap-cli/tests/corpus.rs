//! What the fuzzer has found worth keeping of the program's inputs, run again, and at least half of it must reach the map.

#[path = "fuzz/common.rs"]
mod common;
#[path = "fuzz/csv.rs"]
mod csv;
#[path = "fuzz/jsonl.rs"]
mod jsonl;
#[path = "fuzz/lines.rs"]
mod lines;
#[path = "fuzz/packed.rs"]
mod packed;
#[path = "fuzz/walk.rs"]
mod walk;

use std::{fs, path::Path};

fn run_again(target: &str, run: fn(&[u8]) -> bool) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let (mut inputs, mut reached) = (0, 0);
    for file in fs::read_dir(corpus).expect("the corpus is in the repository") {
        let path = file.expect("a file").path();
        // Said before it happens: where the process dies, the last line names the culprit.
        eprintln!("{}", path.display());
        reached += usize::from(run(&fs::read(&path).expect("a file")));
        inputs += 1;
    }
    println!("corpus {target}: {inputs} inputs, {reached} of them reach the map");
    assert!(inputs > 0 && reached * 2 >= inputs);
}

#[test]
fn the_lines_that_the_fuzzer_kept() {
    run_again("lines", lines::run);
}

#[test]
fn the_csv_that_the_fuzzer_kept() {
    run_again("csv", csv::run);
}

#[test]
fn the_json_lines_that_the_fuzzer_kept() {
    run_again("jsonl", jsonl::run);
}

#[test]
fn the_packed_files_that_the_fuzzer_kept() {
    run_again("packed", packed::run);
}

#[test]
fn the_trees_that_the_fuzzer_kept() {
    run_again("walk", walk::run);
}
