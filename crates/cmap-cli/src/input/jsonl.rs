//! JSON lines: an object a line.
//!
//! The key is the member that was named, a string or a number; the value another one, or the whole object. A string stands
//! for its text, anything else for its JSON as written, without the white space between its parts. Of a member given twice
//! the last counts. A byte order mark before the first line, and lines of white space alone, are nothing.

use std::{borrow::Cow, collections::BTreeSet, fmt, io::BufRead, str};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{failure::Failure, output::grouped};

use super::{Sink, lines::Lines};

const BOM: &[u8] = b"\xef\xbb\xbf";
/// So many names of members are listed.
const NAMES_SHOWN: usize = 20;

/// Hands every line to the sink, with the members that are called so as its key and its value.
pub fn read(
    from: impl BufRead,
    key: &str,
    value: Option<&str>,
    sink: &mut Sink<'_>,
) -> Result<(), Failure> {
    let bytes_max = sink.limits.value;
    // With its newline.
    let mut lines = Lines::new(from, bytes_max as u64 + 1);
    while !sink.is_full() {
        let Some(line) = lines.next().map_err(|error| sink.unreadable(error))? else {
            break;
        };
        let mut text = line.text;
        if line.number == 1 {
            text = text.strip_prefix(BOM).unwrap_or(text);
        }
        let said = if text.len() > bytes_max {
            Err(format!(
                "the line has more than {} bytes",
                grouped(bytes_max as u64)
            ))
        } else if text.trim_ascii().is_empty() {
            continue;
        } else {
            entry(text, key, value)
        };
        sink.take(line.number, line.read, said)?;
    }
    Ok(())
}

type Entry<'l> = (Cow<'l, [u8]>, Cow<'l, [u8]>);

fn entry<'l>(line: &'l [u8], key: &str, value: Option<&str>) -> Result<Entry<'l>, String> {
    let text = str::from_utf8(line)
        .map_err(|error| format!("not UTF-8 (byte {})", error.valid_up_to() + 1))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let wanted = Wanted { key, value };
    let found = wanted
        .deserialize(&mut json)
        .and_then(|found| json.end().map(|()| found))
        .map_err(reason)?;
    let missing = |name| format!("no member {name:?}, but {}", names(text));
    let key = found.key.ok_or_else(|| missing(key))?.get();
    if !key.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit()) {
        return Err(format!(
            "the key is {}, neither a string nor a number",
            what(key)
        ));
    }
    let value = match value {
        None => compact(text),
        Some(name) => plain(found.value.ok_or_else(|| missing(name))?.get())?,
    };
    Ok((plain(key)?, value))
}

/// What the parser says, without the line: it knows one only.
fn reason(error: serde_json::Error) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    let text = text.strip_suffix(&place).unwrap_or(&text);
    match error.column() {
        0 => text.into(),
        column => format!("{text} (column {column})"),
    }
}

/// What a JSON value is, by its first character.
fn what(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'n') => "null",
        _ => "true or false",
    }
}

/// The names of an object's members, for a person.
fn names(object: &str) -> String {
    let names: BTreeSet<String> =
        serde_json::from_str::<std::collections::BTreeMap<String, IgnoredAny>>(object)
            .map(|members| members.into_keys().collect())
            .unwrap_or_default();
    let shown = names
        .iter()
        .take(NAMES_SHOWN)
        .map(|name| format!("{name:?}"));
    let more = names.len().saturating_sub(NAMES_SHOWN);
    let more = (more > 0).then(|| format!("{more} more"));
    let all: Vec<_> = shown.chain(more).collect();
    if all.is_empty() {
        "none at all".into()
    } else {
        all.join(", ")
    }
}

/// The bytes that a JSON value stands for.
fn plain(json: &str) -> Result<Cow<'_, [u8]>, String> {
    /// Borrowed if nothing in it is escaped.
    #[derive(Deserialize)]
    struct Text<'l>(#[serde(borrow)] Cow<'l, str>);

    if !json.starts_with('"') {
        return Ok(compact(json));
    }
    let Text(text) = serde_json::from_str(json).map_err(reason)?;
    Ok(match text {
        Cow::Borrowed(text) => text.as_bytes().into(),
        Cow::Owned(text) => text.into_bytes().into(),
    })
}

