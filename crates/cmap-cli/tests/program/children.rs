//! Children that go wrong, and signals.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};

use super::place::{Place, expect, expect_parts, lines};

#[test]
fn a_child_that_goes_wrong_is_a_failure() {
    let place = Place::new();
    let file = place.file("input.tsv", lines(1_000));
    for (fault, reason) in [
        ("crash", "its process ended without a result: signal: 6"),
        (
            "silence",
            "its process ended without a result: exit status: 0",
        ),
        (
            "garbage",
            "its process said \"forty-two\", which is no result",
        ),
        ("refuse", "could not be inserted: no room"),
        (
            "lose",
            "wrong answer: it counts 999 entries after loading, not 1000",
        ),
        ("corrupt", "wrong answer: the value of key \"key "),
        (
            "undead",
            "wrong answer: it counts 101 entries after deleting, not 100",
        ),
    ] {
        let (out, err) = expect(
            &place
                .compare([&file])
                .env("CMAP_CHILD_FAULT", fault)
                .output()
                .unwrap(),
            1,
        );
        assert_eq!(out, "", "{fault}");
        expect_parts(&err, &["cmap: RwLock<HashMap>: ", reason]);
    }
    place.expect_clean();
}

/// The program with a child that never ends by itself, and that child's number.
fn hanging(
    place: &Place,
) -> (
    std::process::Child,
    BufReader<std::process::ChildStderr>,
    Pid,
) {
    let file = place.file("input.tsv", lines(1_000));
    let mut command = place.compare([&file]);
    command
        .env("CMAP_CHILD_FAULT", "hang")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut program = command.spawn().unwrap();
    let mut err = BufReader::new(program.stderr.take().unwrap());
    let mut line = String::new();
    err.read_line(&mut line).unwrap();
    let child = line
        .trim_end()
        .strip_prefix("hanging ")
        .unwrap()
        .parse()
        .unwrap();
    (program, err, Pid::from_raw(child).unwrap())
}

fn exists(process: Pid) -> bool {
    Path::new("/proc")
        .join(process.as_raw_pid().to_string())
        .exists()
}

#[test]
fn signals_end_the_child_and_leave_nothing() {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let place = Place::new();
        let (mut program, mut err, child) = hanging(&place);
        assert!(exists(child));
        kill_process(Pid::from_child(&program), signal).unwrap();
        assert_eq!(program.wait().unwrap().code(), Some(status));
        assert!(!exists(child), "the child is ended and waited for");
        place.expect_clean();
        let mut said = String::new();
        err.read_to_string(&mut said).unwrap();
        assert_eq!(said, "\ncmap: interrupted\n");
    }
}

#[test]
fn a_child_that_gets_the_ctrl_c_first_is_no_failure() {
    let place = Place::new();
    let (mut program, _err, child) = hanging(&place);
    kill_process(child, Signal::INT).unwrap();
    assert_eq!(program.wait().unwrap().code(), Some(130));
    place.expect_clean();
}

#[test]
fn ctrl_c_while_reading_ends_it_too() {
    let place = Place::new();
    let mut program = place.compare(["-"]).stdin(Stdio::piped()).spawn().unwrap();
    // More than a pipe holds: when it is written, the program is reading.
    program
        .stdin
        .as_mut()
        .unwrap()
        .write_all(lines(10_000).as_bytes())
        .unwrap();
    kill_process(Pid::from_child(&program), Signal::INT).unwrap();
    assert_eq!(program.wait().unwrap().code(), Some(130));
    place.expect_clean();
}

#[test]
fn even_a_killed_program_leaves_nothing() {
    let place = Place::new();
    let (mut program, mut err, _) = hanging(&place);
    program.kill().unwrap();
    program.wait().unwrap();
    // Ends when the child, the last that holds it, has ended.
    assert_eq!(err.read_to_end(&mut Vec::new()).unwrap(), 0);
    place.expect_clean();
}
