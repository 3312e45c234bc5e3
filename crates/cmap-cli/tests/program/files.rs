//! Files of tab-separated lines, and standard input.

use std::{io::Write, process::Stdio};

use super::place::{Place, expect, expect_parts, json};

#[test]
fn of_a_key_given_twice_the_last_value_counts() {
    let place = Place::new();
    let document = place.json("a\tfirst\nb\t1\na\tlast one\n");
    assert_eq!(document["input"]["duplicates"], 1);
    assert_eq!(
        (
            &document["input"]["entries"],
            &document["input"]["payload_bytes"]
        ),
        (&2.into(), &11.into())
    );
    let file = place.file("again.tsv", "a\t1\na\t2\na\t3\n");
    expect_parts(
        &expect(&place.compare([file]).output().unwrap(), 0).0,
        &["\n1 entry,", "\n2 duplicates"],
    );
}

#[test]
fn standard_input_is_read() {
    let place = Place::new();
    let mut program = place.compare(["-", "--json", "-"]);
    let mut program = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    program
        .stdin
        .take()
        .unwrap()
        .write_all(b"a\t1\nb\t2")
        .unwrap();
    let document = json(&program.wait_with_output().unwrap());
    assert_eq!(
        (&document["input"]["source"], &document["input"]["entries"]),
        (&"-".into(), &2.into())
    );
}

#[test]
fn a_bad_line_of_standard_input_is_named() {
    let place = Place::new();
    let mut program = place.compare(["-"]);
    let mut program = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    program
        .stdin
        .take()
        .unwrap()
        .write_all(b"a\t1\n\nb\t2")
        .unwrap();
    let (_, err) = expect(&program.wait_with_output().unwrap(), 3);
    assert_eq!(
        err,
        "cmap: standard input, line 2: no tab between key and value\n"
    );
}

#[test]
fn a_header_is_skipped_only_when_asked() {
    let place = Place::new();
    let file = place.file("header.tsv", "name\tvalue\na\t1\nb\t2\n");
    let entries = |args: &[&str]| {
        let args = [&[file.to_str().unwrap(), "--json", "-"], args].concat();
        json(&place.compare(args).output().unwrap())["input"]["entries"].clone()
    };
    assert_eq!(entries(&[]), 3);
    assert_eq!(entries(&["--header"]), 2);
    assert_eq!(entries(&["--header", "--limit", "1"]), 1);
}

#[test]
fn any_bytes_but_tab_and_newline_are_kept_apart() {
    let mut text = Vec::new();
    for byte in (0..=255_u8).filter(|byte| !b"\t\n".contains(byte)) {
        text.extend([byte, 0, byte, b'\t', byte, 0xff, 0, b'\n']);
    }
    let document = Place::new().json(text);
    assert_eq!(
        (
            &document["input"]["entries"],
            &document["input"]["duplicates"]
        ),
        (&254.into(), &0.into())
    );
    assert_eq!(document["input"]["payload_bytes"], 254 * 6);
}

#[test]
fn bad_input_is_named_with_file_line_and_reason() {
    let place = Place::new();
    let long_key = [&b"a\t1\n"[..], &[b'k'; 65_536], b"\tv\n"].concat();
    for (name, bytes, args, reason) in [
        (
            "no-tab.tsv",
            &b"a\t1\nno tab here\nb\t2\n"[..],
            &[][..],
            ", line 2: no tab between key and value",
        ),
        (
            "empty-line.tsv",
            b"key\tvalue\na\t1\n\n",
            &["--header"],
            ", line 3: no tab between key and value",
        ),
        (
            "long-key.tsv",
            &long_key,
            &[],
            ", line 2: the key has 65 536 bytes, more than 65 535",
        ),
        ("empty.tsv", b"", &[], ": no entries"),
        (
            "header-only.tsv",
            b"key\tvalue\n",
            &["--header"],
            ": no entries",
        ),
    ] {
        let file = place.file(name, bytes);
        let (out, err) = expect(
            &place
                .compare([&[file.to_str().unwrap()], args].concat())
                .output()
                .unwrap(),
            3,
        );
        assert_eq!(
            (out, err),
            (String::new(), format!("cmap: {}{reason}\n", file.display()))
        );
    }
    let missing = place.input.path().join("missing.tsv");
    let (_, err) = expect(&place.compare([&missing]).output().unwrap(), 3);
    expect_parts(&err, &[missing.to_str().unwrap(), "No such file"]);
    place.expect_clean();
}
