//! `cmap bench`, and charts.

use std::{fs, process::Command};

use serde_json::Value;

use super::place::{Place, expect, expect_parts, json};

/// The program, about to `bench`.
fn bench(place: &Place, args: &[&str]) -> Command {
    place.command([&["bench"], args].concat())
}

#[test]
fn synthetic_entries_are_compared_with_a_mixed_phase() {
    let place = Place::new();
    let args = ["--entries", "60000", "--threads", "3", "--seed", "42"];
    let (out, err) = expect(&bench(&place, &args).output().unwrap(), 0);
    expect_parts(
        &out,
        &[
            "synthetic entries, keys of 16 bytes, values of 64 bytes, seed 42\n60 000 entries, 4.58 MiB of payload, 80.0 bytes each\n--",
            "\n mixed, million/s ",
            "quality, seed 42",
            "3 threads",
            "95 % lookups as before, 5 % inserts",
            "CMap against DashMap\n  gains:",
        ],
    );
    assert_eq!(err, "");
    place.expect_clean();
}

#[test]
fn the_json_says_what_was_made_and_the_mixed_rate() {
    let place = Place::new();
    let args = [
        "--entries",
        "5000",
        "--key-size",
        "3",
        "--value-size",
        "0",
        "--mix",
        "30",
        "--seed",
        "9",
        "--json",
        "-",
    ];
    let document = json(&bench(&place, &args).output().unwrap());
    let expected = serde_json::json!({
        "source": "synthetic", "entries": 5000, "payload_bytes": 15000, "duplicates": 0, "skipped": 0,
        "key_bytes": 3, "value_bytes": 0, "seed": 9, "mix": 30,
    });
    assert_eq!(
        (&document["schema"], &document["input"]),
        (&1.into(), &expected)
    );
    for store in document["stores"].as_array().unwrap() {
        assert!(
            store["mixed_per_s"].as_f64().is_some_and(|rate| rate > 0.0),
            "{store}"
        );
    }
    // A seed that is drawn is said.
    let document = json(
        &bench(&place, &["--entries", "10", "--json", "-"])
            .output()
            .unwrap(),
    );
    assert!(document["input"]["seed"].is_u64());
}

#[test]
fn what_cannot_be_made_is_refused_with_the_numbers() {
    let place = Place::new();
    for (args, status, parts) in [
        (&["--entries", "0"][..], 2, &["0 is not in 1.."][..]),
        (&["--entries", "1099511627777"], 2, &["is not in 1.."]),
        (&["--key-size", "65536"], 2, &["65536 is not in 0..=65535"]),
        (
            &["--value-size", "4294967296"],
            2,
            &["is not in 0..=4294967295"],
        ),
        (&["--mix", "101"], 2, &["101 is not in 0..=100"]),
        (
            &["--entries", "257", "--key-size", "1"],
            2,
            &["256 keys of 1 byte are all there are"],
        ),
        (
            &["--entries", "1000000000000"],
            2,
            &["76 293 945 MiB, more than 4 194 304 MiB"],
        ),
        (&["--limit", "5"], 2, &["unexpected argument '--limit'"]),
        (&["file.tsv"], 2, &["unexpected argument 'file.tsv'"]),
        (
            &["--memory-available", "10000000", "--entries", "100000"],
            3,
            &[
                "RwLock<HashMap> would need about",
                "MiB for 100 000 entries",
                "; try --entries ",
            ],
        ),
        // Refused before a byte of it is made.
        (
            &[
                "--value-size",
                "4000000",
                "--memory-available",
                "1000000000",
            ],
            3,
            &["would need about 3 8"],
        ),
    ] {
        let (out, err) = expect(&bench(&place, args).output().unwrap(), status);
        assert_eq!(out, "");
        expect_parts(&err, parts);
    }
    place.expect_clean();
}

#[test]
fn a_wrong_answer_in_the_bench_is_found() {
    let place = Place::new();
    for (fault, reason) in [
        ("corrupt", "wrong answer: the value of key"),
        ("lose", "it counts 999 entries"),
    ] {
        let mut command = bench(&place, &["--entries", "1000"]);
        let (_, err) = expect(&command.env("CMAP_CHILD_FAULT", fault).output().unwrap(), 1);
        expect_parts(&err, &["cmap: RwLock<HashMap>: ", reason]);
    }
}

#[test]
fn charts_are_drawn() {
    let place = Place::new();
    let at = |name: &str| place.input.path().join(name).to_str().unwrap().to_string();
    let file = place.file("a&b.tsv", "a\t1\nb\t2\n");
    let (file, chart) = (file.to_str().unwrap(), at("chart.svg"));
    let args = [file, "--chart", &chart, "--json", "-"];
    let document: Value = json(&place.compare(args).output().unwrap());
    assert_eq!(document["input"]["entries"], 2);
    let svg = fs::read_to_string(&chart).unwrap();
    expect_parts(
        &svg,
        &[
            "<svg",
            "a&amp;b.tsv",
            "too small to judge",
            "DashMap",
            "</svg>",
        ],
    );

    let chart = at("bench.SVG");
    let (out, _) = expect(
        &bench(&place, &["--entries", "100", "--chart", &chart])
            .output()
            .unwrap(),
        0,
    );
    expect_parts(&out, &["bytes per entry"]);
    expect_parts(
        &fs::read_to_string(chart).unwrap(),
        &["mixed, 95 % lookups"],
    );
}

#[test]
fn a_chart_that_cannot_be_drawn_is_refused_first() {
    let place = Place::new();
    let at = |name: &str| place.input.path().join(name).to_str().unwrap().to_string();
    fs::create_dir(at("dir.svg")).unwrap();
    fs::write(at("input.svg"), "a\t1\n").unwrap();
    for (chart, reason) in [
        ("chart.png".into(), "a chart is SVG: name a FILE.svg"),
        ("-".into(), "a chart is SVG: name a FILE.svg"),
        (at("dir.svg"), "that is a directory"),
        (at("missing/chart.svg"), "there is no such directory"),
        (
            at("input.svg"),
            "that is the input, which it would overwrite",
        ),
        (at("same.svg"), "that is where the JSON goes"),
    ] {
        let args = [
            &at("input.svg"),
            "--chart",
            &chart,
            "--json",
            &at("same.svg"),
        ];
        let (out, err) = expect(&place.compare(args).output().unwrap(), 2);
        assert_eq!(
            (out.as_str(), err),
            ("", format!("cmap: --chart {chart}: {reason}\n"))
        );
    }
    assert_eq!(fs::read_to_string(at("input.svg")).unwrap(), "a\t1\n");
}
