//! JSON lines, from a file and from standard input.

use super::place::{Place, expect, expect_parts, input};

const ITEMS: &str = "\u{feff}{\"id\": 1, \"name\": \"Apple\", \"tags\": [\"red\", \"round\"]}\r\n\n{\"name\":\"Pe\\u0061r\",\"id\":\"2\",\"tags\":null}";

#[test]
fn members_are_keys_and_values() {
    let place = Place::new();
    for name in ["items.jsonl", "items.NDJSON"] {
        let file = place.file(name, ITEMS);
        let payload = |args: &[&str]| {
            let found = input(&place, &[&[file.to_str().unwrap()], args].concat());
            assert_eq!(
                (&found["entries"], &found["skipped"]),
                (&2.into(), &0.into())
            );
            found["payload_bytes"].as_u64().unwrap() as usize
        };
        assert_eq!(payload(&["--key", "id", "--value", "name"]), 2 + 5 + 4);
        assert_eq!(payload(&["--key", "name", "--value", "id"]), 5 + 4 + 2);
        assert_eq!(
            payload(&["--key", "id", "--value", "tags"]),
            2 + "[\"red\",\"round\"]".len() + 4
        );
        let whole = "{\"id\":1,\"name\":\"Apple\",\"tags\":[\"red\",\"round\"]}".len()
            + "{\"name\":\"Pe\\u0061r\",\"id\":\"2\",\"tags\":null}".len();
        assert_eq!(payload(&["--key", "id"]), 2 + whole);
    }
}

#[test]
fn standard_input_is_json_if_the_format_says_so() {
    let place = Place::new();
    let output = place.fed(["-", "--format", "jsonl", "--key", "id"], ITEMS);
    expect_parts(&expect(&output, 0).0, &["standard input\n2 entries"]);
    let output = place.fed(
        ["-", "--format", "jsonl", "--key", "id"],
        "{\"id\":1}\n[]\n",
    );
    assert_eq!(
        expect(&output, 3).1,
        "cmap: standard input, line 2: invalid type: sequence, expected an object\n"
    );
}

#[test]
fn bad_lines_stop_it_or_are_counted() {
    let place = Place::new();
    let text = b"{\"k\":\"a\",\"v\":1}\n{\"k\":\"b\"}\nno JSON\n{\"k\":\"\xff\",\"v\":2}\n{\"v\":3}\n{\"k\":null,\"v\":4}\n\n{\"k\":\"c\",\"v\":5}\n";
    let file = place.file("bad.jsonl", text);
    let file = file.to_str().unwrap();
    let args = [file, "--key", "k", "--value", "v"];
    let (_, err) = expect(&place.compare(args).output().unwrap(), 3);
    assert_eq!(
        err,
        format!("cmap: {file}, line 2: no member \"v\", but \"k\"\n")
    );
    let found = input(&place, &[&args[..], &["--skip-bad"]].concat());
    assert_eq!(
        (&found["entries"], &found["skipped"]),
        (&2.into(), &5.into())
    );
    // Those that are skipped do not count to the limit.
    let found = input(
        &place,
        &[&args[..], &["--skip-bad", "--limit", "2"]].concat(),
    );
    assert_eq!(
        (&found["entries"], &found["skipped"]),
        (&2.into(), &5.into())
    );
    let found = input(&place, &[&args[..], &["--limit", "1"]].concat());
    assert_eq!(
        (&found["entries"], &found["skipped"]),
        (&1.into(), &0.into())
    );
}