/// JSON without the white space between its parts.
fn compact(json: &str) -> Cow<'_, [u8]> {
    let (mut is_in_string, mut is_escaped) = (false, false);
    let is_kept = |byte: &u8| {
        if is_in_string {
            is_in_string = *byte != b'"' || is_escaped;
            is_escaped = *byte == b'\\' && !is_escaped;
            return true;
        }
        is_in_string = *byte == b'"';
        !b" \t\r\n".contains(byte)
    };
    json.bytes().filter(is_kept).collect::<Vec<_>>().into()
}

/// Which members of an object are wanted.
#[derive(Clone, Copy)]
struct Wanted<'w> {
    key: &'w str,
    value: Option<&'w str>,
}

/// The members, as written.
#[derive(Default)]
struct Found<'l> {
    key: Option<&'l RawValue>,
    value: Option<&'l RawValue>,
}

impl<'l> DeserializeSeed<'l> for Wanted<'_> {
    type Value = Found<'l>;

    fn deserialize<D: Deserializer<'l>>(self, json: D) -> Result<Found<'l>, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'l> Visitor<'l> for Wanted<'_> {
    type Value = Found<'l>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'l>>(self, mut members: A) -> Result<Found<'l>, A::Error> {
        let mut found = Found::default();
        while let Some((is_key, is_value)) = members.next_key_seed(Name(self))? {
            if !(is_key || is_value) {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            let json = Some(members.next_value()?);
            if is_key {
                found.key = json;
            }
            if is_value {
                found.value = json;
            }
        }
        Ok(found)
    }
}

/// Tells whether a member's name is that of the key, and that of the value.
struct Name<'w>(Wanted<'w>);

