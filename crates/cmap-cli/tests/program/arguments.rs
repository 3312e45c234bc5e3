//! What may be asked of the program, and what is refused.

use std::{fs, process::Command};

use super::place::{Place, expect, expect_parts, lines};

#[test]
fn bad_arguments_are_refused() {
    let place = Place::new();
    let file = place.file("input.tsv", "a\t1\n");
    let (file, dir) = (file.to_str().unwrap(), place.input.path().to_str().unwrap());
    let in_no_dir = format!("{dir}/missing/figures.json");
    for args in [
        &["--no-such-option"][..],
        &[file, "a second one"],
        &[file, "--threads", "0"],
        &[file, "--threads", "many"],
        &[file, "--limit", "0"],
        &[file, "--json", file],
        &[file, "--json", dir],
        &[file, "--json", &in_no_dir],
        &["--header"],
        &[dir, "--header"],
        &["--format", "csv"],
        &[file, "--format", "xml"],
        &[dir, "--format", "csv"],
        &["--key", "k"],
        &[file, "--key", "k"],
        &[file, "--value", "v"],
        &[file, "--header", "--key", "k"],
        &[file, "--format", "csv", "--header"],
        &[file, "--format", "jsonl"],
        &[file, "--format", "jsonl", "--value", "v"],
        &["--skip-bad"],
        &[dir, "--skip-bad"],
    ] {
        let (out, err) = expect(&place.compare(args).output().unwrap(), 2);
        assert!(out.is_empty() && !err.is_empty(), "{args:?}: {out}{err}");
    }
    assert_eq!(
        fs::read_to_string(file).unwrap(),
        "a\t1\n",
        "the input is never written to"
    );
    expect(
        &Command::new(env!("CARGO_BIN_EXE_cmap")).output().unwrap(),
        2,
    );
}

#[test]
fn help_and_version_are_given() {
    let place = Place::new();
    let (out, _) = expect(&place.compare(["--help"]).output().unwrap(), 0);
    expect_parts(
        &out,
        &[
            "FILE|DIR",
            "--threads",
            "--json",
            "--header",
            "--format <FORMAT>",
            "--key <NAME>",
            "--value <NAME>",
            "--skip-bad",
            "--limit",
            "Exit status",
        ],
    );
    // The rest is wrapped as the terminal wants it.
    for line in out.lines().skip_while(|line| *line != "Input:") {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(!out.contains("memory-available"), "for tests only");
    let (out, _) = expect(
        &Command::new(env!("CARGO_BIN_EXE_cmap"))
            .arg("--version")
            .output()
            .unwrap(),
        0,
    );
    assert!(out.starts_with("cmap "), "{out}");
}

#[test]
fn what_would_not_fit_is_refused_with_a_limit_that_fits() {
    let place = Place::new();
    let file = place.file("large.tsv", lines(50_000));
    let run = |args: &[&str]| {
        let args = [
            &[file.to_str().unwrap(), "--memory-available", "10000000"],
            args,
        ]
        .concat();
        place.compare(args).output().unwrap()
    };
    let (out, err) = expect(&run(&[]), 3);
    assert_eq!(out, "");
    expect_parts(
        &err,
        &[
            "RwLock<HashMap> would need about",
            "MiB for 50 000 entries",
            "80 % of the 10 MiB",
            "--limit ",
        ],
    );
    let limit = err.trim_end().rsplit(' ').next().unwrap();
    expect_parts(
        &expect(&run(&["--limit", limit]), 0).0,
        &["Too small to judge"],
    );
    place.expect_clean();
}
