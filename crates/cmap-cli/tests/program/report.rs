//! What the program prints and writes.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io::Read,
    os::unix::ffi::OsStrExt,
    process::Stdio,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use serde_json::Value;

use super::place::{Place, expect, expect_parts, lines};

#[test]
fn a_small_file_is_compared_and_called_too_small() {
    let place = Place::new();
    let file = place.file("small.tsv", "a\t1\nb\t2\nc\t3");
    let (out, err) = expect(&place.compare([&file]).output().unwrap(), 0);
    expect_parts(
        &out,
        &[
            &format!("{}\n3 entries,", file.display()),
            "0 duplicates",
            "RwLock",
            "<HashMap>",
            "DashMap",
            "CMap",
            "bytes per entry",
            "overhead per entry",
            "load, million/s",
            "lookup, million/s",
            "worst insert, ms",
            "after deleting 90 %",
            "time to drop, ms",
            "CMap vs",
            "foldhash",
            "the system's allocator",
            "Too small to judge: 3 entries",
        ],
    );
    assert!(out.is_ascii(), "no drawing in a pipe: {out}");
    assert_eq!(err, "", "no progress bar in a pipe");
    place.expect_clean();
}

#[test]
fn enough_entries_are_judged() {
    let place = Place::new();
    let file = place.file("enough.tsv", lines(50_000));
    let (out, _) = expect(&place.compare([&file]).output().unwrap(), 0);
    expect_parts(
        &out,
        &[
            "CMap against RwLock<HashMap>\n  gains:",
            "CMap against DashMap\n  gains:",
            "\n  no gain:",
        ],
    );
    assert!(!out.contains("Too small"), "{out}");
}

#[test]
fn the_json_has_exactly_the_fields_of_its_schema() {
    let fields = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<BTreeSet<_>>()
    };
    let named = |names: &[&str]| {
        names
            .iter()
            .map(ToString::to_string)
            .collect::<BTreeSet<_>>()
    };
    let place = Place::new();
    let file = place.file("some.tsv", lines(20_000));
    let written = place.input.path().join("figures.json");
    let args = [
        file.as_os_str(),
        "--threads".as_ref(),
        "3".as_ref(),
        "--json".as_ref(),
        written.as_os_str(),
    ];
    let (out, _) = expect(&place.compare(args).output().unwrap(), 0);
    expect_parts(&out, &["3 threads", "bytes per entry"]);

    let document: Value = serde_json::from_slice(&fs::read(&written).unwrap()).unwrap();
    assert_eq!(
        fields(&document),
        named(&["schema", "input", "threads", "stores"])
    );
    assert_eq!(
        (&document["schema"], &document["threads"]),
        (&1.into(), &3.into())
    );
    let input = &document["input"];
    assert_eq!(
        fields(input),
        named(&[
            "source",
            "entries",
            "payload_bytes",
            "duplicates",
            "skipped"
        ])
    );
    assert_eq!(input["source"], file.to_str().unwrap());
    assert_eq!(
        (&input["entries"], &input["payload_bytes"]),
        (&20_000.into(), &(20_000 * (12 + 85)).into())
    );
    let stores = document["stores"].as_array().unwrap();
    assert_eq!(
        stores
            .iter()
            .map(|store| &store["name"])
            .collect::<Vec<_>>(),
        ["RwLock<HashMap>", "DashMap", "CMap"]
    );
    for store in stores {
        let figures = [
            "bytes_per_entry",
            "overhead_per_entry",
            "load_per_s",
            "lookup_per_s",
            "worst_insert_us",
            "after_delete_ratio",
            "drop_ms",
        ];
        assert_eq!(fields(store), named(&[&figures[..], &["name"]].concat()));
        for figure in figures {
            assert!(
                store[figure].as_f64().is_some_and(|figure| figure > 0.0),
                "{figure} of {store}"
            );
        }
        let overhead = store["bytes_per_entry"].as_f64().unwrap() - 97.0;
        assert!(
            (store["overhead_per_entry"].as_f64().unwrap() - overhead).abs() < 0.001,
            "{store}"
        );
    }
}

#[test]
fn json_on_standard_output_stands_alone() {
    let document = Place::new().json("a\t1\n");
    assert_eq!(document["input"]["entries"], 1);
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let place = Place::new();
    let file = place.file("input.tsv", "a\t1\n");
    for args in [
        &[file.to_str().unwrap()][..],
        &[file.to_str().unwrap(), "--json", "-"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = place
            .compare(args)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        expect(&output, 0);
        assert!(output.stderr.is_empty(), "{output:?}");
    }
    // Even if nobody hears its complaint either.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(
        place
            .compare(["/no/such/file"])
            .stderr(writer)
            .status()
            .unwrap()
            .code(),
        Some(3)
    );
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let place = Place::new();
    let file = place.file("input.tsv", "a\t1\n");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = place
        .compare([&file])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    expect_parts(&expect(&output, 1).1, &["standard output", "No space left"]);
}

#[test]
fn a_terminal_shows_a_bar_and_a_table_that_fits() {
    let place = Place::new();
    let file = place.file("input.tsv", lines(20_000));
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    tcsetwinsize(
        &ours,
        Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )
    .unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = File::options()
        .read(true)
        .write(true)
        .open(OsStr::from_bytes(name.as_bytes()))
        .unwrap();
    let mut command = place.compare([file.as_os_str(), "--seed".as_ref(), "7".as_ref()]);
    command
        .stdout(theirs.try_clone().unwrap())
        .stderr(theirs)
        .env("TERM", "xterm");
    let mut program = command.spawn().unwrap();
    // Else this process holds the terminal open, and reading from it never ends.
    drop(command);
    let mut shown = Vec::new();
    // Ends with an error when the other side is closed.
    let _ = File::from(ours).read_to_end(&mut shown);
    assert_eq!(program.wait().unwrap().code(), Some(0));
    let shown = String::from_utf8(shown).unwrap();
    expect_parts(&shown, &["reading ", "##", "seed 7"]);
    let (bar, table) = shown.split_at(shown.rfind("\x1b[2K").unwrap());
    assert!(bar.contains(" %  "), "{bar}");
    let lines = table.trim_start_matches("\x1b[2K").split("\r\n").skip(1);
    let widest = lines.map(|line| line.chars().count()).max().unwrap();
    assert!(
        (70..=80).contains(&widest) && table.contains('─'),
        "{widest}: {table}"
    );
}