impl<'l> DeserializeSeed<'l> for Name<'_> {
    type Value = (bool, bool);

    fn deserialize<D: Deserializer<'l>>(self, json: D) -> Result<(bool, bool), D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = (bool, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<(bool, bool), E> {
        Ok((name == self.0.key, Some(name) == self.0.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{
        Limits,
        tests::{Pairs, pairs, pairs_of},
    };

    fn parse(limits: Limits, text: &[u8], value: Option<&str>) -> Result<Pairs, String> {
        pairs_of("name.jsonl", limits, |sink| read(text, "k", value, sink)).map_err(|failure| {
            assert_eq!(failure.status(), 3);
            failure.to_string()
        })
    }

    #[track_caller]
    fn expect(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(key, value)| (key.as_bytes(), value.as_bytes()))
            .collect();
        let found = parse(Limits::ENTRY, text.as_bytes(), Some("v"));
        assert_eq!(found, Ok(pairs(&expected)), "{text}");
    }

    #[track_caller]
    fn refuse(text: &[u8], line: u64, reason: &str) {
        let found = parse(Limits::ENTRY, text, Some("v"));
        assert_eq!(found, Err(format!("name.jsonl, line {line}: {reason}")));
    }

    #[test]
    fn a_string_is_its_text_and_anything_else_its_compact_json() {
        expect(r#"{"k":"a","v":"b"}"#, &[("a", "b")]);
        expect(
            r#"{"k":"a\u0000\"\n\u00e9\ud83d\ude00","v":"\\"}"#,
            &[("a\0\"\né😀", "\\")],
        );
        expect(
            r#"{ "v" : { "z": [1, 2.50, "a b\" c\\"], "a" : null } , "k" : "x" }"#,
            &[("x", r#"{"z":[1,2.50,"a b\" c\\"],"a":null}"#)],
        );
        for json in [
            "null",
            "true",
            "-0.10e+5",
            "123456789012345678901234567890",
            "[]",
            "{}",
            "1e999",
        ] {
            expect(&format!(r#"{{"k":"a","v": {json} }}"#), &[("a", json)]);
        }
        expect(r#"{"k":"","v":""}"#, &[("", "")]);
    }

    #[test]
    fn numbers_are_keys_as_they_are_written() {
        expect(
            "{\"k\":1,\"v\":1}\n{\"k\":1.0,\"v\":2}\n{\"k\":-1e5,\"v\":3}",
            &[("1", "1"), ("1.0", "2"), ("-1e5", "3")],
        );
        expect(
            "{\"k\":12345678901234567890123,\"v\":1}",
            &[("12345678901234567890123", "1")],
        );
        // As a string it is the same key.
        expect("{\"k\":1,\"v\":1}\n{\"k\":\"1\",\"v\":2}", &[("1", "2")]);
        for (json, is) in [
            ("null", "null"),
            ("true", "true or false"),
            ("[1]", "an array"),
            ("{\"a\":1}", "an object"),
        ] {
            let text = format!("{{\"v\":1,\"k\":{json}}}");
            refuse(
                text.as_bytes(),
                1,
                &format!("the key is {is}, neither a string nor a number"),
            );
        }
    }

    #[test]
    fn the_whole_object_is_the_value_if_none_is_named() {
        let text = b"{\"k\":\"a\", \"n\" : [ 1, 2 ],\t\"s\":\" \\\" \" }\r\n  {\"k\":2}\n";
        let expected = pairs(&[
            (b"a", b"{\"k\":\"a\",\"n\":[1,2],\"s\":\" \\\" \"}"),
            (b"2", b"{\"k\":2}"),
        ]);
        assert_eq!(parse(Limits::ENTRY, text, None), Ok(expected));
    }

    #[test]
    fn members_are_those_of_the_object_itself_and_the_last_of_a_name() {
        expect(r#"{"a":{"k":"in","v":1},"k":"out","v":2}"#, &[("out", "2")]);
        expect(r#"{"k":"first","v":1,"k":"last","v":2}"#, &[("last", "2")]);
        expect(r#"{"\u006b":"escaped","v":1}"#, &[("escaped", "1")]);
        let both = pairs_of("name", Limits::ENTRY, |sink| {
            read(&b"{\"k\":1}"[..], "k", Some("k"), sink)
        });
        assert_eq!(both.unwrap(), pairs(&[(b"1", b"1")]));
    }

    #[test]
    fn a_mark_and_lines_of_white_space_are_nothing() {
        expect(
            "\u{feff}{\"k\":1,\"v\":1}\r\n\r\n \t\n{\"k\":2,\"v\":2}",
            &[("1", "1"), ("2", "2")],
        );
        expect("\u{feff}\n{\"k\":1,\"v\":1}\n", &[("1", "1")]);
        expect("", &[]);
        refuse(
            "{\"k\":1,\"v\":1}\n\u{feff}{\"k\":2,\"v\":2}".as_bytes(),
            2,
            "expected value (column 1)",
        );
    }

    #[test]
    fn a_bad_line_is_named() {
        let good = "{\"k\":1,\"v\":1}\n";
        for (line, reason) in [
            ("{\"k\":1", "EOF while parsing an object (column 6)"),
            ("{\"k\":1,}", "trailing comma (column 8)"),
            ("{\"k\":1,\"v\":1} {", "trailing characters (column 15)"),
            ("{'k':1}", "key must be a string (column 2)"),
            ("[1]", "invalid type: sequence, expected an object"),
            (
                "\"k\"",
                "invalid type: string \"k\", expected an object (column 3)",
            ),
            ("{\"a\":01,\"k\":1,\"v\":1}", "invalid number (column 7)"),
            ("{\"v\":1}", "no member \"k\", but \"v\""),
            (
                "{\"k\":1,\"b\":2,\"a\":{\"v\":3}}",
                "no member \"v\", but \"a\", \"b\", \"k\"",
            ),
            ("{}", "no member \"k\", but none at all"),
            (
                "{\"k\":\"\\ud800\",\"v\":1}",
                "unexpected end of hex escape (column 8)",
            ),
        ] {
            refuse(format!("{good}\n{line}\n{good}").as_bytes(), 3, reason);
        }
        refuse(
            b"{\"k\":1,\"v\":1}\n{\"k\":\"\xff\",\"v\":1}",
            2,
            "not UTF-8 (byte 7)",
        );
    }

    #[test]
    fn deep_nesting_is_no_danger() {
        let deep = ["[".repeat(100_000), "]".repeat(100_000)].concat();
        expect(
            &format!("{{\"x\":{deep},\"k\":1,\"v\":{deep}}}"),
            &[("1", &deep)],
        );
    }

    #[test]
    fn lengths_are_held_to_the_byte() {
        let limits = Limits { key: 3, value: 17 };
        let found = |text: &str| parse(limits, text.as_bytes(), None);
        assert_eq!(
            found("{\"k\":\"abc\",\"x\":1}\n"),
            Ok(pairs(&[(b"abc", b"{\"k\":\"abc\",\"x\":1}")]))
        );
        assert_eq!(
            found("{\"k\":\"abcd\"}"),
            Err("name.jsonl, line 1: the key has 4 bytes, more than 3".into())
        );
        assert_eq!(
            found("{\"k\":1}\n{\"k\":\"abc\",\"x\":12}\n"),
            Err("name.jsonl, line 2: the line has more than 17 bytes".into())
        );
    }
}
