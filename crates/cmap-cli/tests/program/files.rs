//! Files of tab-separated lines, and standard input.

use super::place::{Place, expect, expect_parts, input, json};

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
    let document = json(&place.fed(["-", "--json", "-"], "a\t1\nb\t2"));
    assert_eq!(
        (&document["input"]["source"], &document["input"]["entries"]),
        (&"-".into(), &2.into())
    );
}

#[test]
fn a_bad_line_of_standard_input_is_named() {
    let place = Place::new();
    let (_, err) = expect(&place.fed(["-"], "a\t1\n\nb\t2"), 3);
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
        input(&place, &[&[file.to_str().unwrap()], args].concat())["entries"].clone()
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

#[test]
fn bad_lines_are_counted_when_that_is_wanted() {
    let place = Place::new();
    let long_key = "k".repeat(65_536);
    let file = place.file(
        "bad.tsv",
        format!("no tab\n{long_key}\tv\na\t1\n\nb\t2\nend"),
    );
    let file = file.to_str().unwrap();
    let found = input(&place, &[file, "--skip-bad"]);
    assert_eq!(
        (&found["entries"], &found["skipped"]),
        (&2.into(), &4.into())
    );
    // The header is no entry, and not a bad line either.
    let found = input(&place, &[file, "--skip-bad", "--header"]);
    assert_eq!(
        (&found["entries"], &found["skipped"]),
        (&2.into(), &3.into())
    );
    let (out, err) = expect(&place.compare([file, "--skip-bad"]).output().unwrap(), 0);
    expect_parts(
        &out,
        &["\n0 duplicates (the last value of a key counts), 4 bad lines skipped\n"],
    );
    assert_eq!(err, "");
}
