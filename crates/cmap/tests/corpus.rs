//! What the fuzzer has found worth keeping, run again, and at least half of it must reach the map.

mod common;
#[path = "fuzz/operations.rs"]
mod operations;

use std::{fs, path::Path};

#[test]
fn the_operations_that_the_fuzzer_kept() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/operations");
    let (mut inputs, mut reached) = (0, 0);
    for file in fs::read_dir(corpus).expect("the corpus is in the repository") {
        let path = file.expect("a file").path();
        // Said before it happens: where the process dies, the last line names the culprit.
        eprintln!("{}", path.display());
        reached += usize::from(operations::run(&fs::read(&path).expect("a file")));
        inputs += 1;
    }
    println!("corpus operations: {inputs} inputs, {reached} of them reach the map");
    assert!(inputs > 0 && reached * 2 >= inputs);
}
