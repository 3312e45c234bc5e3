//! CSV, from a file and from standard input.

use super::place::{Place, expect, expect_parts, input};

const ITEMS: &str = "id,name,price\r\n1,\"Apple, red\",2.50\r\n2,\"He said \"\"no\"\"\",3\r\n\r\n1,Pear,\"4\r\n5\"\r\n";

#[test]
fn columns_are_keys_and_values() {
    let place = Place::new();
    let file = place.file("items.csv", ITEMS);
    let file = file.to_str().unwrap();
    // Keys 1 and 2, values `Pear` and `He said "no"`.
    for args in [
        &[file, "--key", "id", "--value", "name"][..],
        &[file, "--value", "name"],
        &[file, "--value", "name", "--format", "csv"],
    ] {
        let found = input(&place, args);
        assert_eq!(found["entries"], 2, "{args:?}");
        assert_eq!(found["payload_bytes"], 2 + 4 + 12, "{args:?}");
        assert_eq!(
            (&found["duplicates"], &found["skipped"]),
            (&1.into(), &0.into())
        );
    }
    // Values are records as they stand.
    let whole = "2,\"He said \"\"no\"\"\",3".len() + "1,Pear,\"4\r\n5\"".len();
    assert_eq!(input(&place, &[file])["payload_bytes"], 2 + whole);
}

#[test]
fn standard_input_is_csv_if_the_format_says_so() {
    let place = Place::new();
    let output = place.fed(["-", "--format", "csv", "--key", "name"], ITEMS);
    expect_parts(
        &expect(&output, 0).0,
        &[
            "standard input\n3 entries",
            "0 duplicates",
            "0 bad lines skipped",
        ],
    );
    let output = place.fed(["-", "--format", "csv"], "k,v\na,b,c\n");
    assert_eq!(
        expect(&output, 3).1,
        "cmap: standard input, line 2: 3 fields, but the header has 2\n"
    );
}

#[test]
fn a_column_that_is_not_there_is_answered_with_those_that_are() {
    let place = Place::new();
    let file = place.file("items.csv", "id,name,name\n1,2,3\n");
    for (option, name, reason) in [
        (
            "--key",
            "sku",
            "has no such column, but \"id\", \"name\", \"name\"",
        ),
        (
            "--value",
            "",
            "has no such column, but \"id\", \"name\", \"name\"",
        ),
        ("--value", "name", "has 2 columns of that name"),
    ] {
        let (out, err) = expect(
            &place
                .compare([file.to_str().unwrap(), option, name])
                .output()
                .unwrap(),
            2,
        );
        assert_eq!(out, "");
        assert_eq!(
            err,
            format!("cmap: {option} {name}: {} {reason}\n", file.display())
        );
    }
}

#[test]
fn bad_records_stop_it_or_are_counted() {
    let place = Place::new();
    let text = "k,v\na,1\nb\nc,2,3\nd,\"4\n\"\ne,\"5\nf,6\n";
    let file = place.file("bad.csv", text);
    let file = file.to_str().unwrap();
    let (_, err) = expect(&place.compare([file]).output().unwrap(), 3);
    assert_eq!(
        err,
        format!("cmap: {file}, line 3: 1 field, but the header has 2\n")
    );
    let found = input(&place, &[file, "--skip-bad"]);
    assert_eq!(
        (&found["entries"], &found["skipped"]),
        (&2.into(), &3.into())
    );
    let (out, _) = expect(&place.compare([file, "--skip-bad"]).output().unwrap(), 0);
    expect_parts(&out, &["2 entries", "3 bad lines skipped"]);

    let file = place.file("all-bad.csv", "k,v\na\nb\n");
    let file = file.to_str().unwrap();
    let (_, err) = expect(&place.compare([file, "--skip-bad"]).output().unwrap(), 3);
    assert_eq!(
        err,
        format!("cmap: {file}: no entries, 2 bad lines skipped\n")
    );
}

#[test]
fn a_bad_header_is_never_skipped() {
    let place = Place::new();
    let file = place.file("header.csv", "k,\"v\na,1\n");
    let file = file.to_str().unwrap();
    let (_, err) = expect(&place.compare([file, "--skip-bad"]).output().unwrap(), 3);
    expect_parts(&err, &[", line 1: a quote is opened in this record"]);
}
