//! Bytes as JSON lines: the reader against one that takes whole objects apart; and what was read, into a map.

use super::common::{Line, Pair, read};
use cmap_cli::input::{Layout, Options};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, fmt::Write};

/// Reads what `bytes` say. Whether entries came into a map.
///
/// The first byte holds the options; then comes the text. It is read as it is, and once more its lines are made parts of objects,
/// so that a fuzzer that prefers what is refused still feeds the map.
pub fn run(bytes: &[u8]) -> bool {
    let (&first, text) = bytes.split_first().unwrap_or((&0, &[]));
    let value = (first & 1 != 0).then(|| "v".to_string());
    let options = Options {
        layout: Some(Layout::Jsonl {
            key: "k".into(),
            value: value.clone(),
        }),
        skip_bad: first & 8 != 0,
        limit: (first & 2 != 0).then(|| u64::from(first >> 4) + 1),
    };
    let buffer_bytes = 1 + usize::from(first >> 2);
    let whole = objects(text);
    let value = value.as_deref();
    let as_it_is = read(text, &options, buffer_bytes, &parse(text, value));
    read(&whole, &options, buffer_bytes, &parse(&whole, value)) || as_it_is
}

/// The same bytes in objects: as strings, in arrays, with white space between.
fn objects(bytes: &[u8]) -> Vec<u8> {
    let mut text = String::new();
    for line in bytes.split(|&byte| byte == b'\n') {
        let (key, value) = line.split_at(line.len() / 2);
        let string =
            |bytes| serde_json::to_string(&String::from_utf8_lossy(bytes)).expect("a string");
        let (key, value, number) = (string(key), string(value), line.len());
        let _ = match number % 4 {
            0 => writeln!(text, "{{\"k\":{key},\"v\":{value}}}"),
            1 => writeln!(
                text,
                " {{ \"v\" : [ {value} , {{ {key} : null }} ], \"k\": {key} }}\r"
            ),
            2 => writeln!(
                text,
                "{{\"k\":{number}.5e1,{key}:{value},\"k\":{number},\"v\":{value}}}"
            ),
            _ => writeln!(text, "{{\"\\u006b\":{key},\"v\":\t{number}}}\n"),
        };
    }
    text.into_bytes()
}

/// What the reader should find.
fn parse(text: &[u8], value: Option<&str>) -> Vec<Line> {
    let lines = text.split(|&byte| byte == b'\n').enumerate();
    let line = |(number, line): (usize, &[u8])| {
        let mark: &[u8] = if number == 0 { b"\xef\xbb\xbf" } else { b"" };
        let line = line.strip_prefix(mark).unwrap_or(line);
        let is_nothing = line.trim_ascii().is_empty();
        (!is_nothing).then(|| (number + 1, entry(line, value)))
    };
    lines.filter_map(line).collect()
}

fn entry(line: &[u8], value: Option<&str>) -> Option<Pair> {
    let text = std::str::from_utf8(line).ok()?;
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).ok()?;
    let key = members.get("k")?.get();
    if key.starts_with(['{', '[', 't', 'f', 'n']) {
        return None;
    }
    let value = match value {
        Some(name) => plain(members.get(name)?.get())?,
        None => compact(text),
    };
    Some((plain(key)?, value))
}

fn plain(json: &str) -> Option<Vec<u8>> {
    if json.starts_with('"') {
        return serde_json::from_str(json).ok().map(String::into_bytes);
    }
    Some(compact(json))
}

/// String by string: what is between them loses its white space.
fn compact(json: &str) -> Vec<u8> {
    let (mut text, mut rest) = (String::new(), json);
    let bare = |part: &str| part.replace([' ', '\t', '\r', '\n'], "");
    while let Some((before, after)) = rest.split_once('"') {
        let mut is_escaped = false;
        let end = after.find(|c| {
            let is_end = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            is_end
        });
        let (string, after) = after.split_at(end.expect("strings end") + 1);
        text += &bare(before);
        text.push('"');
        text += string;
        rest = after;
    }
    (text + &bare(rest)).into_bytes()
}
