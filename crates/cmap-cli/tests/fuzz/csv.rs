//! Bytes as CSV: the reader against a parser that goes byte by byte; and what was read, into a map.

use super::common::{Line, read};
use cmap_cli::input::{Layout, Options};

/// Reads what `bytes` say. Whether entries came into a map.
///
/// The first byte holds the options; then comes the text. It is read as it is, and once more its lines are quoted as fields of
/// records, so that a fuzzer that prefers what is refused still feeds the map.
pub fn run(bytes: &[u8]) -> bool {
    let (&first, text) = bytes.split_first().unwrap_or((&0, &[]));
    let as_it_is = run_text(first, text);
    run_text(first, &quoted(text)) || as_it_is
}

fn run_text(first: u8, text: &[u8]) -> bool {
    let records = parse(text);
    let header = records.first();
    // Named where that says which, so that the names are always right: wrong ones are for unit tests.
    let named = |place: Option<usize>| {
        let fields = &header?.fields;
        let name = fields.get(place?)?;
        let is_alone = fields.iter().filter(|other| *other == name).count() == 1;
        String::from_utf8(name.clone()).ok().filter(|_| is_alone)
    };
    let last = header.map(|header| header.fields.len() - 1);
    let key = named(last.filter(|_| first & 1 != 0));
    let value = named(last.filter(|_| first & 4 != 0).map(|last| last / 2));
    let options = Options {
        layout: Some(Layout::Csv {
            key: key.clone(),
            value: value.clone(),
        }),
        skip_bad: first & 8 != 0,
        limit: (first & 2 != 0).then(|| u64::from(first >> 4) + 1),
    };
    let buffer_bytes = 1 + usize::from(first >> 2);
    let key = key.map_or(0, |_| last.expect("it was named"));
    let value = value.map(|_| last.expect("it was named") / 2);
    let line = |record: &Record| {
        let is_whole = !record.is_open && Some(record.fields.len() - 1) == last;
        let entry = || {
            let value = value.map_or(&record.text, |value| &record.fields[value]);
            (record.fields[key].clone(), value.clone())
        };
        (record.line, is_whole.then(entry))
    };
    let lines: Vec<Line> = match header {
        // Without a header nothing is read, and no option helps.
        Some(header) if header.is_open => {
            let options = Options {
                skip_bad: false,
                limit: None,
                ..options
            };
            return read(text, &options, buffer_bytes, &[(header.line, None)]);
        }
        _ => records.iter().skip(1).map(line).collect(),
    };
    read(text, &options, buffer_bytes, &lines)
}

/// The same bytes as records of two fields, below a header.
fn quoted(bytes: &[u8]) -> Vec<u8> {
    let mut text = b"k,v".to_vec();
    for (number, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let (key, value) = line.split_at(line.len() / 2);
        let end: &[u8] = if number % 2 == 0 { b"\r\n" } else { b"\n" };
        for (before, field) in [(end, key), (b",", value)] {
            text.extend_from_slice(before);
            text.push(b'"');
            for &byte in field {
                text.extend(if byte == b'"' {
                    vec![b'"'; 2]
                } else {
                    vec![byte]
                });
            }
            text.push(b'"');
        }
    }
    text
}

/// A record as it should be.
struct Record {
    line: usize,
    text: Vec<u8>,
    fields: Vec<Vec<u8>>,
    /// A quote in it is not closed.
    is_open: bool,
}

/// Where in a record the parser is.
#[derive(Clone, Copy, PartialEq)]
enum At {
    Start,
    Plain,
    Quoted,
    /// After a quote in quotes: it closes them, or is the first of two.
    Quote,
}

/// What the reader should find.
fn parse(text: &[u8]) -> Vec<Record> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let (mut records, mut line, mut rest) = (Vec::new(), 1, text);
    while let Some(&first) = rest.first() {
        if b"\r\n".contains(&first) {
            line += usize::from(first == b'\n');
            rest = &rest[1..];
            continue;
        }
        let (mut at, mut fields, mut used) = (At::Start, vec![Vec::new()], 0);
        for &byte in rest {
            let field = fields.last_mut().expect("there is one");
            at = match (at, byte) {
                (At::Start, b'"') => At::Quoted,
                (At::Quoted, b'"') => At::Quote,
                (At::Quote, b'"') | (At::Quoted, _) => {
                    field.push(byte);
                    At::Quoted
                }
                (_, b'\r' | b'\n') => break,
                (_, b',') => {
                    fields.push(Vec::new());
                    At::Start
                }
                (_, _) => {
                    field.push(byte);
                    At::Plain
                }
            };
            used += 1;
        }
        let (text, after) = rest.split_at(used);
        records.push(Record {
            line,
            text: text.to_vec(),
            fields,
            is_open: at == At::Quoted,
        });
        line += text.iter().filter(|&&byte| byte == b'\n').count();
        rest = after;
    }
    records
}
